"""WebDataset archives of sounds."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_sources_cases import RATE, everything, folder, sound, write

from polydiff.contract.data.places import Place
from polydiff.core.conditions import Classes
from polydiff.domains.audio.data.crops import read_frames
from polydiff.support.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def shard(path: Path, numbers: range, suffix: str = "flac") -> Path:
    """Write a WebDataset archive with members in random order."""

    def member(name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))

    with tarfile.open(path, "w") as archive:
        for i in numbers:
            buffer, array = io.BytesIO(), io.BytesIO()
            soundfile.write(buffer, sound(i), RATE, format=suffix.upper(), subtype="FLOAT" if suffix == "wav" else None)
            np.save(array, np.full((2, 3), i + 1.0))
            member(f"part/{i:04d}.json", json.dumps({"tempo": i}).encode())
            member(f"part/{i:04d}.{suffix}", buffer.getvalue())
            member(f"part/{i:04d}.npy", array.getvalue())
            member(f"part/{i:04d}.cls", str(i % 2).encode())
            member(f"part/{i:04d}.txt", f"text {i}".encode())
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_archives_are_read_by_seeking(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "shards").mkdir()
    for k in range(2):
        shard(tmp_path / "shards" / f"{k}.tar", range(5 * k, 5 * k + 5), suffix)
    source = folder(tmp_path / "shards", conditions=("tempo", "embedding"))
    assert source.fields["label"].kind == Classes(2)
    clips = everything(source)
    assert len(clips) == 10
    for name, (clip, metadata) in clips.items():
        i = int(Path(name).stem)
        assert name == f"{i // 5}.tar/part/{i:04d}.{suffix}"
        assert (metadata["label"], metadata["tempo"]) == (str(i % 2), i)
        assert metadata["embedding"].tolist() == [[i + 1.0] * 3] * 2
        plain = tmp_path / f"{i}.{suffix}"
        with tarfile.open(tmp_path / "shards" / f"{i // 5}.tar") as archive:
            plain.write_bytes(archive.extractfile(f"part/{i:04d}.{suffix}").read())  # type: ignore[union-attr]
        assert torch.equal(clip, read_frames(Place(plain), 0, 256)[0])


def test_sound_files_beside_archives_raise(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", range(6), "wav")
    (tmp_path / "._a.tar").write_bytes(b"x" * 600)
    assert folder(tmp_path).quarantine.found == 6
    write(tmp_path / "sub" / "x.wav", 1)
    with pytest.raises(UserError, match=r"contains archives, such as a\.tar, and sound files, such as sub/x\.wav"):
        folder(tmp_path)


def test_of_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", range(6), "wav")
    with tarfile.open(path, "a") as archive:
        archive.add(write(tmp_path / "new.wav", 8), "part/0005.wav")
    (tmp_path / "new.wav").unlink()
    source = folder(tmp_path)
    assert source.quarantine.found == 6
    assert torch.equal(everything(source)["a.tar/part/0005.wav"][0], torch.from_numpy(sound(8)[:256]))


def test_a_truncated_archive_is_reported(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", range(60), "wav")
    assert len(everything(folder(path))) == 60
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        last = archive.getmember("part/0059.wav")
    path.write_bytes(whole[: last.offset_data + last.size // 2])
    with pytest.warns(UserWarning, match=r"a\.tar/part/0059\.wav: the archive ends in the middle of it"):
        source = folder(path)
    assert (source.quarantine.found, source.quarantine.used) == (60, 59)
    middle = last.offset - 512 * 40
    path.write_bytes(whole[:middle] + b"x" * (len(whole) - middle))
    with pytest.warns(UserWarning, match=r"a\.tar: "):
        folder(path)
    (tmp_path / "no.tar").write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match=r"no\.tar: it is not a tar archive"):
        folder(tmp_path / "no.tar")
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(UserError, match="Unpack it"):
        folder(tmp_path / "a.tar.gz")
