"""What somebody meant who wrote a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

#: how alike names are of which one is meant for the other; of short ones half are the same letters
_ALIKE, _ALIKE_SHORT, _SHORT = 0.6, 0.5, 2


def nearest(given: str, known: Iterable[str]) -> str:
    """The name of ``known`` that is most like ``given``, whatever the case and with hyphens for underscores; empty if
    none is alike."""
    by_form = {_form(name): name for name in known}
    close = get_close_matches(_form(given), by_form, 1, _ALIKE if len(given) > _SHORT else _ALIKE_SHORT)
    return by_form[close[0]] if close else ""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`` (did you mean NAME?)`` for a message, empty if no name is alike."""
    close = nearest(given, known)
    return f" (did you mean {close}?)" if close else ""


def _form(name: str) -> str:
    return name.casefold().replace("-", "_")
