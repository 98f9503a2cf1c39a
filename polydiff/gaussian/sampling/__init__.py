"""Samplers: plans of coefficients, the noise levels at which they step, and the one loop that runs any plan.

`plan` defines the rows of a plan and the registry `SAMPLERS`, `spacing` places noise levels, `execute` runs plans.
`diagnose` finds the step at which a run breaks. The samplers: `auto` (the default), `first_order` (DDPM, DDIM and
similar), `single_step` (Heun, DPM-Solver, Runge-Kutta), `multistep` (Adams, DPM-Solver++, UniPC, PNDM) with its engine
`adams`, `stochastic` (SA-Solver, ER-SDE, DPM-SDE, predictor-corrector, Restart), `adaptive` (error control) and
`calibrated` (coefficients that were fitted to a network).

To add a sampler, write one function (levels, **options) -> rows and register it in `SAMPLERS`.
"""

from polydiff.gaussian.sampling import adaptive as adaptive
from polydiff.gaussian.sampling import auto as auto
from polydiff.gaussian.sampling import calibrated as calibrated
from polydiff.gaussian.sampling import first_order as first_order
from polydiff.gaussian.sampling import multistep as multistep
from polydiff.gaussian.sampling import single_step as single_step
from polydiff.gaussian.sampling import stochastic as stochastic
from polydiff.gaussian.sampling.diagnose import describe_failure as describe_failure
from polydiff.gaussian.sampling.diagnose import within_limit as within_limit
from polydiff.gaussian.sampling.execute import Step as Step
from polydiff.gaussian.sampling.execute import run_plan as run_plan
from polydiff.gaussian.sampling.execute import sample as sample
from polydiff.gaussian.sampling.execute import trajectory as trajectory
from polydiff.gaussian.sampling.plan import SAMPLERS as SAMPLERS
from polydiff.gaussian.sampling.plan import Plan as Plan
from polydiff.gaussian.sampling.plan import PlanRow as PlanRow
from polydiff.gaussian.sampling.plan import Renoise as Renoise
from polydiff.gaussian.sampling.plan import Row as Row
from polydiff.gaussian.sampling.plan import Solve as Solve
from polydiff.gaussian.sampling.plan import evaluation_rows as evaluation_rows
from polydiff.gaussian.sampling.plan import evaluations as evaluations
from polydiff.gaussian.sampling.plan import rows_on as rows_on
from polydiff.gaussian.sampling.spacing import SPACINGS as SPACINGS
from polydiff.gaussian.sampling.spacing import noise_levels as noise_levels
