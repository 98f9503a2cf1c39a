"""Likelihoods: variational bounds (`vlb`), the probability flow (`flow`), their common terms (`terms`)."""

from polydiff.core.likelihood import Estimate as Estimate
from polydiff.gaussian.likelihood.bounds import chain as chain
from polydiff.gaussian.likelihood.bounds import continuous_vlb as continuous_vlb
from polydiff.gaussian.likelihood.bounds import discrete_vlb as discrete_vlb
from polydiff.gaussian.likelihood.flow import FlowEstimate as FlowEstimate
from polydiff.gaussian.likelihood.flow import flow_bound as flow_bound
from polydiff.gaussian.likelihood.flow import flow_log_prob as flow_log_prob
from polydiff.gaussian.likelihood.terms import decoder_level as decoder_level
