"""Molecules whose space holds the elements: states are positions only, and formulas are exact."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from polydiff.backbones.config import EGNNConfig
from polydiff.config.processes import build_denoiser
from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.perceive import formula
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.judging.likelihood import held_out
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain


def config(**data: object) -> MoleculeConfig:
    options = {"max_heavy": 3, "types": "given", **data}
    return MoleculeConfig(data=MoleculeData(**options), backbone=EGNNConfig(hidden=16, layers=2))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["sparse", "dense"])
def domain(request: pytest.FixtureRequest) -> MoleculeDomain:
    return MoleculeDomain(config(layout=request.param))


def model(domain: MoleculeDomain) -> Model:
    return Model(domain.config, domain, build_denoiser(domain.config, domain, torch.device("cpu")).eval())


@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_the_domain_passes_the_conformance_checks(layout: str) -> None:
    assert [check for check in check_domain(config(layout=layout), examples=8) if not check.passed] == []


def test_states_are_positions_and_codes_round_trip(domain: MoleculeDomain) -> None:
    part = domain.dataset.splits["test"]
    x, space = domain.codec.encode([part[i] for i in range(3)])
    assert x.shape[-1] == 3
    assert torch.equal(space.dim, 3.0 * (space.sizes - 1))  # type: ignore[attr-defined]
    for found, real in zip(domain.decode(x, space), (part[i] for i in range(3)), strict=True):
        assert found.numbers.tolist() == real.numbers.tolist()
        centred = torch.from_numpy(real.positions - real.positions.mean(0))
        torch.testing.assert_close(torch.from_numpy(found.positions), centred, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "requested", [{}, {"atoms": "9"}, {"C": "2"}, {"formula": "C2H6O", "logp": "0.1"}, {"C": "any"}]
)
def test_samples_have_the_requested_elements(domain: MoleculeDomain, requested: dict[str, str]) -> None:
    space, cond = domain.blank(streams(0, "blank", range(6)), requested)
    assert set(cond or {}) == {"logp"}
    made = domain.decode(space.noise(streams(0, "noise", range(6))), space)
    known = {formula(one) for one in (domain.dataset.splits["train"][i] for i in range(domain.size("train")))}
    formulas = [formula(one) for one in made]
    if "formula" in requested:
        assert formulas == ["C2H6O"] * 6
    else:
        assert set(formulas) <= known
    for one in made:
        counts = Counter(one.numbers.tolist())
        assert len(one.numbers) == int(requested.get("atoms", len(one.numbers)))
        assert requested.get("C") in (None, "any", str(counts[6]))


def test_elements_survive_sampling_and_guidance(domain: MoleculeDomain) -> None:
    samples = model(domain).sample(4, cond={"formula": "C2H6O"}, steps=3, guidance=2.0)
    assert isinstance(samples, Samples)
    assert [formula(one) for one in samples.examples] == ["C2H6O"] * 4


def test_a_formula_outside_the_training_data_is_possible_and_a_size_alone_is_not(domain: MoleculeDomain) -> None:
    space, _ = domain.blank(streams(0, "blank", range(2)), {"formula": "C5H12"})
    assert isinstance(space, DenseMolecules | PackedMolecules)
    assert space.sizes.tolist() == [17, 17]
    with pytest.raises(UserError, match=r"No training molecule has 20 atoms.*formula="):
        domain.blank(streams(0, "blank", range(2)), {"atoms": "20"})


def test_the_network_depends_on_the_elements(domain: MoleculeDomain) -> None:
    network = domain.backbone()
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.3, generator=torch.Generator().manual_seed(p.numel()))
    x, space, cond = domain.batch("test", range(3), streams(0, "augment", range(3)))
    assert isinstance(space, DenseMolecules | PackedMolecules)
    assert space.elements is not None
    other = replace(space, elements=torch.where(space.elements == 1, 9, space.elements))
    out = [network(x, torch.zeros(3), place, cond) for place in (space, other)]
    assert float((out[0] - out[1]).abs().max()) > 1e-3


def test_the_likelihood_is_that_of_positions_given_the_elements(domain: MoleculeDomain) -> None:
    batch, units = held_out(model(domain), range(3))
    assert units is not None
    assert units.low is None
    assert units.size is None
    assert units.name == "Å"
    assert batch.x.shape[-1] == 3
