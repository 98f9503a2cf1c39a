"""Which texts of files are used, and in which split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polydiff.config.merge import resolve
from polydiff.domains.sequence.data.source import Source, open_source
from polydiff.domains.sequence.data.texts import Texts
from polydiff.support.errors import UserError

WORDS = [a + b for a in "abcdefgh" for b in "abcdefgh"]


def source(path: Path, **keys: object) -> Source:
    return open_source(
        resolve("sequence", values={"data.path": path, **{f"data.{k}": v for k, v in keys.items()}}).config.data
    )


def of(found: Source) -> dict[str, list[str]]:
    return {name: list(split.whole()) for name, split in found.splits.items()}


def written(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_found_texts_add_up(tmp_path: Path) -> None:
    rows = [f"{word},train" for word in WORDS] + ["ab,never", ",train", "ab,valid", "abcdef,train", "hh,test"]
    found = source(written(tmp_path / "a.csv", "text,split", *rows), length=4)
    quarantine, texts = found.quarantine, of(found)
    assert quarantine is not None
    assert set(quarantine.reasons) == {"line 66", "line 67"}
    assert quarantine.left_out == 2  # one is too long, one is for validation
    assert "1 have more than data.length=4 letters" in quarantine.summary()
    assert quarantine.found == len(WORDS) + 5 == quarantine.used + quarantine.left_out + len(quarantine.reasons)
    assert quarantine.used == len(texts["train"]) + len(texts["test"])
    assert quarantine.splits == {"all": {"train": 64, "test": 1}}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_the_column_split_is_obeyed_in_any_case_and_is_no_condition(tmp_path: Path, name: str) -> None:
    sides = {word: "Test" if i < 9 else "train" for i, word in enumerate(WORDS)}
    if name == "a.jsonl":
        lines = [json.dumps({"text": word, "SPLIT": side}) for word, side in sides.items()]
    else:
        lines = [{"a.csv": ",", "a.tsv": "\t"}[name].join(row) for row in [("text", "SPLIT"), *sides.items()]]
    path = written(tmp_path / name, *lines)
    assert of(source(path)) == {"train": list(WORDS[9:]), "test": list(WORDS[:9])}
    with pytest.raises(UserError, match="Unknown column 'SPLIT'"):
        source(path, conditions=["SPLIT"])


def test_equal_texts_share_a_split_and_are_counted(tmp_path: Path) -> None:
    found = source(written(tmp_path / "a.txt", *WORDS, *WORDS))
    texts = of(found)
    assert not set(texts["train"]) & set(texts["test"])
    assert len(texts["train"]) + len(texts["test"]) == 128
    assert found.quarantine is not None
    assert "64 have the same letters as another one" in found.quarantine.summary()


def test_the_split_of_a_text_does_not_depend_on_the_others(tmp_path: Path) -> None:
    whole = of(source(written(tmp_path / "a.txt", *WORDS)))
    part = of(source(written(tmp_path / "b.txt", *WORDS[:60], "ha", "hb")))
    assert set(part["test"]) == set(whole["test"]) & {*WORDS[:60], "ha", "hb"}


def test_a_held_out_text_with_a_letter_of_its_own_is_trained_on(tmp_path: Path) -> None:
    found = of(source(written(tmp_path / "a.txt", *WORDS, *(f"a{letter}" for letter in "ßøåæœ"))))
    assert {"aß", "aø", "aå", "aæ", "aœ"} <= set(found["train"])
    assert {letter for text in found["test"] for letter in text} <= {x for text in found["train"] for x in text}


def test_where_the_data_state_the_split_such_a_text_is_excluded(tmp_path: Path) -> None:
    written(tmp_path / "data" / "train" / "a.txt", *WORDS)
    written(tmp_path / "data" / "test" / "a.txt", "ab", "cd", "aß")
    found = source(tmp_path / "data")
    assert of(found)["test"] == ["ab", "cd"]
    assert found.quarantine is not None
    assert found.quarantine.reasons == {"test/a.txt, line 3": "no training text has its letter 'ß'"}
    assert "2 held-out ones have the same letters" in found.quarantine.summary()


def test_the_name_of_a_file_in_a_folder_can_be_a_condition(tmp_path: Path) -> None:
    written(tmp_path / "data" / "german.txt", *WORDS[:32])
    written(tmp_path / "data" / "dutch.txt", *WORDS[32:])
    found = source(tmp_path / "data", conditions=["label"])
    train = found.splits["train"]
    assert isinstance(train, Texts)
    rows = zip(train.spelled(range(len(train))), train.values(range(len(train))), strict=True)
    assert all(row == {"label": "german" if text in WORDS[:32] else "dutch"} for text, row in rows)
    assert found.fields["label"].kind.count == 2  # type: ignore[attr-defined]


def test_too_many_unusable_texts_stop_the_run(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,n", *(f"{word},1" for word in WORDS), *[",1"] * 10)
    with pytest.raises(UserError, match=r"10 of 74 texts in .* cannot be used"):
        source(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "No text can be used"),
        (("", " "), "No text can be used"),
        (("ab", "ab"), "None is left to hold out"),
        (("ab", "cd"), "None is left to hold out"),
        (("ab", "a" * 1024), r"line 2 of .* has 1,024 letters. Set data.length"),
    ],
)
def test_files_that_cannot_be_trained_on(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        source(written(tmp_path / "a.txt", *lines))


def test_a_folder_without_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no file of texts"):
        source(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        source(tmp_path / "none")


def test_the_length_counts_letters_of_the_kind_that_is_set(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", *(word + "é" for word in WORDS))
    assert source(path).longest == 3
    assert source(path, tokens="bytes").longest == 4
    assert source(path, length=3).quarantine.left_out == 0  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"64 have more than data\.length=3 letters"):
        source(path, length=3, tokens="bytes")
