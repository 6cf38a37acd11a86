"""resources: files and batches, which a provider keeps under an account that all tenants share.

Before limits (``Resources``): whose it is, whether every line of a batch is allowed, who gets it.
Behind limits and guards of other requests (``Kept``): each line is looked at, the provider's ids
become sealed ones, results are looked at and billed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from gateway_extproc.config.compile import Route
from gateway_extproc.config.families import Family
from gateway_extproc.core.access import Grant
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.endpoint import (
    BATCH,
    BATCH_CANCEL,
    BATCH_CREATE,
    BATCHES,
    BY_NAME,
    FILE_CONTENT,
    FILE_UPLOAD,
    FILES,
    Endpoint,
    resource_id,
)
from gateway_extproc.core.errors import Refusal, RequestError, invalid, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.form import is_file
from gateway_extproc.core.money import cost
from gateway_extproc.core.ports import Dialect, Guard, Once
from gateway_extproc.core.relayed import BatchLine, BatchTokens, Relayed
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.usage import Usage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict
from gateway_extproc.limits.estimate import Tokens, estimate
from gateway_extproc.stages.attempt import TranslatorFor
from gateway_extproc.stages.batchlines import BATCHED, asked_tokens, in_line, read_lines, unknown
from gateway_extproc.stages.passing import may_see
from gateway_extproc.stages.sealedids import Kind, SealedIds

CHECK_S: Final = 4.0
"""For all lines of an upload: Envoy waits 5 s for an answer (``envoyconf.processor``)."""
TURN_LINES: Final = 16
"""Lines between which others have a turn."""
OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_EXPIRES: Final = ("expires_after[anchor]", "expires_after[seconds]")
_LISTS: Final = refuse(
    "endpoint_not_served",
    "Lists are not served: all tenants share the provider's account. Keep the ids that you get.",
)
_CREATED: Final = frozenset(
    {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
)


class Rights(Protocol):
    """Who may ask a model at an interface, and who would answer."""

    def may(self, exchange: Exchange, endpoint: str, model: str) -> Grant | Refusal: ...


class Plans(Protocol):
    def targets_for(
        self, exchange: Exchange, asked: LlmRequest, endpoint: Endpoint, grant: Grant
    ) -> tuple[Target, ...] | Refusal: ...


class Tools(NamedTuple):
    """What both stages need."""

    ids: SealedIds
    routes: Mapping[str, Route]
    targets: Mapping[tuple[str, str], Target]
    dialect: Dialect
    guards: Guard
    translator_for: TranslatorFor
    once: Once
    max_depth: int
    new_boundary: Callable[[], str]
    now_s: Callable[[], float]
    families: Mapping[str, Family]
    max_cost_nanos: int | None = None

    async def turn(self, number: int, until_s: float) -> None:
        """Gives others a turn; raises ``RequestError`` where Envoy would soon give up."""
        if number % TURN_LINES:
            return
        if self.now_s() > until_s:
            message = "This batch could not be checked in time; send it in smaller files."
            raise RequestError(refuse("body_too_large", message, param="file"))
        await asyncio.sleep(0)


class Resources(Stage):
    """Decides who gets it; raises nothing, refuses what is not the caller's."""

    name = "resources"

    def __init__(self, tools: Tools, rights: Rights, plans: Plans) -> None:
        self._tools, self._rights, self._plans = tools, rights, plans

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        endpoint = exchange.endpoint
        if endpoint is None or endpoint.kind != "resource":
            return CONTINUE
        if endpoint in (FILES, BATCHES):
            return Respond(_LISTS)
        if endpoint is FILE_UPLOAD:
            refusal = await self._upload(exchange)
        elif endpoint is BATCH_CREATE:
            refusal = self._create(exchange)
        else:
            refusal = self._named(exchange, endpoint)
        return CONTINUE if refusal is None else Respond(refusal)

    # ------------------------------------------------------------------------- uploads

    async def _upload(self, exchange: Exchange) -> Refusal | None:
        form = exchange.document or {}
        _check_upload(form)
        tools = self._tools
        until_s = tools.now_s() + CHECK_S
        lines: list[BatchLine] = []
        for line in read_lines(form["file"]["data"], tools.dialect, tools.max_depth):
            lines.append(line)
            await tools.turn(len(lines), until_s)
        first = lines[0]
        endpoint = BATCHED[first.url]
        target = self._choose(exchange, first.request, endpoint)
        if isinstance(target, Refusal):
            return target
        route = tools.routes[first.request.model]
        prompt = answer = 0
        for number, line in enumerate(lines, 1):
            tokens = estimate(line.request, target.model)
            most = asked_tokens(line.request, route.max_tokens)
            refusal = self._too_much(route, target, tokens, most)
            if refusal is not None:
                return in_line(number, refusal)
            prompt += tokens.expected
            answer += most
            await tools.turn(number, until_s)
        sealed = {
            "k": "input", "p": target.provider, "t": target.model, "m": first.request.model,
            "e": endpoint.name, "n": [prompt, answer],
        }  # fmt: skip
        self._take(exchange, target, first.request.model, "/files", sealed)
        assert exchange.relayed is not None
        exchange.relayed.lines, exchange.relayed.form = tuple(lines), form
        exchange.relayed.until_s = until_s
        return None

    def _choose(
        self, exchange: Exchange, asked: LlmRequest, endpoint: Endpoint
    ) -> Target | Refusal:
        """The first target of the model's plan that keeps files, as its own request would have."""
        grant = self._rights.may(exchange, endpoint.name, asked.model)
        if isinstance(grant, Refusal):
            return grant
        targets = self._plans.targets_for(exchange, asked, endpoint, grant)
        if isinstance(targets, Refusal):
            return targets
        for target in targets:
            keeps = target.dialect == "openai" and target.has("batches")
            if keeps and target.spoken(endpoint.name) == "openai":
                return target
        message = f"Nobody who serves '{asked.model[:128]}' takes batches."
        return refuse("endpoint_not_served", message, param="model")

    def _too_much(
        self, route: Route, target: Target, prompt: Tokens, answer: int
    ) -> Refusal | None:
        """The caps of one request, for one line; nothing shortens a prompt here."""
        if route.prompt_tokens is not None and prompt.expected > route.prompt_tokens:
            message = (
                f"This prompt has about {prompt.expected} tokens; '{route.id}' takes "
                f"{route.prompt_tokens}."
            )
            return refuse("prompt_too_long", message)
        most = self._tools.max_cost_nanos
        if most is not None and target.price is not None:
            worst = cost(Usage(prompt.at_most, answer), target.price, batch=True)
            if worst > most:
                message = "This request could cost more than one request may."
                return refuse("request_cost_too_high", message)
        return None

    # ------------------------------------------------------------------------- batches

    def _create(self, exchange: Exchange) -> Refusal | None:
        document = exchange.document or {}
        _check_create(document)
        shown = document["input_file_id"]
        sealed = self._open(exchange, "file", shown)
        if sealed is None or sealed["k"] != "input":
            return replace(unknown("File object", shown), param="input_file_id")
        if BATCHED.get(document["endpoint"]) is not BY_NAME[sealed["e"]]:
            raise invalid("endpoint", f"'{BY_NAME[sealed['e']].path}', as the lines of the file")
        # What was allowed when the file came may not be any more.
        grant = self._rights.may(exchange, sealed["e"], sealed["m"])
        if isinstance(grant, Refusal):
            return grant
        refusal = self._take_sealed(exchange, sealed, "/batches", grant)
        if refusal is not None:
            return refusal
        assert exchange.relayed is not None
        exchange.relayed.tokens = BatchTokens(*sealed["n"])
        exchange.relayed.names = {sealed["i"]: shown}
        return None

    # ----------------------------------------------------------------------- the named

    def _named(self, exchange: Exchange, endpoint: Endpoint) -> Refusal | None:
        shown = resource_id(exchange.path)
        kind: Kind = "batch" if endpoint in (BATCH, BATCH_CANCEL) else "file"
        sealed = self._open(exchange, kind, shown)
        if sealed is None:
            return unknown("File object" if kind == "file" else "batch", shown)
        if endpoint is FILE_CONTENT and sealed["k"] == "input":
            message = "Only results can be read; this is what was uploaded."
            return refuse("endpoint_not_served", message, param="id")
        path = endpoint.path.removeprefix("/v1").replace("{id}", sealed["i"])
        refusal = self._take_sealed(exchange, sealed, path)
        if refusal is None and exchange.relayed is not None:
            exchange.relayed.names = {sealed["i"]: shown}
        return refusal

    def _open(self, exchange: Exchange, kind: Kind, shown: str) -> dict[str, Any] | None:
        assert exchange.permit is not None
        return self._tools.ids.open(kind, exchange.permit.principal.tenant.id, shown)

    def _take_sealed(
        self, exchange: Exchange, sealed: Mapping[str, Any], path: str, grant: Grant | None = None
    ) -> Refusal | None:
        target = self._tools.targets.get((sealed["p"], sealed["t"]))
        if target is None or sealed["m"] not in self._tools.routes:
            return refuse("provider_unavailable", "Whoever keeps this is not served any more.")
        if grant is not None and not grant.may_use_target(target.name):
            return refuse("target_not_allowed", "Your roles do not allow whoever keeps this.")
        refusal = may_see(exchange, target)
        if refusal is None:
            self._take(exchange, target, sealed["m"], path, sealed)
        return refusal

    def _take(
        self,
        exchange: Exchange,
        target: Target,
        model: str,
        path: str,
        sealed: Mapping[str, Any],
    ) -> None:
        exchange.route_id = exchange.model = self._tools.routes[model].id
        exchange.targets = (target,)
        exchange.relayed = Relayed(target, path, sealed=sealed)


def _check_upload(form: Mapping[str, Any]) -> None:
    for key, value in form.items():
        if key not in ("purpose", "file", *_EXPIRES) or type(value) is list:
            raise invalid(key, "purpose, file and expires_after, each once")
    if form.get("purpose") != "batch":
        raise invalid("purpose", "'batch': no other interface here reads files")
    if not is_file(form.get("file")):
        raise invalid("file", "one file")
    anchor, seconds = (form.get(key) for key in _EXPIRES)
    if anchor not in (None, "created_at"):
        raise invalid(_EXPIRES[0], "'created_at'")
    if seconds is not None and not (
        type(seconds) is str and seconds.isascii() and seconds.isdecimal() and len(seconds) < 10
    ):
        raise invalid(_EXPIRES[1], "a number of seconds")


def _check_create(document: Mapping[str, Any]) -> None:
    for key in document:
        if key not in _CREATED:
            raise invalid(key, "nothing: this field is not known here")
    for key in ("input_file_id", "endpoint", "completion_window"):
        if type(document.get(key)) is not str:
            raise invalid(key, "a string")
    if document["completion_window"] != "24h":
        raise invalid("completion_window", "'24h'")
    metadata = document.get("metadata")
    if metadata is not None and not (
        type(metadata) is dict and all(type(value) is str for value in metadata.values())
    ):
        raise invalid("metadata", "an object of texts")
    expires = document.get("output_expires_after")
    if expires is not None and not (
        type(expires) is dict
        and expires.keys() == {"anchor", "seconds"}
        and expires["anchor"] == "created_at"
        and type(expires["seconds"]) is int
    ):
        raise invalid("output_expires_after", "'anchor' created_at, and 'seconds'")
