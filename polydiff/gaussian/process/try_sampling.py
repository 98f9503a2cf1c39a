"""Names and options of the section `sample` of a Gaussian process, tried by using them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polydiff.gaussian.guidance.guided import check_interval
from polydiff.gaussian.guidance.method import GUIDANCE, Method
from polydiff.gaussian.sampling.plan import PlanRow, grid, rows_on
from polydiff.gaussian.schedule.base import Schedule
from polydiff.support.errors import attempt

if TYPE_CHECKING:
    from polydiff.contract.sections import SampleConfig


def try_plan(
    how: SampleConfig, schedule: Schedule, sigma_data: float = 1.0, start: float | None = None
) -> tuple[list[float], list[PlanRow]]:
    """Return the noise levels and the rows of a section `sample`; options that do not work are a `UserError`."""

    def levels_and_rows() -> tuple[list[float], list[PlanRow]]:
        levels = grid(schedule, how.steps, how.sampler, how.spacing, sigma_data, start, how.spacing_options)
        return levels, rows_on(levels, how.sampler, sigma_data, **how.options)

    made: tuple[list[float], list[PlanRow]] = attempt(
        f"sample.options={how.options}, sample.spacing_options={how.spacing_options}", levels_and_rows
    )
    return made


def try_guidance(how: SampleConfig, rows: Sequence[PlanRow], schedule: Schedule) -> Method:
    """Return a new method of guidance of a section `sample`; one that cannot guide these rows is a `UserError`."""
    attempt("sample.guidance_interval", lambda: check_interval(how.guidance_interval, schedule))
    options = how.guidance_options
    method: Method = attempt("sample.guidance", lambda: GUIDANCE[how.guidance_method](how.guidance, rows, **options))
    return method
