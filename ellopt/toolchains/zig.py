"""The C compiler: ``zig cc`` of the ziglang package, with a cache of objects that is addressed by content."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, ConfigurationError
from ellopt.core.fan_out import fan_out
from ellopt.files.full_disk import LITTLE, LITTLE_FOR_THE_SILENT, blame_full_disk
from ellopt.files.process import Abort, run_in_group
from ellopt.files.sealed import FileCache
from ellopt.files.user_dirs import zig_cache
from ellopt.targets import CPUS, Cpu, Target
from ellopt.toolchains.object_cache import trim
from ellopt.toolchains.set_up import SetUp
from ellopt.toolchains.zig_progress import VARIABLE

logger = logging.getLogger(__name__)

#: the first compilation for a foreign target builds the C library as well
COMPILE_SECONDS = 600.0
_FLAGS = (
    "-O3",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-sanitize=all",
    "-fno-stack-protector",
    "-fvisibility=hidden",
    "-g0",
    "-Wall",
    "-Wundef",
    "-Wno-unused-function",
)
#: The compiler links by default what reports undefined behaviour at run time, which is built first, for six seconds:
#: no object of ours refers to it.
NO_SANITIZER = ("-fno-sanitize=undefined",)
#: Nor do programs for a 64-bit machine refer to the compiler's own library, which is built as long: where one does, the
#: linker says so, in a shared library by the second of these, and it is linked with.
_NO_RUNTIME = ("-rtlib=none", "-Wl,-z,defs")
#: What the compiler defines for this machine -> the row that its code is cut for; the first that is defined counts.
_CPU_BY_MACRO = {
    "__AVX512F__": "x86-64-v4",
    "__AVX__": "x86-64-v3",
    "__SSE2__": "x86-64",
    "__aarch64__": "aarch64",
    "__ARM_NEON": "armv7",
}
#: Where Linux does not tell.
_COMMON_CACHE_MIB = 8


@lru_cache(maxsize=1)
def zig_command() -> tuple[str, ...]:
    """How zig is started: the binary of the ziglang package, or one on the PATH. Raises ConfigurationError."""
    spec = importlib.util.find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).with_name("zig.exe" if sys.platform == "win32" else "zig")
        if binary.is_file():
            return (str(binary),)
        return (sys.executable, "-m", "ziglang")
    if found := shutil.which("zig"):
        return (found,)
    raise ConfigurationError("the native toolchain needs zig: pip install ziglang")


@lru_cache(maxsize=1)
def zig_version() -> str:
    """The version of zig, such as ``0.17.1``."""
    done = run_in_group((*zig_command(), "version"), Path.cwd(), Deadline.after(60))
    if done.exit_code != 0:
        raise ConfigurationError(f"zig does not work: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


def target_flags(target: Target) -> tuple[str, ...]:
    """The flags that choose a target's architecture, CPU and C library."""
    if target.is_host:
        return (f"-mcpu={target.compiler_cpu}",)
    return ("-target", target.triple, f"-mcpu={target.compiler_cpu}")


def link_flags(target: Target) -> tuple[str, ...]:
    """The flags that choose a program's C library, which comes from a cache unless it is the first of its kind.

    All that link a program for a board use these and no others of the kind: the compiler builds another library where
    the processor differs, or where symbols are not stripped. For boards (musl) a program is static.
    """
    if target.is_host:
        return (*target_flags(target), *NO_SANITIZER, "-s")
    static = ("-static",) if "musl" in target.triple else ()
    return ("-target", target.triple, f"-mcpu={target.library_cpu}", *NO_SANITIZER, *static, "-s")


def compile_flags(target: Target) -> tuple[str, ...]:
    """The flags of every compilation for ``target``."""
    # Fused multiply-add, except where there is none (the old VFP) or a better one: clang takes "fast" as a ban on that.
    cpu = cpu_of(target)
    contract = "fast" if target.is_host or (cpu.fused and not cpu.by_lane) else "on"
    facts = (f"-DELL_LARGE_CACHES={int(cpu.large_caches)}", *(("-DELL_BY_LANE=1",) if cpu.by_lane else ()))
    return (*target_flags(target), *_FLAGS, f"-ffp-contract={contract}", *facts)


def cpu_of(target: Target) -> Cpu:
    """The processor of ``target``; of this machine, as the compiler sees it. Raises ConfigurationError."""
    return target.cpu or _host_cpu()


@lru_cache(maxsize=1)
def _host_macros() -> frozenset[str]:
    """What the compiler defines for this very machine: processors with the same ones run the same code."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "empty.c").touch()
        command = (*zig_command(), "cc", "-mcpu=native", "-dM", "-E", "empty.c")
        done = run_in_group(command, Path(directory), Deadline.after(COMPILE_SECONDS))
    if done.exit_code != 0:
        raise ConfigurationError(f"zig cc does not work: {done.stderr.decode(errors='replace').strip()}")
    return frozenset(done.stdout.decode(errors="replace").splitlines())


@lru_cache(maxsize=1)
def _host_cpu() -> Cpu:
    macros = {line.split()[1] for line in _host_macros() if line.startswith("#")}
    found = next((name for macro, name in _CPU_BY_MACRO.items() if macro in macros), "scalar")
    return replace(CPUS[found], cache_mib=_host_cache_mib())


def _host_cache_mib() -> int:
    """The largest cache of this machine's first processor, where Linux tells it."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    kib = [int(size[:-1]) for size in sizes if size.endswith("K") and size[:-1].isdigit()]
    return max(kib) // 1024 if kib else _COMMON_CACHE_MIB


class Compiler:
    """Compiles C sources to objects and links them. Safe to use from several threads.

    Tools write beside what they read and are told a bare name: the linker takes a ``%`` in a path for a random letter.

    ``cache`` keeps objects by the hash of all that decides them; ``parallel`` bounds the compilers at work.
    """

    def __init__(self, target: Target, include: Sequence[Path], cache: Path, parallel: int = 0) -> None:
        self._target = target
        self._include = tuple(include)
        self._cache = cache
        self._cached = FileCache(cache, ".o")
        self._pool_size = parallel or os.cpu_count() or 1
        self._common = _hash(
            [
                zig_version(),
                *compile_flags(target),
                *(sorted(_host_macros()) if target.is_host else ()),
                *(p.read_bytes() for folder in include for p in sorted(folder.glob("*.h"))),
            ]
        )
        self._told = threading.Event()

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that choose the target."""
        return target_flags(self._target)

    def objects(
        self,
        sources: Mapping[str, str],
        deadline: Deadline,
        flags: Sequence[str] = (),
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Path]:
        """An object file for each of ``sources`` (name -> C text); ``meanwhile`` is done while compilers work. Raises
        BuildError with the compiler's output."""
        keys = {name: _hash([self._common, *flags, text]) for name, text in sources.items()}
        found = self._cached.find(keys.values())
        missing = {key: sources[name] for name, key in keys.items() if key not in found}
        # The longest first: no processor waits at the end for one that began late.
        missing = dict(sorted(missing.items(), key=lambda item: -len(item[1])))
        if not missing:
            meanwhile()
        else:
            self._cache.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            logger.info("compiling %d of %d objects for %s", len(missing), len(keys), self._target.name)
            abort = Abort()  # nobody waits for what the other compilers make when one fails
            paths = fan_out(
                lambda key: self._compile(key, missing[key], deadline, flags, abort),
                missing,
                self._pool_size,
                abort.fire,
                meanwhile,
            )
            found |= dict(zip(missing, paths, strict=True))
            logger.info("compiled %d objects in %.1f s", len(missing), time.monotonic() - started)
            trim(self._cache, time.time())
        return {name: found[key] for name, key in keys.items()}

    def link(self, objects: Iterable[Path], output: Path, deadline: Deadline, flags: Sequence[str] = ()) -> None:
        """Link a program. For boards (musl) it is static and needs nothing but the kernel."""
        setup = SetUp(self._target)
        setup.announce()
        with tempfile.TemporaryDirectory(dir=output.parent) as name:
            directory = Path(name)
            # Command lines have limits; a response file has none, but each reader of it has quotes of its own: it
            # names copies that need none.
            names: list[str] = []
            for path in sorted(objects):
                names.append(f"{len(names)}.o")
                _link_or_copy(path, directory / names[-1])
            (directory / "objects.rsp").write_text("\n".join(names), encoding="utf-8")
            command = (
                *(*zig_command(), "cc", *link_flags(self._target), "-Wl,--gc-sections", *flags),
                *("@objects.rsp", "-o", output.name, "-lm", "-lpthread"),
            )
            if not self._linked_by_itself(command, directory, deadline, output.name):
                with setup.watched() as progress:
                    self._run(command, directory, deadline, output.name, progress=progress)
            (directory / output.name).replace(output)
        setup.done()

    def archive(self, objects: Mapping[str, Path], output: Path, deadline: Deadline) -> None:
        """Make a static library. The objects' names in it are their names in ``objects``."""
        with tempfile.TemporaryDirectory(dir=output.parent) as name:
            directory = Path(name)
            members = [shutil.copy(path, directory / f"{Path(key).stem}.o") for key, path in sorted(objects.items())]
            command = (*zig_command(), "ar", "rcs", output.name, *(Path(member).name for member in members))
            self._run(command, directory, deadline, output.name)
            (directory / output.name).replace(output)

    def _linked_by_itself(self, command: Sequence[str], directory: Path, deadline: Deadline, what: str) -> bool:
        """Link for this machine without the compiler's own library. False if something is missing then."""
        if not self._target.is_host:
            return False
        try:
            self._run((*command, *_NO_RUNTIME), directory, deadline, what)
        except BuildError as error:
            logger.debug("%s is linked with the compiler's library: %s", what, error)
            return False
        return True

    def _compile(self, key: str, text: str, deadline: Deadline, flags: Sequence[str], abort: Abort) -> Path:
        with tempfile.TemporaryDirectory(dir=self._cache) as name:
            directory = Path(name)
            (directory / "source.c").write_text(text, encoding="utf-8")
            command = (
                *(*zig_command(), "cc", *compile_flags(self._target), *flags),
                *(f"-I{folder}" for folder in self._include),
                *("-c", "source.c", "-o", "source.o"),
            )
            self._run(command, directory, deadline, key, abort)
            return self._cached.add(key, directory / "source.o")

    def _run(
        self,
        command: Sequence[str],
        directory: Path,
        deadline: Deadline,
        what: str,
        abort: Abort | None = None,
        progress: int | None = None,
    ) -> None:
        told = {} if progress is None else {VARIABLE: str(progress)}
        inherited = () if progress is None else (progress,)
        done = run_in_group(command, directory, deadline.at_most(COMPILE_SECONDS), told, abort, inherited)
        if done.exit_code != 0:
            log = (done.stdout + done.stderr).decode(errors="replace")
            blame_full_disk(log, (directory, zig_cache()), LITTLE if log.strip() else LITTLE_FOR_THE_SILENT)
            first = next((line for line in log.splitlines() if "error" in line), log.strip()[:200])
            raise BuildError(f"zig cc failed for {self._target.name} ({what}): {first}", log)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy(source, target)


def _hash(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:40]
