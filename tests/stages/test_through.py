"""A domain seen through a codec offers what concerns examples, and nothing that concerns states."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from stage_cases import trained_codec, trained_on_codes
from typing_extensions import get_protocol_members, is_protocol

import polydiff
from polydiff.contract import abilities
from polydiff.contract.abilities import HasConfusions, HasUnits
from polydiff.contract.editing import HasMeasurements, HasRegions, Reads
from polydiff.stages.through import Through
from polydiff.support.protocols import provides

OF_STATES = ("State", "Batch", "Space")
INTERVALS = ("schedule_options", "loss.times", "loss.times_options")


def test_it_has_the_abilities_of_examples_alone(tmp_path: Path) -> None:
    run = trained_on_codes("image", tmp_path / "ldm", trained_codec("image", tmp_path / "ae"))
    domain = polydiff.load(run).domain
    assert provides(domain, Reads)
    assert provides(domain, HasConfusions)
    assert not provides(domain, HasUnits)
    assert not provides(domain, HasRegions)
    assert not provides(domain, HasMeasurements)


@pytest.mark.parametrize(("domain", "share"), [("image", 0.1), ("audio", None)])
def test_a_tenth_of_the_noise_levels_of_image_codes_is_above_their_principal_deviation(
    domain: str, share: float | None, tmp_path: Path
) -> None:
    run = trained_on_codes(domain, tmp_path / "ldm", trained_codec(domain, tmp_path / "ae"))
    through: Any = polydiff.load(run).domain
    through.codec.scale = replace(through.codec.scale, principal=40.0)
    found = through.suited(set(INTERVALS))
    assert found["schedule_options"]["sigma_max"] == 160
    times, factor = found["loss.times_options"], 1.0 if domain == "image" else -0.5
    mean, std = times["mean"] * factor, times["std"] * abs(factor)
    above = 1 - NormalDist(mean, std).cdf(math.log(40))
    assert above == (pytest.approx(share, abs=1e-3) if share else pytest.approx(0.02, abs=0.02))


def test_every_ability_that_concerns_states_is_withheld_or_goes_through_the_codec() -> None:
    forwarded = []
    for name, protocol in vars(abilities).items():
        if getattr(protocol, "__module__", "") != abilities.__name__ or not is_protocol(protocol):
            continue
        for member in get_protocol_members(protocol):
            method = inspect.getattr_static(protocol, member, None)
            text = str(getattr(method, "__annotations__", {}))
            if any(word in text for word in OF_STATES) and member not in vars(Through):
                forwarded.append(f"{name}.{member}")
    assert forwarded == []
