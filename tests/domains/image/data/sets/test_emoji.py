"""`polydiff data prepare emoji`: captions, whole folders, and packages that cannot be read."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import image_layouts as layouts
import pytest

from polydiff.cli import main
from polydiff.core.conditions import Classes
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.data.sets.emoji import plain_words
from polydiff.domains.image.domain import Image


def prepare(package: Path, folder: Path) -> int:
    return main(["data", "prepare", "emoji", str(package), "-o", str(folder)])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GRINNING FACE", "grinning face"),
        ("KEYCAP: *", "keycap asterisk"),
        ("KEYCAP 1", "keycap 1"),
        ("Côte d’Ivoire Flag", "côte d'ivoire flag"),
        ("St. Kitts & Nevis Flag", "st kitts and nevis flag"),
        ("Cocos (Keeling) Islands Flag", "cocos keeling islands flag"),
        ("Congo - Kinshasa Flag", "congo kinshasa flag"),
        ("JACK-O-LANTERN", "jack-o-lantern"),
        ("flag_ac", "flag ac"),
        ("&&&", "and and and"),
        ("!?", ""),
    ],
)
def test_names_become_plain_words(name: str, words: str) -> None:
    assert plain_words(name) == words


def test_a_package_becomes_a_captioned_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = layouts.emoji_package(tmp_path / "emoji-datasource-twitter-16.0.0.tgz")
    assert prepare(package, tmp_path / "emoji") == 0
    said = capsys.readouterr().out
    assert "32 pictures of twitter with captions; 8 emoji have no picture, and 0 further pictures" in said
    rows = [
        json.loads(line) for line in (tmp_path / "emoji" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    first = {"file_name": "1f600.png", "text": "grinning face", "category": "Objects", "subcategory": "sub-0"}
    assert rows[0] == first
    assert rows[1]["text"] == "côte d'ivoire flag"
    assert {row["file_name"] for row in rows} == {path.name for path in (tmp_path / "emoji").glob("*.png")}
    image = Image(ImageConfig(data=ImageData(path=tmp_path / "emoji", size=8, conditions=("category",))))
    assert image.source.quarantine
    assert (image.source.quarantine.used, image.source.quarantine.reasons) == (32, {})
    assert image.conditions["category"] == Classes(2)
    assert "text" in image.conditions
    assert main(["data", "check", str(tmp_path / "emoji"), "data.size=8"]) == 0


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 1) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size if kind == tarfile.REGTYPE else 0, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (member("package/../../out.png"), "leads out of it"),
        (member("/etc/out.png"), "leads out of it"),
        (member("package\\..\\out.png"), "leads out of it"),
        (member("package/img/twitter/64/1f600.png", tarfile.SYMTYPE), "is a link or a device"),
        (member("package/img/twitter/64/1f600.png", tarfile.LNKTYPE), "is a link or a device"),
        (member("package/pipe", tarfile.FIFOTYPE), "is a link or a device"),
        (member("package/img/apple/64/1f600.png"), "the pictures of apple, twitter"),
    ],
)
def test_a_package_with_links_or_names_outside_of_it_writes_nothing(
    odd: tarfile.TarInfo, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = layouts.emoji_package(tmp_path / "a.tgz", [odd])
    assert prepare(package, tmp_path / "emoji") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


def test_a_damaged_package_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = layouts.emoji_package(tmp_path / "a.tgz")
    whole = package.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no package", whole[:400] + b"\xff" * 400 + whole[800:]):
        package.write_bytes(content)
        assert prepare(package, tmp_path / "emoji") == 2
        assert "cannot be read as a package of npm" in " ".join(capsys.readouterr().err.split())
        assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


def test_wrong_arguments_are_an_error_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = layouts.emoji_package(tmp_path / "a.tgz")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    for words, message in (
        (["data", "prepare", "emojo", str(package), "-o", "x"], "Unknown data set 'emojo'. Did you mean 'emoji'"),
        (["data", "prepare", "emoji", str(tmp_path / "gone.tgz"), "-o", "x"], "gone.tgz"),
        (["data", "prepare", "emoji", str(package)], "-o"),
        (["data", "prepare", "emoji", str(package), "-o", str(tmp_path / "full")], "is not an empty folder"),
        (["data", "prep"], "Did you mean 'prepare'"),
        (["data"], "check|prepare"),
    ):
        assert main(words) == 2
        assert message in " ".join(capsys.readouterr().err.split())
