"""ellopt finds the fastest way to compute every convolution layer of an ELL or ONNX model on a given target.

>>> report = ellopt.tune("face.ell", target="host", output_path="out")
>>> model = ellopt.load("out/face")
>>> model.predict(image)

Nothing else is imported before one of these names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ellopt.app.loaded import LoadedModel, load
    from ellopt.app.python import tune
    from ellopt.core.errors import (
        BuildError,
        CandidateError,
        ConfigurationError,
        ElloptError,
        InfrastructureError,
        ModelFormatError,
    )
    from ellopt.deploy.library import DeployedLibrary
    from ellopt.deploy.times import BenchResult, LayerTime
    from ellopt.report.document import TuningReport

__version__ = "0.1.0"

__all__ = [
    "BenchResult",
    "BuildError",
    "CandidateError",
    "ConfigurationError",
    "DeployedLibrary",
    "ElloptError",
    "InfrastructureError",
    "LayerTime",
    "LoadedModel",
    "ModelFormatError",
    "TuningReport",
    "load",
    "tune",
]

_ERRORS = {name: "ellopt.core.errors" for name in __all__ if name.endswith("Error")}
_PLACES = {
    **_ERRORS,
    "BenchResult": "ellopt.deploy.times",
    "DeployedLibrary": "ellopt.deploy.library",
    "LayerTime": "ellopt.deploy.times",
    "LoadedModel": "ellopt.app.loaded",
    "TuningReport": "ellopt.report.document",
    "load": "ellopt.app.loaded",
    "tune": "ellopt.app.python",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
