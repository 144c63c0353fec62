"""Options as short codes: axes of parallel coordinates have room for eight letters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from ellopt.core.methods import method_names
from ellopt.core.options import FLOAT16, ConvolutionOptions

LENGTH = 8
_LONG_NAME = re.compile("([a-z]{3})[a-z]*")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def code(options: ConvolutionOptions) -> str:
    """``w4 f1 p`` for ``winograd t4 f1 parallel``: at most 8 letters, another one for other options.

    The method's first letter (more, if another begins with it) and tile size, depths, blocking, ``h`` in float16, and
    ``p`` on all cores. Depths from 10 on are one letter as in base 36 where there is no room for more; what is longer
    still ends in a digest in capital letters.
    """
    return next(text for text in _forms(options) if len(text) <= LENGTH)


def _forms(options: ConvolutionOptions) -> Iterator[str]:
    """Codes from the most readable to the shortest."""
    method = f"{_initial(options.method)}{options.winograd_tile_size or ''}"
    parallel = ["p"] * options.parallelize
    half = ["h"] * (options.precision == FLOAT16)
    blocking = _LONG_NAME.sub(r"\1", options.gemm_blocking)
    given = [(key, depth) for key, depth in zip("sfc", options.depths, strict=True) if depth]
    depths = [f"{key}{depth}" for key, depth in given]
    for parts in (depths, [f"{key}{_DIGITS[min(depth, 35)]}" for key, depth in given if depth < len(_DIGITS)]):
        if len(parts) == len(given):
            whole = [method, *parts, *([f"g{blocking}"] if blocking else []), *half, *parallel]
            yield " ".join(whole)
            yield "".join(whole)
    number = int.from_bytes(hashlib.sha256(str(options).encode()).digest())
    digest = "".join(_DIGITS[number // 36**place % 36] for place in range(LENGTH)).upper()
    yield f"{method[:3]}{digest}"[: LENGTH - len(parallel)] + "".join(parallel)


def _initial(method: str) -> str:
    others = [name for name in method_names() if name != method]
    lengths = range(1, len(method) + 1)
    return next((method[:n] for n in lengths if not any(name.startswith(method[:n]) for name in others)), method)
