"""Training losses: distributions of noise levels, weights, norms, and the state that a loss keeps (`state`)."""

from polydiff.loss.base import Loss as Loss
from polydiff.loss.base import Noisy as Noisy
from polydiff.loss.base import x0_error_gain as x0_error_gain
from polydiff.loss.noise_levels import TIMES as TIMES
from polydiff.loss.noise_levels import Times as Times
from polydiff.loss.noise_levels import importance as importance
from polydiff.loss.noise_levels import stratified as stratified
from polydiff.loss.norms import NORMS as NORMS
from polydiff.loss.weightings import WEIGHTINGS as WEIGHTINGS
from polydiff.loss.weightings import Weighting as Weighting
