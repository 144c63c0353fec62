"""What the user said about models that leave something open."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.settings import setting


@dataclass(frozen=True)
class ShapeSettings:
    """``NAME=1,3,224,224`` for each input whose shape the file leaves open or says wrongly, see ``parse_shapes``."""

    input_shape: tuple[str, ...] = setting(
        (),
        "the shape of an input of an ONNX model that leaves it open, or says it wrongly; once for each input; "
        "`MODEL:NAME=...` for one of several models",
        metavar="NAME=1,3,224,224",
        default_text="what the model says",
        repeated=True,
    )
