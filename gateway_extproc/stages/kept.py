"""kept: what of files and batches goes to a provider, and what comes back.

Every line of a batch is looked at as its own request would be, every result as its own answer.
A value that a guard masks stays masked in results: they come hours later, and nobody remembers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway_extproc.core.chat import Document, Path, TextAt
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.endpoint import BATCH_CREATE, FILE_CONTENT, FILE_UPLOAD
from gateway_extproc.core.errors import Refusal, RequestError, invalid, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.form import form_type, write_form
from gateway_extproc.core.ports import Guarded, Release, Scan, StoreUnavailable, Translator
from gateway_extproc.core.relayed import BatchLine, Relayed
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.usage import NOTHING, Usage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict
from gateway_extproc.providers.checks import string_leaves
from gateway_extproc.providers.families import adapted
from gateway_extproc.providers.openai.responses.answer import read_usage
from gateway_extproc.stages.batchlines import (
    added,
    body_of,
    in_line,
    joined,
    read_answer,
    refused_line,
    texts_of,
    write_line,
)
from gateway_extproc.stages.guard import guarded
from gateway_extproc.stages.resources import OVER, TURN_LINES, Tools

_UNREADABLE = refuse("provider_answer_unreadable", "The provider's answer could not be read.")
_UNCOUNTED = refuse(
    "limits_unavailable", "What this costs cannot be written down now; try again shortly."
)


class Kept(Stage):
    name = "kept"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        relayed = _read_here(exchange)
        if relayed is None:
            return CONTINUE
        if exchange.endpoint is FILE_UPLOAD:
            relayed.body = await self._upload(exchange, relayed)
            relayed.content_type = form_type(relayed.body)
        elif exchange.endpoint is BATCH_CREATE:
            relayed.body = self._create(exchange, relayed)
            relayed.content_type = "application/json"
        elif body:  # nobody has read it
            relayed.body, relayed.content_type = b"", "application/json"
        return CONTINUE

    async def _upload(self, exchange: Exchange, relayed: Relayed) -> bytes:
        """The form with every line as it may go on; raises ``RequestError``."""
        target, who, endpoint = relayed.target, guarded(exchange), str(relayed.sealed["e"])
        translator = self._tools.translator_for("openai", "openai", endpoint)
        cap = self._tools.routes[str(relayed.sealed["m"])].max_tokens
        family = self._tools.families.get(target.provider)
        written = []
        for number, line in enumerate(relayed.lines, 1):
            scanned = self._scanned(exchange, line, number, who)
            body = translator.request(scanned.request, target.model, cap, force_usage=False)
            if family is not None:
                body = adapted(body, family, scanned.request, "openai")
            written.append(write_line(scanned, body))
            await self._tools.turn(number, relayed.until_s)
        # The client's name for the file says nothing that a provider needs.
        file = {"filename": "batch.jsonl", "content_type": "application/jsonl",
                "data": joined(written)}  # fmt: skip
        return write_form({**relayed.form, "file": file}, self._tools.new_boundary())

    def _scanned(self, exchange: Exchange, line: BatchLine, number: int, who: Guarded) -> BatchLine:
        scan = self._look(exchange, texts_of(line), who, number)
        if not scan.changed:
            return line
        new = {at.path: text for at, text in scan.changed}
        if ("custom_id",) in new:
            refusal = refuse(
                "prompt_blocked", "Policy does not allow what stands in 'custom_id'.",
                rule=scan.changed_by or None,
            )  # fmt: skip
            raise RequestError(in_line(number, refusal))
        request = line.request
        return line._replace(
            request=replace(request, document=replace_at(request.document, new.items()))
        )

    def _create(self, exchange: Exchange, relayed: Relayed) -> bytes:
        document = exchange.document or {}
        metadata = document.get("metadata") or {}
        texts = [TextAt(("metadata", key), "user", text) for key, text in metadata.items()]
        names = [TextAt(("metadata",), "user", key) for key in metadata]
        scan = self._look(exchange, (*texts, *names), guarded(exchange))
        if any(at.path == ("metadata",) for at, _ in scan.changed):
            raise invalid("metadata", "names that policy allows")
        changed = [(at.path, text) for at, text in scan.changed]
        edits: list[tuple[Path, Any]] = [(("input_file_id",), relayed.sealed["i"]), *changed]
        return orjson.dumps(replace_at(document, edits))

    def _look(
        self, exchange: Exchange, texts: Sequence[TextAt], who: Guarded, number: int = 0
    ) -> Scan:
        """What a guard says of texts that go to the provider; raises ``RequestError``."""
        scan = self._tools.guards.scan_request(texts, who)
        exchange.findings.extend(scan.findings)
        exchange.scanned_chars += scan.scanned
        exchange.scannable_chars += scan.total
        refusal = self._refusal(exchange, scan, "prompt_blocked", "This prompt")
        assert exchange.relayed is not None
        if refusal is None and not scan.classes <= exchange.relayed.target.data_classes:
            message = f"No provider is approved for what policy '{scan.routed_by}' found."
            refusal = refuse("no_eligible_target", message, rule=scan.routed_by)
        if refusal is not None:
            raise RequestError(in_line(number, refusal) if number else refusal)
        return scan

    def _refusal(self, exchange: Exchange, scan: Scan, reason: str, subject: str) -> Refusal | None:
        if scan.unjudged:
            exchange.degraded = tuple(dict.fromkeys((*exchange.degraded, "guard")))
        if scan.blocked_by is not None:
            rule = scan.blocked_by
            told = self._tools.guards.message_of(rule)
            return refuse(
                reason, told or f"{subject} is not allowed by policy '{rule}'.", rule=rule
            )
        if scan.refused_by is not None:
            message = f"Policy '{scan.refused_by}' could not be applied to this request."
            return refuse("guard_unavailable", message, retry_after_s=1.0, rule=scan.refused_by)
        exchange.failed_open = exchange.failed_open or bool(scan.unjudged)
        return None

    # ------------------------------------------------------------------------- answers

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        relayed = _read_here(exchange)
        if relayed is None or not 200 <= exchange.response_status < 300:
            return CONTINUE
        if exchange.endpoint is FILE_CONTENT:
            made = await self._results(exchange, relayed, body)
        else:
            made = await self._object(exchange, relayed, body)
        if isinstance(made, Refusal):
            return Respond(made)
        exchange.client_body, exchange.answer_ended_well = made, True
        return Amend(set_headers=(("content-length", str(len(made))),), body=made)

    async def _results(self, exchange: Exchange, relayed: Relayed, body: bytes) -> bytes | Refusal:
        endpoint = str(relayed.sealed["e"])
        translator = self._tools.translator_for("openai", "openai", endpoint)
        who, used, written = guarded(exchange), NOTHING, list[bytes]()
        for number, raw in enumerate(body.splitlines(), 1):
            line = read_answer(raw)
            if line is None:
                return _UNREADABLE
            said, usage = self._result(exchange, line, translator, who)
            used = added(used, usage)
            written.append(raw if said is line else orjson.dumps(said))
            if number % TURN_LINES == 0:
                await asyncio.sleep(0)
        refusal = await self._bill(exchange, str(relayed.sealed.get("b", "")), used)
        return joined(written) if refusal is None else refusal

    def _result(
        self, exchange: Exchange, line: Document, translator: Translator, who: Guarded
    ) -> tuple[Document, Usage | None]:
        """One line as it may leave: the same one where nothing had to change."""
        answer = body_of(line)
        if answer is None:
            return self._looked_at(exchange, line, _leaves(line), who), None
        release: Release = translator.answer(answer, b"")
        if release.refusal is not None or release.document is None:
            return refused_line(line, release.refusal or _UNREADABLE), None
        texts = [replace(at, path=("response", "body", *at.path)) for at in release.texts]
        echoes = [("response", "body", *path) for path in release.echoes]
        return self._looked_at(exchange, line, texts, who, echoes), release.usage

    def _looked_at(
        self,
        exchange: Exchange,
        line: Document,
        texts: Sequence[TextAt],
        who: Guarded,
        echoes: Iterable[Path] = (),
    ) -> Document:
        scan = self._tools.guards.scan_answer(texts, who, None)
        exchange.findings.extend(scan.findings)
        refusal = self._refusal(exchange, scan, "answer_blocked", "The answer")
        if refusal is not None:
            return refused_line(line, refusal)
        if not scan.changed:
            return line
        edits: list[tuple[Path, Any]] = [(at.path, text) for at, text in scan.changed]
        return replace_at(line, [*edits, *((path, None) for path in echoes)])

    async def _object(self, exchange: Exchange, relayed: Relayed, body: bytes) -> bytes | Refusal:
        """A file or a batch with ids that are its tenant's only."""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _UNREADABLE
        if type(document) is not dict or type(document.get("id")) is not str:
            return _UNREADABLE
        is_batch = exchange.endpoint is not None and exchange.endpoint.name == "batches"
        if not is_batch:
            return orjson.dumps({**document, "id": self._file(exchange, relayed, document["id"])})
        told = self._looked_at(exchange, document, _leaves(document, "errors"), guarded(exchange))
        if document.get("status") in OVER:
            usage = read_usage(document.get("usage")) or NOTHING
            refusal = await self._bill(exchange, document["id"], usage)
            if refusal is not None:
                return refusal
        return orjson.dumps({**told, **self._batch(exchange, relayed, document)})

    def _file(self, exchange: Exchange, relayed: Relayed, name: str) -> str:
        known = relayed.names.get(name)
        return known or self._seal(exchange, "file", {**relayed.sealed, "i": name})

    def _batch(self, exchange: Exchange, relayed: Relayed, document: Document) -> dict[str, Any]:
        """What of a batch's document names anything of the provider's account."""
        sealed = {**relayed.sealed, "k": "batch", "i": document["id"]}
        told: dict[str, Any] = {"id": self._seal(exchange, "batch", sealed)}
        if "model" in document:
            told["model"] = sealed["m"]
        common = {key: sealed[key] for key in ("p", "t", "m", "e")}
        for key, value in document.items():
            if key.endswith("_file_id") and type(value) is str:
                if key == "input_file_id":
                    fields = {**common, "k": "input", "n": sealed["n"], "i": value}
                else:
                    fields = {**common, "k": key, "b": document["id"], "i": value}
                told[key] = self._seal(exchange, "file", fields)
        return told

    def _seal(self, exchange: Exchange, kind: Any, fields: Mapping[str, Any]) -> str:
        assert exchange.permit is not None
        return self._tools.ids.seal(kind, exchange.permit.principal.tenant.id, fields)

    async def _bill(self, exchange: Exchange, batch: str, used: Usage) -> Refusal | None:
        """Charges a batch where its usage is first seen, whoever asks and however often."""
        if not used.total_tokens:
            return None
        assert exchange.relayed is not None
        try:
            first = await self._tools.once.take(f"{exchange.relayed.target.provider}/{batch}")
        except StoreUnavailable:
            exchange.degraded = (*exchange.degraded, "limits")
            return _UNCOUNTED
        if first:
            exchange.reported_usage = used
        return None


def _read_here(exchange: Exchange) -> Relayed | None:
    relayed = exchange.relayed
    return None if relayed is None or relayed.as_it_comes else relayed


def _leaves(document: Document, *keys: str) -> list[TextAt]:
    """Every text of a document, or of these fields of it."""
    return [
        TextAt(path, "assistant", text)
        for key in keys or document
        for path, text in string_leaves(document.get(key), (key,))
    ]
