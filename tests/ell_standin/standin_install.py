"""Puts a build tree with the stand-ins where a test wants it, as ELL's build leaves it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_SCRIPT = """\
#!{python}
import os, sys
if sys.argv[1:] in (["--help"], ["--version"]):
    sys.exit(0)
os.environ["ELL_STANDIN_CACHE"] = {cache!r}
sys.path.insert(0, {here!r})
from {module} import TOOLS
sys.exit(TOOLS[{name!r}](sys.argv[1:]))
"""


def install(root: Path, cache: Path) -> Path:
    """``cache`` is where compiled kernels are kept. Returns ``root``."""
    tools: dict[str, str] = {}
    for name, folder in {"compile": "bin", "print": "bin", "opt": "llvm", "llc": "llvm"}.items():
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        module = "standin_llvm" if folder == "llvm" else "standin_tools"
        here = str(Path(__file__).parent)
        path.write_text(_SCRIPT.format(python=sys.executable, cache=str(cache), here=here, module=module, name=name))
        path.chmod(0o755)
        tools[name] = str(path)
    (root / "ell_build_tools.json").write_text(json.dumps({**tools, "swig": "", "blas": ""}))
    return root
