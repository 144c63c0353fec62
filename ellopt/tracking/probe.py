"""Does MLflow's store answer?"""

from __future__ import annotations

import os

from ellopt.errors import InfrastructureError
from ellopt.files.redaction import without_credentials


def probe_store() -> str:
    """Look at the store that runs would be logged to, without changing it, and say which it is.

    Raises InfrastructureError if MLflow cannot be imported or the store does not answer.
    """
    try:
        import mlflow
    except ImportError as error:
        raise InfrastructureError(f"mlflow cannot be imported ({error}); install it: pip install mlflow") from error
    uri = mlflow.get_tracking_uri()
    shown = without_credentials(uri)
    if uri.startswith("sqlite:") or not uri.startswith("http"):
        return f"runs are logged to {shown}"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        mlflow.MlflowClient(uri).search_experiments(max_results=1)
    except Exception as error:  # the client raises whatever its transport does
        raise InfrastructureError(f"{shown} does not answer: {error}") from error
    return f"{shown} answers"
