"""Objectives: what training minimises for a denoiser.

`base` holds the interface, the registry `OBJECTIVES` and the default: denoising by a loss of `polydiff.gaussian.loss`.
`easy_consistency`, `shortcut` and `mean_flow` train few-step models (`jumps` is what the last two share), `variational`
trains the variational bound and the variance of the reverse steps.
"""

from polydiff.core.objective import Moment as Moment
from polydiff.core.objective import Objective as Objective
from polydiff.core.objective import Outcome as Outcome
from polydiff.gaussian.objective import easy_consistency as easy_consistency
from polydiff.gaussian.objective import mean_flow as mean_flow
from polydiff.gaussian.objective import shortcut as shortcut
from polydiff.gaussian.objective import variational as variational
from polydiff.gaussian.objective.base import OBJECTIVES as OBJECTIVES
from polydiff.gaussian.objective.base import Denoising as Denoising
from polydiff.gaussian.objective.base import DenoisingObjective as DenoisingObjective
from polydiff.gaussian.objective.base import as_objective as as_objective
from polydiff.gaussian.objective.base import build_objective as build_objective
