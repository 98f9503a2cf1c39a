"""Training losses: noise levels (`times`), weights, norms, and what a loss learns or remembers itself (`aids`)."""

from polydiff.loss import aids as aids
from polydiff.loss.base import Loss as Loss
from polydiff.loss.base import lever as lever
from polydiff.loss.norms import NORMS as NORMS
from polydiff.loss.times import TIMES as TIMES
from polydiff.loss.times import importance as importance
from polydiff.loss.times import stratified as stratified
from polydiff.loss.weightings import WEIGHTINGS as WEIGHTINGS
