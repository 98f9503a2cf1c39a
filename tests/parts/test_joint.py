"""States of several parts, with networks that know the law of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import Product
from polydiff.core.space import Batch, Euclidean
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import grid, rows_on
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.parts.bound import PartsBound
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.joint.bound import JointBound
from polydiff.parts.joint.clock import GaussianLead, JointClock, ScheduledLead
from polydiff.parts.joint.coupling import MODES, Coupling
from polydiff.parts.joint.grid import Follower, JointGrid, gaussian_rows
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.samplers import JUMPS, Jump
from polydiff.parts.sampling.execute import Held, JointRow, run_rows, sample_parts
from polydiff.parts.schedule import LEVEL_SCHEDULES, Clock
from polydiff.support.errors import UserError

SCHEDULE = SCHEDULES["edm"]()
MEANS, STD = torch.tensor([-2.0, 0.5, 2.0], dtype=torch.float64), 0.3
CLASSES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
KERNELS = {"x": GaussianKernel(SCHEDULE, "x0", Loss()), "c": LetterKernel(3)}


@dataclass(frozen=True)
class Exact:
    """The network of x | c ~ N(mu_c, std^2) with classes c, which are masked (3) or known."""

    def __call__(self, x, levels, space, cond=None) -> dict[str, Tensor]:
        state, c = x["x"], x["c"][:, 0]
        s2 = levels["x"].double().reshape(-1, 1) ** 2
        log_p = CLASSES.log() - (state[:, None] - MEANS) ** 2 / (2 * (STD**2 + s2)) - (STD**2 + s2).log() / 2
        p = torch.softmax(log_p, -1)
        known = torch.nn.functional.one_hot(c.clamp(max=3), 4)[:, :3].double()
        p = torch.where((c == 3)[:, None], p, known)
        each = (STD**2 * state[:, None] + s2 * MEANS) / (STD**2 + s2)
        return {"x": (p * each).sum(-1), "c": torch.log_softmax(log_p, -1)[:, None]}


def lead_rows(sampler: str, steps: int, spacing: str | None = None) -> tuple:
    levels = grid(SCHEDULE, steps, sampler, spacing, 1.0, None, None)
    return gaussian_rows(levels[0], rows_on(levels, sampler, 1.0))


def plan(sampler: str, steps: int, spacing: str | None = None) -> list:
    clock = JointClock("x", GaussianLead(SCHEDULE, Loss()), {"c": LEVEL_SCHEDULES["linear"]})
    own, evaluates = lead_rows(sampler, steps, spacing)
    return list(JointGrid(clock, own, evaluates, {"c": Follower("ancestral", JUMPS, {})}).rows(1))


def space_of(n: int) -> Product:
    return Product({"x": Euclidean(n, (), dtype=torch.float64), "c": LettersSpace(n, (1,), 3)})


def draw(sampler: str, steps: int, numbers: range, held: Held | None = None, spacing: str | None = None) -> dict:
    generators = streams(0, "sample", numbers)
    rows = plan(sampler, steps, spacing)
    return dict(sample_parts(rows, Exact(), KERNELS, space_of(len(numbers)), generators=generators, held=held))


def class_shares(c: Tensor) -> Tensor:
    return torch.bincount(c[:, 0], minlength=4).double() / len(c)


def distance(found: dict) -> float:
    shares = class_shares(found["c"])
    assert shares[3] == 0  # nothing stays masked
    return float((shares[:3] - CLASSES).abs().sum() / 2)


def test_few_steps_have_the_known_distance_of_their_classes() -> None:
    """With DDIM on 4 levels that are even in asinh, then 0, and as many masked letters lost as steps are left."""
    n, steps = 20_000, 4
    levels = [*torch.linspace(math.asinh(80), math.asinh(0.002), steps).sinh().tolist(), 0.0]
    rows = [
        JointRow({"x": row, "c": Jump(1 - k / steps, 1 - (k + 1) / steps)}, {"x": row.at, "c": 1 - k / steps})
        for k, row in enumerate(rows_on(levels, "ddim", 1.0))
    ]
    space, generators = space_of(n), streams(0, "sample", range(n))
    x = {"x": levels[0] * space.parts["x"].noise(generators), "c": torch.full((n, 1), 3)}
    *_, last = run_rows(rows, Exact(), KERNELS, x, space, None, generators)
    assert distance(dict(last.x)) == pytest.approx(0.0683, abs=0.01)  # the standard error is about 0.004


def test_the_error_of_classes_falls_with_the_steps() -> None:
    coarse, fine = (distance(draw("ddim", steps, range(20_000), spacing="asinh")) for steps in (2, 24))
    assert coarse > 0.013
    assert fine < 0.01


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m", "sa_solver", "ddpm", "auto"])
def test_samplers_of_the_gaussian_part_give_the_joint_law(sampler: str) -> None:
    n = 4000
    found = draw(sampler, 40, range(n))
    x, c = found["x"], found["c"][:, 0]
    assert int(c.max()) < 3
    assert (class_shares(c[:, None])[:3] - CLASSES).abs().max() < 0.03
    for k in range(3):
        own = x[c == k]
        assert float((own - MEANS[k]).mean()) == pytest.approx(0, abs=0.06)
        assert float(own.std()) == pytest.approx(STD, abs=0.05)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m", "sa_solver", "ddpm", "auto"])
def test_one_gaussian_part_is_sampled_bit_for_bit_as_alone(sampler: str) -> None:
    space, kernel = Euclidean(5, (7,)), KERNELS["x"]
    frame = kernel.frame

    class Linear:
        schedule, sigma_data = SCHEDULE, 1.0

        def __call__(self, x, sigma, space, cond=None):
            return frame.to_x0(x, self.output(x, sigma), sigma, space)

        def output(self, x, sigma):
            return torch.tanh(x) * (1 / (1 + float(sigma)))

    network = Linear()
    levels = grid(SCHEDULE, 9, sampler, None, 1.0, None, None)
    begin = levels[0] * space.noise(streams(0, "sample", range(5)))
    generators = streams(0, "sample", range(5))
    space.noise(generators)
    *_, alone = run_plan(rows_on(levels, sampler, 1.0), network, begin, space, None, generators)
    own, evaluates = lead_rows(sampler, 9)
    rows = JointGrid(JointClock("x", GaussianLead(SCHEDULE, Loss()), {}), own, evaluates, {}).rows(1)
    generators = streams(0, "sample", range(5))
    x = {"x": kernel.prior(space, generators)}
    assert torch.equal(x["x"], begin)

    def joint(x, levels, space, cond=None):
        return {"x": network.output(x["x"], levels["x"])}

    *_, last = run_rows(rows, joint, {"x": kernel}, x, Product({"x": space}), None, generators)
    assert torch.equal(last.x["x"], alone.x)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    whole, part = draw("ddpm", 6, range(8)), draw("ddpm", 6, range(5, 8))
    assert torch.equal(whole["x"][5:], part["x"])
    assert torch.equal(whole["c"][5:], part["c"])


def test_a_given_class_leads_to_its_conditional_law() -> None:
    n = 3000
    held = Held({"c": torch.full((n, 1), 2)}, {"c": torch.ones(1, dtype=torch.bool)})
    found = draw("dpmpp_2m", 20, range(n), held)
    assert bool((found["c"] == 2).all())
    assert float(found["x"].mean()) == pytest.approx(2.0, abs=0.03)
    assert float(found["x"].std()) == pytest.approx(STD, abs=0.03)


def test_letters_jump_where_the_network_is_called_and_their_level_falls() -> None:
    for sampler in ("auto", "sa_solver", "heun"):
        rows = plan(sampler, 6)
        jumps = [row.rows["c"] for row in rows if "c" in row.rows]
        assert all(row.evaluates for row in rows if "c" in row.rows)
        assert jumps[0].at == 1
        assert jumps[-1].to == 0
        assert all(a.to == b.at and a.to < a.at for a, b in pairwise(jumps))


def test_the_clock_is_exact_at_both_ends_and_rises() -> None:
    clock = JointClock("x", GaussianLead(SCHEDULE, Loss()), {"c": LEVEL_SCHEDULES["cosine"]})
    levels = clock.at(torch.tensor([0.0, 0.01, 1.0, SCHEDULE.sigma_max], dtype=torch.float64))["c"]
    assert levels[0] == 0
    assert levels[-1] == 1
    assert (levels.diff() > 0).all()


def test_the_time_of_a_level_inverts_its_schedule() -> None:
    lead = ScheduledLead(LEVEL_SCHEDULES["cosine"])
    times = torch.tensor([0.0, 0.2, 0.9, 1.0], dtype=torch.float64)
    assert lead.time(lead.level(times)).tolist() == pytest.approx(times.tolist(), abs=1e-9)


def test_slopes_are_derivatives_of_the_levels() -> None:
    clock = JointClock("c", ScheduledLead(LEVEL_SCHEDULES["cosine"]), {})
    u = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    true = [math.pi / 2 * math.cos(math.pi / 2 * each) for each in u.tolist()]
    assert clock.slopes(u)["c"].tolist() == pytest.approx(true, rel=1e-6)


def test_training_combines_levels_in_the_shares_that_are_set() -> None:
    n = 4000
    shares = {"same": 0.4, "apart": 0.1, "given": 0.3, "none": 0.2}
    coupling = Coupling(shares, ["x", "c"], {"x": 80.0, "c": 1.0})
    clock = JointClock("x", GaussianLead(SCHEDULE, Loss()), {"c": LEVEL_SCHEDULES["linear"]})
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    levels, counts = coupling(clock.levels, u, streams(0, "noise", range(n)))
    same = clock.levels(u)
    found = {
        "given": float(((levels["x"] == 0) | (levels["c"] == 0)).double().mean()),
        "none": float(((levels["x"] == 80) | (levels["c"] == 1)).double().mean()),
        "same": float(((levels["x"] == same["x"]) & (levels["c"] == same["c"])).double().mean()),
    }
    assert found == pytest.approx({mode: shares[mode] for mode in found}, abs=0.03)
    assert set(shares) == set(MODES)
    alone = (levels["c"] == 0) | (levels["c"] == 1)
    assert torch.equal(counts["c"] == 0, alone)  # what is given or left out teaches nothing


def test_a_sampler_with_steps_of_its_own_cannot_follow() -> None:
    with pytest.raises(UserError, match="first_hitting takes steps of its own"):
        Follower("first_hitting", JUMPS, {}).rows([1.0, 0.5, 0.0], 6)


@dataclass
class Trained:
    """A model whose network is exact."""

    device = torch.device("cpu")

    @property
    def denoiser(self):
        return self

    kernels = KERNELS

    def with_precision(self, precision: str):
        return self

    def __call__(self, *arguments):
        return Exact()(*arguments)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("x", "c", "nats"), [(-1.8, 0, 0.630335), (0.9, 1, 1.807827), (1.2, 2, 4.879959)])
def test_the_bound_is_the_exact_likelihood_on_any_path(x: float, c: int, nats: float, schedule: str) -> None:
    """-log p(x, c), by quadrature over levels, noise and masks; the prior N(0, 80^2 + 1) is worth 1e-4."""
    lead = GaussianLead(SCHEDULE, Loss())
    bound = JointBound(Trained(), JointClock("x", lead, {"c": LEVEL_SCHEDULES[schedule]}), 1, SCHEDULE.sigma_min)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    eps, chances = np.polynomial.hermite_e.hermegauss(40)
    w = torch.from_numpy((nodes + 1) / 2).repeat_interleave(2 * len(eps))
    weight = torch.from_numpy(weights / 2).repeat_interleave(2 * len(eps))
    noise = torch.from_numpy(eps).repeat_interleave(2).repeat(len(nodes))
    chance = torch.from_numpy(chances / chances.sum()).repeat_interleave(2).repeat(len(nodes))
    hidden = torch.tensor([True, False]).repeat(len(eps) * len(nodes))
    levels, slopes = bound.path(w)
    chance = chance * torch.where(hidden, levels["c"], 1 - levels["c"])
    x_0 = {"x": torch.full_like(w, x), "c": torch.full((len(w), 1), c)}
    state = {"x": x + levels["x"] * noise, "c": torch.where(hidden[:, None], 3, c)}
    space = space_of(len(w))
    f = Exact()(state, levels, space)
    total = 0.0
    for name, kernel in KERNELS.items():
        rate = kernel.rate(f[name], x_0[name], state[name], levels[name], space.parts[name])
        total += float((weight * chance * slopes[name] * rate).sum())
    total += decoded(x, c, eps, chances / chances.sum())
    assert total == pytest.approx(nats, abs=1e-3)


def decoded(x: float, c: int, eps: np.ndarray, chances: np.ndarray) -> float:
    """Mean of -log N(x; D, std^2) at the lowest level, for the class known, with D from Gaussian data of variance 1."""
    s = SCHEDULE.sigma_min
    space = space_of(len(eps))
    state = {"x": x + s * torch.from_numpy(eps), "c": torch.full((len(eps), 1), c)}
    levels = {"x": torch.full((len(eps),), s, dtype=torch.float64), "c": torch.zeros(len(eps), dtype=torch.float64)}
    estimate = Exact()(state, levels, space)["x"].numpy()
    std = s / math.hypot(1, s)
    return float((chances * ((x - estimate) ** 2 / (2 * std**2) + math.log(std * math.sqrt(2 * math.pi)))).sum())


def test_the_drawn_bound_is_the_exact_likelihood() -> None:
    n = 4000
    lead = GaussianLead(SCHEDULE, Loss())
    bound = JointBound(Trained(), JointClock("x", lead, {"c": LEVEL_SCHEDULES["linear"]}), 16, SCHEDULE.sigma_min)
    batch = Batch(
        {"x": torch.full((n,), 0.9, dtype=torch.float64), "c": torch.ones(n, 1, dtype=torch.int64)}, space_of(n)
    )
    found = bound("vlb", batch, None, streams(0, "likelihood", range(n)))
    assert float(found.nats.mean()) == pytest.approx(1.807827, abs=4 * float(found.nats.std()) / n**0.5)
    assert float(found.nats.std()) / n**0.5 < 0.06


@pytest.mark.parametrize("schedules", [("linear", "linear"), ("cosine", "logistic")])
def test_the_bound_of_parts_of_letters_is_the_exact_likelihood_on_any_path(schedules: tuple[str, str]) -> None:
    """Two sites of a joint law, each a part of its own, of 3 and of 2 letters; the masks are 3 and 2."""
    p = torch.tensor([[0.3, 0.1], [0.05, 0.25], [0.2, 0.1]], dtype=torch.float64)
    n, word = 6000, (1, 0)

    class Letters(Trained):
        kernels: ClassVar = {"a": LetterKernel(3), "b": LetterKernel(2)}

        def __call__(self, x, levels, space, cond=None):
            a, b = x["a"][:, 0], x["b"][:, 0]
            of_b = torch.where((a == 3)[:, None], p.sum(0), p[a.clamp(max=2)])
            of_a = torch.where((b == 2)[:, None], p.sum(1), p.T[b.clamp(max=1)])
            return {"a": of_a.log()[:, None], "b": of_b.log()[:, None]}

    clock = Clock({name: LEVEL_SCHEDULES[each] for name, each in zip("ab", schedules, strict=True)})
    space = Product({"a": LettersSpace(n, (1,), 3), "b": LettersSpace(n, (1,), 2)})
    x = {name: torch.full((n, 1), letter) for name, letter in zip("ab", word, strict=True)}
    found = PartsBound(Letters(), clock, 16, 1)("vlb", Batch(x, space), None, streams(0, "likelihood", range(n)))
    assert float(found.nats.mean()) == pytest.approx(-math.log(p[word]), abs=4 * float(found.nats.std()) / n**0.5)
    assert float(found.nats.std()) / n**0.5 < 0.04
    assert found.parts.keys() == {"a", "b"}


def test_known_positions_keep_their_distances_and_all_their_mean() -> None:
    space = DenseMolecules.of_sizes(torch.tensor([5, 4]), 0, torch.float64)
    x, known = space.noise(streams(0, "x", range(2))), space.noise(streams(0, "known", range(2)))
    mask = torch.zeros(2, 5, 1, dtype=torch.bool)
    mask[:, :3] = True
    found = KERNELS["x"].put(x, known, mask, space)
    assert torch.allclose(found.sum(1), torch.zeros(2, 3, dtype=torch.float64), atol=1e-9)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert torch.allclose(found[:, i] - found[:, j], known[:, i] - known[:, j], atol=1e-9)
