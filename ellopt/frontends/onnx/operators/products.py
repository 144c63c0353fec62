"""Products of two matrices that are both computed, and the places of extremes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ellopt.frontends.onnx.builder import Builder
from ellopt.frontends.onnx.fold import Operator
from ellopt.frontends.onnx.held import Held, flat, identity
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model.layers import AxisExtreme, MatrixProduct


def product(builder: Builder, left: Held, right: Held) -> Held:
    """As NumPy's matmul: the last two axes are matrices, those before them are broadcast; a vector is a line or, on
    the right, a column. Nothing moves: matrices are read where they lie."""
    first = left if len(left.shape) > 1 else builder.reshape(left, (1, *left.shape))
    second = right if len(right.shape) > 1 else builder.reshape(right, (*right.shape, 1))
    rows, depth = first.shape[-2:]
    columns = second.shape[-1]
    if second.shape[-2] != depth:
        raise Refused(f"a matrix {list(right.shape)} does not go with {list(left.shape)}")
    batches = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    shape = (*batches, rows, columns)
    node = MatrixProduct(
        **builder.common((first, second), flat(prod(shape)), main=True),
        rows=rows,
        depth=depth,
        columns=columns,
        left=(first.strides[-2], first.strides[-1]),
        right=(second.strides[-2], second.strides[-1]),
        batches=batches,
        left_batches=_batches(first, len(batches)),
        right_batches=_batches(second, len(batches)),
    )
    return builder.add(node, shape, identity(shape))


def _batches(held: Held, axes: int) -> tuple[int, ...]:
    own = tuple(0 if n == 1 else step for n, step in zip(held.shape[:-2], held.strides[:-2], strict=True))
    return (0,) * (axes - len(own)) + own


def extreme(smallest: bool) -> Callable[[Builder, Operator], None]:
    """The translator of ArgMax or ArgMin. Places are held as floats."""

    def translate(builder: Builder, operator: Operator) -> None:
        held = builder.held(operator.inputs[0])
        axis = operator.attributes.get("axis", 0) % len(held.shape)
        order = held.order
        place = order.index(axis)
        shape = tuple(1 if a == axis else n for a, n in enumerate(held.shape))
        node = AxisExtreme(
            **builder.common((held,), builder.layout_for(held, shape), main=True),
            outer=prod(held.shape[a] for a in order[:place]),
            length=held.shape[axis],
            inner=prod(held.shape[a] for a in order[place + 1 :]),
            smallest=smallest,
            last=bool(operator.attributes.get("select_last_index", 0)),
        )
        found = builder.add(node, shape, order)
        builder.hold(operator.outputs[0], builder.reshape(found, builder.shape(operator.outputs[0])))

    return translate
