"""An Envoy configuration under which clients could name themselves is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from gateway_extproc.config.model import Config
from gateway_extproc.core.names import CLAIMS_NAMESPACE
from gateway_extproc.envoyconf.lint import identity_mistakes
from gateway_extproc.envoyconf.render import bootstrap
from support.config import make_config
from support.tokens import issuer_section

TLS = {"certificate_file": "c.pem", "key_file": "k.pem", "client_ca_file": "ca.pem"}
WORKLOAD = {"id": "w", "spiffe_id": "spiffe://a/b", "tenant": "acme", "roles": ["developer"]}
Change = Callable[[dict[str, Any], dict[str, Any]], object]


def config(source: str) -> Config:
    identity = {
        "pepper_file": "run/pepper",
        "issuers": [issuer_section(verified_by="envoy")],
        "certificates": {"source": source, "workloads": [WORKLOAD]},
    }
    return make_config(identity=identity, server={"workers": 2, "tls": TLS})


def parts(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The connection manager, and its ext_proc filter."""
    [listener] = document["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    [processor] = [f for f in manager["http_filters"] if f["name"].endswith("ext_proc")]
    return manager, processor["typed_config"]


@pytest.mark.parametrize("source", ["connection", "header"])
def test_what_is_rendered_is_good(source: str) -> None:
    assert identity_mistakes(bootstrap(config(source), 2), config(source)) == []
    assert identity_mistakes(bootstrap(make_config(), 2), make_config()) == []


@pytest.mark.parametrize(
    ("source", "change", "found"),
    [
        ("header", lambda m, p: m.update(forward_client_cert_details="APPEND_FORWARD"), "SET"),
        ("header", lambda m, p: m.update(forward_client_cert_details="SANITIZE"), "SANITIZE_SET"),
        ("header", lambda m, p: m.pop("forward_client_cert_details"), "SANITIZE_SET"),
        ("connection", lambda m, p: m.update(forward_client_cert_details="FORWARD_ONLY"), "SANI"),
        ("connection", lambda m, p: p.pop("request_attributes"), "connection.mtls"),
        ("connection", lambda m, p: p["request_attributes"].pop(), "uri_san_peer_certificate"),
        ("connection", lambda m, p: p.pop("metadata_options"), CLAIMS_NAMESPACE),
        ("connection", lambda m, p: p.update(failure_mode_allow=True), "failure_mode_allow"),
    ],
)
def test_what_lets_clients_name_themselves_is_told_at_its_place(
    source: str, change: Change, found: str
) -> None:
    document = copy.deepcopy(bootstrap(config(source), 2))
    change(*parts(document))
    [mistake] = identity_mistakes(document, config(source))
    assert found in mistake
    assert "listeners[0].filter_chains[0]" in mistake


def test_a_header_that_is_sanitized_either_way_harms_no_connection() -> None:
    document = bootstrap(config("connection"), 2)
    manager, _ = parts(document)
    del manager["forward_client_cert_details"]
    assert identity_mistakes(document, config("connection")) == []


def test_other_listeners_are_not_judged() -> None:
    document = bootstrap(config("header"), 2)
    manager, _ = parts(document)
    manager["http_filters"] = [f for f in manager["http_filters"] if "ext_proc" not in f["name"]]
    manager["forward_client_cert_details"] = "FORWARD_ONLY"
    assert identity_mistakes(document, config("header")) == []
