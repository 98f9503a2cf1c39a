"""Guidance: wrappers of a denoiser, each usable with every schedule, target and domain.

Guidance by two estimates is a pair (`Guided`: where strong and weak come from, at which noise levels) and a method
(`GUIDANCE`: how the two become one); a classifier and thresholding are wrappers of their own. To add a method, write
one function (scale, rows, **options) -> method and register it.
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
