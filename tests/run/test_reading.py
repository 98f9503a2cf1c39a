"""Runs from others: what is wrong with a file of a run is one error that names the file, and costs nothing before."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import tiny
from untrained import untrained

from polydiff.cli import main
from polydiff.contract.data import quarantine
from polydiff.model.model import Model
from polydiff.report.page import write_report
from polydiff.run.checkpoint import Checkpoint, latest, pack, write_files
from polydiff.run.folder import Run, step_of
from polydiff.support.errors import UserError
from polydiff.training.trainer import resume

FEW = {"train.steps": 2, "train.checkpoint_every": 1, "train.sample_every": 100, "train.ema_snapshots": 2}
TENSORS = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "averages.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("image", tmp_path_factory.mktemp("trained") / "run", **FEW)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def newest(run: Path) -> Path:
    return latest(run / "checkpoints")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def rewrite(run: Path, files: dict[str, bytes]) -> None:
    """Write other files to the newest checkpoint, with a right manifest."""
    write_files(newest(run), files, step_of(newest(run)) or 0)


def forge(run: Path, change: Callable[[dict[str, Any]], Any], **files: Any) -> None:
    """Rewrite the newest checkpoint with a right manifest, as an attacker does.

    Arguments:
        run: The run's folder.
        change: Changes the state.
        files: Stem of a file -> change of its tensors.
    """
    data = contents(newest(run))
    state = json.loads(data["state.json"])
    change(state)
    data["state.json"] = json.dumps(state).encode()
    for stem, other in files.items():
        tensors = load_file(newest(run) / f"{stem}.safetensors")
        other(tensors)
        data[f"{stem}.safetensors"] = pack(tensors)
    rewrite(run, data)


def nothing(state: dict[str, Any]) -> None:
    """Leave a state as it is, but for the counts that new checkpoints have and old ones have not."""
    state.pop("tensors")


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return the change that sets a dotted key."""

    def change(state: dict[str, Any]) -> None:
        *path, name = key.split(".")
        for part in path:
            state = state[part]
        state[name] = value

    return change


def drop(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda state: state.pop(key)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "loop": lambda path: path.symlink_to(path),
    "broken link": lambda path: path.symlink_to(path.with_name("absent")),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["manifest.json", "state.json", "ema.safetensors"])
def test_only_regular_files_of_a_checkpoint_are_read(kind: str, name: str, run: Path) -> None:
    (newest(run) / name).unlink()
    SPECIAL[kind](newest(run) / name)
    with pytest.raises(UserError, match=rf"is damaged: {name}"):
        Model.load(run)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "evaluation.json", "config.resolved.yaml", "config.input.yaml", "samples/real/show.html"]
)
def test_only_regular_files_of_a_run_are_read(kind: str, name: str, run: Path) -> None:
    (run / name).unlink(missing_ok=True)
    SPECIAL[kind](run / name)
    if kind in ("loop", "broken link") and name.endswith(".html"):
        assert "real examples" not in write_report(run).read_text()  # it is no set of samples
        return
    with pytest.raises(UserError, match=Path(name).name):
        write_report(run)


def test_a_link_inside_a_folder_is_followed(run: Path) -> None:
    (newest(run) / "ema.safetensors").rename(newest(run) / "blob")
    (newest(run) / "ema.safetensors").symlink_to("blob")
    moved = run.parent / "elsewhere"
    (run / "checkpoints").rename(moved)
    (run / "checkpoints").symlink_to(moved)
    assert Model.load(run).step == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("../x", {"size": 3, "sha256": "0" * 64}), r"lists '\.\./x'"),
        (put("/etc/passwd", {"size": 3, "sha256": "0" * 64}), "lists '/etc/passwd'"),
        (put("state", {}), "lists 'state'"),
        (drop("ema.safetensors"), "does not list ema"),
        (lambda manifest: manifest["state.json"].update(size=float("inf")), "Infinity"),
        (lambda manifest: manifest["state.json"].update(size=-1), "size"),
        (lambda manifest: manifest["state.json"].update(size="9"), "size"),
        (lambda manifest: manifest["state.json"].update(size=10**30), "size"),
        (lambda manifest: manifest["state.json"].update(size=10**12), "state.json has"),
        (lambda manifest: manifest["state.json"].update(sha256=None), "sha256"),
        (lambda manifest: manifest.update({"state.json": []}), "manifest.json"),
    ],
)
def test_an_odd_manifest_raises(change: Callable[[dict[str, Any]], object], words: str, run: Path) -> None:
    path = newest(run) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("set")  # it would be the first that is noticed
    if change.__qualname__.startswith("put"):
        key = next(name for name in ("../x", "/etc/passwd", "state") if f"'{name}'".replace(".", r"\.") in words)
        manifest[key] = {"size": 3, "sha256": "0" * 64}  # these names have dots of their own
    elif change.__qualname__.startswith("drop"):
        manifest.pop("ema.safetensors")
    else:
        change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=words):
        Checkpoint.load(newest(run))


DEEP = b"[" * 100_000


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", DEEP, b'{"a":' * 5000, b"9" * 5000])
@pytest.mark.parametrize("name", ["manifest.json", "state.json", "goal.json", "evaluation.json"])
def test_json_that_is_no_object_raises(text: bytes, name: str, run: Path) -> None:
    if name == "state.json":
        rewrite(run, {**contents(newest(run)), name: text})
    else:
        ((run if name in ("goal.json", "evaluation.json") else newest(run)) / name).write_bytes(text)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        write_report(run) if name == "evaluation.json" else resume(run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("step", 2.0), "step"),
        (put("step", True), "step"),
        (put("step", -2), "step"),
        (put("step", 7), "holds step 7, but its folder is named step-00000002"),
        (put("config", []), "config"),
        (put("config", {}), "does not name its domain"),
        (put("config.domain", 3), "domain"),
        (put("config.backbone", 3), "backbone"),
        (put("config.train.steps", 10**12), "train.steps"),
        (put("config.train.steps", "many"), "train.steps"),
        (put("config.sample.steps", 10**12), "sample.steps"),
        (put("config.train.batch_size", 10**12), "train.batch_size"),
        (put("config.seed", 10**5000), "digits"),
        (put("statistics", None), "statistics"),
        (put("statistics", {}), "statistics"),
        (put("statistics.std", float("nan")), "NaN"),
        (put("statistics.std", 0.0), "std should be above 0"),
        (put("statistics.std", "wide"), "statistics"),
        (put("statistics.mean", [0.0] * 7), "statistics|broadcast|size"),
        (put("statistics.mean", 5), "statistics"),
        (put("statistics.counts", ["a"]), "statistics"),
        (put("seconds", -1.0), "seconds"),
        (put("seconds", "long"), "seconds"),
        (put("examples", "all"), "examples"),
        (put("provenance", {"seed": 3}), "provenance"),
        (put("parents", {"train.init": {"path": 3}}), "parents"),
        (put("environment", []), "environment"),
        (put("environment", {"versions": {"torch": 2}}), "environment"),
        (put("tensors.averages", 1), "averages.safetensors holds"),
        (drop("examples"), "lacks 'examples'"),
        (drop("provenance"), "lacks 'provenance'"),
    ],
)
def test_an_odd_state_raises(change: Callable[[dict[str, Any]], object], words: str, run: Path) -> None:
    if "digits" in words:
        text = json.dumps({**json.loads((newest(run) / "state.json").read_text()), "seed": 1}).replace(
            '"seed": 1}', f'"seed": {"9" * 5000}}}'
        )
        rewrite(run, {**contents(newest(run)), "state.json": text.encode()})
    else:
        forge(run, change)
    with pytest.raises(UserError, match=words):
        resume(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone.channels", 10**9),
        ("backbone.channels", 2**40),
        ("backbone.channels", 2**16),
        ("backbone.blocks", 10**7),
        ("backbone.blocks", 1000),
        ("backbone.mult", [10**9, 1]),
        ("backbone.mult", [4096, 1]),
        ("data.size", 10**6),
    ],
)
def test_a_configuration_of_a_giant_network_raises_before_it_is_built(key: str, value: object, run: Path) -> None:
    forge(run, put(f"config.{key}", value))
    for use in (Model.load, resume):
        with pytest.raises(UserError, match=rf"far larger than its weights|does not fit|{re.escape(key)}"):
            use(run)


def to_int8(tensors: dict[str, torch.Tensor]) -> None:
    tensors |= {name: tensor.to(torch.int8) for name, tensor in tensors.items()}


def to_complex(tensors: dict[str, torch.Tensor]) -> None:
    tensors |= {name: tensor.to(torch.complex64) for name, tensor in tensors.items()}


def without_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors.pop(sorted(tensors)[0])


def unknown_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors["no/such"] = torch.zeros(1)


def longer_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors[sorted(tensors)[0]] = torch.zeros(7, 7)


@pytest.mark.parametrize("change", [to_int8, to_complex, without_one, unknown_one, longer_one])
@pytest.mark.parametrize("stem", ["model", "ema", "optimizer", "averages"])
def test_tensors_that_do_not_fit_raise(stem: str, change: Callable[..., None], run: Path) -> None:
    forge(run, nothing, **{stem: change})
    with pytest.raises(UserError, match=r"does not fit the network|lacks the tensor"):
        resume(run)


def test_a_file_that_loses_tensors_is_seen_whatever_they_are(run: Path) -> None:
    forge(run, lambda state: None, optimizer=lambda tensors: tensors.clear())
    with pytest.raises(UserError, match=r"optimizer\.safetensors holds 0 tensors instead of \d+"):
        Model.load(run)


def test_a_checkpoint_without_the_averages_of_its_run_is_not_resumed(run: Path) -> None:
    data = contents(newest(run))
    state = json.loads(data["state.json"])
    state.pop("tensors")
    rewrite(
        run,
        {**{n: d for n, d in data.items() if n != TENSORS[3]}, "state.json": json.dumps(state).encode()},
    )
    assert Model.load(run).step == 2
    with pytest.raises(UserError, match=r"averages\.safetensors of .* does not fit"):
        resume(run)


@pytest.mark.parametrize("data", [b"", b"\x80\x04}q\x00.", b"PK\x03\x04", b"\xff" * 64, b"\x10" + bytes(7) + b"{" * 16])
@pytest.mark.parametrize("name", TENSORS)
def test_a_file_that_is_no_safetensors_raises(name: str, data: bytes, run: Path) -> None:
    rewrite(run, {**contents(newest(run)), name: data})
    with pytest.raises(UserError, match=rf"is damaged: {name} is no safetensors file"):
        Model.load(run)


def test_a_checkpoint_under_the_number_of_another_raises(run: Path) -> None:
    folder = run / "checkpoints"
    shutil.copytree(folder / "step-00000001", folder / "step-00000009")
    with pytest.raises(UserError, match="holds step 1, but its folder is named step-00000009"):
        resume(run)
    shutil.rmtree(folder / "step-00000009")
    (folder / "step-00000009").symlink_to("step-00000001")
    with pytest.raises(UserError, match="holds step 1, but its folder is named step-00000009"):
        Model.load(run)
    (folder / "best").symlink_to("step-00000001")
    assert Model.load(folder / "best").step == 1


def test_a_snapshot_under_the_number_of_another_raises(run: Path) -> None:
    (run / "averages" / "step-00000001").rename(run / "averages" / "spare")
    shutil.copytree(run / "averages" / "step-00000002", run / "averages" / "step-00000001")
    with pytest.raises(UserError, match="holds step 2, but its folder is named step-00000001"):
        Model.load(run, ema=0.1)


ODD_LINES = [b"5", b"null", b'{"loss": 1}', b'{"step": "2"}', b'{"step": 1.5}', b'{"step": true}', b"\xff\xfe1\x00"]
ODD_LINES += [DEEP, b"9" * 5000, b'{"step": 1, "loss": "low"}', b'{"step": 1, "bins": 3}', b'{"step": 1, "loss": []}']
ODD_LINES += [b'{"step": 1, "bins": {"a": [1, 2]}}', b'{"step": 1, "bins": {"2": [1]}}', b'{"step": -1}', b"\x00"]
ODD_LINES += [b'{"step": 1, "bins": {"2": [1.0, 0]}}', b'{"step": 1, "loss": 1' + b"0" * 400 + b"}", b"step,loss"]


@pytest.mark.parametrize("line", ODD_LINES, ids=lambda line: repr(line[:30]))
def test_an_odd_line_of_the_log_is_skipped_with_a_warning_that_names_it(line: bytes, run: Path) -> None:
    first, *rest = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(first + line + b"\n" + b"".join(rest))
    with pytest.warns(UserWarning, match=r"metrics\.jsonl: skipped line 2, which is no record") as found:
        write_report(run)
    assert len(found) == 1
    with pytest.warns(UserWarning, match="skipped line 2"):
        resume(run, steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [record["step"] for record in Run(run).records()] == [1, 2, 3]


def test_many_odd_lines_give_one_warning(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("no\n" * 30 + '{"step": 1}\n{"step": 2, "lo')
    with pytest.warns(UserWarning, match=r"skipped lines 1, 2, .*, 10, \.\.\., which") as found:
        assert [record["step"] for record in Run(tmp_path).records()] == [1]
    assert len(found) == 1


@pytest.mark.parametrize("text", ["5", "{}", '{"place": 1}', "\x00", "[" * 9999, '{"found": 1e999}'])
def test_a_damaged_list_of_data_does_not_end_a_finished_training(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(text)
    lines = quarantine.summary_lines(tmp_path)
    assert all("data.json" in line for line in lines)


def test_damage_is_one_line_and_exit_code_2(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge(run, put("statistics.std", 0.0))
    for words in (["sample", str(run), "-n", "1"], ["resume", str(run)], ["eval", str(run)]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert "std should be above 0" in err
        assert "Traceback" not in err


def test_a_checkpoint_holds_the_number_of_tensors_of_each_file(run: Path) -> None:
    state = json.loads((newest(run) / "state.json").read_text())
    assert state["tensors"].keys() == {"model", "ema", "optimizer", "averages"}
    assert np.all(np.array(list(state["tensors"].values())) > 0)


def test_a_model_is_loaded_and_sampled_without_the_compiler_of_torch(tmp_path: Path) -> None:
    """Its import takes a second."""
    run = untrained(tmp_path / "run", "image", **{"data.size": 8, "backbone.channels": 8, "device": "cpu"})
    code = f"""
import sys, polydiff
print(len(polydiff.load({str(run)!r}).sample(2, steps=2).examples))
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
