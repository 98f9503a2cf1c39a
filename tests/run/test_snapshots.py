"""Snapshots of averages: reconstruction after training, which are kept, runs that resume."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from average_cases import flat, integral, move, network
from hypothesis import given
from hypothesis import strategies as st
from repository import blocks, commands
from tiny_runs import assert_same_run, stop_at, tiny
from torch.testing import assert_close

from polydiff.cli import main
from polydiff.model.model import Model
from polydiff.run.averages import SIGMAS, PowerAverages, Profile, exponent, inner, mixture
from polydiff.run.checkpoint import Checkpoint, latest, pack, write_files
from polydiff.run.folder import Run, steps_saved
from polydiff.run.snapshots import reconstruct, save_snapshot, spares
from polydiff.support.errors import UserError
from polydiff.training.trainer import resume


def test_reconstructed_weights_are_those_of_the_average(tmp_path: Path) -> None:
    """On a rough trajectory, from 16 snapshots in files; a stored width comes back as it was stored."""
    model = network()
    averages, history = PowerAverages(model), []
    for k in range(320):
        move(model, k)
        averages.update(model, k)
        history.append(flat(model))
        if (k + 1) % 20 == 0:
            save_snapshot(tmp_path, k + 1, averages.tensors(), keep=16)
    for sigma, rtol in ((0.05, 1e-6), (0.1, 1e-6), (0.07, 1e-3), (0.15, 1e-3)):
        found = reconstruct(tmp_path, 320, averages.tensors(), sigma)
        assert found.keys() == dict(model.named_parameters()).keys()
        exact = integral(history, exponent(sigma))
        assert (torch.cat([v.flatten() for v in found.values()]) - exact).norm() < rtol * exact.norm()
    with pytest.raises(UserError, match=r"cannot give an average of width 0\.005"):
        reconstruct(tmp_path, 320, averages.tensors(), 0.005)
    for wanted, nearest in ((0.28, "0.1,"), (0.005, "0.05,")):
        with pytest.raises(UserError, match=f"Use a width nearer to {nearest}"):
            reconstruct(tmp_path / "no snapshots", 320, averages.tensors(), wanted)


@given(st.lists(st.integers(1, 10_000), unique=True, min_size=1, max_size=40), st.integers(1, 20))
def test_snapshots_are_bounded_and_the_newest_stays(steps: list[int], keep: int) -> None:
    gone = spares(sorted(steps), keep)
    left = sorted(set(steps) - set(gone))
    assert len(left) == min(keep, len(steps))
    assert max(steps) in left


def test_of_even_snapshots_those_stay_that_are_even_again() -> None:
    assert sorted(spares(range(10, 170, 10), 8)) == list(range(10, 170, 20))


# Runs

FEW = {"train.steps": 8, "train.checkpoint_every": 4, "train.ema_snapshots": 4}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("molecule", tmp_path_factory.mktemp("runs") / "run", **FEW)


def test_a_run_that_was_interrupted_has_the_same_averages(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny("molecule", tmp_path / "cut", stop_at(5), **FEW)
    resume(tmp_path / "cut")
    assert_same_run(kept, tmp_path / "cut")
    ours, theirs = (Checkpoint.load(latest(Run(path).checkpoints)).averages for path in (kept, tmp_path / "cut"))
    assert ours.keys() == theirs.keys() != set()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for step in (2, 4, 6, 8):
        files = [run / "averages" / f"step-{step:08d}" / "averages.safetensors" for run in (kept, tmp_path / "cut")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_of_another_average(kept: Path, tmp_path: Path) -> None:
    assert steps_saved(kept / "averages") == [2, 4, 6, 8]
    state = Checkpoint.load(latest(kept / "checkpoints"))
    stored = Model.load(kept, ema=0.1)
    assert stored.weights == "ema 0.1"
    for name, p in stored.denoiser.named_parameters():
        assert_close(p, state.averages[f"0.1/{name}"], rtol=1e-4, atol=1e-6)
    wider = Model.load(kept / "checkpoints" / "step-00000008", ema=0.14)
    assert any((a != b).any() for a, b in zip(wider.denoiser.parameters(), stored.denoiser.parameters(), strict=True))
    assert main(["sample", str(kept), "-n", "2", "--ema", "0.12", "-o", str(tmp_path / "out")]) == 0
    assert '"weights": "ema 0.12"' in (tmp_path / "out" / "manifest.json").read_text()


def test_impossible_averages_raise(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="should be the width of an average"):
        Model.load(kept, ema=0.4)
    with pytest.raises(UserError, match="selects an average, but weights='model' selects none"):
        Model.load(kept, ema=0.1, weights="model")
    shutil.copytree(kept, tmp_path / "run")
    (tmp_path / "run" / "averages" / "step-00000002" / "averages.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="damaged"):
        Model.load(tmp_path / "run", ema=0.14)
    plain = tiny("molecule", tmp_path / "plain", **{"train.steps": 2})
    assert not (plain / "averages").exists()
    with pytest.raises(UserError, match=r"train\.ema_snapshots=16"):
        Model.load(plain, ema=0.1)


def test_snapshots_after_a_checkpoint_do_not_count(tmp_path: Path) -> None:
    model = network()
    averages = PowerAverages(model)
    averages.update(model, 0)
    write_files(tmp_path / "step-00000900", {"averages.safetensors": pack({"nothing": torch.zeros(1)})}, 900)
    found = reconstruct(tmp_path, 1, averages.tensors(), 0.05)
    for name, p in model.named_parameters():
        assert_close(found[name], p.detach(), rtol=1e-12, atol=1e-12)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands and its Python, on fewer steps."""
    monkeypatch.chdir(tmp_path)
    few = {"train.steps": 16, "train.batch_size": 4, "train.sample_every": 100, "backbone.channels": 16}
    for words in commands("docs/ema.md"):
        more = [*(f"{key}={value}" for key, value in few.items()), "--judge", "0"] if words[0] == "train" else []
        assert main([*({"500": "20", "16": "2"}.get(word, word) for word in words), *more]) == 0, words
    (code,) = blocks("docs/ema.md", "python")
    assert '"train.steps": 500' in code
    exec(code.replace('"train.steps": 500', str(few)[1:-1]).replace("n=500", "n=20, steps=2"), {})


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0, 50), st.floats(0, 50))
def test_inner_products_are_integrals(t_a: float, t_b: float, g_a: float, g_b: float) -> None:
    """By 200-point Gauss-Legendre on (0, min t), in v with tau = min(t) v."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(200)
    v, low = (nodes + 1) / 2, min(t_a, t_b)

    def p(t: float, g: float) -> np.ndarray:
        return (g + 1) / t * (low * v / t) ** g

    numeric = low * float((weights / 2 * p(t_a, g_a) * p(t_b, g_b)).sum())
    assert inner(Profile(t_a, g_a), Profile(t_b, g_b)) == pytest.approx(numeric, rel=1e-6)


def profiles(snapshots: int, t: int = 1000) -> list[Profile]:
    return [Profile(t * (i + 1) / snapshots, exponent(sigma)) for i in range(snapshots) for sigma in SIGMAS]


def test_a_stored_average_is_reconstructed_exactly() -> None:
    for sigma in SIGMAS:
        weights, error = mixture(profiles(8), Profile(1000, exponent(sigma)))
        assert error < 1e-7
        assert weights[-2 + SIGMAS.index(sigma)] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.03, 0.07, 0.15, 0.2])
def test_the_error_of_a_reconstruction_falls_with_the_number_of_snapshots(sigma: float) -> None:
    """And the mixture's weights sum to 1, so that what stood still is reconstructed as it stood."""
    errors = []
    for n in (2, 4, 8, 16, 32):
        weights, error = mixture(profiles(n), Profile(1000, exponent(sigma)))
        assert sum(weights) == pytest.approx(1, abs=1e-9)
        errors.append(error)
    assert all(b <= a * (1 + 1e-6) + 1e-9 for a, b in pairwise(errors))
    assert errors[-1] < 0.02


def test_least_squares_is_the_best_mixture() -> None:
    """Its error is that of the profiles on a fine grid, and no neighbour with the same sum has a smaller one."""
    import numpy as np

    given, wanted = profiles(4), Profile(1000, exponent(0.08))
    weights, error = mixture(given, wanted)
    tau = (np.arange(200_000) + 0.5) / 200

    def p(profile: Profile) -> np.ndarray:
        inside = tau <= profile.t
        return np.where(inside, (profile.gamma + 1) / profile.t * (tau / profile.t) ** profile.gamma, 0)

    columns, goal = np.stack([p(q) for q in given], 1), p(wanted)

    def misfit(x: np.ndarray) -> float:
        return float(np.linalg.norm(columns @ x - goal) / np.linalg.norm(goal))

    best = misfit(np.array(weights))
    assert best == pytest.approx(error, rel=1e-3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        shift = rng.normal(size=len(weights)) * 1e-3
        assert misfit(np.array(weights) + shift - shift.mean()) > best
