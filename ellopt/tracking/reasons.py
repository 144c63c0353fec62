"""Why a tracking store does not take records, in words, and whether to try again can help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ellopt.files.redaction import without_addresses_credentials

_LENGTH = 300
_HTML = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_STATUS = re.compile(r"\b([45]\d\d)\b")
#: error codes of MLflow, and names of exceptions of what lies below it, that the next try meets again
_LASTING_CODES = frozenset(
    {
        "RESOURCE_DOES_NOT_EXIST",
        "INVALID_PARAMETER_VALUE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "ENDPOINT_NOT_FOUND",
        "NOT_IMPLEMENTED",
        "INVALID_STATE",
    }
)
_LASTING_TYPES = frozenset(
    {
        "ArgumentError",
        "ImportError",
        "InvalidSchema",
        "InvalidURL",
        "LocationParseError",
        "MissingSchema",
        "ModuleNotFoundError",
        "NoSuchModuleError",
        "NotADirectoryError",
        "PermissionError",
        "UnsupportedModelRegistryStoreURIException",
    }
)
#: what the network says of an address where nobody is
_NOBODY = re.compile(
    "Connection refused|Name or service not known|name resolution|No route to host|Network is unreachable",
    re.IGNORECASE,
)
_PLACE = re.compile(r"host='([^']*)', port=(\d+)")
_LASTING_TEXTS = (
    "maintenance mode",
    "unsupported URI",
    "unable to open database file",
    "readonly database",
    "read-only file system",
    "No module named",
)


class NeverTaken(Exception):
    """The store is there and will not take a record, now or later."""


@dataclass(frozen=True)
class Reason:
    """``lasting``: to try again helps nothing before somebody changes something."""

    text: str
    lasting: bool


def reason_of(error: BaseException) -> Reason:
    """What ``error``, raised by MLflow or what lies below it, says to a user."""
    whole = str(error).strip()
    if isinstance(error, NeverTaken):
        return Reason(whole, True)
    whole = without_addresses_credentials(whole)
    code = str(getattr(error, "error_code", ""))
    status = _STATUS.search(whole)
    number = status[1] if status else ""
    if _HTML.search(whole):
        lasting = not number.startswith("5")
        what = "it is no MLflow server, or too old for this request" if lasting else "a proxy or the server has trouble"
        return Reason(f"the address answers with a web page{f' (HTTP {number})' if number else ''}: {what}", lasting)
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or "error code 401" in whole or "error code 403" in whole:
        return Reason(
            "the server wants another user or password (MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN)", True
        )
    if missing := re.search(r"No module named '([\w.]+)'", whole):
        return Reason(f"the database's driver is missing: pip install {_package(missing[1])}", True)
    if (nobody := _NOBODY.search(whole)) and "Max retries exceeded" in whole:
        place = _PLACE.search(whole)
        where = f"at {place[1]}:{place[2]}" if place else "there"
        return Reason(f"no server answers {where} ({nobody[0].lower()})", False)
    if "maintenance mode" in whole:
        return Reason("this MLflow keeps no runs in plain folders: use sqlite:///PATH/mlflow.db or a server", True)
    if "unsupported URI" in whole:
        return Reason("MLflow knows no store of this kind of address: use http://, https:// or sqlite:///", True)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    lasting = code in _LASTING_CODES or bool(kinds & _LASTING_TYPES) or any(t in whole for t in _LASTING_TEXTS)
    lines = whole.splitlines()
    return Reason(f"{type(error).__name__}: {lines[0][:_LENGTH]}" if lines else type(error).__name__, lasting)


def is_web_page(error: BaseException) -> bool:
    """Whether the answer was a page for people, as a server gives it for a request that it does not know."""
    return bool(_HTML.search(str(error)))


def _package(module: str) -> str:
    return {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}.get(module, module)
