"""Windows inside the tensor, partly and wholly in its border, at whole vectors of channels."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from ellopt.core.options import ConvolutionOptions
from tests.support.network_check import check_network
from tests.support.networks import ModelMaker, compile_networks


def test_pooling_agrees_with_the_reference_in_borders_of_all_widths(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    models = {}
    for size, stride, padding, function in product((2, 3), (1, 2, 3), (0, 1, 4), ("max", "mean")):
        maker = ModelMaker(rng)
        source = maker.reorder(maker.input(6, 5, 16), padding, -1.5)
        maker.output(maker.pooling(source, function, size, stride))
        models[f"{function}{size}{stride}{padding}"] = (maker.model(), ConvolutionOptions("unrolled"))
    for size, function in product((4, 7, 15), ("max", "mean")):  # threads share their channels, the last ones no vector
        maker = ModelMaker(rng)
        maker.output(maker.pooling(maker.reorder(maker.input(15, 15, 75), 1, 0.25), function, size, 4))
        models[f"{function}{size}"] = (maker.model(), ConvolutionOptions("unrolled", True))
    for size, channels, function in product((17, 20), (16, 75), ("max", "mean")):  # threads share the window's pixels
        maker = ModelMaker(rng)
        maker.output(maker.pooling(maker.reorder(maker.input(15, 15, channels), 1, 0.25), function, size, 4))
        models[f"{function}{size}of{channels}"] = (maker.model(), ConvolutionOptions("unrolled", True))
    for key, compiled in compile_networks(models, tmp_path).items():
        model = models[key][0]
        values = rng.normal(size=model.input.output_layout.size).astype(np.float32)
        for threads in (2, 4):
            check_network(compiled, model, values, threads)
        values[2, 3, 5] = np.nan
        check_network(compiled, model, values, 4)
