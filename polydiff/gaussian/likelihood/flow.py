r"""Likelihood by the probability-flow ODE.

With tau = log s, the flow and the density p(x, s) of noisy states obey

$$ \frac{dx}{d\tau} = x - D(x, s), \qquad
   \log p(x, s) = \log p_T(x_T) + \int_{\tau}^{\tau_T} \operatorname{tr} P (I - J_D) P \, d\tau', $$

where J_D is the Jacobian of D (Chen et al., 2018, https://arxiv.org/abs/1806.07366; Song et al., 2021, eq. 39,
https://arxiv.org/abs/2011.13456). On a subspace the trace runs over the space's own dimensions. p_T is normal. Its
variance is that of data plus noise, or of noise alone.

This is the density of states with noise of level s. For data, which have no noise, q(x | x_0) = N(x_0, s^2 P) gives

$$ -\log p(x_0) \le \mathbb E_q[-\log p(x, s) + \log q(x | x_0) - \log p(x_0 | x)], $$

The decoder p(x_0 | x) and its treatment of bins are those of the variational bounds, so that the three bounds can be
compared. If p(x_0 | x) is the true posterior, every draw of x gives -log p(x_0) itself.

Symbols: s noise level, D estimate of x_0, P projector, B batch size, R rows of a state, M probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.entry import check_batch, check_states, check_streams
from polydiff.core.likelihood import Estimate
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.units import Units
from polydiff.gaussian.denoise import Denoise
from polydiff.gaussian.forward import noisy_state
from polydiff.gaussian.gradients import gradients, plain, plain_condition
from polydiff.gaussian.likelihood.directions import directions, signs
from polydiff.gaussian.likelihood.terms import (
    Prior,
    bottom,
    decoder,
    decoder_std,
    in_units,
    log_normal,
    prior_variance,
    total,
)
from polydiff.gaussian.ode import Parts, integrate

Trace = Literal["auto", "exact", "hutchinson"]
EXACT_TRACE_SIZE = 64
"""Numbers a sample, averaged over the batch, up to which "auto" computes the exact trace."""


class FlowEstimate(NamedTuple):
    """A log-likelihood by the flow.

    Attributes:
        log_prob: log p(x, s) in nats, shape (B,).
        error: Standard error over the probes, shape (B,); 0 with the exact trace, NaN with one probe.
        evaluations: Network evaluations of each sample, shape (B,).
        latent: The state at the highest noise level, (R, ...).
    """

    log_prob: Tensor
    error: Tensor
    evaluations: Tensor
    latent: State


def flow_log_prob(
    denoise: Denoise,
    x: State,
    space: Space,
    cond: Condition | None = None,
    *,
    sigma: float | None = None,
    trace: Trace = "auto",
    probes: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    prior: Prior = "data",
    differentiable: bool = False,
) -> FlowEstimate:
    """Return log p(x, s), the log-density of noisy states, by the probability-flow ODE.

    Works in any gradient mode, `torch.inference_mode()` included. The result has no gradient unless `differentiable`.

    Arguments:
        denoise: E[x_0 | x], differentiable in x.
        x: States (R, ...) with noise of level s, on the space.
        space: Where they live.
        cond: Their conditions; None: unconditional.
        sigma: s; None: the schedule's lowest.
        trace: "exact" takes one backward pass for each number of a sample, "hutchinson" one for each probe. "auto" is
            exact up to 64 numbers a sample.
        probes: M, random directions of Hutchinson's estimate, the same along the whole path.
        generators: One random stream a sample, for the probes; None: only the exact trace is possible.
        rtol: Relative tolerance of the integration.
        atol: Absolute tolerance, of the state and of nats per dimension.
        prior: Variance of p_T: that of data plus noise ("data"), or of noise alone ("noise").
        differentiable: Whether the result has a gradient with respect to x and the weights: that of the computed
            numbers, with the step sizes held fixed. The memory grows with the number of steps.

    Raises:
        ValueError: An argument is out of range, or probes are needed without generators.
        UserError: The space or the weights were created inside `torch.inference_mode()`.
        polydiff.gaussian.ode.IntegrationError: The integration cannot reach the tolerance.
    """
    if trace not in ("auto", "exact", "hutchinson"):
        raise ValueError(f"trace must be 'auto', 'exact' or 'hutchinson', not {trace!r}.")
    check_states(x, space, levels=(bottom(denoise.schedule, sigma), denoise.schedule.sigma_max))
    if generators is not None:
        check_streams(generators, space)
    exact = trace == "exact" or (trace == "auto" and x.numel() <= EXACT_TRACE_SIZE * space.batch)
    if not exact and (generators is None or probes < 1):
        raise ValueError("Hutchinson's trace needs generators and at least one probe.")
    with gradients(differentiable):
        x, cond = plain(x), plain_condition(cond)
        along = None if exact else [signs(space, x, generators or ()) for _ in range(probes)]
        return solve(denoise, x, space, cond, sigma, along, rtol, atol, prior)


def solve(
    denoise: Denoise, x: State, space: Space, cond: Condition | None, sigma: float | None,
    along: Sequence[State] | None, rtol: float, atol: float, prior: Prior,
) -> FlowEstimate:  # fmt: skip
    """Integrate the flow and the trace; arguments as in `flow_log_prob` and `estimate_and_trace`.

    In a context that records gradients, the result has a gradient.
    """
    probes = 1 if along is None else len(along)
    low, high = bottom(denoise.schedule, sigma), denoise.schedule.sigma_max
    start, end = (torch.full((space.batch,), math.log(s), dtype=torch.float64, device=x.device) for s in (low, high))
    size = space.dim.clamp(min=1).to(x)[:, None]

    def slope(tau: Tensor, y: Parts) -> Parts:
        estimate, traces = estimate_and_trace(denoise, y[0], tau.exp().to(x), space, cond, along)
        return y[0] - estimate, (space.dim.to(x)[:, None] - traces) / size

    columns = Euclidean(space.batch, (probes,), x.device, x.dtype)
    y = (space.project(x), x.new_zeros(space.batch, columns.shape[0]))
    solved = integrate(slope, y, (space, columns), start, end, rtol=rtol, atol=atol)
    gains = (solved.y[1] * size).double()
    base = log_normal(space, solved.y[0].double(), prior_variance(high, denoise.sigma_data, prior))
    unknown = 0.0 if along is None else math.nan
    spread = gains.std(1) / math.sqrt(probes) if probes > 1 else gains[:, 0] * unknown
    return FlowEstimate(base + gains.mean(1), spread, solved.evaluations, solved.y[0])


def estimate_and_trace(
    denoise: Denoise, x: State, sigma: Tensor, space: Space, cond: Condition | None, along: Sequence[State] | None
) -> tuple[State, Tensor]:
    """Return D, (R, ...), and the trace of its Jacobian on the space; both have a gradient if gradients are recorded.

    Arguments:
        denoise: E[x_0 | x], differentiable in x.
        x: Noisy states, (R, ...).
        sigma: Noise levels, (B,).
        space: Where x lives.
        cond: Conditions.
        along: M probes, states on the space; None: every direction of the space, which is exact.

    Returns:
        D, and the exact trace, (B, 1), or one estimate a probe, (B, M).
    """
    create = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if create and x.requires_grad else x.detach().requires_grad_()
        estimate = denoise(x, sigma, space, cond)

        def product(v: State) -> State:
            """Return J^T v."""
            options = {"retain_graph": True, "create_graph": create, "materialize_grads": True}
            return torch.autograd.grad(estimate, x, v, **options)[0]

        quadratic = [space.sum(v * product(v)) for v in (directions(space, x.detach()) if along is None else along)]
    traces = torch.stack(quadratic, 1)
    traces = traces.sum(1, keepdim=True) if along is None else traces
    return (estimate, traces) if create else (estimate.detach(), traces.detach())


@torch.no_grad()
def flow_bound(
    denoise: Denoise,
    batch: Batch,
    generators: Sequence[torch.Generator],
    *,
    units: Units | None = None,
    prior: Prior = "data",
    lowest: float | None = None,
    trace: Trace = "auto",
    probes: int = 1,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> Estimate:
    """Return the bound on -log p(x_0) of data by the probability-flow ODE, without gradients.

    Arguments:
        denoise: E[x_0 | x], differentiable in x.
        batch: Clean states (R, ...), their space and conditions.
        generators: One random stream a sample.
        units: Bins and units of the data; None: x_0 is continuous, and p(x_0) is a density of states.
        prior: Variance of p_T: that of data plus noise ("data"), or of noise alone ("noise").
        lowest: s, where the decoder takes over; None: the schedule's lowest.
        trace: How the trace is computed, as in `flow_log_prob`.
        probes: Random directions of Hutchinson's estimate.
        rtol: Relative tolerance of the integration.
        atol: Absolute tolerance of the integration.

    Returns:
        Nats, their standard error over the probes, and their parts, each of shape (B,).

    Raises:
        ValueError: An argument is out of range.
        polydiff.gaussian.ode.IntegrationError: The integration cannot reach the tolerance.
    """
    check_batch(batch)
    check_streams(generators, batch.space)
    batch = batch._replace(x=batch.space.project(batch.x))
    x_0, space, cond = batch
    low = bottom(denoise.schedule, lowest)
    eps = space.noise(generators)
    x = noisy_state(x_0, low, eps)
    flow = flow_log_prob(
        denoise, x, space, cond, sigma=low, trace=trace, probes=probes, generators=generators, rtol=rtol, atol=atol,
        prior=prior,
    )  # fmt: skip
    s = torch.full((space.batch,), low, dtype=torch.float64, device=x.device)
    estimate = denoise(x, s.to(x), space, cond)
    parts = {
        "flow": -flow.log_prob,
        "noise": log_normal(space, low * eps, low**2),
        "decoder": decoder(space, x_0, estimate, decoder_std(s, denoise.sigma_data), units),
        **in_units(space, units),
    }
    return total(parts, [flow.error], flow.evaluations + 1)
