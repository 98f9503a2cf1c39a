"""Resuming: changed data stop a run, and other versions and an edited configuration are one line of warning each."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import tiny

from polydiff.cli import main
from polydiff.contract.data.identity import changes, identity, identity_of
from polydiff.contract.discover import build_domain
from polydiff.machine.environment import version
from polydiff.machine.fingerprint import fingerprints
from polydiff.run.checkpoint import latest, read_state, write_files
from polydiff.run.folder import Run, steps_saved
from polydiff.support.errors import UserError
from polydiff.training.resumed import age
from polydiff.training.trainer import resume


def of_resume(found: pytest.WarningsRecorder) -> list[str]:
    """Return warnings without that of the few examples held out."""
    return [text for text in (str(warning.message) for warning in found) if not text.startswith("Few examples")]


def draw(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a run on a folder of pictures, and the folder."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "own").mkdir()
    for i in range(20):
        draw(folder / "own" / f"{i:02d}.png", i)
    words = {"data.path": folder / "own", "data.size": 8, "train.steps": 2, "train.sample_every": 100}
    return tiny("image", folder / "run", **words), folder / "own"


def trained_names(own: Path) -> list[str]:
    from polydiff.contract.data.splits import lot
    from polydiff.domains.image.data.assemble import WIDTH

    return [path.name for path in sorted(own.iterdir()) if lot(path.name, WIDTH) >= 0.5]


def replace_one(own: Path) -> None:
    draw(own / trained_names(own)[0], 99)


def replace_all(own: Path) -> None:
    for i, path in enumerate(sorted(own.iterdir())):
        draw(path, 100 + i)


def swap_two(own: Path) -> None:
    a, b, *_ = (own / name for name in trained_names(own))
    a.rename(own / "kept")
    b.rename(a)
    (own / "kept").rename(b)


def delete_one(own: Path) -> None:
    (own / trained_names(own)[0]).unlink()


def rename_one(own: Path) -> None:
    from polydiff.contract.data.splits import lot
    from polydiff.domains.image.data.assemble import WIDTH

    new = next(f"new{i}.png" for i in range(99) if lot(f"new{i}.png", WIDTH) >= 0.5)
    (own / trained_names(own)[0]).rename(own / new)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace_one, "their contents differ"),
        (replace_all, "their contents differ"),
        (rename_one, "their names differ"),
        (swap_two, "their order, or which name has which content differ"),
        (delete_one, r"was trained on \d+ examples, but there are \d+"),
    ],
)
def test_changed_pictures_stop_a_resumed_run_unless_that_is_allowed(
    change: Callable[[Path], None], words: str, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run, own = trained
    shutil.copytree(own, tmp_path / "kept")
    here = shutil.copytree(run, tmp_path / "run")
    try:
        change(own)
        with pytest.raises(UserError, match=rf"{words}.* --allow-changed-data"):
            resume(here, steps=3)
        assert steps_saved(here / "checkpoints")[-1] == 2
        with pytest.warns(UserWarning, match=words):
            resume(here, steps=3, allow_changed_data=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="Few examples")
            resume(here, steps=4)  # the new data are recorded
    finally:
        shutil.rmtree(own)
        (tmp_path / "kept").rename(own)


def test_the_command_line_names_the_change_and_the_option(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = shutil.copytree(trained[0], tmp_path / "run")
    edit(here, lambda state: state["data"].update(contents="0"))
    assert main(["resume", str(here), "train.steps=3", "--judge", "0"]) == 2
    assert "their contents differ. Restore the data" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="Training goes on with the data as they are"):
        assert main(["resume", str(here), "train.steps=3", "--judge", "0", "--allow-changed-data"]) == 0


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the state of the newest checkpoint."""
    newest = latest(run / "checkpoints")
    data = {path.name: path.read_bytes() for path in newest.iterdir() if path.name != "manifest.json"}
    state = json.loads(data["state.json"])
    change(state)
    write_files(newest, {**data, "state.json": json.dumps(state).encode()}, state["step"])


def test_a_checkpoint_without_the_record_is_resumed_with_a_note(trained: tuple[Path, Path], tmp_path: Path) -> None:
    here = shutil.copytree(trained[0], tmp_path / "run")
    edit(here, lambda state: state.pop("data"))
    with pytest.warns(UserWarning, match="no digest of its training data") as found:
        resume(here)
    assert len(of_resume(found)) == 1


def test_another_version_is_one_warning(trained: tuple[Path, Path], tmp_path: Path) -> None:
    here = shutil.copytree(trained[0], tmp_path / "run")
    edit(here, lambda state: state["environment"]["versions"].update(torch="99.0", polydiff="0.0.1", numpy="1.0"))
    said = r"polydiff 0\.0\.1, which is older than the installed .* torch 99\.0, which is newer than the installed"
    with pytest.warns(UserWarning, match=rf"{said} {re.escape(version('torch'))}\.") as found:
        resume(here)
    assert len(of_resume(found)) == 1


def test_versions_are_compared_by_their_numbers() -> None:
    assert age("2.9.1", "2.11.0") == "older than"
    assert age("2.11.0", "2.9.1+cpu") == "newer than"
    assert age("2.11.0+cpu", "2.11.0+cu130") == "another build than"


def test_an_edited_configuration_is_one_warning_that_names_the_keys(trained: tuple[Path, Path], tmp_path: Path) -> None:
    here = shutil.copytree(trained[0], tmp_path / "run")
    file = Run(here).resolved
    text = file.read_text()
    file.write_text(text.replace("batch_size: 8 ", "batch_size: 4 ", 1).replace("seed: 0 ", "seed: 7 ", 1) + "# note\n")
    with pytest.warns(
        UserWarning, match=r"changed after the run began: seed, train\.batch_size\. .* checkpoint"
    ) as found:
        resume(here, steps=3)
    assert len(of_resume(found)) == 1
    assert "batch_size: 8 " in file.read_text()  # the file holds what was used
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Few examples")
        resume(here)
    file.write_text("train: [")
    with pytest.warns(UserWarning, match="not YAML.* The values of the checkpoint are used"):
        resume(here)


def test_a_run_that_was_resumed_with_another_launch_is_no_edited_one(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    here = shutil.copytree(trained[0], tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Few examples")
        for steps in (3, 4):
            resume(here, steps=steps, launch={"timeout": 123.0} if steps == 3 else None)
            state, _ = read_state(latest(Run(here).checkpoints))
            assert (state["step"], state["config"]["launch"]["timeout"]) == (steps, 123.0)
            text = Run(here).resolved.read_text()
            Run(here).resolved.write_text(text.replace("timeout: 123.0", "timeout: 300.0"))


@pytest.mark.parametrize("domain", ["image", "audio", "molecule"])
def test_a_checkpoint_from_before_these_records_is_resumed(domain: str, tmp_path: Path) -> None:
    golden = Path(__file__).parent.parent / "golden" / domain / "step-00000050"
    shutil.copytree(golden, tmp_path / "run" / "checkpoints" / golden.name)
    with pytest.warns(UserWarning, match="no digest of its training data"):
        resume(tmp_path / "run", steps=51)
    assert steps_saved(tmp_path / "run" / "checkpoints") == [50, 51]


def write_sounds(folder: Path, change: str = "") -> None:
    soundfile = pytest.importorskip("soundfile")
    folder.mkdir(exist_ok=True)
    for i in range(6):
        t = np.arange(2048) / 8000
        soundfile.write(folder / f"{i}.wav", 0.5 * np.sin(2 * np.pi * (200 + 40 * i + 7 * bool(change)) * t), 8000)


def test_folders_of_sounds_and_files_of_molecules_have_an_identity(tmp_path: Path) -> None:
    from polydiff.config.merge import resolve

    write_sounds(tmp_path / "sounds")
    (tmp_path / "a.smi").write_text("CCO\nCCN\nCCC\nCO\nCN\n")
    for domain, path in (("audio", tmp_path / "sounds"), ("molecule", tmp_path / "a.smi")):
        values = {"data.path": path, **({"data.sample_rate": 8000, "data.length": 1024} if domain == "audio" else {})}
        found = [identity_of(build_domain(resolve(domain, values=values).config)) for _ in range(2)]
        assert found[0] == found[1]
        assert found[0] is not None
        assert found[0].keys() == {"count", "names", "contents", "order"}
    before = identity_of(build_domain(resolve("audio", values=sound_values(tmp_path)).config))
    write_sounds(tmp_path / "sounds", "other")
    after = identity_of(build_domain(resolve("audio", values=sound_values(tmp_path)).config))
    assert before is not None
    assert after is not None
    assert changes(before, after) == ["their contents"]


LINES = {
    "molecule": ["CCO", "CCN", "CCC", "CO", "CN", "CCCO", "CCCN", "COC", "CNC", "CC"],
    "sequence": [f"{a}+{b}={a + b}" for a in range(1, 6) for b in range(1, 6)],
}
OTHER = {"molecule": "CCS", "sequence": "7+7=14"}


def lines_as(domain: str, change: str) -> list[str]:
    """Return the lines of a file of molecules or texts after a change."""
    lines = list(LINES[domain])
    if change == "replaced":  # two lines, since a held-out one changes no training
        lines[2:4] = [f"{OTHER[domain]}", lines[3] * 2 if domain == "molecule" else "8+8=16"]
    elif change == "reordered":
        lines.reverse()
    elif change == "added":
        lines += [OTHER[domain], *(["CCCS", "CCF", "CCCl"] if domain == "molecule" else ["9+9=18", "6+6=12", "1+9=10"])]
    return lines


@pytest.mark.parametrize("change", ["replaced", "reordered", "added"])
@pytest.mark.parametrize("domain", sorted(LINES))
def test_changed_files_of_lines_have_another_identity(domain: str, change: str, tmp_path: Path) -> None:
    from polydiff.config.merge import resolve

    path = tmp_path / {"molecule": "a.smi", "sequence": "a.txt"}[domain]
    found = []
    for state in ("", change):
        path.write_text("\n".join(lines_as(domain, state)) + "\n")
        found.append(identity_of(build_domain(resolve(domain, values={"data.path": path}).config)))
    before, now = found
    assert before is not None
    assert now is not None
    assert changes(before, now)


@pytest.mark.parametrize("change", ["rename", "add"])
def test_renamed_and_added_sounds_have_another_identity(change: str, tmp_path: Path) -> None:
    from polydiff.config.merge import resolve

    write_sounds(tmp_path / "sounds")
    before = identity_of(build_domain(resolve("audio", values=sound_values(tmp_path)).config))
    for i in range(6):  # those that are held out do not count
        old = tmp_path / "sounds" / f"{i}.wav"
        new = tmp_path / "sounds" / f"{i}b.wav"
        shutil.copy(old, new)
        if change == "rename":
            old.unlink()
    now = identity_of(build_domain(resolve("audio", values=sound_values(tmp_path)).config))
    assert before is not None
    assert now is not None
    assert changes(before, now)


def sound_values(folder: Path) -> dict[str, Any]:
    return {"data.path": folder / "sounds", "data.sample_rate": 8000, "data.length": 1024}


@pytest.mark.parametrize("domain", ["image", "audio", "molecule"])
def test_embedded_data_have_a_name_and_a_number(domain: str) -> None:
    from polydiff.config.merge import resolve

    values = {"data.max_heavy": 3} if domain == "molecule" else {}
    found = identity_of(build_domain(resolve(domain, values=values).config))
    assert found is not None
    assert found.keys() == {"count", "names"}
    assert changes(found, {**found, "names": "0"}) == ["their names"]
    assert changes(found, {**found, "count": 3})[0].startswith("their number (3, not ")


def test_each_kind_of_change_is_distinguished() -> None:
    before = identity([("a", "1"), ("b", "2"), ("c", "3")])
    assert changes(before, identity([("a", "1"), ("b", "2"), ("c", "3")])) == []
    assert changes(before, identity([("b", "2"), ("a", "1"), ("c", "3")])) == [
        "their order, or which name has which content"
    ]
    assert changes(before, identity([("a", "2"), ("b", "1"), ("c", "3")])) == [
        "their order, or which name has which content"
    ]
    assert changes(before, identity([("a", "1"), ("d", "2"), ("c", "3")])) == ["their names"]
    assert changes(before, identity([("a", "1"), ("b", "2"), ("c", "4")])) == ["their contents"]
    assert len(changes(before, identity([("a", "1")]))) == 3


def test_fingerprints_see_each_block_and_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    large.write_bytes(bytes(5 * 2**20))
    first = fingerprints([small, large, tmp_path / "absent"], tmp_path)
    assert first[tmp_path / "absent"] == ""
    monkeypatch.setattr("polydiff.machine.fingerprint.fingerprint", lambda *_: pytest.fail("read again"))
    assert fingerprints([small, large, tmp_path / "absent"], tmp_path) == first
    monkeypatch.undo()
    stamp = small.stat()
    small.write_bytes(b"abd")
    os.utime(small, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a copy that keeps times does
    with large.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    second = fingerprints([small, large], tmp_path)
    assert second[small] != first[small]
    assert second[large] != first[large]


def test_the_identity_is_in_every_checkpoint(trained: tuple[Path, Path]) -> None:
    newest = latest(trained[0] / "checkpoints")
    data = json.loads((newest / "state.json").read_text())["data"]
    assert data.keys() == {"count", "names", "contents", "order"}
    assert load_file(newest / "ema.safetensors")
