"""Tuning one model: search, choose, confirm, write."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ellopt.app.find import BUNDLES_DIRECTORY, Subject, find_best, measurer_of
from ellopt.app.finished import STATE_DIRECTORY, begin, keep_finished
from ellopt.app.output import write_output
from ellopt.app.samples import read_samples
from ellopt.app.shared import SharedParts
from ellopt.core.trial import Trial
from ellopt.files.locks import exclusive
from ellopt.frontends.base import require_convolutions
from ellopt.frontends.discover import ModelFile
from ellopt.frontends.ell.profile import report_text
from ellopt.model.graph import Model
from ellopt.report.document import TuningReport
from ellopt.report.pictures import write_pictures
from ellopt.search.observer import Observers, SearchObserver, SearchProgress, UntilConfirmed
from ellopt.space.budget import within_bytes
from ellopt.space.space import narrow
from ellopt.tracking import ModelTracker

_LOG = logging.getLogger(__name__)


def tune_model(file: ModelFile, directory: Path, shared: SharedParts, observer: SearchObserver) -> TuningReport:
    """Tune one model and write its output files to ``directory``. Returns the report.

    The same call after an interruption goes on where it was. Raises ModelFormatError for a model that cannot be
    tuned, CandidateError if it does not even work with ELL's default options, InfrastructureError when no device
    could be used, OSError when files cannot be written, ConfigurationError while another process tunes in
    ``directory``: then nothing is written or told to the tracker.
    """
    tuning = _Tuning(file, directory, shared, observer)
    with tuning.exclusive():
        return tuning.run()


class _Tuning:
    def __init__(self, file: ModelFile, directory: Path, shared: SharedParts, observer: SearchObserver) -> None:
        self.file, self.directory, self.shared, self.observer = file, directory, shared, observer
        self.model = self._read()
        self.started = time.monotonic()

    def _read(self) -> Model:
        model = self.shared.read(self.file.path, self.file)
        require_convolutions(model)
        return model

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the output directory, and the one with temporary files, from the first look to the last change."""
        with ExitStack() as locks:
            for state in dict.fromkeys(((self.directory / STATE_DIRECTORY).absolute(), self._state_directory())):
                locks.enter_context(exclusive(state))
            yield

    def run(self) -> TuningReport:
        shared, config = self.shared, self.shared.config
        space = narrow(shared.space, shared.toolchain.layers(self.model), shared.toolchain, shared.target)
        if shared.toolchain.packs_weights:
            space = within_bytes(space)
        state, kept = self._state_directory(), self.directory / STATE_DIRECTORY
        samples = read_samples(config.measure.samples, self.model)
        measurer = measurer_of(self.model, shared, state, samples)
        board = measurer.board()
        times = begin(kept, config.models.again)
        identity = shared.identity(self.model, board, times)
        tracker = shared.tracker.start_model(shared.start_of(self.file, self.directory, identity, board, space))
        shown = UntilConfirmed(self.observer)
        try:
            watching = Observers((shown, _Tracked(tracker, self.model)))
            subject = Subject(self.file, self.model, space, board, identity, samples)
            if shared.sent_tunings is not None:
                report = shared.sent_tunings.tune(subject, shared, watching, state, self.directory, tracker)
            else:
                tuned = find_best(subject, shared, measurer, watching, state, self.started)
                report = write_output(tuned, shared, self.directory, state / BUNDLES_DIRECTORY, tracker.mlflow_run)
        except Exception as error:
            tracker.failed_model(str(error))
            raise
        except BaseException:
            tracker.interrupted()  # now: without the lock it would be written into the records of whoever goes on
            raise
        pictures = self._pictures(report, state / "plots") if config.tracking.mlflow else ()
        inputs = {port.name: tuple(port.shape) for port in self.model.input_ports}
        tracker.finish_model(report, self.directory, inputs, extra=pictures)
        shutil.rmtree(state / BUNDLES_DIRECTORY, ignore_errors=True)
        keep_finished(kept, self.directory, report, shared.command(self.file))
        shown.finish()
        return report

    def _pictures(self, report: TuningReport, directory: Path) -> tuple[Path, ...]:
        """Pictures for MLflow's artifacts. They stay until the tracker has delivered them."""
        try:
            return write_pictures(report, directory)
        except OSError as error:
            _LOG.warning("the pictures of %s could not be written: %s", self.file.tag, error)
            return ()

    def _state_directory(self) -> Path:
        temp_dir = self.shared.config.models.temp_dir
        parent = self.directory if temp_dir is None else temp_dir / self.file.tag
        return (parent / STATE_DIRECTORY).absolute()


class _Tracked:
    """Hands what a search tells to the tracker, trials with their profile report in ELL's form."""

    def __init__(self, tracker: ModelTracker, model: Model) -> None:
        self._tracker, self._model = tracker, model

    def trial_finished(self, trial: Trial) -> None:
        files = {} if trial.samples is None else {"profile_report.txt": report_text(self._model, trial.samples)}
        self._tracker.trial_finished(trial, files)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self._tracker.trials_resumed(trials)

    def state_changed(self, progress: SearchProgress) -> None:
        self._tracker.state_changed(progress)
