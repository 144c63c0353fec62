"""The client's connection with a scheduler, made again when it was lost."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ellopt.core.errors import InfrastructureError
from ellopt.measure.executors.dask.offer import Offer, read_offer
from ellopt.measure.executors.dask.settings import FleetSettings

if TYPE_CHECKING:
    from distributed import Client, Security

log = logging.getLogger(__name__)
#: seconds in which a scheduler that is there answers
ANSWER_SECONDS = 10.0


def security_of(settings: FleetSettings) -> Security | None:
    """What Dask needs for TLS; None without."""
    if not settings.tls_ca:
        return None
    from distributed import Security

    files = {f"tls_{role}_{kind}": str(path) for role in ("client", "worker", "scheduler")
             for kind, path in (("cert", settings.tls_cert), ("key", settings.tls_key))}  # fmt: skip
    return Security(tls_ca_file=str(settings.tls_ca), require_encryption=True, **files)


class Connection:
    """For one thread at a time. ``patience``: seconds for which a scheduler may be away."""

    def __init__(self, settings: FleetSettings, patience: float) -> None:
        self._settings, self._patience = settings, patience
        self._client: Client | None = None
        self._lost_at: float | None = None

    def client(self) -> Client | None:
        """What speaks with the scheduler; None while that is away.

        Raises InfrastructureError if it has been for longer than ``patience``.
        """
        if self._client is not None and self._client.status == "running":
            self._lost_at = None
            return self._client
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        if self._client is not None and self._client.status not in ("closed", "closing"):
            self._give_up_in_time()  # it is trying
            return None
        try:
            self._client = self._connect()
        except InfrastructureError as error:
            self._give_up_in_time(str(error))
            return None
        log.info("connected with the scheduler again")
        self._lost_at = None
        return self._client

    def open(self) -> None:
        """Connect. Raises ConfigurationError for an address that may not be used, InfrastructureError if nobody answers
        there."""
        self._client = self._connect()

    def offers(self) -> dict[str, Offer]:
        """What every worker of ours offers, by its address; nothing while the scheduler is away."""
        client = self.client()
        if client is None:
            return {}
        try:
            workers = client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError, ValueError, TypeError) as error:  # lost while it was asked
            log.debug("the scheduler did not answer: %s", error)
            return {}
        found = {address: read_offer(identity) for address, identity in workers.items()}
        return {address: offer for address, offer in found.items() if offer is not None}

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=2)

    def _connect(self) -> Client:
        from distributed import Client

        address = self._settings.address()
        try:
            more: dict[str, Any] = {"security": security} if (security := security_of(self._settings)) else {}
            return Client(address, timeout=ANSWER_SECONDS, set_as_default=False, name="ellopt", **more)
        except (OSError, TimeoutError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InfrastructureError(f"--scheduler: no Dask scheduler answers at {address}: {reason}") from error

    def _give_up_in_time(self, reason: str = "") -> None:
        assert self._lost_at is not None
        away = time.monotonic() - self._lost_at
        if away > self._patience:
            raise InfrastructureError(f"the scheduler was away for {away:.0f} s (--board_timeout) {reason}".strip())
