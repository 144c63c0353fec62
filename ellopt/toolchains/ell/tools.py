"""ELL's own programs and LLVM's, as somebody built them: found and tried. Nothing else of ELL is needed."""

from __future__ import annotations

import ctypes.util
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.files.json_text import parse_json
from ellopt.files.process import run_in_group

logger = logging.getLogger(__name__)

TOOLS_FILE = "ell_build_tools.json"
_TRY_SECONDS = 60.0


@dataclass(frozen=True)
class EllTools:
    """Programs by path. ``opt`` and ``llc`` are both there or both None; ``blas`` is this machine's OpenBLAS."""

    compile: Path
    print: Path
    opt: Path | None = None
    llc: Path | None = None
    blas: Path | None = None

    @property
    def optimises(self) -> bool:
        """Whether code can also be passed through LLVM's own optimiser."""
        return self.opt is not None and self.llc is not None

    def identity(self) -> str:
        """A hash over the contents of the programs that decide how fast code is."""
        digest = hashlib.sha256()
        for path in (self.compile, self.opt, self.llc, self.blas):
            if path is not None:
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            digest.update(b"\0")
        return digest.hexdigest()[:16]


def find_tools(ell_root: Path | None, ell_build_root: Path | None) -> EllTools:
    """ELL's tools in its build tree. Raises ConfigurationError: what is missing or does not run, and what to do."""
    root = _build_root(ell_root, ell_build_root)
    named = _named_tools(root)
    found = {name: _program(root, name, named.get(name)) for name in ("compile", "print")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise ConfigurationError(
            f"--toolchain ell: {root} has no {' and no '.join(f'bin/{name}' for name in missing)}: build ELL there "
            "(its targets compile and print), or give another build tree with --ell_build_root"
        )
    tools = [path for path in found.values() if path is not None]
    for path in tools:
        _try(path, "--help")
    opt, llc = (_llvm(name, named.get(name)) for name in ("opt", "llc"))
    if opt is None or llc is None:
        lacking = " and ".join(name for name, path in (("opt", opt), ("llc", llc)) if path is None)
        logger.warning(
            "--toolchain ell: no %s in %s or on the PATH: only what ELL's compile itself makes is measured",
            lacking,
            root / TOOLS_FILE,
        )
        opt = llc = None
    return EllTools(tools[0], tools[1], opt, llc, _find_blas(named.get("blas")))


def _build_root(ell_root: Path | None, ell_build_root: Path | None) -> Path:
    root = ell_build_root or (ell_root / "build" if ell_root is not None else _build_root_above(Path.cwd()))
    if root is None:
        raise ConfigurationError(
            "--toolchain ell needs ELL's build tree: give --ell_build_root or set ELL_BUILD_ROOT, or work inside ELL's "
            "tree; without ELL use --toolchain native"
        )
    if not root.is_dir():
        raise ConfigurationError(f"--ell_build_root: there is no directory {root}")
    return root.absolute()


def _build_root_above(folder: Path) -> Path | None:
    """The build tree that ``folder`` is in, or that lies in it or in a folder above it; None if there is none.

    Its programs are run, so one that another user could have put there is passed over.
    """
    for above in (folder, *folder.parents):
        for root in (above, above / "build"):
            if (root / TOOLS_FILE).is_file():
                if _is_trusted(root):
                    logger.info("--toolchain ell: the build tree %s was found above the current folder", root)
                    return root
                logger.warning("--toolchain ell: %s is passed over: it belongs to another user", root)
    return None


def _is_trusted(root: Path) -> bool:
    if not hasattr(os, "getuid"):
        return True
    return all(path.stat().st_uid in (0, os.getuid()) for path in (root, root / TOOLS_FILE))


def _named_tools(root: Path) -> dict[str, str]:
    """What ELL's build says of its tools: name -> path."""
    path = root / TOOLS_FILE
    if not path.is_file():
        return {}
    try:
        data: Any = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}; build ELL again") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: names no tools; build ELL again")
    return {key: value for key, value in data.items() if isinstance(value, str) and value}


def _program(root: Path, name: str, named: str | None) -> Path | None:
    folders = [root / "bin", root / "bin" / "Release"]
    if sys.platform == "win32":
        folders.reverse()
    found = shutil.which(name, path=os.pathsep.join(map(str, folders)))
    return _executable(found) or _executable(named)


def _llvm(name: str, named: str | None) -> Path | None:
    for candidate in (named, shutil.which(name)):
        path = _executable(candidate)
        if path is not None and _runs(path, "--version") == "":
            return path
    return None


def _executable(name: str | None) -> Path | None:
    found = shutil.which(name) if name else None
    return Path(found).absolute() if found else None


def _try(path: Path, argument: str) -> None:
    if trouble := _runs(path, argument):
        raise ConfigurationError(f"--toolchain ell: {path} does not run here: {trouble}; build ELL for this machine")


def _runs(path: Path, argument: str) -> str:
    """Why a program does not run; empty if it does. Help may end with an error code, but not with a crash."""
    try:
        done = run_in_group((str(path), argument), path.parent, Deadline.after(_TRY_SECONDS))
    except (DeadlineExceeded, InfrastructureError) as error:
        return str(error)
    if done.exit_code in (0, 1):
        return ""
    said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return f"exit code {done.exit_code}" + (f" ({said[-1][:200]})" if said else "")


def _find_blas(named: str | None) -> Path | None:
    """OpenBLAS of this machine, as a file that can be linked with."""
    if named and Path(named).is_file():
        return Path(named).absolute()
    for folder in _library_folders():
        for name in ("libopenblas.so", "libopenblas.so.0", "libopenblas.dylib", "libopenblas.a"):
            if (folder / name).is_file():
                return folder / name
    # Elsewhere it has no path for an answer, and starts compilers to find it.
    found = ctypes.util.find_library("openblas") if sys.platform == "darwin" else None
    return Path(found) if found and Path(found).is_absolute() else None


def _library_folders() -> Iterator[Path]:
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)
    for base in ("/usr/local", "/usr", "/opt/OpenBLAS", "/opt/homebrew/opt/openblas"):
        lib = Path(base) / "lib"
        yield lib
        yield from sorted(lib.glob("*-linux-gnu"))
        yield Path(base) / "lib64"
