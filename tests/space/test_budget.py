"""Temporary files stay below a gigabyte, whatever the model."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ellopt.core.methods import find_method
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.space.budget import within_bytes
from ellopt.space.space import ConvolutionLayer, LayerSpace, ModelSpace

TILES = tuple(ConvolutionOptions("winograd", False, winograd_tile_size=tile) for tile in (2, 4, 6))
VARIANTS = (ELL_DEFAULT, *TILES)


def layer(node_id: str, channels: int) -> LayerSpace:
    shape = ConvolutionShape(16, 16, channels, channels, 3, 1, 1, False, 14, 14)
    return LayerSpace(ConvolutionLayer(node_id, node_id, shape), VARIANTS, ELL_DEFAULT)


def space(layers: Iterable[LayerSpace]) -> ModelSpace:
    found = tuple(layers)
    return ModelSpace("options.json", found, 4, 4 * len(found), sum(len(each.variants) for each in found))


def total(bounded: ModelSpace) -> int:
    return sum(
        sum({o.way: find_method(o.method).weight_bytes(each.shape, o) for o in {*each.variants, each.default}}.values())
        for each in bounded.layers
    )


@pytest.mark.parametrize("limit_mb", [20, 60, 100])
def test_the_largest_weights_go_first_until_all_fit(limit_mb: int) -> None:
    whole = space([layer("large", 512), layer("large too", 512), layer("small", 16)])
    bounded = within_bytes(whole, limit_mb * 1024 * 1024)
    assert total(whole) > limit_mb * 1024 * 1024 >= total(bounded)
    assert bounded.by_id["small"].variants == VARIANTS
    assert bounded.by_id["large"].variants == bounded.by_id["large too"].variants
    assert TILES[-1] not in bounded.by_id["large"].variants
    assert bounded.distinct == sum(len(each.variants) for each in bounded.layers)


def test_what_fits_stays_as_it_is() -> None:
    small = space([layer("small", 16)])
    assert within_bytes(small) is small


def test_every_layer_keeps_its_default(caplog: pytest.LogCaptureFixture) -> None:
    bounded = within_bytes(space([layer("large", 512)]), 1)
    assert bounded.layers[0].variants == (ELL_DEFAULT,)
    assert "left out" in caplog.text
