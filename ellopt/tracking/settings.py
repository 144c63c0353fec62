"""What the user said about MLflow."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import setting


@dataclass(frozen=True)
class TrackingSettings:
    """What is kept in MLflow.

    ``experiment`` overrides ``ellopt/<model>`` and the environment. ``register``: a name in the Model Registry for the
    output model, empty for none; with several models, ``-<tag>`` is added.
    """

    mlflow: bool = setting(True, "do not log to MLflow")
    experiment: str = setting(
        "",
        "the MLflow experiment",
        metavar="NAME",
        default_text="one a model, `ellopt/<model>`",
    )
    register: str = setting("", "register the tuned model in the MLflow Model Registry", metavar="NAME")
    patience: float | None = setting(
        None,
        "seconds that the end of a run waits for what is not delivered yet",
        no_option="what is left waits on disk for `ellopt sync`",
    )

    def __post_init__(self) -> None:
        if self.register and not self.mlflow:
            raise ConfigurationError("--register needs MLflow: leave out --no_mlflow")
