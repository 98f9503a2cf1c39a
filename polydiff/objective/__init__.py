"""What training minimises (`base`), beyond the denoising loss of `polydiff.loss`."""

from polydiff.objective import consistency as consistency
from polydiff.objective import shortcut as shortcut
from polydiff.objective import variational as variational
from polydiff.objective.base import OBJECTIVES as OBJECTIVES
from polydiff.objective.base import Denoising as Denoising
from polydiff.objective.base import DenoisingObjective as DenoisingObjective
from polydiff.objective.base import Moment as Moment
from polydiff.objective.base import Objective as Objective
from polydiff.objective.base import Outcome as Outcome
from polydiff.objective.base import as_objective as as_objective
from polydiff.objective.base import build_objective as build_objective
