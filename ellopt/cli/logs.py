"""Where log records go: the terminal, and a log file that is complete but bounded. Set up by the command line only."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ellopt.cli.commands.console import in_whole_words
from ellopt.cli.messages import MessageSettings
from ellopt.core.errors import ConfigurationError
from ellopt.files.redaction import Redactor, environment_secrets
from ellopt.files.terminal import harmless

#: A log file and the older parts of it (``.1`` to ``.4``) stay below 50 MB together.
PART_BYTES = 9_000_000
OLDER_PARTS = 4
#: Longer records (a compiler gone wild) are cut in the middle; at most four bytes a character.
RECORD_CHARACTERS = 200_000

_FORMAT = "%(asctime)s %(levelname)-8s %(name)s [%(threadName)s] %(message)s"
_TERMINAL_FORMAT = "%(levelname)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    """Formats a record, traceback included, takes the secrets out and cuts what is far too long."""

    def __init__(self, format_: str, redactor: Redactor) -> None:
        super().__init__(format_)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return _shortened(self._redactor.text(super().format(record)))


class TerminalFormatter(RedactingFormatter):
    """As above, for a terminal: control characters (of a model's name, of a board's output) have no effect."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


class TerminalHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is at the time, so that a live display above which it prints is not disturbed."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if sys.stderr.isatty():
                text = in_whole_words(text, shutil.get_terminal_size().columns)
            print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):  # closed, or its reader has gone: nobody is left to tell
            pass
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


class BoundedFileHandler(RotatingFileHandler):
    """A rotating file that gives up with one warning when it cannot be written (a full disk): the run goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        error = sys.exception()
        logging.getLogger().removeHandler(self)
        logging.getLogger(__name__).warning("the log file %s cannot be written any more: %s", self.baseFilename, error)


def configure(settings: MessageSettings | None = None, secrets: Sequence[str] = ()) -> None:
    """Send log records of the settings' verbosity and above to the terminal, and all of ellopt's to the log file.

    ``silence`` leaves errors only. Other packages' records below INFO are left out unless the verbosity is NOTSET.
    ``secrets`` and those of the environment never reach either. May be called again: it replaces what it set up
    before. Raises ConfigurationError if the log file cannot be opened.
    """
    settings = settings or MessageSettings()
    verbosity, logfile = settings.verbosity, settings.logfile
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, (TerminalHandler, BoundedFileHandler)):
            root.removeHandler(handler)
            handler.close()
    redactor = Redactor((*secrets, *environment_secrets(os.environ)))
    level = logging.ERROR if settings.silence else logging.getLevelNamesMapping()[verbosity]
    terminal = TerminalHandler(level)
    terminal.setFormatter(TerminalFormatter(_TERMINAL_FORMAT, redactor))
    root.addHandler(terminal)
    if logfile is not None:
        root.addHandler(_file_handler(logfile, settings.logmode, redactor))
    everything = verbosity == "NOTSET"
    lowest = logging.DEBUG if logfile is not None else level
    root.setLevel(1 if everything else max(logging.INFO, lowest))
    logging.getLogger("ellopt").setLevel(1 if everything else lowest)
    logging.captureWarnings(True)


def _file_handler(logfile: Path, logmode: str, redactor: Redactor) -> BoundedFileHandler:
    try:
        logfile.parent.mkdir(parents=True, exist_ok=True)
        if logmode == "w":
            for part in (logfile, *(Path(f"{logfile}.{n}") for n in range(1, OLDER_PARTS + 1))):
                part.unlink(missing_ok=True)
        handler = BoundedFileHandler(
            logfile, maxBytes=PART_BYTES, backupCount=OLDER_PARTS, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise ConfigurationError(
            f"--logfile: {logfile} cannot be written ({error.strerror or error}): name another place"
        ) from error
    handler.setFormatter(RedactingFormatter(_FORMAT, redactor))
    handler.setLevel(logging.NOTSET)
    return handler


def _shortened(text: str) -> str:
    if len(text) <= RECORD_CHARACTERS:
        return text
    half = RECORD_CHARACTERS // 2 - 50
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
