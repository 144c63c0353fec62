"""Which tensors may be kept in float16: those of which every writer and reader can work on it.

Whether one is, follows from the plan (``ell_find_halves`` of runtime/ellopt_network.c): every convolution that writes
or reads it is computed in float16. So nothing is converted but where a layer in float32 meets one in float16, and there
the latter does it.
"""

from __future__ import annotations

from ellopt.codegen.network import ConvolutionStep, Network


def may_be_half(network: Network) -> frozenset[str]:
    """The names of such tensors. Each is written or read by a convolution, as otherwise no plan would say what it is.

    Tensors that are written in slices are not among them: they have several writers.
    """
    writers = {step.output: step for step in network.steps}
    readers = {name: [step for step in network.steps if name in step.inputs] for name in network.tensors}
    found = set()
    for name, tensor in network.tensors.items():
        around = [*readers[name], *([writers[name]] if name in writers else [])]
        if (
            tensor.place == "arena"
            and tensor.slice is None
            and name in writers
            and readers[name]
            and all(step.halves for step in around)
            and any(isinstance(step, ConvolutionStep) for step in around)
        ):
            found.add(name)
    return frozenset(found)
