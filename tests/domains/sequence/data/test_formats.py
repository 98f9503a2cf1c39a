"""The user's files of texts, by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydiff.domains.sequence.data.formats import Entry, content, reader_of
from polydiff.support.errors import UserError


def entries(folder: Path, name: str, text: str | bytes, column: str = "auto") -> list[Entry]:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(reader_of(path)(path, column))


def test_lines_are_used_as_they_are(tmp_path: Path) -> None:
    found = entries(tmp_path, "a.txt", "  one \r\n\n \t\ntwo\u2028three\rfour")
    assert [(one.place, one.text) for one in found] == [
        ("line 1", "  one "),
        ("line 4", "two\u2028three"),
        ("line 5", "four"),
    ]


def test_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    assert [one.text for one in entries(tmp_path, "a.txt", b"\xef\xbb\xbfone\n")] == ["one"]


@pytest.mark.parametrize("data", ["Müller".encode("latin-1"), "text".encode("utf-16")])
def test_another_encoding_is_an_error_that_says_what_to_do(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError, match=r"is not text in UTF-8.*Save it as UTF-8"):
        entries(tmp_path, "a.txt", data)


def test_a_list_of_smiles_has_titles(tmp_path: Path) -> None:
    found = entries(tmp_path, "a.smi", "smiles name\nCCO  ethyl alcohol\nC\n")
    assert [(one.text, dict(one.columns)) for one in found] == [("CCO", {"title": "ethyl alcohol"}), ("C", {})]


def test_records_of_fasta_are_joined(tmp_path: Path) -> None:
    found = entries(tmp_path, "a.fasta", "\n;a comment\n>p1 of yeast\nMK V\nLL\n>p2\n\n>\nA*\n")
    assert [(one.place, one.text, dict(one.columns), bool(one.reason)) for one in found] == [
        ("line 3", "MKVLL", {"name": "p1", "title": "of yeast"}, False),
        ("line 6", "", {"name": "p2"}, True),
        ("line 8", "A*", {}, False),
    ]


def test_letters_before_a_heading_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1: letters before the first heading"):
        entries(tmp_path, "a.fa", "MKV\n>p1\nMK\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'family, Text\nx,"a, b"\n,c\ny,\n'),
        ("a.tsv", "family\tText\nx\ta, b\n\tc\ny\t\n"),
        ("a.jsonl", '{"family": "x", "Text": "a, b"}\n{"Text": "c"}\n{"family": "y", "Text": ""}\n'),
    ],
)
def test_a_column_of_a_table_is_read_with_the_others(tmp_path: Path, name: str, text: str) -> None:
    first, second, third = entries(tmp_path, name, text)
    assert (first.text, dict(first.columns)) == ("a, b", {"family": "x"})
    assert (second.text, dict(second.columns)) == ("c", {})
    assert third.reason


def test_a_cell_may_hold_line_breaks(tmp_path: Path) -> None:
    found = entries(tmp_path, "a.csv", 'text,n\n"one\ntwo",1\nthree,2\n')
    assert [(one.text, one.place) for one in found] == [("one\ntwo", "line 3"), ("three", "line 4")]


@pytest.mark.parametrize(
    ("text", "column", "found"),
    [
        ("SMILES,name\nC,methane\n", "auto", "C"),
        ("name,SMILES\nmethane,C\n", "name", "methane"),
        ("peptide\nMK\n", "auto", "MK"),
    ],
)
def test_the_column_of_the_texts(tmp_path: Path, text: str, column: str, found: str) -> None:
    assert [one.text for one in entries(tmp_path, "a.csv", text, column)] == [found]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a,b\n1,2\n", "auto", "has the columns a, b. Set data.column"),
        ("a,b\n1,2\n", "c", "Unknown column 'c'"),
        ("text,text\n1,2\n", "auto", "several columns `text`"),
    ],
)
def test_a_table_without_texts_is_an_error(tmp_path: Path, text: str, column: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        entries(tmp_path, "a.csv", text, column)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "text,n\na,1,2\n"),
        ("a.jsonl", "[1]\n"),
        ("a.jsonl", '{"text": 5}\n'),
        ("a.jsonl", '{"text": "\\ud83d"}\n'),
    ],
)
def test_a_row_that_cannot_be_used_has_a_reason(tmp_path: Path, name: str, text: str) -> None:
    (found,) = entries(tmp_path, name, text)
    assert found.reason
    assert not found.text


def test_another_kind_of_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown kind of file '.pdf'.*Known: .*\.fasta"):
        reader_of(tmp_path / "a.pdf")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not readable"):
        content(tmp_path / "none.txt")
