"""Guidance: wrappers of a denoiser that strengthen a condition, for every schedule, target and domain.

Guidance by two estimates is a pair. `guided` says where the strong and the weak estimate come from and at which noise
levels (`Guided`, `ClassifierFree`, `Autoguidance`). A method says how the two become one: `method` holds the registry
`GUIDANCE` and plain guidance, `apg`, `cfg_pp` and `cfg_zero` one method each. `first_order_steps` gives a method the
steps of its sampler. `classifier` guides by a log-likelihood, `threshold` clips estimates to the range of the data.

To add a method, write one function (scale, rows, **options) -> method and register it in `GUIDANCE`.
"""

from polydiff.gaussian.guidance.apg import Projected as Projected
from polydiff.gaussian.guidance.cfg_pp import PlusPlus as PlusPlus
from polydiff.gaussian.guidance.cfg_zero import ZeroStar as ZeroStar
from polydiff.gaussian.guidance.classifier import Classifier as Classifier
from polydiff.gaussian.guidance.first_order_steps import Steps as Steps
from polydiff.gaussian.guidance.first_order_steps import first_order as first_order
from polydiff.gaussian.guidance.guided import Autoguidance as Autoguidance
from polydiff.gaussian.guidance.guided import ClassifierFree as ClassifierFree
from polydiff.gaussian.guidance.guided import Guided as Guided
from polydiff.gaussian.guidance.guided import calls as calls
from polydiff.gaussian.guidance.guided import check_interval as check_interval
from polydiff.gaussian.guidance.method import GUIDANCE as GUIDANCE
from polydiff.gaussian.guidance.method import Linear as Linear
from polydiff.gaussian.guidance.method import Method as Method
from polydiff.gaussian.guidance.threshold import DynamicThreshold as DynamicThreshold
from polydiff.gaussian.wrapper import Outermost as Outermost
from polydiff.gaussian.wrapper import Wrapper as Wrapper
from polydiff.gaussian.wrapper import wrapped as wrapped
