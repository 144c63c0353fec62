"""The simulator's C, compiled once for the qemu that is there."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.files.sealed import FileCache

#: Compiles for this machine: the compiler's arguments behind its name, a directory to work in, and a deadline.
HostCompiler = Callable[[Sequence[str], Path, Deadline], None]

SOURCE = Path(__file__).with_name("simulator")
_FLAGS = ("-O2", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-sanitize=undefined", "-g0")
_SECONDS = 300.0


def plugin_for(interface: int, compiler: HostCompiler, compiler_version: str, cache: Path) -> Path:
    """The plugin for a version of qemu's interface, from the directory ``cache`` or compiled into it.

    Raises BuildError as ``compiler`` does, OSError.
    """
    sources = sorted(path for path in SOURCE.iterdir() if path.suffix in (".c", ".h"))
    digest = hashlib.sha256(f"{interface} {compiler_version} {_FLAGS}".encode())
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    key = digest.hexdigest()[:40]
    cached = FileCache(cache, ".so")
    if found := cached.find([key]).get(key):
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        arguments = (*_FLAGS, f"-DQEMU_INTERFACE={interface}", str(SOURCE / "simulator.c"), "-o", "simulator.so")
        compiler(arguments, Path(name), Deadline.after(_SECONDS))
        return cached.add(key, Path(name) / "simulator.so")
