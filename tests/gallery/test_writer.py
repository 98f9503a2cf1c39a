"""Drawing many samples: batches, memory, what is written, and how a stopped drawing is resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing_cases import SMALL, draw_and_stop, files, stop_after

import polydiff
from polydiff.cli import main
from polydiff.contract.domain import Samples
from polydiff.gallery import writer as drawing
from polydiff.gallery.journal import JOURNAL
from polydiff.gallery.writer import draw
from polydiff.model import request
from polydiff.model.batches import windows
from polydiff.support.errors import UserError


@pytest.mark.parametrize("one_file", [False, True])
@pytest.mark.parametrize("name", ["ring", "image", "molecule"])
def test_a_drawing_that_was_stopped_ends_with_the_same_bits(
    small_runs: Path, tmp_path: Path, name: str, one_file: bool
) -> None:
    model = polydiff.load(small_runs / name)
    how = {"seed": 3, "batch_size": 2, "one_file": one_file}
    if one_file and not hasattr(model.domain, "archive"):
        with pytest.raises(UserError, match="writes one file per sample"):
            draw(model, tmp_path / "none", 5, **how)
        return
    n = 70 if name != "molecule" else 100  # a window of molecules is 16 batches
    draw(model, tmp_path / "whole", n, **how)
    draw_and_stop(34 if name != "molecule" else 2, model, tmp_path / "parts", n, **how)
    assert (tmp_path / "parts" / JOURNAL).is_file()
    assert not (tmp_path / "parts" / "manifest.json").exists()
    progress_calls: list[tuple[int, int]] = []
    draw(model, tmp_path / "parts", n, **{**how, "batch_size": None}, progress=lambda *now: progress_calls.append(now))
    assert progress_calls[0] == ((68 if name != "molecule" else 64), n)
    assert progress_calls[-1] == (n, n)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert len(manifest["samples"]) == n
    assert not [name for name in files(tmp_path / "whole") if name.startswith(".")]


def test_files_hold_what_the_model_samples(small_runs: Path, tmp_path: Path) -> None:
    from PIL import Image

    model = polydiff.load(small_runs / "image")
    samples = model.sample(6, seed=1, batch_size=4)
    draw(model, tmp_path / "files", 6, seed=1, batch_size=4)
    draw(model, tmp_path / "one", 6, seed=1, batch_size=4, one_file=True)
    packed = np.load(tmp_path / "one" / "samples.npz")
    assert packed["arr_0"].dtype == np.uint8
    for i, example in enumerate(samples.examples):
        assert np.array_equal(packed["arr_0"][i], example.permute(1, 2, 0).numpy())
        assert np.array_equal(np.asarray(Image.open(tmp_path / "files" / f"sample-{i:05d}.png")), example[0].numpy())
    assert packed["arr_1"].tolist() == samples.cond["label"].tolist()
    assert zipfile.ZipFile(tmp_path / "one" / "samples.npz").testzip() is None


def test_molecules_in_one_file_are_the_records_of_those_in_many(small_runs: Path, tmp_path: Path) -> None:
    model = polydiff.load(small_runs / "molecule")
    for name in ("one", "many"):
        draw(model, tmp_path / name, 5, batch_size=2, one_file=name == "one")
    records = [(tmp_path / "many" / f"sample-{i:05d}.sdf").read_text() for i in range(5)]
    assert (tmp_path / "one" / "samples.sdf").read_text() == "".join(records)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 4}, r"was started with seed=0, not 4\. Use the same"),
        ({"n": 71}, r"was started with n=70, not 71"),
        ({"batch_size": 3}, r"was started with batch_size=2, not 3"),
        ({"cond": {"half": "upper"}}, r"was started with requested=\{\}, not \{'half': 'upper'\}"),
        ({"sampler": "ddim", "steps": 5}, r"was started with steps=4, not 5, sampler='auto', not 'ddim'"),
    ],
)
def test_other_samples_are_not_mixed_in(small_runs: Path, tmp_path: Path, changes: dict, said: str) -> None:
    model = polydiff.load(small_runs / "ring")
    draw_and_stop(33, model, tmp_path / "d", 70, batch_size=2)
    before = files(tmp_path / "d")
    with pytest.raises(UserError, match=said):
        draw(model, tmp_path / "d", **{"n": 70, **changes})
    assert files(tmp_path / "d") == before


def test_other_weights_are_not_mixed_in(small_runs: Path, tmp_path: Path) -> None:
    model = polydiff.load(small_runs / "ring")
    draw_and_stop(33, model, tmp_path / "d", 70, batch_size=2)
    with torch.no_grad():
        next(model.denoiser.parameters()).add_(1e-3)
    with pytest.raises(UserError, match="other weights"):
        draw(model, tmp_path / "d", 70)


def test_many_files_lie_in_folders(small_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "CROWD", 5)
    draw(polydiff.load(small_runs / "ring"), tmp_path, 6)
    names = [entry["file"] for entry in json.loads((tmp_path / "manifest.json").read_text())["samples"]]
    assert names == [f"00/sample-{i:05d}.json" for i in range(6)]
    assert all((tmp_path / name).is_file() for name in names)


@pytest.mark.parametrize("name", list(SMALL))
def test_a_stream_is_what_is_sampled_in_order(small_runs: Path, name: str) -> None:
    model = polydiff.load(small_runs / name)
    how = {"seed": 2, "batch_size": 3}
    whole, batches = model.sample(50, **how), list(model.stream(50, **how))
    assert len(batches) > 1 or name in ("molecule", "dense")
    assert str(Samples.join(batches).examples) == str(whole.examples)
    later = Samples.join(list(model.stream(2, first=48, **how)))
    alone = Samples.join(list(model.stream(1, first=49, seed=2)))
    for samples, place in ((later, slice(48, 50)), (alone, slice(49, 50))):
        for a, b in zip(numbers(samples.examples), numbers(whole.examples[place]), strict=True):
            torch.testing.assert_close(a, b, atol=2e-3 if name != "image" else 1.0, rtol=0)


def numbers(examples: Sequence[object]) -> list[torch.Tensor]:
    """Return examples as tensors."""
    return [torch.as_tensor(getattr(e, "positions", e), dtype=torch.float32) for e in examples]


def test_windows_begin_at_multiples_of_their_size() -> None:
    assert list(windows(range(5, 17), 6)) == [range(5, 6), range(6, 12), range(12, 17)]


def test_ctrl_c_keeps_samples_and_prints_how_to_resume(small_runs: Path, tmp_path: Path) -> None:
    words = ["sample", str(small_runs / "ring"), "-n", "1000000", "--batch-size", "64", "--steps", "20"]
    command = [sys.executable, "-m", "polydiff", *words, "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    journal = tmp_path / "out" / JOURNAL
    while not (journal.is_file() and journal.read_text().count("\n") > 2):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Stopped; " in err
    assert f"Resume with: polydiff sample {small_runs / 'ring'} -n 1000000 --batch-size 64" in err


def test_the_command_resumes_a_stopped_drawing(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(small_runs / "ring"), "-n", "70", "--batch-size", "2", "-o", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_after(40, monkeypatch)
        assert main([*words[:3], "2", *words[4:-1], str(tmp_path / "two")]) == 0
        stop_after(33, monkeypatch)
        assert main(words) == 130
    assert "66 of 70 samples are saved" in capsys.readouterr().err
    assert main([*words, "--seed", "5"]) == 2
    assert "was started with seed=0, not 5" in capsys.readouterr().err
    assert main(words) == 0
    assert main(words) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("sample-*.json"))) == 70


def test_the_first_samples_too_are_kept(small_runs: Path, tmp_path: Path) -> None:
    """What a fragment of the report shows is drawn again where it was not at hand, and nothing else is."""
    model = polydiff.load(small_runs / "ring")
    draw(model, tmp_path / "whole", 70, batch_size=4)
    draw_and_stop(5, model, tmp_path / "parts", 70, batch_size=4)
    before = {path: path.stat().st_ino for path in (tmp_path / "parts").glob("sample-*")}
    progress_calls: list[int] = []
    draw(model, tmp_path / "parts", 70, progress=lambda done, n: progress_calls.append(done))
    assert progress_calls[0] == len(before) == 20
    assert before == {path: path.stat().st_ino for path in before}
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_files_of_no_whole_batch_do_not_block_the_folder(small_runs: Path, tmp_path: Path) -> None:
    words = ["sample", str(small_runs / "ring"), "-n", "4", "-o"]
    assert main([*words, str(tmp_path / "whole")]) == 0

    def failing(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as full:
        full.setattr(drawing.Journal, "add", failing)
        assert main([*words, str(tmp_path / "full")]) == 2
    assert list((tmp_path / "full").glob("sample-*"))
    assert main([*words, str(tmp_path / "full")]) == 0
    assert files(tmp_path / "full") == files(tmp_path / "whole")


def test_what_was_put_in_place_before_a_crash_stays(small_runs: Path, tmp_path: Path) -> None:
    model, how = polydiff.load(small_runs / "molecule"), {"batch_size": 2, "one_file": True}
    draw(model, tmp_path / "whole", 70, **how)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(drawing, "write_manifest", crash)
        with pytest.raises(KeyboardInterrupt):
            draw(model, tmp_path / "parts", 70, **how)
    assert (tmp_path / "parts" / "samples.sdf").is_file()
    assert not (tmp_path / "parts" / "manifest.json").exists()
    progress_calls: list[int] = []
    draw(model, tmp_path / "parts", 70, **how, progress=lambda done, n: progress_calls.append(done))
    assert progress_calls == [70]
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def crash(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_run_has_many_names(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-n", "70", "--batch-size", "2", "-o", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as stopped:
        stop_after(33, stopped)
        assert main(["sample", str(small_runs / "ring"), *words]) == 130
    assert "66 of 70 samples are saved" in capsys.readouterr().err
    monkeypatch.chdir(small_runs)
    assert main(["sample", "ring", *words]) == 0


def test_a_guide_that_was_trained_further_is_another(
    small_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, guide = polydiff.load(small_runs / "ring"), polydiff.load(small_runs / "ring")
    monkeypatch.setattr(request, "guide_of", lambda model, how: guide)
    draw_and_stop(33, model, tmp_path / "d", 70, batch_size=2)
    with torch.no_grad():
        next(guide.denoiser.parameters()).add_(1e-3)
    with pytest.raises(UserError, match="other weights"):
        draw(model, tmp_path / "d", 70)


def test_an_incomplete_folder_is_reported_with_the_command_to_resume_it(
    small_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(small_runs / "ring"), "-n", "70", "--batch-size", "2"]
    with pytest.MonkeyPatch.context() as stopped:
        stop_after(3, stopped)
        assert main(words) == 130
    begun = capsys.readouterr().err.strip().rpartition(" -o ")[2]
    assert main([*words[:2], "-n", "2"]) == 0
    out, err = capsys.readouterr()
    assert f"{begun} is not complete. Resume it with -o {begun}." in err
    assert out.strip() != begun
    assert main([*words, "-o", begun]) == 0
    assert main([*words[:2], "-n", "2"]) == 0
    assert "not done" not in capsys.readouterr().err
