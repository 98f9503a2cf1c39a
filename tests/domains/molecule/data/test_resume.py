"""Tests of `polydiff.domains.molecule.data.resume`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polydiff.domains.molecule.chemistry.geometry import Rejected
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import resume as halfway
from polydiff.domains.molecule.data import source as module
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.data.prepare import Item
from polydiff.domains.molecule.data.source import open_library, universe


def same(a: Library, b: Library) -> bool:
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in module.ARRAYS)
    return arrays and list(a.smiles) == list(b.smiles) and a.rejected == b.rejected


def test_a_preparation_that_is_stopped_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    rows = [f"{smiles},{i}" for i, smiles in enumerate([*universe(3), "nonsense", "C[Na]", "OCC", *universe(4)[-9:]])]
    path.write_text("smiles,number\n" + "\n".join(rows) + "\n")
    data = MoleculeData(path=path, conformers=2, conditions=("number",))  # type: ignore[arg-type]
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "one"))
    with pytest.warns(UserWarning, match="left out"):
        whole = open_library(data)
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(halfway, "EVERY", 0.0)
    real, given = module.in_processes, list[str]()

    def until_noon(work: Any, items: Any, *rest: Any, **options: Any) -> Iterator[Any]:
        for number, result in enumerate(real(work, noted(items), *rest, **options)):
            yield result
            if number == 35:
                raise KeyboardInterrupt

    def noted(items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            given.append(item.name)
            yield item

    monkeypatch.setattr(module, "in_processes", until_noon)
    with pytest.raises(KeyboardInterrupt):
        open_library(data)
    (part,) = (tmp_path / "two" / "molecule").iterdir()
    part.write_bytes(part.read_bytes()[:-10])  # as a kill may leave it
    given.clear()
    monkeypatch.setattr(
        module, "in_processes", lambda work, items, *rest, **more: real(work, noted(items), *rest, **more)
    )
    with pytest.warns(UserWarning, match="left out"):
        assert same(open_library(data), whole)
    assert given[0] == "line 37"
    (folder,) = (tmp_path / "two" / "molecule").iterdir()
    kept = module.recall(folder)
    assert kept is not None
    assert same(kept, whole)


def test_what_does_not_stand_in_its_place_is_not_gone_on_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(halfway, "EVERY", 0.0)
    entries = [Rejected(f"reason {i}") for i in range(6)]
    draft = halfway.Draft(tmp_path / "one")
    for entry in entries[:4]:
        draft.add(entry)
    halfway.forget(tmp_path / "one")  # as another preparation does that is done
    for entry in entries[4:]:
        draft.add(entry)
    assert halfway.written(tmp_path / "one")
    assert halfway.recalled(tmp_path / "one") == []
    (path,) = halfway.written(tmp_path / "one")
    lines = [halfway.as_json(entry, number) for number, entry in enumerate(entries)]
    path.write_text("".join([*lines[:3], *lines]))  # as a disk that is full for a while leaves it
    assert [str(entry) for entry in halfway.recalled(tmp_path / "one")] == [str(entry) for entry in entries[:3]]
