"""A file of another kind is named as what it is, whatever it is called; nobody is told to allow pickles."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ellopt.cli.main import main
from tests.support.paths import TINY


def archive(*names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name in names:
            file.writestr(name, b"content")
    return written.getvalue()


def saved(values: object) -> bytes:
    written = io.BytesIO()
    np.save(written, np.asarray(values), allow_pickle=True)
    return written.getvalue()


#: what the file begins with, as its format says; its usual ending; what it is called; what can be done
KINDS = {
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ".png", "a PNG picture", ""),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", ".jpg", "a JPEG picture", ""),
    "webp": (b"RIFF\x10\0\0\0WEBPVP8 ", ".webp", "a WebP picture", ""),
    "torch": (archive("net/data.pkl", "net/data/0"), ".pt", "a PyTorch file", "torch.onnx.export"),
    "old torch": (pickle.dumps(0x1950A86A20F9469CFC6C, 2), ".pth", "a PyTorch file", "torch.onnx.export"),
    "tflite": (b"\x1c\0\0\0TFL3\0\0", ".tflite", "a TensorFlow Lite model", "tf2onnx"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0\0", ".h5", "an HDF5 file", "tf2onnx"),
    "keras": (archive("config.json", "model.weights.h5"), ".keras", "a Keras model", "tf2onnx"),
    "pickle": (pickle.dumps([1, 2]), ".pkl", "a pickle of Python objects", ""),
    "gzip": (b"\x1f\x8b\x08\0", ".gz", "compressed by gzip", "unpack"),
}


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    said = printed.err
    assert len(said.splitlines()) == 1
    assert "pickle=" not in said
    assert "allow_pickle" not in said
    return said


@pytest.mark.parametrize("command", ["show", "optimize"])
@pytest.mark.parametrize("disguised", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_model(
    kind: str, disguised: bool, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, ending, name, advice = KINDS[kind]
    path = tmp_path / f"model{'.onnx' if disguised else ending}"
    path.write_bytes(content)
    before = (
        ["show"] if command == "show" else ["optimize", "--no_mlflow", "--target", "host", "-o", str(tmp_path / "o")]
    )
    option = [] if command == "show" else ["--model_path"]
    said = answer([*before, *option, str(path)], capsys)
    assert f"{path} is {name}" in said or name in said
    assert advice in said


@pytest.mark.parametrize("ending", [".tflite", ".pb", ".safetensors", ".caffemodel", ".pt"])
def test_what_begins_with_nothing_known_is_known_by_its_name(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"model{ending}"
    path.write_bytes(b"\x0a\x0b\x0c")
    assert f"{path} is a" in answer(["show", str(path)], capsys)


@pytest.mark.parametrize("disguised", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_input(
    kind: str, disguised: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, ending, name, _ = KINDS[kind]
    path = tmp_path / f"x{'.npy' if disguised else ending}"
    path.write_bytes(content)
    said = answer(["predict", str(TINY), "--input", str(path), "--output", str(tmp_path / "y.npy")], capsys)
    assert name in said
    assert f"--input: {path} is not a NumPy file" in said


@pytest.mark.parametrize("content", [b"", b"1 2 3", TINY.read_bytes()[:100]], ids=["empty", "text", "model"])
def test_a_file_that_is_nothing_known_is_no_input(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    said = answer(["predict", str(TINY), "--input", str(path), "--output", str(tmp_path / "y.npy")], capsys)
    assert f"--input: {path} is not a NumPy file; write one by numpy.save" in said


@pytest.mark.parametrize("values", [[{"a": 1}], [None, 1], np.array([[1], [1, 2]], dtype=object)], ids=str)
def test_an_array_of_python_objects_is_called_one(
    values: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(saved(values))
    said = answer(["predict", str(TINY), "--input", str(path), "--output", str(tmp_path / "y.npy")], capsys)
    assert "holds Python objects instead of numbers" in said
