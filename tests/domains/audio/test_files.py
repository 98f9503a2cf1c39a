"""Folders of sound files: crops against whole files, splits, and files that are not what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import torchaudio
from torch import Tensor

from polydiff.conditions import Classes
from polydiff.domains.audio import index as indexing
from polydiff.domains.audio.catalogue import Entry, catalogue
from polydiff.domains.audio.columns import labelled
from polydiff.domains.audio.config import AudioData
from polydiff.domains.audio.crops import Header, Place, read_crop
from polydiff.domains.audio.files import Folder, split
from polydiff.domains.audio.index import Sound, index
from polydiff.errors import UserError
from polydiff.fields import Labels
from polydiff.quarantine import Quarantine
from polydiff.random import streams

RATE = 16000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def sound(frames: int, channels: int = 1, seed: int = 0) -> Tensor:
    """A smooth random sound that no codec mistakes for another."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(channels, frames + 32, generator=g)
    smooth = torch.nn.functional.avg_pool1d(noise, 33, stride=1)
    return 0.5 * smooth / smooth.abs().max()


def write(path: Path, x: Tensor, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    form = ("OGG", "OPUS") if path.suffix == ".opus" else (None, None)
    soundfile.write(str(path), x.T.numpy(), rate, format=form[0], subtype=form[1])
    return path


def header(path: Path) -> Header:
    info = soundfile.info(str(path))
    return Header(path.name, info.samplerate, info.channels, info.frames)


def settings(root: Path, **more: Any) -> AudioData:
    return AudioData(**{"name": "folder", "path": root, "sample_rate": RATE, "length": 1000, **more})


def headers(root: Path) -> list[Header]:
    """The headers of all sounds under a folder, by way of the index."""
    aside = Quarantine(str(root), "sounds")
    return [sound.header for sound in index(catalogue(root, aside), root, RATE, aside)]


def named(name: str, **more: Any) -> Sound:
    """A sound of this name, which is nowhere."""
    folder, slash, _ = name.partition("/")
    columns = {"label": folder} if slash else {}
    return Sound(Entry(name, Place(Path(name)), columns, **more), Header(name, RATE, 1, 1000), False)


def folder_of(root: Path, n: int, frames: int = 3000) -> Path:
    for i in range(n):
        write(root / f"{i:03d}.wav", sound(frames, seed=i))
    return root


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff"])
@pytest.mark.parametrize(("frames", "channels", "rate"), [(14_000, 1, 16000), (80_003, 2, 48000), (1, 1, 16000)])
def test_a_crop_is_the_slice_of_the_whole_file_to_the_bit(
    tmp_path: Path, suffix: str, frames: int, channels: int, rate: int
) -> None:
    path = write(tmp_path / f"a.{suffix}", sound(frames, channels), rate)
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    assert whole.shape[1] == header(path).frames
    end = whole.shape[1]
    begins = {0, 1, 1151, 1152, 2303, 2305, 12345, end - 1000, end - 1, *range(max(0, end - 9000), end - 999, 797)}
    for begin in sorted(begin for begin in begins if 0 <= begin < end):
        crop = read_crop(path, header(path), begin, 1000, rate)
        assert torch.equal(crop[:, : end - begin], whole[:, begin : begin + 1000])
        assert not crop[:, end - begin :].any()


@pytest.mark.parametrize("rate", [24000, 48000])
def test_crops_of_opus_forget_where_they_were_read_from(tmp_path: Path, rate: int) -> None:
    g = torch.Generator().manual_seed(0)
    brown = torch.randn(2, 4 * rate, generator=g).cumsum(1)
    hiss = 0.05 * torch.randn(2, 4 * rate, generator=g)
    path = write(tmp_path / "a.opus", (0.3 * brown / brown.abs().max() + hiss).clamp(-1, 1), rate)
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    for begin in range(0, whole.shape[1] - 500, rate // 25):
        assert torch.equal(read_crop(path, header(path), begin, 500, rate), whole[:, begin : begin + 500])


def test_a_file_that_cannot_be_sought_in_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(str(path), sound(20_000)[0].numpy(), 8000, subtype="GSM610")
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32")[0])
    assert len(headers(tmp_path)) == 1
    for begin in (0, 1, 12_345):
        assert torch.equal(read_crop(path, header(path), begin, 1000, 8000)[0], whole[begin : begin + 1000])


def test_low_rates_of_mp3_are_read_without_complaint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.mp3", sound(100_000))
    whole = torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy())
    for begin in range(0, 99_000, 7001):
        assert torch.equal(read_crop(path, header(path), begin, 1000, RATE), whole[:, begin : begin + 1000])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("rate", "to"), [(44100, 16000), (48000, 44100), (22050, 16000), (16000, 8000), (8000, 16000)])
def test_a_resampled_crop_is_the_slice_of_the_whole_file_resampled(tmp_path: Path, rate: int, to: int) -> None:
    path = write(tmp_path / "a.wav", sound(30000, 2), rate)
    whole = torchaudio.functional.resample(
        torch.from_numpy(soundfile.read(str(path), dtype="float32", always_2d=True)[0].T.copy()), rate, to
    )
    assert whole.shape[1] == header(path).length_at(to)
    for begin in (0, 1, 160, 4321, whole.shape[1] - 1000):
        crop = read_crop(path, header(path), begin, 1000, to)
        torch.testing.assert_close(crop, whole[:, begin : begin + 1000], atol=1e-5, rtol=0)


def test_after_the_end_there_is_silence(tmp_path: Path) -> None:
    x = sound(700)
    path = write(tmp_path / "a.flac", x)
    crop = read_crop(path, header(path), 0, 1000, RATE)
    torch.testing.assert_close(crop[:, :700], x, atol=1e-4, rtol=0)
    assert bool((crop[:, 700:] == 0).all())
    for rate in (RATE, RATE // 2):
        assert torch.equal(read_crop(path, header(path), 10_000, 50, rate), torch.zeros(1, 50))


def test_no_more_than_the_crop_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(settings(folder_of(tmp_path, 3, frames=100_000)))
    read, frames = soundfile.SoundFile.read, []
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda f, n, **k: (frames.append(n), read(f, n, **k))[1])
    folder.clips("train", range(20), streams(0, "crop", range(20)))
    assert frames == [1000] * 20


def test_crops_follow_their_generator_and_begin_anywhere(tmp_path: Path) -> None:
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


def test_the_split_is_disjoint_and_new_files_move_none() -> None:
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


def test_parts_of_one_file_stay_on_one_side() -> None:
    spoken = [named(f"a b {i}.wav {k}:{k + 1} s", start=float(k), end=k + 1.0) for i in range(40) for k in range(5)]
    train, test = ({s.entry.name.rsplit(" ", 2)[0] for s in part} for part in split(spoken, 0.3)[0].values())
    assert test
    assert not train & test


def test_few_unreadable_files_are_put_aside_and_many_stop_the_run(tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match="3 of 40"), pytest.warns(UserWarning, match="left out"):
        folder.clips("train", range(3 * 10, 3 * 13))


def test_without_a_cache_sounds_are_looked_at_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_of(tmp_path / "data", 3)
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"cannot be written \(.*POLYDIFF_CACHE"):
            assert len(headers(root)) == 3


def test_a_choice_of_classes_leaves_the_rest_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        folder_of(tmp_path / name, 3)
    Folder(settings(tmp_path))
    (tmp_path / "a" / "000.wav").touch()
    Folder(settings(tmp_path, only=("a",)))
    monkeypatch.setattr(indexing, "look", lambda place: pytest.fail(f"{place} was read again"))
    Folder(settings(tmp_path))


def test_not_finite_numbers_are_no_sound(tmp_path: Path) -> None:
    x = sound(1000).clone()
    x[0, 10] = torch.nan
    soundfile.write(str(tmp_path / "a.wav"), x.T.numpy(), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        read_crop(tmp_path / "a.wav", header(tmp_path / "a.wav"), 0, 1000, RATE)


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, 3)
    first = headers(tmp_path)
    monkeypatch.setattr(indexing, "look", lambda place: pytest.fail(f"{place} was read again"))
    assert headers(tmp_path) == first


def test_a_damaged_index_is_made_again_and_a_changed_file_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    root = folder_of(tmp_path / "data", 2)
    first = headers(root)
    (memory,) = (tmp_path / "cache" / "audio").iterdir()
    for damage in ("", "[1, 2]", '{"000.wav": [1]}', memory.read_text()[:-5]):
        memory.write_text(damage)
        assert headers(root) == first
    write(root / "000.wav", sound(7777))
    assert headers(root)[0].frames == 7777


def test_channels_are_what_was_asked_for(tmp_path: Path) -> None:
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


def test_channels_that_cancel_are_told(tmp_path: Path) -> None:
    x = sound(2000)
    for name in "ab":
        write(tmp_path / f"{name}.wav", torch.cat([x, -x]))
    with pytest.warns(UserWarning, match="power"):
        Folder(settings(tmp_path, mix="average")).clips("train", [0])


def test_a_low_sample_rate_is_refused_unless_asked_for(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.wav", sound(4000), rate=8000)
    with pytest.raises(UserError, match=r"8000 Hz.*data\.upsample=true"):
        Folder(settings(tmp_path))
    assert Folder(settings(tmp_path, upsample=True)).size("train") == 8


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sound file"):
        Folder(settings(tmp_path))
    with pytest.raises(UserError, match="no such file"):
        Folder(settings(tmp_path / "missing"))
    write(tmp_path / "only.wav", sound(1000))
    with pytest.raises(UserError, match="Sounds to train on: 1, to hold out: 0"):
        Folder(settings(tmp_path))


def test_classes_need_two_folders() -> None:
    one = [named("a/x.wav"), named("a/y.wav")]
    assert not labelled(one, settings(Path()))
    assert labelled(one, settings(Path(), labels="folders"))
