"""Fetches the key sets of issuers, for all workers of a host.

Runs in the supervisor: with a fetcher in each worker an issuer would be asked once a core, and
a flood of unknown kids would be multiplied by them.  Workers read the file that
is written here (``keysets.py``), so what was last good also outlives a restart of everything, and
touch another one when a token names a key that they do not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import h11

from gateway_extproc.config.proofs import Issuer
from gateway_extproc.identity.keyset import MAX_BYTES, KeySetError, read_key_set
from gateway_extproc.stores.keysets import fetched_file, wanted_file

log = logging.getLogger(__name__)

MIN_INTERVAL_S: Final = 10.0
"""An issuer is asked at most this often, whatever tokens say."""
LOOK_EVERY_S: Final = 0.25
TIMEOUT_S: Final = 5.0
"""For one fetch in all: name, connection, TLS, answer."""
SPREAD: Final = 0.1
"""Share of ``refresh_s`` that chance takes off, so that many hosts do not ask at once."""

Fetch = Callable[[Issuer], Awaitable[bytes]]


class FetchError(Exception):
    """An issuer's keys could not be fetched; says why."""


@dataclass(slots=True)
class _State:
    """What is known of one issuer's keys."""

    asked_s: float = float("-inf")
    fetched_s: float = float("-inf")
    wanted_ns: int = 0
    error: str = ""


async def fetch_key_set(issuer: Issuer) -> bytes:
    """The document at ``jwks_url``; raises ``FetchError``.

    Nothing is followed anywhere else: an answer other than 200 is no key set.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _get(issuer)
    except TimeoutError:
        raise FetchError(f"no answer within {TIMEOUT_S:g} s") from None
    except (OSError, h11.ProtocolError, ValueError) as error:
        raise FetchError(f"{type(error).__name__}: {error}") from None


async def _get(issuer: Issuer) -> bytes:
    url = urlsplit(issuer.jwks_url or "")
    secure = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.hostname,
        url.port or (443 if secure else 80),
        ssl=ssl.create_default_context(cafile=issuer.ca_file) if secure else None,
    )
    try:
        connection = h11.Connection(h11.CLIENT)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = [("host", url.netloc), ("accept", "application/json"), ("connection", "close")]
        request = h11.Request(method="GET", target=target, headers=headers)
        writer.write(connection.send(request) + connection.send(h11.EndOfMessage()))
        return await _read_body(connection, reader)
    finally:
        # The answer is here, or never will be: no polite end is worth waiting for.
        writer.transport.abort()


async def _read_body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response) and event.status_code != 200:
            raise FetchError(f"status {event.status_code}")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BYTES:
                raise FetchError(f"larger than {MAX_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            raise FetchError("the connection was closed")


class KeySetFetcher:
    """Keeps the files of a host's issuers up to date."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        folder: Path,
        *,
        fetch: Fetch = fetch_key_set,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = [
            issuer
            for issuer in issuers
            if issuer.jwks_url is not None and issuer.verified_by == "gateway"
        ]
        self._folder = folder
        self._fetch = fetch
        self._now_s = now_s
        self._states = {issuer.id: _State() for issuer in self._issuers}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to fetch, in the background."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tasks = [asyncio.create_task(self._keep(issuer)) for issuer in self._issuers]

    async def stop(self) -> None:
        """Ends what runs; the files stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def status(self) -> list[dict[str, Any]]:
        """One row an issuer, for the admin server."""
        now_s = self._now_s()
        return [
            {
                "issuer": name,
                "keys_age_s": round(now_s - state.fetched_s, 1) if state.fetched_s > 0 else None,
                "error": state.error or None,
            }
            for name, state in self._states.items()
        ]

    async def _keep(self, issuer: Issuer) -> None:
        self._remember_last_fetch(issuer)
        while True:
            await self._until_due(issuer)
            await self._refresh(issuer)

    def _remember_last_fetch(self, issuer: Issuer) -> None:
        """Whoever starts again and again must not ask each time: the file knows when it was."""
        state, path = self._states[issuer.id], fetched_file(self._folder, issuer)
        with contextlib.suppress(OSError):
            age_s = time.time() - path.stat().st_mtime
            if 0 <= age_s < MIN_INTERVAL_S:
                state.asked_s = state.fetched_s = self._now_s() - age_s

    async def _refresh(self, issuer: Issuer) -> None:
        state = self._states[issuer.id]
        state.asked_s, state.wanted_ns = self._now_s(), self._wanted_ns(issuer)
        try:
            content = await self._fetch(issuer)
            read_key_set(content)
            _replace(fetched_file(self._folder, issuer), content)
        except (FetchError, KeySetError, OSError) as error:
            state.error = str(error)
            log.error("keys of issuer %s: %s; the last good ones stay", issuer.id, error)
            return
        state.fetched_s, state.error = self._now_s(), ""

    async def _until_due(self, issuer: Issuer) -> None:
        """Waits for the next regular fetch, or for a worker that wants one; 10 s at least."""
        state = self._states[issuer.id]
        pause_s = MIN_INTERVAL_S if state.error else issuer.refresh_s
        # Chance spreads the load; nobody could gain from guessing it.
        pause_s = max(MIN_INTERVAL_S, pause_s * (1 - SPREAD * random.random()))  # noqa: S311
        while not self._is_due(issuer, state, pause_s):  # noqa: ASYNC110 (a file tells no event)
            await asyncio.sleep(LOOK_EVERY_S)

    def _is_due(self, issuer: Issuer, state: _State, pause_s: float) -> bool:
        elapsed_s = self._now_s() - state.asked_s
        if elapsed_s < MIN_INTERVAL_S:
            return False
        return elapsed_s >= pause_s or self._wanted_ns(issuer) != state.wanted_ns

    def _wanted_ns(self, issuer: Issuer) -> int:
        try:
            return wanted_file(self._folder, issuer).stat().st_mtime_ns
        except OSError:
            return 0


def _replace(path: Path, content: bytes) -> None:
    """Puts content in place of a file's in one step, for its owner only."""
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            os.utime(path)
            return
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)
