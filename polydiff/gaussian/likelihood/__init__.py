"""Bounds on the negative log-likelihood -log p(x_0) of data under a denoiser.

`bounds` holds the variational bounds of a chain and of continuous time, `flow` the probability-flow ODE. `terms` holds
what the bounds share: the terms of their sums, the prior and the decoder. `importance` draws noise levels, `directions`
holds unit and random directions of a space: for the trace of a Jacobian and the diagonal of a projector.
"""

from polydiff.core.likelihood import Estimate as Estimate
from polydiff.gaussian.likelihood.bounds import chain as chain
from polydiff.gaussian.likelihood.bounds import continuous_vlb as continuous_vlb
from polydiff.gaussian.likelihood.bounds import discrete_vlb as discrete_vlb
from polydiff.gaussian.likelihood.flow import FlowEstimate as FlowEstimate
from polydiff.gaussian.likelihood.flow import flow_bound as flow_bound
from polydiff.gaussian.likelihood.flow import flow_log_prob as flow_log_prob
from polydiff.gaussian.likelihood.terms import decoder_level as decoder_level
