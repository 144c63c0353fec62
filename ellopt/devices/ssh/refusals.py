"""What a board refuses for good: not tried again before the user has mended something."""

from __future__ import annotations

from ellopt.core.errors import ConfigurationError


class HostKeyError(ConfigurationError):
    """A board's host key is unknown, revoked or not the one that is known."""


class LoginError(ConfigurationError):
    """A board refused the user, or every key and password that there is."""
