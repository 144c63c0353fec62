"""Which of several models a given shape is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.frontends.input_shapes import shared_out
from tests.support.onnx_models import convolution_model, save
from tests.support.paths import DATA

WHOLE, OWN = (1, 3, 8, 8), (1, 3, 6, 6)


@pytest.fixture
def models(tmp_path: Path) -> list[tuple[str, Path]]:
    """``a`` and ``b`` have an input ``x``, ``c`` has ``c:x``, ``tiny`` is ELL's, ``bad`` no model at all."""
    save(convolution_model((1, 3, "h", "w"), "x"), tmp_path / "a.onnx")
    save(convolution_model((1, 3, "h", "w"), "x"), tmp_path / "b.onnx")
    save(convolution_model((1, 3, "h", "w"), "c:x"), tmp_path / "c.onnx")
    (tmp_path / "bad.onnx").write_text("no model")
    files = [(name, tmp_path / f"{name}.onnx") for name in ("a", "b", "c", "bad")]
    return [*files, ("tiny", DATA / "tiny16.ell")]


def test_each_model_takes_the_shapes_of_its_inputs(models: list[tuple[str, Path]]) -> None:
    shares = shared_out({"x": WHOLE, "b:x": OWN, "c:x": WHOLE}, models)
    assert shares == [{"x": WHOLE}, {"x": OWN}, {"c:x": WHOLE}, {}, {}]
    assert shared_out({"b:x": OWN, "x": WHOLE}, models)[1] == {"x": OWN}


def test_a_shape_that_is_for_none_of_several_is_refused(models: list[tuple[str, Path]]) -> None:
    with pytest.raises(ConfigurationError, match=r"an input y; .*a: x; b: x; c: c:x; bad: none"):
        shared_out({"x": WHOLE, "y": WHOLE}, models)
    with pytest.raises(ConfigurationError, match=r"an input d:x"):
        shared_out({"d:x": WHOLE}, models)


def test_a_lone_model_says_itself_what_it_does_not_have(
    models: list[tuple[str, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    name, path = models[0]
    assert main(["show", str(path), "--input_shape", f"{name}:x=1,3,8,8"]) == 0
    assert main(["show", str(path), "--input_shape", "y=1,3,8,8"]) == 2
    assert "there is no input y" in " ".join(capsys.readouterr().err.split())
