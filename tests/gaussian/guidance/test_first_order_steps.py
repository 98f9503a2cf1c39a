"""Tests of `polydiff.gaussian.guidance.first_order_steps`."""

from __future__ import annotations

import pytest

from polydiff.gaussian.guidance.method import GUIDANCE
from polydiff.gaussian.sampling.plan import Row


def test_a_row_that_takes_nothing_from_the_estimate_is_no_first_order_step() -> None:
    with pytest.raises(ValueError, match="CFG"):
        GUIDANCE["cfg_pp"](0.5, [Row(1.0, 1.0, (0.0,), 0.0, 0.5)])
