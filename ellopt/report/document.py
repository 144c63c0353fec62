"""``tuning_report.json``: everything a tuning run saw and decided, as one versioned document.

Times are milliseconds unless a name says otherwise. Samples are kept raw; medians can be drawn again from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.trial import Trial
from ellopt.estimate.facts import EstimateFacts
from ellopt.files.json_text import JsonLimits
from ellopt.files.json_values import decode, encode, parse_object
from ellopt.measure.accuracy import Accuracy
from ellopt.report.cross_check import cross_check
from ellopt.report.forms import FORMS
from ellopt.search.result import BoardReport, CostReport
from ellopt.select.decisions import Confirmation, LayerReport
from ellopt.space.space import SpaceReport

FORMAT_VERSION = 1
#: a report holds every sample of every trial
_LIMITS = JsonLimits(containers=5_000_000, values=50_000_000)
#: of surrogate pairs: what Python makes of bytes that are not UTF-8, and what JSON cannot hold
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class NodeReport:
    """A node of the network, for its diagram. A convolution layer has a LayerReport of the same id.

    ``kind`` is one of the words of ``ellopt.report.network``; ``label`` says it for a reader ("max pooling 2x2").
    ``fused_into`` names the node that computes this one along with itself.
    """

    node_id: str
    kind: str
    label: str
    inputs: tuple[str, ...] = ()
    shape: str = ""  # of the output: rows x columns x channels
    median_ms: float | None = None  # None: not timed by itself
    share_of_model: float = 0.0
    fused_into: str = ""


@dataclass(frozen=True)
class TuningReport:
    model: str
    tag: str
    model_path: str
    model_sha256: str
    target: str
    toolchain: str
    toolchain_version: str
    emulated: bool
    sampler: str
    seed: int
    ellopt_version: str
    created: str  # ISO 8601, UTC
    environment: Mapping[str, str]
    space: SpaceReport
    layers: tuple[LayerReport, ...]
    trials: tuple[Trial, ...]
    confirmation: Confirmation
    cost: CostReport
    boards: BoardReport
    mlflow_run: Mapping[str, str] = field(default_factory=dict)  # tracking_uri, experiment, run_id
    files: tuple[str, ...] = ()
    estimate: EstimateFacts | None = None  # where times are estimates
    accuracy: Accuracy | None = None  # where layers are in float16, or samples were given
    nodes: tuple[NodeReport, ...] = ()  # every node in order of computation; may be left empty
    version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """What ``load`` reads. Names of files that are not UTF-8 have U+FFFD for each byte that is no character."""
        text = json.dumps(encode(self, FORMS), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        return _HALVES.sub("\ufffd", text)

    @classmethod
    def load(cls, path: Path) -> TuningReport:
        """Read a report. Raises ConfigurationError, naming the file, if it is not one of a known version."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read as a tuning report: {error}") from error
        return cls.read(content, str(path))

    @classmethod
    def read(cls, content: bytes, path: str) -> TuningReport:
        """The report that a document holds, which comes from ``path``. Raises as ``load``."""
        try:
            data = parse_object(content, _LIMITS)
        except ValueError as error:
            raise ConfigurationError(f"{path}: cannot be read as a tuning report: {error}") from error
        if data.get("version") != FORMAT_VERSION:
            raise ConfigurationError(f"{path}: not a tuning report of version {FORMAT_VERSION}")
        _upgrade(data)
        try:
            report = decode(cls, data, forms=FORMS)
            cross_check(report)
        except ValueError as error:
            raise ConfigurationError(f"{path}: a damaged tuning report: {error}; tune the model again") from error
        return report


def _upgrade(data: dict[str, Any]) -> None:
    """Whole models of earlier reports have the median of all passes where now the latency stands."""
    confirmation = data.get("confirmation")
    candidates = confirmation.get("candidates") if isinstance(confirmation, dict) else None
    for candidate in candidates if isinstance(candidates, list) else ():
        if isinstance(candidate, dict) and "latency_ms" not in candidate and "median_ms" in candidate:
            candidate["latency_ms"] = candidate.pop("median_ms")
