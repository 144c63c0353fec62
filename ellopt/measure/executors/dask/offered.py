"""What the user said about a worker."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.settings import check_settings, setting
from ellopt.targets.settings import target_setting


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker offers, and under which name."""

    target: str = target_setting(
        "",
        "what its boards are; `host`: this machine, for models tuned for it; another target without boards: this "
        "machine as a board of that kind",
        default_text="none: it only builds",
    )
    builds: int | None = setting(
        None, "bundles to build at once", metavar="N", least=0, default_text="1 without boards and tunings, else 0"
    )
    tunings: int = setting(0, "models to tune at once, as a whole, for clients that tune several", metavar="N", least=0)
    name: str = setting("", "what the worker is called", metavar="TEXT", default_text="the machine's name")
    worker_host: str | None = setting(
        None, "address at which the scheduler reaches this worker", metavar="ADDRESS",
        default_text="the one that leads to the scheduler",
    )  # fmt: skip
    worker_port: int = setting(0, "port at which the scheduler reaches this worker", least=0, default_text="any")

    def __post_init__(self) -> None:
        check_settings(self)
