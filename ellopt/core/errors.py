"""The errors ellopt raises on purpose.

Four kinds, four answers:

* ``ConfigurationError`` and ``ModelFormatError``: the user can mend it; shown as one line, exit code 2.
* ``CandidateError``: one way to compute a layer does not work; recorded as a result, never tried again.
* ``InfrastructureError``: a board, a connection or a service failed; the work goes elsewhere.
* anything else is a bug in ellopt: the run stops with its work saved.
"""

from __future__ import annotations


class ElloptError(Exception):
    """Base of every error that ellopt raises on purpose."""


class ConfigurationError(ElloptError):
    """An option, an options file or the environment is wrong. The message names it and says what to do."""


class DiskFullError(ConfigurationError):
    """A disk is full, or a user's share of it. The message says where; no model, candidate or board is to blame."""


class ModelFormatError(ElloptError):
    """A model file cannot be used. The message names the file and, where there is one, the node."""


class CandidateError(ElloptError):
    """A candidate failed: it does not compile, crashes, computes something else or exceeds its limit."""


class BuildError(CandidateError):
    """The toolchain could not build a bundle. ``log`` holds the compiler's output."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class InfrastructureError(ElloptError):
    """A device, a connection or a service failed; the same work may succeed elsewhere or later."""


class UnwantedError(InfrastructureError):
    """Work was ended because nobody wants its result any more. No board is to blame."""


class DeadlineExceeded(InfrastructureError):
    """Something took longer than it may."""


class CommandTimeout(DeadlineExceeded):
    """A command did not end within its own limit, on a machine that is well. It has been killed."""
