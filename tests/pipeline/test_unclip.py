"""Prior, decoder and upsampler in a row: the preset dalle2, in a few steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import polydiff
from polydiff.domains.image import SPEC
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.request import stage_seed
from polydiff.pipeline.train import train_pipeline

FEW: dict[str, Any] = {
    "train.steps": 4,
    "train.batch_size": 8,
    "train.sample_every": 4,
    "sample.steps": 3,
    "backbone.channels": 16,
    "backbone.blocks": 1,
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    preset = SPEC.pipelines["dalle2"]
    values = {"domain": "image", **preset, "common": {**preset["common"], **FEW}}
    found = polydiff.load(train_pipeline(values, tmp_path_factory.mktemp("unclip") / "out", progress=False))
    assert isinstance(found, Chain)
    return found


def test_embeddings_then_small_images_then_large_ones(chain: Chain) -> None:
    assert (list(chain.others), chain.follows) == (["pair"], {"decoder": "prior", "up": "decoder"})
    made = chain.request().made(range(3), 0)
    assert [tuple(made[name].examples[0].shape) for name in chain.stages] == [(64,), (3, 16, 16), (3, 32, 32)]
    words = [made[name].conditions for name in chain.stages]
    assert [row["text"] for row in words[0]] == [row["text"] for row in words[2]]
    assert list(chain.sample(1).cond or {}) == ["text"]


def test_the_decoder_is_conditioned_on_what_the_prior_drew_at_the_scale_of_training(chain: Chain) -> None:
    made = chain.request().made(range(3), 0)
    given = (made["decoder"].cond or {})["embedding"].reshape(3, -1)
    drawn = torch.stack(list(made["prior"].examples))
    torch.testing.assert_close(given, drawn * given.shape[1] ** 0.5, atol=1e-4, rtol=1e-4)


def test_the_prior_keeps_the_embedding_nearer_to_its_text(chain: Chain) -> None:
    best = chain.request().made(range(6), 0)["prior"]
    first = chain.stages["prior"].request().under({"text": (best.cond or {})["text"]})
    scores: Any = chain.stages["prior"].domain
    one = first.joined(range(6), stage_seed(0, "prior"))
    assert (scores.scores(best) >= scores.scores(one)).all()
    assert (scores.scores(best) > scores.scores(one)).any()
