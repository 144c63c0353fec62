"""What a worker has to offer, and why it may not be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ellopt import __version__
from ellopt.codegen.version import GENERATOR_VERSION
from ellopt.files.json_values import decode, encode

#: Raised when what travels between clients and workers changes.
PROTOCOL = 2
#: Under this name a worker tells its scheduler what it offers.
KEY = "ellopt"


def our_version() -> str:
    """What client and workers must have in common."""
    return f"ellopt {__version__}, generator {GENERATOR_VERSION}, protocol {PROTOCOL}"


@dataclass(frozen=True)
class Wanted:
    """What visits of a run need: boards of a target, all of one kind. ``kind`` is empty while any kind will do."""

    target: str
    kind: str = ""


@dataclass(frozen=True)
class Offer:
    """``visits`` boards of ``kind`` for ``target`` can be visited at once (no target: none), ``builds`` bundles built,
    ``tunings`` models tuned as a whole.

    ``boards``: their names, where they are known. ``site``: the machine that the worker runs on, and its user.
    """

    version: str
    worker: str
    site: str
    target: str = ""
    kind: str = ""
    boards: tuple[str, ...] = ()
    visits: int = 0
    emulated: bool = False
    builds: int = 0
    tunings: int = 0

    @property
    def resources(self) -> dict[str, float]:
        """Dask's resources: work for another version, target or kind of board finds nothing here."""
        found: dict[str, float] = {}
        if self.target:
            found[visit_resource(Wanted(self.target, self.kind), self.version)] = self.visits
        if self.builds:
            found[build_resource(self.version)] = self.builds
        if self.tunings:
            found[tuning_resource(self.version)] = self.tunings
        return found

    @property
    def parts(self) -> tuple[Offer, ...]:
        """The same as offers of one kind of work each: what waits in Dask's queue of a worker for a board, a build or a
        tuning keeps all behind it waiting, whatever that needs."""
        nothing = replace(self, target="", kind="", boards=(), visits=0, emulated=False, builds=0, tunings=0)
        visits = (replace(self, builds=0, tunings=0),) if self.target else ()
        builds = (replace(nothing, builds=self.builds, worker=f"{self.worker} (builds)"),) if self.builds else ()
        tunes = (replace(nothing, tunings=self.tunings, worker=f"{self.worker} (tunes)"),) if self.tunings else ()
        first, *others = (*visits, *builds, *tunes) or (nothing,)
        return (replace(first, worker=self.worker), *others)

    def refusal(self, wanted: Wanted) -> str:
        """Why visits cannot be made here; empty if they can."""
        if self.version != our_version():
            return f"it has {self.version}; here is {our_version()}"
        if not self.target:
            return "it only tunes" if self.tunings and not self.builds else "it only builds"
        if self.target != wanted.target:
            return f"its boards are {self.target}"
        if wanted.kind and self.kind != wanted.kind:
            return f"its boards are {self.kind}, and measurements of {wanted.kind} are not compared with theirs"
        return ""

    def to_json(self) -> dict[str, Any]:
        return dict(encode(self))


def visit_resource(wanted: Wanted, version: str) -> str:
    return f"visit {wanted.target} on {wanted.kind} ({version})"


def build_resource(version: str) -> str:
    return f"build ({version})"


def tuning_resource(version: str) -> str:
    return f"tuning ({version})"


def read_offer(identity: Mapping[str, Any]) -> Offer | None:
    """What a worker said to its scheduler; None for one that is no worker of ours."""
    said = identity.get(KEY)
    try:
        return None if said is None else decode(Offer, said)
    except ValueError:  # of a version that says more, or less
        version = said.get("version") if isinstance(said, dict) else None
        return Offer(str(version or "another version of ellopt"), str(identity.get("id")), "")
