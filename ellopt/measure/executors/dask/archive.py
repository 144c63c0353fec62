"""A bundle's directory as bytes, and back."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from ellopt.core.errors import InfrastructureError

#: an archive may hold so many files, and bytes when it is unpacked
_MOST_FILES = 1000
_MOST_BYTES = 4 << 30
_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,200}(/[A-Za-z0-9_.+-]{1,200}){0,4}")


def pack(directory: Path) -> bytes:
    """Every file below ``directory``, with whether it can be executed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()):
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix())
            entry.external_attr = (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(data: bytes, directory: Path) -> None:
    """Make ``directory`` of what ``pack`` made; it appears as a whole, and one that is there is left as it is.

    Raises InfrastructureError for anything else, before a file of it is kept.
    """
    if directory.exists():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".arriving-", dir=directory.parent))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
                raise InfrastructureError("a bundle arrived that is larger than any that is built")
            for entry in entries:
                parts = entry.filename.split("/")
                if not _NAME.fullmatch(entry.filename) or any(set(part) == {"."} for part in parts):
                    raise InfrastructureError(f"a bundle arrived with a file called {entry.filename[:80]!r}")
                path = made / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
                path.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
        try:
            made.rename(directory)
        except OSError:  # another thread was faster
            if not directory.exists():
                raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, LookupError, RuntimeError) as error:
        raise InfrastructureError(f"a bundle arrived damaged: {error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
