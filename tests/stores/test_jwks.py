"""Key sets over HTTP and from files: the last good one stays, and nobody is asked too often."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from gateway_extproc.config.proofs import Issuer
from gateway_extproc.identity.keyset import MAX_BYTES
from gateway_extproc.stores import jwks
from gateway_extproc.stores.jwks import FetchError, KeySetFetcher, fetch_key_set
from gateway_extproc.stores.keysets import KeySetFiles, fetched_file, wanted_file
from support.clock import FakeClock
from support.issuer_server import KeyServer, key_server
from support.tokens import TokenIssuer, issuer_section

CORP = TokenIssuer()


def issuer(**changed: Any) -> Issuer:
    if "jwks_url" in changed:
        changed["jwks_file"] = None
    return Issuer.model_validate_json(orjson.dumps(issuer_section(**changed)))


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server(CORP.key_set()) as running:
        yield running


async def test_a_key_set_is_fetched(server: KeyServer) -> None:
    assert await fetch_key_set(issuer(jwks_url=server.url)) == CORP.key_set()


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"location": "http://127.0.0.1:9/keys"}, b""),
        (301, {"location": "/keys"}, CORP.key_set()),
        (404, {}, CORP.key_set()),
        (500, {}, b""),
        (204, {}, b""),
        (200, {}, b" " * (MAX_BYTES + 1)),
        (200, {"transfer-encoding": "chunked"}, b"zz\r\n"),
        (200, {"transfer-encoding": "chunked"}, b"40000000\r\n" + b" " * (2 * MAX_BYTES)),
        (200, {"x": "y" * 70_000}, CORP.key_set()),
    ],
)
async def test_another_answer_is_none(
    server: KeyServer, answer: tuple[int, dict[str, str], bytes]
) -> None:
    server.answer = lambda: answer
    with pytest.raises(FetchError):
        await fetch_key_set(issuer(jwks_url=server.url))
    assert len(server.asked_s) == 1, "nothing is followed, nothing is asked twice"


async def test_a_server_that_drips_is_given_up(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_S", 0.3)
    server.drip_s = 0.05
    with pytest.raises(FetchError, match="no answer within"):
        await fetch_key_set(issuer(jwks_url=server.url))


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(FetchError):
        await fetch_key_set(issuer(jwks_url="http://127.0.0.1:9/keys"))


@pytest.mark.parametrize(
    ("name", "trusted", "good"),
    [("localhost", True, True), ("localhost", False, False), ("elsewhere.test", True, False)],
)
async def test_over_https_the_issuer_must_prove_its_name(
    tmp_path: Path, name: str, trusted: bool, good: bool
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    (authority if trusted else stranger).cert_pem.write_to_path(str(ca_file))
    with key_server(CORP.key_set(), context) as server:
        asked = fetch_key_set(issuer(jwks_url=server.url, ca_file=str(ca_file)))
        if good:
            assert await asked == CORP.key_set()
        else:
            with pytest.raises(FetchError, match=r"[Cc]ertificate"):
                await asked


class Host:
    """The fetcher of a supervisor, and a worker that reads what it writes."""

    def __init__(self, folder: Path, section: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jwks, "MIN_INTERVAL_S", 0.4)
        monkeypatch.setattr(jwks, "LOOK_EVERY_S", 0.02)
        self.folder, self.section = folder, section
        self.clock = FakeClock()
        self.fetcher = KeySetFetcher([section], folder)
        self.worker = KeySetFiles([section], folder, self.clock.now_s)

    def trust(self) -> Any:
        self.clock.advance(1.0)
        return self.worker.find("corp")

    def want(self) -> None:
        self.clock.advance(1.0)
        self.worker.want("corp")

    async def until(self, found: Any) -> None:
        for _ in range(300):
            if found():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not become true in time")

    def knows(self, kid: str) -> bool:
        trust = self.trust()
        return trust is not None and trust.keys.find("RS256", kid) is not None


@pytest.fixture
def host(server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path / "jwks", issuer(jwks_url=server.url), monkeypatch)


async def test_a_worker_knows_what_the_supervisor_fetched(host: Host, server: KeyServer) -> None:
    assert host.trust() is None
    host.fetcher.start()
    await host.until(lambda: host.knows("rs256-1"))
    [row] = host.fetcher.status()
    assert row["issuer"] == "corp"
    assert row["error"] is None
    assert row["keys_age_s"] < 5
    await host.fetcher.stop()
    mode = fetched_file(host.folder, host.section).stat().st_mode & 0o777
    assert mode == 0o600


async def test_the_last_good_keys_stay(host: Host, server: KeyServer) -> None:
    host.fetcher.start()
    await host.until(lambda: host.knows("rs256-1"))
    before = host.trust()
    for status, body in ((200, b"garbage"), (500, b""), (200, b'{"keys":[]}'), (200, b"")):
        server.answer = lambda status=status, body=body: (status, {}, body)  # type: ignore[misc]
        count = len(server.asked_s)
        host.want()
        await host.until(lambda count=count: len(server.asked_s) > count)
        await host.until(lambda: host.fetcher.status()[0]["error"])
        assert host.trust() is before
    await host.fetcher.stop()


async def test_keys_that_did_not_change_forget_no_token(host: Host, server: KeyServer) -> None:
    host.fetcher.start()
    await host.until(lambda: host.knows("rs256-1"))
    before = host.trust()
    host.want()
    await host.until(lambda: len(server.asked_s) > 1)
    await asyncio.sleep(0.05)
    assert host.trust() is before
    await host.fetcher.stop()


async def test_a_rotation_is_followed_when_a_token_names_an_unknown_key(
    host: Host, server: KeyServer
) -> None:
    host.fetcher.start()
    await host.until(lambda: host.knows("rs256-1"))
    rotated = TokenIssuer(generation=2)
    server.serve(rotated.key_set())
    host.want()
    await host.until(lambda: host.knows("rs256-2"))
    assert not host.knows("rs256-1")
    await host.fetcher.stop()


async def test_a_flood_of_unknown_keys_asks_no_more_than_allowed(
    host: Host, server: KeyServer
) -> None:
    host.fetcher.start()
    for _ in range(150):
        host.want()
        await asyncio.sleep(0.01)
    await host.fetcher.stop()
    assert 3 <= len(server.asked_s) <= 5
    assert min(server.gaps_s()) >= 0.39


async def test_a_restart_does_not_ask_again_and_knows_the_keys(
    host: Host, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.fetcher.start()
    await host.until(lambda: host.knows("rs256-1"))
    await host.fetcher.stop()
    monkeypatch.setattr(jwks, "MIN_INTERVAL_S", 10.0)
    again = KeySetFetcher([host.section], host.folder)
    again.start()
    await asyncio.sleep(0.2)
    await again.stop()
    assert len(server.asked_s) == 1
    clock = FakeClock()
    assert KeySetFiles([host.section], host.folder, clock.now_s).find("corp") is not None


def test_keys_of_another_address_are_not_taken_for_todays(tmp_path: Path) -> None:
    old, new = (issuer(jwks_url=f"https://{name}.example/keys") for name in ("old", "new"))
    fetched_file(tmp_path, old).write_bytes(CORP.key_set())
    clock = FakeClock()
    assert KeySetFiles([old], tmp_path, clock.now_s).find("corp") is not None
    assert KeySetFiles([new], tmp_path, clock.now_s).find("corp") is None


class TestFiles:
    def test_a_file_is_read_again_when_it_changes(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "keys.json", FakeClock()
        files = KeySetFiles([issuer(jwks_file=str(path))], tmp_path, clock.now_s)
        assert files.find("corp") is None
        path.write_bytes(CORP.key_set())
        assert files.find("corp") is None, "looked at once a second"
        clock.advance(1.0)
        first = files.find("corp")
        assert first is not None
        for content in (b"garbage", b"", TokenIssuer().key_set()[:-5]):
            path.write_bytes(content)
            clock.advance(1.0)
            assert files.find("corp") is first
        path.unlink()
        clock.advance(1.0)
        assert files.find("corp") is first
        path.write_bytes(TokenIssuer(generation=2).key_set())
        clock.advance(1.0)
        assert files.find("corp") is not first

    def test_denials_make_another_trust(self, tmp_path: Path) -> None:
        keys, denied, clock = tmp_path / "keys.json", tmp_path / "denied", FakeClock()
        keys.write_bytes(CORP.key_set())
        section = issuer(jwks_file=str(keys), denied_file=str(denied))
        files = KeySetFiles([section], tmp_path, clock.now_s)
        assert files.find("corp") is None, "without its denials nobody is trusted"
        denied.write_text("")
        clock.advance(1.0)
        first = files.find("corp")
        assert first is not None
        denied.write_text("sub:ann\n")
        clock.advance(1.0)
        second = files.find("corp")
        assert second is not None
        assert second.denies({"sub": "ann"})
        assert not first.denies({"sub": "ann"})
        denied.write_text("sub:ann\nnonsense\n")
        clock.advance(1.0)
        assert files.find("corp") is second

    def test_what_envoy_verifies_needs_no_keys_here(self, tmp_path: Path) -> None:
        files = KeySetFiles([issuer(verified_by="envoy")], tmp_path, FakeClock().now_s)
        assert files.find("corp") is not None

    def test_nobody_is_asked_for_a_file(self, tmp_path: Path) -> None:
        section = issuer(jwks_file=str(tmp_path / "keys.json"))
        KeySetFiles([section], tmp_path, FakeClock().now_s).want("corp")
        assert not wanted_file(tmp_path, section).exists()
        assert os.listdir(tmp_path) == []
