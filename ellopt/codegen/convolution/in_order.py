"""What the loop of multiply_in_order.h takes, by the rules of the processor that it is for."""

from __future__ import annotations

#: Cycles of a multiply-add in the portable loop, where every vector load stops the multipliers.
_PORTABLE = 1.9
#: A vector load issues where four cycles before it no multiply-add did: behind another load, or a pause.
_BETWEEN_LOADS = 4
_PAUSE = 0.5


def loop_cycles(pixels: int, vectors: int) -> float:
    """Cycles of one channel of a register tile on an in-order core: multiply-adds, loads and a pause every two
    channels, or loads at the distance that they keep. Tiles that have no loop of their own take the portable one."""
    if vectors != 2 or not 4 <= pixels <= 8:
        return _PORTABLE * max(pixels * vectors, pixels + vectors)
    loads = vectors + (pixels + 1) // 2 / 2
    return max(pixels * vectors + loads + _PAUSE, _BETWEEN_LOADS * loads)
