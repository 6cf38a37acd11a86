"""Providers over https: their certificates are checked, their names too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_simulators import ThreadedSimulator
from support.gateway import running_gateway
from support.tls import tls_front


@pytest.mark.parametrize(
    ("name", "trusted", "status"),
    [("localhost", True, 200), ("localhost", False, 503), ("elsewhere.test", True, 503)],
    ids=["a good certificate", "an unknown authority", "another name"],
)
def test_only_a_provider_that_proves_its_name_is_spoken_to(
    tmp_path: Path, name: str, trusted: bool, status: int
) -> None:
    with (
        ThreadedSimulator("openai", key="sk-over-tls") as provider,
        tls_front(provider.port, tmp_path, name) as (port, ca_file),
    ):

        def change(document: dict[str, Any]) -> None:
            openai = document["providers"][0]
            openai["base_url"] = f"https://localhost:{port}/v1"
            Path(openai["credential_file"]).write_text("sk-over-tls")
            if trusted:
                openai["ca_file"] = str(ca_file)

        with running_gateway(tmp_path, change, workers=1) as gateway:
            answer = gateway.chat("over TLS", model="gpt-4o")
        assert answer.status_code == status, answer.text
        if status == 200:
            assert "over TLS" in answer.text
            assert provider.requests[-1].header("host") == f"localhost:{port}"
        else:
            assert answer.json()["error"]["code"] == "provider_unavailable"
            assert not provider.requests
