"""Learned codecs: their scale, and codes as a function of nothing but the example."""

from __future__ import annotations

import pytest
import torch
from stage_cases import trained_codec, trained_on_codes

import polydiff
from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.encode.codes import CodeSpace
from polydiff.stages.codec import LearnedCodec
from polydiff.stages.through import Through


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> polydiff.Model:
    folder = tmp_path_factory.mktemp("codes")
    codec = trained_codec("image", folder / "ae", **{"train.steps": 60})
    return polydiff.load(trained_on_codes("image", folder / "ldm", codec))


def test_codes_of_held_out_examples_have_unit_spread_in_each_channel(model: polydiff.Model) -> None:
    n = model.domain.size("test")
    z = model.domain.batch("test", range(n), streams(0, "augment", range(n))).x
    spread = z.transpose(0, 1).flatten(1)
    torch.testing.assert_close(spread.mean(1), torch.zeros(len(spread)), atol=0.06, rtol=0)
    torch.testing.assert_close(spread.std(1), torch.ones(len(spread)), atol=0.06, rtol=0)


def test_decoding_undoes_the_scale_of_encoding(model: polydiff.Model) -> None:
    domain = model.domain
    assert isinstance(domain, Through)
    inner = domain.__wrapped__.batch("test", range(4), streams(0, "augment", range(4)))
    codec, bare = domain.codec, LearnedCodec(domain.codec.encoder, domain.codec.part)
    (z, space), (raw, _) = (one.encode(inner.x, inner.space, None) for one in (codec, bare))
    assert codec.scale is not None
    mean, std = (torch.tensor(v)[:, None, None] for v in (codec.scale.mean, codec.scale.std))
    torch.testing.assert_close(z, (raw - mean) / std)
    torch.testing.assert_close(codec.decode(z, space)[0], bare.decode(raw, space)[0], atol=1e-5, rtol=1e-5)


def test_a_code_depends_on_its_example_and_its_generator_alone(model: polydiff.Model) -> None:
    whole = model.domain.batch("train", range(6), streams(0, "augment", range(6))).x
    part = model.domain.batch("train", [4], streams(0, "augment", [4])).x
    torch.testing.assert_close(part[0], whole[4], atol=1e-5, rtol=1e-5)
    other = model.domain.batch("train", [4], streams(1, "augment", [4])).x
    assert not torch.equal(part, other)  # another draw of the posterior


def test_a_space_of_codes_keeps_that_of_the_states() -> None:
    space = CodeSpace(2, (4, 3, 3), states=Euclidean(2, (1, 12, 12)))
    assert space.repeat(2).states == Euclidean(4, (1, 12, 12))
    assert space.to("cpu") == space
    assert space.repeat(2).batch == 4
