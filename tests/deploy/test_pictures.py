"""Pictures as inputs: prepared as options and files say, the same in the library's Python module; the demonstration."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import ellopt
from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.deploy.picture import picture_input
from ellopt.deploy.preprocess import Preprocess
from tests.support.paths import REPOSITORY, TINY
from tests.support.python_wrappers import import_wrapper

SAMPLES = REPOSITORY / "ellopt" / "samples"
MODEL = SAMPLES / "shapes64.ell.zip"
NUMBERS = st.lists(st.floats(-200, 200, width=32), min_size=3, max_size=3).map(tuple)


def picture(path: Path, rows: int, columns: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Write a picture of noise; its pixels, rows x columns x RGB."""
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@given(mean=NUMBERS, scale=NUMBERS, order=st.sampled_from(["rgb", "bgr"]), first=st.booleans())
def test_values_are_moved_and_scaled_channel_by_channel(
    mean: Any, scale: Any, order: str, first: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("picture") / "p.png"
    pixels = picture(path, 5, 7).astype(np.float64)
    wanted = (pixels[..., ::-1] if order == "bgr" else pixels) - mean
    wanted = wanted * scale
    shape = (1, 3, 5, 7) if first else (5, 7, 3)
    found = picture_input(path, shape, Preprocess(None, order, mean, scale))
    assert found.shape == shape
    found = found[0].transpose(1, 2, 0) if first else found
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-2)


@given(rows=st.integers(1, 90), columns=st.integers(1, 90), size=st.none() | st.integers(16, 60))
def test_the_middle_of_any_picture_is_cut_out(
    rows: int, columns: int, size: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A picture that is dark but for a bright left half keeps the edge in the middle."""
    path = tmp_path_factory.mktemp("picture") / "p.png"
    pixels = np.zeros((rows, columns), np.uint8)
    pixels[:, : columns // 2] = 255
    Image.fromarray(pixels).save(path)
    found = picture_input(path, (12, 12, 1), Preprocess(size))
    assert found.shape == (12, 12, 1)
    if columns % 2 == 0:
        assert abs(float(found.mean()) - 127.5) < 255 * 1.5 / 12


@pytest.mark.parametrize("shape", [(5, 7, 16), (10,), (1, 2, 3, 4, 5), (2, 3, 5, 5)])
def test_a_model_that_takes_no_picture(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture(tmp_path / "p.png", 5, 7)
    with pytest.raises(ConfigurationError, match="no picture of one or three channels"):
        picture_input(tmp_path / "p.png", shape, Preprocess())


def predicted(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert main(["predict", str(MODEL), "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)["top"]


def test_a_picture_is_classified_as_options_or_a_file_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same values: from options, and from the file's block, which options override."""
    labels = ["--labels", SAMPLES / "labels.txt"]
    by_options = predicted(capsys, "--image", SAMPLES / "disc.png", "--scale", "1/255", *labels, "--top", 3)
    assert by_options[0]["label"] == "red disc"
    assert len(by_options) == 3
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"nodes": {}, "preprocess": {"scale": 1 / 255, "channel_order": "bgr"}}))
    command = ["--image", SAMPLES / "disc.png", "--options", options, *labels, "--top", 3]
    assert predicted(capsys, *command, "--channel-order", "rgb") == by_options
    assert predicted(capsys, *command)[0]["label"] == "blue disc"  # red and blue change places
    assert main(["predict", str(MODEL), *map(str, command), "--channel-order", "rgb"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split(maxsplit=1)[1] == "red disc"


def test_the_python_module_of_a_library_prepares_pictures_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "p.png", 90, 130)
    said = ["--size", "80", "--mean", "100,110,120", "--scale", "1/200", "--channel_order", "bgr"]
    assert main(["compile", str(MODEL), "-o", str(tmp_path / "library"), "--name", "face", *said]) == 0
    module = import_wrapper(tmp_path / "library", "face")
    preprocess = Preprocess(80, "bgr", (100.0, 110.0, 120.0), (1 / 200,))
    wanted = picture_input(tmp_path / "p.png", (64, 64, 3), preprocess)
    np.testing.assert_array_equal(module.image_input(tmp_path / "p.png"), wanted)
    with module.Model() as model, Image.open(tmp_path / "p.png") as opened:
        np.testing.assert_array_equal(model.predict_image(opened), model.predict(wanted))
    watch_as_the_guide_says(module, tmp_path, monkeypatch)
    shown = capsys.readouterr().out.splitlines()[-2:]
    assert [line[:20].strip() for line in shown] == ["red disc", "blue stripes"]


class Camera:
    """Stands for the camera of a Pi: two pictures, then the user has seen enough."""

    def __init__(self) -> None:
        self.pictures = [SAMPLES / "disc.png", SAMPLES / "stripes.png"]

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        assert main["format"] == "BGR888"
        return main

    def configure(self, configuration: dict[str, Any]) -> None: ...

    def start(self) -> None: ...

    def capture_array(self) -> np.ndarray[Any, Any]:
        if not self.pictures:
            raise KeyboardInterrupt
        with Image.open(self.pictures.pop(0)) as opened:
            return np.asarray(opened.convert("RGB"))


def watch_as_the_guide_says(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the guide's program with the library ``module``, in ``folder``, until the camera has no more pictures."""
    guide = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
    [program] = [block for block in re.findall(r"^```python\n(.*?)^```", guide, re.M | re.S) if "picamera2" in block]
    camera = ModuleType("picamera2")
    camera.Picamera2 = Camera  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "PREPROCESS", {"size": None, "channel_order": "rgb", "mean": 0.0, "scale": 1.0})
    monkeypatch.setitem(sys.modules, "picamera2", camera)
    monkeypatch.setitem(sys.modules, "face", module)
    monkeypatch.chdir(folder)
    (folder / "labels.txt").write_bytes((SAMPLES / "labels.txt").read_bytes())
    assert len(program.strip().splitlines()) <= 23
    with pytest.raises(KeyboardInterrupt):
        exec(compile(program, "tutorial.md", "exec"), {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--image", "no.png"], "--image: no.png cannot be read"),
        (["--image", "x.npy"], "x.npy is no picture that can be read but a NumPy array"),
        (["--image", "torn.png"], "torn.png is no picture that can be read"),
        (["--image", "p.png", "--labels", "two.txt"], "there are 2 labels, but the output has 5 values"),
        (["--image", "p.png", "--size", "8"], "--size: 8 is less than the model's input"),
        (["--image", "p.png", "--scale", "1/0"], "--scale: '1/0' is no number"),
        (["--image", "p.png", "--mean", "1,2"], "--mean: give one number, or one for each of three"),
        (["--image", "p.png", "--channel_order", "grb"], "--channel_order: 'grb' is unknown"),
        (["--image", "p.png", "--options", "wrong.json"], "wrong.json: preprocess is an object"),
        (["--image", "p.png", "--input", "x.npy"], "one of them"),
        ([], "one of them"),
        (["--input", "x.npy"], "--output must be given"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_mistake_is_named(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "p.png", 32, 32)
    (tmp_path / "torn.png").write_bytes((tmp_path / "p.png").read_bytes()[:60])
    np.save("x.npy", np.zeros((16, 16, 3), np.float32))
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "wrong.json").write_text(json.dumps({"nodes": {}, "preprocess": {"sise": 3}}))
    assert main(["predict", str(TINY), *arguments]) == 2
    answer = capsys.readouterr().err
    assert said in answer
    assert len(answer.splitlines()) == 1


def test_the_demonstration_sees_what_is_in_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("disc.png: red disc ") for line in lines)
    assert any(line.startswith("stripes.png: blue stripes ") for line in lines)
    assert ellopt.load(tmp_path / "ellopt-demo" / "shapes64").inputs == {"input": (64, 64, 3)}
    (again,) = [line.partition(": ellopt ")[2] for line in lines if ": ellopt predict" in line]
    assert main(shlex.split(again)) == 0
    assert "red disc" in capsys.readouterr().out
