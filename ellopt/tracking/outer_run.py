"""The run that ``mlflow run`` makes for every entry point, also for those that tune nothing."""

from __future__ import annotations

import logging
import os
import re

_LOG = logging.getLogger(__name__)
_RANDOM_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")


def is_random(name: str) -> bool:
    """Whether a run is called as MLflow calls one that nobody named, such as ``youthful-toad-12``."""
    return _RANDOM_NAME.fullmatch(name) is not None


def inside_mlflow_run() -> bool:
    """Whether ``mlflow run`` started this process."""
    return bool(os.environ.get("MLFLOW_RUN_ID"))


def name_outer_run(name: str) -> None:
    """Give the run that ``mlflow run`` made a name, unless somebody gave it one. A store that refuses is no error."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    run_id = os.environ["MLFLOW_RUN_ID"]
    try:
        client = MlflowClient()
        if is_random(client.get_run(run_id).info.run_name or ""):
            client.update_run(run_id, name=name)
    except (MlflowException, OSError) as error:
        _LOG.debug("the run %s was not named: %s", run_id, error)
