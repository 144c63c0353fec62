"""Which tensors may be kept in float16: those of which every writer and reader can work on it.

Whether one is, follows from the plan (``ell_find_halves`` of runtime/ellopt_network.c): every convolution that writes
or reads it is computed in float16, and what another step makes of float32 is not. So nothing is converted but where a
layer in float32 meets one in float16, and there the latter does it.
"""

from __future__ import annotations

from collections import defaultdict

from ellopt.codegen.network import ConvolutionStep, CopyStep, Network, Step


def may_be_half(network: Network) -> frozenset[str]:
    """The names of such tensors. Of one that is written in slices all are, or none."""
    writers: dict[str, list[Step]] = defaultdict(list)
    readers: dict[str, list[Step]] = defaultdict(list)
    for step in network.steps:
        writers[network.tensors[step.output].buffer].append(step)
        for name in step.inputs:
            readers[network.tensors[name].buffer].append(step)
    return frozenset(
        name
        for name, tensor in network.tensors.items()
        if tensor.place == "arena"
        and writers[tensor.buffer]
        and readers[tensor.buffer]
        and all(step.takes_halves for step in readers[tensor.buffer])
        and all(_writes_halves(step, readers[tensor.buffer]) for step in writers[tensor.buffer])
    )


def _writes_halves(step: Step, readers: list[Step]) -> bool:
    """Whether ``step`` can write float16 for ``readers``: a copy of what is float32 does so for convolutions alone, as
    no plan would say otherwise that it should."""
    if isinstance(step, CopyStep):
        return all(isinstance(reader, ConvolutionStep) for reader in readers)
    return step.takes_halves
