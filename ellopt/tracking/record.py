"""What waits on disk for MLflow: one Record is one thing to do in the tracking store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ellopt.files.json_values import decode
from ellopt.files.sealed import digest_of_file

FORMAT_VERSION = 1

#: ``model`` opens the parent run, ``resumed`` opens it again from a later process, ``child`` is a nested run,
#: ``parent`` adds to the parent run and may end it
Kind = Literal["model", "resumed", "child", "parent"]
Status = Literal["", "RUNNING", "FINISHED", "FAILED", "KILLED"]


#: a model's inputs: name -> shape
Inputs = Mapping[str, tuple[int, ...]]
NO_INPUTS: Inputs = MappingProxyType({})


@dataclass(frozen=True)
class Destination:
    """Where the runs go. ``tracking_uri`` (no credentials) empty: MLflow's default store, seen from ``directory``.

    ``run_id`` is the run that ``mlflow run`` started; with ``nested`` the model gets a run of its own below it.
    ``experiment_id`` wins over ``experiment``, a name.
    """

    tracking_uri: str = ""
    directory: str = ""
    experiment: str = ""
    experiment_id: str = ""
    run_id: str = ""
    nested: bool = False

    def same_store(self, other: Destination) -> bool:
        """Whether runs of both can stand in one experiment of one store."""
        mine = (self.tracking_uri, self.experiment_id, self.experiment if not self.experiment_id else "")
        theirs = (other.tracking_uri, other.experiment_id, other.experiment if not other.experiment_id else "")
        return mine == theirs and (bool(self.tracking_uri) or self.directory == other.directory)


@dataclass(frozen=True)
class Attachment:
    """A file to log under the artifact path ``name``. ``path`` is relative to the outbox."""

    name: str
    path: str
    sha256: str

    @classmethod
    def of(cls, name: str, file: Path, outbox: Path) -> Attachment:
        return cls(name, Path(os.path.relpath(file, outbox)).as_posix(), digest_of_file(file))


@dataclass(frozen=True)
class Registration:
    """The output model is to become a version of a registered model. ``shape``: of its first input.

    ``step`` is that of the metrics of the parent run which belong to this model. ``tags`` are the version's.
    ``inputs``: the names of its inputs, by which they are given if there are several.
    """

    name: str
    model: str  # artifact name of the .ell file among the record's files
    shape: tuple[int, ...] = ()
    step: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One thing to do. ``key`` is unique in its outbox. Times are milliseconds since 1970.

    ``history`` are metrics of the parent run at ``step``, which is also the step of a ``parent`` record's metrics;
    ``marks`` gives further tags to children, by their keys. ``views`` asks for saved views of the nested runs, with
    these parameters as columns and axes; a ``{views}`` in the run's description becomes links to them.
    """

    key: str
    kind: Kind
    name: str = ""
    status: Status = ""
    start_ms: int = 0
    end_ms: int = 0
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, float] = field(default_factory=dict)
    step: int = 0
    files: tuple[Attachment, ...] = ()
    table: str = ""  # artifact name of a CSV file among ``files`` to log as a table too
    marks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    registration: Registration | None = None
    views: tuple[str, ...] = ()
    destination: Destination | None = None
    identity: str = ""  # of kind model: two runs with different identities are different work

    def to_json(self) -> dict[str, Any]:
        return {"v": FORMAT_VERSION} | {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Raises ValueError for what is not a record of a known version."""
        if data.get("v") != FORMAT_VERSION:
            raise ValueError(f"not a record of version {FORMAT_VERSION}")
        try:
            return decode(cls, {key: value for key, value in data.items() if key != "v"})
        except ValueError as error:
            raise ValueError(f"a damaged record: {error}") from error


def has_ended(records: Iterable[Record]) -> bool:
    """Whether the last that the records say of their run is how it ended."""
    ended = True
    for record in records:
        if record.kind in ("model", "resumed"):
            ended = False
        elif record.kind == "parent" and record.status:
            ended = True
    return ended
