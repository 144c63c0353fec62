"""What holds of every lowered network, checked each time before code is made of it.

A network for which it does not hold would compute wrong values or write memory that is not its own, so a fault here is
one of the generator's own, and ends the program: AssertionError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ellopt.codegen.arena import last_reads
from ellopt.codegen.network import CopyStep, Network, Step, Tensor

Span = tuple[int, int]


def check_steps(steps: Sequence[Step], tensors: Mapping[str, Tensor]) -> None:
    """What the planner of the arena assumes: every result is written once, before it is read, and read by somebody.

    The caller's output is written once and read by nobody. Of a tensor that is written in slices every slice is written
    before the whole is read, or the slice itself; of one that nobody writes, all that it shares with others.
    Raises AssertionError.
    """
    written: set[str] = set()
    read = {tensors[name].buffer for step in steps for name in step.inputs}
    missing = Counter(tensors[step.output].buffer for step in steps)
    there = _cells_of_views(steps, tensors)
    for step in steps:
        for name in step.inputs:
            given = tensors[name].place in ("input", "weights")
            known = given or name in written or not missing.get(name, 1)
            if not known and tensors[name].buffer in there:
                known = bool(_cells(tensors[name], there[tensors[name].buffer]).all())
            _hold(known, step, f"reads {name} before it is written")
        place = tensors[step.output].place
        _hold(place in ("arena", "output"), step, f"writes {step.output}, which is not its own")
        _hold(step.output not in written, step, f"writes {step.output} again")
        whole = tensors[step.output].buffer
        _hold((whole in read) != (place == "output"), step, f"writes {step.output}, which is dead")
        written.add(step.output)
        missing[whole] -= 1
        if whole in there:
            _cells(tensors[step.output], there[whole])[...] = True
    for tensor in tensors.values():
        if tensor.place in ("input", "output") and tensor.border:
            raise AssertionError(f"{tensor.name}: the caller's array has a border")
        if tensor.slice and not _inside(tensor, tensors[tensor.slice.whole]):
            raise AssertionError(f"{tensor.name}: a slice that leaves {tensor.slice.whole}")


def check_memory(network: Network) -> None:
    """Every step stays inside the buffers that it reads and writes, and no result is overwritten while it is needed.

    Raises AssertionError.
    """
    tensors, steps = network.tensors, network.steps
    for step in steps:
        if isinstance(step, CopyStep):
            _check_copy(step, tensors[step.inputs[0]], tensors[step.output])
    last_read = last_reads(steps, tensors, network.chains)
    alive: dict[str, Span] = {}
    for i, step in enumerate(steps):
        output = tensors[tensors[step.output].buffer]
        if output.place == "arena":
            span = _span(output)
            _hold(span[0] >= 0 and span[1] <= network.arena_floats, step, "writes outside the arena")
            for name, other in alive.items():
                if name == output.name:
                    continue  # its other slices
                in_place = last_read[name] == i and name in step.inputs and span == other
                _hold(in_place or span[1] <= other[0] or other[1] <= span[0], step, f"writes over {name}")
            alive[output.name] = span
        alive = {name: span for name, span in alive.items() if last_read.get(name, -1) > i}


def _check_copy(step: CopyStep, source: Tensor, result: Tensor) -> None:
    for tensor, strides, offset in (
        (source, step.input_strides, step.input_offset),
        (result, step.output_strides, step.output_offset),
    ):
        used = strides or (tensor.row_stride, tensor.pixel_stride, 1)
        last = offset + sum((n - 1) * stride for n, stride in zip(step.size, used, strict=True))
        _hold(offset >= 0 and last < tensor.floats - tensor.origin, step, f"leaves {tensor.name}")


def _cells_of_views(steps: Sequence[Step], tensors: Mapping[str, Tensor]) -> dict[str, npt.NDArray[np.bool_]]:
    """By buffer, of those that have slices which nobody writes as such: the cells, of which none is written yet."""
    written = {step.output for step in steps}
    views = {name for step in steps for name in step.inputs if tensors[name].slice and name not in written}
    return {buffer: np.zeros(tensors[buffer].floats, np.bool_) for buffer in {tensors[name].buffer for name in views}}


def _cells(tensor: Tensor, buffer: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Those of ``buffer`` where ``tensor`` lies."""
    size, strides = (tensor.rows, tensor.columns, tensor.channels), (tensor.row_stride, tensor.pixel_stride, 1)
    start = tensor.slice.start if tensor.slice else tensor.origin
    return np.lib.stride_tricks.as_strided(buffer[start:], size, strides)


def _inside(tensor: Tensor, whole: Tensor) -> bool:
    """Whether a slice lies in the tensor that it is one of."""
    assert tensor.slice is not None
    last = (tensor.rows - 1) * tensor.row_stride + (tensor.columns - 1) * tensor.pixel_stride + tensor.channels
    fits = 0 <= tensor.slice.start <= whole.elements - last
    return fits and not whole.border and not tensor.border and tensor.place == whole.place


def _span(tensor: Tensor) -> Span:
    start = tensor.offset - tensor.origin
    return (start, start + tensor.floats)


def _hold(condition: bool, step: Step, what: str) -> None:
    if not condition:
        raise AssertionError(f"step {step.kind} of nodes {', '.join(step.node_ids)} {what}")
