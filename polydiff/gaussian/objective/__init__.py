"""What training minimises (`base`), beyond the denoising loss of `polydiff.gaussian.loss`."""

from polydiff.core.objective import Moment as Moment
from polydiff.core.objective import Objective as Objective
from polydiff.core.objective import Outcome as Outcome
from polydiff.gaussian.objective import easy_consistency as easy_consistency
from polydiff.gaussian.objective import shortcut as shortcut
from polydiff.gaussian.objective import variational as variational
from polydiff.gaussian.objective.base import OBJECTIVES as OBJECTIVES
from polydiff.gaussian.objective.base import Denoising as Denoising
from polydiff.gaussian.objective.base import DenoisingObjective as DenoisingObjective
from polydiff.gaussian.objective.base import as_objective as as_objective
from polydiff.gaussian.objective.base import build_objective as build_objective
