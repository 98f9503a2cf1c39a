"""Samplers: plans of coefficients (`rows`), where they step (`grid`), and the one loop that runs any of them (`run`).

To add a sampler, write one function (levels, **options) -> rows and register it.
"""

from polydiff.gaussian.sampling import adaptive as adaptive
from polydiff.gaussian.sampling import auto as auto
from polydiff.gaussian.sampling import first_order as first_order
from polydiff.gaussian.sampling import multistep as multistep
from polydiff.gaussian.sampling import single_step as single_step
from polydiff.gaussian.sampling import stochastic as stochastic
from polydiff.gaussian.sampling.diagnose import sound as sound
from polydiff.gaussian.sampling.diagnose import where as where
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
