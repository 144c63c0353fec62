"""How a convolution layer may be computed: ConvolutionOptions for one layer, a Plan for a whole model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.methods import method_names, method_row

#: What the products of a layer may be computed in, the default first.
FLOAT32, FLOAT16 = "float32", "float16"
PRECISIONS = (FLOAT32, FLOAT16)
#: Method, tile size, blocking and precision: see ``ConvolutionOptions.way``.
Way = tuple[str, int, str, str]
_DEPTH = re.compile("[0-9]{1,9}")
#: ELL's own names, in the order in which ELL's scripts write them.
ELL_DEPTH_NAMES = {
    "separable_block_depth": "separableBlockDepth",
    "nonseparable_filter_block_depth": "nonseparableFilterBlockDepth",
    "nonseparable_channel_depth": "nonseparableChannelDepth",
}
ELL_DEFAULT_DEPTHS = {
    "separable_block_depth": 8,
    "nonseparable_filter_block_depth": 2,
    "nonseparable_channel_depth": 4,
}


@dataclass(frozen=True, order=True)
class ConvolutionOptions:
    """One way to compute a convolution layer. Ordered from the simplest to the most elaborate.

    Depths and the tile size belong to ``winograd`` and are 0 elsewhere. A depth of 0 on a winograd layer
    means that it makes no difference there (see ``canonical`` of a toolchain). ``gemm_blocking`` names a
    blocking of the matrix multiplication that the native generator offers; empty is its default. ``precision`` is what
    inputs and weights are multiplied in: empty is float32, see ``PRECISIONS``.
    """

    method: str
    parallelize: bool = False
    separable_block_depth: int = 0
    nonseparable_filter_block_depth: int = 0
    nonseparable_channel_depth: int = 0
    winograd_tile_size: int = 0
    gemm_blocking: str = ""
    precision: str = ""

    def __post_init__(self) -> None:
        row = method_row(self.method)
        if row is None:
            raise ConfigurationError(
                f"unknown convolution method {self.method!r}: use one of {', '.join(method_names())}"
            )
        if not isinstance(self.parallelize, bool) or not isinstance(self.gemm_blocking, str):
            raise ConfigurationError("parallelize is true or false, and a blocking is named by a text")
        if self.precision == FLOAT32:
            object.__setattr__(self, "precision", "")
        elif self.precision not in ("", *PRECISIONS):
            raise ConfigurationError(f"unknown precision {self.precision!r}: use one of {', '.join(PRECISIONS)}")
        numbers = (*self.depths, self.winograd_tile_size)
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers):
            raise ConfigurationError(f"block depths and tile sizes are integers, not negative: {numbers}")
        if row.tiled:
            if self.winograd_tile_size == 0:
                object.__setattr__(self, "winograd_tile_size", 2)
        elif any(numbers):
            raise ConfigurationError(f"block depths and tile sizes belong to winograd, not to {self.method}")

    @property
    def depths(self) -> tuple[int, int, int]:
        """Separable block depth, nonseparable filter block depth, nonseparable channel depth."""
        return (
            self.separable_block_depth,
            self.nonseparable_filter_block_depth,
            self.nonseparable_channel_depth,
        )

    @property
    def way(self) -> Way:
        """What the compiler sees of options, and what decides how weights are laid out: block depths and threads are
        run-time arguments of one kernel."""
        return (self.method, self.winograd_tile_size, self.gemm_blocking, self.precision)

    def __str__(self) -> str:
        """A short text such as ``winograd s8 f2 c4 parallel``; parsed back by ``parse``."""
        parts = [self.method]
        if self.winograd_tile_size:
            if self.winograd_tile_size != 2:
                parts.append(f"t{self.winograd_tile_size}")
            parts += [f"{key}{depth}" for key, depth in zip("sfc", self.depths, strict=True) if depth]
        if self.gemm_blocking:
            parts.append(f"g{self.gemm_blocking}")
        if self.precision:
            parts.append(self.precision)
        if self.parallelize:
            parts.append("parallel")
        return " ".join(parts)

    @classmethod
    def parse(cls, text: str) -> ConvolutionOptions:
        """The options that ``str`` wrote. Raises ConfigurationError for any other text."""
        names = {
            "s": "separable_block_depth",
            "f": "nonseparable_filter_block_depth",
            "c": "nonseparable_channel_depth",
            "t": "winograd_tile_size",
        }
        method, *rest = text.split() or [""]
        values: dict[str, Any] = {}
        for part in rest:
            if part == "parallel":
                values["parallelize"] = True
            elif part in PRECISIONS:
                values["precision"] = part
            elif part[0] == "g" and len(part) > 1:
                values["gemm_blocking"] = part[1:]
            elif part[0] in names and _DEPTH.fullmatch(part[1:]):
                values[names[part[0]]] = int(part[1:])
            else:
                raise ConfigurationError(f"cannot read the convolution options {text!r}: {part!r} is unknown")
        return cls(method, **values)

    def to_json(self) -> dict[str, Any]:
        """A JSON object of this class's own field names; fields at their default are left out."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name in ("method", "parallelize") or getattr(self, f.name) != f.default
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConvolutionOptions:
        known = {f.name for f in fields(cls)}
        for key in data:
            if key not in known:
                raise ConfigurationError(f"unknown convolution option {key!r}")
        return cls(**data)

    def to_ell(self) -> dict[str, str | int]:
        """ELL's own options, as its scripts write ``compile_options.json``: booleans as text, depths as numbers."""
        result: dict[str, str | int] = {
            "preferredConvolutionMethod": self.method,
            "parallelize": "true" if self.parallelize else "false",
        }
        if self.winograd_tile_size:
            for name, ell_name in ELL_DEPTH_NAMES.items():
                result[ell_name] = getattr(self, name) or ELL_DEFAULT_DEPTHS[name]
        return result

    def with_parallelize(self, parallelize: bool) -> ConvolutionOptions:
        return replace(self, parallelize=parallelize)


#: What ELL does when nobody chooses: unrolled, not parallel.
ELL_DEFAULT = ConvolutionOptions("unrolled")
