"""Checks a finished library of this machine: loaded by its own Python module in a process of its own."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError
from ellopt.deploy.library import DeployedLibrary
from ellopt.files.process import run_in_group
from ellopt.model.check_data import OUTPUT_LIMIT, WHOLE_INPUTS
from ellopt.model.graph import Model
from ellopt.model.wanted import Wanted

_SECONDS = 600.0
#: As programs that use the library: by what its module has in public. Inputs and outputs: [input, element], flat.
_PROGRAM = """\
import importlib.util, sys
import numpy as np
name, module, threads = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, module)
library = importlib.util.module_from_spec(spec)
spec.loader.exec_module(library)
outputs = []
with library.Model(threads=int(threads)) as network:
    for values in np.load("inputs.npy"):
        given = {port: values[at : at + int(np.prod(shape))] for port, shape, at in library.INPUTS}
        found = network.predict(given)
        found = found if isinstance(found, dict) else {library.OUTPUTS[0][0]: found}
        outputs.append(np.concatenate([found[port].reshape(-1) for port, _, _ in library.OUTPUTS]))
np.save("outputs.npy", np.stack(outputs))
"""


def check_loaded(library: DeployedLibrary, model: Model, allowed: float = 1.0) -> None:
    """Compare what ``library`` computes of several inputs, on one thread and on all, with the reference of ``model``.

    ``allowed``: how far off outputs may be, in units of OUTPUT_LIMIT. Raises CandidateError if they are off by more, or
    the library cannot be loaded or ends with an error; InfrastructureError if it does not end.
    """
    wanted = Wanted.of(model, WHOLE_INPUTS)
    inputs = wanted.inputs
    module = (library.directory / f"{library.name}.py").resolve()
    for threads in sorted({1, library.threads}):
        with tempfile.TemporaryDirectory(prefix="ellopt-loaded-") as name:
            place = Path(name)
            np.save(place / "inputs.npy", inputs.reshape(len(inputs), -1))
            command = [sys.executable, "-B", "-c", _PROGRAM, library.name, str(module), str(threads)]
            done = run_in_group(command, place, Deadline.after(_SECONDS))
            if done.exit_code != 0:
                said = done.stderr.decode(errors="replace").strip().splitlines()
                why = said[-1] if said else f"exit code {done.exit_code}"
                raise CandidateError(f"{model.path}: the finished library does not run on this machine: {why}")
            error = wanted.error(np.load(place / "outputs.npy")) / OUTPUT_LIMIT
        if not error <= allowed:
            raise CandidateError(
                f"{model.path}: every step is right, but the finished library's output on {threads} "
                f"thread{'s' if threads > 1 else ''} is off by {error / allowed:.3g} times what is allowed"
            )
