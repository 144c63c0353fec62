"""A script on its way through a login shell, and its answer on the way back.

The login shell of a board may be any (bash, dash, busybox, tcsh, csh, fish) and may print what it likes before it runs
what it was asked to. So the script travels in words that all of them pass on unchanged, to be put together again by
``sh``; and its answer is read from a marker on that the script prints first.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from ellopt.core.errors import InfrastructureError

#: the longest word; csh knows limits
_WORD = 800
#: how much a login shell may say before the script starts, in bytes
_LARGEST_GREETING = 1 << 20
_PASSING = ("resource temporarily unavailable", "cannot allocate memory", "cannot fork", "system is booting up")


class ShellError(InfrastructureError):
    """The login shell ended without having run the command, and said something instead."""


@dataclass(frozen=True)
class FramedCommand:
    """``text`` is what the server is asked to run; ``marker`` comes before the answer."""

    text: str
    marker: bytes


def framed(script: str, name: str = "ellopt") -> FramedCommand:
    """The command that has ``sh`` run ``script`` (POSIX sh), whatever the login shell is.

    ``name`` (letters, digits and hyphens) is what the shell's processes are called in the board's list of processes.

    Within single quotes only the quote itself, backslash, newline and ``!`` mean something to one of the shells; they
    and all that is not printable ASCII travel as octal numbers, which sh's printf turns back. The command does not
    hold the marker itself, so that a shell which repeats the command does not print it.
    """
    word = uuid.uuid4().hex
    script = f"unset IFS\nprintf 'ellopt-%s\\n' {word}\n{script}"
    words: list[str] = []
    current = ""
    for byte in script.encode("utf-8", "surrogateescape"):
        letter = chr(byte)
        plain = " " <= letter <= "~" and letter not in "'\\!%"
        current += letter if plain else "%%" if letter == "%" else f"\\{byte:03o}"
        if len(current) >= _WORD or (letter == "\n" and len(current) > _WORD // 2):
            words.append(current)
            current = ""
    words.append(current)
    quoted = " ".join(f"'{word}'" for word in words if word)
    return FramedCommand(f'exec sh -c \'IFS=; eval "$(printf "$*")"\' {name} {quoted}', f"ellopt-{word}\n".encode())


class AfterMarker:
    """Lets through what comes after the marker, and keeps what came before it."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._before = bytearray()
        self._found = False

    def feed(self, chunk: bytes) -> bytes:
        """What of ``chunk`` belongs to the answer. Raises InfrastructureError for an endless greeting."""
        if self._found:
            return chunk
        start = max(0, len(self._before) - len(self._marker))
        self._before += chunk
        position = self._before.find(self._marker, start)
        if position < 0:
            if len(self._before) > _LARGEST_GREETING:
                raise InfrastructureError("the board's login shell prints without an end")
            return b""
        self._found = True
        answer = bytes(self._before[position + len(self._marker) :])
        del self._before[position:]
        return answer

    def check(self, who: str, errors: str) -> None:
        """Raises ShellError if the marker has not come but words have, InfrastructureError if it was anything else."""
        if self._found:
            return
        try:
            said = self._before.decode("utf-8").strip() or errors
        except UnicodeDecodeError:
            said = ""
        if said and "\0" not in said and not any(word in said.lower() for word in _PASSING):
            shown = " ".join(said.split())[-300:]
            raise ShellError(
                f"{who}: its login shell does not run commands; it says: {shown!r}. ssh must be able to run one, as in "
                "'ssh BOARD sh -c true'"
            )
        raise InfrastructureError(f"{who}: the board's answer was cut off or is garbage")
