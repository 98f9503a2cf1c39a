"""The judge of sums."""

from __future__ import annotations

import pytest

from polydiff.domains.sequence.metrics.sums import is_true, read_sum, sum_metrics


@pytest.mark.parametrize(
    ("text", "parses", "true"),
    [
        ("47+85=132", True, True),
        ("0+0=0", True, True),
        ("99+99=198", True, True),
        ("47+85=133", True, False),
        ("100+1=101", True, False),
        ("47+85", False, False),
        ("047+85=132", False, False),
        ("47+85=132+", False, False),
        ("47+85=", False, False),
        ("٤+1=5", False, False),
        ("", False, False),
    ],
)
def test_equations_are_read(text: str, parses: bool, true: bool) -> None:
    assert (read_sum(text) is not None) is parses
    assert is_true(text, 99) is true


def test_shares_count_all_samples() -> None:
    found = sum_metrics(["1+1=2", "1+1=3", "1+1", ""], 9)
    assert (found["parses"].value, found["true"].value) == (0.5, 0.25)
