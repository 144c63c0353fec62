"""What may be tried: read from an options file and narrowed, layer by layer, to what is valid and distinct there."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ellopt.core.errors import ConfigurationError
from ellopt.core.methods import Choices, find_method, method_names, method_row
from ellopt.core.options import ELL_DEFAULT, FLOAT32, PRECISIONS, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.files.json_text import parse_json
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain


@dataclass(frozen=True)
class SpaceReport:
    options_file: str
    original_combinations: int  # of the options file, for one layer, as the old scripts counted
    valid: int  # summed over layers
    distinct: int  # summed over layers
    distinct_by_layer: Mapping[str, int] = field(default_factory=dict)


REQUIRED_KEYS = ("convolution_methods", "parallel", "winograd_parameters")
OPTIONAL_KEYS = ("winograd_tile_sizes", "gemm_blockings", "precisions")
#: 42: tiles of 4 x 2 outputs; 44: of 4 x 4, with as many weights
TILE_SIZES = (2, 3, 4, 5, 6, 42, 44)
LARGEST_DEPTH = 4096


@dataclass(frozen=True)
class SearchSpace:
    """The values of an options file.

    ``winograd_parameters`` serves each of the three depths; 0 leaves a depth to the generator. ``gemm_blockings``
    names blockings of the matrix multiplication of ``unrolled``: the empty name is the default one, "all" stands for
    what the toolchain offers. ``precisions`` are those that layers may be computed in.
    """

    path: str
    convolution_methods: tuple[str, ...]
    parallel: tuple[bool, ...]
    winograd_parameters: tuple[int, ...]
    winograd_tile_sizes: tuple[int, ...] = (2,)
    gemm_blockings: tuple[str, ...] | Literal["all"] = ("",)
    precisions: tuple[str, ...] = (FLOAT32,)

    @classmethod
    def load(cls, path: Path) -> SearchSpace:
        """Read an options file. Raises ConfigurationError naming the file, the key and the value that is wrong."""
        try:
            text = path.read_text(encoding="utf-8")
            parse_json(text)  # bounds it; the standard library alone shows a key that is there twice
            data = json.loads(text, object_pairs_hook=_no_key_twice)
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot read the options file: {error.strerror or error}") from error
        except ValueError as error:
            raise ConfigurationError(f"{path}: not an options file, the JSON is wrong: {error}") from error
        return cls.from_json(data, str(path))

    @classmethod
    def from_json(cls, data: Any, path: str) -> SearchSpace:
        """The space that ``data``, read from ``path``, describes. Raises ConfigurationError."""
        known = REQUIRED_KEYS + OPTIONAL_KEYS
        if not isinstance(data, dict):
            raise ConfigurationError(f"{path}: an options file holds a JSON object with the keys {', '.join(known)}")
        for key in data:
            if key not in known:
                raise ConfigurationError(f"{path}: unknown key {key!r}{_nearest(key, known)}; keys: {', '.join(known)}")
        for key in REQUIRED_KEYS:
            if key not in data:
                raise ConfigurationError(f"{path}: the key {key!r} is missing")
        methods = _values(path, data, "convolution_methods", str, method_names())
        return cls(
            path=path,
            convolution_methods=methods,
            parallel=_values(path, data, "parallel", bool, (True, False)),
            winograd_parameters=_depths(path, data, required=any(row.tiled for row in map(method_row, methods) if row)),
            winograd_tile_sizes=_values(path, data, "winograd_tile_sizes", int, TILE_SIZES, default=(2,)),
            gemm_blockings=_blockings(path, data),
            precisions=_values(path, data, "precisions", str, PRECISIONS, default=(FLOAT32,)),
        )

    def combinations(self, blockings: Sequence[str] = ("",)) -> Iterator[ConvolutionOptions]:
        """Every combination in the file, as the original counted them: valid or not, distinct or not."""
        choices = Choices(self.winograd_parameters, self.winograd_tile_sizes, tuple(blockings), self.precisions)
        for method, parallelize in product(self.convolution_methods, self.parallel):
            yield from find_method(method).combinations(parallelize, choices)

    def allowing(self, precision: str | None) -> SearchSpace:
        """The space with what ``--precision`` allows: float16 beside float32, or float32 alone; as it is without."""
        if precision is None:
            return self
        return replace(self, precisions=PRECISIONS[: PRECISIONS.index(precision) + 1])

    def blockings(self, offered: Sequence[str]) -> tuple[str, ...]:
        """The blockings to try of those that a toolchain offers. Raises ConfigurationError for one it does not."""
        if self.gemm_blockings == "all":
            return tuple(offered)
        if len(offered) <= 1:  # the toolchain knows one way only: there is nothing to name
            return ("",)
        for name in self.gemm_blockings:
            if name not in offered:
                names = [n or "default" for n in offered]
                raise ConfigurationError(
                    f"{self.path}: gemm_blockings: unknown blocking {name!r}{_nearest(name, names)}; "
                    f"the toolchain offers {', '.join(names)}"
                )
        return tuple(self.gemm_blockings)


@dataclass(frozen=True)
class LayerSpace:
    """What can be tried on one layer: distinct variants, simplest first, and what ELL does by itself."""

    layer: ConvolutionLayer
    variants: tuple[ConvolutionOptions, ...]
    default: ConvolutionOptions

    @property
    def node_id(self) -> str:
        return self.layer.node_id

    @property
    def shape(self) -> ConvolutionShape:
        return self.layer.shape


@dataclass(frozen=True)
class ModelSpace:
    """The space of a model: one LayerSpace a convolution layer, in the model's order, and what was counted."""

    options_file: str
    layers: tuple[LayerSpace, ...]
    original_combinations: int
    valid: int
    distinct: int

    @property
    def default_plan(self) -> Plan:
        """What ELL does when nobody chooses."""
        return self.plan(lambda layer: layer.default)

    @property
    def by_id(self) -> Mapping[str, LayerSpace]:
        return {layer.node_id: layer for layer in self.layers}

    @property
    def by_shape(self) -> Mapping[ConvolutionShape, tuple[LayerSpace, ...]]:
        """Layers of equal shape together, in the model's order. They have the same variants."""
        groups: dict[ConvolutionShape, tuple[LayerSpace, ...]] = {}
        for layer in self.layers:
            groups[layer.shape] = (*groups.get(layer.shape, ()), layer)
        return groups

    def plan(self, choose: Callable[[LayerSpace], ConvolutionOptions]) -> Plan:
        """The plan that computes each layer as ``choose`` says."""
        return Plan.of({layer.node_id: choose(layer) for layer in self.layers})

    def plan_of_shapes(self, options: Mapping[ConvolutionShape, ConvolutionOptions]) -> Plan:
        """The plan that computes layers of equal shape in the same way."""
        return self.plan(lambda layer: options[layer.shape])

    def only(self, wanted: Mapping[str, Container[ConvolutionOptions]]) -> ModelSpace:
        """The space with those variants alone that are ``wanted`` of each layer, by node id."""
        layers = (
            replace(layer, variants=tuple(o for o in layer.variants if o in wanted.get(layer.node_id, ())))
            for layer in self.layers
        )
        return replace(self, layers=tuple(layers))

    def covering_plans(self) -> tuple[Plan, ...]:
        """The fewest plans in which every variant and default of every layer occurs."""
        return Plan.covering({s.node_id: list(dict.fromkeys((*s.variants, s.default))) for s in self.layers})

    def report(self) -> SpaceReport:
        return SpaceReport(
            options_file=self.options_file,
            original_combinations=self.original_combinations,
            valid=self.valid,
            distinct=self.distinct,
            distinct_by_layer={layer.node_id: len(layer.variants) for layer in self.layers},
        )


def simplicity(options: ConvolutionOptions) -> tuple[Any, ...]:
    """Sort key, simplest first, that decides ties: float32 before float16, sequential before parallel, then fewer bytes
    of weights (a larger winograd tile stores more), then the plainer method, then what leaves more to the generator's
    defaults."""
    return (
        options.precision,
        options.parallelize,
        options.winograd_tile_size,
        method_names().index(options.method),
        options.gemm_blocking,
        options.depths,
    )


def narrow(space: SearchSpace, layers: Sequence[ConvolutionLayer], toolchain: Toolchain, target: Target) -> ModelSpace:
    """What ``space`` leaves to try on each of ``layers``.

    A layer on which nothing of the space is valid keeps ELL's default as its only variant. Raises
    ConfigurationError if the space names what the toolchain does not offer.
    """
    offered = toolchain.gemm_blockings
    combinations = tuple(space.combinations(space.blockings(offered)))
    narrowed: dict[ConvolutionShape, tuple[int, tuple[ConvolutionOptions, ...], ConvolutionOptions]] = {}
    for shape in {layer.shape for layer in layers}:
        found = [toolchain.canonical(shape, options, target) for options in combinations]
        valid = [options for options in found if options is not None]
        default = toolchain.canonical(shape, ELL_DEFAULT, target) or ELL_DEFAULT
        variants = tuple(sorted(set(valid), key=simplicity)) or (default,)
        narrowed[shape] = (len(valid), variants, default)
    spaces = tuple(LayerSpace(layer, *narrowed[layer.shape][1:]) for layer in layers)
    return ModelSpace(
        options_file=space.path,
        layers=spaces,
        original_combinations=len(combinations),
        valid=sum(narrowed[layer.shape][0] for layer in layers),
        distinct=sum(len(layer.variants) for layer in spaces),
    )


def find_options_file(name_or_path: str) -> Path:
    """The options file at a path, or the bundled one of that name ("default", "quick.json").

    Raises ConfigurationError, listing the bundled ones.
    """
    given = Path(name_or_path)
    if given.is_file():
        return given
    package = Path(__file__).parents[1]
    folders = (package.parent / "search_spaces", package / "search_spaces")
    bundled = {path.stem: path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))}
    if given.name == name_or_path or given.parent.name == "search_spaces":
        found = bundled.get(given.stem if given.suffix in ("", ".json") else name_or_path)
        if found is not None:
            return found
    raise ConfigurationError(
        f"--options: there is no file {name_or_path}{_nearest(given.stem, bundled)}; "
        f"bundled search spaces: {', '.join(sorted(bundled))}"
    )


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands there twice")
    return data


def _nearest(word: str, known: Any) -> str:
    close = get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _values(
    path: str, data: Mapping[str, Any], key: str, kind: type, allowed: Sequence[Any], default: Any = None
) -> tuple[Any, ...]:
    """The list under ``key``, each value of ``kind`` and one of ``allowed``, none twice."""
    if key not in data and default is not None:
        return tuple(default)
    names = ", ".join(json.dumps(value) for value in allowed)
    values = data[key]
    if not isinstance(values, list) or not values:
        raise ConfigurationError(f"{path}: {key} is {json.dumps(values)}: it must be a list of one or more of {names}")
    for value in values:
        if type(value) is not kind or value not in allowed:
            hint = _nearest(value, allowed) if kind is str and isinstance(value, str) else ""
            raise ConfigurationError(f"{path}: {key}: unknown value {json.dumps(value)}{hint}; use {names}")
    return tuple(dict.fromkeys(values))


def _depths(path: str, data: Mapping[str, Any], required: bool) -> tuple[int, ...]:
    key = "winograd_parameters"
    values = data[key]
    if not isinstance(values, list) or (required and not values):
        raise ConfigurationError(f"{path}: {key} is {json.dumps(values)}: it must be a list of block depths")
    for value in values:
        if type(value) is not int or not 0 <= value <= LARGEST_DEPTH:
            raise ConfigurationError(
                f"{path}: {key}: wrong value {json.dumps(value)}: a block depth is an integer from 0 (automatic) "
                f"to {LARGEST_DEPTH}"
            )
    return tuple(dict.fromkeys(values))


def _blockings(path: str, data: Mapping[str, Any]) -> tuple[str, ...] | Literal["all"]:
    key = "gemm_blockings"
    value = data.get(key, "default")
    if value == "all":
        return "all"
    if value == "default":
        return ("",)
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(
            f'{path}: {key} is {json.dumps(value)}: it must be "default", "all" or a list of names of blockings'
        )
    return tuple(dict.fromkeys("" if name == "default" else name for name in value))
