"""Client certificates through the real Envoy: who has a good one is known, nobody else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.gateway import RunningGateway, running_gateway
from support.workloads import Authority, client_context, make_server_files

APP = "spiffe://apps.example/ns/acme/sa/chatbot"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Mesh:
    """A gateway behind TLS, and the authority of its callers."""

    gateway: RunningGateway
    clients: Authority
    folder: Path
    ca_file: Path
    source: str
    issued: int = 0

    def client(self, *uris: str, by: Authority | None = None, days: int = 1) -> httpx.Client:
        """A caller with a fresh certificate; without URIs, one without any certificate."""
        files = None
        if uris:
            self.issued += 1
            authority = by or self.clients
            files = authority.issue(self.folder, f"client-{self.issued}", *uris, days=days)
        return httpx.Client(
            base_url=self.gateway.base_url.replace("http://", "https://"),
            verify=client_context(self.ca_file, files),
            timeout=30,
        )

    def ask(self, *uris: str, headers: dict[str, str] | None = None) -> httpx.Response:
        with self.client(*uris) as client:
            return client.post("/v1/chat/completions", json=CHAT, headers=headers)


def certificates(source: str) -> dict[str, Any]:
    return {
        "source": source,
        "workloads": [
            {
                "id": "apps",
                "spiffe_id": "spiffe://apps.example/ns/{tenant}/sa/{application}",
                "tenants": ["acme"],
                "roles": ["developer"],
            }
        ],
    }


@contextlib.contextmanager
def running_mesh(folder: Path, source: str) -> Iterator[Mesh]:
    clients = Authority.make()
    ca_file = make_server_files(folder, clients)

    def change(document: dict[str, Any]) -> None:
        document["server"]["tls"] = {
            "certificate_file": str(folder / "server.pem"),
            "key_file": str(folder / "server.key"),
            "client_ca_file": str(folder / "clients.pem"),
        }
        document["identity"]["certificates"] = certificates(source)

    with running_gateway(folder / "run", change) as gateway:
        yield Mesh(gateway, clients, folder, ca_file, source)


@pytest.fixture(scope="module", params=["connection", "header"])
def mesh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("mesh")
    (folder / "run").mkdir()
    with running_mesh(folder, request.param) as running:
        yield running


def test_a_good_certificate_is_known(mesh: Mesh) -> None:
    answer = mesh.ask(APP)
    assert answer.status_code == 200, answer.text
    record = mesh.gateway.record_of(answer.headers["x-request-id"])
    assert (record["tenant"], record["application"]) == ("acme", "chatbot")
    assert (record["auth_method"], record["roles"]) == ("mtls", ["developer"])


def test_without_a_certificate_nobody_is_known(mesh: Mesh) -> None:
    answer = mesh.ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")


def test_an_api_key_serves_on_the_same_listener(mesh: Mesh) -> None:
    key = {"authorization": f"Bearer {mesh.gateway.keys['dev']}"}
    assert mesh.ask(headers=key).status_code == 200
    answer = mesh.ask(APP, headers=key)
    assert answer.status_code == 200
    record = mesh.gateway.record_of(answer.headers["x-request-id"])
    assert record["auth_method"] == "api_key"


def test_a_bad_key_is_not_saved_by_a_good_certificate(mesh: Mesh) -> None:
    for value in ("Bearer nonsense", "Basic YTpi", "Bearer eyJh.e30.x"):
        assert mesh.ask(APP, headers={"authorization": value}).status_code == 401


@pytest.mark.parametrize("days", [1, -1], ids=["another authority", "expired"])
def test_a_certificate_that_does_not_hold_ends_the_connection(mesh: Mesh, days: int) -> None:
    authority = Authority.make() if days > 0 else mesh.clients
    with (
        mesh.client(APP, by=authority, days=days) as client,
        pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)),
    ):
        client.post("/v1/chat/completions", json=CHAT)


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://apps.example/ns/beta/sa/chatbot",
        "spiffe://other.example/ns/acme/sa/chatbot",
        "spiffe://apps.example/ns/acme/sa/chatbot/more",
        "spiffe://apps.example/ns/acme/sa/..",
        "https://apps.example/ns/acme/sa/chatbot",
    ],
)
def test_a_certificate_that_no_rule_knows_is_refused(mesh: Mesh, uri: str) -> None:
    answer = mesh.ask(uri)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "identity_not_mapped")


FORGED = [
    {"x-forwarded-client-cert": f"URI={APP}"},
    {"x-forwarded-client-cert": f'By=x;Hash={"0" * 64};Subject="CN=a";URI={APP}'},
    {"X-Forwarded-Client-Cert": f"URI={APP},URI={APP}"},
    {"x-gateway-peer": APP, "x-forwarded-client-cert": f"URI={APP}"},
    {"connection.uri_san_peer_certificate": APP, "connection.mtls": "true"},
    {"x-envoy-peer-metadata": APP, "x-envoy-downstream-peer-uri": APP},
]


@pytest.mark.parametrize("headers", FORGED)
def test_a_certificate_cannot_be_claimed_by_a_header(mesh: Mesh, headers: dict[str, str]) -> None:
    answer = mesh.ask(headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
    # Nor can one who has a certificate of no worth borrow another's name.
    other = mesh.ask("spiffe://apps.example/ns/beta/sa/x", headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (403, "identity_not_mapped")


def test_of_several_names_in_a_certificate_none_is_borrowed(mesh: Mesh) -> None:
    """SPIFFE forbids them; the connection tells the first, the header all, which is refused."""
    stranger = "spiffe://other.example/x"
    found = [mesh.ask(stranger, APP).status_code, mesh.ask(APP, stranger).status_code]
    assert found == ([403, 200] if mesh.source == "connection" else [401, 401])


def test_http2_is_served_too(mesh: Mesh) -> None:
    files = mesh.clients.issue(mesh.folder, "http2", APP)
    url = mesh.gateway.base_url.replace("http://", "https://")
    context = client_context(mesh.ca_file, files)
    with httpx.Client(base_url=url, verify=context, http2=True, timeout=30) as client:
        answer = client.post("/v1/chat/completions", json=CHAT)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


def test_no_provider_sees_the_certificate(mesh: Mesh) -> None:
    mesh.gateway.openai.clear()
    assert mesh.ask(APP).status_code == 200
    request = mesh.gateway.openai.requests[-1]
    assert request.header("x-forwarded-client-cert") is None
    assert "spiffe" not in repr(request)


def test_plain_http_is_not_served(mesh: Mesh) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{mesh.gateway.base_url}/v1/chat/completions", json=CHAT)
