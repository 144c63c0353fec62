"""The same done with several things side by side, in threads: for work that waits for programs or for boards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def fan_out(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    give_up: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Result]:
    """``function`` of each of ``items``, at most ``workers`` at a time; the results in the order of the items.

    When one raises, those that have not begun never do, ``give_up`` may end those that have, and once all have ended
    the first error, in the order of the items, is raised. One item, or one worker, needs no thread. ``meanwhile`` is
    done on the caller's thread once they have begun, and before them where there are no threads; what it raises counts
    as the first error.
    """
    todo = list(items)
    if min(workers, len(todo)) <= 1:
        meanwhile()
        return [function(item) for item in todo]
    with ThreadPoolExecutor(min(workers, len(todo)), thread_name_prefix="fan-out") as threads:
        futures = [threads.submit(function, item) for item in todo]
        try:
            meanwhile()
            return [future.result() for future in futures]
        except BaseException:
            give_up()
            threads.shutdown(wait=True, cancel_futures=True)
            raise
