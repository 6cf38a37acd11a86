"""``status`` and ``reload``: only a running gateway can answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway_extproc.cli.adminargs import KEY_FILE
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.remote import WRONG_USE, asks_gateway, gateway
from gateway_extproc.cli.tables import printable, table


def status(options: argparse.Namespace) -> int:
    """What runs, under which policy, and what is wrong with it; 1 while not all workers serve."""
    found = _ask(options, "GetStatus")
    if options.json:
        print(orjson.dumps(found).decode())
    else:
        print("\n".join(_told(found)))
    return 0 if found.get("ready") else 1


def reload(options: argparse.Namespace) -> int:
    """Reads the configuration again; a bad one changes nothing."""
    found = _ask(options, "Reload")
    print(f"rolling over to revision {found['revision']}; `status` says when all workers have it")
    return 0


def _ask(options: argparse.Namespace, call: str) -> dict[str, Any]:
    if not asks_gateway(options):
        raise CommandFailure(f"who asks? give --admin-key-file FILE, or {KEY_FILE}", WRONG_USE)
    with gateway(options) as client:
        return client.call(call, {})


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    ready = "ready" if found.get("ready") else "not ready"
    yield f"{ready}, up {found['up_s']:g} s"
    yield f"revision {found['revision']}, version {found['version']}"
    for name, trouble in (found.get("troubles") or {}).items():
        if trouble:
            yield f"trouble with {name}: {printable(trouble)}"
    if mistake := (found.get("tenants") or {}).get("mistake"):
        yield f"tenants: {printable(mistake)}"
    rows = [
        (w["worker"], w["pid"], "yes" if w["ready"] else "no", w["restarts"], f"{w['up_s']:g}")
        for w in found.get("workers", ())
    ]
    yield table(("worker", "pid", "ready", "restarts", "up s"), rows)
