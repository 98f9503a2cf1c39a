"""What is checked before a run in codes is the network that the run would train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from stage_cases import trained_codec, trained_on_codes
from tiny_runs import TINY

import polydiff
from polydiff.checkup import dry_run, overfit, step_profile
from polydiff.config.merge import resolve


class Begun(Exception):
    """A training would begin."""


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_codec("image", tmp_path_factory.mktemp("codes") / "ae", **{"train.steps": 1})


@pytest.fixture(scope="module")
def trained(codec: Path) -> Any:
    config = polydiff.load(trained_on_codes("image", codec.parent / "ldm", codec, **{"train.steps": 1})).config
    assert config.backbone.mult == (1, 2)  # type: ignore[attr-defined]
    return config


@pytest.mark.parametrize(
    ("module", "check"),
    [(dry_run, dry_run.dry_run), (step_profile, step_profile.profile), (overfit, overfit.overfit)],
    ids=["dry_run", "profile", "overfit"],
)
def test_the_network_is_that_of_codes(
    module: ModuleType, check: Callable[..., object], codec: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []

    def begin(config: Any, domain: Any) -> None:
        begun.append((config, domain.config))
        raise Begun

    monkeypatch.setattr(module, "begin", begin)
    values = {**TINY, "backbone.channels": 16, "backbone.blocks": 1, "backbone.dropout": 0.2, "codec": str(codec)}
    with pytest.raises(Begun):
        check(resolve("image", values={**values, "train.steps": 1}))
    for config in begun[0]:
        assert config.backbone == trained.backbone
        assert config.schedule_options == trained.schedule_options
