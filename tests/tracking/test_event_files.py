"""What TensorBoard's own library reads of event files is what metrics.jsonl and the samples' files hold."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from process_jobs import train_all
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from together import together
from tracking_cases import STEPS, curves, watched, watched_twice

from polydiff.run.folder import Run
from polydiff.tracking.event_files import Tracking
from polydiff.tracking.tracker import Tracked


def events(folder: Path) -> Any:
    """Read the event files of a folder as TensorBoard does, all of each."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "audio": 0, "tensors": 0})
    return found.Reload()


def assert_same_curves(found: Any, run: Run) -> None:
    """Every number of metrics.jsonl stands in the event files once, in its order, as float32; nothing else does."""
    expected = curves(run)
    assert set(found.Tags()["scalars"]) == set(expected)
    for name, points in expected.items():
        read = [(event.step, event.value) for event in found.Scalars(name)]
        assert read == [(step, float(np.float32(value))) for step, value in points], name


@pytest.mark.usefixtures("ring")
def test_curves_are_those_of_metrics_jsonl(tmp_path: Path) -> None:
    run = watched(tmp_path / "run", track=["tensorboard"])
    found = events(run.path / "tensorboard")
    assert_same_curves(found, run)
    assert any(name.startswith("loss_by_log_snr/") for name in found.Tags()["scalars"])
    texts = [tag for tag in found.Tags()["tensors"] if tag.startswith("samples/")]
    assert len(texts) == 16
    assert [event.step for event in found.Tensors("samples/0")] == [6, 12]
    assert [event.step for event in found.Tensors("real/0")] == [0]
    (text,) = found.Tensors("samples/3")[1].tensor_proto.string_val
    assert text.decode().strip() == next((run.samples(12)).glob("*00003.json")).read_text()


@pytest.mark.usefixtures("ring")
def test_the_curves_of_a_run_that_crashed_and_was_resumed_hold_each_step_once(tmp_path: Path) -> None:
    run = watched_twice(tmp_path / "run", track=["tensorboard"])
    assert len(list((run.path / "tensorboard").iterdir())) == 2
    found = events(run.path / "tensorboard")
    assert_same_curves(found, run)
    assert [event.step for event in found.Scalars("loss")] == list(range(1, 13))


def test_pictures_and_sounds_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    paths = [tmp_path / "files" / name for name in ("a.png", "b.wav", "c.txt", "d.bin")]
    Image.linear_gradient("L").resize((6, 4)).save(paths[0])
    with wave.open(str(paths[1]), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(60, dtype="<i2").tobytes())
    paths[2].write_text("# no title\n<b>")
    paths[3].write_bytes(b"\xff\xfe\x00")
    tracking = Tracking(Tracked(tmp_path, "key", {}), folder=str(tmp_path / "events"))
    tracking.samples(3, "samples", paths)
    tracking.close()
    found = events(tmp_path / "events")
    (picture,) = found.Images("samples/0")
    assert (picture.step, picture.width, picture.height) == (3, 6, 4)
    assert picture.encoded_image_string == paths[0].read_bytes()
    (sound,) = found.Audio("samples/1")
    assert (sound.sample_rate, sound.length_frames, sound.content_type) == (8000.0, 30, "audio/wav")
    assert sound.encoded_audio_string == paths[1].read_bytes()
    (text,) = found.Tensors("samples/2")[0].tensor_proto.string_val
    assert text.decode() == "    # no title\n    <b>"
    assert found.Tags()["tensors"] == ["samples/2"]


def test_samples_of_images_are_pictures(tmp_path: Path) -> None:
    small = {"backbone.channels": 16, "backbone.blocks": 1, "train.steps": 2, "train.batch_size": 4}
    run = watched(tmp_path / "run", "image", track=["tensorboard"], **small)
    found = events(run.path / "tensorboard")
    (picture,) = found.Images("samples/5")
    assert picture.encoded_image_string == next(run.samples(2).glob("*00005.png")).read_bytes()


def test_the_first_of_several_processes_records_alone(tmp_path: Path) -> None:
    small = {"backbone.channels": 16, "backbone.blocks": 1, "train.steps": 2, "train.batch_size": 4, "device": "cpu"}
    together(2, train_all, tmp_path, {"run": ("image", {**STEPS, **small, "track": ["tensorboard"]})})
    run = Run(tmp_path / "run")
    assert len(list((run.path / "tensorboard").iterdir())) == 1
    assert_same_curves(events(run.path / "tensorboard"), run)
