"""The Optuna study of a search, which is the record of its trials: opened where it is, or begun.

It lies in a journal file (open it with ``optuna-dashboard <directory>/study.journal``), or in any storage that Optuna
knows by a URL.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.study import Study, StudyDirection

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.files.atomic import set_aside
from ellopt.search.study_claim import StudyClaim, database_errors
from ellopt.search.study_journal import StudyJournal

_LOG = logging.getLogger(__name__)

STUDY_FILE = "study.journal"
FORMAT_VERSION = 2
#: What comes of a journal with wrong content: Optuna checks nothing of what it reads.
UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, LookupError, OptunaError, RuntimeError, TypeError, ValueError,
    ConfigurationError,
)  # fmt: skip

#: Raises one of ``UNREADABLE`` for a study that does not say what a search could have written.
Check = Callable[[Study], None]


@dataclass(frozen=True)
class StudyOf:
    """What a study is of: its name, a digest of what its trials are trials of, and when the search began."""

    name: str
    identity: str
    begun: datetime


@dataclass(frozen=True)
class OpenStudy:
    """A study; ``flush`` waits until it is kept, as it is, whatever happens next, ``release`` leaves it to others."""

    study: Study
    storage: BaseStorage
    flush: Callable[[], None]
    release: Callable[[], None]


def open_study(
    directory: Path, url: str | None, what: StudyOf, sampler: BaseSampler, pruner: BasePruner, check: Check
) -> OpenStudy:
    """The study in the journal file in ``directory``, or in the storage at ``url``; begun if it is not there.

    A journal of something else, or one that is damaged or that ``check`` refuses, is set aside. Raises
    ConfigurationError for a storage that cannot be used and for a study that another search has, OSError for a file
    that cannot.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if url is None:
            return _in_journal(directory, what, sampler, pruner, check)
        return _in_storage(directory, url, what, sampler, pruner, check)


def _in_journal(directory: Path, what: StudyOf, sampler: BaseSampler, pruner: BasePruner, check: Check) -> OpenStudy:
    path = directory / STUDY_FILE
    # Nobody else writes while the search holds the directory: a lock file was left behind by a killed process.
    for leftover in directory.glob(f"{STUDY_FILE}.lock*"):
        leftover.unlink(missing_ok=True)
    if path.exists():
        try:
            journal = StudyJournal(path)
            storage = JournalStorage(journal)
            study = optuna.load_study(study_name=what.name, storage=storage, sampler=sampler, pruner=pruner)
            if study.user_attrs.get("format") != FORMAT_VERSION and study.user_attrs["identity"]:
                _LOG.warning("%s was written by an earlier version of ellopt, and is set aside", path)
            elif study.user_attrs["identity"] != what.identity or study.direction is not StudyDirection.MINIMIZE:
                _LOG.info("%s belongs to another search and is set aside", path)
            elif journal.damaged:
                _LOG.warning("%s is damaged, and is written anew from the observations", path)
            else:
                check(study)
                return OpenStudy(study, storage, journal.flush, _nothing)
        except UNREADABLE as error:
            _LOG.warning("%s cannot be used (%s), and is written anew from the observations", path, error)
        set_aside(path)
    journal = StudyJournal(path)
    storage = JournalStorage(journal)
    study = _begin(storage, what.name, what, sampler, pruner)
    journal.flush()
    return OpenStudy(study, storage, journal.flush, _nothing)


def _in_storage(
    directory: Path, url: str, what: StudyOf, sampler: BaseSampler, pruner: BasePruner, check: Check
) -> OpenStudy:
    storage = _storage(url)
    with storage_errors(url):
        names = set(optuna.get_all_study_names(storage))
        for name in (what.name, f"{what.name} {what.identity[:12]}"):
            if name not in names:
                study = _begin(storage, name, what, sampler, pruner)
                break
            study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
            if study.user_attrs.get("identity") == what.identity and study.user_attrs.get("format") == FORMAT_VERSION:
                break
            _LOG.info("the study %s in %s belongs to another search", name, _shown(url))
        claim = StudyClaim(study, directory, _shown(url))
        try:
            check(study)
        except UNREADABLE as error:
            claim.release()
            raise ConfigurationError(
                f"--storage: the study {name!r} in {_shown(url)} does not say what was measured here ({error}); delete "
                "it, or choose another storage or another --output_path"
            ) from error
        return OpenStudy(study, storage, _nothing, claim.release)


def _storage(url: str) -> BaseStorage:
    try:
        shown = _shown(url)
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True}, skip_table_creation=False)
    except ImportError as error:
        raise ConfigurationError(f"--storage: {shown} needs a library that is not installed: {error}") from error
    except database_errors(ValueError) as error:
        raise ConfigurationError(f"--storage: {_shown(url)} cannot be used: {_reason(error)}") from error


@contextmanager
def storage_errors(url: str | None) -> Iterator[None]:
    """What a database does wrong in the ``with`` becomes an InfrastructureError that names it."""
    if url is None:
        yield
        return
    try:
        yield
    except database_errors() as error:
        raise InfrastructureError(f"--storage: {_shown(url)}: {_reason(error)}") from error


def _shown(url: str) -> str:
    """The URL without a password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError as error:
        raise ConfigurationError(
            "--storage: not the URL of a database, such as sqlite:///studies.db or postgresql://user@host/name"
        ) from error


def _reason(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, OptunaError) and error.__cause__ is not None else error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]


def _begin(storage: BaseStorage, name: str, what: StudyOf, sampler: BaseSampler, pruner: BasePruner) -> Study:
    study = optuna.create_study(storage=storage, study_name=name, direction="minimize", sampler=sampler, pruner=pruner)
    study.set_user_attr("begin", what.begun.isoformat())
    study.set_user_attr("identity", what.identity)
    study.set_user_attr("format", FORMAT_VERSION)
    return study


def _nothing() -> None:
    """A database keeps every operation at once; a file's directory is locked."""
