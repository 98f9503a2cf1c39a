"""Time to quality: what is read off curves, when training stops, and the peers' recipes against closed forms."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from repository import ROOT

from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules

FOLDER = ROOT / "benchmarks"
MODULES = (
    "time_to_quality", "quality_report", "quality_learners", "molecule_recipe", "molecule_reference", "audio_peers",
    "image_peers", "timing",
)  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    """Return the benchmark's modules, which are scripts beside each other and no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import molecule_recipe
    import quality_learners
    import quality_report
    import time_to_quality

    yield SimpleNamespace(
        main=time_to_quality, report=quality_report, recipe=molecule_recipe, learners=quality_learners
    )
    for name in MODULES:
        sys.modules.pop(name, None)


def test_minutes_to_a_quality_lie_on_lines_over_their_logarithm(bench) -> None:
    points = [(1.0, 8.0), (2.0, 4.0), (4.0, 5.0), (16.0, 2.0)]
    assert bench.report.minutes_to(points, 6.0, "lower") == pytest.approx(2**0.5)
    assert bench.report.minutes_to(points, 3.0, "lower") == pytest.approx(8.0)  # from the best so far, 4, at 4 minutes
    assert bench.report.minutes_to(points, 9.0, "lower") == 1.0
    assert bench.report.minutes_to(points, 1.0, "lower") == math.inf
    assert bench.report.minutes_to([(1.0, 0.2), (10.0, 0.6)], 0.4, "higher") == pytest.approx(10**0.5)


def result(system: str, variant: str, seed: int, minutes: float, value: float | None) -> dict[str, Any]:
    """Return a result as its file has it."""
    facts = {"system": system, "variant": variant, "seed": seed, "minutes": minutes, "took": minutes}
    metrics = {"log_mel_fd": {"value": value, "error": None, "better": "lower"}}
    return {**facts, "steps": 10, "parameters": 1_000_000, "evaluations": 24, "metrics": metrics}


@pytest.fixture
def results(bench):
    """Return results of two seeds: polydiff has 40 after 2 minutes and 10 after 8, its peer 20 after 8 at best."""
    runs = [
        *(result("polydiff", "quick", s, m, v + s) for s in (0, 1) for m, v in ((2, 39.5), (8, 9.5))),
        *(result("peer", "large", s, m, v + s) for s in (0, 1) for m, v in ((2, 89.5), (8, 19.5))),
        *(result("peer", "small", s, m, v + s) for s in (0, 1) for m, v in ((2, 59.5), (8, 49.5))),
        result("peer", "broken", 0, 2, None),
    ]
    return bench.report.Results(runs, {"log_mel_fd": {"value": 1.0, "error": None, "better": "lower"}})


def test_the_best_variant_counts_after_each_budget(bench, results) -> None:
    found = bench.report.curve(results, "peer", "log_mel_fd")
    assert [(point.variant, point.minutes, point.mean) for point in found] == [("small", 2, 60.0), ("large", 8, 20.0)]
    assert list(found[0].values) == [59.5, 60.5]


def test_the_tables_say_how_soon_the_best_of_a_peer_was_reached(bench, results) -> None:
    """From 40 at 2 minutes to 10 at 8, 20 is two thirds of the way: 2 * 4^(2/3) = 5.04 minutes, 8 / 5.04 = 1.6."""
    text = bench.report.tables("audio", results)
    assert "| peer | small | 2 | 2.00 | 10 | 1.00 M | 24 | 60 ± 0.5 | 2 |" in text
    assert "| real data |  |  |  |  |  |  | 1 |  |" in text
    assert "| peer | 20 | 8 | 5 | 1.6 |" in text
    assert text.index("| polydiff |") < text.index("| peer |")


def test_the_picture_has_a_line_and_a_band_for_each_library(bench, results, tmp_path: Path) -> None:
    bench.report.picture("audio", results, tmp_path / "audio.svg")
    drawn = (tmp_path / "audio.svg").read_text()
    assert drawn.count('id="FillBetweenPolyCollection') == 2
    bench.report.picture("audio", bench.report.Results([], results.real), tmp_path / "none.svg")
    assert "FillBetweenPolyCollection" not in (tmp_path / "none.svg").read_text()


class Time:
    """A clock that steps of training move."""

    def __init__(self, a_step: float) -> None:
        self.now, self.a_step, self.made = 0.0, a_step, list[int]()

    def __call__(self) -> float:
        return self.now

    def make(self, steps: int) -> SimpleNamespace:
        self.made.append(steps)
        return SimpleNamespace(step=self.step)

    def step(self) -> None:
        self.now += self.a_step


def test_a_run_is_judged_after_each_budget_and_judging_takes_no_time(bench) -> None:
    clock = Time(2.0)
    marks = []
    for mark in bench.main.trained(clock.make, False, (1, 2, 5), clock):
        marks.append((mark.minutes, mark.steps, mark.took))
        clock.now += 1000.0
    assert marks == [(1, 30, 1.0), (2, 60, 2.0), (5, 150, 5.0)]


def test_a_falling_learning_rate_spans_the_steps_that_fit(bench) -> None:
    clock = Time(0.5)
    (mark,) = bench.main.trained(clock.make, True, (3,), clock)
    assert clock.made[-1] == mark.steps == 360
    assert mark.took == pytest.approx(3.0)


def test_budgets_of_a_falling_learning_rate_are_runs_of_their_own(bench) -> None:
    words = ["--domain", "image", "-o", "x", "--minutes", "5", "2", "--seeds", "0", "--variants", "dim 32", "32-64"]
    found = [(job.system, job.variant, job.minutes) for job in bench.main.jobs(bench.main.arguments(words))]
    assert found == [
        ("polydiff", "quick", (2.0,)),
        ("polydiff", "quick", (5.0,)),
        ("denoising_diffusion_pytorch", "dim 32", (2.0, 5.0)),
        ("diffusers", "32-64", (2.0,)),
        ("diffusers", "32-64", (5.0,)),
    ]


def test_a_folder_holds_one_comparison(bench, tmp_path: Path) -> None:
    words = ["--domain", "audio", "-o", str(tmp_path), "-n"]
    bench.main.check_folder(bench.main.arguments([*words, "300"]))
    bench.main.check_folder(bench.main.arguments([*words, "300"]))
    with pytest.raises(SystemExit, match="n=300, not 200"):
        bench.main.check_folder(bench.main.arguments([*words, "200"]))


def test_examples_come_once_an_epoch(bench) -> None:
    order = bench.learners.shuffled(10, 5, seed=3)
    epochs = [[*next(order), *next(order)] for _ in range(2)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_the_noise_of_e3_diffusion_is_the_published_polynomial(bench) -> None:
    squares = bench.recipe.squared_alphas()
    assert len(squares) == 1001
    assert squares[0].item() == pytest.approx(1 - 1e-5)
    assert squares[500].item() == pytest.approx((1 - (500.5 / 1001) ** 2) ** 2, abs=2e-3)
    assert squares[-1].item() == pytest.approx(1e-5, rel=0.1)
    assert bool((squares.diff() < 0).all())


class ExactNoise(torch.nn.Module):
    """The noise that is expected in z_t if the features of an atom are normal with a variance v, and positions with 1.

    E[eps | z] = sigma z / (alpha^2 v + sigma^2).
    """

    def __init__(self, squares: torch.Tensor, v: float) -> None:
        super().__init__()
        self.squares, self.v = squares, torch.tensor([1.0, 1.0, 1.0, v, v])

    def forward(self, z: torch.Tensor, t: torch.Tensor, space: DenseMolecules) -> torch.Tensor:
        square = self.squares[(1000 * t).round().long()].to(z)[:, None, None]
        return space.project((1 - square).sqrt() * z / (square * self.v + 1 - square))


def test_ancestral_sampling_of_e3_diffusion_has_the_law_of_the_data(bench) -> None:
    """Of N atoms, positions have the variance 1 - 1/N about their mean, which is 0."""
    space = DenseMolecules.of_sizes(torch.tensor([4] * 1500), 2)
    recipe = bench.recipe.Recipe(torch.nn.Linear(1, 1))
    recipe.average = ExactNoise(recipe.squares, 0.25)
    torch.manual_seed(0)
    x = recipe.sample(space, 301)
    assert x[..., 3:].var().item() == pytest.approx(0.25, rel=0.05)
    assert x[..., :3].var().item() == pytest.approx(0.75, rel=0.05)
    assert float(x[..., :3].mean(1).abs().max()) < 1e-5


def test_training_of_e3_diffusion_lowers_the_error_of_the_noise(bench) -> None:
    space = DenseMolecules.of_sizes(torch.tensor([3, 5] * 16), 2)
    x = space.noise(streams(0, "molecules", range(32)))
    torch.manual_seed(0)
    recipe = bench.recipe.Recipe(bench.learners.Reference(16, 2, 2), rate=1e-2, decay=0.9)
    z, t = space.noise(streams(1, "noise", range(32))), torch.full((32,), 1.0)

    def error() -> float:
        """Return the error at t = T, where z is the noise itself, over that of the estimate 0."""
        with torch.no_grad():
            return float((recipe.average(z, t, space) - z).square().sum() / z.square().sum())

    before = error()
    for _ in range(60):
        recipe.step(x, space)
    assert error() < 0.5 < before


PEERS = {"image": ("diffusers", "denoising_diffusion_pytorch"), "audio": ("audio_diffusion_pytorch",), "molecule": ()}


@pytest.mark.slow
@pytest.mark.parametrize("domain", PEERS)
def test_smoke_trains_once_and_judges_every_library(domain: str, tmp_path: Path) -> None:
    has = all(importlib.util.find_spec(name) for name in PEERS[domain])
    systems = [] if has else ["--systems", "polydiff"]
    words = [sys.executable, "time_to_quality.py", "--domain", domain, "--smoke", "-o", str(tmp_path), *systems]
    first, second = (subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=True) for _ in range(2))
    assert "polydiff, quick, seed 0" in first.stdout
    assert "seed 0:" not in second.stdout
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("*_min.json")]
    assert len(kept) == 2 * len({one["system"] for one in kept})
    assert all(one["metrics"] and one["steps"] > 0 for one in kept)
    assert (tmp_path / f"{domain}.svg").exists()
