"""Tests of `polydiff.gaussian.guidance.first_order_steps`."""

from __future__ import annotations

import pytest

from polydiff.gaussian.guidance.method import GUIDANCE
from polydiff.gaussian.sampling.plan import SAMPLERS, Row


def test_a_row_that_takes_nothing_from_the_estimate_is_no_first_order_step() -> None:
    with pytest.raises(ValueError, match="CFG"):
        GUIDANCE["cfg_pp"](0.5, [Row(1.0, 1.0, (0.0,), 0.0, 0.5)])


@pytest.mark.parametrize("sampler", ["pc", "dpm_sde"])
def test_correctors_and_middle_stages_are_no_first_order_steps(sampler: str) -> None:
    """A corrector starts at the level of the next step, so the level alone does not say which of the two it is."""
    with pytest.raises(ValueError, match="Use the sampler ddim"):
        GUIDANCE["cfg_pp"](0.5, SAMPLERS[sampler]([2.0, 1.0, 0.0]))


def test_a_predictor_alone_is_a_first_order_step() -> None:
    GUIDANCE["cfg_pp"](0.5, SAMPLERS["pc"]([2.0, 1.0, 0.0], snr=0.0))
