"""A board behind SSH: uploads bundles once, runs them under a limit that also holds there, leaves nothing behind."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CommandTimeout, ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.core.samples import DeviceState
from ellopt.devices.base import Times
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.emulator import emulator_arguments
from ellopt.devices.sessions import Session
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.devices.ssh import remote
from ellopt.devices.ssh.connection import SshConnection, wait_for_line
from ellopt.devices.ssh.facts import FileFacts, bundle_facts, facts_of, stored_facts
from ellopt.devices.ssh.finished import Finished, read_finished
from ellopt.devices.ssh.framing import ShellError, framed
from ellopt.devices.ssh.identity import Identity
from ellopt.devices.ssh.opening import read_opening
from ellopt.devices.state import read_state
from ellopt.targets import Target

_LOG = logging.getLogger(__name__)

_LONGEST_RUN = 86_400
_CLEAN_UP_SECONDS = 20.0
_LARGEST_OUTPUT = 256 << 20
#: how long one of our own small commands may take on a board; more for data, at the slowest rate in bytes a second
STEP_SECONDS = 60.0
_SLOWEST_RATE = 50_000
SPARE_KIB = 4096


class SshDevice:
    """A board that is connected. ``close`` removes all that was put there; ``abort`` only drops the connection.

    ``trusted``: host keys that boards have proved before, wherever they were. ``claim`` is called with the board's
    identity before anything is changed there, and may raise. Raises HostKeyError, LoginError or another
    ConfigurationError if the board is not to be used at all, and InfrastructureError if it cannot be used now.
    """

    here = False

    def __init__(
        self,
        address: Address,
        settings: DeviceSettings,
        target: Target,
        session: Session,
        deadline: Deadline,
        trusted: Collection[bytes] = (),
        claim: Callable[[Identity], object] = lambda identity: None,
    ) -> None:
        self.times: Times = "emulated" if settings.emulate and target.qemu else "real"
        self.name = str(address)
        self._address = address
        self._session = session
        self._runs = itertools.count(1)
        self._bundles: dict[str, str] = {}  # digest -> base directory
        self._sent: dict[FileFacts, str] = {}  # the base beneath which a file lies for bundles; "" once one has it
        self._foreign_load: float | None = None
        self._wrapper = emulator_arguments(target, target.qemu) if self.times == "emulated" else ()
        self._place = settings.remote_dir or ""
        self._fix_frequency = settings.fix_frequency
        self._governor: str | None = None
        self._frequency_told = False
        self._process_name = remote.process_name(session.owner, self.name)
        self._connection = SshConnection(address, settings, deadline, trusted, name=self._process_name)
        try:
            self.identity = self._identify(deadline)
            claim(self.identity)
            session.add_files(address, self.identity.board)
            self._open(target, deadline)
        except BaseException:
            self._connection.close()
            raise

    def _identify(self, deadline: Deadline) -> Identity:
        try:
            lines = self._ask("saying what it is", remote.identity_command(), deadline)
        except ShellError as error:
            raise ConfigurationError(str(error)) from None
        facts = dict(line.split(" ", 1) for line in lines if " " in line)
        return Identity(self._connection.host_key.blob, facts.get("identity", ""), facts.get("boot", ""))

    def _open(self, target: Target, deadline: Deadline) -> None:
        owner = self._session.owner
        stale = self._session.owners_at(self._address, self.identity.board) - {owner}
        command = remote.open_command(owner, stale, self._place, self._process_name)
        answer = self._connection.execute(command, _step(deadline))
        opening = read_opening(self._lines("getting ready", answer.stdout))
        opening.require_place(self.name, self._place)
        self._places = opening.places
        self._cpus = opening.cpus
        machine = opening.machine
        if (
            self.times == "real"
            and target.triple.startswith("arm-")
            and target.cpu
            and target.cpu.lanes > 1
            and machine == "armv6l"
        ):
            raise ConfigurationError(f"board {self.name}: is an {machine} without NEON; give --target pi0 for it")
        self.board = f"{target.name} {opening.model} {machine}"
        if self.times == "emulated":
            self.board = f"emulated {target.name} ({target.qemu} {target.qemu_cpu})"

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        """As ``Device.run``. DeadlineExceeded means that the board is well and the command took too long."""
        base = self._ensure_uploaded(bundle, deadline)
        run = f"{base}/run-{next(self._runs)}"
        try:
            self._ask("staging", remote.stage_command(f"{base}/bundle-{bundle.digest}", run), deadline)
            for name, data in invocation.inputs.items():
                self._store(f"{run}/{name}", data, deadline)
            started = time.monotonic()
            finished = self._execute(run, invocation, deadline)
            seconds = time.monotonic() - started
            outputs = self._fetch(run, finished.files, deadline)
        finally:
            self._remove(run)
        self._foreign_load = finished.foreign_load
        self._note_frequency(finished.frequency_fixed)
        return Execution(
            exit_code=finished.exit_code,
            stdout=outputs.pop(".ellopt-stdout", b"").decode(errors="replace"),
            stderr=outputs.pop(".ellopt-stderr", b"").decode(errors="replace"),
            outputs={name: outputs[name] for name in invocation.outputs if name in outputs},
            seconds=seconds,
        )

    def state(self) -> DeviceState:
        """What the board says; ``foreign_load`` belongs to the last run and is told once."""
        answer = self._connection.execute(remote.state_command(), Deadline.after(_CLEAN_UP_SECONDS))
        state = read_state(self._lines("reading the board's state", answer.stdout), self._foreign_load)
        self._foreign_load = None
        return state if self._governor is None else replace(state, governor=self._governor)

    def _note_frequency(self, fixed: str) -> None:
        """What ``state`` is to say of the governor from now on: the one that is set while a command runs."""
        first = self._governor is None and fixed != ""
        self._governor = "performance (fixed for each run)" if fixed == "yes" else None
        if first and fixed in ("refused", "none") and not self._frequency_told:
            self._frequency_told = True
            why = (
                "sudo -n does not let us set the governor (or asks for a password)"
                if fixed == "refused"
                else "it has no governors"
            )
            _LOG.warning("board %s: --fix_frequency has no effect: %s", self.name, why)

    def close(self) -> None:
        """Remove all that is ours from the board and disconnect. What cannot be removed stays on record."""
        try:
            owners = self._session.owners_at(self._address, self.identity.board) | {self._session.owner}
            deadline = Deadline.after(_CLEAN_UP_SECONDS)
            command = remote.clean_command(owners, self._place, self._process_name)
            if not self._ask("cleaning up", command, deadline):
                self._session.remove_files(self._address, self.identity.board)
        except InfrastructureError as error:
            _LOG.info("board %s: could not clean up yet: %s", self.name, error)
        finally:
            self._connection.close()

    def abort(self) -> None:
        """Drop the connection, from any thread. The board ends what runs there by itself."""
        self._connection.close()

    @property
    def usable(self) -> bool:
        return self._connection.alive

    def send(self, data: bytes, deadline: Deadline) -> None:
        """As ``DistantDevice.send``: into the first place with room. A board without is sent nothing."""
        facts = facts_of(data)
        room = (base for free, base in self._places if free is None or free >= len(data) // 1024 + SPARE_KIB)
        base = next(room, None)
        if base is None or facts in self._sent:
            return
        folder, file = _ahead(base, facts)
        try:
            self._store(f"{folder}/{file}", data, deadline)
        except InfrastructureError as error:
            self._remove(folder)
            if not self.usable:
                raise
            _LOG.info("board %s: nothing is sent ahead: %s", self.name, error)
            return
        self._sent[facts] = base

    def _ensure_uploaded(self, bundle: Bundle, deadline: Deadline) -> str:
        """The directory on the board beneath which the bundle lies, whole and verified."""
        if bundle.digest in self._bundles:
            return self._bundles[bundle.digest]
        contents = bundle_facts(bundle)
        needed = sum(facts.size for facts in contents.values()) // 1024 + SPARE_KIB
        reason = f"board {self.name}: its disk is full: {needed} KiB are needed for {bundle.path.name}"
        for free, base in self._places:
            if free is not None and free < needed:
                continue
            try:
                if not self._is_there(base, bundle, contents, deadline):
                    self._upload(base, bundle, contents, deadline)
            except InfrastructureError as error:
                if not self.usable:
                    raise
                reason = str(error)
                continue
            self._bundles[bundle.digest] = base
            return base
        raise InfrastructureError(reason)

    def _is_there(self, base: str, bundle: Bundle, contents: dict[str, FileFacts], deadline: Deadline) -> bool:
        """Whether an earlier connection has left the whole bundle there."""
        command = remote.verify_command(f"{base}/bundle-{bundle.digest}", contents)
        size = sum(facts.size for facts in contents.values())
        answer = self._connection.execute(command, _step(deadline, size))
        if not answer.stdout.endswith(b"done\n"):
            return False
        found = [stored_facts(line) for line in self._lines("verifying", answer.stdout)]
        return found == list(contents.values()) and all(facts.digest != "none" for facts in found)

    def _upload(self, base: str, bundle: Bundle, contents: dict[str, FileFacts], deadline: Deadline) -> None:
        partial, final = f"{base}/partial-{bundle.digest}", f"{base}/bundle-{bundle.digest}"
        self._ask("making room", remote.wipe_command(partial, final), deadline)
        try:
            for name, facts in contents.items():
                if self._took(partial, name, base, facts, deadline):
                    continue
                self._store(f"{partial}/{name}", (bundle.path / name).read_bytes(), deadline)
            self._ask("uploading", remote.publish_command(partial, final, contents), deadline)
        except BaseException:
            self._remove(partial)
            raise
        self._sent |= dict.fromkeys(contents.values(), "")

    def _took(self, partial: str, name: str, base: str, facts: FileFacts, deadline: Deadline) -> bool:
        """Whether a file of a bundle that is being uploaded was sent ahead and is in its place now."""
        if self._sent.get(facts) != base:
            return False
        self._sent[facts] = ""
        command = remote.take_command(partial, name, "/".join(_ahead(base, facts)))
        return self._ask("putting together", command, deadline) == ["taken"]

    def _store(self, path: str, data: bytes, deadline: Deadline) -> None:
        """Write a file on the board and have it hashed there."""
        wanted = facts_of(data)
        lines = self._ask(f"writing {path}", remote.store_command(path), deadline, data)
        stored = stored_facts(lines[-1] if lines else "")
        if stored.digest == "none":
            whole = self._connection.execute(
                remote.fetch_command(path.rpartition("/")[0], [path.rpartition("/")[2]]),
                _step(deadline, len(data)),
                limit=len(data),
            )
            stored = facts_of(whole.stdout)
        if stored != wanted:
            raise InfrastructureError(f"board {self.name}: {path} arrived altered")

    def _execute(self, run: str, invocation: Invocation, deadline: Deadline) -> Finished:
        # Only a command that had all of its own time has itself to blame, not one whose upload was slow.
        timeout = CommandTimeout if deadline.remaining >= invocation.limit_seconds else DeadlineExceeded
        deadline = deadline.at_most(invocation.limit_seconds)
        limit = math.ceil(min(deadline.remaining, _LONGEST_RUN)) + 1
        program, *rest = invocation.arguments
        program = program if program.startswith("/") else f"./{program.removeprefix('./')}"
        arguments = [*self._wrapper, program, *rest]
        command = framed(remote.run_command(run, limit, invocation.outputs, arguments, self._fix_frequency))
        lines: list[str] = []
        with self._connection.channel(command, deadline) as channel:
            for line in wait_for_line(channel, command.marker, deadline, remote.HEARTBEAT, remote.SILENCE):
                if line == "limit":
                    break
                if line != ".":
                    lines.append(line)
                if line == "done":
                    self._connection.await_end(channel)
                    finished = read_finished(lines, self.name, self._cpus)
                    if finished.exit_code in (126, 127):
                        words = " ".join([*self._wrapper, program])
                        raise InfrastructureError(f"board {self.name} ({self.board}) cannot execute {words}")
                    return finished
        if deadline.passed or (lines[-1:] == ["limit"]):
            raise timeout(f"{program} ran for longer than it may on board {self.name} and was killed")
        raise InfrastructureError(f"board {self.name}: connection lost while {program} ran")

    def _fetch(self, run: str, files: dict[str, FileFacts], deadline: Deadline) -> dict[str, bytes]:
        """Fetch files of the sizes and hashes that the board announced."""
        wanted = [name for name, facts in files.items() if facts.size]
        total = sum(facts.size for facts in files.values())
        if total > _LARGEST_OUTPUT:
            raise InfrastructureError(f"board {self.name}: the run wrote {total} bytes of output")
        fetched = dict.fromkeys(files, b"")
        if wanted:
            command = remote.fetch_command(run, wanted)
            data = self._connection.execute(command, _step(deadline, total), limit=total).stdout
            for name in wanted:
                fetched[name], data = data[: files[name].size], data[files[name].size :]
        for name, facts in files.items():
            received = facts_of(fetched[name])
            if received.size != facts.size or facts.digest not in ("none", received.digest):
                raise InfrastructureError(f"board {self.name}: {name} arrived truncated or altered")
        return fetched

    def _remove(self, directory: str) -> None:
        """End what runs in a directory of the board and remove it. If that fails the connection is given up, so
        that the next one begins by cleaning."""
        if not self.usable:
            return
        try:
            self._ask("cleaning up", remote.wipe_command(directory), Deadline.after(_CLEAN_UP_SECONDS))
        except InfrastructureError as error:
            _LOG.info("board %s: %s", self.name, error)
            self._connection.close()

    def _ask(self, what: str, command: str, deadline: Deadline, data: bytes = b"") -> list[str]:
        """Run one of our scripts on the board. The lines of its answer but the last."""
        answer = self._connection.execute(command, _step(deadline, len(data)), data)
        try:
            return self._lines(what, answer.stdout)
        except InfrastructureError as error:
            if answer.stderr:
                raise InfrastructureError(f"{error}: {answer.stderr[-500:]}") from None
            raise

    def _lines(self, what: str, output: bytes) -> list[str]:
        return remote.answer_lines(f"board {self.name}: {what}", output)


def _ahead(base: str, facts: FileFacts) -> tuple[str, str]:
    """The folder, and the file in it, for a file that is sent ahead."""
    return f"{base}/ahead-{facts.digest.rpartition(':')[2]}", "data"


def _step(deadline: Deadline, size: int = 0) -> Deadline:
    """The deadline of one command that moves or reads ``size`` bytes."""
    return deadline.at_most(STEP_SECONDS + size / _SLOWEST_RATE)
