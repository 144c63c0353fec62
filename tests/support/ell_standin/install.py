"""Puts a build tree with the stand-ins where a test wants it, as ELL's build leaves it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from tests.support.paths import REPOSITORY

_SCRIPT = """\
#!/bin/sh
case "$*" in --help|--version) exit 0 ;; esac
ELL_STANDIN_CACHE={cache} PYTHONPATH={repository} exec {python} -m tests.support.ell_standin.{module} {name} "$@"
"""


def install(root: Path, cache: Path) -> Path:
    """``cache`` is where compiled kernels are kept. Returns ``root``."""
    tools: dict[str, str] = {}
    for name, folder in {"compile": "bin", "print": "bin", "opt": "llvm", "llc": "llvm"}.items():
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {"cache": str(cache), "repository": str(REPOSITORY), "python": sys.executable, "name": name}
        quoted = {key: shlex.quote(value) for key, value in values.items()}
        path.write_text(_SCRIPT.format(module="llvm" if folder == "llvm" else "tools", **quoted))
        path.chmod(0o755)
        tools[name] = str(path)
    (root / "ell_build_tools.json").write_text(json.dumps({**tools, "swig": "", "blas": ""}))
    return root
