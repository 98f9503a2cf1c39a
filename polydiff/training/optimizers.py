"""Optimizers and their learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.contract.sections.training import OptimConfig
from polydiff.core.registry import Registry
from polydiff.machine.processes.shards import by_kind, divided, local, norm, placed
from polydiff.support.errors import UserError
from polydiff.training.muon import Muon

OPTIMIZERS: Registry[Callable[[Iterable[nn.Parameter], OptimConfig], torch.optim.Optimizer]] = Registry("optimizer")


@OPTIMIZERS.register("adamw")
def adamw(parameters: Iterable[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, 2019, https://arxiv.org/abs/1711.05101), as one fused kernel."""
    groups = [{"params": kind} for kind in by_kind(parameters)]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True)


@OPTIMIZERS.register("sgd")
def sgd(parameters: Iterable[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum betas[0]."""
    known = list(parameters)
    fused = not any(map(divided, known))  # torch has no fused kernel for divided weights
    return torch.optim.SGD(
        [{"params": kind} for kind in by_kind(known)],
        lr=config.lr,
        momentum=config.betas[0],
        weight_decay=config.weight_decay,
        fused=fused,
    )


@OPTIMIZERS.register("muon")
def muon(parameters: Iterable[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """Muon for matrices and AdamW for all else (`polydiff.training.muon`), at AdamW's learning rates."""
    return Muon(parameters, config.lr, config.betas, config.weight_decay, config.rows)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then constant, a half cosine or a line to 0.

    Arguments:
        config: Peak rate, warm-up and shape.
        step: Optimizer steps done before this one.
        steps: Steps of the whole run.
    """
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    done = min(1.0, max(0.0, (step - config.warmup) / max(steps - config.warmup, 1)))
    shape = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}
    return config.lr * warm * shape[config.decay]


def clip(parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """Scale gradients so that their norm, taken together, is at most `most`, and return the norm before, ()."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    before = norm(gradients)
    torch._foreach_mul_(local(gradients), (most / (before + 1e-6)).clamp(max=1))
    return before


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors, "parameter name/key"."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def moments_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return about how many bytes the state will have: a mean of each gradient, and by AdamW one of its square."""
    return sum(p.nbytes * moments(group) for group in optimizer.param_groups for p in group["params"])


def moments(group: Mapping[str, Any]) -> int:
    """Return how many tensors of a parameter's size are kept of each of a group; 2 of an optimizer unknown here."""
    if "momentum" in group:  # SGD's
        return 1 if group["momentum"] else 0
    return 1 if group.get("matrices") else 2


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned.

    Raises:
        UserError: A tensor is missing, belongs to no parameter, or has another shape or type of numbers.
    """
    by_name = dict(model.named_parameters())
    for path, value in tensors.items():
        name, _, key = path.rpartition("/")
        known = name in by_name and value.shape in (by_name[name].shape, torch.Size([]), torch.Size([1]))
        if not (known and value.is_floating_point()):
            raise UserError(
                f"The checkpoint's optimizer does not fit the network: {path}, {value.dtype} of shape "
                f"{tuple(value.shape)}, belongs to no parameter of it."
            )
        p = by_name[name]
        optimizer.state[p][key] = placed(value, p) if value.shape == p.shape else value.to(p.device)
    check_complete({name: set(optimizer.state.get(p, {})) for name, p in by_name.items()})


def check_complete(kept: Mapping[str, Collection[str]]) -> None:
    """Raise `UserError` if some parameter lacks a tensor that another one has, beside those it has.

    A parameter without a gradient has none at all, and an optimizer may treat two kinds of parameters differently.
    """
    kinds = {frozenset(keys) for keys in kept.values() if keys}
    for name, keys in kept.items():
        fuller = next((kind for kind in kinds if keys and kind > set(keys)), frozenset())
        if fuller:
            raise UserError(f"The checkpoint's optimizer lacks the tensor {name}/{min(fuller - set(keys))}.")
