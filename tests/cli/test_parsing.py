"""Tests of `polydiff.cli.parsing`."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydiff.cli import VERBS, main
from polydiff.cli.parsing import read_words
from polydiff.support.errors import UserError

pytestmark = pytest.mark.usefixtures("here")


def test_every_way_to_write_a_key_sets_the_same_value(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = [
        ["train.batch_size=5", "loss.times_options.mean=-1", "data.closed=true", "data.sizes=[4,2]", "seed=3"],
        [
            "--train.batch-size",
            "5",
            "--loss.times-options.mean",
            "-1",
            "--data.closed",
            "--data.sizes=4,2",
            "--seed",
            "3",
        ],
    ]
    shown = []
    for words in ways:
        assert main(["config", "show", "-d", "ring", *words]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert "batch_size: 5  # command line" in shown[0]


def test_words_are_read_in_pairs() -> None:
    words = ["--a.b", "1", "c=d=e", "--f", "--g.h=", "--i", "-3"]
    assert read_words(words) == {"a.b": "1", "c": "d=e", "f": "true", "g.h": "", "i": "-3"}
    for wrong in ("word", "-x", "=3", "-x=3"):
        with pytest.raises(UserError, match="neither an option nor key=value"):
            read_words([wrong])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_without_arguments_works_or_says_in_one_line_what_is_missing(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([verb])
    out, err = capsys.readouterr()
    if verb in ("domains", "presets", "doctor"):
        assert code in (0, 1)
        assert out
    else:
        assert code == 2
        assert out == ""
        assert err.startswith("polydiff: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize("verb", ["vary", "inpaint", "upsample", "vocode"])
def test_files_that_may_be_left_out_are_not_called_required(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    assert "required: RUN. " in capsys.readouterr().err


def test_an_argument_too_many_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domains", "list", "image"]) == 2
    assert "'image' is one argument too many" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["-d", "ring", "domain=image"],
        ["-d", "ring", "--domain", "image"],
        ["-d", "ring", "--domain=ring"],
        ["-d", "ring", "-p", "quick", "--preset", "small"],
        ["-d", "ring", "-p", "quick", "preset=small"],
    ],
)
def test_a_choice_that_is_given_twice_is_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", *words]) == 2
    assert "given twice" in capsys.readouterr().err


def test_an_option_of_any_verb_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "run", "-n", "4", "-n", "8"]) == 2
    assert "given twice: 4 and 8" in capsys.readouterr().err
    assert main(["config", "show", "-d", "ring", "domain=ring"]) == 0


def test_sizes_that_the_data_do_not_have_are_an_error_before_a_folder_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-d", "image", "train.like_sizes=4", "-o", "run"]) == 2
    assert "these data have none" in capsys.readouterr().err
    assert not (here / "run").exists()
