"""Control: edit examples and solve inverse problems with any trained model, without training for it.

`known` puts known values into an estimate (`Known`), and `replacement` inpaints with it. `linear_inverse` conditions
samples on a linear measurement (`Measured`), `dps` on any differentiable one (`PosteriorSampling`); `measurement` holds
linear operators and the solver of linear systems. `invert` encodes, decodes and interpolates by the probability-flow
ODE, and gives the noise level at which an edit starts (`strength_level`).

`Known`, `Measured` and `PosteriorSampling` wrap a denoiser.
"""

from polydiff.core.space import Measurement as Measurement
from polydiff.gaussian.control.dps import PosteriorSampling as PosteriorSampling
from polydiff.gaussian.control.invert import decode as decode
from polydiff.gaussian.control.invert import encode as encode
from polydiff.gaussian.control.invert import interpolate as interpolate
from polydiff.gaussian.control.invert import slerp as slerp
from polydiff.gaussian.control.invert import strength_level as strength_level
from polydiff.gaussian.control.known import Known as Known
from polydiff.gaussian.control.known import known_part as known_part
from polydiff.gaussian.control.linear_inverse import Measured as Measured
from polydiff.gaussian.control.measurement import conjugate_gradient as conjugate_gradient
from polydiff.gaussian.control.measurement import masked as masked
from polydiff.gaussian.control.replacement import inpaint as inpaint
from polydiff.gaussian.control.replacement import inpainting as inpainting
from polydiff.gaussian.control.replacement import repaint as repaint
