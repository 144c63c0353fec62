"""Keeps secrets out of what is written: to a terminal, a log, a file, a tracking server. No other place does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit, urlunsplit

REMOVED = "[removed]"

#: secrets shorter than this count only where they stand alone: "pi" must not be cut out of "pi3" or "pipeline"
_SHORT = 6
#: variables of unknown programs count as secret by their name if their values are as long as secrets are
_LONG = 8

_OWN_VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RPI_APIKEY",
    "RPI_PASSWORD",
)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PWD|TOKEN|SECRET|API_?KEY|ACCESS_KEY|SECRET_KEY|CONNECTION_STRING)$"
)
_SECRET_FIELD = r"(?:password|passwd|pwd|token|secret|api_?key|access_?key|sslpassword)"
#: ``scheme://user:word@``; the scheme is looked for only where one can begin, so that long texts cost no more
_USER_INFO = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]{0,40}:/{2,3})[^\s/?#\"'<>@]+(?:@[^\s/?#\"'<>@]+)*@")
_QUERY = re.compile(rf"([?&;]{_SECRET_FIELD}(?:=|%3D))[^\s&;\"'<>]+", re.IGNORECASE)


class Redactor:
    """Finds known secrets in texts and files, also in the forms that JSON, URLs and basic authentication give them.

    Texts lose the credentials of every address in them, too, whether known or not.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret.strip() for form in _forms(secret)}
        patterns = [_pattern(form) for form in sorted(forms, key=len, reverse=True)]
        joined = "|".join(patterns)
        self._text = re.compile(joined) if patterns else None
        self._bytes = re.compile(joined.encode(errors="surrogateescape")) if patterns else None

    def text(self, text: str) -> str:
        """``text`` with every secret replaced by ``[removed]``."""
        clean = text if self._text is None else self._text.sub(REMOVED, text)
        return without_addresses_credentials(clean)

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
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    encoded = secret.encode(errors="surrogateescape")
    yield quote(encoded, safe="")
    yield quote_plus(encoded)
    if len(secret) >= _SHORT:
        yield base64.b64encode(encoded).decode().rstrip("=")


def _pattern(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _SHORT else rf"(?<![A-Za-z0-9_.]){escaped}(?![A-Za-z0-9_.])"


def without_addresses_credentials(text: str) -> str:
    """``text`` in which no address holds ``user:password@`` or ``password=``."""
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\1{REMOVED}", _USER_INFO.sub(rf"\1{REMOVED}@", text))


def without_credentials(uri: str) -> str:
    """The address without the ``user:password@`` and the passwords among its parameters that it may hold."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # no address at all; what it holds may be a secret all the same
        return without_addresses_credentials(uri)
    if "@" in parts.netloc:
        uri = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return _QUERY.sub(rf"\1{REMOVED}", uri) if parts.scheme else uri


def address_secrets(uri: str) -> tuple[str, ...]:
    """What an address holds that must not be seen: its password, or the token in its place, as written and decoded."""
    _, separator, rest = uri.partition("://")
    if not separator:
        return ()
    found: list[str] = []
    head = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in head and ":" in head and not re.match(r"[^:/]*:\d+(?:[/?#]|$)", rest):
        head = rest  # a password with a slash in it makes a wrong address, and is a password all the same
    if "@" in head:
        user, _, word = head.rpartition("@")[0].partition(":")
        if word or len(user) >= _LONG:
            found.append(word or user)
    try:
        query = urlsplit(uri).query
    except ValueError:
        query = ""
    found += [value for name, value in parse_qsl(query) if re.fullmatch(_SECRET_FIELD, name, re.IGNORECASE)]
    forms = [form for word in found for form in (word, unquote(word), unquote_plus(word))]
    return tuple(dict.fromkeys(form for form in forms if form))


def environment_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets that the environment holds: for ellopt, for MLflow, for the stores behind it, and in any address."""
    found = [environment.get(name, "") for name in _OWN_VARIABLES]
    for name, value in environment.items():
        if _SECRET_NAME.search(name.upper()) and name.upper() not in ("PWD", "OLDPWD") and len(value) >= _LONG:
            found.append(value)
        if ("://" in value and "@" in value) or name == "MLFLOW_TRACKING_URI":
            found += address_secrets(value)
    return tuple(dict.fromkeys(secret for secret in found if secret))
