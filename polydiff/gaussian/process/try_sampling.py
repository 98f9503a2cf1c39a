"""Checks of the section `sample` of a configuration: names and options are tried by building what they describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polydiff.gaussian.guidance.guided import check_interval
from polydiff.gaussian.guidance.method import GUIDANCE, Method
from polydiff.gaussian.sampling.plan import PlanRow, grid, rows_on
from polydiff.gaussian.schedule.base import Schedule
from polydiff.support.errors import attempt

if TYPE_CHECKING:
    from polydiff.contract.sections.sampling import SampleConfig


def try_plan(
    how: SampleConfig, schedule: Schedule, sigma_data: float = 1.0, start: float | None = None
) -> tuple[list[float], list[PlanRow]]:
    """Return the noise levels of a section `sample` and the sampler's rows on them.

    Arguments:
        how: The section.
        schedule: Gives the range of noise levels.
        sigma_data: Standard deviation of the data.
        start: Noise level to start from; None: the schedule's highest.

    Raises:
        UserError: An option of the sampler or of the spacing is wrong.
    """

    def levels_and_rows() -> tuple[list[float], list[PlanRow]]:
        levels = grid(schedule, how.steps, how.sampler, how.spacing, sigma_data, start, how.spacing_options)
        return levels, rows_on(levels, how.sampler, sigma_data, **how.options)

    made: tuple[list[float], list[PlanRow]] = attempt(
        f"sample.options={how.options}, sample.spacing_options={how.spacing_options}", levels_and_rows
    )
    return made


def try_guidance(how: SampleConfig, rows: Sequence[PlanRow], schedule: Schedule) -> Method:
    """Return a new method of guidance for these rows; raise UserError if the section `sample` is wrong for them."""
    attempt("sample.guidance_interval", lambda: check_interval(how.guidance_interval, schedule))
    options = how.guidance_options
    method: Method = attempt("sample.guidance", lambda: GUIDANCE[how.guidance_method](how.guidance, rows, **options))
    return method
