"""Which of MLflow's pages show the runs of an output directory, and in which store they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.files.redaction import without_credentials
from ellopt.tracking.probe import sqlite_file
from ellopt.tracking.reasons import reason_of
from ellopt.tracking.tracked_runs import TrackedRun, store_with_credentials, tracked_runs
from ellopt.tracking.views import all_models_page, experiments_page, run_page, trials_page


@dataclass(frozen=True)
class Store:
    """A tracking store, and the runs in it that are meant; those of other stores are ``elsewhere``."""

    uri: str
    runs: tuple[TrackedRun, ...] = ()
    elsewhere: tuple[TrackedRun, ...] = ()


@dataclass(frozen=True)
class RunPages:
    """Pages of a run of a model, below the server's address: the run's own, and the saved view of its trials."""

    name: str
    run: str
    trials: str


@dataclass(frozen=True)
class Pages:
    """``first`` is the page to open: of one run its trials, of several what they came to."""

    first: str
    runs: tuple[RunPages, ...] = ()


def find_store(directory: Path | None) -> Store:
    """The store with the runs of ``directory``, of the newest if there are several; without it the default store.

    Raises ConfigurationError if there is no run, or the store is gone.
    """
    if directory is None:
        import mlflow

        store = Store(mlflow.get_tracking_uri())
    else:
        found = tracked_runs(directory)
        uri = found[-1].tracking_uri
        here = tuple(run for run in found if run.tracking_uri == uri)
        store = Store(store_with_credentials(uri), here, tuple(run for run in found if run.tracking_uri != uri))
    file = sqlite_file(store.uri)
    if file is not None and not file.exists():
        where = "tune a model first, or give its output directory" if directory is None else "it was moved or deleted"
        raise ConfigurationError(f"{store.uri}: there is no such store; {where}")
    if store.uri.startswith("databricks"):
        raise ConfigurationError("MLFLOW_TRACKING_URI is a Databricks workspace, which shows its runs itself")
    return store


def pages_of(store: Store) -> Pages:
    """The pages of the store's runs. Raises ConfigurationError if they were deleted, InfrastructureError if the store
    does not answer."""
    if not store.runs:
        return Pages(experiments_page())
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    client = MlflowClient(tracking_uri=store.uri)
    pages: list[RunPages] = []
    experiments: dict[str, None] = {}
    gone = ""
    for tracked in store.runs:
        try:
            run = client.get_run(tracked.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise InfrastructureError(f"{without_credentials(store.uri)}: {reason_of(error).text}") from error
            gone = tracked.run_id
            continue
        if run.info.lifecycle_stage != "active":
            gone = tracked.run_id
            continue
        where = (str(run.info.experiment_id), tracked.run_id)
        pages.append(RunPages(run.info.run_name or tracked.run_id, run_page(*where), trials_page(*where)))
        experiments[where[0]] = None
    if not pages:
        raise ConfigurationError(f"the run {gone} was deleted from {without_credentials(store.uri)}")
    first = pages[0].trials if len(pages) == 1 else all_models_page(tuple(experiments))
    return Pages(first, tuple(pages))
