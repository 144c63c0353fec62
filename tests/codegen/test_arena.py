"""Where intermediate results lie."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ellopt.codegen.arena import ALIGNMENT, plan_arena
from ellopt.codegen.network import CopyStep, Tensor


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=12), st.data())
def test_what_is_alive_at_once_does_not_overlap(sizes: list[int], data: st.DataObject) -> None:
    tensors = {"input": Tensor("input", "input", 1, 1, 1)}
    steps = []
    for i, size in enumerate(sizes):
        sources = data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=2, unique=True))
        steps.append(CopyStep((str(i),), "Copy", tuple(sources), f"t{i}", size=(1, 1, size)))
        tensors[f"t{i}"] = Tensor(f"t{i}", "arena", 1, 1, size)
    _, planned, floats = plan_arena(steps, tensors)
    last_read = {name: i for i, step in enumerate(steps) for name in step.inputs}
    spans = [
        (i, last_read.get(f"t{i}", i), planned[f"t{i}"].offset, planned[f"t{i}"].offset + size)
        for i, size in enumerate(sizes)
    ]
    for a in spans:
        assert a[2] >= 0
        assert a[3] <= floats
        for b in spans:
            if a is not b and a[0] <= b[1] and b[0] <= a[1]:
                assert a[3] <= b[2] or b[3] <= a[2]


def test_upper_and_lower_halves_of_layers_stay_apart() -> None:
    """In a chain, two cores that compute a half each of every layer never write each other's lines."""
    sizes = [4096, 1024, 2048, 512]
    tensors = {f"t{i}": Tensor(f"t{i}", "arena", 1, 1, size) for i, size in enumerate(sizes)}
    tensors["input"] = Tensor("input", "input", 1, 1, 16)
    names = ["input", *(f"t{i}" for i in range(len(sizes)))]
    steps = [CopyStep((b,), "Copy", (a,), b, size=(1, 1, 1)) for a, b in pairwise(names)]
    _, planned, _ = plan_arena(steps, tensors)
    for ours, others in ((0, 2), (1, 3)):
        middles = [planned[f"t{i}"].offset + sizes[i] / 2 for i in (ours, others)]
        assert abs(middles[0] - middles[1]) <= 2 * ALIGNMENT
