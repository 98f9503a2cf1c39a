"""Likelihoods: variational bounds (`vlb`), the probability flow (`flow`), their common terms (`terms`)."""

from polydiff.likelihood.flow import FlowEstimate as FlowEstimate
from polydiff.likelihood.flow import flow_bound as flow_bound
from polydiff.likelihood.flow import flow_log_prob as flow_log_prob
from polydiff.likelihood.terms import Estimate as Estimate
from polydiff.likelihood.terms import decoder_level as decoder_level
from polydiff.likelihood.vlb import chain as chain
from polydiff.likelihood.vlb import continuous_vlb as continuous_vlb
from polydiff.likelihood.vlb import discrete_vlb as discrete_vlb
