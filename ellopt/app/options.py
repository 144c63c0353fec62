"""The options of ``ellopt.tune`` for type checkers: each as ``ellopt optimize`` has it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

AnyPath = str | PathLike[str]
Texts = str | Sequence[str]


class BoardOptions(TypedDict, total=False):
    """Where boards are, and how to reach them; the options of every command that runs something on one."""

    ipaddress: Texts
    boards: AnyPath
    ssh_port: int | None
    username: str | None
    password: str | None
    key_file: AnyPath
    accept_new_host_keys: bool
    cluster: str | None
    apikey: str | None
    allow_insecure_cluster: bool
    platform_regex: str | None
    remote_dir: str | None
    board_timeout: float
    emulate: bool


class TuningOptions(BoardOptions, total=False):
    """What may be said of a tuning; docs/reference.md says what each means, and its default.

    Names are those of the options. What switches something off there (``--no_mlflow``) is False here
    (``mlflow=False``).
    """

    # models
    models: Texts
    temp_dir: AnyPath | None
    input_shape: Texts
    again: bool
    # where to measure
    threads: int | None
    parallel_run: int
    fix_frequency: bool
    estimate: bool
    visit_spacing: float | None
    samples: AnyPath | None
    accept_emulated_timings: bool
    scheduler: str | None
    scheduler_file: AnyPath | None
    board_kind: str | None
    tls_ca: AnyPath | None
    tls_cert: AnyPath | None
    tls_key: AnyPath | None
    allow_insecure_scheduler: bool
    # search
    options: str
    precision: str | None
    sampler: str
    trials: int | None
    timeout: float | None
    seed: int
    tolerance: float
    warm_start: bool
    store: str | None
    pruner: str
    storage: str | None
    # toolchain
    toolchain: str
    parallel_build: int
    ell_root: AnyPath | None
    ell_build_root: AnyPath | None
    include_exercise_models: bool
    vectorize: bool
    fp_contract: str
    # tracking (MLflow)
    mlflow: bool
    experiment: str
    register: str
