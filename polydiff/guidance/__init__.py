"""Guidance: wrappers of a denoiser, each usable with every schedule, target and domain.

Guidance by two estimates is a pair (`Guided`: where strong and weak come from, at which noise levels) and a method
(`GUIDANCE`: how the two become one); a classifier and thresholding are wrappers of their own. To add a method, write
one function (scale, rows, **options) -> method and register it.
"""

from polydiff.guidance.classifier import Classifier as Classifier
from polydiff.guidance.method import GUIDANCE as GUIDANCE
from polydiff.guidance.method import Linear as Linear
from polydiff.guidance.method import Method as Method
from polydiff.guidance.pair import Autoguidance as Autoguidance
from polydiff.guidance.pair import ClassifierFree as ClassifierFree
from polydiff.guidance.pair import Guided as Guided
from polydiff.guidance.pair import calls as calls
from polydiff.guidance.pair import check_interval as check_interval
from polydiff.guidance.plusplus import PlusPlus as PlusPlus
from polydiff.guidance.projected import Projected as Projected
from polydiff.guidance.steps import Steps as Steps
from polydiff.guidance.steps import first_order as first_order
from polydiff.guidance.threshold import DynamicThreshold as DynamicThreshold
from polydiff.guidance.zerostar import ZeroStar as ZeroStar
from polydiff.wrapper import Outermost as Outermost
from polydiff.wrapper import Wrapper as Wrapper
from polydiff.wrapper import wrapped as wrapped
