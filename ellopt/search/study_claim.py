"""Who searches with a study in a database: one directory at a time, or each would take the other's trials for its own.

A claim is a user attribute of the study that names a machine and a directory there, and says whether a search is under
way. What was killed leaves its claim: the same command, given again, has the same one and goes on.
"""

from __future__ import annotations

import logging
import platform
import uuid
from pathlib import Path

from optuna.exceptions import OptunaError
from optuna.study import Study

from ellopt.core.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
_KEY = "searched from "
#: where a network card's address is not known, uuid gives a random number that has this bit set
_RANDOM = 1 << 40


def database_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What a study raises whose database does not work, and ``others``."""
    from sqlalchemy.exc import SQLAlchemyError  # takes half a second to import; most studies are files

    return SQLAlchemyError, OptunaError, *others


class StudyClaim:
    """The claim of the search in ``directory`` to ``study``, until ``release``. ``where``: the database, for messages.

    Raises ConfigurationError if another directory's search has the study.
    """

    def __init__(self, study: Study, directory: Path, where: str) -> None:
        self._study, self._key = study, _KEY + _place(directory)
        study.set_user_attr(self._key, True)
        # Ours is there already: of two that begin at once, neither can miss the other.
        others = [key for key, held in study.user_attrs.items() if key.startswith(_KEY) and key != self._key and held]
        if others:
            self.release()
            raise ConfigurationError(
                f"--storage: the study {study.study_name!r} in {where} is {others[0]}, which has not ended: wait for "
                "it, or go on with the same --output_path where it was killed; otherwise choose another storage, or "
                "delete the study"
            )

    def release(self) -> None:
        """Leave the study to others. What goes wrong is logged."""
        try:
            self._study.set_user_attr(self._key, False)
        except database_errors() as error:
            _LOG.warning("--storage: the study %s is not given back: %s", self._study.study_name, error)


def _place(directory: Path) -> str:
    card = uuid.getnode()
    machine = "" if card & _RANDOM else f" ({card:012x})"
    return f"{platform.node()}{machine}: {directory.absolute()}"
