"""What every device and every pool of devices does."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ellopt.core.deadline import Deadline
from ellopt.core.samples import DeviceState
from ellopt.devices.bundle import Bundle, Execution, Invocation

#: What times are: a processor's own, an emulator's, which say nothing of the processor, or made by a simulated one.
Times = Literal["real", "emulated", "estimated"]


class Device(Protocol):
    """Where a bundle runs. Held through a lease; used by one thread at a time."""

    name: str
    times: Times
    #: whether it runs on this machine, so that what else happens here disturbs it
    here: bool
    #: what measurements of this device may be compared with: "host <cpu model>", "pi3 BCM2835", ...
    board: str

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        """Put the bundle there if it is not there yet, run the invocation, fetch its output files.

        A command that ends by itself, whatever its exit code or signal (negative exit code), returns an
        Execution. Raises InfrastructureError when the device, not the command, failed, CommandTimeout when the
        command ran longer than the invocation allows while the device itself was well, and DeadlineExceeded when
        ``deadline`` passed. The command has been killed then.
        """

    def state(self) -> DeviceState:
        """What the device says of itself now."""


class AbortableDevice(Device, Protocol):
    """A device whose runs can be ended."""

    def abort(self) -> None:
        """End what is running, and what is begun before ``rearm``, from another thread."""

    def rearm(self) -> None:
        """Serve the next holder, whatever was aborted before."""


@runtime_checkable
class DistantDevice(Device, Protocol):
    """A device that is reached over a link."""

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Put the contents of a file there before the bundle that it belongs to, which then is sent without it. Raises
        as ``run``."""


@dataclass(frozen=True)
class PoolReport:
    """What happened in a pool so far."""

    leases: int = 0
    retries: int = 0
    set_aside: Mapping[str, str] = field(default_factory=dict)  # device that has not worked since -> why


class DevicePool(Protocol):
    """Leases devices; closes in a ``with``."""

    emulated: bool
    #: how many of its devices are to be sent what can be sent ahead of a bundle: those that are behind a link, and of
    #: those that others may want as well no more than one
    sends: int

    @property
    def capacity(self) -> int:
        """How many leases can be out at once."""

    def lease(self, deadline: Deadline) -> AbstractContextManager[Device]:
        """A device for the length of a ``with``. An InfrastructureError, other than DeadlineExceeded, that leaves the
        block counts against the device (it may be set aside for a growing time) and is raised on. Raises
        DeadlineExceeded if no device could be had, and ConfigurationError if every one refuses us for good."""

    def report(self) -> PoolReport: ...

    def close(self) -> None: ...
