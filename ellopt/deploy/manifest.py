"""Which files in a directory a library left there: those, unchanged, may be written again; nobody else's may."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.files.atomic import write_bytes, write_text
from ellopt.files.disk import disk
from ellopt.files.json_values import decode, parse_object

MANIFEST = "ellopt-library.json"
_VERSION = 1


@dataclass(frozen=True)
class LibraryManifest:
    """``files``: name -> SHA-256 of what was written there; more while others are being written."""

    name: str
    version: int = _VERSION
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> LibraryManifest | None:
        """That of the library in ``directory``; None if there is none that can be read."""
        try:
            found = decode(cls, parse_object((directory / MANIFEST).read_bytes()))
        except (OSError, ValueError):
            return None
        return found if found.version == _VERSION else None

    def write(self, directory: Path) -> None:
        text = {"version": self.version, "name": self.name, "files": {k: list(v) for k, v in self.files.items()}}
        write_text(directory / MANIFEST, json.dumps(text, indent=1) + "\n")


def require_ours(directory: Path, name: str, files: tuple[str, ...]) -> None:
    """Raise ConfigurationError if writing the library called ``name`` with ``files`` would destroy something else."""
    manifest = LibraryManifest.read(directory)
    if manifest is not None and manifest.name != name:
        raise ConfigurationError(
            f"{directory} holds the library {manifest.name}: give {name} a directory of its own, or --force"
        )
    known = manifest.files if manifest else {}
    strange = [file for file in files if not _is_ours(directory / file, known.get(file, ()))]
    if manifest is None and os.path.lexists(directory / MANIFEST):
        strange.append(MANIFEST)
    if strange:
        raise ConfigurationError(
            f"{directory}: {', '.join(strange)} {'is' if len(strange) == 1 else 'are'} not as ellopt left "
            f"{'it' if len(strange) == 1 else 'them'}, and would be overwritten: give another directory, or --force"
        )


def write_files(directory: Path, name: str, files: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    """Write the library's files, and ``links`` (name -> the file that it stands for). Raises OSError."""
    contents = {**files, **{link: files[target] for link, target in links.items()}}
    new = {file: (hashlib.sha256(data).hexdigest(),) for file, data in contents.items()}
    before = LibraryManifest.read(directory)
    old = before.files if before else {}
    # Both, so that what was begun and did not end can be done again.
    LibraryManifest(
        name, files={file: tuple(dict.fromkeys((*new[file], *old.get(file, ()))))[:9] for file in new}
    ).write(directory)
    for file, data in files.items():
        write_bytes(directory / file, data)
    for link, target in links.items():
        _link(directory / link, target, files[target])
    LibraryManifest(name, files=new).write(directory)


def _link(path: Path, target: str, data: bytes) -> None:
    try:
        if os.path.lexists(path):
            disk().remove(path)
        path.symlink_to(target)
    except OSError:  # a file system or a system without symbolic links
        write_bytes(path, data)


def _is_ours(path: Path, hashes: tuple[str, ...]) -> bool:
    if not os.path.lexists(path):
        return True
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() in hashes
    except OSError:
        return False
