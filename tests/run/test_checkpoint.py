"""Checkpoints: exact round trips, and no byte of damage goes unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repository import ROOT

from polydiff.run.checkpoint import Checkpoint, latest, open_checkpoint, prune
from polydiff.run.folder import steps_saved
from polydiff.support import files
from polydiff.support.disk import WriteError
from polydiff.support.errors import UserError


def checkpoint(step: int = 30) -> Checkpoint:
    g = torch.Generator().manual_seed(step)
    tensors = [{"a.weight": torch.randn(3, 4, generator=g), "b": torch.tensor(step)} for _ in range(3)]
    return Checkpoint(step, {"config": {"seed": 1}, "statistics": {"std": 0.5}}, *tensors)


def test_a_checkpoint_comes_back_bit_by_bit(tmp_path: Path) -> None:
    path = checkpoint().save(tmp_path)
    assert path == tmp_path / "step-00000030"
    back = Checkpoint.load(path)
    assert back.step == 30
    assert back.state["statistics"] == {"std": 0.5}
    for name in ("model", "ema", "optimizer"):
        ours, theirs = getattr(checkpoint(), name), getattr(back, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_flipped_bit_and_every_cut_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    path = checkpoint().save(tmp_path)
    file = path / data.draw(st.sampled_from(sorted(file.name for file in path.iterdir())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    file.write_bytes(content)
    if file.name == "manifest.json" and same_facts(bytes(content)):
        return  # a space changed for another
    with pytest.raises(UserError, match="damaged"):
        Checkpoint.load(path)


def same_facts(manifest: bytes) -> bool:
    """Whether a changed manifest still says the same of the four files."""
    try:
        said = json.loads(manifest)
    except ValueError:
        return False
    return bool(said == facts())


def facts() -> object:
    """What the manifest of the test's checkpoint says."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return json.loads((checkpoint().save(Path(folder)) / "manifest.json").read_text())


def test_a_missing_file_raises_an_error_that_names_it(tmp_path: Path) -> None:
    path = checkpoint().save(tmp_path)
    (path / "ema.safetensors").unlink()
    with pytest.raises(UserError, match=r"ema\.safetensors"):
        Checkpoint.load(path)


def test_a_crash_while_saving_leaves_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(10).save(tmp_path)
    for name in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(files.os, name, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(WriteError, match="step-00000020 cannot be written: the disk is full"):
                checkpoint(20).save(tmp_path)
        assert steps_saved(tmp_path) == [10]
        assert Checkpoint.load(latest(tmp_path)).step == 10
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_pruning_keeps_the_newest_and_sweeps_drafts(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        checkpoint(step).save(tmp_path)
    (tmp_path / ".step-00000040.0123456789ab.tmp").mkdir()
    prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000030"]


def test_no_checkpoint_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        latest(tmp_path / "absent")
    with pytest.raises(UserError, match=r"There is no checkpoint .*step-00000007; .*absent holds none\."):
        Checkpoint.load(tmp_path / "absent" / "step-00000007")
    for step in (20, 30):
        checkpoint(step).save(tmp_path)
    with pytest.raises(
        UserError, match=r"There is no checkpoint .*step-00000007; those of .* are of the steps 20, 30\."
    ):
        Checkpoint.load(tmp_path / "step-00000007")


def test_a_newer_format_raises_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polydiff.run.checkpoint.FORMAT", 99)
    path = checkpoint().save(tmp_path)
    with pytest.raises(UserError, match="format 99"):
        Checkpoint.load(path)


GOLDEN = ROOT / "tests" / "golden" / "image" / "step-00000050"


def rewrite_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_files_of_two_checkpoints_are_noticed(tmp_path: Path) -> None:
    older, newer = checkpoint(20).save(tmp_path), checkpoint(30).save(tmp_path)
    shutil.copy(older / "ema.safetensors", newer)
    entry = json.loads((older / "manifest.json").read_text())["ema.safetensors"]
    rewrite_manifest(newer, lambda manifest: manifest.update({"ema.safetensors": entry}))
    with pytest.raises(UserError, match=r"manifest\.json: its entries do not match its digest"):
        Checkpoint.load(newer)


def test_a_file_that_was_taken_out_of_the_manifest_is_noticed(tmp_path: Path) -> None:
    path = replace(checkpoint(), averages=checkpoint(2).ema).save(tmp_path)
    rewrite_manifest(path, lambda manifest: manifest.pop("averages.safetensors"))
    with pytest.raises(UserError, match="do not match its digest"):
        Checkpoint.load(path)


def test_a_manifest_without_its_digest_is_noticed_but_in_old_checkpoints(tmp_path: Path) -> None:
    path = checkpoint().save(tmp_path)
    rewrite_manifest(path, lambda manifest: manifest.pop("set"))
    with pytest.raises(UserError, match=r"manifest\.json lacks its digest"):
        Checkpoint.load(path)
    golden = Checkpoint.load(GOLDEN)
    assert golden.state["format"] == 1
    again = Checkpoint.load(golden.save(tmp_path))  # as a resumed run saves it
    assert again.state == {**golden.state, "format": 2, "tensors": again.state["tensors"]}


def test_a_checkpoint_that_training_deletes_while_it_is_read_is_followed_by_the_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run" / "checkpoints"
    checkpoint(10).save(folder)
    before = Checkpoint.load
    tried: list[Path] = []

    def load(path: Path) -> Checkpoint:
        tried.append(path)
        if len(tried) == 1:
            checkpoint(20).save(folder)
            prune(folder, 1)
        return before(path)

    monkeypatch.setattr(Checkpoint, "load", load)
    assert open_checkpoint(tmp_path / "run").step == 20
    assert [path.name for path in tried] == ["step-00000010", "step-00000020"]
    (folder / "step-00000020" / "ema.safetensors").unlink()
    with pytest.raises(UserError, match=r"ema\.safetensors is missing"):
        open_checkpoint(tmp_path / "run")
    with pytest.raises(UserError, match="There is no checkpoint"):
        open_checkpoint(folder / "step-00000010")
