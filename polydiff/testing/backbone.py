"""Checks of a backbone: the output has the state's shape, samples are independent, conditions may be missing.

Symbols: F output of the network, v its second output (`Denoiser.with_variance`), B batch size, R rows of a state.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.core.condition_batch import withhold
from polydiff.core.conditions import AUGMENT, Condition, given, is_known
from polydiff.core.parts.letters import Letters
from polydiff.core.parts.manifolds import Manifold
from polydiff.core.parts.product import Product
from polydiff.core.space import Space, State, sqnorm
from polydiff.core.streams import stream, streams
from polydiff.support.protocols import provides
from polydiff.testing.parts.numbers import FlatParts, OfNumbers
from polydiff.testing.space import close, hold

LOG_SIGMAS = (-6.0, 0.0, 4.4)
"""Log noise levels of the checks, near s = 0.002, 1 and 80."""


def check_backbone(backbone: nn.Module, space: Any, x: Any, cond: Condition | None = None, seed: int = 0) -> None:
    """Check all rules for a backbone, called as backbone(x, log_sigma, space, cond).

    The checks run on a copy whose zero parameters are filled with small numbers. A network whose last layer starts at
    zero would hide what it computes. A network of letters, of points of a manifold or of several parts is checked as
    one of real numbers (`polydiff.testing.parts.numbers`).

    Arguments:
        backbone: The network to check; it is not changed.
        space: Where x lives; a `Product` for states of several parts.
        x: A state of about unit variance, or of letters, (R, ...); a mapping of parts.
        cond: Conditions, as the domain gives them; None: the backbone has none.
        seed: Seed of all random numbers.

    Raises:
        AssertionError: A rule is broken; the message states it.
    """
    if isinstance(space, Product):
        space, x = FlatParts.of(space, x)
    if isinstance(space, FlatParts) or provides(space, Letters) or provides(space, Manifold):
        backbone, x = OfNumbers(backbone), x if x.is_floating_point() else x.float()
    network: nn.Module = awake(backbone, seed).eval()
    with torch.no_grad():
        if isinstance(network(x, levels(space, x), space, cond), tuple):
            check_variance(network, space, x, cond, seed)
            network = Both(network)
        check_output(network, space, x, cond)
        check_condition(network, space, x, cond)
        check_samples_apart(network, space, x, cond, seed)
        check_order(network, space, x, cond)
    check_gradient(network, space, x, cond, seed)


def awake(backbone: nn.Module, seed: int) -> nn.Module:
    """Return a copy in which parameters that are all zero are filled with small random numbers."""
    network = copy.deepcopy(backbone)
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            if not parameter.any():
                drawn = torch.rand(parameter.shape, generator=stream(seed, "awake", i), dtype=parameter.dtype)
                parameter.copy_(0.2 * drawn - 0.1)
    return network


def levels(space: Space, x: State, value: float = 0.0) -> Tensor:
    """Return the same log noise level for all samples, shape (B,), in the precision of x."""
    return torch.full((space.batch,), value, dtype=x.dtype, device=x.device)


class Both(nn.Module):
    """A backbone that returns F + v in the place of (F, v), so the checks of one output cover both.

    Arguments:
        backbone: A backbone that returns (F, v).
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: State, log_sigma: Tensor, space: Space, cond: Condition | None) -> State:
        """Return F + v.

        Arguments:
            x: State of about unit variance, (R, ...).
            log_sigma: Log of the noise level, (B,).
            space: Where x lives.
            cond: Conditions; None: none.
        """
        f, v = self.backbone(x, log_sigma, space, cond)
        total: State = f + v
        return total


def check_variance(network: nn.Module, space: Space, x: State, cond: Condition | None, seed: int) -> None:
    """Check that v broadcasts against a state and is equal among elements that the projector mixes: P v P = v P.

    Arguments as in `check_backbone`.
    """
    f, v = network(x, levels(space, x), space, cond)
    hold(f.shape == x.shape, f"F has shape {tuple(f.shape)}, the input {tuple(x.shape)}.")
    hold(torch.broadcast_shapes(v.shape, x.shape) == x.shape, f"v has shape {tuple(v.shape)}, F {tuple(x.shape)}.")
    eps = space.noise(streams(seed, "variance", range(space.batch), x.device))
    gap = sqnorm(space, space.project(v * eps) - v * eps)
    hold(
        close(gap, torch.zeros_like(gap), sqnorm(space, v * eps)),
        "v differs between elements that the space's projector mixes, so noise times v leaves the space.",
    )


def check_output(network: nn.Module, space: Space, x: State, cond: Condition | None) -> None:
    """Check that the output has the shape and precision of x, is finite, repeatable, and depends on log_sigma.

    Arguments as in `check_backbone`.
    """
    for level in LOG_SIGMAS:
        f = network(x, levels(space, x, level), space, cond)
        hold(f.shape == x.shape, f"The output has shape {tuple(f.shape)}, the input {tuple(x.shape)}.")
        hold(f.dtype == x.dtype, f"The output is {f.dtype}, the input {x.dtype}.")
        hold(torch.isfinite(f).all(), f"The output is not finite at log_sigma = {level}.")
        again = network(x, levels(space, x, level), space, cond)
        hold(torch.equal(f, again), "In eval mode, two calls with the same input differ.")
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        f = network(x, levels(space, x), space, cond)
    hold(torch.isfinite(f).all(), "The output is not finite under bf16 autocast.")
    low, high = (network(x, levels(space, x, level), space, cond) for level in (-2.0, 2.0))
    hold(not torch.equal(low, high), "The output does not depend on log_sigma.")


def check_condition(network: nn.Module, space: Space, x: State, cond: Condition | None) -> None:
    """Check that cond=None equals conditions that are all "not given", and that given conditions change the output.

    Arguments as in `check_backbone`.
    """
    if cond is None:
        return
    none_kept = withhold(cond, cond.keys())
    without, dropped = (network(x, levels(space, x), space, c) for c in (None, none_kept))
    size = sqnorm(space, without)
    gap = sqnorm(space, without - dropped)
    hold(
        close(gap, torch.zeros_like(gap), size),
        "cond=None and conditions that are all -1 or NaN give different outputs.",
    )
    change = sqnorm(space, network(x, levels(space, x), space, cond) - without)
    is_given = torch.zeros_like(change, dtype=torch.bool)
    for name, value in cond.items():
        if name == AUGMENT or (is_known(name) and not value.is_floating_point()):
            continue  # 0 changes nothing; known letters change the state, which shows them
        is_given |= given(value).reshape(space.batch, -1).any(1)
    hold((change[is_given] > 0).all(), "A condition that is given does not change the output.")


def check_samples_apart(network: nn.Module, space: Space, x: State, cond: Condition | None, seed: int) -> None:
    """Check that a change of one sample changes the output of that sample only.

    Arguments as in `check_backbone`.
    """
    eps = space.noise(streams(seed, "apart", range(space.batch), x.device))
    base = network(x, levels(space, x), space, cond)
    for i in range(min(space.batch, 3)):
        one = torch.zeros(space.batch, dtype=x.dtype, device=x.device)
        one[i] = 1  # less would be lost where letters are rounded
        moved = network(x + space.expand(one) * eps, levels(space, x), space, cond)
        change, size = sqnorm(space, moved - base), sqnorm(space, base)
        others = torch.arange(space.batch, device=x.device) != i
        hold(
            close(change[others], torch.zeros_like(change[others]), size[others]),
            f"Sample {i} changes the output of other samples of its batch.",
        )
        changed = sqnorm(space, eps)[i] > 0  # a letter may be drawn again, and a sample may have no site
        hold(change[i] > 0 or not changed, f"Sample {i} does not change its own output.")


def check_order(network: nn.Module, space: Space, x: State, cond: Condition | None) -> None:
    """Check that reordered samples give the same outputs in the new order, if the space can be reordered.

    Arguments as in `check_backbone`.
    """
    order = torch.arange(space.batch, device=x.device).flip(0)
    turned = reordered_state(x, space, order)
    if turned is None:
        return
    y, other = turned
    levels_ = torch.linspace(-2, 2, space.batch, dtype=x.dtype, device=x.device)
    f = network(x, levels_, space, cond)
    c = None if cond is None else {name: value[order] for name, value in cond.items()}
    g = network(y, levels_[order], other, c)
    moved = reordered_state(f, space, order)
    assert moved is not None
    gap = sqnorm(other, moved[0] - g)
    hold(close(gap, torch.zeros_like(gap), sqnorm(other, g)), "Samples in another order give other outputs.")


def reordered_state(x: State, space: Space, order: Tensor) -> tuple[State, Space] | None:
    """Return states (B, ...), or such parts end to end, with their samples in another order; None if that fails."""
    if not isinstance(space, FlatParts):
        other = reordered(space, order)
        return None if other is None or len(x) != space.batch else (x[order], other)
    parts, spaces = space.divided(x), space.product.parts
    found = {name: reordered_state(part, spaces[name], order) for name, part in parts.items()}
    kept = {name: one for name, one in found.items() if one is not None}
    if kept.keys() != found.keys():
        return None
    other, y = FlatParts.of(Product({n: own for n, (_, own) in kept.items()}), {n: own for n, (own, _) in kept.items()})
    return y, other


def reordered(space: Space, order: Tensor) -> Space | None:
    """Return a space with its samples in another order, reordering fields of shape (B, ...); None if that fails."""
    parts: Any = space
    if not hasattr(parts, "__dataclass_fields__"):
        return None
    named = {field.name: getattr(parts, field.name) for field in fields(parts) if field.init}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor) and value.ndim}
    if any(len(value) != space.batch for value in tensors.values()):
        return None
    changed: Any = replace(parts, **{name: value[order.to(value.device)] for name, value in tensors.items()})
    return changed if torch.equal(changed.dim, space.dim[order.to(space.dim.device)]) else None


def check_gradient(network: nn.Module, space: Space, x: State, cond: Condition | None, seed: int) -> None:
    """Check that every parameter has a finite gradient, and that not all gradients are zero.

    Arguments as in `check_backbone`.
    """
    network.zero_grad(set_to_none=True)
    f = space.project(network(x, levels(space, x), space, cond))
    space.sum(f * space.noise(streams(seed, "gradient", range(space.batch), x.device))).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    left_out = [name for name, gradient in gradients.items() if gradient is None]
    hold(bool(gradients), "The backbone has no parameter to train.")
    hold(not left_out, f"No gradient reaches {', '.join(left_out[:5])}.")
    broken = [name for name, g in gradients.items() if g is not None and not torch.isfinite(g).all()]
    hold(not broken, f"The gradient of {', '.join(broken[:5])} is not finite.")
    hold(any(g is not None and bool(g.any()) for g in gradients.values()), "Every gradient is zero.")
