"""Graphs alone as entries: the short way to their hydrogens, and preparation in groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rdkit import Chem, RDConfig

from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.data.filters import Selection
from polydiff.domains.molecule.data.preparation import groups
from polydiff.domains.molecule.data.preparation.prepare import Item, prepare
from polydiff.domains.molecule.data.source import enumerated_molecules
from polydiff.domains.molecule.graphs.entry import all_hydrogens_follow, written_again
from polydiff.domains.molecule.workers.worker import TimedOut

ODD = [
    "CS(=O)(=O)c1ccsc1",
    "c1cc[nH]c1",
    "C[N+](C)(C)CC(=O)[O-]",
    "[H]O[H]",
    "FC(F)(F)Br",
    "[13CH3]C#N",
    "C[SH]=O",
    "B(O)O",
]
NCI = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().split()[::44]


def test_what_a_smiles_without_brackets_shows_is_what_the_round_trip_finds() -> None:
    plain = [
        mol for text in [*ODD, *NCI, *enumerated_molecules(6)[::9]] if (mol := Chem.MolFromSmiles(text)) is not None
    ]
    shown = 0
    for mol in plain:
        smiles = Chem.MolToSmiles(mol, isomericSmiles=False)
        again = Chem.MolFromSmiles(smiles)
        if all_hydrogens_follow(again, smiles):
            shown += 1
            assert written_again(again) == smiles
    assert shown > len(plain) / 2


def test_fragments_charges_and_labels_are_removed_where_there_are_any() -> None:
    def smiles(text: str) -> str:
        entry = prepare(Item("line 1", "smiles", text), Selection(graph=()))
        return str(entry) if isinstance(entry, Rejected) else entry.smiles

    assert smiles("CC(=O)[O-].[Na+]") == "CC(=O)O"
    assert smiles("[13CH3][CH2:1]O") == "CCO"
    assert smiles("[2H]OC") == "CO"
    assert smiles("C[N+](C)(C)C") == "it is charged"
    assert smiles("C.CC") == "CC"
    assert smiles("OC1=CC=CC=C1") == "Oc1ccccc1"


def item(number: int) -> Item:
    return Item(f"line {number}", "smiles", "C" * (1 + number % 7), {"name": "x"}, texts={"title": "y"})


def test_groups_give_what_items_alone_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP", 8)
    selection = Selection(graph=("logp",), max_atoms=6)
    given = [item(i) for i in range(20)]
    found = list(groups.prepare_in_groups(iter(given), selection, "molecules", 20))
    for one, other in zip(found, [prepare(each, selection) for each in given], strict=True):
        assert type(one) is type(other)
        if isinstance(one, Rejected):
            assert str(one) == str(other)
        else:
            assert one.smiles == other.smiles
            assert one.properties[0][0] == other.properties[0][0]
            assert (one.bonds == other.bonds).all()


def test_a_group_that_fails_is_prepared_item_by_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP", 2)
    sent: list[int] = []

    def in_processes(work, items, *rest, **options) -> Iterator[object]:
        """Groups that hold the third item fail, as do items whose number is 3."""
        for one in items:
            sent.append(len(one) if not isinstance(one, Item) else 1)
            names = [each.name for each in one] if not isinstance(one, Item) else [one.name]
            yield TimedOut("its process dies") if "line 3" in names else work(one)

    monkeypatch.setattr(groups, "in_processes", in_processes)
    found = list(groups.prepare_in_groups([item(i) for i in range(6)], Selection(graph=()), "molecules", None))
    assert [isinstance(one, TimedOut) for one in found] == [i == 3 for i in range(6)]
    assert sent == [2, 2, 1, 1, 2]
