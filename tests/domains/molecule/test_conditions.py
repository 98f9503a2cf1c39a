"""Conditions of molecules: names, values of geometries, and captions."""

from __future__ import annotations

import json

from molecule_cases import SYMBOLS

from polydiff.contract.discover import build_domain
from polydiff.core.conditions import Number
from polydiff.core.streams import streams
from polydiff.domains.molecule.conditions import ConditionScaler, ConditionSet
from polydiff.domains.molecule.domain import MoleculeDomain


def test_the_conditions_are_properties_and_one_number_an_element(domain: MoleculeDomain) -> None:
    assert domain.condition_set.names == ("logp", *SYMBOLS)
    assert dict(domain.conditions) == dict.fromkeys(("logp", *SYMBOLS), Number())
    again = build_domain(domain.config, json.loads(json.dumps(domain.statistics)))
    assert dict(again.conditions) == dict(domain.conditions)


def test_conditions_of_geometries_are_their_compositions(domain: MoleculeDomain) -> None:
    x, space, cond = domain.batch("train", range(40), streams(0, "augment", range(40)))
    assert cond is not None
    for molecule, described in zip(domain.decode(x, space), domain.describe(cond), strict=True):
        numbers = [int((molecule.numbers == z).sum()) for z in (1, 6, 7, 8, 9)]
        assert [described[symbol] for symbol in SYMBOLS] == numbers


def test_captions_print_a_complete_composition_as_a_formula() -> None:
    scaler = ConditionScaler(ConditionSet(("logp",), (1, 6, 8)), {"elements": [1, 6, 8]})
    assert scaler.caption({"logp": 0.5, "H": 6, "C": 2, "O": 1}) == "logp 0.5, C2H6O"
    assert scaler.caption({"logp": 0.5, "H": 2, "C": 0, "O": 1}) == "logp 0.5, H2O"
    assert scaler.caption({"logp": "any", "H": "any", "C": 2, "O": "any"}) == "logp any, H any, C 2, O any"
    assert ConditionScaler(ConditionSet(("logp",)), {}).caption({"logp": 1.0}) == "logp 1.0"
