"""The domain audio: codec, conditions, metrics, players and files, with and without torchaudio."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from domain_cases import noise
from pydantic import ValidationError

from polydiff.contract.domain import Samples
from polydiff.core.conditions import Classes
from polydiff.core.streams import streams
from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio import spectrogram as features
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.data import clips as module
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.metrics import judge
from polydiff.support.errors import UserError

FEW = AudioConfig(data=AudioData(n_train=48, n_test=16))
"""Where it does not matter what samples are compared with."""


def write_classes(root: Path, classes: int = 2, files: int = 6) -> Path:
    g = torch.Generator().manual_seed(0)
    for c in range(classes):
        for i in range(files):
            (root / f"class{c}").mkdir(exist_ok=True)
            x = 0.1 * (c + 1) * torch.randn(6000, generator=g)
            soundfile.write(str(root / f"class{c}" / f"{i}.flac"), x.clamp(-1, 1).numpy(), 8000)
    return root


def test_decoding_undoes_encoding(audio: Audio) -> None:
    x, space, cond = audio.batch("train", range(64), streams(0, "augment", range(64)))
    sounds, values = audio.clips.source.clips("train", range(64))
    assert space.shape == (1, 4096)  # type: ignore[attr-defined]
    assert cond is not None
    assert audio.describe(cond) == values
    torch.testing.assert_close(torch.stack(audio.decode(x, space)), sounds)


def test_states_have_unit_variance(audio: Audio) -> None:
    x, _, _ = audio.batch("train", range(0, 100_000, 100), streams(0, "augment", range(1000)))
    assert float(x.square().mean().sqrt()) == pytest.approx(1, abs=0.05)


def test_statistics_are_measured_once_and_decode_without_data(audio: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_source", lambda data: pytest.fail("the data were opened"))
    again = Audio(AudioConfig(), audio.statistics)
    space, cond = again.blank(streams(0, "blank", range(4)), {"pitch": "C4"})
    x = space.noise(streams(0, "noise", range(4)))
    torch.testing.assert_close(torch.stack(again.decode(x, space)), audio.codec.decode(x))
    assert cond is not None
    assert again.describe(cond) == [{"pitch": "C4"}] * 4


@pytest.mark.parametrize(
    ("word", "index"),
    [("C4", 12), ("c4", 12), ("60", 12), ("C#4", 13), ("Db4", 13), ("48", 0), ("B4", 23), ("bb3", 10), ("any", -1)],
)
def test_notes_are_parsed(audio: Audio, word: str, index: int) -> None:
    _, cond = audio.blank(streams(0, "blank", range(2)), {"pitch": word})
    assert cond is not None
    assert cond["pitch"].tolist() == [index, index]


@pytest.mark.parametrize("word", ["12", "C9", "H4", "", "47", "C-1"])
def test_other_notes_raise(audio: Audio, word: str) -> None:
    with pytest.raises(UserError, match="pitch"):
        audio.blank(streams(0, "blank", range(2)), {"pitch": word})


def test_an_unknown_condition_raises(audio: Audio) -> None:
    with pytest.raises(UserError, match="Did you mean 'pitch'"):
        audio.blank(streams(0, "blank", range(2)), {"pitches": "C4"})


def test_conditions_of_new_samples_are_those_of_the_data(audio: Audio) -> None:
    _, many = audio.blank(streams(0, "blank", range(2400)), {})
    _, few = audio.blank(streams(0, "blank", [5, 1000]), {})
    assert many is not None
    assert few is not None
    assert torch.equal(few["pitch"], many["pitch"][[5, 1000]])
    counts = torch.bincount(many["pitch"], minlength=24)
    assert bool(((counts > 60) & (counts < 150)).all())
    assert audio.describe({"pitch": torch.tensor([0, -1])}) == [{"pitch": "C3"}, {"pitch": "any"}]


def test_metrics_separate_real_sounds_and_noise(audio: Audio) -> None:
    real, floor = audio.evaluate(audio.examples("test", 200)), audio.evaluate(noise(audio, 200))
    assert list(real) == list(floor)
    assert real["pitch_accuracy"].value == 1
    assert real["in_tune"].value > 0.97
    assert floor["pitch_accuracy"].value == floor["in_tune"].value == floor["voiced"].value == 0
    assert floor["log_mel_fd"].value > 50 * real["log_mel_fd"].value
    assert real["level_error"].value < 1.5


def test_requested_and_detected_notes_are_counted(audio: Audio) -> None:
    samples = audio.examples("test", 200)
    found = audio.confusions(samples)["pitch"]
    assert found.seen == [*audio.data_conditions.class_names("pitch"), "other", "none"]
    counts = torch.tensor(found.counts)
    assert int(counts.sum()) == int(counts.diagonal().sum()) == 200
    silent = audio.confusions(Samples([0 * x for x in samples.examples], samples.cond))["pitch"]
    assert sum(row[-1] for row in silent.counts) == 200
    assert audio.confusions(Samples(samples.examples)) == {}


def test_examples_come_from_the_whole_split(audio: Audio) -> None:
    samples = audio.examples("test", 24)
    assert len(samples) == 24
    assert samples.cond is not None
    assert len(samples.cond["pitch"].unique()) > 12
    assert all(map(torch.equal, samples.examples, audio.examples("test", 48).head(24).examples))
    few = Audio(AudioConfig(data=AudioData(n_test=30)), audio.statistics)
    assert len(few.examples("test", 10_000)) == few.size("test") == 30


def test_a_folder_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "STEPS", 4)
    data = AudioData(name="folder", path=write_classes(tmp_path))
    audio = Audio(AudioConfig(data=data))
    assert audio.conditions == {"label": Classes(2)}
    _, cond = audio.blank(streams(0, "blank", range(3)), {"label": "class1"})
    assert cond is not None
    assert cond["label"].tolist() == [1, 1, 1]
    judged = audio.evaluate(audio.examples("test", 8))
    class_metrics = ["label_agrees", "label_local_is", "label_local_mis", "label_local_am"]
    errors = ["level_error", "offset_error", "centroid_error", "attack_error", "ripple_error"]
    assert list(judged) == [*class_metrics, "log_mel_fd", *errors, "silent", "clipped", "copies"]
    assert "class" in audio.show(audio.examples("test", 2))
    assert audio.batch("train", [0], streams(0, "augment", [0])).x.shape == (1, 1, 4096)


def test_a_flat_folder_has_no_conditions(tmp_path: Path) -> None:
    data = AudioData(name="folder", path=write_classes(tmp_path) / "class0")
    audio = Audio(AudioConfig(data=data))
    assert audio.conditions == {}
    assert audio.batch("train", [0, 1], streams(0, "augment", [0, 1])).cond is None
    assert audio.blank(streams(0, "blank", range(2)), {})[1] is None
    assert audio.examples("test", 2).cond is None
    assert "sample 0" in audio.show(audio.examples("test", 2))
    assert set(audio.save(audio.examples("test", 1), tmp_path / "out")[0]) == {"file"}


def test_silent_data_raises(tmp_path: Path) -> None:
    for name in "ab":
        soundfile.write(str(tmp_path / f"{name}.wav"), torch.zeros(5000).numpy(), 8000)
    with pytest.raises(UserError, match="silent"):
        Audio(AudioConfig(data=AudioData(name="folder", path=tmp_path)))


def test_a_path_implies_the_source_folder() -> None:
    assert AudioData(path=Path("sounds")).name == "folder"
    assert AudioData().name == "plucks"


@pytest.mark.parametrize("wrong", [{"name": "folder"}, {"channels": 3}, {"length": 0}, {"lenght": 4096}])
def test_contradictory_settings_raise(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AudioData(**wrong)


@pytest.mark.parametrize("error", [ImportError("gone"), OSError("libc10_cuda.so"), RuntimeError("undefined symbol")])
def test_without_torchaudio_all_but_the_mel_works(
    audio: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    features.mel_transform.cache_clear()
    genuine = optional.importlib.import_module

    def fail(name: str, *package: str) -> Any:
        if name.startswith("torchaudio"):
            raise error
        return genuine(name, *package)

    monkeypatch.setattr(optional.importlib, "import_module", fail)
    assert Audio(FEW).conditions == {"pitch": Classes(24)}
    fresh = Audio(FEW, audio.statistics)
    assert fresh.batch("train", [0], streams(0, "augment", [0])).x.shape == (1, 1, 4096)
    samples = fresh.examples("test", 2)
    fresh.save(samples, tmp_path)
    assert len(fresh.evaluation.notes(samples) or []) == 2
    assert fresh.show(samples).count("<img") == 2
    judged = fresh.evaluate(samples)
    assert {name for name, metric in judged.items() if math.isnan(metric.value)} == {"log_mel_fd", "copies"}
    assert re.search(r"Not measured: torchaudio cannot be imported \(.*polydiff\[audio\]", judged["copies"].meaning)


@pytest.mark.parametrize("error", [ImportError("gone"), OSError("sndfile library not found"), RuntimeError("no ABI")])
def test_without_soundfile_all_but_files_works(
    audio: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    root, genuine = write_classes(tmp_path), optional.importlib.import_module

    def fail(name: str, *package: str) -> Any:
        if name == "soundfile":
            raise error
        return genuine(name, *package)

    monkeypatch.setattr(optional.importlib, "import_module", fail)
    fresh = Audio(FEW, audio.statistics)
    samples = fresh.examples("test", 2)
    assert "<audio" in fresh.show(samples)
    assert fresh.evaluate(samples)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((8, 5000)).astype(np.float32))
    assert Audio(AudioConfig(data=AudioData(path=tmp_path / "x.npy"))).size("train") > 0
    for needs_it in (
        lambda: fresh.save(samples, tmp_path / "out"),
        lambda: Audio(AudioConfig(data=AudioData(path=root))),
    ):
        with pytest.raises(UserError, match=r"soundfile, which cannot be imported \(.*polydiff\[audio\]"):
            needs_it()


def test_the_modules_import_without_torchaudio_and_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("polydiff.domains.audio")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("torchaudio", "soundfile"):
        monkeypatch.setitem(sys.modules, name, None)
    __import__("polydiff.domains.audio.domain")


@pytest.mark.parametrize("tasks", [("generate", "inpaint"), ("vocode",)])
def test_the_noise_range_follows_from_sounds_of_known_covariance(tmp_path: Path, tasks: tuple[str, ...]) -> None:
    g = np.random.default_rng(0)
    T, tone, hiss = 1024, 0.1, 0.01
    shape = np.sqrt(2) * np.sin(2 * np.pi * 64 * np.arange(T) / T)
    sounds = tone * g.normal(size=(1500, 1)) * shape + hiss * g.normal(size=(1500, T))
    np.save(tmp_path / "tones.npy", sounds.astype(np.float32))
    data = AudioData(name="folder", path=tmp_path / "tones.npy", length=T, whiten=0.0)
    exact = math.sqrt((tone**2 * T + hiss**2) / (tone**2 + hiss**2))
    for task in tasks:
        domain = Audio(AudioConfig(data=data, task=task))  # type: ignore[arg-type]
        assert domain.statistics["principal_std"] == pytest.approx(exact, rel=0.02)
        found = domain.suited({"schedule_options", "loss.times", "loss.times_options"})
        assert found["schedule_options"]["sigma_max"] == pytest.approx(4 * exact, rel=0.03)


def test_the_range_of_plucks_stays(audio: Audio) -> None:
    assert 4 < audio.statistics["principal_std"] < 80 / 4
    assert audio.suited({"schedule_options", "loss.times", "loss.times_options"}) == {}


def test_upsampling_keeps_the_range_of_its_preset() -> None:
    domain = Audio(AudioConfig(data=FEW.data, task="upsample"))
    assert "principal_std" not in domain.statistics
    assert domain.suited({"schedule_options"}) == {}
