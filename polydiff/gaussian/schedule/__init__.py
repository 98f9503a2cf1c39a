"""Noise schedules: what one is (`base`), tables (`discrete`), closed forms (`continuous`), a learned one."""

from polydiff.gaussian.schedule.base import SCHEDULES as SCHEDULES
from polydiff.gaussian.schedule.base import Frame as Frame
from polydiff.gaussian.schedule.base import Schedule as Schedule
from polydiff.gaussian.schedule.base import Shifted as Shifted
from polydiff.gaussian.schedule.base import bisect as bisect
from polydiff.gaussian.schedule.closed_forms import EDM as EDM
from polydiff.gaussian.schedule.closed_forms import HIGHEST as HIGHEST
from polydiff.gaussian.schedule.closed_forms import LOWEST as LOWEST
from polydiff.gaussian.schedule.closed_forms import VE as VE
from polydiff.gaussian.schedule.closed_forms import VP as VP
from polydiff.gaussian.schedule.closed_forms import Cauchy as Cauchy
from polydiff.gaussian.schedule.closed_forms import Cosine as Cosine
from polydiff.gaussian.schedule.closed_forms import Exponential as Exponential
from polydiff.gaussian.schedule.closed_forms import Laplace as Laplace
from polydiff.gaussian.schedule.closed_forms import Open as Open
from polydiff.gaussian.schedule.closed_forms import RectifiedFlow as RectifiedFlow
from polydiff.gaussian.schedule.closed_forms import Sigmoid as Sigmoid
from polydiff.gaussian.schedule.closed_forms import SubVP as SubVP
from polydiff.gaussian.schedule.learned import Learned as Learned
from polydiff.gaussian.schedule.tables import INFINITE as INFINITE
from polydiff.gaussian.schedule.tables import Discrete as Discrete
from polydiff.gaussian.schedule.tables import Table as Table
