"""Noise schedules: what one is (`base`), tables (`discrete`), closed forms (`continuous`), a learned one."""

from polydiff.schedule.base import SCHEDULES as SCHEDULES
from polydiff.schedule.base import Frame as Frame
from polydiff.schedule.base import Schedule as Schedule
from polydiff.schedule.base import Shifted as Shifted
from polydiff.schedule.base import bisect as bisect
from polydiff.schedule.continuous import EDM as EDM
from polydiff.schedule.continuous import HIGHEST as HIGHEST
from polydiff.schedule.continuous import LOWEST as LOWEST
from polydiff.schedule.continuous import VE as VE
from polydiff.schedule.continuous import VP as VP
from polydiff.schedule.continuous import Cauchy as Cauchy
from polydiff.schedule.continuous import Cosine as Cosine
from polydiff.schedule.continuous import Exponential as Exponential
from polydiff.schedule.continuous import Laplace as Laplace
from polydiff.schedule.continuous import Open as Open
from polydiff.schedule.continuous import RectifiedFlow as RectifiedFlow
from polydiff.schedule.continuous import Sigmoid as Sigmoid
from polydiff.schedule.continuous import SubVP as SubVP
from polydiff.schedule.discrete import INFINITE as INFINITE
from polydiff.schedule.discrete import Discrete as Discrete
from polydiff.schedule.discrete import Table as Table
from polydiff.schedule.learned import Learned as Learned
