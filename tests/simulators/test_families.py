"""The simulated Azure and Mistral insist on what the real ones insist on."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway_simulators import ThreadedSimulator

DEPLOYED = "/openai/deployments/d/chat/completions"
VERSION = "?api-version=2024-10-21"
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "say: hi"}]}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (DEPLOYED + VERSION, {"api-key": "k"}, 200),
        (DEPLOYED, {"api-key": "k"}, 404),
        (DEPLOYED + "?api-version=latest", {"api-key": "k"}, 404),
        ("/v1/chat/completions", {"api-key": "k"}, 404),
        (DEPLOYED + VERSION, {"api-key": "other"}, 401),
        (DEPLOYED + VERSION, {}, 401),
    ],
)
def test_azure_wants_a_version_and_its_key(path: str, headers: dict[str, str], status: int) -> None:
    with ThreadedSimulator("azure", key="k") as azure:
        answer = httpx.post(azure.url + path, json=BODY, headers=headers)
        assert answer.status_code == status
        assert ("error" in answer.json()) is (status != 200)
        assert not azure.violations


def test_a_bearer_beside_azures_key_is_a_violation() -> None:
    with ThreadedSimulator("azure", key="k") as azure:
        headers = {"api-key": "k", "authorization": "Bearer gw"}
        assert httpx.post(azure.url + DEPLOYED + VERSION, json=BODY, headers=headers).is_error
        assert [one.header for one in azure.violations] == ["authorization"]


def test_mistral_refuses_what_it_does_not_know() -> None:
    with ThreadedSimulator("mistral", key="k") as mistral:
        url, headers = f"{mistral.url}/v1/chat/completions", {"authorization": "Bearer k"}

        def ask(**fields: Any) -> httpx.Response:
            return httpx.post(url, json={**BODY, **fields}, headers=headers)

        assert ask(random_seed=1).status_code == 200
        for fields in ({"seed": 1}, {"user": "u"}, {"max_completion_tokens": 5},
                       {"stream": True, "stream_options": {"include_usage": True}}):  # fmt: skip
            answer = ask(**fields)
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["type"] == "extra_forbidden"
        told = ask(stream=True).text
        assert told.count('"usage":{') == 1
        assert '"choices":[]' not in told
