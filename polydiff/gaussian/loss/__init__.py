"""Training losses: distributions of noise levels, weights, norms, and the state that a loss keeps (`state`)."""

from polydiff.gaussian.loss.base import Loss as Loss
from polydiff.gaussian.loss.base import Noisy as Noisy
from polydiff.gaussian.loss.base import x0_error_gain as x0_error_gain
from polydiff.gaussian.loss.noise_levels import TIMES as TIMES
from polydiff.gaussian.loss.noise_levels import Times as Times
from polydiff.gaussian.loss.noise_levels import importance as importance
from polydiff.gaussian.loss.norms import NORMS as NORMS
from polydiff.gaussian.loss.weightings import WEIGHTINGS as WEIGHTINGS
from polydiff.gaussian.loss.weightings import Weighting as Weighting
