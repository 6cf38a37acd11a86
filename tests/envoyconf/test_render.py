"""The rendered Envoy configuration: what must be true of it, whatever the gateway's is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.names import (
    ATTEMPTS_NAMESPACE,
    CLAIMS_NAMESPACE,
    CLUSTER_NAMESPACE,
    FALLBACK_NAMESPACE,
    LOG_NAMESPACE,
    NO_CLUSTER,
    PROCESSOR_CLUSTER,
    ROUTE_NAMESPACE,
)
from gateway_extproc.envoyconf.parts import seconds as written_seconds
from gateway_extproc.envoyconf.processor import socket_path
from gateway_extproc.envoyconf.render import bootstrap, render
from support import config
from support.config import PEPPER, SECRETS, make_config
from support.parts import make_bench
from support.tokens import issuer_section

EXT_PROC = "ext_proc.v3.ExternalProcessor"


def walk(node: Any) -> Iterator[Any]:
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from walk(child)


def filters(node: Any) -> list[Any]:
    return [
        part for part in walk(node) if isinstance(part, dict) and EXT_PROC in part.get("@type", "")
    ]


def clusters(**sections: Any) -> dict[str, Any]:
    document = bootstrap(make_config(**sections), 2)
    return {cluster["name"]: cluster for cluster in document["static_resources"]["clusters"]}


def test_every_provider_has_a_first_and_a_fallback_cluster() -> None:
    names = list(clusters())
    assert set(names) == {
        NO_CLUSTER, PROCESSOR_CLUSTER, "east", "west", "east:fallback", "west:fallback",
    }  # fmt: skip
    document = bootstrap(make_config(), 2)
    assert len(document["static_resources"]["clusters"]) == len(names)


def test_the_clusters_are_those_that_the_plan_names(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    rendered = clusters()
    for route in bench.parts.snapshot.routes.values():
        for target in route.targets:
            assert {target.cluster, target.fallback_cluster} <= set(rendered)


def test_only_fallback_clusters_have_the_upstream_filter_and_name_themselves() -> None:
    for name, cluster in clusters().items():
        is_fallback = name.endswith(":fallback")
        assert len(filters(cluster)) == is_fallback
        own = cluster.get("metadata", {}).get("filter_metadata", {})
        assert own == ({CLUSTER_NAMESPACE: {"name": name}} if is_fallback else {})


def test_the_upstream_filter_leaves_answers_alone() -> None:
    [upstream] = filters(clusters()["west:fallback"])
    mode = upstream["processing_mode"]
    assert (mode["response_header_mode"], mode["response_body_mode"]) == ("SKIP", "NONE")
    assert (mode["request_header_mode"], mode["request_body_mode"]) == ("SEND", "BUFFERED")
    assert "allow_mode_override" not in upstream


def test_no_filter_lets_a_failure_pass() -> None:
    found = filters(bootstrap(make_config(), 2))
    assert len(found) == 3
    for one in found:
        assert one["failure_mode_allow"] is False
        assert one["processing_mode"]["request_body_mode"] == "BUFFERED"
        assert one["mutation_rules"]["disallow_is_error"] is True


def test_both_levels_agree_on_the_names_of_metadata() -> None:
    document = bootstrap(make_config(), 2)
    router, *_ = filters(document["static_resources"]["listeners"])
    options = router["metadata_options"]
    assert set(options["receiving_namespaces"]["untyped"]) == {
        LOG_NAMESPACE, ROUTE_NAMESPACE, FALLBACK_NAMESPACE,
    }  # fmt: skip
    assert options["forwarding_namespaces"]["untyped"] == [ATTEMPTS_NAMESPACE]
    [upstream] = filters(clusters()["east:fallback"])
    forwarded = upstream["metadata_options"]
    assert forwarded["forwarding_namespaces"]["untyped"] == [FALLBACK_NAMESPACE]
    assert forwarded["cluster_metadata_forwarding_namespaces"]["untyped"] == [CLUSTER_NAMESPACE]
    # What carries the prompt must not be forwarded back, nor stand in the access log.
    assert FALLBACK_NAMESPACE not in str(document["static_resources"]["listeners"][0]).replace(
        str(router), ""
    )


def test_who_has_no_plan_goes_nowhere() -> None:
    assert clusters()[NO_CLUSTER]["load_assignment"]["endpoints"] == []
    groups = [
        part["priority_groups"]
        for part in walk(bootstrap(make_config(), 2))
        if isinstance(part, dict) and "priority_groups" in part
    ]
    assert [[c["cluster_name"] for g in group for c in g["clusters"]] for group in groups] == [
        [NO_CLUSTER]
    ]


def test_https_providers_must_prove_their_name() -> None:
    rendered = clusters()
    for name in ("west", "west:fallback"):
        tls = rendered[name]["transport_socket"]["typed_config"]
        assert tls["sni"] == "west.example"
        context = tls["common_tls_context"]["validation_context"]
        assert context["trusted_ca"]["filename"]
        [san] = context["match_typed_subject_alt_names"]
        assert san == {"san_type": "DNS", "matcher": {"exact": "west.example"}}
    assert "transport_socket" not in rendered["east"]


@pytest.mark.parametrize(
    ("url", "address", "port", "hostname"),
    [
        ("https://a.example/v1", "a.example", 443, "a.example"),
        ("http://a.example", "a.example", 80, "a.example"),
        ("https://a.example:8443/v1", "a.example", 8443, "a.example:8443"),
        ("http://[::1]:9001/v1", "::1", 9001, "[::1]:9001"),
    ],
)
def test_a_base_url_is_an_endpoint(url: str, address: str, port: int, hostname: str) -> None:
    sections = config.document()
    sections["providers"][0]["base_url"] = url
    assignment = clusters(**sections)["east"]["load_assignment"]
    endpoint = assignment["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    socket = endpoint["address"]["socket_address"]
    assert (socket["address"], socket["port_value"]) == (address, port)
    assert endpoint["hostname"] == hostname


def test_an_https_provider_by_address_must_prove_its_address() -> None:
    sections = config.document()
    sections["providers"][1]["base_url"] = "https://10.0.0.1/v1"
    tls = clusters(**sections)["west"]["transport_socket"]["typed_config"]
    [san] = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert san == {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.1"}}


def test_each_worker_is_an_endpoint_and_is_checked() -> None:
    processor = clusters()[PROCESSOR_CLUSTER]
    [locality] = processor["load_assignment"]["endpoints"]
    paths = [
        endpoint["endpoint"]["address"]["pipe"]["path"] for endpoint in locality["lb_endpoints"]
    ]
    assert paths == [socket_path(make_config(), number) for number in range(2)]
    assert processor["health_checks"][0]["grpc_health_check"] == {}
    assert processor["common_lb_config"]["healthy_panic_threshold"]["value"] == 0


def test_retries_are_those_that_a_request_asks_for() -> None:
    """Envoy adds what a request's headers say to its own policy: that must be empty."""
    [policy] = [
        part["retry_policy"]
        for part in walk(bootstrap(make_config(failover={"max_attempts": 5}), 2))
        if isinstance(part, dict) and "refresh_cluster_on_retry" in part.get("retry_policy", {})
    ]
    assert (policy["retry_on"], policy["num_retries"]) == ("", 0)
    assert "retriable_status_codes" not in policy
    assert policy["refresh_cluster_on_retry"] is True


@pytest.mark.parametrize("hold", [True, False])
def test_every_provider_cluster_notes_and_holds_its_answers(hold: bool) -> None:
    for name, fallback in (("east", False), ("east:fallback", True), ("west", False)):
        cluster = clusters(failover={"hold": hold})[name]
        [options] = cluster["typed_extension_protocol_options"].values()
        filters = [entry["name"].rpartition(".")[2] for entry in options["http_filters"]]
        assert filters == [
            "lua",
            *(["ext_proc"] if fallback else []),
            *(["wasm"] if hold else []),
            "header_mutation",
            "upstream_codec",
        ]


@given(st.floats(1e-3, 600) | st.integers(1, 600))
def test_durations_are_as_envoy_reads_them(seconds: float) -> None:
    written = written_seconds(seconds)
    assert re.fullmatch(r"\d+(\.\d{1,9})?s", written)
    assert float(written[:-1]) == pytest.approx(seconds, rel=1e-5)


def test_a_very_short_time_is_a_duration_too() -> None:
    assert re.fullmatch(r"\d+(\.\d{1,9})?s", written_seconds(0.00005))


def test_the_output_is_yaml_deterministic_and_without_secrets() -> None:
    loaded = make_config()
    written = render(loaded, 2)
    assert yaml.safe_load(written) == bootstrap(loaded, 2)
    assert written == render(make_config(), 2)
    for secret in (PEPPER, *SECRETS.values(), *(key.hmac for key in loaded.keys)):
        assert secret not in written
    assert "credential_file" not in written


def manager(**sections: Any) -> dict[str, Any]:
    """The connection manager of the clients' listener."""
    [listener] = bootstrap(make_config(**sections), 2)["static_resources"]["listeners"]
    [chain] = listener["filter_chains"]
    found: dict[str, Any] = chain["filters"][0]["typed_config"]
    return found


def names(filters_of: dict[str, Any]) -> list[str]:
    return [entry["name"].rpartition(".")[2] for entry in filters_of["http_filters"]]


TLS = {"certificate_file": "c.pem", "key_file": "k.pem", "client_ca_file": "ca.pem"}
WORKLOAD = {"id": "w", "spiffe_id": "spiffe://a/b", "tenant": "acme", "roles": ["developer"]}


def known_by_certificate(source: str) -> dict[str, Any]:
    certificates = {"source": source, "workloads": [WORKLOAD]}
    identity = {"pepper_file": "run/pepper", "certificates": certificates}
    return {"identity": identity, "server": {"workers": 2, "tls": TLS}}


def test_a_client_s_own_word_on_its_certificate_is_always_removed() -> None:
    for sections in ({}, known_by_certificate("connection")):
        assert manager(**sections)["forward_client_cert_details"] == "SANITIZE"
    found = manager(**known_by_certificate("header"))
    assert found["forward_client_cert_details"] == "SANITIZE_SET"
    assert found["set_current_client_cert_details"] == {"uri": True}


def test_certificates_are_asked_of_the_connection_only_where_they_count() -> None:
    [plain, *_] = filters(manager())
    assert "request_attributes" not in plain
    [asking, *_] = filters(manager(**known_by_certificate("connection")))
    assert "connection.uri_san_peer_certificate" in asking["request_attributes"]
    assert "connection.mtls" in asking["request_attributes"]


@pytest.mark.parametrize("required", [True, False])
def test_client_certificates_are_verified_and_sessions_are_not_resumed(required: bool) -> None:
    sections = known_by_certificate("connection")
    sections["server"]["tls"] = {**TLS, "require_client_certificate": required}
    [listener] = bootstrap(make_config(**sections), 2)["static_resources"]["listeners"]
    context = listener["filter_chains"][0]["transport_socket"]["typed_config"]
    assert context["require_client_certificate"] is required
    assert context["common_tls_context"]["validation_context"]["trusted_ca"] == {
        "filename": "ca.pem"
    }
    assert context["disable_stateless_session_resumption"] is True


def issuers(*sections: dict[str, Any]) -> dict[str, Any]:
    return {"identity": {"pepper_file": "run/pepper", "issuers": list(sections)}}


def test_envoy_verifies_tokens_only_where_it_shall() -> None:
    assert names(manager(**issuers(issuer_section()))) == ["ext_proc", "router"]
    found = manager(**issuers(issuer_section(verified_by="envoy")))
    assert names(found) == ["jwt_authn", "ext_proc", "router"]
    forwarded = [
        entry["metadata_options"]["forwarding_namespaces"]["untyped"] for entry in filters(found)
    ]
    assert CLAIMS_NAMESPACE in forwarded[0]
    [plain, *_] = filters(manager(**issuers(issuer_section())))
    assert CLAIMS_NAMESPACE not in plain["metadata_options"]["forwarding_namespaces"]["untyped"]


def test_a_token_counts_only_in_its_header_and_stays_there() -> None:
    found = manager(**issuers(issuer_section(verified_by="envoy")))
    authn = found["http_filters"][0]["typed_config"]
    provider = authn["providers"]["corp"]
    assert provider["from_headers"] == [{"name": "authorization", "value_prefix": "Bearer "}]
    assert "from_params" not in provider
    assert provider["forward"] is True
    assert provider["payload_in_metadata"] == "corp"
    assert "forward_payload_header" not in provider


def test_envoy_fetches_keys_through_a_cluster_of_its_own() -> None:
    section = issuer_section(
        verified_by="envoy", jwks_file=None, jwks_url="https://login.example/keys"
    )
    found = clusters(**issuers(section))
    assert "transport_socket" in found["corp:keys"]
    assert "corp:keys" not in clusters(**issuers({**section, "verified_by": "gateway"}))
