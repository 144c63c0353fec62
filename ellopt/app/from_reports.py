"""Winners from profile reports that somebody measured elsewhere, with ELL's own scripts for instance.

The name of a report tells which options it is of, as with ELL's scripts: ``<model>_<options>_profile_report_opt.txt``,
or ``profile_report_opt.txt`` in a directory ``<model>_<options>``, where the options are ``simple``, ``unrolled`` or
``winograd_8_2_4``, with ``_parallel`` behind. Which method a layer really was computed by is told by the report itself.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ellopt.app.config import TuningConfig
from ellopt.core.errors import ConfigurationError, ElloptError
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.files.atomic import write_text
from ellopt.frontends.base import read_model, require_convolutions
from ellopt.frontends.discover import ModelFile, discover
from ellopt.frontends.ell.profile import CLOCK_STEP_MS, read_report
from ellopt.frontends.ell.profile_join import LayerTime, layer_times
from ellopt.model.graph import Model
from ellopt.select.confirm import write_model
from ellopt.targets import Target

logger = logging.getLogger(__name__)

RESULT_FILE = "from_reports.json"
_OPTIONS = re.compile(
    r"_(?:profile_)?(?P<method>simple|unrolled|winograd)(?:_(?P<s>\d+)_(?P<f>\d+)_(?P<c>\d+))?(?P<parallel>_parallel)?"
    r"(?:_profile_report)?(?:_(?P<form>noopt|opt))?"
)


@dataclass(frozen=True)
class ReportFile:
    """A report and what it is of. ``depths``: separable, filters, channels; zeros where the name does not say them."""

    path: Path
    method: str
    parallelize: bool
    depths: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Measured:
    """What a layer took by ``options``, in milliseconds a pass, according to ``path``; what took less than a step of
    ELL's clock counts as one."""

    options: ConvolutionOptions
    ms: float
    path: Path


@dataclass(frozen=True)
class Picked:
    """A model's winners by node id, fastest first in each list, and the plan that was written."""

    model: Model
    layers: Mapping[str, Sequence[Measured]]
    plan: Plan
    reports: int


@dataclass(frozen=True)
class PickedModel:
    """What became of one model: its winners and where the files are, or why there are none."""

    file: ModelFile
    directory: Path
    picked: Picked | None = None
    error: ElloptError | OSError | None = None


def pick(file: ModelFile, reports: Path, output: Path, target: Target) -> Picked:
    """Choose the fastest measured options of every layer of a model and write its output files.

    Raises ConfigurationError if there is no report of the model or one cannot be read, ModelFormatError, OSError.
    """
    model = read_model(file.path)
    require_convolutions(model)
    found = find_reports(reports, file.name)
    if not found:
        raise ConfigurationError(
            f"--from_reports: {reports} has no profile report of {file.name}; reports are named "
            f"{file.name}_<options>_profile_report_opt.txt, where options are simple, unrolled or winograd_8_2_4, "
            "with _parallel behind"
        )
    layers: dict[str, list[Measured]] = {node.node_id: [] for node in model.convolutions}
    depthwise = {node.node_id for node in model.convolutions if node.depthwise}
    used = 0
    for report in found:
        read = read_report(report.path)
        if not read.nodes:
            logger.info("%s: has only whole passes, no times of layers", report.path)
            continue
        used += 1
        for node_id, layer in layer_times(read, model).items():
            options = _options(report, layer)
            if options.method != "winograd" or node_id not in depthwise:  # ELL computes that wrongly
                layers[node_id].append(Measured(options, max(layer.ms, CLOCK_STEP_MS), report.path))
    if not used:
        raise ConfigurationError(
            f"--from_reports: the reports of {file.name} in {reports} have only whole passes, no times of layers; use "
            "those of ELL's profiler tool"
        )
    for measured in layers.values():
        measured.sort(key=lambda m: (m.ms, m.options))
    plan = Plan.of({node_id: m[0].options if m else ELL_DEFAULT for node_id, m in layers.items()})
    write_model(output, model, file.name, plan, plan, target, own=False)
    write_text(output / RESULT_FILE, _json(layers))
    return Picked(model, layers, plan, used)


def find_reports(directory: Path, name: str) -> list[ReportFile]:
    """The reports of the model called ``name`` in ``directory`` and below. Raises ConfigurationError if it is none."""
    if not directory.is_dir():
        raise ConfigurationError(f"--from_reports: there is no directory {directory}")
    found = []
    for path in sorted(directory.rglob("*.txt")):
        for text in (path.stem, f"{path.parent.name}_{path.stem}"):
            match = _OPTIONS.fullmatch(text.removeprefix(name)) if text.startswith(name) else None
            if match is not None:
                separable, filters, channels = (int(match[key] or 0) for key in "sfc")
                depths = (separable, filters, channels)
                found.append(ReportFile(path, match["method"], match["parallel"] is not None, depths))
                break
    return found


def _options(report: ReportFile, layer: LayerTime) -> ConvolutionOptions:
    """The options that a layer of a report was computed by: ELL falls back where winograd does not apply."""
    method = layer.method or report.method
    if method == "winograd":
        return ConvolutionOptions("winograd", report.parallelize, *report.depths)
    return ConvolutionOptions(method, report.parallelize)


def _json(layers: Mapping[str, Sequence[Measured]]) -> str:
    data = {
        node_id: [{"options": str(m.options), "ms": m.ms, "report": m.path.name} for m in measured]
        for node_id, measured in layers.items()
    }
    return json.dumps({"version": 1, "layers": data}, indent=1) + "\n"


def pick_all(config: TuningConfig) -> tuple[PickedModel, ...]:
    """Pick winners from reports for every model that ``config`` names. One that fails does not keep others from it.

    Raises ConfigurationError for settings with which there is nothing to pick from.
    """
    target, models = config.target.find(), config.models
    if models.from_reports is None:
        raise ConfigurationError("--from_reports: give the folder with the profile reports")
    outcomes = []
    for file in discover(models.model_path, models.models):
        directory = models.output_path / file.tag
        try:
            picked = pick(file, models.from_reports, directory, target)
        except (ElloptError, OSError) as error:
            outcomes.append(PickedModel(file, directory, error=error))
        else:
            outcomes.append(PickedModel(file, directory, picked))
    return tuple(outcomes)
