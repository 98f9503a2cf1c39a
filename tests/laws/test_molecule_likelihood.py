"""The likelihood of molecules: its invariances, and its exact value for an exact denoiser."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from polydiff.backbones.config import EGNNConfig
from polydiff.cli import main
from polydiff.config.processes import build_denoiser
from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.likelihood.bounds import chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.schedule.tables import polynomial_2


@pytest.fixture(scope="module")
def domain() -> MoleculeDomain:
    data = MoleculeData(max_heavy=3, conditions=(), type_scale=0.5)
    return MoleculeDomain(MoleculeConfig(data=data, backbone=EGNNConfig(hidden=16, layers=2)))


@pytest.fixture(scope="module")
def denoiser(domain: MoleculeDomain) -> Denoiser:
    return build_denoiser(domain.config, domain, torch.device("cpu")).eval()


def nats(codec: Codec, denoiser: Denoiser, molecules: list[Molecule], first: int = 0) -> torch.Tensor:
    x, space = codec.encode(molecules)
    generators = streams(0, "eps", range(first, first + len(molecules)))
    return continuous_vlb(denoiser, Batch(x, space, None), generators, draws=8, units=codec.units(x, space)).nats


def test_padding_layout_and_batch_do_not_matter(domain: MoleculeDomain, denoiser: Denoiser) -> None:
    molecules = [domain.dataset.splits["train"][i] for i in (0, 8, 16, 24)]
    packed = nats(domain.codec, denoiser, molecules)
    for pad in (1, 32):
        dense = nats(replace(domain.codec, packed=False, pad_to=pad), denoiser, molecules)
        assert_close(dense, packed, rtol=1e-5, atol=1e-4)
    alone = torch.cat([nats(domain.codec, denoiser, [m], i) for i, m in enumerate(molecules)])
    assert_close(alone, packed, rtol=1e-5, atol=1e-4)


def test_translation_does_not_matter(domain: MoleculeDomain, denoiser: Denoiser) -> None:
    """Equal bits if float32 represents the shift exactly, else equal up to the rounding of positions."""
    fine = [domain.dataset.splits["train"][i] for i in (0, 8, 16, 24)]
    coarse = [Molecule(m.numbers, np.round(m.positions * 1024) / np.float32(1024)) for m in fine]
    shift = np.array([64, -32, 16], np.float32)
    here, there = ([Molecule(m.numbers, m.positions + s) for m in coarse] for s in (0 * shift, shift))
    assert torch.equal(nats(domain.codec, denoiser, here), nats(domain.codec, denoiser, there))
    moved = [Molecule(m.numbers, m.positions + np.float32(math.pi) * shift) for m in fine]
    assert_close(nats(domain.codec, denoiser, moved), nats(domain.codec, denoiser, fine), rtol=0, atol=0.05)


class Oracle:
    """A denoiser that returns the only molecule of the data."""

    schedule = polynomial_2()
    sigma_data = 1.0

    def __init__(self, x_0: State) -> None:
        self.x_0 = x_0

    def __call__(self, x: State, sigma: torch.Tensor, space: Space, cond: Condition | None = None) -> State:
        return self.x_0


@pytest.mark.parametrize("packed", [False, True])
def test_the_bound_of_one_known_molecule(domain: MoleculeDomain, packed: bool) -> None:
    """The bound is tight: prior + d (log c + log(2 pi) / 2 + log s), d = 3 (N - 1), and nothing for elements."""
    codec = replace(domain.codec, packed=packed, scale=1.3)
    molecule = domain.dataset.splits["train"][20]
    x, space = codec.encode([molecule, molecule])
    schedule, batch, units = Oracle.schedule, Batch(x, space, None), codec.units(x, space)
    levels = chain(schedule, 1001)
    d, n = 3 * (len(molecule.numbers) - 1), float(space.dim[0])
    high, low = float(levels[-1]) ** 2, float(levels[0])
    prior = (n * (high / (high + 1) - 1 - math.log(high / (high + 1))) + float(sqnorm(space, x)[0]) / (high + 1)) / 2
    c = low / math.hypot(low, 1)
    expected = prior + d * (math.log(c) + math.log(2 * math.pi) / 2 + math.log(1.3))
    generators = streams(0, "eps", range(2))
    for found in (
        discrete_vlb(Oracle(x), batch, generators, levels, draws=4, units=units),
        continuous_vlb(Oracle(x), batch, generators, draws=4, units=units),
    ):
        assert_close(found.nats, torch.full((2,), expected, dtype=torch.float64), rtol=1e-5, atol=1e-3)
        assert found.parts["diffusion"].abs().max() < 1e-6


def test_the_command_line_reports_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data.max_heavy=3", "backbone.hidden=8", "backbone.layers=1", "train.steps=2", "train.batch_size=4"]
    assert main(["train", "--domain", "molecule", *words, "sample.steps=2", "--judge", "0"]) == 0
    capsys.readouterr()
    assert main(["eval", "runs/molecule-001", "--likelihood", "-n", "6", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["likelihood"]["vlb"]
    assert set(found["parts"]) == {"prior", "diffusion", "decoder", "units", "size"}
    assert 0.5 < found["parts"]["size"] < 12
    assert found["nats"] == pytest.approx(sum(found["parts"].values()), rel=1e-5)
    assert main(["eval", "runs/molecule-001", "--likelihood", "-n", "6"]) == 0
    assert "size" in capsys.readouterr().out
