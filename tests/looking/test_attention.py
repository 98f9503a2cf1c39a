"""Tests of `polydiff.looking.attended`, `located` and `capture`: weights, planted attention, no side effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from untrained import untrained

from polydiff.backbones.attention import Attention, CrossAttention, angles
from polydiff.backbones.config import DiTConfig, UNetConfig
from polydiff.backbones.dit_blocks import Places, SelfAttention
from polydiff.backbones.embed import Context
from polydiff.contract.backbone import AttentionMap
from polydiff.looking.attended import LEARNED, attention, token_names
from polydiff.looking.capture import attending_layers, attention_maps
from polydiff.looking.located import located, share_inside
from polydiff.looking.page import look
from polydiff.looking.subject import LEVELS, Subject
from polydiff.model.model import Model

SHAPES: dict[str, Any] = {
    "data.name": "shapes", "data.things": [1, 2], "backbone.channels": 16, "backbone.text.width": 16, "device": "cpu",
    "sample.steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module", params=["unet", "dit"])
def shapes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    own = {**SHAPES, "backbone.name": request.param}
    if request.param == "dit":
        del own["backbone.channels"]
        own |= {"backbone.width": 32, "backbone.depth": 2, "backbone.heads": 2}
    return Model.load(untrained(tmp_path_factory.mktemp(request.param) / "run", "image", **own))


def random_layer(layer: nn.Module) -> Any:
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer.eval()


def test_recomputed_weights_times_values_are_what_the_fused_kernel_returns() -> None:
    config = UNetConfig(heads=2, group_size=8, positions="rotary")
    h, tokens = torch.randn(2, 16, 3, 4), torch.randn(2, 5, 8)
    given = torch.tensor([[True] * 5, [True, True, False, False, True]])
    layer: Any = random_layer(Attention(16, config))
    _, _, v = layer.projected(h)
    mixed = (layer.attention_map(h).weights @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(h + layer.out(mixed).mT.unflatten(2, (3, 4)), layer(h))
    cross: Any = random_layer(CrossAttention(16, 8, config))
    context = Context(torch.zeros(2, 8), tokens, given)
    found = cross.attention_map(h, context)
    mixed = (found.weights @ cross.projected(h, context)[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(h + cross.out(mixed).mT.unflatten(2, (3, 4)), cross(h, context))
    assert (found.sizes, found.tokens) == ((3, 4), 5)
    assert bool((found.weights[1, :, :, 2:4] == 0).all())
    dit: Any = random_layer(SelfAttention(DiTConfig(width=16, heads=2, depth=1)))
    sequence, first = torch.randn(2, 3 + 12, 16), 3
    angle = nn.functional.pad(angles((3, 4), 8, torch.device("cpu")), (0, 0, first, 0))
    places = Places(angle, sizes=(3, 4))
    own = dit.attention_map(sequence, places)
    mixed = (own.weights @ dit.projected(sequence, places)[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(dit.out(mixed), dit(sequence, places)[:, first:])
    assert (own.sizes, own.tokens) == ((3, 4), 3)


def test_samples_are_the_same_bits_off_and_on_and_no_hook_remains(shapes: Model) -> None:
    off = torch.stack(list(shapes.sample(2, steps=2)))
    with attention_maps(shapes.denoiser) as found:
        on = torch.stack(list(shapes.sample(2, steps=2)))
    assert found
    attention(Subject(shapes), Subject(shapes).examples())
    with pytest.raises(ValueError, match="inside"), attention_maps(shapes.denoiser):
        raise ValueError("inside")
    after = torch.stack(list(shapes.sample(2, steps=2)))
    assert torch.equal(off, on)
    assert torch.equal(off, after)
    assert [name for name, layer in shapes.denoiser.named_modules() if layer._forward_hooks] == []


def test_weights_to_tokens_and_places_sum_to_one_at_every_level_and_layer(shapes: Model) -> None:
    subject = Subject(shapes)
    found = attention(subject, subject.examples())
    assert found.to_tokens.keys() | found.to_places.keys() == attending_layers(shapes.denoiser).keys()
    for name in found.to_tokens.keys() - found.to_places.keys():  # cross-attention
        sums = found.to_tokens[name].sum(2)
        torch.testing.assert_close(sums, torch.ones_like(sums))
    for name in found.to_places.keys() - found.to_tokens.keys():
        torch.testing.assert_close(found.to_places[name].flatten(2).sum(2), torch.ones(LEVELS, 4))
    for name, where in found.origin.items():
        assert where.flatten(1).sum(1).tolist() == [1.0] * 4, name


def test_tokens_have_the_words_of_the_captions(shapes: Model) -> None:
    batch = Subject(shapes).examples()
    assert batch.cond is not None
    captions = [row["text"].split() for row in shapes.domain.describe(batch.cond)]
    names = token_names(shapes.domain, batch.cond, 4, 1 + batch.cond["text"].shape[1])
    assert [[name for name in row if name] for row in names] == [[LEARNED, *words] for words in captions]
    assert token_names(shapes.domain, None, 1, 3) == [[LEARNED, "token 1", "token 2"]]


class Planted(nn.Module):
    """A layer whose weights to a word are a given share inside the thing that it names; the network is as before."""

    def __init__(self, network: nn.Module, maps: Tensor) -> None:
        super().__init__()
        self.network, self.maps = network, maps
        self.schedule, self.sigma_data = network.schedule, network.sigma_data

    def with_precision(self, precision: str) -> Planted:
        return self

    def forward(self, x: Tensor, sigma: Tensor, space: Any, cond: Any = None) -> Tensor:
        return x

    def attention_map(self, *inputs: Any) -> AttentionMap:
        t, *sizes = self.maps.shape[1:]
        return AttentionMap(self.maps.flatten(2).mT[:, None], tuple(sizes), t)


@pytest.mark.parametrize("share", [1.0, 0.5, None])
def test_planted_attention_is_found_inside_the_things(shapes: Model, share: float | None) -> None:
    """A word's map with so much of its weight inside the thing that it names; None: even weights, so 1 x the area."""
    n = 6
    batch = shapes.domain.batch("test", range(n), [torch.Generator()] * n)
    assert batch.cond is not None
    count = 1 + batch.cond["text"].shape[1]
    names = token_names(shapes.domain, batch.cond, n, count)
    places: Any = shapes.domain
    masks = places.word_places("test", range(n))
    maps = torch.ones(n, count, 32, 32)
    for b, one in enumerate(masks):
        for word, mask in one["colour"].items():
            if share is not None:
                inside = share * mask / mask.sum() + (1 - share) * ~mask / (~mask).sum()
                maps[b, names[b].index(word)] = inside
    model = Model(shapes.config, shapes.domain, Planted(shapes.denoiser, maps))
    found = located(Subject(model), n)
    inside, times = found.overall["colour"]
    area = sum(float(m.float().mean()) for one in masks for m in one["colour"].values()) / found.words["colour"]
    expected = area if share is None else share
    assert inside == pytest.approx(expected, abs=1e-5)
    assert times == pytest.approx(expected / area, rel=1e-4)
    (by_layer,) = found.share["colour"].values()
    torch.testing.assert_close(
        by_layer.double(), torch.full((LEVELS,), expected, dtype=torch.float64), rtol=0, atol=1e-5
    )


def test_masks_are_where_the_picture_has_the_colour(shapes: Model) -> None:
    domain: Any = shapes.domain
    pictures = domain.examples("test", 8)
    split = domain.source.splits["test"]
    places = split.spread(8)
    for picture, one in zip(pictures, domain.word_places("test", places), strict=True):
        union = (
            torch.stack(list(one["colour"].values())).any(0) if one["colour"] else torch.zeros(32, 32, dtype=torch.bool)
        )
        ground = picture[:, 0, 0].float()[:, None, None]
        painted = (picture.float() - ground).abs().amax(0) > 60
        assert bool(painted[union].float().mean() > 0.95)


def test_the_share_inside_a_mask_is_that_of_the_weights_also_on_a_coarser_grid() -> None:
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:2, :2] = True
    weights = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    assert share_inside(weights, mask) == (0.75, 0.25)


def test_a_network_without_attention_is_said_to_have_none(tmp_path: Path) -> None:
    own = {"backbone.channels": 16, "backbone.blocks": 1, "backbone.mult": [2], "backbone.attention": []}
    run = untrained(tmp_path / "run", "image", **own)
    found = look(Model.load(run), only=["attention"])
    assert [one.title for one in found.missing] == ["Where the network looks"]
    assert "unet has no layer that shows its attention (`Attends`) or its messages" in found.missing[0].reason
