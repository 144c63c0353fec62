"""The table of where models spend their time."""

from __future__ import annotations

from benchmarks.profiles import profile_of, table


def test_shares_are_summed_by_kind_and_the_largest_other_layer_is_named() -> None:
    kinds = {"Conv": 0.5, "Gemm": 0.2, "MaxPool": 0.1, "Resize": 0.05, "Split": 0.06, "Concat": 0.06, "Relu": 0.03}
    layers = [{"type_name": kind, "share": share} for kind, share in kinds.items()]
    found = profile_of("net", {"layers": layers})
    assert (found.largest, found.largest_share) == ("MaxPool", 0.1)
    assert table([found]).splitlines()[-1] == "| net | 70.0 | 10.0 | 5.0 | 12.0 | 3.0 | MaxPool 10.0 |"


def test_a_network_of_convolutions_has_no_other_layer() -> None:
    found = profile_of("net", {"layers": [{"type_name": "Conv", "share": 1.0}]})
    assert table([found]).splitlines()[-1] == "| net | 100.0 | 0.0 | 0.0 | 0.0 | 0.0 |  |"
