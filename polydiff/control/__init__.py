"""Control: asking for more than a condition, with any trained model.

`Known`, `Measured` and `PosteriorSampling` are wrappers of a denoiser; `inpaint`, `encode`, `decode` and `interpolate`
are ways to sample; `strength_level` says where an edit begins.
"""

from polydiff.control.inpaint import inpaint as inpaint
from polydiff.control.inpaint import inpainting as inpainting
from polydiff.control.inpaint import repaint as repaint
from polydiff.control.linear import Measurement as Measurement
from polydiff.control.linear import conjugate_gradient as conjugate_gradient
from polydiff.control.linear import masked as masked
from polydiff.control.mask import Known as Known
from polydiff.control.mask import known_part as known_part
from polydiff.control.measured import Measured as Measured
from polydiff.control.posterior import PosteriorSampling as PosteriorSampling
from polydiff.control.vary import decode as decode
from polydiff.control.vary import encode as encode
from polydiff.control.vary import interpolate as interpolate
from polydiff.control.vary import slerp as slerp
from polydiff.control.vary import strength_level as strength_level
