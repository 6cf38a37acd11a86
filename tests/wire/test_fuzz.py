"""Whatever comes, in whatever cut: no promise of the connection is broken.

The long form of this is ``make fuzz-wire``.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.wirefuzz import drive


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=1500))
def test_no_bytes_break_a_promise(data: bytes) -> None:
    drive(data)
