"""`polydiff data prepare moses`: packages, tables, counts, and files that are no MOSES."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.domains.sequence.data import moses
from polydiff.domains.sequence.domain import SequenceDomain

SPLITS = {
    "train": ["C" * n for n in range(1, 41)],
    "test": ["C" * n + "O" for n in range(1, 11)] + ["CO" * 5],
    "test_scaffolds": ["c1ccccc1" + "C" * n for n in range(1, 6)],
}
SPLITS["train"].append("OCC")


def table(smiles: list[str]) -> bytes:
    return gzip.compress("\n".join(["SMILES", *smiles, ""]).encode())


def files() -> dict[str, bytes]:
    inside = {f"moses/dataset/data/{name}.csv.gz": table(smiles) for name, smiles in SPLITS.items()}
    return {"moses/__init__.py": b"raise SystemExit('run')", "moses/dataset/data/test_stats.npz": b"?", **inside}


def wheel(path: Path, members: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (files() if members is None else members).items():
            archive.writestr(name, data)
    return path


def source(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files().items():
            member = tarfile.TarInfo(f"molsets-0.3.1/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def tables(folder: Path) -> Path:
    for name, smiles in SPLITS.items():
        (folder / f"{name}.csv.gz").write_bytes(table(smiles))
    return folder / "train.csv.gz"


def one_table(path: Path) -> Path:
    rows = [f"{one},{name}" for name, smiles in SPLITS.items() for one in smiles]
    path.write_text("\n".join(["SMILES,SPLIT", *rows]))
    return path


def prepare(*words: Any) -> int:
    return main(["data", "prepare", "moses", *map(str, words)])


def written(folder: Path) -> dict[str, list[str]]:
    found = {}
    for name in SPLITS:
        heading, *smiles = (folder / name / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        assert heading == "smiles"
        found[name] = smiles
    return found


@pytest.mark.parametrize("kind", ["wheel", "source", "tables", "one"])
def test_every_form_has_the_same_molecules(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {
        "wheel": lambda: wheel(tmp_path / "molsets-0.3.1-py3-none-any.whl"),
        "source": lambda: source(tmp_path / "molsets-0.3.1.tar.gz"),
        "tables": lambda: tables(tmp_path),
        "one": lambda: one_table(tmp_path / "dataset_v1.csv"),
    }[kind]()
    assert prepare(made, "-o", tmp_path / "moses") == 0
    assert written(tmp_path / "moses") == SPLITS
    said = capsys.readouterr().out
    assert "train 41 of 41, test 11 of 11, test_scaffolds 5 of 5" in said
    assert "MIT licence" in said
    assert "Polykovskiy" in (tmp_path / "moses" / "README.md").read_text(encoding="utf-8")


def test_an_installed_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(wheel(tmp_path / "a.whl")) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "site" / "molsets-0.3.1.dist-info").mkdir()
    (tmp_path / "site" / "molsets-0.3.1.dist-info" / "METADATA").write_text("Name: molsets\nVersion: 0.3.1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert metadata.version("molsets") == "0.3.1"
    assert prepare("-o", tmp_path / "moses") == 0
    assert written(tmp_path / "moses") == SPLITS


def test_without_the_package_the_error_says_how_to_fetch_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moses, "PACKAGE", "a-package-that-is-not-installed")
    assert prepare("-o", tmp_path / "moses") != 0
    assert "pip download molsets --no-deps" in capsys.readouterr().err
    assert not (tmp_path / "moses").exists()


def test_a_count_limits_each_split_evenly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(wheel(tmp_path / "a.whl"), "-o", tmp_path / "moses", "--count", 10) == 0
    found = written(tmp_path / "moses")
    assert found["train"] == [SPLITS["train"][i * 41 // 10] for i in range(10)]
    assert (len(found["test"]), len(found["test_scaffolds"])) == (10, 5)
    assert "train 10 of 41, test 10 of 11, test_scaffolds 5 of 5" in capsys.readouterr().out


def test_the_same_data_are_prepared_again_and_others_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, folder = wheel(tmp_path / "a.whl"), tmp_path / "moses"
    assert prepare(package, "-o", folder) == prepare(package, "-o", folder) == 0
    assert prepare(package, "-o", folder, "--count", 3) != 0
    assert "exists and is not an empty folder" in capsys.readouterr().err
    (folder / "mine.txt").write_text("kept")
    assert prepare(package, "-o", folder) != 0
    assert (folder / "mine.txt").read_text() == "kept"
    assert written(folder) == SPLITS


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"moses/__init__.py": b""}, "lacks the table train.csv.gz"),
        ({name: data for name, data in files().items() if "scaffolds" not in name}, "lacks the table test_scaffolds"),
        ({**files(), "moses/dataset/data/test.csv.gz": b"no gzip"}, "cannot be read"),
        ({**files(), "moses/dataset/data/test.csv.gz": table(SPLITS["test"])[:-12]}, "cannot be read"),
        ({**files(), "moses/dataset/data/test.csv.gz": gzip.compress(b"name\nC\n")}, "the columns NAME, not SMILES"),
    ],
)
def test_damaged_packages_are_refused(
    members: dict[str, bytes], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(wheel(tmp_path / "a.whl", members), "-o", tmp_path / "moses") != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "moses").exists()


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("C")
    (tmp_path / "a.whl").write_text("no archive")
    (tmp_path / "a.csv").write_text("SMILES,SPLIT\nC,other\n")
    for name, message in {"a.txt": "neither a package", "a.whl": "cannot be read", "a.csv": "the split other"}.items():
        assert prepare(tmp_path / name, "-o", tmp_path / "moses") != 0
        assert message in capsys.readouterr().err


def test_a_table_beyond_all_size_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moses, "LARGEST", 50)
    assert prepare(wheel(tmp_path / "a.whl"), "-o", tmp_path / "moses") != 0
    assert "more than 50 bytes" in capsys.readouterr().err


def test_texts_have_the_splits_of_the_folder_and_the_scaffolds_are_in_none(tmp_path: Path) -> None:
    assert prepare(wheel(tmp_path / "a.whl"), "-o", tmp_path / "moses") == 0
    config = resolve("sequence", values={"data.path": tmp_path / "moses"}).config
    splits = SequenceDomain(config).source.splits
    assert {name: [*split.whole()] for name, split in splits.items()} == {n: SPLITS[n] for n in ("train", "test")}
    found = SequenceDomain.inspect(config, ())
    assert found.advice == {"data.judge": "smiles"}
    assert found.quarantine
    assert found.quarantine.notes["outside"] == "5 lie outside of test/, train/ and are left out"
    assert SequenceDomain.inspect(config, ("data.judge",)).advice == {}
