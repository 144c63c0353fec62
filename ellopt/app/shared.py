"""What the models of one run share, and what of it decides whether a measurement still counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.app.config import TuningConfig
from ellopt.app.finished import command_digest
from ellopt.devices.base import DevicePool
from ellopt.estimate.facts import EstimateFacts
from ellopt.frontends.base import Shapes, read_model
from ellopt.frontends.discover import ModelFile
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.store import MeasurementStore, StoreContext
from ellopt.model.graph import Model
from ellopt.search.settings import SearchSettings
from ellopt.search.warm_start import WarmStart
from ellopt.space.space import ModelSpace, SearchSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain
from ellopt.tracking import ModelStart, Tracker

if TYPE_CHECKING:
    from ellopt.app.sent_tunings import SentTunings

#: how long a run on a simulated processor may take; there is nothing that others wait for
ESTIMATE_SECONDS = 7200.0


@dataclass(frozen=True)
class SharedParts:
    """The parts that every model of a run is tuned with."""

    config: TuningConfig
    space: SearchSpace
    target: Target
    toolchain: Toolchain
    pool: DevicePool
    tracker: Tracker
    estimate: EstimateFacts | None = None  # where times are estimates
    shapes: Mapping[str, Shapes] = field(default_factory=dict)  # of inputs, by the model's tag
    sent_tunings: SentTunings | None = None  # where models are tuned as a whole, if not here

    @property
    def error(self) -> float:
        """By what share times may be off that measuring again does not show."""
        return 0.0 if self.estimate is None else self.estimate.error

    @property
    def measure(self) -> MeasureSettings:
        """The limits of measurements; a run on a simulated processor keeps nobody waiting."""
        settings = self.config.measure
        return settings if self.estimate is None else replace(settings, run_limit=ESTIMATE_SECONDS)

    @property
    def search(self) -> SearchSettings:
        """How to search. Estimates do not differ from one time to the next: each variant once is all there is."""
        settings = self.config.search
        if self.estimate is None:
            return settings
        sampler = "grid" if settings.sampler == "auto" else settings.sampler
        return replace(settings, sampler=sampler, repeat=False)

    def read(self, path: Path, file: ModelFile) -> Model:
        """``path`` read for the shapes that inputs of ``file`` are to have, as the toolchain computes it."""
        return self.toolchain.prepare(read_model(path, self.shapes.get(file.tag)))

    def command(self, file: ModelFile) -> str:
        """A digest of what is asked for ``file``: the same for the same command."""
        return command_digest(self.config, self.space, self.toolchain, self.shapes.get(file.tag, {}))

    def identity(self, model: Model, board: str, times: str = "") -> str:
        """All that measurements are of: kept ones count only where it is the same. ``times``: how often tuning began
        anew."""
        facts = {
            "model": model.source.sha256,
            "target": self.target.name,
            "threads": self.target.cores,
            "toolchain": [self.toolchain.name, self.toolchain.version],
            "board": board,
            "emulated": self.pool.emulated,
            **({"again": times} if times else {}),
            **({"inputs": [port.shape for port in model.inputs]} if model.inputs else {}),
        }
        return json.dumps(facts, sort_keys=True)

    def warm_start(self, board: str) -> WarmStart:
        """What earlier runs measured under the same conditions."""
        context = StoreContext(
            self.target.name,
            self.toolchain.name,
            self.toolchain.version,
            board,
            self.pool.emulated,
            self.target.cores,
        )
        return WarmStart(MeasurementStore.named(self.config.search.store), context, use=self.config.search.warm_start)

    def start_of(self, file: ModelFile, directory: Path, identity: str, board: str, space: ModelSpace) -> ModelStart:
        """What the tracker is told when a model's tuning begins."""
        config = self.config
        return ModelStart(
            name=file.name,
            tag=file.tag,
            output_dir=directory,
            target=self.target.name,
            toolchain=self.toolchain.name,
            sampler=self.search.sampler,
            board_kind=board,
            identity=identity,
            params={
                "options_file": Path(space.options_file).name,
                "seed": str(config.search.seed),
                "threads": str(self.target.cores),
                "distinct_variants": str(space.distinct),
                "model_file": file.path.name,
                **({"estimated": self.estimate.label} if self.estimate else {}),
                **self.toolchain.parameters(),
            },
            layer_names={layer.node_id: layer.layer.name for layer in space.layers},
        )
