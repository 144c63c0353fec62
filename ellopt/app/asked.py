"""The settings of a tuning made from what was asked for by name: by the command line, and by Python programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ellopt.app.config import ModelSettings, TuningConfig
from ellopt.core.errors import ConfigurationError
from ellopt.core.given import given_value, read_settings
from ellopt.core.settings import OwnGroups
from ellopt.devices.board_lists import read_board_list
from ellopt.devices.kinds import DEVICE_KINDS
from ellopt.devices.settings import DeviceSettings
from ellopt.frontends.settings import ShapeSettings
from ellopt.measure.executors import executor_groups
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.settings import MeasureSettings
from ellopt.search.settings import SearchSettings
from ellopt.space.settings import SpaceSettings
from ellopt.targets.settings import TargetSettings
from ellopt.toolchains.registry import toolchain_groups
from ellopt.toolchains.settings import BuildSettings
from ellopt.tracking.settings import TrackingSettings


def device_groups() -> tuple[type, ...]:
    """The settings of devices, and those that kinds of devices bring."""
    return (DeviceSettings, *_own_groups())


def _own_groups() -> tuple[type, ...]:
    return tuple(dict.fromkeys(kind.settings for kind in DEVICE_KINDS if kind.settings is not None))


def _own(groups: tuple[type, ...], given: Mapping[str, Any]) -> OwnGroups:
    found: list[Any] = [read_settings(group, given) for group in groups]
    return OwnGroups(*found)


def tuning_groups() -> tuple[tuple[str, tuple[type, ...]], ...]:
    """Every group of settings of a tuning, by the title that it stands under."""
    return (
        ("models", (ModelSettings, ShapeSettings)),
        ("where to measure", (TargetSettings, *device_groups(), MeasureSettings, *executor_groups())),
        ("search", (SpaceSettings, SearchSettings)),
        ("toolchain", (BuildSettings, *toolchain_groups())),
        ("tracking (MLflow)", (TrackingSettings,)),
    )


def tuning_config(given: Mapping[str, Any]) -> TuningConfig:
    """The validated settings; ``given`` has values by the keys of fields. What it leaves open may come from the
    environment. Raises ConfigurationError."""
    models, target = read_settings(ModelSettings, given), read_settings(TargetSettings, given)
    if os.environ.get("MLFLOW_RUN_ID"):  # MLflow has changed the folder: what is printed must be found from any
        models = replace(models, output_path=models.output_path.resolve(), model_path=models.model_path.resolve())
    devices = device_settings(given, target.target)
    return TuningConfig(
        models,
        target,
        shapes=read_settings(ShapeSettings, given),
        devices=devices,
        measure=read_settings(MeasureSettings, given, own=_executors(given, devices)),
        space=read_settings(SpaceSettings, given),
        search=read_settings(SearchSettings, given),
        build=read_settings(BuildSettings, given),
        toolchains=_own(toolchain_groups(), given),
        tracking=read_settings(TrackingSettings, given),
    )


def _executors(given: Mapping[str, Any], devices: DeviceSettings) -> OwnGroups:
    """What executors bring. Where boards are given, a fleet that only the environment names is not meant."""
    own = _own(executor_groups(), given)
    asked = given.get("scheduler") or given.get("scheduler_file")
    boards = devices.addresses or devices.cluster or devices.emulate or devices.estimate
    return own + OwnGroups(FleetSettings()) if boards and not asked else own


def device_settings(given: Mapping[str, Any], target: str) -> DeviceSettings:
    """The settings of ``device_groups`` for ``target``. Raises ConfigurationError."""
    places = _places(given, target)
    return read_settings(
        DeviceSettings,
        given,
        ipaddresses=places.ipaddresses,
        boards=places.boards,
        cluster=places.cluster,
        own=_own(_own_groups(), given),
    )


@dataclass(frozen=True)
class _Places:
    """Where boards are: addresses, those of a list, or a cluster service, or nothing of it."""

    ipaddresses: tuple[str, ...]
    boards: tuple[str, ...]
    cluster: str | None


def _places(given: Mapping[str, Any], target: str) -> _Places:
    """Where the options, and RPI_CLUSTER where they say nothing, put the boards.

    Raises ConfigurationError for options that contradict each other: what is asked for is never dropped silently.
    """
    listed = read_board_list(Path(given["boards"])) if given.get("boards") else ()
    ipaddresses = given_value(DeviceSettings, "ipaddresses", given) or ()
    cluster, emulate = given.get("cluster"), given.get("emulate")
    if target == "host":
        for option, asked in (("--ipaddress", ipaddresses), ("--boards", listed), ("--cluster", cluster)):
            if asked:
                raise ConfigurationError(
                    f"--target host and {option} contradict each other: host is this machine. Give the boards' "
                    "--target ('ellopt targets' lists them), or leave the boards out"
                )
        if emulate:
            raise ConfigurationError(
                "--target host and --emulate contradict each other: host is this machine, which needs no emulator. "
                "Give the --target to emulate ('ellopt targets' lists them), or leave --emulate out"
            )
        return _Places((), (), None)
    if cluster is None and not (ipaddresses or listed or emulate or given.get("estimate")):
        cluster = os.environ.get("RPI_CLUSTER") or None
    if cluster and (ipaddresses or listed):
        option = "--ipaddress" if ipaddresses else "--boards"
        raise ConfigurationError(f"{option} and --cluster exclude each other: give the boards one way only")
    return _Places(ipaddresses, listed, cluster)
