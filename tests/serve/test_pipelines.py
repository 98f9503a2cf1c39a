"""Pipelines in the worker: what is said of one, and what it draws."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from pipeline_cases import followers, images

from polydiff.pipeline.chain import Chain
from polydiff.serve.answers import ModelCard
from polydiff.serve.checks import WrongField, check
from polydiff.serve.limits import Limits
from polydiff.serve.schema import JOB
from polydiff.serve.worker.cards import card
from polydiff.serve.worker.draw import perform
from polydiff.serve.worker.meter import Meter
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain({"base": images(), "up": followers()})


def order(**request: Any) -> dict[str, Any]:
    """A request as the worker receives it."""
    found = JOB.validate_python(request)
    values = found.model_dump()
    if "stages" in values:
        values["stages"] = {name: how.changes() for name, how in found.stages.items()}  # type: ignore[union-attr]
    return {**values, "sampling": found.sampling.changes()} if "sampling" in values else values  # type: ignore[union-attr]


def meter() -> Meter:
    return Meter(lambda share: None, threading.Event())


def test_a_card_of_a_pipeline_has_the_conditions_of_its_stages(chain: Chain) -> None:
    found = ModelCard.model_validate(card("pair", chain))
    base, up = found.stages
    assert [base.name, up.name, base.follows, up.follows] == ["base", "up", "", "base"]
    assert (base.defaults.steps, base.guided, base.level) == (3, True, None)
    assert "heun" in base.samplers
    assert [one.name for one in found.conditions] == ["label"]  # `echo` comes from the base
    assert found.closed == ["echo"]
    assert found.actions == ["sample"]
    assert found.samplers == []


def test_a_pipeline_draws_what_it_draws_in_python(chain: Chain, tmp_path: Path) -> None:
    perform(order(kind="sample", n=3, seed=2, cond={"label": 4}), chain, tmp_path / "a", meter(), Limits())
    chain.sample(3, seed=2, cond={"label": 4}).save(tmp_path / "b")
    names = [one["file"] for one in json.loads((tmp_path / "a" / "manifest.json").read_text())["samples"]]
    assert len(names) == 3
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_stages_draw_as_requested(chain: Chain, tmp_path: Path) -> None:
    own = {"up": {"steps": 5, "sampler": "ddim"}}
    perform(order(kind="sample", sampling={"steps": 4}, stages=own), chain, tmp_path / "a", meter(), Limits())
    chain.sample(1, steps=4, stages=own).save(tmp_path / "b")
    a, b = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in "ab")
    assert [a["sample"][name]["steps"] for name in ("base", "up")] == [4, 5]
    assert a["sample"]["up"]["sampler"] == "ddim"
    file = a["samples"][0]["file"]
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert a["sample"] == b["sample"]


def test_stages_are_checked_before_the_queue(chain: Chain) -> None:
    found = ModelCard.model_validate(card("pair", chain))
    for stages, where, words in (
        ({"upp": {}}, "stages", "Unknown stage 'upp'. Did you mean 'up'?"),
        ({"up": {"steps": 9}}, "stages.up.steps", "stages.up.steps=9 is more than 8"),
        ({"up": {"negative": {"echo": 1}}}, "stages.up.negative.echo", "requests cannot set"),
    ):
        with pytest.raises(WrongField, match=re.escape(words)) as error:
            check(JOB.validate_python({"kind": "sample", "stages": stages}), found, Limits(steps=8))
        assert error.value.where == where


def test_what_a_pipeline_cannot_do_is_said(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot show the way"):
        perform(order(kind="film"), chain, tmp_path / "a", meter(), Limits())
    with pytest.raises(UserError, match="allows 4"):
        perform(order(kind="sample", sampling={"steps": 9}), chain, tmp_path / "a", meter(), Limits(steps=1))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("task", "restored", "solvable"), [("generate", "", True), ("inpaint", "", True), ("upsample", "upsample", False)]
)
def test_what_a_model_of_each_task_can_do(task: str, restored: str, solvable: bool) -> None:
    """A model that was trained to upsample restores files; its states are whole examples, but of given small ones."""
    found = ModelCard.model_validate(card("digits", images(task=task)))
    assert found.task == restored
    assert ("restore" in found.actions) == bool(restored)
    assert ("solve" in found.actions) == bool(found.solvers) == bool(found.measurements) == solvable
