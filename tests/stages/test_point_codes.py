"""A diffusion in the codes of molecules: its domain, its scale, and the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from clouds import orthogonal, turned
from stage_cases import LEARNER, trained_on_codes
from tiny_runs import TINY

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.encode.codes import Moments
from polydiff.stages.codec import code_batch
from polydiff.stages.through import Through
from polydiff.support.errors import UserError
from polydiff.testing import check_domain

CODEC = {**LEARNER, "learn": "encode", "backbone.hidden": 16, "backbone.layers": 1, "data.max_heavy": 3}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return polydiff.train("molecule", tmp_path_factory.mktemp("codes") / "ae", overrides={**CODEC, "backbone.codes": 2})


@pytest.fixture(scope="module")
def run(codec: Path) -> Path:
    return trained_on_codes("molecule", codec.parent / "ldm", codec, **{"backbone.name": "egnn"})


def test_molecules_have_their_own_autoencoder() -> None:
    settings = resolve("molecule", values={"learn": "encode"})
    assert settings.config.backbone.name == "point_autoencoder"
    assert settings.config.optim.lr == 2e-3
    assert resolve("molecule").config.backbone.name == "graph_transformer"


def test_codes_have_unit_spread_and_their_samples_decode_to_molecules(run: Path) -> None:
    model = polydiff.load(run)
    domain = model.domain
    assert isinstance(domain, Through)
    n = domain.size("train")
    z, space, _ = domain.batch("train", range(n), streams(0, "codes", range(n)))
    found = Moments.of(z, space)
    torch.testing.assert_close(found.std, torch.ones(3, dtype=torch.float64), atol=0.06, rtol=0)
    assert z[..., :3].sum(1).abs().max() < 1e-4
    made = model.sample(3, steps=3)
    assert all(len(one.numbers) == len(one.positions) for one in made.examples)


def test_codes_turn_with_molecules(run: Path) -> None:
    domain = polydiff.load(run).domain
    assert isinstance(domain, Through)
    x, space, cond = domain.__wrapped__.batch("train", range(4), streams(0, "augment", range(4)))
    turn = orthogonal(0, x.dtype, reflects=False)
    z, codes, _ = code_batch(Batch(x, space, cond), domain.codec, None)
    other = code_batch(Batch(turned(x, turn), space, cond), domain.codec, None).x
    torch.testing.assert_close(other, turned(z, turn), atol=1e-5, rtol=1e-5)
    made, states = domain.codec.decode(z, codes)
    assert isinstance(states, DenseMolecules)
    assert made.shape == x.shape
    again, _ = domain.codec.decode(turned(z, turn), codes)
    torch.testing.assert_close(again, turned(made, turn), atol=1e-5, rtol=1e-5)


def test_the_domain_of_codes_conforms(codec: Path) -> None:
    values = {**TINY, "data.max_heavy": 3, "backbone.hidden": 16, "backbone.layers": 2, "codec": str(codec)}
    config = resolve("molecule", values=values).config
    assert [str(check) for check in check_domain(config, 4) if not check.passed] == []


def test_an_evaluation_says_how_many_molecules_are_the_same(codec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(codec), "-n", "4"]) == 0
    out = capsys.readouterr().out
    assert "same_molecule_rdkit" in out
    assert "position_error" in out


def test_points_have_no_half_of_their_sides(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Set encode\.shrink=0"):
        polydiff.train("molecule", tmp_path / "run", overrides={**CODEC, "encode.shrink": 0.5})
