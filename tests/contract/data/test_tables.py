"""Tests of `polydiff.contract.data.tables`."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydiff.contract.data.tables import check_cells, lists_files, mapping, named_path, rows_of
from polydiff.support.errors import UserError


@pytest.mark.parametrize("text", ["", "5", "null", "[1]", "{", 3000 * "[", 3000 * '{"a":', '{"n": ' + 5000 * "9" + "}"])
def test_text_that_is_no_object_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are those of json
        mapping(text)


def test_a_file_name_is_a_path_unless_there_is_one() -> None:
    assert named_path({"file_name": "a.wav", "x": 1}) == {"path": "a.wav", "x": 1}
    assert named_path({"file_name": "a.wav", "path": "b.wav"}) == {"file_name": "a.wav", "path": "b.wav"}


@pytest.mark.parametrize(
    ("name", "line", "found"),
    [
        ("a.csv", "path,label", True),
        ("a.tsv", "label\tfile_name", True),
        ("a.jsonl", '{"file_name": "x.wav"}', True),
        ("a.csv", "paths,label", False),
        ("a.txt", "path", False),
        (".a.csv", "path", False),
        ("a.csv", "", False),
    ],
)
def test_a_table_of_sounds_is_known_by_its_first_line(tmp_path: Path, name: str, line: str, found: bool) -> None:
    (tmp_path / name).write_text(f"{line}\nother, path\n")
    assert lists_files(tmp_path / name) is found
    assert not lists_files(tmp_path / "gone.csv")


def test_a_table_that_is_a_folder_or_binary_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "b.csv").write_bytes(b"path,\xff\xfe\n")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(UserError, match=f"{name[0]}.csv is not "):
            list(rows_of(tmp_path / name))


@pytest.mark.parametrize("text", ['{"text": "a \\ud83d"}', '{"a \\udc00": 1}', '{"text": ["\\ud83d"]}'])
def test_half_of_a_character_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="half of a character"):
        mapping(text)
    assert mapping('{"text": "\\ud83d\\ude42"}') == {"text": "🙂"}


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("t.csv", b"file_name;text\n", "Write a comma between columns, not ';'"),
        ("t.tsv", b"path,text\n", "Write a tab between columns, not ','"),
        ("t.csv", "path,label\né,x\n".encode("latin-1"), r"holds the byte 0xe9\. Save it as UTF-8\.$"),
    ],
)
def test_a_table_that_another_program_wrote_is_an_error_with_advice(
    tmp_path: Path, name: str, line: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(line)
    with pytest.raises(UserError, match=message):
        list(rows_of(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "line", "advice"),
    [("t.csv", "a.png,red, round", 'a comma in double quotes, such as "red, round"'), ("t.tsv", "a\tb\tc", "a tab in")],
)
def test_a_row_with_too_many_cells_is_an_error_that_advises_quotes(
    tmp_path: Path, name: str, line: str, advice: str
) -> None:
    between = "," if name == "t.csv" else "\t"
    (tmp_path / name).write_text(f"path{between}text\n{line}\n")
    ((_, row),) = rows_of(tmp_path / name)
    assert isinstance(row, dict)
    with pytest.raises(ValueError, match="more cells") as raised:
        check_cells(row, tmp_path / name)
    assert advice in str(raised.value)
    (tmp_path / name).write_text(f'path{between}text\na.png{between}"red{between} round"\n')
    ((_, row),) = rows_of(tmp_path / name)
    assert isinstance(row, dict)
    check_cells(row, tmp_path / name)
    check_cells({"path": "a.png", "beyond": "the sea"}, Path("t.jsonl"))
