"""Optimizers: the learning rate's shape, the moving average's closed form, restored states."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from polydiff.config import OptimConfig
from polydiff.optim import OPTIMIZERS, learning_rate, optimizer_tensors, restore_optimizer, update_ema


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def test_the_moving_average_is_its_closed_form() -> None:
    """ema_n = sum_k (1 - d_k) prod_{j > k} d_j w_k + prod_j d_j w_init with d_k = min(d, (1 + k) / (10 + k))."""
    model, decay, n = network(), 0.9, 40
    ema = copy.deepcopy(model)
    history = [torch.cat([p.detach().flatten() for p in model.parameters()])]
    for k in range(n):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.sin(p + k))
        history.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        update_ema(ema, model, k, decay)
    d = [min(decay, (1 + k) / (10 + k)) for k in range(n)]
    weights = [torch.tensor(d).double().prod().item()]
    weights += [(1 - d[k]) * torch.tensor(d[k + 1 :]).double().prod().item() for k in range(n)]
    expected = sum(w * h for w, h in zip(weights, history, strict=True))
    assert sum(weights) == pytest.approx(1)
    assert_close(torch.cat([p.flatten() for p in ema.parameters()]), expected, rtol=1e-6, atol=1e-9)


def test_the_moving_average_takes_buffers_as_they_are() -> None:
    model = network()
    ema = copy.deepcopy(model)
    model(torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    update_ema(ema, model, 0, 0.99)
    assert all(torch.equal(a, b) for a, b in zip(ema.buffers(), model.buffers(), strict=True))


@given(st.integers(1, 50), st.integers(60, 500), st.sampled_from(["constant", "cosine", "linear"]))
def test_learning_rates_rise_to_the_peak_and_then_never_rise(warmup: int, steps: int, decay: str) -> None:
    config = OptimConfig(lr=0.1, warmup=warmup, decay=decay)
    rates = [learning_rate(config, step, steps) for step in range(steps + 1)]
    assert max(rates) == pytest.approx(0.1)
    assert rates[: warmup - 1] == pytest.approx([0.1 * (step + 1) / warmup for step in range(warmup - 1)])
    assert all(a >= b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    assert rates[-1] == pytest.approx(0.1 if decay == "constant" else 0)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_restored_optimizer_goes_on_as_the_saved_one(name: str) -> None:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    config = OptimConfig(name=name, lr=0.01, weight_decay=0.1)
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters(), config)
    for seed in range(3):
        step(model, optimizer, seed)
    twin = copy.deepcopy(model)
    other = OPTIMIZERS[name](twin.parameters(), config)
    restore_optimizer(twin, other, copy.deepcopy(optimizer_tensors(model, optimizer)))
    for m, o in ((model, optimizer), (twin, other)):
        step(m, o, 9)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
