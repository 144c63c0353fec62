"""What a tuning run tells of one model, whoever keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.core.trial import Trial
from ellopt.report.document import TuningReport
from ellopt.tracking.record import NO_INPUTS, Inputs

if TYPE_CHECKING:
    from ellopt.search.observer import SearchProgress


class ModelTracker:
    """What a tuning run tells of one model. This one keeps nothing; it is also a ``SearchObserver``.

    ``mlflow_run`` says where the parent run is (tracking_uri, experiment, experiment_id, run_id, page); empty if that
    is not known, be it that MLflow is down or that it is slow to say.
    """

    @property
    def mlflow_run(self) -> Mapping[str, str]:
        return {}

    def trial_finished(self, trial: Trial, files: Mapping[str, str] | None = None) -> None:
        """A trial came to its end. ``files``: name -> text of artifacts such as ``profile_report.txt``. Told again, it
        is not logged again."""

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        """The trials that an interrupted run had finished; those that were not recorded then are now."""

    def state_changed(self, progress: SearchProgress) -> None: ...

    def finish_model(
        self, report: TuningReport, output_dir: Path, inputs: Inputs = NO_INPUTS, extra: Sequence[Path] = ()
    ) -> None:
        """The model is tuned; its output files are in ``output_dir``. ``inputs``: name -> shape of the
        model's inputs, for a registered model. ``extra``: further files to log."""

    def failed_model(self, reason: str) -> None:
        """The model could not be tuned."""

    def interrupted(self) -> None:
        """The run ends and the model is not done: the same command will go on with it. Told again, nothing happens."""
