"""The environment of programs that we start: without the secrets of ours, of which none of them has need."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_SECRET_NAME = re.compile(
    r"PASSW|PASSPHRASE|(^|_)(PWD|PW|PASS)$|TOKEN|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|(^|_)(AUTH|KEY)$"
    r"|ACCOUNT_KEY|CONNECTION_STRING|SAS(_|$)",
    re.IGNORECASE,
)
#: scheme://user:password@host, also in the middle of a value
_SECRET_VALUE = re.compile(r"://[^/\s@:]*:[^/\s@]+@")


def child_environment(
    added: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """``environment`` (this process's own, if None) without passwords, tokens and keys, and with ``added``.

    A variable is taken for a secret by its name (``RPI_PASSWORD``, ``MLFLOW_TRACKING_TOKEN``, ``OPENAI_API_KEY``,
    ``AWS_SECRET_ACCESS_KEY``, ...) or if its value is an address with a password in it.
    """
    own = os.environ if environment is None else environment
    return {name: value for name, value in own.items() if not is_secret(name, value)} | dict(added or {})


def is_secret(name: str, value: str) -> bool:
    """Whether an environment variable is one that others should not see."""
    if name in ("PWD", "OLDPWD"):
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))
