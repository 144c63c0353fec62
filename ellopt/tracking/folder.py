"""MLflow without a server writes below the current folder: can it write that folder's name, how soon is it heard?"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from ellopt.core.errors import ConfigurationError

_SERVERS = ("http:", "https:", "databricks")
#: MLflow writes the folder's name into a statement of SQL as it is, where these end a text or begin a parameter
_STATEMENT = re.compile(r"'|(?<![:\w\\]):\w+(?!:)")
_DEFAULT_STORE = "mlflow.db"
#: how long one waits to hear where a run is: of a server; of a store on this machine, which takes some seconds when it
#: is made, and many where others keep the processors busy
_ANSWER_SECONDS, _LOCAL_ANSWER_SECONDS = 5.0, 60.0


def is_server(uri: str) -> bool:
    """Whether the tracking address is one of a server, which keeps files where it wants."""
    return uri.startswith(_SERVERS)


def answer_seconds(uri: str) -> float:
    """For how long to wait for the store at the tracking address ``uri`` to say where a run is."""
    return _ANSWER_SECONDS if is_server(uri) else _LOCAL_ANSWER_SECONDS


def check_folder() -> None:
    """Raise ConfigurationError if MLflow would write to this machine and cannot write below the current folder."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if is_server(uri):
        return
    folder = str(Path.cwd())
    try:
        folder.encode()
    except UnicodeEncodeError:
        what = "is not valid UTF-8"
    else:
        found = None if uri or Path(_DEFAULT_STORE).exists() else _STATEMENT.search(folder)
        if found is None:
            return
        what = f"holds {found[0]}"
    raise ConfigurationError(
        f"MLflow cannot keep runs below the current folder, whose name {what}: start in another folder, set "
        "MLFLOW_TRACKING_URI to the address of a server, or give --no_mlflow"
    )


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where a new experiment keeps its files, if MLflow's own choice would be another folder than the current one.

    It does not quote the folder's name, and reads it as quoted: ``50%20`` becomes ``50`` and a space.
    """
    folder = Path.cwd()
    if is_server(uri) or unquote(str(folder)) == str(folder):
        return None
    return (folder / "mlruns" / experiment).as_uri()
