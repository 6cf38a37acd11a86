from __future__ import annotations

import pytest

from bench.translate import BYTES, CLIENTS, PROVIDERS, body_of, chunk_us, request_us


@pytest.mark.parametrize("client", list(CLIENTS))
def test_a_body_has_the_size_that_is_told(client: str) -> None:
    assert len(body_of(client)) == BYTES


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_pair_can_be_measured(provider: str) -> None:
    for client in CLIENTS:
        assert all(figure > 0 for figure in request_us(client, provider, 1))
        assert all(figure > 0 for figure in chunk_us(client, provider, 1))
