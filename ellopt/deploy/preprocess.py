"""How a picture becomes a model's input: what options, and a block of an options file, say of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import check_settings, setting

ORDERS = ("rgb", "bgr")
#: of the object in an options file that says how pictures are prepared
BLOCK = "preprocess"


@dataclass(frozen=True)
class PreprocessSettings:
    """How a picture becomes an input, as options say it; what they leave open, an options file's block may say."""

    size: int | None = setting(
        None,
        "of a picture: pixels that its shorter side is scaled to before the middle is cut out",
        default_text="as large as the model's input",
        least=1,
    )
    channel_order: str | None = setting(
        None, "of a picture: `rgb`, or `bgr` as OpenCV reads them", metavar="ORDER", suggestions=ORDERS,
        default_text="`rgb`",
    )  # fmt: skip
    mean: tuple[str, ...] = setting(
        (),
        "of a picture: what is subtracted from its values (0 to 255), a number, or one for each channel",
        metavar="NUMBER",
        default_text="0",
    )
    scale: tuple[str, ...] = setting(
        (),
        "of a picture: what its values are multiplied with after that, such as `1/255`; a number, or one for each "
        "channel",
        metavar="NUMBER",
        default_text="1",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def over(self, base: Preprocess) -> Preprocess:
        """``base`` with what is said here. Raises ConfigurationError."""
        said: dict[str, Any] = {"size": self.size, "channel_order": self.channel_order}
        said |= {name: tuple(_number(name, word) for word in getattr(self, name)) for name in ("mean", "scale")}
        return replace(base, **{name: value for name, value in said.items() if value not in (None, ())})


@dataclass(frozen=True)
class Preprocess:
    """A picture's shorter side is scaled to ``size`` pixels (None: so that the input is covered), the middle of the
    input's size is cut out, its channels are put in ``channel_order``, and each value of 0 to 255 becomes
    (value - mean) * scale. ``mean`` and ``scale`` have one number, or one for each channel in that order.

    Raises ConfigurationError for values that cannot be.
    """

    size: int | None = None
    channel_order: str = "rgb"
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.channel_order not in ORDERS:
            raise ConfigurationError(f"--channel_order: {self.channel_order!r} is unknown; use rgb or bgr")
        for name in ("mean", "scale"):
            if len(getattr(self, name)) not in (1, 3):
                raise ConfigurationError(f"--{name}: give one number, or one for each of three channels")

    @classmethod
    def read(cls, options_file: Path | None) -> Preprocess:
        """What the block ``preprocess`` of an options file says; the defaults if there is none."""
        if options_file is None:
            return cls()
        try:
            data = json.loads(options_file.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{options_file}: cannot be read as compile options: {error}") from error
        block = data.get(BLOCK, {}) if isinstance(data, dict) else {}
        known = [field.name for field in fields(cls)]
        if not isinstance(block, dict) or set(block) - set(known):
            raise ConfigurationError(
                f"{options_file}: {BLOCK} is an object with {', '.join(known)}, none must be given"
            )
        said = dict(block)
        for name in ("mean", "scale"):
            if name in said:
                values = said[name] if isinstance(said[name], list) else [said[name]]
                said[name] = tuple(_number(f"{options_file}: {name}", str(value)) for value in values)
        if not isinstance(said.get("size", 1), int) or said.get("size", 1) < 1:
            raise ConfigurationError(f"{options_file}: size is a whole number of pixels, not {said['size']!r}")
        try:
            return cls(**said)
        except ConfigurationError as error:
            raise ConfigurationError(f"{options_file}: {str(error).removeprefix('--')}") from None


def _number(name: str, text: str) -> float:
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        option = name if ":" in name else f"--{name}"
        raise ConfigurationError(f"{option}: {text!r} is no number; write 0.5 or 1/255") from None
