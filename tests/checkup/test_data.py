"""`polydiff data check` of any domain's data; that of sounds is tested beside them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from polydiff.checkup.data import guess
from polydiff.cli import main
from polydiff.contract.abilities import quarantine_of
from polydiff.contract.data.quarantine import Quarantine, keep, summary_lines
from polydiff.support.errors import UserError


def pictures(root: Path, n: int) -> Path:
    for i in range(n):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(root / "ab"[i % 2] / f"{i}.png")
    return root


def test_a_folder_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pictures(tmp_path / "pictures", 40)
    (root / "a" / "torn.png").write_bytes(b"no picture")
    (root / "b" / "gone.png").symlink_to("nowhere.png")
    assert main(["data", "check", str(root), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["domain"] == "image"
    assert facts["facts"]["train examples"] + facts["facts"]["test examples"] == facts["used"] == 40
    assert facts["facts"]["conditions"] == {"label": "2 classes"}
    assert set(facts["excluded"]) == {"a/torn.png", "b/gone.png"}
    (root / "a" / "more.png").write_bytes(b"")
    assert main(["data", "check", str(root)]) == 2
    assert "3 of 43 images" in capsys.readouterr().out
    assert main(["data", "check", str(root), "data.labels=nonee"]) == 2
    assert "data.labels" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["", "metadata.tsv"])
def test_lines_of_a_table_are_not_counted_as_images(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = pictures(tmp_path / "pictures", 24)
    names = sorted(one.relative_to(root).as_posix() for one in root.rglob("*.png"))
    lines = [f"{name}\tred\tround" for name in names]
    (root / "metadata.tsv").write_text("\n".join(["file_name\ttext", *lines]))
    assert main(["data", "check", str(root / path), "--domain", "image"]) == 2
    shown = capsys.readouterr()
    expected = "24 of 24 images" if path else "24 of 24 lines of tables in"
    assert expected in shown.out + shown.err
    assert "a tab in double quotes" in shown.out + shown.err
    assert "48" not in (shown.out + shown.err).replace(str(root), "")


def test_few_bad_lines_of_a_table_are_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pictures(tmp_path / "pictures", 40)
    names = sorted(one.relative_to(root).as_posix() for one in root.rglob("*.png"))
    (root / "metadata.csv").write_text("\n".join(["file_name,text", *(f"{n},red" for n in names), "gone.png,red"]))
    assert main(["data", "check", str(root)]) == 0
    assert "40 images found: 40 used, 0 excluded; 1 of 41 lines of tables not used" in capsys.readouterr().out
    assert main(["data", "check", str(root), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lines"] == {"found": 41, "excluded": {"metadata.csv, line 42": "there is no image gone.png"}}
    keep(Quarantine("here", "images", found=40, rows=41, bad_rows={"t.csv, line 2": "no"}), tmp_path)
    assert summary_lines(tmp_path) == [
        "40 images found: 40 used, 0 excluded; 1 of 41 lines of tables not used.",
        "  t.csv, line 2: no",
    ]


def test_the_kind_of_data_is_that_of_most_files(tmp_path: Path) -> None:
    pictures(tmp_path, 3)
    (tmp_path / "one.wav").write_bytes(b"")
    assert guess(tmp_path) == "image"
    assert guess(tmp_path / "one.wav") == "audio"
    for i in range(2):
        (tmp_path / f"{i}.flac").write_bytes(b"")
    with pytest.raises(UserError, match=r"\(3 \.png, 2 \.flac, 1 \.wav\) is unclear\. Set --domain"):
        guess(tmp_path)


def test_a_quarantine_adds_up_and_is_kept(tmp_path: Path) -> None:
    quarantine = Quarantine("here", "things", found=1000, left_out=100)
    assert quarantine.exclude("x", "two\n  lines")
    assert not quarantine.exclude("x", "another reason")
    assert quarantine.reasons == {"x": "two lines"}
    for i in range(49):
        quarantine.exclude(f"a{i:02d}", "torn")
    quarantine.check()
    assert quarantine.summary() == "1000 things found: 850 used, 100 left out, 50 excluded."
    assert quarantine.lines()[0] == "  a00: torn"
    assert len(quarantine.lines()) == 21
    assert quarantine.lines()[-1] == "  and 30 more"

    keep(quarantine_of(SimpleNamespace(quarantine=quarantine)), tmp_path)
    assert summary_lines(tmp_path) == [quarantine.summary(), *quarantine.lines()]
    quarantine.exclude("y", "one too many")
    with pytest.raises(UserError, match=r"51 of 1000 things in here"):
        quarantine.check()


def test_data_that_are_computed_have_no_summary(tmp_path: Path) -> None:
    class Domain:
        quarantine = None

    keep(quarantine_of(Domain()), tmp_path)
    keep(quarantine_of(object()), tmp_path)
    assert summary_lines(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_of_the_domain_whose_column_it_has(tmp_path: Path) -> None:
    def table(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    assert guess(table("a.csv", "id,SMILES\n1,CCO\n")) == "molecule"
    assert guess(table("a.tsv", "canonical_smiles\tlogp\nCCO\t1\n")) == "molecule"
    assert guess(table("p.csv", "id,sequence\n1,MKV\n")) == "sequence"
    assert guess(table("b.csv", "path,split\na.wav,test\n")) == "audio"
    assert guess(table("b.jsonl", '{"path": "a.wav"}\n')) == "audio"
    for name, text in {
        "c.csv": "a,b\n1,2\n",
        "d.csv": "",
        "e.jsonl": "[1, 2]\n",
        "f.jsonl": "no JSON",
        "g.tsv": "\0",
    }.items():
        columns = r"audio: path, file_name; molecule: smiles; sequence: sequence"
        with pytest.raises(UserError, match=rf"its domain is unclear .*{columns}\)\. Set --domain"):
            guess(table(name, text))


def test_a_text_is_one_unless_it_lies_beside_examples_of_another_domain(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    assert guess(tmp_path / "a.txt") == guess(tmp_path) == "sequence"
    pictures(tmp_path, 1)
    assert guess(tmp_path) == "image"  # of one picture and its caption


def test_a_table_of_molecules_is_one_whatever_lies_beside_it(tmp_path: Path) -> None:
    pictures(tmp_path, 3)
    (tmp_path / "own.csv").write_text("smiles,boiling\nCCO,78\n")
    assert guess(tmp_path / "own.csv") == "molecule"


def test_a_path_that_does_not_exist_is_an_error_in_every_domain(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["nowhere"], ["nowhere", "--domain", "image"], ["nowhere.csv", "--domain", "molecule"]):
        assert main(["data", "check", *words]) == 2
        assert f"There is no {Path(words[0]).absolute()}." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_beside_pictures_is_no_table_of_molecules(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, 3)
    lines = {"metadata.csv": "file_name,text\na/0.png,x\n", "metadata.jsonl": '{"file_name": "a/0.png"}\n'}
    (tmp_path / name).write_text(lines[name])
    with pytest.raises(UserError, match=r"beside files of the domain image\. Check their folder"):
        guess(tmp_path / name)
    for i in range(9):
        (tmp_path / f"{i}.csv").write_text("")
    assert guess(tmp_path) == "image"


def test_names_of_data_sets_decide_where_other_files_do_not(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"")
    assert guess(tmp_path) == guess(tmp_path / "train.parquet") == "image"
    (tmp_path / "README.md").write_text("x")
    assert guess(tmp_path) == "image"
    (tmp_path / "a.wav").write_bytes(b"")
    assert guess(tmp_path) == "audio"


def test_options_may_precede_the_word_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pictures(tmp_path / "pictures", 20)
    assert main(["data", "--domain", "image", "check", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["used"] == 20


def test_an_archive_is_of_the_domain_of_its_members(tmp_path: Path) -> None:
    for name, domain in (("a.png", "image"), ("a.wav", "audio")):
        shard = tmp_path / domain / "set.tar"
        shard.parent.mkdir()
        with tarfile.open(shard, "w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        assert guess(shard) == guess(shard.parent) == domain


def test_excluded_lines_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    quarantine = Quarantine(str(tmp_path), "images")
    for number in (10, 9, 100):
        quarantine.exclude(f"metadata.csv, line {number}", "no file")
    assert [line.split(":")[0].split()[-1] for line in quarantine.lines()] == ["9", "10", "100"]
