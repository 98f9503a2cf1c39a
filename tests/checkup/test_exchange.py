"""The share of a training step that several processes spend outside computation."""

from __future__ import annotations

from divided_jobs import share_with_slow_exchange
from together import together


def test_a_slow_exchange_is_outside_computation() -> None:
    first, second = together(2, share_with_slow_exchange, 1.0)
    assert first == second
    assert 0.5 < first < 1
