"""Limits of the work on devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.core.settings import OwnGroups, check_settings, setting
from ellopt.measure.pauses import IN_ALL

_FIXED = "decides what measurements are worth; found by experiment"
_AUTO = "auto"


def spacing(value: str | float) -> float | None:
    """What ``--visit_spacing`` says: a number of seconds, or None for ``auto``. Raises ValueError."""
    if value == _AUTO:
        return None
    try:
        return float(value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else "")
    except ValueError:
        raise ValueError(f"{value!r} is neither a number of seconds nor {_AUTO}") from None


@dataclass(frozen=True)
class MeasureSettings:
    """Limits of the work on devices. Times are seconds.

    A job stops at the end of its round after ``run_limit``. ``run_grace`` is for copying, and for a slow last round
    where a plan's usual pace is not known; no run is said to hang before ``run_least``, see ``limits``. Each of the
    ``attempts`` is on a device of the pool's choice, ``disturbed_attempts`` are of a measurement on a throttled or
    loaded device, ``disturbed_pause`` apart. ``threads`` 0: the target's cores.
    ``visit_spacing`` None: as ``pauses.wait_between`` says.
    """

    visit_spacing: float | None = setting(
        None,
        "least time between the starts of two measurements on a board, so that what disturbs it for a moment is not in "
        "all of them; `auto`: as long as the noise that was seen demands",
        metavar="SECONDS",
        least=0,
        kind=spacing,
        default_text=f"`auto`, none on a quiet board, {IN_ALL:g} in all on a loud one",
    )
    samples: Path | None = setting(
        None,
        "real inputs to check the tuned model with, at most 100: a `.npy` file, or a folder of such; the report says "
        "how far off outputs are, and for how many of them the largest output is the same",
        metavar="PATH",
    )
    accept_emulated_timings: bool = setting(False, "let times measured under emulation choose winners")
    run_limit: float = setting(120.0, "seconds after which a job stops", no_option=_FIXED)
    run_grace: float = setting(180.0, "seconds that copying may take", no_option=_FIXED)
    run_least: float = setting(20.0, "seconds for which no run is said to hang", no_option=_FIXED)
    attempts: int = setting(6, "devices that a visit tries", no_option=_FIXED)
    disturbed_attempts: int = setting(3, "measurements on a disturbed device", no_option=_FIXED)
    disturbed_pause: float = setting(20.0, "seconds between them", no_option=_FIXED)
    threads: int = setting(0, "threads of a plan", no_option="the target's cores, which --threads chooses")
    executor: str = setting(
        "", "a row of EXECUTORS: what runs visits and builds", no_option="inline for one device, threads for several"
    )
    own: OwnGroups = setting(
        help="settings that executors bring", factory=OwnGroups, no_option="each field is an option by itself"
    )

    def __post_init__(self) -> None:
        check_settings(self)
