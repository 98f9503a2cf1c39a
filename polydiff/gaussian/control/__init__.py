"""Control: asking for more than a condition, with any trained model.

`Known`, `Measured` and `PosteriorSampling` are wrappers of a denoiser; `inpaint`, `encode`, `decode` and `interpolate`
are ways to sample; `strength_level` gives the level at which an edit starts.
"""

from polydiff.gaussian.control.dps import PosteriorSampling as PosteriorSampling
from polydiff.gaussian.control.invert import decode as decode
from polydiff.gaussian.control.invert import encode as encode
from polydiff.gaussian.control.invert import interpolate as interpolate
from polydiff.gaussian.control.invert import slerp as slerp
from polydiff.gaussian.control.invert import strength_level as strength_level
from polydiff.gaussian.control.known import Known as Known
from polydiff.gaussian.control.known import known_part as known_part
from polydiff.gaussian.control.linear_inverse import Measured as Measured
from polydiff.gaussian.control.measurement import Measurement as Measurement
from polydiff.gaussian.control.measurement import conjugate_gradient as conjugate_gradient
from polydiff.gaussian.control.measurement import masked as masked
from polydiff.gaussian.control.repaint import inpaint as inpaint
from polydiff.gaussian.control.repaint import inpainting as inpainting
from polydiff.gaussian.control.repaint import repaint as repaint
