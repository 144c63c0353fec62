"""The C files of the generator: a folder for each method, what every bundle has, and the programs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_HERE = Path(__file__).parent
#: Every folder with C in it, where the compiler looks for headers.
C_FOLDERS = tuple(sorted({path.parent for pattern in ("*.h", "*.c") for path in _HERE.rglob(pattern)}))


def c_file(name: str) -> Path:
    """The C file of that name; names are unique over all folders. Raises FileNotFoundError."""
    for folder in C_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"there is no C file {name}")


def c_text(name: str) -> str:
    """The text of the C file of that name."""
    return c_file(name).read_text(encoding="utf-8")


#: What every bundle and every library is made of besides its network.
RUNTIME = tuple(sorted(path.name for path in (_HERE / "runtime").glob("*.c")))

_DEFINED = re.compile(r"^(?!static|typedef)[A-Za-z_][\w *]*?\b(\w+)\([^;{]*\) *\{", re.MULTILINE)
_NAME = re.compile(r"\w+")


def runtime_for(texts: Iterable[str]) -> tuple[str, ...]:
    """Those of ``RUNTIME`` that a program of ``texts`` calls, and that these call: the rest need not be compiled."""
    names = {name for text in texts for name in _NAME.findall(text)}
    needed: set[str] = set()
    while called := [f for f in RUNTIME if f not in needed and not names.isdisjoint(_defined(f))]:
        needed.update(called)
        names.update(*(_NAME.findall(c_text(file)) for file in called))
    return tuple(sorted(needed))


@lru_cache
def _defined(name: str) -> frozenset[str]:
    """The functions of that file which others can call."""
    return frozenset(_DEFINED.findall(c_text(name)))
