"""Training losses: the weighted error of a denoiser at random noise levels.

`base` holds `Loss`, which combines three choices: a distribution of noise levels, a weighting by noise level
(`weightings`) and a norm (`norms`). `noise_levels` defines what a distribution of noise levels is and holds the uniform
and the adaptive one, `distributions` the others. `state` holds the modules with which a distribution or a weighting
learns or records something.

To add a choice, write one function and register it in `TIMES`, `WEIGHTINGS` or `NORMS`.
"""

from polydiff.gaussian.loss import distributions as distributions
from polydiff.gaussian.loss.base import Loss as Loss
from polydiff.gaussian.loss.base import Noisy as Noisy
from polydiff.gaussian.loss.base import x0_error_gain as x0_error_gain
from polydiff.gaussian.loss.noise_levels import TIMES as TIMES
from polydiff.gaussian.loss.noise_levels import Times as Times
from polydiff.gaussian.loss.noise_levels import importance as importance
from polydiff.gaussian.loss.norms import NORMS as NORMS
from polydiff.gaussian.loss.weightings import WEIGHTINGS as WEIGHTINGS
from polydiff.gaussian.loss.weightings import Weighting as Weighting
