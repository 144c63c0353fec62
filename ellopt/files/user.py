"""Who runs this, where the system may not know: in containers a user is often a number without a name or a home."""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.files.user_dirs import put_below


def user_name() -> str:
    """The name of the user, or ``uid`` with the number of one who has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def settle_user(environment: MutableMapping[str, str] = os.environ) -> None:
    """Give a user without a name, and one without a home directory, what libraries and child programs ask for.

    A user of the system's tables whose home is known gets nothing. Others get a name (``LOGNAME``) and, where there is
    no home or a nameless user cannot write to it, a private directory below the temporary ones. Raises
    ConfigurationError if that belongs to somebody else, OSError if it cannot be made.
    """
    if os.name != "posix":
        return
    nameless = _is_nameless()
    if nameless:
        environment.setdefault("LOGNAME", user_name())
    try:
        home = Path.home()
    except RuntimeError:
        environment["HOME"] = str(_private_directory())
        return
    if nameless and not (home.is_dir() and os.access(home, os.W_OK | os.X_OK)):
        put_below(_private_directory(), environment)  # what can be read at home, such as ~/.ssh, is still read there


def _is_nameless() -> bool:
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return True
    return False


def _private_directory() -> Path:
    """A directory that only this user can read, the same each time. It is no use of another's: they could read keys."""
    path = Path(tempfile.gettempdir()) / f"ellopt-home-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ConfigurationError(f"{path} is not a private directory of this user; set HOME to one")
    return path
