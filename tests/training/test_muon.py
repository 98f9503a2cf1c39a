"""Tests of `polydiff.training.muon`."""

from __future__ import annotations

import pytest
import torch
from optimizer_cases import network
from torch import nn

from polydiff.config.merge import resolve
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.streams import stream
from polydiff.stages.open import open_domain
from polydiff.training.muon import POLYNOMIAL, SMALLEST, Muon, is_matrix, orthogonal
from polydiff.training.optimizers import OPTIMIZERS
from polydiff.training.steps import begin


def test_singular_values_are_made_alike_and_directions_kept() -> None:
    g = torch.Generator().manual_seed(0)
    for shape in ((12, 12), (10, 40), (40, 10)):
        u = torch.randn(3, *shape, generator=g, dtype=torch.float64)
        found = orthogonal(u)
        left, _, right = torch.linalg.svd(u, full_matrices=False)
        inner = left.mT @ found @ right.mT  # diagonal, where singular vectors are kept
        values = inner.diagonal(dim1=-2, dim2=-1)
        assert float((inner - torch.diag_embed(values)).abs().max()) < 1e-9
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.25
    assert float(orthogonal(torch.zeros(1, 9, 9)).abs().max()) == 0


def test_muon_moves_matrices_as_torchs_and_all_else_as_adamw() -> None:
    ours, theirs = network().float(), network().float()
    mine = OPTIMIZERS["muon"](ours.parameters(), OptimConfig(lr=0.01, weight_decay=0.1))
    matrices = [p for p in theirs.parameters() if is_matrix(p)]
    rest = [p for p in theirs.parameters() if not is_matrix(p)]
    assert [tuple(p.shape) for p in matrices] == [(12, 12)]
    others = [
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    ]
    g = torch.Generator().manual_seed(1)
    for _ in range(4):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=g)
            b.grad = a.grad.clone()
        for optimizer in (mine, *others):
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-3 if is_matrix(a) else 1e-6)  # theirs is in bf16


def test_weights_whose_gradients_come_later_move_as_by_adamw() -> None:
    ours, theirs = (nn.ParameterList([torch.ones(3), torch.ones(4)]) for _ in range(2))
    mine = OPTIMIZERS["muon"](ours.parameters(), OptimConfig(lr=0.01))
    other = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0)
    g = torch.Generator().manual_seed(1)
    for i in range(8):
        for model, optimizer in ((ours, mine), (theirs, other)):
            for late, p in enumerate(model.parameters()):
                p.grad = torch.randn(p.shape, generator=g.clone_state()) if i >= 5 * late else None
            optimizer.step()
        torch.randn(1, generator=g)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_kernels_of_convolutions_are_matrices() -> None:
    conv = nn.Conv2d(16, 16, 3, bias=False)
    before = conv.weight.detach().clone()
    optimizer = OPTIMIZERS["muon"](conv.parameters(), OptimConfig(lr=0.01))
    conv(torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    optimizer.step()
    moved = (conv.weight.detach() - before).flatten(1)
    values = torch.linalg.svdvals(moved) / (0.2 * 0.01 * 144**0.5)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("size", [(9, 12), (12, 9)])
def test_matrices_may_have_any_leading_axes(lead: tuple[int, ...], size: tuple[int, int]) -> None:
    u = torch.randn(*lead, *size, generator=stream(0, "u"))
    found = orthogonal(u)
    assert found.shape == u.shape
    for one, matrix in zip(found.reshape(-1, *size), u.reshape(-1, *size), strict=True):
        torch.testing.assert_close(one, orthogonal(matrix[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 20), (16, 25), (64, 576), (576, 64), (40, 40)])
def test_the_steps_on_the_gram_matrix_are_those_on_the_matrix(size: tuple[int, int]) -> None:
    """Singular values from 1 to 1e-6, in float32; both sides of where the Gram matrix takes fewer products."""
    g = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(size, generator=g, dtype=torch.float64), full_matrices=False)
    u = left * torch.logspace(0, -6, min(size), dtype=torch.float64) @ right
    x = u / u.norm()
    a, b, c = POLYNOMIAL
    for _ in range(5):
        square = x @ x.mT if size[0] <= size[1] else x.mT @ x
        polynomial = b * square + c * square @ square
        x = a * x + (polynomial @ x if size[0] <= size[1] else x @ polynomial)
    torch.testing.assert_close(orthogonal(u), x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(orthogonal(u.float()), x.float(), rtol=1e-3, atol=5e-4)


@pytest.mark.parametrize("shape", [(50, 30), (48, 4, 5), (20, 60)])
def test_groups_of_rows_move_as_matrices_of_their_own(shape: tuple[int, ...]) -> None:
    """Of 50 rows, at most 20 together are three groups of 17, 17 and 16."""
    g = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(*shape, generator=g, dtype=torch.float64) for _ in range(2))
    together = nn.Parameter(start.clone())
    size = -(-shape[0] // -(-shape[0] // 20))
    apart = [nn.Parameter(one.clone()) for one in start.split(size)]
    together.grad = gradient.clone()
    for one, part in zip(apart, gradient.split(size), strict=True):
        one.grad = part.clone()
    Muon([together], 0.01, rows=20).step()
    for one in apart:  # the rate as of the largest group
        rate = 0.01 * (max(size, start[0].numel()) / max(one.shape[0], start[0].numel())) ** 0.5
        Muon([one], rate).step()
    torch.testing.assert_close(together.detach(), torch.cat(apart).detach(), rtol=1e-9, atol=1e-9)


def test_layers_that_compute_a_networks_output_move_as_by_adamw() -> None:
    values = {"backbone.channels": 16, "backbone.spectral_channels": 16, "data.n_train": 16, "data.n_test": 4}
    config = resolve("audio", values=values).config
    training = begin(config, open_domain(config))
    names = {name.rpartition("backbone.")[2]: p for name, p in training.module.named_parameters()}
    kinds = {group["matrices"]: group["params"] for group in training.optimizer.param_groups}
    for name in ("out.weight", "spectral.out.weight"):
        assert min(names[name].shape[0], names[name].shape[1:].numel()) > SMALLEST
        assert any(p is names[name] for p in kinds[False])
    assert any(p is names["spectral.stem.weight"] for p in kinds[True])


def test_weights_that_muon_moved_before_are_adamws_from_then_on() -> None:
    """A checkpoint from before has a momentum of such weights; the next one has the same tensors as all others."""
    p = nn.Parameter(torch.ones(12, 12))
    p.computes_output = True  # type: ignore[attr-defined]
    other = nn.Parameter(torch.ones(3))
    p.grad, other.grad = torch.ones(12, 12), torch.ones(3)
    optimizer = Muon([p, other], 0.01)
    optimizer.state[p]["momentum"] = torch.ones(12, 12)
    optimizer.step()
    assert set(optimizer.state[p]) == set(optimizer.state[other]) == {"mean", "square", "step"}
    torch.testing.assert_close(p.detach(), torch.full((12, 12), 0.99))
