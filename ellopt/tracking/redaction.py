"""Keeps secrets out of what is written to disk for MLflow."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

REMOVED = "[removed]"

#: secrets shorter than this count only where they stand alone: "pi" must not be cut out of "pi3" or "pipeline"
_SHORT = 6

_CREDENTIAL_VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RPI_APIKEY",
    "RPI_PASSWORD",
)


class Redactor:
    """Finds known secrets in texts and files, also in the forms that JSON, URLs and basic authentication give them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret.strip() for form in _forms(secret)}
        patterns = [_pattern(form) for form in sorted(forms, key=len, reverse=True)]
        joined = "|".join(patterns)
        self._text = re.compile(joined) if patterns else None
        self._bytes = re.compile(joined.encode()) if patterns else None

    def text(self, text: str) -> str:
        """``text`` with every secret replaced by ``[removed]``."""
        return text if self._text is None else self._text.sub(REMOVED, text)

    def json(self, value: Any) -> Any:
        """A JSON value with every secret replaced in all its texts, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.json(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(item) for item in value]
        return value

    def found_in(self, path: Path) -> bool:
        """Whether the file holds a secret. Reads in pieces, so that a large model takes no memory."""
        if self._bytes is None:
            return False
        tail = b""
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                if self._bytes.search(tail + piece):
                    return True
                tail = piece[-4096:]
        return False


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    if len(secret) >= _SHORT:
        yield base64.b64encode(secret.encode()).decode().rstrip("=")


def _pattern(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _SHORT else rf"(?<![A-Za-z0-9_.]){escaped}(?![A-Za-z0-9_.])"


def without_credentials(uri: str) -> str:
    """The address without the ``user:password@`` that it may hold."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def environment_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets that the environment holds for ellopt and MLflow."""
    found = [environment.get(name, "") for name in _CREDENTIAL_VARIABLES]
    found.append(urlsplit(environment.get("MLFLOW_TRACKING_URI", "")).password or "")
    return tuple(secret for secret in found if secret)
