"""``explain``: what would happen to a request now, and why."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import BAD_CONFIGURATION, config_file, read_file, read_tenants
from gateway_extproc.cli.remote import asks_gateway, gateway, said
from gateway_extproc.cli.tables import dollars, indented, printable, table
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.explaining import (
    DEFAULT_APPLICATION,
    DEFAULT_ROLES,
    Question,
    find_named,
)
from gateway_extproc.explaining import explain as explain_request

CANDIDATE = ("target", "region", "place", "cost", "quality", "latency", "score", "why")

BY_KEY = ("tenant", "user", "application", "roles")
"""What a key says itself."""


def explain(options: argparse.Namespace) -> int:
    """Prints the decision, the reasons, and every candidate."""
    _check(options)
    told = _asked_of_gateway(options) if asks_gateway(options) else _explained_here(options)
    if options.json:
        print(orjson.dumps(told).decode())
    else:
        print("\n".join(_told(told)))
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.key and any(getattr(options, name) for name in BY_KEY):
        raise CommandFailure("--key says who asks; leave out --tenant, --user and the like", 2)
    if not options.key and not (options.tenant and options.user):
        raise CommandFailure("who asks? give --key ID, or --tenant NAME and --user NAME", 2)
    _check_key_id(options.key)


def _asked_of_gateway(options: argparse.Namespace) -> dict[str, Any]:
    body = _body(options.file) if find_named(options.endpoint).has_body else b""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise CommandFailure(f"{options.file}: not a UTF-8 text", BAD_CONFIGURATION) from None
    arguments = {
        "endpoint": options.endpoint, "body": text, "source": options.source,
        "headers": dict(map(_header, options.headers)), "key": options.key,
        "tenant": options.tenant, "user": options.user, "application": options.application,
        "roles": options.roles,
    }  # fmt: skip
    with gateway(options) as client:
        return client.call("Explain", said(arguments))


def _explained_here(options: argparse.Namespace) -> dict[str, Any]:
    question = _question(options)
    config, _ = read_file(config_file(options.config))
    tenants = read_tenants(config)
    with tempfile.TemporaryDirectory(prefix="gateway-explain-") as folder:
        try:
            return asyncio.run(explain_request(config, question, Path(folder), tenants))
        except (StoreUnavailable, ValueError) as error:
            raise CommandFailure(str(error)) from None


def _question(options: argparse.Namespace) -> Question:
    endpoint = find_named(options.endpoint)
    return Question(
        endpoint=endpoint,
        body=_body(options.file) if endpoint.has_body else b"",
        headers=dict(map(_header, options.headers)),
        source=options.source,
        key=options.key,
        tenant=options.tenant,
        user=options.user,
        application=options.application or DEFAULT_APPLICATION,
        roles=tuple(options.roles) or DEFAULT_ROLES,
    )


def _check_key_id(text: str) -> None:
    """A whole key on a command line is in everybody's process list: only ids are taken."""
    if text.startswith("gw_"):
        raise CommandFailure("--key takes a key's id, not the key: its third part, such as "
                             "3f9a0c12d45e", 2)  # fmt: skip


def _body(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror}", BAD_CONFIGURATION) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandFailure(f"--header {text!r}: not NAME:VALUE", BAD_CONFIGURATION)
    return name.strip().lower(), value.strip()


def _told(told: Mapping[str, Any]) -> Iterator[str]:
    refusal = told.get("refusal")
    if refusal:
        rule = f" by {refusal['rule']}" if refusal.get("rule") else ""
        yield f"would be refused with {refusal['status']} {refusal['reason']}{rule}"
        yield f"  {printable(refusal['message'])}"
    else:
        yield f"would {told['would']}"
    yield f"policy {told['policy_revision']}"
    if "tenant" in told:
        yield "\nwho"
        yield f"  {told['user']} of {told['tenant']}, application {told['application']}"
        yield f"  roles {', '.join(told['roles'])}; data {', '.join(told['data_classes'])}"
        if "role" in told:
            yield f"  allowed by {told['role']}/{told['rule']}"
    yield "\nhow"
    trail = [
        (e["stage"], e["phase"], e["verdict"], e.get("rule", ""), e["microseconds"])
        for e in told["trail"]
    ]
    yield indented(table(("stage", "phase", "verdict", "rule", "us"), trail))
    if "findings" in told:
        found = [
            (f["rule"], f["kind"], f["action"], f["mode"], f["path"],
             f"{f['start']}-{f['end']}", f"{f['score']:.3f}")
            for f in told["findings"]
        ]  # fmt: skip
        yield "\nfindings"
        heads = ("rule", "kind", "action", "mode", "where", "at", "score")
        yield indented(table(heads, found))
    if "limits" in told:
        limits = [
            (x["id"], x["measure"], x["limit"], x["remaining"], x["held"],
             "yes" if x["allowed"] else "no", x["mode"])
            for x in told["limits"]
        ]  # fmt: skip
        yield "\nlimits and budgets"
        heads = ("id", "measure", "limit", "left then", "would hold", "fits", "mode")
        yield indented(table(heads, limits))
    if "candidates" in told:
        yield f"\nroute {printable(told['route'])}{_how(told['routing'])}"
        yield indented(table(CANDIDATE, [_row(candidate) for candidate in told["candidates"]]))
    if "expected_prompt_tokens" in told:
        yield (
            f"\nabout {told['expected_prompt_tokens']:,} tokens in, at most "
            f"{told['cap_tokens']:,} out, at worst {dollars(told.get('worst_case_nanos', 0))}"
        )
    if told["notes"]:
        yield ""
        for note in told["notes"]:
            yield f"note: {note}"


def _how(routing: dict[str, Any]) -> str:
    """By which rule and strategy the targets were chosen."""
    rule, strategy = routing.get("rule", ""), routing.get("strategy", "priority")
    by = f"rule {printable(rule)}" if rule else "its own entry"
    words = f", by {by}, strategy {strategy}"
    if "complexity" in routing:
        words += f", complexity {routing['complexity']:.2f}"
    for name in routing.get("shadow_rules", ()):
        words += f"; in shadow: rule {printable(name)}"
    return words


def _row(candidate: dict[str, Any]) -> tuple[str, ...]:
    place = f"attempt {candidate['attempt']}" if candidate["attempt"] else "dropped"
    numbers = [
        shape.format(candidate[name]) if name in candidate else ""
        for name, shape in (("quality", "{:.2f}"), ("latency_ms", "{:.0f} ms"), ("score", "{:.3f}"))
    ]
    cost = dollars(candidate["cost_nanos"]) if "cost_nanos" in candidate else ""
    return (candidate["target"], candidate["region"], place, cost, *numbers, candidate["why"])
