"""What ``ellopt optimize`` was asked to do: one frozen group of settings for each part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import OwnGroups, check_settings, setting
from ellopt.devices.settings import DeviceSettings
from ellopt.frontends.input_shapes import parse_shapes
from ellopt.frontends.settings import ShapeSettings
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.settings import MeasureSettings
from ellopt.search.settings import SearchSettings
from ellopt.space.settings import SpaceSettings
from ellopt.targets.settings import TargetSettings
from ellopt.toolchains.registry import find_toolchain
from ellopt.toolchains.settings import BuildSettings
from ellopt.tracking.settings import TrackingSettings


@dataclass(frozen=True)
class ModelSettings:
    """Which models are tuned, and where files go."""

    model_path: Path = setting(
        help="a `.ell`, `.ell.zip` or `.onnx` file, or a folder that is searched with all below it",
        required=True,
        metavar="PATH",
        project_default="experiments/quickstart",
    )
    output_path: Path = setting(
        help="where tuned models and reports go, a folder a model",
        short="o",
        required=True,
        metavar="PATH",
        project_default="out",
    )
    models: tuple[str, ...] = setting(
        (), "tune only models of these names", metavar="NAME", default_text="all that are found"
    )
    temp_dir: Path | None = setting(
        None, "where temporary files go", metavar="PATH", default_text="beside each model's output"
    )
    concurrent_models: int = setting(1, "models to tune side by side, where boards allow", least=1)
    from_reports: Path | None = setting(
        None, "pick winners from profile reports in this folder instead of measuring", metavar="PATH"
    )

    again: bool = setting(
        False,
        "tune anew what the same command has finished, instead of showing what it found; its files are overwritten",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class TuningConfig:
    """A group of settings for each part, handed down whole. ``toolchains``: what toolchains bring of their own.

    Raises ConfigurationError for a toolchain that there is not.
    """

    models: ModelSettings
    target: TargetSettings = field(default_factory=TargetSettings)
    shapes: ShapeSettings = field(default_factory=ShapeSettings)
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    space: SpaceSettings = field(default_factory=SpaceSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    build: BuildSettings = field(default_factory=BuildSettings)
    toolchains: OwnGroups = field(default_factory=OwnGroups)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    def __post_init__(self) -> None:
        find_toolchain(self.build.toolchain)
        parse_shapes(self.shapes.input_shape)
        if self.devices.estimate:
            self._require_estimable()
        if self.fleet.meant:
            self._require_no_boards()

    @property
    def fleet(self) -> FleetSettings:
        """The fleet that measures, if one is meant."""
        return self.measure.own[FleetSettings]

    def _require_no_boards(self) -> None:
        for option, given in self._boards():
            if given:
                raise ConfigurationError(
                    f"--scheduler and {option} contradict each other: boards of a fleet are given to 'ellopt worker'"
                )
        self.fleet.address()

    def _boards(self) -> tuple[tuple[str, object], ...]:
        devices = self.devices
        return (
            ("--ipaddress", devices.addresses), ("--cluster", devices.cluster), ("--emulate", devices.emulate),
            ("--estimate", devices.estimate),
        )  # fmt: skip

    def _require_estimable(self) -> None:
        for option, given in self._boards():
            if given and option != "--estimate":
                raise ConfigurationError(f"--estimate and {option} contradict each other: leave one out")
        if self.target.target == "host":
            raise ConfigurationError("--estimate: host is this machine, which is measured: give a board's --target")
        if self.build.toolchain != "native":
            raise ConfigurationError("--estimate simulates the native toolchain's programs only: leave --toolchain out")

    @property
    def options_file(self) -> str:
        """The options file that was asked for, else the one that suits the toolchain."""
        return self.space.options or find_toolchain(self.build.toolchain).options

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not be written anywhere."""
        return tuple(secret for secret in (self.devices.apikey, self.devices.password) if secret)
