"""What Python programs call: ``ellopt.tune``. The command line makes its settings and runs tunings in the same way."""

from __future__ import annotations

from typing import Unpack

from ellopt.app.asked import tuning_config, tuning_groups
from ellopt.app.options import AnyPath, TuningOptions
from ellopt.app.tune_all import tune as tune_all
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.nearest import did_you_mean
from ellopt.core.settings import settings_of
from ellopt.files.user import settle_user
from ellopt.frontends.discover import discover
from ellopt.report.document import TuningReport
from ellopt.search.observer import Display, Silent

#: of several models, or of runs that give no report
_NOT_HERE = ("concurrent_models", "from_reports")


def tune(
    path: AnyPath,
    *,
    target: str = "host",
    output_path: AnyPath = "out",
    display: Display | None = None,
    **options: Unpack[TuningOptions],
) -> TuningReport:
    """Tune the model in ``path`` as ``ellopt optimize`` does, and return the report of it.

    The tuned model, the report and its page are in ``output_path``/<model>. The same call after an interruption goes on
    where it was; after its end it returns what is there, unless ``again`` is true. ``options``: those of the command,
    see TuningOptions. ``display`` is told what goes on; nothing is printed.

    Raises TypeError for an option that there is not; ConfigurationError for a value that cannot be, or a path that
    holds several models (``models`` picks one); ModelFormatError for a model that cannot be used; CandidateError if it
    does not even work with ELL's default options; InfrastructureError where nothing could be measured; OSError.
    """
    known = [p.key for _, groups in tuning_groups() for g in groups for p in settings_of(g) if not p.setting.no_option]
    for name in options:
        if name not in known or name in _NOT_HERE:
            hint = did_you_mean(name.removeprefix("no_"), known)
            raise TypeError(f"tune() got an unexpected keyword argument {name!r}{hint}")
    settle_user()
    config = tuning_config({"model_path": path, "output_path": output_path, "target": target, **options})
    files = discover(config.models.model_path, config.models.models)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ConfigurationError(f"{config.models.model_path} holds {len(files)} models: {names}; pick one by 'models'")
    [outcome] = tune_all(config, display or _Watching()).models
    if outcome.error is not None:
        raise outcome.error
    if outcome.report is None:
        raise InfrastructureError(f"{outcome.file.path} was not tuned")
    return outcome.report


class _Watching(Silent):
    """A display of one model that shows nothing."""

    def for_model(self, name: str) -> Silent:
        return self
