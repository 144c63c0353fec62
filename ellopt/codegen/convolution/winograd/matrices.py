"""Matrices of Winograd's minimal filtering F(t x t, 3 x 3), and F(t, 3) of windows of 1x3 and 3x1.

After A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks (2015): an output tile of t x t pixels
is A^T [(G g G^T) * (B^T d B)] A for weights g and an input tile d of t + 2 pixels (* is element by element), so t^2
outputs cost (t + 2)^2 multiplications instead of 9 t^2. With the Toom-Cook interpolation points p: A^T[i] is p^i,
B^T the polynomials that vanish at all other points, G the values of the filter at p, divided by B^T's polynomial there.

t  points                            multiplications   relative error
2  0, 1, -1, inf                     1 / 2.25          8e-7
3  0, 1, -1, inf, 2                  1 / 3.24          4e-6
4  0, 1, -1, 2, -2, inf              1 / 4             1e-5
5  0, 1, -1, 2, -2, inf, 1/2         1 / 4.59          1.5e-5
6  0, 1, -1, 2, -2, 1/2, -1/2, inf   1 / 5.06          2.5e-5

The error is max |v - reference| / max |reference| in float32 on random layers of 512 channels. Odd tiles fit layers of
5, 10, 20, ... and 3, 6, 9, ... rows without waste. A tile of 4 x 2 outputs (42) takes 24
multiplications for 8 outputs, 1 / 3 of 9, and a third fewer weights than one of 4 x 4: for small images, whose weights
come from memory. A tile of 4 x 4 outputs needs no more of them (44) if, across, only those of the points 0, 1, -1 and
inf are stored: of weights g0, g1, g2 these are x = g0 / 6, p = -(g0 + g1 + g2) / 6, m = -(g0 - g1 + g2) / 6 and
z = 4 g2 / 6. Those of 2 and -2 are (x + z) + (m - p) and (x + z) - (m - p): four additions for what several tiles are
multiplied with. What this lacks of G's own scale, the transformed input has.

With a stride of 2 an output is g0 d[2i] + g1 d[2i + 1] + g2 d[2i + 2]: a filter of two weights, g0 and g2, over the
even inputs, F(t, 2) with one point fewer, and the product of g1 with an odd one (J. Yepez, S.-B. Ko: Stride 2 1-D, 2-D,
and 3-D Winograd for Convolutional Neural Networks, 2020). So t^2 outputs cost (2 t + 1)^2 multiplications by (t + 2)^2
weights: for t = 2, 3, 4 that is 1 / 1.44, 1 / 1.65 and 1 / 1.78 of 9 t^2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_INFINITY = np.inf

#: By number: (point, scale of its column of A^T, scale of its row of B^T), in the order of the C code. Scales are
#: powers of two or signs, so they change no rounding.
_POINTS: dict[int, tuple[tuple[float, int, int], ...]] = {
    3: ((0, 1, -1), (1, 1, 1), (_INFINITY, 1, 1)),
    4: ((0, 1, -1), (1, 1, 1), (-1, 1, 1), (_INFINITY, -1, -1)),
    5: ((0, 1, -1), (1, 1, 1), (-1, 1, 1), (_INFINITY, -1, -1), (2, 1, 1)),
    6: ((0, 1, 1), (1, 1, 1), (-1, 1, 1), (2, 1, 1), (-2, 1, 1), (_INFINITY, 1, 1)),
    7: ((0, 1, 1), (1, 1, 1), (-1, 1, 1), (2, 1, 1), (-2, 1, 1), (_INFINITY, 1, 1), (0.5, 16, 1)),
    8: ((0, 1, -1), (1, 1, 1), (-1, 1, 1), (2, 1, 1), (-2, 1, 1), (0.5, 32, 1), (-0.5, 32, 1), (_INFINITY, 1, 1)),
}

TILE_SIZES = (2, 3, 4, 5, 6)
#: The same of layers with a stride of 2.
STRIDED_TILES = (2, 3, 4)
#: Tiles of unequal sides, of 3x3 windows alone, by two digits: rows and columns.
UNEQUAL_TILES = (42,)
#: Tiles of 4 x 4 outputs that have some weights computed from the others, of 3x3 windows alone.
DERIVED_TILE = 44


def tile_sides(tile: int) -> tuple[int, int]:
    """Rows and columns of outputs of a tile: 4 has (4, 4), 42 has (4, 2)."""
    return (tile // 10, tile % 10) if tile > 9 else (tile, tile)


def _powers(point: float, count: int) -> Matrix:
    """1, point, point^2, ...; for the point at infinity the last power alone."""
    return np.eye(count)[-1] if point == _INFINITY else np.asarray(point, np.float64) ** np.arange(count)


def _vanishing_elsewhere(point: float, finite: list[float], count: int) -> Matrix:
    """Coefficients, constant first, of the polynomial with the roots ``finite`` other than ``point``."""
    coefficients = np.atleast_1d(np.poly([p for p in finite if p != point]))[::-1]
    return np.pad(coefficients, (0, count - len(coefficients)))


def transforms(tile: int, taps: int = 3) -> tuple[Matrix, Matrix, Matrix]:
    """A^T [tile, points], B^T [points, points] and G [points, taps] of F(tile, taps), with tile + taps - 1 points."""
    points = _POINTS[tile + taps - 1]
    finite = [p for p, _, _ in points if p != _INFINITY]
    output, inputs, weights = [], [], []
    for point, output_scale, input_scale in points:
        polynomial = _vanishing_elsewhere(point, finite, len(points))
        value = 1.0 if point == _INFINITY else polynomial @ _powers(point, len(points))
        output.append(output_scale * _powers(point, tile))
        inputs.append(input_scale * polynomial)
        weights.append(_powers(point, taps) / (output_scale * input_scale * value))
    return np.array(output).T, np.array(inputs), np.array(weights)


def strided_transforms(tile: int) -> tuple[Matrix, Matrix, Matrix]:
    """A^T [tile, size], B^T [size, size] and G [size, 3] of three weights with a stride of 2; size is 2 tile + 1: the
    points of the even inputs, then the odd inputs, whose rows of G are all the same."""
    even, size = transforms(tile, taps=2), 2 * tile + 1
    output = np.hstack([even[0], np.eye(tile)])
    inputs, weights = np.zeros((size, size)), np.zeros((size, 3))
    inputs[: tile + 1, ::2], weights[: tile + 1, ::2] = even[1], even[2]
    inputs[tile + 1 :, 1::2], weights[tile + 1 :, 1] = np.eye(tile), 1.0
    return output, inputs, weights


#: (tile, stride) -> G without what is the same, [tile + 2, 3]
WEIGHT_TRANSFORMS: dict[tuple[int, int], Matrix] = {
    **{(tile, 1): transforms(tile)[2] for tile in TILE_SIZES},
    **{(tile, 2): strided_transforms(tile)[2][: tile + 2] for tile in STRIDED_TILES},
}
#: G across of DERIVED_TILE, [4, 3]: the points 0, 1, -1 and inf.
STORED_TRANSFORM: Matrix = np.array([[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [0, 0, 4]]) / 6


def weight_transforms(tile: int, stride: int = 1) -> tuple[Matrix, Matrix]:
    """G down and across of the weights that are stored of a tile."""
    down, across = tile_sides(tile)
    stored = STORED_TRANSFORM if tile == DERIVED_TILE else WEIGHT_TRANSFORMS[across, stride]
    return WEIGHT_TRANSFORMS[down, stride], stored
