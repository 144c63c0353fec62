"""The C files of the generator: a folder for each method, what every bundle has, and the programs."""

from __future__ import annotations

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
