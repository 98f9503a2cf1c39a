"""Stages draw one after another, each from its own streams, so that a sample depends on its seed and number alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_cases import Follower, followers, images, stacked

from polydiff.contract.domain import Samples
from polydiff.gallery.writer import draw
from polydiff.model.model import Model
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.evaluate import evaluate
from polydiff.pipeline.request import stage_seed
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def base() -> Model:
    return images()


@pytest.fixture(scope="module")
def up() -> Model:
    return followers(seed=1)


@pytest.fixture
def chain(base: Model, up: Model) -> Chain:
    return Chain({"base": base, "up": up})


def test_the_stage_that_fits_is_followed(base: Model, up: Model) -> None:
    assert Chain({"base": base, "up": up}).follows == {"up": "base"}
    assert Chain({"base": base, "up": up, "up-2": up}).follows == {"up": "base", "up-2": "up"}
    assert Chain({"up": up}).follows == {}
    with pytest.raises(UserError, match=r"No later stage takes .* of stage base\. up cannot follow base: too small"):
        Chain({"base": base, "up": followers("too small")})
    with pytest.raises(UserError, match=r"Stage up fits the examples of several earlier stages, base, other"):
        Chain({"base": base, "other": base, "up": up})
    with pytest.raises(UserError, match=r"of stage base\. other cannot follow base: "):
        Chain({"base": base, "other": base})
    enlarges = images(task="upsample")
    with pytest.raises(UserError, match=r"Stage up needs the examples of an earlier stage\. None comes before it"):
        Chain({"up": enlarges})
    with pytest.raises(UserError, match=r"Stage up needs .*up cannot follow base: "):
        Chain({"base": base, "up": enlarges})
    with pytest.raises(UserError, match=r"No stage generates samples"):
        Chain({})


def test_a_sample_depends_on_seed_and_number_alone(chain: Chain) -> None:
    five, again = stacked(chain.sample(5, seed=3)).float(), stacked(chain.sample(5, seed=3, batch_size=2)).float()
    assert (five - again).abs().max() <= 1  # of 255, by rounding
    assert torch.equal(
        stacked(chain.sample(3, seed=3, batch_size=1)), stacked(chain.sample(5, seed=3, batch_size=1))[:3]
    )
    parts = list(chain.stream(3, first=2, seed=3, batch_size=1))
    assert torch.equal(stacked(Samples.join(parts)), stacked(chain.sample(5, seed=3, batch_size=1))[2:])
    assert not torch.equal(five, stacked(chain.sample(5, seed=4)).float())


def test_a_stage_alone_draws_the_same_bits_as_in_the_pipeline(chain: Chain, base: Model, up: Model) -> None:
    made = chain.request(level=None).made(range(4), 7)
    first = base.sample(4, seed=stage_seed(7, "base"))
    assert torch.equal(stacked(first), stacked(made["base"]))
    cond = {"label": first.cond["label"], "echo": made["up"].cond["echo"]}  # type: ignore[index]
    own = up.request().under(cond).joined(range(4), stage_seed(7, "up"))
    assert torch.equal(stacked(own), stacked(made["up"]))
    other = up.request().under({**cond, "echo": cond["echo"] + 5}).joined(range(4), stage_seed(7, "up"))
    assert not torch.equal(stacked(other), stacked(own))  # the condition has an effect, so the test has one


def test_stages_draw_from_different_streams(base: Model) -> None:
    seeds = {stage_seed(seed, name) for seed in (0, 1) for name in ("base", "up")}
    assert len(seeds) == 4
    same = followers(seed=0)
    made = Chain({"base": base, "up": same}).request().made(range(2), 0)
    alone = same.request().under(made["up"].cond).joined(range(2), stage_seed(0, "base"))
    assert not torch.equal(stacked(alone), stacked(made["up"]))


def test_a_condition_that_was_drawn_holds_for_all_stages(chain: Chain) -> None:
    made = chain.request().made(range(6), 1)
    assert torch.equal(made["base"].cond["label"], made["up"].cond["label"])  # type: ignore[index]
    given = {"label": torch.tensor([4, 5, 6])}
    made = chain.request().under(given).made(range(1, 3), 1)
    assert made["base"].cond["label"].tolist() == made["up"].cond["label"].tolist() == [5, 6]  # type: ignore[index]


def test_a_requested_condition_goes_to_every_stage_that_has_it(chain: Chain) -> None:
    assert chain.sample(3, cond={"label": 7}).conditions == [{"label": "7"}] * 3
    made = chain.request({"label": 7}).made(range(2), 0)
    assert made["base"].cond["label"].tolist() == [7, 7]  # type: ignore[index]
    with pytest.raises(UserError, match=r"Unknown condition 'lable'. Did you mean 'label'"):
        chain.request({"lable": 7})
    with pytest.raises(UserError, match=r"Unknown condition 'echo'"):
        chain.request({"echo": 7})


def test_the_level_reaches_the_stage_that_follows_and_its_noise_is_that_of_the_sample(chain: Chain, up: Model) -> None:
    one = chain.request(stages={"up": {"level": 0.5}})
    noisy = one.made(range(4), 0)["up"].cond["echo"]  # type: ignore[index]
    clean = chain.request().made(range(4), 0)["up"].cond["echo"]  # type: ignore[index]
    assert (noisy - clean).abs().min() > 1e-4
    later = one.made(range(2, 4), 0)["up"].cond["echo"]  # type: ignore[index]
    assert torch.allclose(later, noisy[2:], atol=1e-2)
    domain: Any = up.domain
    assert domain.levels[-1] == 0.5


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"base": {"level": 0.1}}, "Stage base follows no other, so level=0.1 has no effect"),
        ({"up": {"level": -1}}, "Stage up: level=-1 should be a number of at least 0"),
        ({"up": {"steps": 0}}, "Stage up: steps"),
        ({"up": {"keep": 2, "of": 3}}, "Stage up: keep=2 should be 1"),
        ({"up": {"of": 0}}, "Stage up: of must be a whole number"),
        ({"base": {"of": 2}}, "Stage base: of=2 keeps the draw with the highest score, but nothing scores"),
        ({"bsae": {}}, "Unknown stage that generates 'bsae'. Did you mean 'base'"),
        ({"up": {"stps": 3}}, r"Stage up: Unknown key 'stps'. Did you mean 'steps'"),
        (["up"], r"stages should be names with values"),
        ({"up": 3}, r"stages\['up'\] should be names with values"),
        ({"up": {"level": "high"}}, "Stage up: level='high' should be a number"),
    ],
)
def test_keys_of_stages_are_checked_before_anything_is_drawn(chain: Chain, stages: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        chain.request(stages=stages)


def test_numbers_of_numpy_are_numbers_and_none_is_no_change(chain: Chain) -> None:
    request = chain.request(stages={"up": {"level": np.float32(0.5), "steps": None, "of": None}})
    assert (request.parts[1].level, request.parts[1].of) == (0.5, 1)
    assert request.parts[1].request.how == chain.request().parts[1].request.how


def test_what_a_pipeline_does_not_take_is_an_error(chain: Chain) -> None:
    with pytest.raises(UserError, match="A pair judges runs, not pipelines"):
        evaluate(chain, 4, pair=chain.stages["base"])
    with pytest.raises(UserError, match="cond should be names with values"):
        chain.request(["label"])  # type: ignore[arg-type]


class Bright(Follower):
    """A domain that scores by brightness, as a pair scores by agreement."""

    def scores(self, samples: Samples) -> torch.Tensor:
        return torch.stack([image.float().mean() for image in samples.examples])


def test_of_several_draws_the_one_with_the_highest_score_is_kept(base: Model, up: Model) -> None:
    domain: Any = Bright(base.domain)
    scored = Model(up.config, domain, up.denoiser)
    chain = Chain({"base": base, "up": scored}, sampling={"up": {"keep": 1, "of": 3}})
    assert chain.request().evaluations() == chain.request(stages={"up": {"of": 1}}).evaluations() + 2 * 6  # type: ignore[operator]
    best, first = chain.sample(6), chain.sample(6, stages={"up": {"of": 1}})
    brightness = domain.scores(best), domain.scores(first)
    assert (brightness[0] >= brightness[1]).all()
    assert (brightness[0] > brightness[1]).any()
    assert best.conditions == first.conditions
    assert torch.equal(stacked(best.head(2)), stacked(chain.sample(6).head(2)))


def test_sampling_of_all_stages_and_of_one(chain: Chain) -> None:
    request = chain.request(steps=5, stages={"up": {"steps": 2}}, guidance=1)
    assert [part.request.how.steps for part in request.parts] == [5, 2]
    assert request.evaluations() == sum(part.request.evaluations() or 0 for part in request.parts)
    assert request.section()["sample"]["up"]["follows"] == "base"


def test_a_drawing_that_was_stopped_writes_the_same_files(chain: Chain, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    draw(chain, tmp_path / "whole", 6, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        draw(chain, tmp_path / "cut", 6, batch_size=2, progress=stop)
    with pytest.raises(UserError, match="was started with sample="):
        draw(chain, tmp_path / "cut", 6, batch_size=2, stages={"up": {"level": 0.5}})
    draw(chain, tmp_path / "cut", 6, batch_size=2)
    files = [sorted((tmp_path / name).iterdir()) for name in ("whole", "cut")]
    assert next([file.name for file in each] for each in files) == [file.name for file in files[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))
    assert '"base": {' in (tmp_path / "whole" / "manifest.json").read_text()
