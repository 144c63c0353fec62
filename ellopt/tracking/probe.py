"""Does MLflow's store answer?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.files.redaction import without_credentials
from ellopt.tracking.folder import check_folder
from ellopt.tracking.reasons import reason_of


def probe_store() -> str:
    """Look at the store that runs would be logged to, without changing it, and say which it is.

    Raises InfrastructureError if MLflow cannot be imported or the store does not answer now, ConfigurationError if it
    never will: an address of no store, a folder that is missing or cannot be written, a driver that is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise InfrastructureError(f"mlflow cannot be imported ({error}); install it: pip install mlflow") from error
    check_folder()
    uri = mlflow.get_tracking_uri()
    shown = without_credentials(uri)
    if (place := sqlite_file(uri)) is not None and not place.exists():
        _check_folder(place.parent, shown)  # a run would make the file; to look must not
        return f"runs are logged to {shown}, which the first run makes"
    if place is not None:
        _check_folder(place.parent, shown)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        mlflow.MlflowClient(uri).search_experiments(max_results=1)
    except Exception as error:  # the client raises whatever its transport does
        reason = reason_of(error)
        if reason.lasting:
            raise ConfigurationError(f"{shown}: {reason.text}") from error
        raise InfrastructureError(f"{shown} does not answer: {reason.text}") from error
    return f"{shown} answers" if place is None else f"runs are logged to {shown}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store, None for any other store."""
    scheme, _, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    return Path(name) if scheme.startswith("sqlite") and name and name != ":memory:" else None


def _check_folder(folder: Path, shown: str) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"{shown}: there is no folder {folder.absolute()}; make it, or name another place")
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return
    except OSError as error:
        raise ConfigurationError(
            f"{shown}: the folder {folder.absolute()} cannot be written ({error.strerror or error})"
        ) from error
