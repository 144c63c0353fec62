"""Text from outside (models, boards, services, servers) made safe to be shown."""

from __future__ import annotations

import unicodedata

#: control characters, and invisible ones that reorder a line
_STEERING = ("Cc", "Cf")
#: characters of the longest name that a table shows whole
LONGEST_NAME = 48


def printable(text: str) -> str:
    """``text`` in one line: without characters that steer a terminal, reorder a line or cannot be written (halves of
    characters)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if unicodedata.category(c) not in (*_STEERING, "Cs") else "�" for c in text)


def shortened(text: str, limit: int = LONGEST_NAME) -> str:
    """``text`` without its middle where it is longer than ``limit``: beginning and end of a layer's name tell most."""
    if len(text) <= limit:
        return text
    end = limit // 2
    return f"{text[: limit - end - 1]}…{text[-end:]}"


def harmless(text: str) -> str:
    """``text`` without characters that steer a terminal; lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _STEERING else "�" for c in text)
