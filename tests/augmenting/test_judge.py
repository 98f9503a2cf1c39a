"""What is learned of real and synthetic examples, and which runs may be used for how many real ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from augment_cases import APART, Clouds, cloud_model, clouds
from untrained import SMALL, untrained

import polydiff
from polydiff.augmenting import judge as judging
from polydiff.augmenting.augment import augment
from polydiff.augmenting.folder import SYNTHETIC, DataFolder
from polydiff.augmenting.judge import Generated, check, chosen_runs, judge
from polydiff.augmenting.verdict import WAYS, verdict
from polydiff.cli import main
from polydiff.cli.printing.augmentation import judged_table
from polydiff.config.merge import resolve
from polydiff.gallery.journal import opened
from polydiff.metrics.standard_error import mean
from polydiff.model.model import Model
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError


@pytest.fixture
def cloud_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "domain_with", lambda model, k: Clouds(clouds(), k))


def generated(tmp_path: Path, model: Model, per_class: int, name: str = "run") -> Generated:
    return Generated(name, model, augment(model, tmp_path / name, per_class))


def test_a_perfect_generator_is_a_gain_with_few_real_examples(tmp_path: Path, cloud_domains: None) -> None:
    """The accuracy with the exact means is Phi(d / 2), and with means of n points of dimension D it is

    Phi(d^2 / (2 sqrt(d^2 + 4 D / (2 n)))) to leading order, so that 5 examples of a class learn measurably less.
    """
    found = judge([5], [generated(tmp_path, cloud_model(), 400)])[0]
    normal = 0.5 * (1 + math.erf(APART / 2 / math.sqrt(2)))
    assert mean(found.scores["synthetic"]).value == pytest.approx(normal, abs=0.015)  # 4,000 held-out points
    assert mean(found.scores["real"]).value < normal - 0.03
    assert found.as_json()["verdict"] == verdict(found.scores) == "gain"
    assert {name: len(values) for name, values in found.scores.items()} == dict.fromkeys(WAYS, 5)


def test_a_useless_generator_is_no_gain(tmp_path: Path, cloud_domains: None) -> None:
    """Points of the other class teach the opposite."""
    swapped = clouds()
    swapped.labels = swapped.labels.flip(0)
    found = judge([5], [generated(tmp_path, cloud_model(swapped), 100)])[0]
    assert mean(found.scores["synthetic"]).value < 0.25
    assert verdict(found.scores).startswith("no gain")


class Errors(Clouds):
    """Points whose classes are judged by the share of errors, without changes of examples."""

    better, plain_augmentation = "lower", ""

    def learned(self, sets: Any, seed: int, augmented: bool) -> float:
        return 1 - super().learned(sets, seed, augmented)


def test_of_errors_the_lower_is_better_and_ways_without_changes_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judging, "domain_with", lambda model, k: Errors(clouds(), k))
    found = judge([5], [generated(tmp_path, cloud_model(), 400)])[0]
    assert list(found.scores) == ["real", "real + synthetic", "synthetic"]
    assert mean(found.scores["synthetic"]).value < mean(found.scores["real"]).value - 0.03
    assert found.verdict == "gain"
    judged_table([found])
    shown = capsys.readouterr().out
    assert "over 5 seeds; lower is better" in shown
    assert "with synthetic examples lies below that without." in shown
    assert "augmented" not in shown


def test_the_real_examples_are_those_that_the_run_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    domain = Clouds(clouds(), 5)

    def learned(sets: Any, seed: int, augmented: bool) -> float:
        given.append((sets, seed, augmented))
        return 0.5

    monkeypatch.setattr(domain, "learned", learned)
    monkeypatch.setattr(judging, "domain_with", lambda model, k: domain)
    run = generated(tmp_path, cloud_model(), 3)
    judge([5], [run], seeds=2)
    assert len(given) == 2 * len(WAYS)
    real = {tuple(x.tolist()) for x in run.model.domain.examples("train", 10)}
    for (sets, _, augmented), way in zip(given, [*WAYS.values()] * 2, strict=True):
        assert augmented == way.augmented
        assert len(sets) == way.real + way.synthetic
        assert ({tuple(x.tolist()) for x in sets[0]} == real) == way.real
        assert len(sets[-1]) == (6 if way.synthetic else 10)
    assert len({seed for _, seed, _ in given}) == 2


def test_a_run_that_saw_more_real_examples_is_refused() -> None:
    runs = [Generated(f"run{k}", cloud_model(per_class=k), Path()) for k in (20, 5, 20, 80)]
    assert [[one.name for one in chosen_runs(k, runs)] for k in (5, 19, 20, 79, 80, 100)] == [
        ["run5"], ["run5"], ["run20", "run20"], ["run20", "run20"], ["run80"], ["run80"]
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"--judge 4: .* \(run20: 20, run5: 5, .*data.per_class=4"):
        chosen_runs(4, runs)
    with pytest.raises(UserError, match=r"whole: all"):
        check([20], [("whole", cloud_model(**{"data.per_class": None}))])


def test_a_domain_that_cannot_judge_is_an_error_that_names_what_it_lacks() -> None:
    class Mute(Clouds):
        learned = None  # type: ignore[assignment] # withdrawn

    model = replace(cloud_model(), domain=Mute(clouds(), 5))
    with pytest.raises(UserError, match=r"cannot judge examples: it lacks `learned`, `read_data`, `learns`, `better`"):
        check([5], [("mute", model)])


def test_runs_of_other_data_cannot_be_compared() -> None:
    with pytest.raises(UserError, match=r"a and b differ in data\.size"):
        check([5], [("a", cloud_model()), ("b", cloud_model(**{"data.size": 16}))])


def test_several_runs_of_one_number_share_the_seeds(tmp_path: Path, cloud_domains: None) -> None:
    runs = [generated(tmp_path, cloud_model(), 2, f"run{i}") for i in range(2)]
    assert list(judge([5], runs, seeds=3)[0].runs) == ["run0", "run1"]


def test_other_molecules_of_the_same_law_are_a_gain_to_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A perfect generator draws molecules of the law of the data; here it is the training molecules themselves."""
    values = {**SMALL["molecule"], "data.max_heavy": 4, "data.conditions": ["logp"], "device": "cpu"}
    model = Model.load(untrained(tmp_path / "run", "molecule", **values, **{"data.per_class": 15}))
    every = open_domain(resolve("molecule", values=values).config)
    samples, folder = every.examples("train", every.size("train")), tmp_path / "more"
    folder.mkdir()
    with opened(folder, {"batch_size": 1}, False) as journal:
        data = DataFolder(folder, every, every, journal)
        data.write(samples, SYNTHETIC, range(len(samples)))
        data.finish()
    check([15, 20], [("run", model)])
    found = judge([15], [Generated("run", model, folder)])[0]
    assert list(found.scores) == ["real", "real + synthetic", "synthetic"]
    assert (found.classes, found.better, found.synthetic, found.verdict) == (False, "lower", len(samples), "gain")
    assert found.best(True) in ("real + synthetic", "synthetic")
    judged_table([found])
    assert "15 real" in capsys.readouterr().out.splitlines()[2]
    with pytest.raises(UserError, match="must have been trained on at most 14 real examples, or"):
        check([14], [("run", model)])


def test_the_command_prints_the_table(small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"train.steps": 2, "train.batch_size": 4, "train.sample_every": 100, "data.per_class": 5, "sample.steps": 3}
    net = {"backbone.channels": 16, "backbone.blocks": 1}
    run = polydiff.train("image", tmp_path / "run5", overrides={**own, **net})
    words = ["augment", str(run), "-o", str(tmp_path / "more"), "--per-class", "2", "--judge", "5,6"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polydiff.domains.image.metrics.learned.STEPS", 3)
        assert main(words) == 0
    shown = capsys.readouterr().out
    assert (
        "accuracy of a classifier on 359 held-out images, mean ± standard error over 5 seeds; higher is better" in shown
    )
    for name in (*WAYS, "5 real a class", "6 real a class"):
        assert name in shown
    saved = json.loads((tmp_path / "more" / "judge.json").read_text())
    assert [one["k"] for one in saved] == [5, 6]
    assert [list(one["runs"]) for one in saved] == [["run5"], ["run5"]]
    for one in saved:
        assert f"{one['k']}: {one['verdict']}." in shown
        assert one["seeds"] == 5
        assert one["mean"] == {name: pytest.approx(sum(v) / 5) for name, v in one["scores"].items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polydiff.domains.image.metrics.learned.STEPS", 3)
        assert main([*words[:-1], "7"]) == 0
    assert [one["k"] for one in json.loads((tmp_path / "more" / "judge.json").read_text())] == [5, 6, 7]
