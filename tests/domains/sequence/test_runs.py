"""Texts on the command line: a small run is trained, sampled, inpainted and judged."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from polydiff.cli import main
from polydiff.domains.sequence.alphabet import MASKED
from polydiff.domains.sequence.show import COLOURS

FEW = [
    *("data.largest=9", "backbone.width=16", "backbone.depth=1", "backbone.heads=1"),
    *("train.steps=4", "train.batch_size=8", "sample.steps=4", "--judge", "8"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "run"
    assert main(["train", "--domain", "sequence", "-o", str(folder), *FEW]) == 0
    return folder


def lines(folder: Path) -> list[str]:
    return [path.read_text().removesuffix("\n") for path in sorted(folder.glob("*.txt"))]


def test_a_gap_in_the_users_texts_is_filled_and_the_rest_kept(run: Path, tmp_path: Path) -> None:
    given = ["4+8=12", "1+1=2", "9+9=18"]
    (tmp_path / "sums.txt").write_text("\n".join(given))
    out = tmp_path / "filled"
    assert main(["inpaint", str(run), str(tmp_path / "sums.txt"), "--gap", "2:3", "-o", str(out)]) == 0
    assert lines(out / "given") == given
    made = lines(out / "made")
    assert len(made) == 3
    for before, after in zip(given, made, strict=True):
        cut = after + "\n" * 9  # the letter in the gap may be an end letter, behind which nothing is read
        assert cut.startswith(before[:2])
        assert after == before[:2] or after[3:] == before[3:]


def test_all_of_a_text_but_a_kept_part_may_change_its_length(run: Path, tmp_path: Path) -> None:
    (tmp_path / "sums.txt").write_text("4+8=12\n")
    words = [
        "inpaint",
        str(run),
        str(tmp_path / "sums.txt"),
        "--keep",
        "0:4",
        "--each",
        "6",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    made = lines(tmp_path / "out" / "made")
    assert len(made) == 6
    assert all(text.startswith("4+8=") for text in made)
    assert all(len(text) <= 7 for text in made)


def test_blanks_of_the_users_texts_are_filled(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "sums.txt", tmp_path / "out"
    path.write_text("4+_=12\n1+1=_\n")
    assert main(["inpaint", str(run), str(path), "-o", str(out)]) == 0
    assert lines(out / "given") == [f"4+{MASKED}=12", f"1+1={MASKED}"]
    first, second = lines(out / "made")
    assert first.startswith("4+")
    assert first[3:] in ("", "=12")  # an end letter in the blank ends the text
    assert second.startswith("1+1=")
    assert main(["vary", str(run), str(path)]) == 2
    assert "only inpainting fills" in capsys.readouterr().err
    path.write_text("4+8=12\n")
    assert main(["inpaint", str(run), str(path)]) == 2
    assert "write _ for letters to generate" in capsys.readouterr().err
    assert main(["inpaint", str(run)]) == 2
    assert "Set either --gap" in capsys.readouterr().err


def test_samples_have_no_mask_and_one_file_holds_them_all(run: Path, tmp_path: Path) -> None:
    assert main(["sample", str(run), "-n", "12", "-o", str(tmp_path / "each")]) == 0
    assert main(["sample", str(run), "-n", "12", "--one-file", "-o", str(tmp_path / "one")]) == 0
    each = lines(tmp_path / "each")
    assert (tmp_path / "one" / "samples.txt").read_text() == "".join(f"{text}\n" for text in each)
    assert not any(MASKED in text for text in each)


def test_a_likelihood_is_given_in_bits_a_letter(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["eval", str(run), "--likelihood", "vlb", "-n", "16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dimensions"] == 7
    row = found["likelihood"]["vlb"]
    assert row["bits_per_dim"] == pytest.approx(row["nats"] / 7 / 0.6931471805599453)


def test_the_floor_of_the_bound_of_sums_stands_beside_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["eval", str(run), "--likelihood", "-n", "16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["floor"]["nats"] == pytest.approx(math.log(100))
    assert found["floor"]["bits_per_dim"] == pytest.approx(math.log2(100) / 7)
    assert found["likelihood"]["vlb"]["nats"] > found["floor"]["nats"]
    assert main(["eval", str(run), "--likelihood", "-n", "16"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("floor  ") and "4.605" in line]
    assert line.split() == ["floor", "4.605", "0.6579", "0.9491"]


def test_the_report_shows_texts_beside_their_nearest_training_texts(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "letters to insert, delete or replace" in page
    assert f"color:{COLOURS['digit']}" in page


def test_a_region_outside_of_a_text_is_an_error(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inpaint", str(run), "--gap", "3:50"]) == 2
    assert "3:50 exceeds the 7 letters" in capsys.readouterr().err
