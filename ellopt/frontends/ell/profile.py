"""ELL's profile report: the text that its profiling programs print, so that existing readers go on working.

Two forms are known. In the first a line of a node is ``Node[1768]:<tab>Type  <tab>time: 2.48041 ms<tab>count: 50``, the
ids are those of the graph that ELL made of the model, and statistics of types and of the whole model follow. In the
second it is ``Node[1412]:<tab>type: Type<tab>time: 0.077377 ms<tab>count: 3<tab>ancestor: 1002``: the ancestor is the
node of the input model that the node was made of. Times are totals over all timed passes; very small ones can be
negative, and ELL's clock tells no less than a quarter of a microsecond.

ELL's build script puts a line before a report that says which form of the code ran, statistics of a model's regions
may stand between those of nodes and types, and what its exercise program and ``time`` print may follow: a file of the
exercise program alone has the time of whole passes and of no node.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ellopt.core.errors import ConfigurationError
from ellopt.core.samples import PlanSamples
from ellopt.model.graph import Model

#: The smallest step of the clock in ELL's profiling code. What reads less, 0 or below 0, took no longer than that.
CLOCK_STEP_MS = 0.00025

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_TIME = rf"time: *({_NUMBER}) ms *\tcount: *(\d+)"
_HEADER = re.compile(r"Profiling model with (\d+) warm-up iterations and (\d+) timed iterations")
_NODE = re.compile(rf"Node\[([^\]\s]+)\]:\t(type: )?(\S.*?) *\t{_TIME}(?:\tancestor: *(\S*))?")
_TYPE = re.compile(rf"(\S.*?) *\t{_TIME}")
_TOTAL = re.compile(rf"Total time: *({_NUMBER}) ms *\tcount: *(\d+)(?:\t *time per run: *(\S+) ms)?")
_COMMENT = re.compile(r"Comment: .*")
_TOOL = re.compile(r"Running ELL profiler tool(?: -- (opt|noopt))?")
_EXERCISE = re.compile(r"(?:Running|Timing) ELL exercise tool(?: -- (opt|noopt))?")
_REGION = re.compile(r"Region\[.*")
_CLOCK = re.compile(r"(?:real|user|sys)[ \t]+(?:(\d+)m *)?(\d+(?:[.,]\d+)?)s?")  # as bash and POSIX print it
_NODES, _TYPES, _MODEL = "Node statistics", "Node type statistics", "Model statistics"
_REGIONS = "Region statistics"


@dataclass(frozen=True)
class NodeTime:
    """What one node of the compiled graph took: milliseconds in total over ``count`` passes.

    ``ancestor`` is None in a report of the first form.
    """

    node_id: str
    type_name: str
    time_ms: float
    count: int
    ancestor: str | None = None

    @property
    def ms(self) -> float:
        """Milliseconds a pass."""
        return self.time_ms / self.count if self.count else 0.0


@dataclass(frozen=True)
class TypeTime:
    """What all nodes of one type took together. ``count`` is summed over them too."""

    type_name: str
    time_ms: float
    count: int


@dataclass(frozen=True)
class ModelTime:
    """What whole passes took: in total and each."""

    time_ms: float
    count: int
    ms: float


@dataclass(frozen=True)
class Exercise:
    """What ``time`` said of ELL's exercise program, which computes the whole model without profiling; seconds."""

    form: str
    real: float
    user: float | None = None
    system: float | None = None


@dataclass(frozen=True)
class ProfileReport:
    """A profile report. What a file did not hold is empty or None. ``path`` names the file in messages.

    ``form``: opt or noopt, as ELL's build script says it. ``regions``: lines of its statistics of regions, as they are.
    """

    nodes: tuple[NodeTime, ...]
    types: tuple[TypeTime, ...] = ()
    model: ModelTime | None = None
    warm_up: int | None = None
    iterations: int | None = None
    path: str = "profile report"
    form: str = ""
    regions: tuple[str, ...] = ()
    exercise: Exercise | None = None

    @property
    def has_ancestors(self) -> bool:
        return any(node.ancestor is not None for node in self.nodes)

    @property
    def ms(self) -> float:
        """Milliseconds of one pass of the whole model; of all nodes together where the file does not say it."""
        return self.model.ms if self.model is not None else math.fsum(node.ms for node in self.nodes)


def read_report(path: Path) -> ProfileReport:
    """The report in a file. Raises ConfigurationError, naming the file and the line that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as a profile report: {error}") from error
    return parse_report(text, str(path))


def parse_report(text: str, path: str = "profile report") -> ProfileReport:
    """The report that ``text`` holds. Raises ConfigurationError, naming ``path`` and the line."""
    reader = _Reader(path)
    for number, line in enumerate(text.splitlines(), 1):
        reader.read(number, line)
    exercise = reader.exercise()
    if not reader.nodes and exercise is None:
        raise ConfigurationError(f"{path}: not a profile report of ELL: it has no line of a node")
    return ProfileReport(
        nodes=tuple(reader.nodes),
        types=tuple(reader.types),
        model=reader.model,
        warm_up=reader.warm_up,
        iterations=reader.iterations,
        path=path,
        form=reader.form,
        regions=tuple(reader.regions),
        exercise=exercise,
    )


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._section = _NODES
        self.nodes: list[NodeTime] = []
        self.types: list[TypeTime] = []
        self.model: ModelTime | None = None
        self.warm_up: int | None = None
        self.iterations: int | None = None
        self.form = ""
        self.regions: list[str] = []
        self._exercised: str | None = None
        self._clock: dict[str, float] = {}

    def exercise(self) -> Exercise | None:
        """What the exercise program's lines say, if all of them are there."""
        if self._exercised is None or "real" not in self._clock:
            return None
        return Exercise(self._exercised, self._clock["real"], self._clock.get("user"), self._clock.get("sys"))

    def read(self, number: int, line: str) -> None:
        if not line.strip() or _COMMENT.fullmatch(line):
            return
        if line.strip() in (_NODES, _TYPES, _MODEL, _REGIONS):
            self._section = line.strip()
        elif tool := _TOOL.fullmatch(line.strip()):
            if self.nodes:
                self._fail(number, line, "a second report begins here; a file holds one")
            self.form = tool[1] or ""
        elif exercise := _EXERCISE.fullmatch(line.strip()):
            self._exercised = exercise[1] or ""
        elif _REGION.fullmatch(line.strip()):
            self.regions.append(line.rstrip())
        elif self._exercised is not None and (clock := _CLOCK.fullmatch(line.strip())):
            minutes, seconds = clock[1] or "0", clock[2].replace(",", ".")
            self._clock[line.split()[0]] = 60 * int(minutes) + float(seconds)
        elif self._exercised is not None:
            return  # what the program itself printed
        elif header := _HEADER.fullmatch(line.rstrip()):
            if self.nodes:
                self._fail(number, line, "a second report begins here; a file holds one")
            self.warm_up, self.iterations = int(header[1]), int(header[2])
        elif total := _TOTAL.fullmatch(line.rstrip()):
            self._total(number, line, total)
        elif (node := _NODE.fullmatch(line.rstrip())) is not None:
            self.nodes.append(NodeTime(node[1], node[3], float(node[4]), int(node[5]), node[6]))
        elif self._section == _TYPES and (kind := _TYPE.fullmatch(line.rstrip())):
            self.types.append(TypeTime(kind[1], float(kind[2]), int(kind[3])))
        else:
            self._fail(number, line, "this is no line of a profile report")

    def _total(self, number: int, line: str, match: re.Match[str]) -> None:
        total, count = float(match[1]), int(match[2])
        per_pass = total / count if count else 0.0
        if match[3] is not None and count:
            try:
                per_pass = float(match[3])
            except ValueError:
                self._fail(number, line, "the time per run is no number")
        self.model = ModelTime(total, count, per_pass)

    def _fail(self, number: int, line: str, why: str) -> NoReturn:
        raise ConfigurationError(f"{self._path}, line {number}: {why}: {line.strip()[:80]!r}")


def write_report(report: ProfileReport) -> str:
    """The report as ELL writes it, byte for byte. Times keep five decimals, with ancestors six."""
    lines = [f"Running ELL profiler tool -- {report.form}"] if report.form else []
    if report.iterations is not None:
        lines.append(
            f"Profiling model with {report.warm_up or 0} warm-up iterations and {report.iterations} timed iterations"
        )
    lines.append(_NODES)
    kinds = [t.type_name for t in report.types] + [node.type_name for node in report.nodes]
    width = max(map(len, kinds), default=0)
    for node in report.nodes:
        if node.ancestor is None:
            kind, decimals, ancestor = f"{node.type_name:<{width}}", 5, ""
        else:
            kind, decimals, ancestor = f"type: {node.type_name}", 6, f"\tancestor: {node.ancestor}"
        lines.append(
            f"Node[{node.node_id}]:\t{kind}\ttime: {node.time_ms:.{decimals}f} ms\tcount: {node.count}{ancestor}"
        )
    if report.regions:
        lines += ["", _REGIONS, *report.regions]
    if report.types:
        lines += ["", "", _TYPES]
        lines += [f"{t.type_name:<{width}}\ttime: {t.time_ms:.5f} ms \tcount: {t.count}" for t in report.types]
    if report.model is not None:
        m = report.model
        lines += ["", _MODEL, f"Total time: {m.time_ms:.5f} ms \tcount: {m.count}\t time per run: {m.ms:.5f} ms"]
    if report.exercise is not None:
        e = report.exercise
        lines.append(f"Timing ELL exercise tool -- {e.form}" if e.form else "Timing ELL exercise tool")
        times = (("real", e.real), ("user", e.user), ("sys", e.system))
        lines += [f"{name}\t{int(t // 60)}m{t % 60:.3f}s" for name, t in times if t is not None]
    return "\n".join(lines) + "\n"


def report_text(model: Model, samples: PlanSamples, warm_up: int = 0) -> str:
    """The samples of a plan as ELL's text report. Times are totals over all passes, in milliseconds.

    Ids are those of the input model. A node that is computed along with a convolution has no line of its own.
    """
    count = len(samples.total_ms)
    totals = {n: math.fsum(v) for n, v in {**samples.nodes_ms, **samples.layers_ms}.items()}
    nodes = tuple(
        NodeTime(node.node_id, node.type_name, totals[node.node_id], count)
        for node in model.nodes
        if node.node_id in totals
    )
    total = math.fsum(samples.total_ms)
    whole = ModelTime(total, count, total / count if count else 0.0)
    return write_report(ProfileReport(nodes, type_times(nodes), whole, warm_up, count))


def type_times(nodes: Iterable[NodeTime]) -> tuple[TypeTime, ...]:
    """What the types of ``nodes`` took, ascending by time as in ELL's reports."""
    sums: dict[str, tuple[float, int]] = {}
    for node in nodes:
        time_ms, count = sums.get(node.type_name, (0.0, 0))
        sums[node.type_name] = (time_ms + node.time_ms, count + node.count)
    rows = (TypeTime(name, time_ms, count) for name, (time_ms, count) in sums.items())
    return tuple(sorted(rows, key=lambda row: row.time_ms))


def exercise_text(exercise: Exercise) -> str:
    """What the exercise program took, in a line."""
    times = (("real", exercise.real), ("user", exercise.user), ("sys", exercise.system))
    said = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in times if seconds is not None)
    return f"exercise program, all of its passes: {said}"


def convolution_nodes(nodes: Sequence[NodeTime]) -> list[tuple[str, tuple[NodeTime, ...]]]:
    """The convolutions of a compiled graph in its order: method, and the nodes that compute it.

    An unrolled convolution is one node (depthwise) or the pair of a receptive field matrix and a multiplication.
    """
    found: list[tuple[str, tuple[NodeTime, ...]]] = []
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        method = method_of(node.type_name)
        if node.type_name.startswith("ReceptiveFieldMatrixNode"):
            if following is None or not following.type_name.startswith("MatrixMatrixMultiplyNode"):
                raise ConfigurationError(f"node {node.node_id} ({node.type_name}) is not followed by a multiplication")
            found.append(("unrolled", (node, following)))
        elif method:
            found.append((method, (node,)))
    return found


def method_of(type_name: str) -> str:
    """The convolution method that a node of a compiled graph belongs to; empty for any other node."""
    for start, method in (
        ("SimpleConvolution", "simple"),
        ("SpatialConvolution", "simple"),  # depthwise
        ("WinogradConvolution", "winograd"),
        ("UnrolledConvolution", "unrolled"),  # depthwise
        ("ReceptiveFieldMatrix", "unrolled"),
    ):
        if type_name.startswith(start):
            return method
    return ""
