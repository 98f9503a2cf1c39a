"""Parts that are given as a whole: what training must have met, and the law of the others."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from polydiff.config.merge import resolve
from polydiff.contract.sections.parts import CouplingConfig, PartConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import Product
from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.sampling.plan import grid, rows_on
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.joint.checks import check_joint
from polydiff.parts.joint.clock import GaussianLead, JointClock
from polydiff.parts.joint.coupling import Coupling
from polydiff.parts.joint.given import JointInpainting, check_given
from polydiff.parts.joint.grid import Follower, JointGrid, gaussian_rows
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.samplers import JUMPS
from polydiff.parts.sampling.execute import Held, sample_parts
from polydiff.parts.schedule import LEVEL_SCHEDULES
from polydiff.support.errors import UserError

SCHEDULE = SCHEDULES["edm"]()
MEANS, STD = torch.tensor([-1.0, 1.0], dtype=torch.float64), 0.8
SHARES = torch.tensor([0.7, 0.3], dtype=torch.float64)
KERNELS = {"x": GaussianKernel(SCHEDULE, "x0", Loss()), "c": LetterKernel(2)}


def exact(x, levels, space, cond=None):
    """The network of x | c ~ N(mu_c, STD^2) with classes c, which are masked (2) or known."""
    state, c = x["x"], x["c"][:, 0]
    s2 = levels["x"].double().reshape(-1, 1) ** 2
    log_p = SHARES.log() - (state[:, None] - MEANS) ** 2 / (2 * (STD**2 + s2)) - (STD**2 + s2).log() / 2
    p = torch.softmax(log_p, -1)
    known = torch.nn.functional.one_hot(c.clamp(max=2), 3)[:, :2].double()
    p = torch.where((c == 2)[:, None], p, known)
    each = (STD**2 * state[:, None] + s2 * MEANS) / (STD**2 + s2)
    return {"x": (p * each).sum(-1), "c": torch.log_softmax(log_p, -1)[:, None]}


@dataclass
class Trained:
    config: Any


def configured(**coupling: Any) -> Any:
    parts = {"x": PartConfig(), "c": PartConfig(process="masked")}
    return SimpleNamespace(parts=parts, coupling=CouplingConfig(**coupling), process="joint")


def inpainting(config: Any) -> JointInpainting:
    levels = grid(SCHEDULE, 20, "ddim", None, 1.0, None, None)
    own = gaussian_rows(levels[0], rows_on(levels, "ddim", 1.0))
    clock = JointClock("x", GaussianLead(SCHEDULE, Loss()), {"c": LEVEL_SCHEDULES["linear"]})
    joint = JointGrid(clock, *own, {"c": Follower("ancestral", JUMPS, {})})
    return JointInpainting(Trained(config), SampleConfig(), joint)  # type: ignore[arg-type]


def test_classes_of_a_given_lead_have_their_conditional_law() -> None:
    n, x = 4000, 0.4
    space = Product({"x": Euclidean(n, (), dtype=torch.float64), "c": LettersSpace(n, (1,), 2)})
    known = {"x": torch.full((n,), x, dtype=torch.float64), "c": torch.zeros(n, 1, dtype=torch.int64)}
    held = Held(known, {"x": torch.ones(1, dtype=torch.bool), "c": torch.zeros(1, dtype=torch.bool)})
    rows = inpainting(configured(given=0.3, same=0.7)).rows(1, held, space)
    assert all(row.levels["x"] == 0 and "x" not in row.rows for row in rows)
    found = sample_parts(rows, exact, KERNELS, space, generators=streams(0, "sample", range(n)), held=held)
    assert torch.equal(found["x"], known["x"])
    chance = torch.softmax(SHARES.log() - (x - MEANS) ** 2 / (2 * STD**2), -1)[1]
    assert float(found["c"].double().mean()) == pytest.approx(float(chance), abs=4 * (0.25 / n) ** 0.5)


def test_a_lead_of_which_training_met_nothing_given_is_an_error() -> None:
    space = Product({"x": Euclidean(2, ()), "c": LettersSpace(2, (1,), 2)})
    known = {"x": torch.zeros(2), "c": torch.zeros(2, 1, dtype=torch.int64)}
    held = Held(known, {"x": torch.ones(1, dtype=torch.bool)})
    with pytest.raises(UserError, match="never trained with the part x given"):
        inpainting(configured()).rows(1, held, space)


def molecules(**values: Any) -> Config:
    return resolve("molecule", values={"data.bonds": True, **values}).config


@pytest.mark.parametrize(
    ("coupling", "seen", "unseen"),
    [
        ({}, [], [["atoms"], ["atoms", "bonds"]]),
        ({"given": 0.3, "same": 0.7}, [["bonds"], ["positions"]], [["atoms", "bonds"]]),
        (
            {"given": 0.3, "same": 0.7, "parts": ["atoms+bonds", "atoms"]},
            [["bonds", "atoms"], ["atoms"]],
            [["bonds"], ["positions", "atoms"]],
        ),
        ({"apart": 0.2, "same": 0.8}, [["bonds"], ["positions", "atoms"]], []),
        ({"none": 0.2, "same": 0.8}, [], [["bonds"]]),
    ],
)
def test_sampling_takes_those_parts_as_given_that_training_met_given(coupling: Any, seen: Any, unseen: Any) -> None:
    config = molecules(coupling=coupling)
    check_joint(config)
    for parts in seen:
        check_given(config, parts)
    for parts in unseen:
        with pytest.raises(UserError, match="never trained"):
            check_given(config, parts)
        fixed = ["+".join(parts)]
        check_given(molecules(coupling={"given": 0.3, "same": 0.7, "parts": fixed}), parts)  # as the message says


def test_unknown_parts_and_all_parts_are_errors() -> None:
    config = molecules(coupling={"apart": 1.0, "same": 0.0})
    with pytest.raises(UserError, match="Unknown part 'spam'"):
        check_given(config, ["spam"])
    with pytest.raises(UserError, match="nothing to sample"):
        check_given(config, ["positions", "atoms", "bonds"])
    with pytest.raises(UserError, match="nothing to learn"):
        check_joint(molecules(coupling={"given": 1.0, "same": 0.0, "parts": ["atoms+bonds+positions"]}))
    with pytest.raises(UserError, match="spam"):
        check_joint(molecules(coupling={"given": 1.0, "same": 0.0, "parts": ["atoms+spam"]}))


def test_parts_of_a_group_are_given_together() -> None:
    n = 500
    coupling = Coupling({"same": 0.5, "given": 0.5}, ["a+b", "c"], {"x": 80.0, "a": 1.0, "b": 1.0, "c": 1.0})
    linear = LEVEL_SCHEDULES["linear"]
    clock = JointClock("x", GaussianLead(SCHEDULE, Loss()), dict.fromkeys("abc", linear))
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    levels, counts = coupling(clock.levels, u, streams(0, "noise", range(n)))
    assert torch.equal(levels["a"] == 0, levels["b"] == 0)
    assert 0.2 < float((levels["a"] == 0).double().mean()) < 0.3
    assert not bool(((levels["a"] == 0) & (levels["c"] == 0)).any())
    assert torch.equal(counts["b"] == 0, levels["b"] == 0)


def test_letters_that_are_known_as_a_whole_need_training_unless_other_parts_are_known_in_part() -> None:
    """Training met no open class beside a noisy x, whatever is masked; the class of two of three letters is met."""
    space = Product({"x": Euclidean(2, ()), "c": LettersSpace(2, (1,), 2)})
    known = {"x": torch.zeros(2), "c": torch.zeros(2, 1, dtype=torch.int64)}
    nothing = {"x": torch.zeros(1, dtype=torch.bool), "c": torch.ones(1, dtype=torch.bool)}
    for masks in (nothing, {"c": nothing["c"]}):
        with pytest.raises(UserError, match="never trained with the part c given"):
            inpainting(configured()).rows(1, Held(known, masks), space)
    rows = inpainting(configured(given=0.3, same=0.7)).rows(1, Held(known, nothing), space)
    assert all("c" not in row.rows for row in rows)
    wide = Product({"x": Euclidean(2, (3,)), "c": LettersSpace(2, (1,), 2)})
    part = {"x": torch.tensor([True, False, False]), "c": nothing["c"]}
    rows = inpainting(configured()).rows(1, Held({**known, "x": torch.zeros(2, 3)}, part), wide)
    assert all("c" in row.rows for row in rows)
