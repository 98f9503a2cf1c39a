"""Memory: a run that cannot fit is an error before anything large is allocated, and names what to lower."""

from __future__ import annotations

import re

import pytest
from tiny_runs import SMALL_NETS

from polydiff.checkup.dry_run import dry_run
from polydiff.config.merge import resolve
from polydiff.run import memory_check
from polydiff.run.memory_check import grown, size_of
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError
from polydiff.training import batch_check
from polydiff.training.batch_check import check_batch, saved_by_example
from polydiff.training.steps import begin


def room(monkeypatch: pytest.MonkeyPatch, mib: float) -> None:
    """Let this many MiB be available."""
    for module in (memory_check, batch_check):
        monkeypatch.setattr(module, "available", lambda device: mib)


def test_a_network_that_does_not_fit_is_an_error_that_names_its_largest_key(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve("image", values={**SMALL_NETS["image"], "backbone.channels": 256}).config
    domain = open_domain(config)
    room(monkeypatch, 10)
    with pytest.raises(UserError, match=r"more than the 10 MiB .* on cpu.* Lower backbone\.channels=256\."):
        begin(config, domain)
    room(monkeypatch, 10_000)
    begin(config, domain)


@pytest.mark.parametrize(("key", "value"), [("backbone.channels", 65536), ("backbone.mult", [4000, 1])])
def test_a_giant_network_is_an_error_before_it_is_built(key: str, value: object) -> None:
    config = resolve("image", values={key: value}).config
    with pytest.raises(UserError, match=rf"does not fit in memory.*{re.escape(f'{key}={value}')}"):
        begin(config, open_domain(config))


def test_a_batch_that_does_not_fit_is_an_error_that_says_which_does(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve("image", values={**SMALL_NETS["image"], "train.batch_size": 512}).config
    domain = open_domain(config)
    per_example = saved_by_example(config, domain)
    assert 0.01 < per_example < 10
    room(monkeypatch, 100 * per_example)
    with pytest.raises(UserError, match=r"train\.batch_size=512: .* Lower train\.batch_size to 100 or less"):
        check_batch(config, domain)
    pieces = config.train.model_copy(update={"accumulate": 8})
    check_batch(config.model_copy(update={"train": pieces}), domain)
    monkeypatch.setattr(batch_check, "saved_by_example", lambda *_: pytest.fail("measured, though there is room"))
    room(monkeypatch, 1e6)
    check_batch(config, domain)
    room(monkeypatch, 0.001)
    with pytest.raises(UserError, match=r"a step does not fit in memory"):
        check_batch(config, domain)


def test_a_dry_run_says_at_once_that_a_batch_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    room(monkeypatch, 500)
    with pytest.raises(UserError, match=r"train\.batch_size=1000000"):
        dry_run(resolve("image", values={**SMALL_NETS["image"], "train.batch_size": 10**6}))


def test_the_key_to_lower_is_the_one_most_above_its_default() -> None:
    assert grown(resolve("image", values={"backbone.channels": 65536}).config) == "backbone.channels=65536"
    assert grown(resolve("image", values={"backbone.mult": [1, 4000]}).config).startswith("backbone.mult=")
    assert [size_of(value) for value in (3, 2.5, [1, 7], [1] * 9, True, "x", None)] == [3, 2.5, 7, 9, 0, 0, 0]
