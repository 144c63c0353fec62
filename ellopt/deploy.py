"""Running and timing one model as it would be deployed: one plan, one bundle that holds that plan alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ellopt.deadline import Deadline
from ellopt.devices.base import Device
from ellopt.devices.local import LocalPool
from ellopt.errors import ConfigurationError
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.option_files import plan_for
from ellopt.options import Plan
from ellopt.targets import Target, find_target
from ellopt.toolchains.native import NativeToolchain

BUILD_SECONDS = 900.0
RUN_SECONDS = 600.0


def predict(
    model: Model,
    values: npt.ArrayLike,
    plan: Plan | None = None,
    target: Target | None = None,
    device: Device | None = None,
    directory: Path | None = None,
    threads: int = 0,
    toolchain: NativeToolchain | None = None,
) -> FloatArray:
    """The model's output for one input, computed by the native toolchain's code.

    ``values`` has rows x columns x channels (or is flat in that order); the result has the output's rows x columns
    x channels. ``plan`` defaults to the options in the model, with ELL's defaults where it has none. ``device``
    defaults to this machine, ``directory`` (where the bundle is built and kept) to a temporary one. Raises
    ConfigurationError for an input of another size, BuildError, CandidateError and InfrastructureError.
    """
    target = target or find_target("host")
    toolchain = toolchain or NativeToolchain()
    model = toolchain.prepare(model)
    plan = plan or plan_for(model)
    array = np.asarray(values)
    size = model.input.output_layout.size
    if array.shape not in (size, (array.size,)) or array.size != size[0] * size[1] * size[2]:
        shape = "x".join(map(str, array.shape))
        raise ConfigurationError(f"the input has the shape {shape}; {model.path} takes {'x'.join(map(str, size))}")
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="ellopt-predict-") as name:
            return predict(model, array, plan, target, device, Path(name), threads, toolchain)
    bundle = toolchain.build(model, [plan], target, directory, Deadline.after(BUILD_SECONDS))
    invocation = toolchain.invoke_predict(bundle, plan, array, threads)
    if device is not None:
        execution = device.run(bundle, invocation, Deadline.after(RUN_SECONDS))
    else:
        with LocalPool() as pool, pool.lease(Deadline.after(RUN_SECONDS)) as local:
            execution = local.run(bundle, invocation, Deadline.after(RUN_SECONDS))
    return toolchain.read_prediction(bundle, plan, execution, threads)
