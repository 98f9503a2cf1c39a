"""A domain seen through a codec offers what concerns examples, and nothing that concerns states."""

from __future__ import annotations

import inspect
from pathlib import Path

from stage_cases import trained_codec, trained_on_codes
from typing_extensions import get_protocol_members, is_protocol

import polydiff
from polydiff.contract import abilities
from polydiff.contract.abilities import HasConfusions, HasMeasurements, HasRegions, HasUnits, Reads
from polydiff.stages.through import Through
from polydiff.support.protocols import provides

OF_STATES = ("State", "Batch", "Space")


def test_it_has_the_abilities_of_examples_alone(tmp_path: Path) -> None:
    run = trained_on_codes("image", tmp_path / "ldm", trained_codec("image", tmp_path / "ae"))
    domain = polydiff.load(run).domain
    assert provides(domain, Reads)
    assert provides(domain, HasConfusions)
    assert not provides(domain, HasUnits)
    assert not provides(domain, HasRegions)
    assert not provides(domain, HasMeasurements)


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
