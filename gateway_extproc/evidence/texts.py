"""Texts of prompts and answers for reviewers: redacted, sealed and written by one thread.

Off unless ``evidence.texts`` has rules.  The event loop only decides and hands references over;
the thread has a guard of its own, whose rules take out whatever any rule of the configuration
would change, and all personal data and secrets that the finders know.  Texts that could not be
judged as a whole are not kept.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final

import orjson

from gateway_extproc.config.evidencing import TextRule
from gateway_extproc.core.chat import Chunk, LlmRequest, TextAt, TextDelta
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.heard import texts_of
from gateway_extproc.core.ports import Guard, Guarded, Scan
from gateway_extproc.evidence.dropping import concerns, draw, route_of, tenant_of
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.records import rfc3339
from gateway_extproc.evidence.sealing import Entropy, Line, PublicKey, seal

log = logging.getLogger(__name__)

TEXT_MAX: Final = 262_144
"""Characters of a prompt that are kept: the newest texts."""
MARGIN: Final = 16_384
"""Beyond the end of a text that is cut so much is judged and then left out: a secret that the cut
divides, a private key even, must not stay because its second half is missing."""
WAITING_MAX: Final = 32 * 1024 * 1024
"""Characters that may wait for the thread."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one request said, and under which rule it is kept.

    ``deltas`` are a streamed answer, ``response`` one that came whole; ``complete`` tells whether
    a stream was heard to its end.
    """

    rule: TextRule
    decision_id: str
    started_wall_ns: int
    who: Guarded
    asked: LlmRequest | None
    request: tuple[TextAt, ...]
    response: tuple[TextAt, ...] = ()
    deltas: tuple[TextDelta, ...] = ()
    complete: bool = True
    missed: int = 0

    @property
    def chars(self) -> int:
        texts = [at.text for at in (*self.request, *self.response)]
        return sum(map(len, texts)) + sum(len(event.text) for event in self.deltas)


class NotRedacted(Exception):
    """A rule could not look at all of it; says which."""


class TextKeeper:
    """Decides, hands over and writes ``texts-{worker}-{day}.jsonl``; the day is the last one.

    ``make_guard`` is called in the thread, when the first texts come: its guard is as
    ``guardrules.open_redactor`` makes it.  ``keep`` belongs to the event loop and never raises for
    what the thread meets: that is logged, counted and told to ``on_loss``.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        rules: Sequence[TextRule],
        reviewers: Sequence[PublicKey],
        make_guard: Callable[[], Guard],
        *,
        entropy: Entropy = os.urandom,
        on_loss: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._folder, self._worker = folder, worker
        self._rules = tuple(rules)
        keys = {key.reviewer: key for key in reviewers}
        self._readers = {rule.id: [keys[name] for name in rule.reviewers] for rule in rules}
        self._make_guard, self._entropy, self._on_loss = make_guard, entropy, on_loss
        self._guard: Guard | None = None
        self._waiting, self._lock = 0, Lock()
        self._queue: SimpleQueue[Said | None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._run, name="texts", daemon=True)
        self._thread.start()

    def wants_answer(self, exchange: Exchange) -> bool:
        """Whether some rule may want the answer, however the request ends."""
        return any("response" in rule.directions for rule in self._fitting(exchange))

    def keep(self, exchange: Exchange) -> bool:
        """Hands the texts over where a rule says so; whether it did."""
        rule = next((r for r in self._fitting(exchange) if _ends(r, exchange)), None)
        if rule is None or exchange.permit is None:
            return False
        said = _said(rule, exchange)
        if not said.chars:
            return False
        with self._lock:
            full = self._closed or self._waiting + said.chars > WAITING_MAX
            self._waiting += 0 if full else said.chars
        if full:
            self._on_loss(1)
            return False
        self._queue.put(said)
        return True

    def close(self, timeout_s: float = 5.0) -> bool:
        """Writes what is waiting; False if the time did not suffice."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._queue.put(None)
        self._thread.join(timeout_s)
        late = self._thread.is_alive()
        if late:
            self._on_loss(self._queue.qsize())
        return not late

    def _fitting(self, exchange: Exchange) -> list[TextRule]:
        tenant, route = tenant_of(exchange), route_of(exchange)
        return [
            rule
            for rule in self._rules
            if concerns(rule, tenant, route) and draw(exchange.decision_id, rule.id) < rule.sample
        ]

    # ------------------------------------------------------------- the thread

    def _run(self) -> None:
        while (said := self._queue.get()) is not None:
            try:
                self._store(said)
            except Exception as error:
                # The message of an exception could quote the text: only its kind is told.
                log.error("texts of %s are not kept: %s", said.decision_id, type(error).__name__)
                self._on_loss(1)
            with self._lock:
                self._waiting -= said.chars

    def _store(self, said: Said) -> None:
        if self._guard is None:
            # Not before there is work: it compiles for seconds, though without the GIL.
            self._guard = self._make_guard()
        document: Line = {}
        if "request" in said.rule.directions:
            document["request"] = _request(self._guard, said)
        if "response" in said.rule.directions:
            document["response"] = _response(self._guard, said)
        if said.missed:
            document["missed_chars"] = said.missed
        expires = last_day(said.started_wall_ns, said.rule.retention_days)
        head = {
            "decision_id": said.decision_id,
            "time": rfc3339(said.started_wall_ns),
            "expires": f"{expires + timedelta(days=1):%Y-%m-%dT00:00:00Z}",
            "rule": said.rule.id,
            "directions": list(said.rule.directions),
        }
        line = seal(head, encode(document), self._readers[said.rule.id], self._entropy)
        _append(self._folder / f"texts-{self._worker}-{expires:%Y%m%d}.jsonl", encode(line) + b"\n")


def last_day(wall_ns: int, days: int) -> datetime:
    """The last day (UTC) on which texts of this time are kept."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC) + timedelta(days=days)


def _ends(rule: TextRule, exchange: Exchange) -> bool:
    return not rule.outcomes or exchange.outcome in rule.outcomes


def _said(rule: TextRule, exchange: Exchange) -> Said:
    assert exchange.permit is not None
    principal = exchange.permit.principal
    asked = exchange.asked
    said = Said(
        rule,
        exchange.decision_id,
        exchange.started_wall_ns,
        Guarded(principal.tenant.id, exchange.policy_model, principal.credential_id),
        asked,
        asked.texts if asked is not None and "request" in rule.directions else (),
    )
    heard = exchange.heard
    if heard is None or "response" not in rule.directions:
        return said
    return replace(
        said,
        response=heard.document_texts,
        deltas=heard.deltas,
        complete=exchange.answer_ended_well and not heard.missed,
        missed=heard.missed,
    )


def _request(guard: Guard, said: Said) -> list[Line]:
    """What is kept of a prompt; raises ``NotRedacted``."""
    newest = _newest(said.request)
    texts = _after([at for at, _ in newest], lambda some: guard.scan_request(some, said.who))
    texts = _after(texts, lambda some: guard.scan_answer(some, said.who, None))
    kept: list[Line] = []
    for at, (_, cut) in zip(texts, newest, strict=True):
        text = at.text
        kept.append(_line(at, text[: max(0, len(text) - MARGIN)] if cut else text, cut=cut))
    return kept


def _response(guard: Guard, said: Said) -> list[Line]:
    """What is kept of an answer; raises ``NotRedacted``.

    Of a stream that was not heard to its end the window lets out only what no later text could
    have made part of something to be redacted.
    """
    if said.deltas and not said.complete:
        window = guard.window(said.who, said.asked)
        assert window is not None  # the finders' rules are everybody's
        result = window.push([Chunk(None, None, said.deltas)], last=False)
        left = [e for c in result.chunks for e in c.events if isinstance(e, TextDelta)]
        return [_line(at, at.text, cut=True) for at in texts_of(left)]
    texts = [*said.response, *texts_of(said.deltas)]
    texts = _after(texts, lambda some: guard.scan_answer(some, said.who, said.asked))
    return [_line(at, at.text) for at in texts]


def _after(texts: list[TextAt], look: Callable[[Sequence[TextAt]], Scan]) -> list[TextAt]:
    """The texts as they stand after a scan; raises ``NotRedacted``."""
    scan = look(texts)
    if scan.unjudged:
        raise NotRedacted(", ".join(scan.unjudged))
    changed = {at.path: text for at, text in scan.changed}
    return [replace(at, text=changed.get(at.path, at.text)) for at in texts]


def _line(at: TextAt, text: str, *, cut: bool = False) -> Line:
    line: Line = {"path": list(at.path), "role": at.role, "text": text}
    return {**line, "cut": True} if cut else line


def _newest(texts: Sequence[TextAt]) -> list[tuple[TextAt, bool]]:
    """The last texts that fit into ``TEXT_MAX``, each with whether its end is missing."""
    room, kept = TEXT_MAX, list[tuple[TextAt, bool]]()
    for at in reversed(texts):
        if room <= 0:
            break
        cut = len(at.text) > room
        kept.append((replace(at, text=at.text[: room + MARGIN]) if cut else at, cut))
        room -= len(at.text)
    return kept[::-1]


def _append(path: Path, line: bytes) -> None:
    """One line at the end of a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    file = os.open(path, flags, 0o600)
    try:
        os.fchmod(file, 0o600)
        if os.write(file, line) != len(line):
            # The rest would join the next line: an empty one between them keeps both apart.
            os.write(file, b"\n")
            raise OSError("the line was written in part")
    finally:
        os.close(file)


def find_texts(folder: Path, decision_id: str) -> Line | None:
    """The sealed texts of a decision; None without any."""
    wanted = orjson.dumps(decision_id)
    for path in sorted(folder.glob("texts-*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                if wanted in line and (found := _read(line)).get("decision_id") == decision_id:
                    return found
    return None


def _read(line: bytes) -> Line:
    try:
        document: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
