"""Workers on TCP: in the clear on loopback, with certificates on both sides elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.cli.processes import find_free_port
from support.certificates import SERVER_NAME, make_certificates
from support.gateway import running_gateway


@pytest.mark.parametrize("wire", ["fast", "grpcio"])
@pytest.mark.parametrize(
    ("certified", "name", "status"),
    [(False, SERVER_NAME, 200), (True, SERVER_NAME, 200), (True, "other.test", 503)],
    ids=["plain", "certificates", "another name"],
)
def test_envoy_reaches_only_workers_that_prove_their_name(
    tmp_path: Path, wire: str, certified: bool, name: str, status: int
) -> None:
    files = make_certificates(tmp_path)

    def change(document: dict[str, Any]) -> None:
        tcp: dict[str, Any] = {"port": find_free_port()}
        if certified:
            tcp["tls"] = {
                "cert_file": str(files.server_cert),
                "key_file": str(files.server_key),
                "ca_file": str(files.ca_file),
                "server_name": name,
                "client_ca_file": str(files.ca_file),
                "client_cert_file": str(files.client_cert),
                "client_key_file": str(files.client_key),
            }
        document["server"] |= {"wire": wire, "tcp": tcp}

    with running_gateway(tmp_path / "gateway", change, workers=1) as gateway:
        answer = gateway.chat("over TCP")
        assert answer.status_code == status, answer.text
        assert bool(gateway.openai.requests) == (status == 200)
