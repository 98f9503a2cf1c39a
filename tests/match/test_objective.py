"""The contrastive loss against closed forms."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from polydiff.core.conditions import absent
from polydiff.match.module import COLDEST, Pair
from polydiff.match.objective import contrast, have_text, same_texts

NOTHING_EQUAL = torch.zeros(4, 4, dtype=torch.bool)
ALL = torch.ones(4, dtype=torch.bool)


def test_it_is_the_mean_cross_entropy_of_rows_and_columns() -> None:
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    right = torch.arange(4)
    both = (
        functional.cross_entropy(logits, right, reduction="none"),
        functional.cross_entropy(logits.T, right, reduction="none"),
    )
    torch.testing.assert_close(contrast(logits, NOTHING_EQUAL, ALL), (both[0] + both[1]) / 2)


def test_without_knowledge_it_is_the_log_of_the_batch() -> None:
    torch.testing.assert_close(contrast(torch.zeros(4, 4), NOTHING_EQUAL, ALL), torch.full((4,), math.log(4)))


def test_an_equal_text_is_no_wrong_answer() -> None:
    tokens = torch.tensor([[1, 2, -1], [3, -1, -1], [1, 2, -1], [4, 4, 4]])
    same = same_texts({"text": tokens}, 4)
    assert same.tolist() == [[i == j or {i, j} == {0, 2} for j in range(4)] for i in range(4)]
    logits = torch.zeros(4, 4)
    losses = contrast(logits, same, ALL)
    torch.testing.assert_close(losses, torch.tensor([math.log(3), math.log(4), math.log(3), math.log(4)]))
    logits[0, 2] = logits[2, 0] = 50.0
    torch.testing.assert_close(contrast(logits, same, ALL), losses)


def test_an_example_without_text_has_no_loss_and_is_no_answer() -> None:
    tokens = torch.tensor([[1], [2], [3], [-1]])
    there = have_text({"text": tokens}, 4)
    assert there.tolist() == [True, True, True, False]
    logits = torch.randn(4, 4, requires_grad=True)
    losses = contrast(logits, same_texts({"text": tokens}, 4), there)
    torch.testing.assert_close(losses[:3], contrast(logits[:3, :3], NOTHING_EQUAL[:3, :3], ALL[:3]))
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert losses[3] == 0
    assert not have_text({"text": absent(tokens)}, 4).any()


def test_texts_are_what_the_network_reads() -> None:
    network = nn.Identity()
    network.names = ("text",)
    cond = {"text": torch.tensor([[1]]), "_augment": torch.randn(1, 9), "label": torch.tensor([3])}
    assert list(Pair(network).texts(cond)) == ["text"]


def test_the_temperature_stays_above_the_coldest() -> None:
    pair = Pair(nn.Identity())
    assert pair.scale.item() == 1 / 0.07 or abs(pair.scale.item() - 1 / 0.07) < 1e-4
    with torch.no_grad():
        pair.log_scale.fill_(50.0)
    assert abs(pair.scale.item() - 1 / COLDEST) < 1e-3
