"""The filters of MOSES, rule by rule."""

from __future__ import annotations

import pytest

from polydiff.domains.molecule.moses.filters import MCF, passes_filters, patterns


@pytest.mark.parametrize("smiles", ["CCO", "c1ccccc1C(=O)NC", "O=C(C1CCCCC1)N1CC(=O)N2CCCc3ccccc3C2C1"])
def test_molecules_that_pass(smiles: str) -> None:
    assert passes_filters(smiles)


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("C1CCCCCCC1", "a ring of 8 atoms"),
        ("[NH3+]CC(=O)[O-]", "charges"),
        ("CCI", "iodine"),
        ("ClCCN", "an alkyl halide, MCF4"),
        ("C1CO1", "an epoxide, MCF5"),
        ("CC=O", "an aldehyde, MCF7"),
        ("CSSC", "a disulfide, MCF16"),
        ("O=C1C=CC(=O)C=C1", "a quinone, PAINS"),
        ("O=C1NC(=S)SC1=Cc1ccccc1", "a rhodanine, PAINS"),
    ],
)
def test_molecules_that_do_not_pass(smiles: str, why: str) -> None:
    assert not passes_filters(smiles), why


def test_all_patterns_are_read() -> None:
    assert len(MCF) == 22
    assert len(patterns()) == 22 + 480
    assert None not in patterns()
