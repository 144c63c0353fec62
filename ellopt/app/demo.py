"""The demonstration: the sample model is tuned, and pictures are classified with it."""

from __future__ import annotations

from pathlib import Path

from ellopt.app.loaded import load
from ellopt.app.python import tune
from ellopt.deploy.picture import Ranked, only_output, ranked, read_labels
from ellopt.deploy.preprocess import Preprocess
from ellopt.report.document import TuningReport
from ellopt.search.observer import Display

_SAMPLES = Path(__file__).parents[1] / "samples"
#: The convolutions' weights are random; the last layer was fitted to drawings of discs and stripes in five colours.
MODEL = _SAMPLES / "shapes64.ell.zip"
PICTURES = (_SAMPLES / "disc.png", _SAMPLES / "stripes.png")


def demo(output_path: Path, display: Display) -> tuple[TuningReport, Path, dict[str, tuple[Ranked, ...]]]:
    """Tune the sample into ``output_path``; its report, its directory, and by picture what the tuned model sees.

    Raises as ``tune`` and ``load``.
    """
    report = tune(MODEL, output_path=output_path, display=display, options="quick", trials=8, mlflow=False)
    directory = output_path / report.tag
    model, labels = load(directory), read_labels(_SAMPLES / "labels.txt")
    found = {}
    for path in PICTURES:
        values = model.image(path, Preprocess(scale=(1 / 255,)))
        found[path.name] = ranked(only_output(model.predict_isolated(values)), labels, 3)
    return report, directory, found
