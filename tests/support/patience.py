"""How long tests wait on processors that many share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: seconds within which has happened what takes a moment; what a test rules out by it takes far longer, or forever
SOON = 30.0


def eventually(check: Callable[[], Any], seconds: float = 120.0) -> bool:
    """Whether ``check`` holds at a moment within ``seconds``; it is asked again and again."""
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(found)
