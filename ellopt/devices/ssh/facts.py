"""Sizes and hashes of files, by which this side and a board agree that they are the same."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import InfrastructureError
from ellopt.devices.bundle import Bundle


@dataclass(frozen=True)
class FileFacts:
    """Bytes, and ``sha256:...`` or ``none`` where the board cannot hash."""

    size: int
    digest: str


def bundle_facts(bundle: Bundle) -> dict[str, FileFacts]:
    """Size and hash of every file of a bundle; the files are read once, however many boards get them."""
    return _contents_of(bundle.path, bundle.digest, bundle.files)


@functools.lru_cache(maxsize=32)
def _contents_of(path: Path, digest: str, files: tuple[str, ...]) -> dict[str, FileFacts]:
    return {name: facts_of((path / name).read_bytes()) for name in files}


def facts_of(data: bytes) -> FileFacts:
    return FileFacts(len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")


def stored_facts(line: str) -> FileFacts:
    """What a board says of a file that it has stored. Raises InfrastructureError for anything else."""
    word, *rest = line.split() or [""]
    if word != "stored":
        raise InfrastructureError("the board's answer is garbage")
    return read_facts(rest)


def read_facts(words: Sequence[str]) -> FileFacts:
    """Raises InfrastructureError for anything but a size and a hash."""
    if len(words) != 2 or not words[0].isdigit():
        raise InfrastructureError("the board's answer is garbage")
    return FileFacts(int(words[0]), words[1])
