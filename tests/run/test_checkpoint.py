"""Checkpoints: exact round trips, and no byte of damage goes unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polydiff.run.checkpoint import Checkpoint, latest, prune
from polydiff.run.folder import steps_saved
from polydiff.support import files
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
    return {k: (v["size"], v["sha256"]) for k, v in said.items()} == facts()


def facts() -> dict[str, tuple[int, str]]:
    """What the manifest of the test's checkpoint says."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        manifest = json.loads((checkpoint().save(Path(folder)) / "manifest.json").read_text())
    return {k: (v["size"], v["sha256"]) for k, v in manifest.items()}


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
            with pytest.raises(OSError, match="No space"):
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


def test_a_newer_format_raises_an_error(tmp_path: Path) -> None:
    saved = checkpoint()
    path = Checkpoint(saved.step, {**saved.state, "format": 99}, saved.model, saved.ema, saved.optimizer).save(tmp_path)
    with pytest.raises(UserError, match="format 99"):
        Checkpoint.load(path)
