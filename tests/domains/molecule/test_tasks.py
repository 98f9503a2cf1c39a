"""task=inpaint of molecules: what is known in training and sampling, and that the known part fixes the frame."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import polydiff
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser, process_of
from polydiff.contract.tasks.inpaint import known
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import KNOWN, given
from polydiff.core.objective import Moment
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.domains.molecule.states import places_of
from polydiff.model.model import Model
from polydiff.model.restore import paired, restore
from polydiff.support.errors import UserError

SMALL = {
    "task": "inpaint", "data.max_heavy": 4, "backbone.hidden": 16, "backbone.layers": 2, "backbone.pair": 8,
    "backbone.vectors": 8, "sample.steps": 4, "device": "cpu",
}  # fmt: skip
KINDS = {"points": {}, "placed": {"data.bonds": True}, "graphs": {"data.positions": False}}
TURN = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]


@pytest.fixture(scope="module", params=list(KINDS))
def model(request: pytest.FixtureRequest) -> Model:
    """A model whose weights are random, so that every input changes its outputs."""
    config = resolve("molecule", values={**SMALL, **KINDS[request.param]}).config
    domain = MoleculeDomain(config)
    denoiser = build_denoiser(config, domain, torch.device("cpu"))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in denoiser.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return Model(config, domain, denoiser.eval())


def drawn(model: Model, numbers: range = range(6)) -> Batch:
    return model.domain.batch("test", numbers, streams(0, "task", numbers))


def large(model: Model, n: int) -> Batch:
    """Held-out molecules of more than three atoms."""
    numbers = [i for i, size in enumerate(model.domain.sizes("test")) if size > 3][:n]
    return model.domain.batch("test", numbers, streams(0, "task", numbers))


def turned(x: Any, turn: Tensor = TURN) -> Any:
    """States with their positions turned."""
    if isinstance(x, dict):
        return {name: part @ turn if name == "positions" else part for name, part in x.items()}
    return torch.cat([x[..., :3] @ turn, x[..., 3:]], -1)


def test_known_values_are_those_of_the_state_and_have_the_shape_of_blank_ones(model: Model) -> None:
    batch, kinds = drawn(model, range(12)), model.domain.task.conditions
    blank = blank_conditions(kinds, 12, places_of(batch.space))
    states = batch.x if isinstance(batch.x, dict) else {"": batch.x}
    for name, kind in kinds.items():
        value = batch.cond[name]
        assert kind.mismatch(value, 12) is None
        assert value.shape == blank[name].shape
        assert not given(blank[name]).any()
        part = states[name.partition(".")[2]]
        here = given(value)
        assert 0 < int(here.sum()) < value.numel()
        assert torch.equal(value[here], part.to(value.dtype)[here])


def test_blank_conditions_of_new_samples_know_nothing(model: Model) -> None:
    _, cond = model.domain.blank(streams(0, "blank", range(3)), {})
    for name, kind in model.domain.task.conditions.items():
        assert kind.mismatch(cond[name], 3) is None
        assert not given(cond[name]).any()
    assert len(model.sample(2, progress=False).examples) == 2


def test_a_wholly_known_molecule_has_no_loss(model: Model) -> None:
    """Known letters are open, and the output is exact for known positions, so that nothing is left to learn."""
    batch = drawn(model)
    parts = batch.x if isinstance(batch.x, dict) else {"": batch.x}
    everything = torch.ones(1, dtype=torch.bool)
    names = model.domain.task.conditions
    whole = {name: known(parts[name.partition(".")[2]], everything) for name in names}
    nothing = {name: known(parts[name.partition(".")[2]], ~everything) for name in names}
    objective = process_of(model.config).objective(model.config)
    u, noise = torch.linspace(0.05, 0.95, 6, dtype=torch.float64), streams(0, "noise", range(6))

    def loss(cond: Any) -> Tensor:
        made = Batch(batch.x, batch.space, {**batch.cond, **cond})
        return objective(model.denoiser, made, u, noise, Moment(0, 1, model.denoiser)).losses

    assert float(loss(whole).abs().max()) < 1e-5
    assert float(loss(nothing).max()) > 1e-2


def test_the_molecule_that_completes_a_turned_part_is_turned(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The known atoms may also lie anywhere: their frame is that of their own mean."""
    batch = large(model, 3)
    mask = model.domain.region("0,1,2", batch)
    noise = DenseMolecules.noise

    def made(x: Any, turn: Tensor) -> list[Any]:
        monkeypatch.setattr(DenseMolecules, "noise", lambda space, generators: turned(noise(space, generators), turn))
        found = polydiff.inpaint(model, Batch(x, batch.space, batch.cond), mask, guidance=1.0)
        return found.examples

    plain = made(batch.x, torch.eye(3))
    for a, b in zip(plain, made(turned(batch.x), TURN), strict=True):
        assert a.numbers.tolist() == b.numbers.tolist()
        assert_close(torch.from_numpy(a.positions) @ TURN, torch.from_numpy(b.positions), rtol=0, atol=2e-3)
        assert a.bonds is None or (a.bonds == b.bonds).all()


def test_a_network_does_not_see_where_the_known_part_lies(model: Model) -> None:
    name = next((name for name in model.domain.task.conditions if "atoms" not in name and "bonds" not in name), None)
    if name is None:
        pytest.skip("graphs alone have no positions")
    batch = drawn(model)
    space = batch.space
    shifted = {**batch.cond, name: batch.cond[name].clone()}
    shifted[name][..., :3] += torch.tensor([3.0, -2.0, 5.0])
    level = torch.zeros(6)
    network = model.denoiser.backbone

    def out(cond: Any) -> Tensor:
        with torch.no_grad():
            found = network(batch.x, level, space, cond)
        return found["positions"] if isinstance(found, dict) else found

    plain = out(batch.cond)
    assert_close(out(shifted), plain, rtol=0, atol=1e-4)
    bent = {**batch.cond, name: batch.cond[name] * 1.1}
    assert float((out(bent) - plain).abs().max()) > 1e-3  # but it sees its shape


def test_kept_atoms_are_exact_whatever_the_batch(model: Model) -> None:
    batch = large(model, 4)
    mask = model.domain.region("0,1,2", batch)
    before = model.domain.decode(batch.x, batch.space)
    joined, alone = (polydiff.inpaint(model, batch, mask, guidance=1.0, batch_size=size).examples for size in (4, 1))
    for a, b, c in zip(before, joined, alone, strict=True):
        assert a.numbers[:3].tolist() == b.numbers[:3].tolist()
        if b.bonds is not None and a.bonds is not None:
            assert (a.bonds[:3, :3] == b.bonds[:3, :3]).all()
            assert (b.bonds == c.bonds).all()
        for one, other in ((a, b), (b, c)):
            own, true = (torch.cdist(*[torch.from_numpy(m.positions[:3])] * 2) for m in (one, other))
            assert_close(own, true, rtol=0, atol=1e-4)
        assert b.numbers.tolist() == c.numbers.tolist()


def test_held_out_molecules_are_completed_and_judged(model: Model) -> None:
    batch = drawn(model, range(4))
    made = restore(model, batch, keep=True)
    for i, (one, true) in enumerate(zip(made.examples, model.domain.decode(batch.x, batch.space), strict=True)):
        value = next(iter(batch.cond[name] for name in (KNOWN, "known.atoms") if name in batch.cond))[i]
        here = given(value).reshape(len(value), -1)[: len(true.numbers), -1].numpy()
        assert one.numbers[here].tolist() == true.numbers[here].tolist()
    found = paired(model.request(), 4)
    assert found.metrics["data"]["completed"].value == 1
    assert found.metrics["data"]["recovered"].value == 1
    assert found.metrics["baseline"]["completed"].value == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"data.bonds": True, "parts.bonds.process": "uniform"}, "parts.bonds.process=uniform"),
        ({"data.layout": "sparse"}, "data.layout=dense"),
        ({"backbone.name": "egnn"}, "graph_transformer does"),
    ],
)
def test_what_cannot_be_conditioned_is_an_error(keys: dict[str, Any], message: str) -> None:
    values = {"task": "inpaint", "data.max_heavy": 4, **keys}
    with pytest.raises((UserError, ValueError), match=message):
        MoleculeDomain(resolve("molecule", values=values).config).backbone()
