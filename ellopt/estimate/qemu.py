"""The qemu-user program that is there, and how it speaks with plugins."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.files.process import run_in_group
from ellopt.targets import Target

#: The first version of qemu with an interface for plugins that the simulator knows -> that interface's version
_INTERFACES = (((6, 0), 1), ((9, 0), 2), ((9, 1), 3), ((9, 2), 4))
#: the first version that is not known
_UNKNOWN = (10, 1)
_SECONDS = 30.0


@dataclass(frozen=True)
class Qemu:
    """A program, its version, and the version of its interface for plugins."""

    program: str
    version: tuple[int, int]
    interface: int


def find_plugin_qemu(target: Target) -> Qemu:
    """The qemu-user program for ``target``. One that is linked statically takes no plugins, so it is not looked for.

    Raises ConfigurationError if there is none, or none that is known: the message says what to do.
    """
    path = shutil.which(target.qemu)
    if path is None:
        how = (
            "install it, on Debian: apt-get install qemu-user"
            if sys.platform == "linux"
            else "qemu-user runs on Linux only: run ellopt there"
        )
        raise ConfigurationError(f"an estimate needs {target.qemu}, which is not on the PATH; {how}")
    said = _ask(path, "-version")
    found = re.search(r"version (\d+)\.(\d+)", said)
    if not found:
        raise ConfigurationError(f"an estimate needs qemu: {path} does not tell its version: {said.strip()[:200]!r}")
    version = (int(found[1]), int(found[2]))
    if "unknown option" in _ask(path, "-plugin", "none"):
        raise ConfigurationError(f"an estimate needs a qemu with plugins: {path} was built without; Debian's has them")
    return Qemu(path, version, interface_of(version, path))


def interface_of(version: tuple[int, int], path: str) -> int:
    """The plugin interface of a version of qemu. Raises ConfigurationError for one that is not known."""
    known = [interface for first, interface in _INTERFACES if first <= version < _UNKNOWN]
    if not known:
        least, most = (".".join(map(str, v)) for v in (_INTERFACES[0][0], _UNKNOWN))
        raise ConfigurationError(
            f"an estimate needs a qemu from {least} to before {most}: {path} is {version[0]}.{version[1]}, whose "
            "interface for plugins is not known"
        )
    return known[-1]


def _ask(program: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory(prefix="ellopt-qemu-") as name:
        done = run_in_group([program, *arguments], Path(name), Deadline.after(_SECONDS))
    return (done.stdout + done.stderr).decode(errors="replace")
