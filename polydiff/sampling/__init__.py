"""Samplers: plans of coefficients (`rows`), where they step (`grid`), and the one loop that runs any of them (`run`).

To add a sampler, write one function (levels, **options) -> rows and register it.
"""

from polydiff.sampling import adaptive as adaptive
from polydiff.sampling import auto as auto
from polydiff.sampling import multistep as multistep
from polydiff.sampling import onestep as onestep
from polydiff.sampling import rungekutta as rungekutta
from polydiff.sampling import stochastic as stochastic
from polydiff.sampling.broken import sound as sound
from polydiff.sampling.broken import where as where
from polydiff.sampling.grid import SPACINGS as SPACINGS
from polydiff.sampling.grid import noise_levels as noise_levels
from polydiff.sampling.rows import SAMPLERS as SAMPLERS
from polydiff.sampling.rows import Plan as Plan
from polydiff.sampling.rows import PlanRow as PlanRow
from polydiff.sampling.rows import Renoise as Renoise
from polydiff.sampling.rows import Row as Row
from polydiff.sampling.rows import Solve as Solve
from polydiff.sampling.rows import evaluation_rows as evaluation_rows
from polydiff.sampling.rows import evaluations as evaluations
from polydiff.sampling.rows import plan as plan
from polydiff.sampling.rows import rows_on as rows_on
from polydiff.sampling.run import Step as Step
from polydiff.sampling.run import run_plan as run_plan
from polydiff.sampling.run import sample as sample
from polydiff.sampling.run import trajectory as trajectory
