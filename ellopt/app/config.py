"""The settings of a tuning run: validated, frozen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.frontends.base import parse_shapes
from ellopt.toolchains.registry import TOOLCHAINS

SAMPLERS = ("grid", "tpe", "random", "auto")
FP_CONTRACT = ("fast", "on", "off")


@dataclass(frozen=True)
class TuningConfig:
    """What ``ellopt optimize`` was asked to do. Names and defaults are those of the command line.

    Times are seconds. Secrets (``apikey``, ``password``) never show in the repr.
    """

    model_path: Path
    output_path: Path
    options: str = ""  # the options file of the toolchain, see options_file
    models: tuple[str, ...] = ()
    input_shape: tuple[str, ...] = ()  # NAME=1,3,224,224, of formats that leave it open
    target: str = "pi3"
    temp_dir: Path | None = None
    concurrent_models: int = 1
    parallel_build: int = field(default_factory=lambda: os.cpu_count() or 1)
    include_exercise_models: bool = False
    vectorize: bool = True
    fp_contract: str = "fast"
    toolchain: str = "native"
    ell_root: Path | None = None
    ell_build_root: Path | None = None
    from_reports: Path | None = None
    # devices
    threads: int | None = None
    platform_regex: str | None = None
    parallel_run: int = 24
    cluster: str | None = None
    ipaddress: tuple[str, ...] = ()
    ssh_port: int | None = None
    apikey: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    accept_new_host_keys: bool = False
    allow_insecure_cluster: bool = False
    remote_dir: str | None = None
    fix_frequency: bool = False
    board_timeout: float = 600.0
    visit_spacing: float = 3.0
    emulate: bool = False
    accept_emulated_timings: bool = False
    estimate: bool = False
    # search
    sampler: str = "auto"
    trials: int | None = None
    timeout: float | None = None
    seed: int = 0
    tolerance: float = 0.01
    warm_start: bool = True
    # tracking
    mlflow: bool = True
    experiment: str | None = None
    register: str | None = None

    def __post_init__(self) -> None:
        for name in ("concurrent_models", "parallel_build", "parallel_run", "threads", "trials"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"--{name}: must be at least 1, not {value}")
        for name in ("timeout", "board_timeout"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"--{name}: must be a positive number of seconds, not {value:g}")
        if self.visit_spacing < 0:
            raise ConfigurationError(f"--visit_spacing: must not be negative, not {self.visit_spacing:g}")
        if not 0 <= self.tolerance < 1:
            raise ConfigurationError(f"--tolerance: must be at least 0 and below 1, not {self.tolerance:g}")
        if self.ssh_port is not None and not 0 < self.ssh_port < 65536:
            raise ConfigurationError(f"--ssh_port: must be between 1 and 65535, not {self.ssh_port}")
        if self.toolchain not in TOOLCHAINS:
            raise ConfigurationError(f"--toolchain: {self.toolchain!r} is unknown; use one of {', '.join(TOOLCHAINS)}")
        if self.fp_contract not in FP_CONTRACT:
            raise ConfigurationError(f"--fp_contract: {self.fp_contract!r} is none of {', '.join(FP_CONTRACT)}")
        if self.sampler not in SAMPLERS and ":" not in self.sampler:
            raise ConfigurationError(
                f"--sampler: {self.sampler!r} is unknown; use one of {', '.join(SAMPLERS)}, "
                "or the import path of an Optuna sampler such as optuna.samplers:GPSampler"
            )
        if self.register and not self.mlflow:
            raise ConfigurationError("--register needs MLflow: leave out --no_mlflow")
        parse_shapes(self.input_shape)
        if self.estimate:
            self._require_estimable()
        if self.ipaddress and self.cluster:
            raise ConfigurationError("--ipaddress and --cluster exclude each other: give the boards one way only")

    def _require_estimable(self) -> None:
        boards = (("--ipaddress", self.ipaddress), ("--cluster", self.cluster), ("--emulate", self.emulate))
        for option, given in boards:
            if given:
                raise ConfigurationError(f"--estimate and {option} contradict each other: leave one out")
        if self.target == "host":
            raise ConfigurationError("--estimate: host is this machine, which is measured: give a board's --target")
        if self.toolchain != "native":
            raise ConfigurationError("--estimate simulates the native toolchain's programs only: leave --toolchain out")

    @property
    def options_file(self) -> str:
        """The options file that was asked for, else the one that suits the toolchain: ELL knows no more than the
        original's options."""
        return self.options or TOOLCHAINS[self.toolchain].options

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not be written anywhere."""
        return tuple(secret for secret in (self.apikey, self.password) if secret)
