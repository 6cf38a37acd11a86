"""Forged API keys through the real Envoy: none is accepted, none reaches a provider."""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

import yaml

from support.forgedkeys import Forgery, forgeries
from support.gateway import RunningGateway, wait_for

COUNT: Final = 2600
BODY: Final = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
).encode()
STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})")
LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class RawClient:
    """HTTP/1.1 byte for byte: no library's idea of what a header may hold."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._socket: socket.socket | None = None

    def send(self, forgery: Forgery) -> int:
        """The status of the answer; 0 where the connection broke without one."""
        head = f"POST /v1/chat/completions{forgery.path_suffix} HTTP/1.1\r\nhost: gateway\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n"
        lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in forgery.headers)
        try:
            self._connected().sendall(head.encode() + lines + b"\r\n" + BODY)
            return self._status()
        except OSError:
            return 0
        finally:
            if forgery.large:
                self.close()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=10)
        return self._socket

    def _status(self) -> int:
        assert self._socket is not None
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._socket.recv(65536)
            if not piece:
                self.close()
                break
            data += piece
        status = STATUS.match(data)
        if status is None:
            self.close()
            return 0
        head, _, body = data.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if length is None or b"connection: close" in head.lower():
            self.close()
            return int(status[1])
        while self._socket is not None and len(body) < int(length[1]):
            body += self._socket.recv(65536)
        return int(status[1])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def test_forged_keys_are_refused_by_the_whole_gateway(gateway: RunningGateway) -> None:
    document = yaml.safe_load((gateway.run_dir / "gateway.yaml").read_text())
    key, other = gateway.keys["dev"], gateway.keys["visitor"]
    stored = next(k["hmac"] for k in document["keys"] if k["id"] == key.split("_")[2])
    client = RawClient(gateway.base_url)
    good = Forgery("a good key", (("authorization", f"Bearer {key}".encode()),))
    assert client.send(good) == 200
    gateway.openai.clear()
    statuses: Counter[int] = Counter()
    for forgery in itertools.islice(forgeries(key, other, stored), COUNT):
        status = client.send(forgery)
        # Envoy itself answers what is no HTTP (400), and headers beyond its limit (431), and may
        # close the connection before its answer is read (0).
        assert status in (401, 400, 431, 0), (forgery, status)
        statuses[status] += 1
    print(f"\n{COUNT} forged keys through Envoy, 0 accepted: {dict(statuses)}")
    assert statuses[401] > 2000
    assert statuses[0] < 50
    assert not gateway.openai.requests
    assert not gateway.anthropic.requests
    assert client.send(good) == 200
    client.close()


def test_an_address_that_a_client_claims_opens_nothing(gateway: RunningGateway) -> None:
    """A key for another network is refused, whatever x-forwarded-for and its like say.

    The second key takes any address, and would not take an unknown one.
    """
    issued = gateway.admin(
        "POST", "/v1/keys", tenant="acme", user="net", roles=["developer"],
        networks=["203.0.113.0/24"],
    ).json()  # fmt: skip
    here = gateway.admin(
        "POST", "/v1/keys", tenant="acme", user="net", roles=["developer"],
        networks=["0.0.0.0/0"],
    ).json()  # fmt: skip
    _until_known(gateway, here["key"])
    client = RawClient(gateway.base_url)
    claims: list[tuple[tuple[str, bytes], ...]] = [
        (),
        (("x-forwarded-for", b"203.0.113.7"),),
        (("x-forwarded-for", b"203.0.113.7"), ("x-forwarded-for", b"203.0.113.8")),
        (("x-forwarded-for", b"203.0.113.7, 203.0.113.8"),),
        (("x-envoy-external-address", b"203.0.113.7"),),
        (("x-real-ip", b"203.0.113.7"), ("forwarded", b"for=203.0.113.7")),
        (("x-envoy-original-dst-host", b"203.0.113.7:1"),),
    ]
    for claim in claims:
        for key, expected in ((issued["key"], 403), (here["key"], 200)):
            headers = (("authorization", f"Bearer {key}".encode()), *claim)
            assert client.send(Forgery("claim", headers)) == expected, claim
    client.close()


def _until_known(gateway: RunningGateway, key: str) -> None:
    def known() -> bool:
        with gateway.client(None, authorization=f"Bearer {key}") as client:
            return all(client.get("/v1/models").status_code == 200 for _ in range(8))

    wait_for(known, 3, "the key did not reach all workers")
