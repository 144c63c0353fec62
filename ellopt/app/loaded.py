"""A model that was read, to be run, timed and compiled: ``ellopt.load``. Commands of one model use it, too."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from ellopt.app.boards import device_for
from ellopt.app.options import AnyPath, BoardOptions
from ellopt.core.errors import ConfigurationError
from ellopt.deploy import run as deploy
from ellopt.deploy.library import DeployedLibrary, Predictor
from ellopt.deploy.on_board import BoardRun, run_example
from ellopt.deploy.picture import picture_input
from ellopt.deploy.ports import Inputs, joined
from ellopt.deploy.preprocess import Preprocess
from ellopt.deploy.run_settings import RunSettings
from ellopt.deploy.times import BenchResult, LayerTime
from ellopt.frontends.base import convert_model, model_name, read_model
from ellopt.frontends.discover import tuned_model
from ellopt.frontends.input_shapes import parse_shapes, shared_out
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.space.options_file import plan_for
from ellopt.targets import find_target


def load(path: AnyPath, *, input_shape: str | Sequence[str] = ()) -> LoadedModel:
    """The model in a file (``.ell``, ``.ell.zip``, ``.onnx``), or the tuned one in a folder that a tuning wrote.

    ``input_shape``: ``NAME=1,3,224,224`` for each input of an ONNX model that leaves its shape open. Raises
    ConfigurationError if there is no such file, ModelFormatError if it cannot be used.
    """
    place = Path(path)
    if place.is_dir():
        place = tuned_model(place)
    if not place.is_file():
        raise ConfigurationError(f"{place}: no such model file")
    shapes = (input_shape,) if isinstance(input_shape, str) else tuple(input_shape)
    return LoadedModel(read_model(place, shared_out(parse_shapes(shapes), [(model_name(place), place)])[0]))


class LoadedModel:
    """A model with its options: those found in it, unless a method is given others.

    ``options`` of a method is a ``compile_options.json``; ``target`` a name that ``ellopt targets`` lists, which runs
    under the emulator where it is not this machine; ``threads`` 0 means all of the target's cores.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._predictors: dict[tuple[Path | None, int], Predictor] = {}
        self._lock = threading.Lock()  # a predictor has one memory

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input, by name."""
        return {port.name: port.shape for port in self.model.input_ports}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output, by name."""
        return {port.name: port.shape for port in self.model.output_ports}

    @property
    def options(self) -> dict[str, str]:
        """How each convolution layer is computed, by node id; ELL's default where the model says nothing."""
        return {node_id: str(options) for node_id, options in plan_for(self.model, None).items()}

    def __repr__(self) -> str:
        return f"<ellopt model {self.name}: {self.inputs} -> {self.outputs}>"

    def predict(
        self, values: Inputs, *, options: AnyPath | None = None, threads: int = 0
    ) -> FloatArray | dict[str, FloatArray]:
        """The output for ``values``, float32; by name where the model has several.

        ``values``: an array of the input's shape, or one by the name of each input. The model is compiled for this
        machine and loaded at the first call; later calls take as long as the model takes. Raises ConfigurationError for
        an input of another size, BuildError.
        """
        flat = joined(self.model, values)
        split = {p.name: flat[p.offset : p.offset + p.elements].reshape(p.shape) for p in self.model.input_ports}
        key = (None if options is None else Path(options), threads)
        with self._lock:
            if key not in self._predictors:
                self._predictors[key] = Predictor(self.model, threads, key[0])
            found = self._predictors[key](split)
        return dict(found) if isinstance(found, Mapping) else np.asarray(found, np.float32)

    def image(self, path: AnyPath, preprocess: Preprocess | None = None) -> FloatArray:
        """The picture in a file as the model's only input. Raises ConfigurationError for a file that is no picture, and
        for a model that takes none."""
        ports = self.model.input_ports
        if len(ports) != 1:
            raise ConfigurationError(f"--image: {self.model.path} has {len(ports)} inputs; a picture is one")
        return picture_input(Path(path), ports[0].shape, preprocess or Preprocess())

    def predict_isolated(
        self, values: Inputs, *, target: str = "host", options: AnyPath | None = None, threads: int = 0,
        check: bool = False, **boards: Unpack[BoardOptions],
    ) -> dict[str, FloatArray]:  # fmt: skip
        """The outputs by name, computed once by a program of its own, as ``ellopt predict`` does.

        ``boards``: on which board, where ``target`` is not this machine; the emulator if nothing is said.
        ``check``: compare every step and the output with the reference first. Raises ConfigurationError, BuildError,
        CandidateError where something is wrong, InfrastructureError.
        """
        found = find_target(target)
        device = device_for(found, boards)
        return deploy.predict_all(
            self.model, values, RunSettings(_path(options), found, device, threads=threads), check
        )

    def compile(
        self, directory: AnyPath, *, target: str = "host", options: AnyPath | None = None, name: str = "",
        cpu: str = "native", force: bool = False, check: bool = False, preprocess: Preprocess | None = None,
    ) -> DeployedLibrary:  # fmt: skip
        """Write a C library with header, example, CMake files and Python wrapper into ``directory``.

        As ``ellopt compile``: docs/reference.md says what ``name``, ``cpu``, ``force`` and ``check`` mean.
        ``preprocess``: how its Python wrapper prepares pictures. Raises ConfigurationError, BuildError,
        CandidateError.
        """
        place, found = _path(options), find_target(target)
        checked = partial(deploy.check_library, model=self.model, options=place, target=found)
        return deploy.compile_library(
            self.model, Path(directory), found, place, name=name, cpu=cpu, force=force,
            check=checked if check else None, preprocess=preprocess,
        )  # fmt: skip

    def convert(self, path: AnyPath) -> LoadedModel:
        """Write the model in the format of the ending of ``path``, ``.ell`` or ``.onnx``; the model as it is there.

        Raises ModelFormatError with everything that the format has nothing for, ConfigurationError for an ending that
        is no other format's.
        """
        place = Path(path)
        try:
            convert_model(self.model, place)
        except OSError as error:
            raise ConfigurationError(f"--output: {place} cannot be written: {error.strerror or error}") from error
        return LoadedModel(read_model(place))

    def deploy(
        self, directory: AnyPath, *, target: str, options: AnyPath | None = None, force: bool = False,
        iterations: int = 50, **boards: Unpack[BoardOptions],
    ) -> tuple[DeployedLibrary, BoardRun]:  # fmt: skip
        """Write a C library as ``compile`` does, build its example and run that on a board, see ``run_example``."""
        found = find_target(target)
        device = device_for(found, boards, times=True)
        library = self.compile(directory, target=target, options=options, force=force)
        return library, run_example(library, self.model, found, device, iterations, _path(options))

    def bench(
        self, *, target: str = "host", options: AnyPath | None = None, threads: int = 0, iterations: int = 50,
        interval: float = 0.0, **boards: Unpack[BoardOptions],
    ) -> BenchResult:  # fmt: skip
        """Time the model as it would be deployed, in a fresh process, here or on a board. Times are milliseconds.

        ``interval``: from the start of a pass to that of the next, as a camera would call it; 0: one after the other.
        Raises as ``predict``, CandidateError, InfrastructureError.
        """
        found = find_target(target)
        device = device_for(found, boards, times=True)
        return deploy.bench(
            self.model, RunSettings(_path(options), found, device, threads=threads), iterations, interval
        )

    def profile(
        self, *, target: str = "host", options: AnyPath | None = None, threads: int = 0, iterations: int = 50,
        **boards: Unpack[BoardOptions],
    ) -> tuple[LayerTime, ...]:  # fmt: skip
        """What each node takes, in order of computation, here or on a board. Raises as ``bench``."""
        found = find_target(target)
        device = device_for(found, boards, times=True)
        return deploy.profile(self.model, RunSettings(_path(options), found, device, threads=threads), iterations)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)
