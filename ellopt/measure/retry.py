"""A visit whose device fails is made again, by another one."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.measure.executors.base import Steps, result_of
from ellopt.measure.ledger import Ledger
from ellopt.measure.results import VisitResult
from ellopt.measure.visit import VisitTask

log = logging.getLogger(__name__)


def visited(task: Callable[[], VisitTask], ledger: Ledger, attempts: int, deadline: Deadline) -> Steps[VisitResult]:
    """The result of a visit that no device failed in, as asked for by ``task``, anew for each of ``attempts``.

    Every one is told to ``ledger``. Raises the last InfrastructureError, at once if no device could be had at all.
    """
    for attempt in range(1, attempts + 1):
        reached = True
        try:
            result = yield from result_of(task())
            ledger.take(result)
            if result.error is None:
                return result
            error, reached = result.error, bool(result.device)
        except InfrastructureError as lost:  # with the place where it ran
            error = lost
        ledger.failed(str(error))
        if not reached or attempt >= attempts or deadline.passed:
            break
        log.warning("attempt %d of %d failed, trying again: %s", attempt, attempts, error)
    raise error
