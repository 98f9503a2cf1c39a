"""Columns of text, collected row by row."""

from __future__ import annotations

from polydiff.domains.molecule.data.formats.texts import TextColumns


def test_each_row_keeps_its_cell() -> None:
    columns = TextColumns()
    rows = [{"a": "x  y"}, {}, {"a": "z", "b": "1"}, {"a": "x\ny", "": "no name"}, {"b": " "}, {"a": "z", "b": "é"}]
    for row in rows:
        columns.add(row)
    texts, codes = columns.table(())
    assert texts == {"a": ["x y", "z"], "b": ["1", "é"]}
    assert codes.T.tolist() == [[0, -1, 1, 0, -1, 1], [-1, -1, 0, -1, -1, 1]]


def test_other_columns_are_left_out() -> None:
    columns = TextColumns()
    columns.add({"a": "x", "b": "1"})
    texts, codes = columns.table({"b"})
    assert texts == {"a": ["x"]}
    assert codes.shape == (1, 1)
