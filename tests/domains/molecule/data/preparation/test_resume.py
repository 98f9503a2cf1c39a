"""Tests of `polydiff.domains.molecule.data.preparation.resume`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from molecule_sources_cases import same

from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import dataset as dataset_module
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.preparation import cache, resume
from polydiff.domains.molecule.data.preparation.prepare import Item
from polydiff.domains.molecule.data.source import enumerated_molecules


def test_an_interrupted_preparation_is_resumed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    small, larger = enumerated_molecules(3), enumerated_molecules(4)[-9:]
    rows = [f"{smiles},{i}" for i, smiles in enumerate([*small, "nonsense", "C[Na]", "OCC", *larger])]
    path.write_text("smiles,number\n" + "\n".join(rows) + "\n")
    data = MoleculeData(path=path, conformers=2, conditions=("number",))  # type: ignore[arg-type]
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "one"))
    with pytest.warns(UserWarning, match="left out"):
        whole = open_library(data)
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(resume, "EVERY_SECONDS", 0.0)
    real, given = dataset_module.in_processes, list[str]()

    def until_item_35(work: Any, items: Any, *rest: Any, **options: Any) -> Iterator[Any]:
        for number, result in enumerate(real(work, noted(items), *rest, **options)):
            yield result
            if number == 35:
                raise KeyboardInterrupt

    def noted(items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            given.append(item.name)
            yield item

    monkeypatch.setattr(dataset_module, "in_processes", until_item_35)
    with pytest.raises(KeyboardInterrupt):
        open_library(data)
    (part,) = (tmp_path / "two" / "molecule").iterdir()
    part.write_bytes(part.read_bytes()[:-10])  # as a killed process may leave it
    given.clear()
    monkeypatch.setattr(
        dataset_module, "in_processes", lambda work, items, *rest, **more: real(work, noted(items), *rest, **more)
    )
    with pytest.warns(UserWarning, match="left out"):
        assert same(open_library(data), whole)
    assert given[0] == "line 37"
    (folder,) = (tmp_path / "two" / "molecule").iterdir()
    kept = cache.read_library(folder)
    assert kept is not None
    assert same(kept, whole)


def test_lines_of_a_draft_out_of_order_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resume, "EVERY_SECONDS", 0.0)
    entries = [Rejected(f"reason {i}") for i in range(6)]
    draft = resume.Draft(tmp_path / "one")
    for entry in entries[:4]:
        draft.add(entry)
    resume.remove_drafts(tmp_path / "one")  # as another preparation does when it is complete
    for entry in entries[4:]:
        draft.add(entry)
    assert resume.draft_files(tmp_path / "one")
    assert resume.longest_draft(tmp_path / "one") == []
    (path,) = resume.draft_files(tmp_path / "one")
    lines = [resume.as_json(entry, number) for number, entry in enumerate(entries)]
    path.write_text("".join([*lines[:3], *lines]))  # as a temporarily full disk leaves it
    assert [str(entry) for entry in resume.longest_draft(tmp_path / "one")] == [str(entry) for entry in entries[:3]]
