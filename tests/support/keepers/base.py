"""What keeps something on the disk, with a short piece of work that can be stopped anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from tests.support.crashes import Announce


class Keeper(ABC):
    """``afresh``: the work that is stopped at the next call begins anew. Else, where it is slow, it goes on from where
    the last was stopped."""

    afresh = True

    def prepare(self, place: Path) -> None:
        """What is there before the work begins."""
        place.mkdir()

    @abstractmethod
    def work(self, place: Path, announce: Announce) -> None:
        """Do the work, or what is left of it. What is announced counts, whatever happens next."""

    @abstractmethod
    def kept(self, place: Path) -> set[str]:
        """What the next process finds of what can be announced. An error if it finds what nobody wrote."""

    def whole(self, place: Path) -> object:
        """What is there in the end, however often the work was stopped."""
        return self.kept(place)

    def go_on(self, place: Path) -> tuple[set[str], object]:
        """What the next process finds, and what is there when it has gone on to the end."""
        found = self.kept(place)
        self.work(place, lambda fact: None)
        return found, self.whole(place)
