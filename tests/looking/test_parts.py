"""Views of states of several parts against closed forms: what estimates depend on, and what is still open."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_parts import Exact, Known, model_of
from torch import Tensor

from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import Product
from polydiff.core.space import Batch, Euclidean
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.looking.subject import Subject
from polydiff.looking.views.sensitivity import sensitivity
from polydiff.looking.views.uncertainty import spread
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.letters.kernel import LetterKernel

VARIANCE, CLASSES = 0.25, torch.tensor([0.5, 0.3, 0.2]).double()


def law(x: Any, levels: Any, space: Any, cond: Any = None) -> dict[str, Tensor]:
    """Return the exact outputs for independent parts x ~ N(y, v), with the condition y, and c of fixed classes."""
    s2, mean = levels["x"] ** 2, cond["y"] if cond else 0.0
    return {
        "x": (VARIANCE * x["x"] + s2 * mean) / (VARIANCE + s2),
        "c": CLASSES.log().expand(len(x["c"]), 1, 3),
    }


def case(n: int) -> tuple[Subject, Batch]:
    """Return the exact model, and its n examples with their condition y."""
    generator = torch.Generator().manual_seed(0)
    c = torch.multinomial(CLASSES, n, replacement=True, generator=generator)[:, None]
    y = torch.where(torch.arange(n) % 4 == 0, 3.0, 0.0).double()
    x = y + VARIANCE**0.5 * torch.randn(n, generator=generator, dtype=torch.float64)
    domain = Known(
        {"x": x, "c": c},
        lambda n: Product({"x": Euclidean(n, (), dtype=torch.float64), "c": LettersSpace(n, (1,), 3)}),
    )
    kernels = {"x": GaussianKernel(SCHEDULES["edm"](), "x0", Loss()), "c": LetterKernel(3)}
    parts = {"x": {"process": "gaussian"}, "c": {"process": "masked"}}
    config = {"process": "joint", "schedule": "edm", "schedule_options": {}, "parts": parts}
    batch = domain.batch("test", range(n), ())
    return Subject(model_of(config, domain, Exact(kernels, law))), batch._replace(cond={"y": y})


def test_a_condition_has_its_effect_on_the_part_that_depends_on_it() -> None:
    """Without it the estimate of x lacks s^2 y / (v + s^2); c does not know it."""
    subject, batch = case(256)
    assert batch.cond is not None
    found = sensitivity(subject, batch, {"y": {"y": torch.zeros_like(batch.cond["y"])}})
    data = batch.x["x"]  # type: ignore[index]
    plain = float((data - data.mean()).square().mean())
    exact = [float((s**2 / (VARIANCE + s**2) * batch.cond["y"]).square().mean()) / plain for s in found.levels]
    assert found.parts["x"]["y"].tolist() == pytest.approx(exact, rel=1e-5)
    assert found.parts["c"]["y"].tolist() == [0.0] * len(found.levels)
    assert found.as_json()["parts"]["x"]["y"] == found.effects["y"].tolist()


def test_each_part_has_the_spread_of_the_closed_form() -> None:
    """That of x is v s / (v + s^2); two draws of a letter that is not the commonest differ with 2 l (1 - l)."""
    subject, batch = case(256)
    found = spread(subject, batch, draws=60)
    data, process = batch.x["x"], subject.model.process  # type: ignore[index]
    deviation = float((data - data.mean()).square().mean().sqrt())
    exact = [VARIANCE * s / (VARIANCE + s**2) / deviation for s in found.levels]
    assert found.parts["x"].tolist() == pytest.approx(exact, rel=0.03)
    levels = [process.part_levels(subject.model, s)["c"] for s in found.levels]  # type: ignore[attr-defined]
    letters = [math.sqrt(2 * level * (1 - level)) for level in levels]
    assert found.parts["c"].tolist() == pytest.approx(letters, abs=0.03)
    assert found.as_json()["parts"].keys() == {"x", "c"}
