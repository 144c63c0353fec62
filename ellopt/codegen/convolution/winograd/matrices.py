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
come from memory.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_INFINITY = np.inf

#: By tile size: (point, scale of its column of A^T, scale of its row of B^T), in the order of the C code. Scales are
#: powers of two or signs, so they change no rounding.
_POINTS: dict[int, tuple[tuple[float, int, int], ...]] = {
    2: ((0, 1, -1), (1, 1, 1), (-1, 1, 1), (_INFINITY, -1, -1)),
    3: ((0, 1, -1), (1, 1, 1), (-1, 1, 1), (_INFINITY, -1, -1), (2, 1, 1)),
    4: ((0, 1, 1), (1, 1, 1), (-1, 1, 1), (2, 1, 1), (-2, 1, 1), (_INFINITY, 1, 1)),
    5: ((0, 1, 1), (1, 1, 1), (-1, 1, 1), (2, 1, 1), (-2, 1, 1), (_INFINITY, 1, 1), (0.5, 16, 1)),
    6: ((0, 1, -1), (1, 1, 1), (-1, 1, 1), (2, 1, 1), (-2, 1, 1), (0.5, 32, 1), (-0.5, 32, 1), (_INFINITY, 1, 1)),
}

TILE_SIZES = tuple(_POINTS)
#: Tiles of unequal sides, of 3x3 windows alone, by two digits: rows and columns.
UNEQUAL_TILES = (42,)


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


def transforms(tile: int) -> tuple[Matrix, Matrix, Matrix]:
    """A^T [tile, tile + 2], B^T [tile + 2, tile + 2] and G [tile + 2, 3] of F(tile x tile, 3 x 3)."""
    finite = [p for p, _, _ in _POINTS[tile] if p != _INFINITY]
    output, inputs, weights = [], [], []
    for point, output_scale, input_scale in _POINTS[tile]:
        polynomial = _vanishing_elsewhere(point, finite, tile + 2)
        value = 1.0 if point == _INFINITY else polynomial @ _powers(point, tile + 2)
        output.append(output_scale * _powers(point, tile))
        inputs.append(input_scale * polynomial)
        weights.append(_powers(point, 3) / (output_scale * input_scale * value))
    return np.array(output).T, np.array(inputs), np.array(weights)


#: G, [tile + 2, 3]
WEIGHT_TRANSFORMS: dict[int, Matrix] = {tile: transforms(tile)[2] for tile in TILE_SIZES}
