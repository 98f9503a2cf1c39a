"""The sampler with given coefficients."""

import pytest

from polydiff.gaussian.sampling.calibrated import coefficients
from polydiff.gaussian.sampling.plan import plan, rows_on
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM


@pytest.mark.parametrize("n", [1, 4, 20])
def test_the_coefficients_of_auto_give_its_rows(n: int) -> None:
    levels = noise_levels(EDM(), n, "auto", sigma_data=0.5)
    rows = rows_on(levels, "auto", 0.5)
    assert rows_on(levels, "calibrated", 0.5, **coefficients(rows)) == rows


def test_coefficients_must_be_those_of_as_many_steps() -> None:
    levels = [4.0, 1.0, 0.0]
    for options, message in (
        ({}, "polydiff calibrate RUN"),
        ({"scale": [1.0], "slopes": [[1.0]]}, "an entry for each of 2 steps"),
        ({"scale": [1.0, 1.0], "slopes": [[1.0, 0.5], [1.0]]}, "step 1 should have finite coefficients of at most 1"),
        ({"scale": [1.0, float("nan")], "slopes": [[1.0], [1.0]]}, "step 2 should have finite"),
    ):
        with pytest.raises(ValueError, match=message):
            rows_on(levels, "calibrated", **options)
    with pytest.raises(ValueError, match="without noise"):
        coefficients(rows_on(levels, "ddpm"))


def test_own_levels_do_not_begin_above_the_start() -> None:
    """As when half of the noise is added to an example, and the levels are those of sampling from noise alone."""
    with pytest.raises(ValueError, match="a level of 80, but sampling starts at 2"):
        plan(EDM(), 2, "ddim", "own", start=2.0, spacing_options={"levels": [80.0, 1.0]})
