"""Optimizers: the learning rate's shape, restored states."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optimizer_cases import network
from torch import nn

from polydiff.contract.sections.training import OptimConfig
from polydiff.training.optimizers import OPTIMIZERS, learning_rate, optimizer_tensors, restore_optimizer


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
