"""What the loop of multiply_in_order.h takes, by the rules of the processor that it is for."""

from __future__ import annotations

from ellopt.targets import Cpu

#: Cycles of a multiply-add in the portable loop, where every vector load stops the multipliers.
_PORTABLE = 1.9
#: A vector load issues where four cycles before it no multiply-add did: behind another load, or a pause.
_BETWEEN_LOADS = 4
_PAUSE = 0.5
#: In 32-bit code (multiply_in_order_32.h): of a channel of three or four pixels; of a multiply-add elsewhere.
_CHANNEL_32 = 12.0
_PORTABLE_32 = 2.5
#: Without vectors (multiply_in_order_vfp.h): of a channel of three or four pixels and four filters; of a multiply-add
#: elsewhere, of which there are eight or more.
_CHANNEL_VFP = 20.0
_PORTABLE_VFP = 2.2


def loop_cycles(pixels: int, vectors: int, cpu: Cpu) -> float:
    """Cycles of one channel of a register tile on an in-order core: multiply-adds, loads and a pause every two
    channels, or loads at the distance that they keep. Tiles that have no loop of their own take the portable one."""
    if cpu.lanes == 1:
        return _CHANNEL_VFP if vectors == 4 and 3 <= pixels <= 4 else _PORTABLE_VFP * max(pixels * vectors, 8)
    if cpu.registers < 32:
        return _CHANNEL_32 if vectors == 2 and 3 <= pixels <= 4 else _PORTABLE_32 * max(pixels * vectors, 4)
    if vectors != 2 or not 4 <= pixels <= 8:
        return _PORTABLE * max(pixels * vectors, pixels + vectors)
    loads = vectors + (pixels + 1) // 2 / 2
    return max(pixels * vectors + loads + _PAUSE, _BETWEEN_LOADS * loads)
