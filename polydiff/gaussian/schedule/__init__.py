"""Noise schedules: the amounts of signal and noise at each time.

`base` defines a schedule, its shifts and the registry `SCHEDULES`. `open_ended` is the base of those whose formula
reaches the noise levels 0 and infinity. `closed_forms` holds schedules with a formula for signal and noise,
`log_snr_laws` those given by a distribution of the log-SNR, `tables` those published as a list of noise levels,
`learned` one whose path is trained.

To add a schedule, write a subclass of `Schedule` (or of `Open`, if its noise level runs from 0 to infinity) or a
function that returns one, and register it in `SCHEDULES`.
"""

from polydiff.gaussian.schedule.base import SCHEDULES as SCHEDULES
from polydiff.gaussian.schedule.base import Frame as Frame
from polydiff.gaussian.schedule.base import Schedule as Schedule
from polydiff.gaussian.schedule.base import Shifted as Shifted
from polydiff.gaussian.schedule.base import bisect as bisect
from polydiff.gaussian.schedule.closed_forms import EDM as EDM
from polydiff.gaussian.schedule.closed_forms import VE as VE
from polydiff.gaussian.schedule.closed_forms import VP as VP
from polydiff.gaussian.schedule.closed_forms import Cosine as Cosine
from polydiff.gaussian.schedule.closed_forms import Exponential as Exponential
from polydiff.gaussian.schedule.closed_forms import RectifiedFlow as RectifiedFlow
from polydiff.gaussian.schedule.closed_forms import Sigmoid as Sigmoid
from polydiff.gaussian.schedule.closed_forms import SubVP as SubVP
from polydiff.gaussian.schedule.learned import Learned as Learned
from polydiff.gaussian.schedule.log_snr_laws import Cauchy as Cauchy
from polydiff.gaussian.schedule.log_snr_laws import Laplace as Laplace
from polydiff.gaussian.schedule.open_ended import HIGHEST as HIGHEST
from polydiff.gaussian.schedule.open_ended import LOWEST as LOWEST
from polydiff.gaussian.schedule.open_ended import Open as Open
from polydiff.gaussian.schedule.tables import INFINITE as INFINITE
from polydiff.gaussian.schedule.tables import Discrete as Discrete
from polydiff.gaussian.schedule.tables import Table as Table
