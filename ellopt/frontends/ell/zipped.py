"""`.ell.zip`: one model in a zip, read in memory and within limits."""

from __future__ import annotations

import io
import lzma
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

from ellopt.core.errors import ModelFormatError

#: Largest uncompressed model, and the largest ratio of uncompressed to compressed size (text weights reach about 3).
MAX_BYTES = 2 << 30
MAX_RATIO = 200
#: Small entries may be as repetitive as they like.
_RATIO_FLOOR = 1 << 20

_DRIVE = re.compile(r"[A-Za-z]:")
_CHUNK = 1 << 20
#: What the zip module raises for damaged files; OSError for a seek before the start.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError, ValueError)


def read_zipped(
    path: Path, max_bytes: int = MAX_BYTES, max_ratio: float = MAX_RATIO, *, stored: bytes | None = None
) -> bytes | bytearray:
    """The content of the only `.ell` entry of a zip. ``stored``: the zip's bytes, where ``path`` was read already.

    Raises ModelFormatError for a damaged or encrypted zip, for none or several `.ell` entries, for any entry whose
    name would lead out of a folder, and for a model larger than ``max_bytes`` or packed more than ``max_ratio``
    times. The sizes that the zip claims are not trusted: reading stops at the limit. OSError as ``open`` does.
    """
    with path.open("rb") if stored is None else io.BytesIO(stored) as file:
        try:
            size = file.seek(0, os.SEEK_END)
            with zipfile.ZipFile(file) as archive:
                entry = _only_model(path, archive)
                limit = min(max_bytes, max(int(min(entry.compress_size, size) * max_ratio), _RATIO_FLOOR))
                if entry.file_size > limit:
                    raise _too_large(path, entry.filename, limit)
                return _read(path, archive, entry, limit)
        except _DAMAGED as error:
            raise ModelFormatError(f"{path}: cannot be read as a zip file: {error}") from error


def _only_model(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    for name in archive.namelist():
        _refuse_escape(path, name)
    entries = [e for e in archive.infolist() if e.filename.lower().endswith(".ell") and not e.is_dir()]
    entries = [e for e in entries if not e.filename.startswith("__MACOSX/")]
    if len(entries) != 1:
        found = ", ".join(sorted(e.filename for e in entries)) or "none"
        raise ModelFormatError(f"{path}: a zip must hold exactly one .ell file; found: {found}")
    if entries[0].flag_bits & 1:
        raise ModelFormatError(f"{path}: {entries[0].filename} is encrypted; store it without a password")
    return entries[0]


def _read(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes | bytearray:
    content = bytearray()
    with archive.open(entry) as stream:
        while chunk := stream.read(_CHUNK):
            content += chunk
            if len(content) > limit:
                raise _too_large(path, entry.filename, limit)
    return content


def _too_large(path: Path, name: str, limit: int) -> ModelFormatError:
    return ModelFormatError(
        f"{path}: {name} unpacks to more than {limit} bytes, which looks like a zip bomb; "
        "unpack it yourself if it is sound"
    )


def _refuse_escape(path: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or _DRIVE.match(name) or "\0" in name:
        raise ModelFormatError(f"{path}: the entry {name!r} would be unpacked outside its folder; the zip is refused")
