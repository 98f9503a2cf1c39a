"""Folders of sound files: crops against whole files, splits, and invalid files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from audio_files_cases import RATE, folder_of, header, settings, sound, write

from polydiff.contract.data.columns import labelled
from polydiff.contract.data.places import Place
from polydiff.contract.fields import Labels
from polydiff.core.conditions import Classes
from polydiff.core.streams import streams
from polydiff.domains.audio.data import index as indexing
from polydiff.domains.audio.data.catalogue import Entry
from polydiff.domains.audio.data.crops import Header, read_crop
from polydiff.domains.audio.data.folder import Folder, split
from polydiff.domains.audio.data.index import Sound
from polydiff.support.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def named(name: str, **more: Any) -> Sound:
    """Return a sound of this name without a file."""
    folder, slash, _ = name.partition("/")
    columns = {"label": folder} if slash else {}
    return Sound(Entry(name, Place(Path(name)), columns, **more), Header(name, RATE, 1, 1000))


def test_crops_depend_on_their_generator_and_start_anywhere(tmp_path: Path) -> None:
    folder = Folder(settings(folder_of(tmp_path, 2, frames=50_000)))
    assert folder.size("train") == folder.size("test") == 50
    many, _ = folder.clips("train", [0] * 40, streams(0, "crop", range(40)))
    again, _ = folder.clips("train", [0] * 2, streams(0, "crop", [7, 9]))
    assert torch.equal(again, many[[7, 9]])
    assert len({float(x[0, 0]) for x in many}) == 40
    stretches, values = folder.clips("test", range(50))
    name = folder.splits["test"][0].entry.name
    whole = torch.from_numpy(soundfile.read(str(tmp_path / name), dtype="float32")[0])
    assert torch.equal(stretches.flatten(), whole)
    assert values == [{}] * 50


def test_class_folders(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path / ("dog" if i % 3 else "cat") / f"{i}.wav", sound(1000 * (i + 1), seed=i))
    write(tmp_path / "_background_" / "hum.wav", sound(9000))
    write(tmp_path / "dog" / ".hidden.wav", sound(9000))
    folder = Folder(settings(tmp_path))
    (field,) = folder.fields.values()
    assert isinstance(field, Labels)
    assert (*folder.fields, *field.names) == ("label", "cat", "dog")
    found = folder.splits["train"] + folder.splits["test"]
    assert len(found) == 12
    _, values = folder.clips("train", range(folder.size("train")))
    assert torch.bincount(field.encode([row["label"] for row in values]), minlength=2).tolist() == list(field.counts)
    assert Folder(settings(tmp_path, labels="none")).fields == {}
    (only,) = Folder(settings(tmp_path, only=("dog",))).fields.values()
    assert only.kind == Classes(1)
    with pytest.raises(UserError, match="Did you mean 'dog'"):
        Folder(settings(tmp_path, only=("dogs",)))
    write(tmp_path / "loose.wav", sound(1000))
    assert Folder(settings(tmp_path)).fields == {}
    with pytest.raises(UserError, match=r"loose\.wav"):
        Folder(settings(tmp_path, labels="folders"))


def test_the_splits_are_disjoint_and_new_files_move_no_others() -> None:
    sounds = [named(f"{i}.wav") for i in range(400)]
    (train, test), left_out = split(sounds, 0.1)[0].values(), split(sounds, 0.1)[1]
    names = [{sound.entry.name for sound in part} for part in (train, test)]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 400
    assert left_out == []
    assert 20 <= len(test) <= 60
    assert split(sounds[:200], 0.1)[0]["test"] == [sound for sound in test if sound in sounds[:200]]
    assert [len(part) for part in split(sounds[:2], 0.001)[0].values()] == [1, 1]
    speakers = [named(f"{word}/{s}_nohash_{k}.wav") for word in "ab" for s in range(50) for k in range(3)]
    sides = [{s.entry.name.partition("/")[2].partition("_")[0] for s in x} for x in split(speakers, 0.2)[0].values()]
    assert not sides[0] & sides[1]


def test_parts_of_one_file_are_in_one_split() -> None:
    spoken = [named(f"a b {i}.wav {k}:{k + 1} s", start=float(k), end=k + 1.0) for i in range(40) for k in range(5)]
    train, test = ({s.entry.name.rsplit(" ", 2)[0] for s in part} for part in split(spoken, 0.3)[0].values())
    assert test
    assert not train & test


def test_few_unreadable_files_are_excluded_and_many_stop_the_run(tmp_path: Path) -> None:
    folder_of(tmp_path, 40)
    (tmp_path / "torn.wav").write_bytes(b"RIFF not a sound")
    with pytest.warns(UserWarning, match=r"torn\.wav"):
        folder = Folder(settings(tmp_path))
    assert folder.size("train") + folder.size("test") == 40 * 3
    (tmp_path / "empty.flac").write_bytes(b"")
    (tmp_path / "words.mp3").write_text("not a sound")
    with pytest.raises(UserError, match=r"(?s)3 of 43 .*empty\.flac.*torn\.wav.*words\.mp3"):
        Folder(settings(tmp_path))


def test_a_file_cut_short_after_the_index_is_replaced_by_the_next(tmp_path: Path) -> None:
    folder = Folder(settings(folder_of(tmp_path, 40), test_share=0.01))
    cut, following = folder.splits["train"][3].entry, folder.splits["train"][4]
    write(tmp_path / cut.name, sound(500))
    with pytest.warns(UserWarning, match=cut.name):
        torn, _ = folder.clips("train", [3 * 3 + 1])
    assert torch.equal(torn[0], read_crop(following.entry.place, following.header, 0, 1000, RATE))
    assert (folder.quarantine.found, folder.quarantine.used) == (40, 39)
    for other in folder.splits["train"][10:13]:
        (tmp_path / other.entry.name).unlink()
    with pytest.raises(UserError, match="3 of 40"), pytest.warns(UserWarning, match="excluded"):
        folder.clips("train", range(3 * 10, 3 * 13))


def test_a_selection_of_classes_keeps_the_rest_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        folder_of(tmp_path / name, 3)
    Folder(settings(tmp_path))
    (tmp_path / "a" / "000.wav").touch()
    Folder(settings(tmp_path, only=("a",)))
    monkeypatch.setattr(indexing, "look", lambda place: pytest.fail(f"{place} was read again"))
    Folder(settings(tmp_path))


def test_values_that_are_not_finite_raise(tmp_path: Path) -> None:
    x = sound(1000).clone()
    x[0, 10] = torch.nan
    soundfile.write(str(tmp_path / "a.wav"), x.T.numpy(), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        read_crop(tmp_path / "a.wav", header(tmp_path / "a.wav"), 0, 1000, RATE)


def test_channels_follow_the_configuration(tmp_path: Path) -> None:
    x = sound(2000, 2)
    write(tmp_path / "a.wav", x)
    write(tmp_path / "b.wav", x)
    with pytest.raises(UserError, match=r"data\.mix=average"):
        Folder(settings(tmp_path))
    pieces = {mix: Folder(settings(tmp_path, mix=mix)).clips("train", [0])[0][0] for mix in ("average", "left")}
    stereo = Folder(settings(tmp_path, channels=2)).clips("train", [0])[0][0]
    assert stereo.shape == (2, 1000)
    assert torch.equal(pieces["left"], stereo[:1])
    torch.testing.assert_close(pieces["average"], stereo.mean(0, keepdim=True))
    write(tmp_path / "c.wav", sound(2000))
    mono = Folder(settings(tmp_path, channels=2))
    place = {x.entry.name: (s, i) for s, part in mono.splits.items() for i, x in enumerate(part)}["c.wav"]
    both = mono.clips(place[0], [2 * place[1]])[0][0]
    assert torch.equal(both[0], both[1])


def test_channels_that_cancel_are_warned_of(tmp_path: Path) -> None:
    x = sound(2000)
    for name in "ab":
        write(tmp_path / f"{name}.wav", torch.cat([x, -x]))
    with pytest.warns(UserWarning, match="power"):
        Folder(settings(tmp_path, mix="average")).clips("train", [0])


def test_a_low_sample_rate_raises_without_upsample(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.wav", sound(4000), rate=8000)
    with pytest.raises(UserError, match=r"8000 Hz.*data\.upsample=true"):
        Folder(settings(tmp_path))
    assert Folder(settings(tmp_path, upsample=True)).size("train") == 8


def test_empty_folders_raise(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sound file"):
        Folder(settings(tmp_path))
    with pytest.raises(UserError, match="no such file"):
        Folder(settings(tmp_path / "missing"))
    write(tmp_path / "only.wav", sound(1000))
    with pytest.raises(UserError, match="Sounds to train on: 1, held out: 0"):
        Folder(settings(tmp_path))


def test_classes_need_two_folders() -> None:
    one = [named("a/x.wav"), named("a/y.wav")]
    assert not labelled([sound.entry for sound in one], "auto", False, "sounds")
    assert labelled([sound.entry for sound in one], "folders", False, "sounds")


def test_folders_named_after_splits_are_splits_and_the_classes_lie_below(tmp_path: Path) -> None:
    numbers = {"train/bell": 9, "train/kick": 8, "test/bell": 6, "test/kick": 5, "validation/kick": 3, "extra": 2}
    for name, n in numbers.items():
        for i in range(n):
            write(tmp_path / name / f"{i}.wav", sound(1000 + i, seed=i))
    folder = Folder(settings(tmp_path))
    assert {side: len(part) for side, part in folder.splits.items()} == {"train": 17, "test": 11}
    (field,) = folder.fields.values()
    assert isinstance(field, Labels)
    assert (field.names, field.counts) == (("bell", "kick"), (9, 8))
    assert folder.quarantine.splits == {"bell": {"train": 9, "test": 6}, "kick": {"train": 8, "test": 5}}
    assert (folder.quarantine.used, folder.quarantine.left_out) == (28, 5)
    earlier = Folder(settings(tmp_path, rules=1))
    (field,) = earlier.fields.values()
    assert isinstance(field, Labels)
    assert field.names == ("extra", "test", "train", "validation")


def test_every_class_is_held_out_and_a_warning_names_those_with_few_sounds(tmp_path: Path) -> None:
    for name in ("bell", "kick"):
        for i in range(20):
            write(tmp_path / name / f"{name}{i}.wav", sound(1000, seed=i))
    with pytest.warns(UserWarning, match=r"Few examples are held out: bell \(\d of 20\), kick \(\d of 20\)"):
        folder = Folder(settings(tmp_path))
    assert all(1 <= n["test"] <= 4 for n in folder.quarantine.splits.values())


def test_copies_of_a_sound_in_any_lossless_format_are_in_one_split(tmp_path: Path) -> None:
    for i in range(30):
        samples = (30_000 * sound(200_000 if i == 0 else 2000, seed=i))[0].short().numpy()  # one is read in parts
        for name in (f"{i}.wav", f"copy of {i}.flac", f"other/{i}.aiff"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            soundfile.write(str(tmp_path / name), samples, RATE, subtype="PCM_16")
    folder = Folder(settings(tmp_path, test_share=0.3))
    side = {sound.entry.name: name for name, part in folder.splits.items() for sound in part}
    assert set(side.values()) == {"train", "test"}
    for i in range(30):
        assert side[f"{i}.wav"] == side[f"copy of {i}.flac"] == side[f"other/{i}.aiff"]
    assert folder.quarantine.notes["copies"] == "60 have the same samples as another one"
    again = Folder(settings(tmp_path, test_share=0.3))  # from the cached index
    assert {s.entry.name for s in again.splits["test"]} == {name for name in side if side[name] == "test"}
    before = Folder(settings(tmp_path, test_share=0.3, rules=1))
    assert "copies" not in before.quarantine.notes
    known = {name for name in side if any(s.entry.name == name for s in before.splits["test"])}
    assert any(f"{i}.wav" in known and f"copy of {i}.flac" not in known for i in range(30))


def test_copies_across_stated_splits_stay_with_a_warning_and_parts_of_a_file_are_no_copies(tmp_path: Path) -> None:
    for i in range(8):
        write(tmp_path / "data" / ("train" if i % 2 else "test") / f"{i}.wav", sound(2000, seed=i // 2))
    with pytest.warns(UserWarning, match="4 held-out sounds have the same samples as a training sound"):
        folder = Folder(settings(tmp_path / "data"))
    assert len(folder.splits["train"]) == len(folder.splits["test"]) == 4
    write(tmp_path / "one.wav", sound(6000))
    write(tmp_path / "two.wav", sound(6000, seed=1))
    rows = [f"{name}.wav,{a},{a + 0.12}" for name in ("one", "two") for a in (0, 0.12)]
    (tmp_path / "parts.csv").write_text("\n".join(["path,start,end", *rows]))
    assert "copies" not in Folder(settings(tmp_path / "parts.csv", test_share=0.5)).quarantine.notes


def test_captions_and_unknown_files_are_listed_and_columns_beside_a_sound_are_not(tmp_path: Path) -> None:
    folder_of(tmp_path, 4)
    for name in ("000.txt", "001.txt", "score.mid", "README", "001.json", "table.parquet"):
        (tmp_path / name).write_text('{"tempo": 3}')
    with pytest.warns(UserWarning, match=r"Ignored in .*: 2 \.txt, 1 "):
        found = Folder(settings(tmp_path, test_share=0.5)).quarantine
    assert found.ignored == {".txt": 2, ".mid": 1, "without a suffix": 1, ".parquet": 1}
    assert found.notes["captions"].endswith("are not read, except NAME.json and NAME.npy beside the sound NAME")
    (tmp_path / "score.mid").unlink()
    for name in ("000.txt", "001.txt", "README", "table.parquet"):
        (tmp_path / name).unlink()
    assert "captions" not in Folder(settings(tmp_path, test_share=0.5)).quarantine.notes
