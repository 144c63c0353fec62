"""``compile --check`` loads the library that it is about to write, and compares what that computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from ellopt.cli.main import main
from ellopt.codegen.sources import c_text
from tests.support.onnx_models import make_model, save
from tests.support.paths import TINY


def break_softmax(monkeypatch: pytest.MonkeyPatch, where: str, change: str) -> None:
    """The C that the library, or the bundle, is made of computes another softmax."""
    source = c_text("ellopt_layers.c")
    changed = source.replace("expf(in[i] - largest)", change)
    assert changed != source
    monkeypatch.setattr(where, lambda name: changed if name == "ellopt_layers.c" else c_text(name))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("expf(in[i] - largest) + 0.01f", "the finished library's output on 1 thread is off by"),
        ("(__builtin_trap(), 0.0f)", "the finished library does not run on this machine"),
    ],
    ids=["wrong", "crash"],
)
def test_a_library_that_is_wrong_is_found_where_the_bundle_is_right(
    change: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_softmax(monkeypatch, "ellopt.deploy.library.c_text", change)
    output = tmp_path / "library"
    assert main(["compile", str(TINY), "-o", str(output), "--check"]) != 0
    captured = capsys.readouterr()
    assert said in " ".join((captured.out + captured.err).split())
    assert not list(output.iterdir())


def test_several_inputs_and_outputs_are_given_and_taken_by_name(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image/0:0", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["c", "other"], ["difference"]),
        helper.make_node("GlobalAveragePool", ["c"], ["mean"]),
    ]
    shapes = {"other": (1, 4, 6, 7), "image/0:0": (1, 3, 6, 7)}
    path = save(make_model(nodes, shapes, ["mean", "difference"], {"w": weights}), tmp_path / "two.onnx")
    assert main(["compile", str(path), "-o", str(tmp_path / "library"), "--check"]) == 0
    assert {"two.h", "two.py", "libtwo.a", "ellopt-library.json"} <= {p.name for p in (tmp_path / "library").iterdir()}


def test_a_library_of_a_board_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code is that of another processor; what is checked is a bundle, under the emulator."""
    command = ["compile", str(TINY), "--target", "pi3_64", "--check", "-o"]
    assert main([*command, str(tmp_path / "library")]) == 0
    break_softmax(monkeypatch, "ellopt.toolchains.native.build.c_text", "expf(in[i] - largest) + 0.01f")
    assert main([*command, str(tmp_path / "other")]) != 0
