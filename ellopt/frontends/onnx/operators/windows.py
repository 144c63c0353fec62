"""Where the windows of convolutions and pooling lie: strides, dilations, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ellopt.frontends.onnx.fold import Operator, Shape
from ellopt.frontends.onnx.refusals import Refused

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """All pairs are (rows, columns); ``before`` and ``behind`` are the padding above, left and below, right."""

    size: Pair
    strides: Pair
    dilations: Pair
    before: Pair
    behind: Pair

    @property
    def extent(self) -> Pair:
        """The rows and columns that a window reaches over."""
        return (
            (self.size[0] - 1) * self.dilations[0] + 1,
            (self.size[1] - 1) * self.dilations[1] + 1,
        )


def windows(operator: Operator, spatial: Shape, size: Shape) -> Windows:
    """The windows of ``size`` over ``spatial``, both of one or two dimensions. Raises Refused for other ranks."""
    rank = len(spatial)
    if rank not in (1, 2):
        raise Refused(f"{operator.kind} over {rank} dimensions in space is not supported, only over one and two")
    attributes = operator.attributes
    strides = _pair(attributes.get("strides") or [1] * rank)
    dilations = _pair(attributes.get("dilations") or [1] * rank)
    window, whole = _pair(size), _pair(spatial)
    pads = list(attributes.get("pads") or [0] * (2 * rank))
    if min(pads) < 0:
        raise Refused("negative padding is not supported")
    before, behind = (0, *pads[:1]) if rank == 1 else tuple(pads[:2]), (0, *pads[1:]) if rank == 1 else tuple(pads[2:])
    mode = text(attributes.get("auto_pad", b"NOTSET"))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        needed = [
            max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
            for n, s, k, d in zip(whole, strides, window, dilations, strict=True)
        ]
        less, more = tuple(n // 2 for n in needed), tuple(n - n // 2 for n in needed)
        before, behind = (less, more) if mode == "SAME_UPPER" else (more, less)
    elif mode == "VALID":
        before = behind = (0, 0)
    return Windows(window, strides, dilations, (before[0], before[1]), (behind[0], behind[1]))


def _pair(values: Any) -> Pair:
    return (1, int(values[0])) if len(values) == 1 else (int(values[0]), int(values[1]))


def text(value: Any) -> str:
    """An attribute that is a text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
