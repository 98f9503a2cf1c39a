"""Tests of `polydiff.domains.molecule.data.formats.frames`."""

from __future__ import annotations

import numpy as np
import pytest

from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.formats.frames import atomic_number, check_comment, columns_of, parse_frame
from polydiff.domains.molecule.data.library import Entry
from polydiff.domains.molecule.data.preparation.prepare import Item, prepare

WATER = [("O", 0.0, 0.0, 0.12), ("H", 0.0, 0.76, -0.48), ("H", 0.0, -0.76, -0.48)]


def frame(
    comment: str, layout: str = "{0} {1} {2} {3}", names: tuple[str, str, str] = ("O", "H", "H")
) -> Entry | Rejected:
    lines = [layout.format(name, *place) for name, (_, *place) in zip(names, WATER, strict=True)]
    return prepare(Item("frame 1", "atoms", "\n".join(["3", comment, *lines])), Selection())


@pytest.mark.parametrize(
    ("comment", "layout"),
    [
        ("", "{0} {1} {2} {3} 9 9 9"),
        ("Properties=species:S:1:pos:R:3", "{0} {1} {2} {3}"),
        ("Properties=species:S:1:mass:R:1:pos:R:3", "{0} 15.9 {1} {2} {3}"),
        ("Properties=pos:R:3:forces:R:3:species:S:1", "{1} {2} {3} 7 8 9 {0}"),
        ('energy=-1 Properties="id:I:1:species:S:1:pos:R:3:charge:R:1" pbc="F F F"', "4 {0} {1} {2} {3} .5"),
        ("properties=symbols:S:1:positions:R:3", "{0} {1} {2} {3}"),
        ('Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F" charge=0 multiplicity=1', "{0} {1} {2} {3}"),
        ("charge = 0 | S = 0", "{0} {1} {2} {3}"),
        ("a comment with = and : and pbc and \u2028 more", "{0} {1} {2} {3}"),
    ],
)
def test_columns_are_those_that_the_comment_names(comment: str, layout: str) -> None:
    entry = frame(comment, layout)
    assert isinstance(entry, Entry)
    assert entry.smiles == "O"
    np.testing.assert_allclose(entry.positions[0], [place for _, *place in WATER], atol=1e-6)


def test_an_element_may_be_given_as_its_number() -> None:
    numbers, _ = parse_frame("Properties=Z:I:1:pos:R:3", ["8 0 0 0", "1 0 0 1"])
    assert numbers.tolist() == [8, 1]
    assert columns_of("Properties=pos:R:3:Z:I:1") == (3, 0)


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("Properties=species:S:1:mass:R:1", "no species or no pos"),
        ("Properties=species:S:1:pos:R:2", "no species or no pos"),
        ("Properties=pos:R:3", "no species or no pos"),
        ("Properties=species:S:1:pos:R", "not name:type:number"),
        ("Properties=species:S:one:pos:R:3", "not name:type:number"),
        ('Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T"', "periodic"),
        ('Lattice="9 0 0 0 9 0 0 0 9"', "periodic"),
        ('pbc="F F T"', "periodic"),
        ("pbc=[True, True, True]", "periodic"),
        ("charge=1", "charged"),
        ("energy=2 charge=-1.0 x=3", "charged"),
        ("total_charge: +2", "charged"),
        ("CSD_code = ABCDEF | q = 1 | S = 0 | MND = 4", "charged"),
        ("multiplicity=3", "radical"),
        ("Charge='1'", "charged"),
    ],
)
def test_a_comment_that_rules_a_frame_out_is_the_reason(comment: str, reason: str) -> None:
    entry = frame(comment)
    assert isinstance(entry, Rejected)
    assert reason in str(entry)


@pytest.mark.parametrize(
    "comment", ["", "q=12.5", "charge=0.0", "multiplicity=1", "title", 'pbc="F F F"', "discharge=3"]
)
def test_other_comments_rule_nothing_out(comment: str) -> None:
    check_comment(comment)
    assert isinstance(frame(comment), Entry)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("D", "isotope of hydrogen"),
        ("T", "isotope of hydrogen"),
        *((name, "label") for name in ("O1", "H2", "C_1", "Cl3", "N1A", "O-", "C'")),
        *(
            (name, "ghost")
            for name in ("X", "Xx", "Gh", "Gh(O)", "Bq", "Bq1", "O:", "@O", "Du", "LP", "*", "0", "-", "O-Bq")
        ),
        ("Tv", "periodic"),
        *((name, "element x y z") for name in ("Zz", "119", "?", "Qqq")),
    ],
)
def test_a_name_that_is_no_element_has_its_own_reason(name: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        atomic_number(name)
    assert reason in str(frame("", names=(name, "H", "H")))


def test_symbols_of_all_elements_in_any_case_are_elements() -> None:
    assert [atomic_number(name) for name in ("H", "he", "CL", "Og", "118", "Xe", "Mg")] == [1, 2, 17, 118, 118, 54, 12]
