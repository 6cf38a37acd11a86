"""What clients say of caching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.cachecontrol import PLAIN, CacheControl, read_cache_control


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", PLAIN),
        ("no-cache", CacheControl(read=False)),
        ("No-Store", CacheControl(store=False)),
        ("no-cache, no-store", CacheControl(read=False, store=False)),
        ("max-age=60", CacheControl(max_age_s=60)),
        ('max-age="60"', CacheControl(max_age_s=60)),
        ("max-age=0", CacheControl(read=False, max_age_s=0)),
        ("max-age=soon", CacheControl(read=False, max_age_s=0)),
        ("max-age=²", CacheControl(read=False, max_age_s=0)),
        ("max-age", CacheControl(read=False, max_age_s=0)),
        ("only-if-cached , max-age = 5", CacheControl(max_age_s=5, must_hit=True)),
        ("private, no-transform, max-stale=10", PLAIN),
        ("x-no-cache, no-cache-please", PLAIN),
    ],
)
def test_the_directives_of_a_request_bind(value: str, expected: CacheControl) -> None:
    assert read_cache_control(value) == expected


@given(st.text())
def test_anything_can_be_read(value: str) -> None:
    control = read_cache_control(value)
    assert control.max_age_s is None or control.max_age_s >= 0
