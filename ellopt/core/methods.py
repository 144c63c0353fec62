"""Convolution methods: what is asked of each, and the registry of those that there are.

A method is one object that owns all facts of a way to compute. Adding one is a folder and a row of ``_ROWS``; a program
can register a further one. Rows tell what options may say before the code of a method is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ellopt.core.options import ConvolutionOptions
    from ellopt.core.shapes import ConvolutionShape


@dataclass(frozen=True)
class Choices:
    """What an options file lets methods choose from. A depth of 0 leaves it to the generator; the empty blocking is the
    default one, the empty precision is float32."""

    depths: tuple[int, ...] = (0,)
    tile_sizes: tuple[int, ...] = (2,)
    blockings: tuple[str, ...] = ("",)
    precisions: tuple[str, ...] = ("",)


class Method(ABC):
    """One way to compute a convolution layer, apart from the code that a toolchain makes of it."""

    name: str
    #: in charts, on light paper and on dark (the same where it is empty), such as #2b64ad
    colour: str
    colour_on_dark: str = ""
    #: whether it is tried on every shape in a search's first visit; one that seldom wins is tried on some
    likely: bool = True

    @abstractmethod
    def combinations(self, parallelize: bool, choices: Choices) -> Iterator[ConvolutionOptions]:
        """Every combination of ``choices`` that means something to the method, valid on a layer or not."""

    @abstractmethod
    def applies(self, shape: ConvolutionShape) -> bool:
        """Whether a layer of ``shape`` can be computed so at all."""

    def weight_bytes(self, shape: ConvolutionShape, options: ConvolutionOptions) -> int:
        """About how many bytes of weights a layer reads in a pass, as they are laid out for it."""
        return plain_weight_bytes(shape)

    def rounding(self, options: ConvolutionOptions, terms: int) -> float:
        """How many times as far as sums of ``terms`` products in any order, in float32, the method may be off: it makes
        other sums first, or multiplies in less precision."""
        return 1.0

    def ell_can(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        """Whether ELL's own compiler computes ``shape`` rightly by ``options``."""
        return True

    def ell_canonical(self, shape: ConvolutionShape, options: ConvolutionOptions) -> ConvolutionOptions | None:
        """The representative of all options that give the same code in ELL; None where they are not valid there."""
        return type(options)(options.method, options.parallelize) if self.applies(shape) else None


def plain_weight_bytes(shape: ConvolutionShape) -> int:
    """Bytes of a layer's weights as a model stores them, in float32."""
    return 4 * shape.filters * shape.weights_per_filter


@dataclass(frozen=True)
class MethodRow:
    """``tiled``: options have block depths and a tile size. ``implementation``: the Method, or "module:name"."""

    name: str
    implementation: Method | str
    tiled: bool = False


_GENERATED = "ellopt.codegen.convolution"
#: From the plainest to the most elaborate: ties are decided in this order.
_ROWS = {
    row.name: row
    for row in (
        MethodRow("simple", f"{_GENERATED}.direct.method:SIMPLE"),
        MethodRow("unrolled", f"{_GENERATED}.gemm.method:UNROLLED"),
        MethodRow("winograd", f"{_GENERATED}.winograd.method:WINOGRAD", tiled=True),
    )
}


def method_names() -> tuple[str, ...]:
    """All methods, from the plainest to the most elaborate."""
    return tuple(_ROWS)


def method_row(name: str) -> MethodRow | None:
    """What is known of a method before it is loaded; None if there is none of that name."""
    return _ROWS.get(name)


@lru_cache
def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def find_method(name: str) -> Method:
    """The method called ``name``. Raises KeyError."""
    implementation = _ROWS[name].implementation
    if isinstance(implementation, str):
        loaded = _load(implementation)
        assert isinstance(loaded, Method)
        return loaded
    return implementation


def register(row: MethodRow) -> None:
    """Add a method for this process, the most elaborate of all. Raises ValueError if its name is taken."""
    if row.name in _ROWS:
        raise ValueError(f"there is a convolution method {row.name} already")
    _ROWS[row.name] = row


def unregister(name: str) -> None:
    """Take a registered method out again. Raises KeyError."""
    del _ROWS[name]
