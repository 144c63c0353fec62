"""Files that list boards, an address a line."""

from __future__ import annotations

from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.devices.settings import Address

_LARGEST = 1 << 20


def read_board_list(path: Path) -> tuple[str, ...]:
    """The addresses in a file: one a line, as for ``--ipaddress``; ``#`` begins a comment.

    Raises ConfigurationError, with the number of the line, for a file or an address that cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--boards: {path} cannot be read: {error}") from None
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        address = line.partition("#")[0].strip()
        if not address:
            continue
        try:
            Address.parse(address, 0)
        except ConfigurationError as error:
            reason = str(error).removeprefix("--ipaddress: ")
            raise ConfigurationError(f"--boards: {path}, line {number}: {reason} (a line holds one address)") from None
        found.append(address)
    if not found:
        raise ConfigurationError(f"--boards: {path} lists no board: write an address a line, such as pi@192.168.1.20")
    return tuple(found)
