"""Convolutions that are computed by bands of rows.

Where a convolution wants a border that its input does not have, it is given a copy with the border, band by band: so
that what was copied is still in the first level of cache when it is read. And where one convolution alone reads the
other's result and that is large, a band of the first is followed by the rows of the second that can be computed from
it (with tiles: Alwani et al., Fused-Layer CNN Accelerators, 2016). Tensors stay whole, so that each convolution can be
run, timed and checked by itself.

Threads meet after each band, so there are bands only where one core computes. And weights are read again for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from ellopt.codegen.network import ConvolutionStep, Network, Step, Tensor
from ellopt.targets import Cpu

#: Bytes of a tensor from which on it is worth while to read it before all of it is written.
_LARGE_BYTES = 512 * 1024
#: Bytes of weights that may be read once for each band.
_WEIGHT_BYTES = 64 * 1024
#: Bytes of a tensor that are written before they are read.
_BAND_BYTES = 256 * 1024
_SLACK = 16  # floats behind the rows, as behind buffers of the arena

#: Steps, by their places, of which each but the first reads the one before.
Chain = tuple[int, ...]


def find_chains(steps: Sequence[Step], tensors: Mapping[str, Tensor]) -> tuple[Chain, ...]:
    """Convolutions that may take turns, band by band. What one of them reads has to be kept until the last is done."""
    readers = Counter(name for step in steps for name in step.inputs)
    chains: list[list[int]] = []
    for i, (step, reader) in enumerate(pairwise(steps)):
        large = 4 * tensors[step.output].floats >= _LARGE_BYTES
        follows = reader.inputs[0] == step.output and readers[step.output] == 1
        if not (large and follows and _is_light(step) and _is_light(reader)):
            continue
        if chains and chains[-1][-1] == i:
            chains[-1].append(i + 1)
        else:
            chains.append([i, i + 1])
    return tuple(map(tuple, chains))


def _is_light(step: Step) -> bool:
    if not isinstance(step, ConvolutionStep) or step.residual or (_in_tiles(step) and not step.shape.depthwise):
        return False
    return 4 * step.weights.size <= _WEIGHT_BYTES


def _in_tiles(step: ConvolutionStep) -> bool:
    """Whether winograd may compute it: bands would cut its tiles, and it reads larger weights for each."""
    return step.shape.stride == 1 and step.shape.plain and step.shape.window[0] > 1


def takes_turns(cpu: Cpu, cores: int) -> bool:
    """Whether convolutions are computed by bands on so many of these."""
    return cores == 1 and cpu.near_bytes > 0 and cpu.lanes > 1  # what scalar processors would gain was not tried


def band_rows(network: Network, step: ConvolutionStep, cpu: Cpu, cores: int) -> int:
    """Rows of output that are computed at a time: all of them, or those of a band."""
    tensors = network.tensors
    rows = tensors[step.output].rows
    if not takes_turns(cpu, cores):
        return rows
    place = network.steps.index(step)
    for chain in network.chains:
        if place in chain:
            return min(rows, _rows_in_chain(network, chain)[chain.index(place)])
    if not step.pads_input or _in_tiles(step):
        return rows
    row_bytes = 4 * padded_row(step, tensors[step.inputs[0]]) * step.shape.stride
    return _even(rows, cpu.near_bytes // 2 // row_bytes)


def _rows_in_chain(network: Network, chain: Chain) -> list[int]:
    """Rows of output that each step of ``chain`` computes at a time."""
    steps = [step for step in (network.steps[i] for i in chain) if isinstance(step, ConvolutionStep)]
    outputs = [network.tensors[step.output] for step in steps]
    times = [1]  # rows for one of the last step
    for step in reversed(steps[1:]):
        times.append(times[-1] * step.shape.stride)
    times.reverse()
    most = min(_BAND_BYTES // (4 * t.row_stride * n) for t, n in zip(outputs[:-1], times, strict=False))
    rows = _even(outputs[-1].rows, most)
    return [rows * n for n in times]


def _even(rows: int, most: int) -> int:
    """The size of bands, at most ``most`` rows, that computes the fewest rows twice."""
    sizes = range(max(1, min(rows, most)), 0, -1)
    return min(sizes, key=lambda size: (-(-rows // size) * size, -size))


def padded_row(step: ConvolutionStep, source: Tensor) -> int:
    """Elements of a row of a convolution's input with the border that the convolution puts around it."""
    return (step.border.left + source.columns + step.border.right) * source.channels


def padded_floats(step: ConvolutionStep, source: Tensor, rows: int) -> int:
    """Floats of workspace for the input of ``rows`` rows of output with its border; 0 where the input has it."""
    if not step.pads_input:
        return 0
    floats = ((rows - 1) * step.shape.stride + step.row_extent) * padded_row(step, source) + _SLACK
    return -(-floats // 16) * 16


def turns(network: Network, rows: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """(step, band) in the order of execution; -1 for all bands of a step. ``rows``: those of a band, by step.

    In a chain the last step that can goes on, and steps before it go on until it can.
    """
    in_chain = {chain[0]: chain for chain in network.chains if any(_bands(network, i, rows[i]) > 1 for i in chain)}
    i = 0
    while i < len(network.steps):
        chain = in_chain.get(i)
        if chain is None:
            yield i, -1
            i += 1
        else:
            yield from _turns_of(network, chain, rows)
            i = chain[-1] + 1


def _turns_of(network: Network, chain: Chain, rows: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    done = dict.fromkeys(chain, 0)
    bands = {i: _bands(network, i, rows[i]) for i in chain}
    while any(done[i] < bands[i] for i in chain):
        for i in reversed(chain):
            ready = i == chain[0] or _reach(network, i, done[i], rows[i]) <= _written(network, i - 1, done[i - 1], rows)
            if done[i] < bands[i] and ready:
                yield i, done[i]
                done[i] += 1
                break


def _bands(network: Network, place: int, rows: int) -> int:
    return -(-network.tensors[network.steps[place].output].rows // rows)


def _written(network: Network, place: int, bands: int, rows: Mapping[int, int]) -> int:
    return min(bands * rows[place], network.tensors[network.steps[place].output].rows)


def _reach(network: Network, place: int, band: int, rows: int) -> int:
    """Rows of input that are there before a band of step ``place`` can be computed."""
    step = network.steps[place]
    assert isinstance(step, ConvolutionStep)
    last = min((band + 1) * rows, network.tensors[step.output].rows) - 1
    reach = last * step.shape.stride - step.border.top + step.row_extent
    return min(reach, network.tensors[step.inputs[0]].rows)
