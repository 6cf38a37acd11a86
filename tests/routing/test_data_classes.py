"""No sequence of requests reaches a provider outside its caller's data class.

A state machine over real stages: tenants, applications and headers of every class, tenants that
change their class on the way, models that do not exist; after each request the whole
plan, fallbacks included, is held against a model that knows only sets.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.verdict import Respond
from gateway_extproc.identity.apikeys import ApiKeys
from gateway_extproc.identity.directory import Directory
from gateway_extproc.stages.identify import Identify
from support import bodies
from support.config import api_key, key_entry
from support.parts import Bench, chat_exchange, make_bench

CLASSES = ("standard", "health", "regulated")
APPLICATIONS = ("plain", "ward", "trading")
HEADER = "x-data-class"

SECTIONS: dict[str, Any] = {
    "identity": {"pepper_file": "run/pepper", "data_class_header": HEADER},
    "data_classes": [{"id": "regulated", "regions": ["eu-*"]}],
    "tenants": [
        {
            "id": f"t-{name}",
            "data_class": name,
            "applications": [
                {"id": "ward", "data_class": "health"},
                {"id": "trading", "data_class": "regulated"},
            ],
        }
        for name in CLASSES
    ],
    "roles": [],
    "limits": [],
    "keys": [
        key_entry(
            api_key(f"{tenant}{application}"), f"t-{tenant}", "u", "developer",
            application=application,
        )
        for tenant in CLASSES
        for application in APPLICATIONS
    ],
    "providers": [
        {
            "id": name,
            "dialect": "openai",
            "base_url": f"http://127.0.0.1:90{number:02d}/v1",
            "credential_file": f"run/{name}",
            "data_classes": classes,
            "region": region,
        }
        for number, (name, classes, region) in enumerate(
            [
                ("open", ["standard"], "us-1"),
                ("clinic", ["standard", "health"], "us-1"),
                ("bank", ["standard", "regulated"], "eu-1"),
                ("elsewhere", ["standard", "health", "regulated"], "us-1"),
                ("vault", ["standard", "health", "regulated"], "eu-2"),
                ("only", ["regulated"], "eu-1"),
            ]
        )
    ],
    "prices": {},
}  # fmt: skip
PROVIDERS = {p["id"]: p for p in SECTIONS["providers"]}
SECTIONS["models"] = [
    {"model": "all", "targets": [{"provider": name, "model": "m"} for name in PROVIDERS]},
    {"model": "open-only", "targets": [{"provider": "open", "model": "m"}]},
    {"model": "us", "targets": [{"provider": n, "model": "m"} for n in ("open", "elsewhere")]},
]
MODELS = ("all", "open-only", "us", "vault/m", "none")


def may_see(provider: str, classes: set[str]) -> bool:
    """What the configuration says in words, without the code's own tables."""
    facts = PROVIDERS[provider]
    in_region = "regulated" not in classes or facts["region"].startswith("eu-")
    return classes <= set(facts["data_classes"]) and in_region


class ChangingTenants:
    """Tenants whose class changes while requests come."""

    def __init__(self, tenants: dict[str, Tenant]) -> None:
        self.tenants = dict(tenants)
        self.version = 0
        self.find = self.tenants.get

    def change(self, name: str, data_class: str) -> None:
        self.tenants[name] = replace(self.tenants[name], data_class=data_class)
        self.version += 1


class Requests(RuleBasedStateMachine):
    bench: Bench
    tenants: ChangingTenants
    identify: Identify
    folder: tempfile.TemporaryDirectory[str]
    passed = 0

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.bench = make_bench(Path(self.folder.name), **SECTIONS)
        known = self.bench.parts.identities
        self.tenants = ChangingTenants(dict(self.bench.parts.snapshot.tenants))
        self.identify = Identify(
            [ApiKeys(known.keys, known.pepper, lambda: 0.0)],
            Directory(self.bench.parts.snapshot.roles, self.tenants),
            class_header=HEADER,
        )

    def teardown(self) -> None:
        self.bench.close()
        self.folder.cleanup()

    @rule(name=st.sampled_from(CLASSES), data_class=st.sampled_from(CLASSES))
    def a_tenant_changes_its_class(self, name: str, data_class: str) -> None:
        self.tenants.change(f"t-{name}", data_class)

    @rule(
        tenant=st.sampled_from(CLASSES),
        application=st.sampled_from(APPLICATIONS),
        model=st.sampled_from(MODELS),
        header=st.one_of(
            st.none(),
            st.lists(st.sampled_from([*CLASSES, "unknown"]), min_size=1, max_size=3).map(", ".join),
            st.sampled_from(["", "Standard", "standard;q=1", "*", "none"]),
        ),
        smuggled=st.sampled_from(["x-gateway-data-class", "x-tenant", "x-gateway-provider"]),
    )
    def a_request(
        self, tenant: str, application: str, model: str, header: str | None, smuggled: str
    ) -> None:
        headers = {"x-api-key": api_key(f"{tenant}{application}"), smuggled: "standard"}
        if header is not None:
            headers[HEADER] = header
        exchange = chat_exchange(headers=headers)
        asyncio.run(self._pass(exchange, bodies.chat(model=model)))
        known = self.tenants.tenants[f"t-{tenant}"].classes_of(application)
        asked = set() if header is None else {name.strip() for name in header.split(",")}
        carried = set(known) | asked
        for target in exchange.targets:
            Requests.passed += 1
            assert may_see(target.provider, carried), (target.provider, carried)
        if exchange.refusal is not None and exchange.refusal.reason == "no_eligible_target":
            assert [event.category for event in exchange.events] == ["governance"]

    async def _pass(self, exchange: Any, body: bytes) -> None:
        stages = [self.bench.stage(name) for name in ("parse", "authorize", "guard", "route")]
        pipeline = self.bench.pipeline_of([self.identify, *stages])
        decision = await pipeline.request_headers(exchange)
        if decision.answer is None:
            await pipeline.request_body(exchange, body)
        if exchange.refusal is not None:
            # A refused request has no plan that anybody could follow.
            assert exchange.outcome == "refused"
            exchange.targets = ()


def test_no_sequence_of_requests_reaches_what_its_data_must_not() -> None:
    Requests.passed = 0
    run_state_machine_as_test(
        Requests, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
    )
    assert Requests.passed > 100, "hardly anything passed: this proves nothing"


async def test_a_violation_is_refused_and_is_a_governance_event(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, **SECTIONS)
    exchange = bench.exchange(api_key("regulatedplain"))
    await bench.stage("parse").request_body(exchange, bodies.chat(model="open-only"))
    exchange.approved = exchange.asked
    verdict = await bench.stage("route").request_body(exchange, b"")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.reason, verdict.refusal.status) == ("no_eligible_target", 403)
    (event,) = exchange.events
    assert (event.category, event.kind, event.action, event.subject, event.rule) == (
        "governance", "data_class", "refuse", "regulated", "open-only",
    )  # fmt: skip
    bench.close()
