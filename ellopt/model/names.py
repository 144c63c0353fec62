"""What a model is called: made of its file's name, which may hold anything that a file system takes."""

from __future__ import annotations

import hashlib
import re

#: longer names, with what is put before and behind them, are no file names any more
LONGEST = 100
#: names of devices on Windows, with any ending
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))})
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!\.)")


def safe_name(text: str) -> str:
    """A name that means nothing to a file system, a shell or any other language that it is written into.

    It has ASCII letters, digits, ``_``, ``-`` and ``.``, at most ``LONGEST`` of them; it begins with a letter, a digit
    or ``_`` and does not end in a dot. Text that is so already stays as it is. Of other text those characters stay,
    and a hash of all of it follows, so that two texts stay two names.
    """
    device = text.partition(".")[0].lower() in _DEVICES
    if _SAFE.fullmatch(text) and len(text) <= LONGEST and not device:
        return text
    kept = re.sub(r"[^A-Za-z0-9_-]+" if device else r"[^A-Za-z0-9_.-]+", "_", text).strip("._-")
    return f"{kept[: LONGEST - 9].rstrip('.') or 'model'}-{short_hash(text)}"


def short_hash(text: str) -> str:
    """Eight hexadecimal digits that tell ``text`` from others; it may hold bytes that are no text (surrogates)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
