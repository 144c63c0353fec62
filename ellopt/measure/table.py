"""Tables of recorded measurements: every variant of every layer of a model, in the noise of its machine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.files.atomic import write_text
from ellopt.files.json_text import JsonLimits
from ellopt.files.json_values import parse_object
from ellopt.space.space import LayerSpace, ModelSpace

FORMAT_VERSION = 2
_LIMITS = JsonLimits(containers=5_000_000, values=50_000_000)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """What plans that cover a model's space took on one board, pass by pass, interleaved in several visits.

    ``plans``: those of each visit, equally many, other mixtures of the same variants in each. ``layers_ms``: node id ->
    milliseconds, one row for each plan of a visit, one column for each recorded pass. ``others_ms``: the same for
    all that is no convolution together. ``visits`` and ``rounds``: the number of the visit of each pass, and of its
    round within that. ``run_seconds``: what starting a job costs beyond its passes,
    ``check_seconds``: what checking adds to one. ``about``: where the table comes from.
    """

    space: ModelSpace
    plans: tuple[tuple[Plan, ...], ...]
    layers_ms: Mapping[str, FloatArray]
    others_ms: FloatArray
    visits: tuple[int, ...]
    rounds: tuple[int, ...]
    run_seconds: float
    check_seconds: float
    build_seconds: float
    about: Mapping[str, str]

    @cached_property
    def passes_by_visit(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Of each visit, of each of its rounds, the passes."""
        found: dict[int, dict[int, list[int]]] = {}
        for i, (visit, number) in enumerate(zip(self.visits, self.rounds, strict=True)):
            found.setdefault(visit, {}).setdefault(number, []).append(i)
        return tuple(tuple(map(tuple, rounds.values())) for rounds in found.values())

    @cached_property
    def rows(self) -> Mapping[str, Mapping[ConvolutionOptions, tuple[tuple[int, ...], ...]]]:
        """Node id -> options -> for each visit, the numbers of the plans that hold them."""
        found: dict[str, dict[ConvolutionOptions, list[list[int]]]] = {node_id: {} for node_id in self.layers_ms}
        for visit, plans in enumerate(self.plans):
            for i, plan in enumerate(plans):
                for node_id, options in plan.items():
                    found[node_id].setdefault(options, [[] for _ in self.plans])[visit].append(i)
        return {n: {o: tuple(map(tuple, rows)) for o, rows in by_options.items()} for n, by_options in found.items()}

    @cached_property
    def disturbance(self) -> FloatArray:
        """By how much all layers of a plan were slower in a pass than mostly in that visit: logs, as ``others_ms``."""
        return np.asarray(np.median(self._residuals, axis=0)) - self._base

    @cached_property
    def disturbance_of_others(self) -> Mapping[str, FloatArray]:
        """The same without the layer itself, by node id."""
        residuals = self._residuals
        if len(residuals) < 2:
            return {node_id: np.zeros_like(self.others_ms) for node_id in self.layers_ms}
        return {
            n: np.median(np.delete(residuals, i, axis=0), axis=0) - self._base for i, n in enumerate(self.layers_ms)
        }

    @cached_property
    def _base(self) -> FloatArray:
        """The median disturbance in a visit, of plans that mostly run in parallel and of the others."""
        typical = np.median(self._residuals, axis=0)
        result = np.zeros_like(typical)
        for number, plans in enumerate(self.plans):
            parallel = np.array([2 * sum(o.parallelize for o in plan.values()) > len(plan) for plan in plans])
            for rows in (np.flatnonzero(parallel), np.flatnonzero(~parallel)):
                where = np.ix_(rows, np.flatnonzero(np.asarray(self.visits) == number))
                result[where] = np.median(typical[where]) if len(rows) else 0.0
        return result

    @cached_property
    def _residuals(self) -> FloatArray:
        """Layer by layer: the log of every latency less the median for its options."""
        result = np.log(np.array(list(self.layers_ms.values())))
        visit = np.asarray(self.visits)
        for residuals, by_options in zip(result, self.rows.values(), strict=True):
            for rows in by_options.values():
                where = np.zeros(residuals.shape, dtype=bool)
                for number, some in enumerate(rows):
                    where[np.ix_(some, visit == number)] = True
                residuals[where] -= np.median(residuals[where])
        return np.asarray(result)

    def halves(self) -> tuple[Table, Table]:
        """Every other visit, and those between: what is chosen by the one can be confirmed by the other."""
        numbers = range(len(self.plans))
        return (self._of(numbers[0::2]), self._of(numbers[1::2])) if len(numbers) > 1 else (self, self)

    def _of(self, numbers: Sequence[int]) -> Table:
        """Some of the visits."""
        passes = [i for number in numbers for done in self.passes_by_visit[number] for i in done]
        return replace(
            self,
            plans=tuple(self.plans[number] for number in numbers),
            layers_ms={node_id: values[:, passes] for node_id, values in self.layers_ms.items()},
            others_ms=self.others_ms[:, passes],
            visits=tuple(numbers.index(self.visits[i]) for i in passes),
            rounds=tuple(self.rounds[i] for i in passes),
        )

    @cached_property
    def visits_ms(self) -> Mapping[str, Mapping[ConvolutionOptions, FloatArray]]:
        """Node id -> options -> the median milliseconds of each visit."""
        where = [np.flatnonzero(np.asarray(self.visits) == number) for number in range(len(self.plans))]
        return {
            node_id: {
                options: np.array(
                    [np.median(ms[np.ix_(np.array(some), passes)]) for some, passes in zip(rows, where, strict=True)]
                )
                for options, rows in self.rows[node_id].items()
            }
            for node_id, ms in self.layers_ms.items()
        }

    def true_ms(self, node_id: str, options: ConvolutionOptions) -> float:
        """The median of all visits' medians."""
        return float(np.median(self.visits_ms[node_id][options]))

    def plan_ms(self, plan: Mapping[str, ConvolutionOptions]) -> float:
        """The latency of a whole model: its layers and everything else."""
        return float(np.median(self._plan_visits_ms(plan)))

    def ratio(self, plan: Mapping[str, ConvolutionOptions], other: Mapping[str, ConvolutionOptions]) -> float:
        """How many times as long as ``other`` a model takes by ``plan``: the median of what every visit says."""
        return float(np.median(self._plan_visits_ms(plan) / self._plan_visits_ms(other)))

    def _plan_visits_ms(self, plan: Mapping[str, ConvolutionOptions]) -> FloatArray:
        visit = np.asarray(self.visits)
        others = [np.median(self.others_ms[:, visit == number]) for number in range(len(self.plans))]
        layers = sum(self.visits_ms[node_id][options] for node_id, options in plan.items())
        return np.asarray(np.array(others) + layers)

    @cached_property
    def best_plan(self) -> Plan:
        """The exhaustive winner: of every shape the variant that took least by all samples, alike on all its layers."""
        best: dict[ConvolutionShape, ConvolutionOptions] = {}
        for shape, layers in self.space.by_shape.items():
            took = [sum(math.log(self.true_ms(s.node_id, o)) for s in layers) for o in layers[0].variants]
            best[shape] = layers[0].variants[int(np.argmin(took))]
        return self.space.plan_of_shapes(best)

    def save(self, path: Path) -> None:
        data = {
            "format": FORMAT_VERSION,
            "about": dict(self.about),
            "options_file": self.space.options_file,
            "original_combinations": self.space.original_combinations,
            "valid": self.space.valid,
            "run_seconds": self.run_seconds,
            "check_seconds": self.check_seconds,
            "build_seconds": self.build_seconds,
            "visits": self.visits,
            "rounds": self.rounds,
            "others_ms": _rounded(self.others_ms),
            "layers": [
                {
                    "node_id": layer.node_id,
                    "name": layer.layer.name,
                    "shape": layer.shape.to_json(),
                    "default": str(layer.default),
                    "variants": [str(o) for o in layer.variants],
                    "options": [[str(plan[layer.node_id]) for plan in plans] for plans in self.plans],
                    "samples_ms": _rounded(self.layers_ms[layer.node_id]),
                }
                for layer in self.space.layers
            ],
        }
        write_text(path, json.dumps(data))

    @classmethod
    def load(cls, path: Path) -> Table:
        """Raises ConfigurationError, naming the file, if it is no table."""
        try:
            return _table(parse_object(path.read_bytes(), _LIMITS))
        except (ConfigurationError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path}: not a table of measurements: {error}") from error


def _rounded(values: FloatArray) -> list[list[float]]:
    """To a nanosecond, as the runner's clock has it."""
    return [[round(ms, 6) for ms in row] for row in values.tolist()]


def _table(data: Mapping[str, Any]) -> Table:
    if data["format"] != FORMAT_VERSION:
        raise ValueError(f"format {data['format']}, not {FORMAT_VERSION}")
    layers = tuple(
        LayerSpace(
            ConvolutionLayer(entry["node_id"], entry["name"], ConvolutionShape.from_json(entry["shape"])),
            tuple(map(ConvolutionOptions.parse, entry["variants"])),
            ConvolutionOptions.parse(entry["default"]),
        )
        for entry in data["layers"]
    )
    columns = [
        [[(entry["node_id"], ConvolutionOptions.parse(text)) for text in texts] for texts in entry["options"]]
        for entry in data["layers"]
    ]
    distinct = sum(len(layer.variants) for layer in layers)
    return Table(
        space=ModelSpace(data["options_file"], layers, data["original_combinations"], data["valid"], distinct),
        plans=tuple(tuple(map(Plan, zip(*visit, strict=True))) for visit in zip(*columns, strict=True)),
        layers_ms={entry["node_id"]: np.array(entry["samples_ms"]) for entry in data["layers"]},
        others_ms=np.array(data["others_ms"]),
        visits=tuple(data["visits"]),
        rounds=tuple(data["rounds"]),
        run_seconds=data["run_seconds"],
        check_seconds=data["check_seconds"],
        build_seconds=data["build_seconds"],
        about=data["about"],
    )
