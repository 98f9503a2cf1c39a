"""task=inpaint of texts: known letters stay open, in training and in sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import polydiff
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser, process_of
from polydiff.core.conditions import KNOWN
from polydiff.core.objective import Moment
from polydiff.core.streams import streams
from polydiff.domains.sequence.domain import SequenceDomain
from polydiff.model.model import Model
from polydiff.model.restore import paired, restore
from polydiff.support.errors import UserError

SMALL = {
    "task": "inpaint", "data.largest": 9, "backbone.width": 16, "backbone.depth": 1, "backbone.heads": 1,
    "sample.steps": 3, "device": "cpu",
}  # fmt: skip


def made(**keys: Any) -> Model:
    config = resolve("sequence", values={**SMALL, **keys}).config
    domain = SequenceDomain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())


@pytest.fixture(scope="module", params=["masked", "gaussian"])
def model(request: pytest.FixtureRequest) -> Model:
    return made(process=request.param)


def test_known_letters_are_kept_and_held_out_texts_are_judged(model: Model) -> None:
    batch = model.domain.batch("test", range(6), streams(0, "task", range(6)))
    value = batch.cond[KNOWN]
    here = value >= 0 if value.dtype == torch.int64 else ~value[:, 0].isnan()
    assert 0 < int(here.sum()) < here.numel()
    whole = model.domain.alphabet.encode(list(restore(model, batch).examples), here.shape[1])
    true = model.domain.alphabet.encode(model.domain.decode(batch.x, batch.space), here.shape[1])
    for own, other, kept in zip(whole, true, here, strict=True):
        end = int((own == own[-1]).int().argmax()) if own[-1] == other[-1] else len(own)  # a text ends at its first end
        assert torch.equal(own[:end][kept[:end]], other[:end][kept[:end]])
    found = paired(model.request(), 4).metrics
    assert found["data"]["same_text"].value == 1
    assert found["noise"]["same_text"].value == 0


def test_the_network_sees_known_letters_at_every_level() -> None:
    model = made(process="masked")
    batch = model.domain.batch("train", range(8), streams(0, "augment", range(8)))
    seen: list[torch.Tensor] = []
    forward = model.denoiser.backbone.forward
    model.denoiser.backbone.forward = lambda x, *rest: (seen.append(x), forward(x, *rest))[1]
    objective = process_of(model.config).objective(model.config)
    u = torch.full((8,), 0.999, dtype=torch.float64)
    objective(model.denoiser, batch, u, streams(0, "noise", range(8)), Moment(0, 1, model.denoiser))
    value, mask = batch.cond[KNOWN], model.domain.alphabet.size
    assert torch.equal(seen[0][value >= 0], value[value >= 0])
    assert float((seen[0][value < 0] == mask).double().mean()) > 0.95


def test_inpainting_needs_no_held_values_beside_the_condition() -> None:
    """`restore`, which knows the condition alone, draws what `inpaint` draws, which holds the known letters."""
    model = made(process="masked")
    batch = model.domain.batch("test", range(4), streams(0, "task", range(4)))
    for i in range(4):
        one = model.domain.batch("test", [i], streams(0, "task", [i]))
        mask = one.cond[KNOWN] >= 0
        kept = polydiff.inpaint(model, one, mask, first=i, guidance=1.0).examples
        assert kept == restore(model, one, first=i, guidance=1.0).examples
    assert len(batch.x) == 4


def test_letters_that_are_replaced_cannot_be_known_in_training() -> None:
    with pytest.raises(UserError, match="process=uniform does not show"):
        made(process="uniform")
