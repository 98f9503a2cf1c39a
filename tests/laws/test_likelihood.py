"""Likelihoods: independent of layout, translation and batch; bins and units of each domain; command line; docs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from likelihood_cases import F64, elsewhere, gaussian
from oracles import euclidean
from repository import ROOT
from torch import Tensor
from torch.testing import assert_close

from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Space, State, sqnorm
from polydiff.core.streams import streams
from polydiff.core.units import Units
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.likelihood.bounds import chain, continuous_vlb, discrete_vlb
from polydiff.gaussian.likelihood.flow import flow_bound, flow_log_prob
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.testing.domain import check_units
from polydiff.testing.subject import Subject


class Coupled(torch.nn.Module):
    """A nonlinear denoiser without a closed form, the same in all layouts."""

    schedule = EDM()
    sigma_data = 0.8

    def forward(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        s = space.expand(sigma.to(x))
        size = space.expand(sqnorm(space, x) / space.dim.clamp(min=1))
        return space.project(x - s**2 / (0.64 + s**2) * (x - 0.3 * torch.sin(x) / (1 + size)))


BOUNDS: dict[str, Callable[..., Tensor]] = {
    "discrete": lambda d, b, g: discrete_vlb(d, b, g, chain(d.schedule, 12), variance="large").nats,
    "drawn": lambda d, b, g: discrete_vlb(d, b, g, chain(d.schedule, 12), draws=4).nats,
    "continuous": lambda d, b, g: continuous_vlb(d, b, g, draws=4).nats,
    "exact flow": lambda d, b, g: flow_bound(d, b, g, trace="exact", rtol=1e-3, atol=1e-3).nats,
    "flow": lambda d, b, g: flow_bound(d, b, g, trace="hutchinson", probes=2, rtol=1e-3, atol=1e-3).nats,
}


@pytest.mark.parametrize("name", list(BOUNDS))
def test_bounds_do_not_depend_on_layout_translation_or_batch(name: str) -> None:
    """Equal to 1e-9: dense and packed, a molecule and its translation, a batch and its samples one by one."""
    sizes, bound, denoiser = torch.tensor([1, 4, 2]), BOUNDS[name], Coupled()
    dense_space, packed_space = (layout.of_sizes(sizes, 2, F64) for layout in (DenseMolecules, PackedMolecules))
    x = packed_space.noise(streams(0, "x", range(3)))
    padded = torch.zeros(3, 4, 5, dtype=F64)
    padded[dense_space.mask] = x
    found = bound(denoiser, Batch(x, packed_space), streams(1, "eps", range(3)))
    assert_close(
        bound(denoiser, Batch(padded, dense_space), streams(1, "eps", range(3))), found, rtol=1e-10, atol=1e-10
    )
    moved = elsewhere(packed_space, x)
    assert_close(bound(denoiser, Batch(moved, packed_space), streams(1, "eps", range(3))), found, rtol=1e-9, atol=1e-9)
    first = 0
    for i, size in enumerate(sizes.tolist()):
        alone = Batch(x[first : first + size], PackedMolecules.of_sizes(sizes[i : i + 1], 2, F64))
        assert_close(bound(denoiser, alone, streams(1, "eps", [i])), found[i : i + 1], rtol=1e-10, atol=1e-10)
        first += size


def test_wrong_arguments_raise() -> None:
    space = euclidean(1)
    denoiser, batch, _ = gaussian(space, 1.0)
    g, levels = streams(0, "eps", range(1)), chain(EDM(), 4)
    with pytest.raises(ValueError, match="does not predict the variance"):
        discrete_vlb(denoiser, batch, g, levels, variance="learned")
    with pytest.raises(ValueError, match="'small', 'large' or 'learned'"):
        discrete_vlb(denoiser, batch, g, levels, variance="tiny")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        continuous_vlb(denoiser, batch, g, draws=0)
    with pytest.raises(ValueError, match="at least 2 levels"):
        chain(EDM(), 1)
    with pytest.raises(ValueError, match="prior must be"):
        discrete_vlb(denoiser, batch, g, levels, prior="flat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="generators"):
        flow_log_prob(denoiser, batch.x, space, trace="hutchinson")
    with pytest.raises(ValueError, match="noise level above 0"):
        flow_log_prob(denoiser, batch.x, space, sigma=0.0)
    with pytest.raises(ValueError, match="trace must be"):
        flow_log_prob(denoiser, batch.x, space, trace="none")  # type: ignore[arg-type]


def test_digits_have_17_levels_and_photographs_256() -> None:
    """The bins of an image cover the line, contain the image's pixels, and are the quantisation of the data."""
    from polydiff.domains.image.codec import Standardise
    from polydiff.domains.image.data.source import digits

    source = digits()
    images = source.splits["test"].centred(range(20))
    assert set(images.unique().tolist()) == set(source.levels)
    assert len(source.levels) == 17
    codec = Standardise((0.1,), 0.7)
    x = codec.encode(images)
    low, high = codec.bins(x, torch.tensor(source.levels, dtype=F64))
    assert ((low < x) & (x < high)).all()
    assert len(torch.unique(low)) == 17
    assert set(torch.unique(low)[1:].tolist()) == set(torch.unique(high)[:-1].tolist())
    assert low.isneginf()[images == 0].all()
    assert high.isposinf()[images == 255].all()
    photo = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    low, high = codec.bins(codec.encode(photo), torch.tensor(digits(12).levels, dtype=F64))
    width = (high - low).flatten()[1:-1]
    assert_close(width, torch.full_like(width, 1 / 127.5 / 0.7))


def test_molecules_have_densities_of_positions_and_masses_of_elements() -> None:
    """In Å, -log p is larger by 3 (N - 1) log scale. Only the bin of the true element contains its number."""
    from polydiff.domains.molecule.chemistry.geometry import Molecule
    from polydiff.domains.molecule.codec import Codec

    codec = Codec((1, 6), (0.6, 0.4), 1.7, 0.5)
    ch4 = Molecule(np.array([6, 1, 1, 1, 1], np.uint8), np.arange(15.0).reshape(5, 3).astype(np.float32))
    h = Molecule(np.array([1], np.uint8), np.zeros((1, 3), np.float32))
    x, space = codec.encode([ch4, h])
    units = codec.units(x, space)
    assert_close(units.log_scale.double(), torch.tensor([12 * math.log(1.7), 0.0], dtype=F64))
    assert units.low is not None
    assert units.high is not None
    assert units.low[..., :3].isnan().all()
    low, high, f = units.low[0, :, 3:], units.high[0, :, 3:], x[0, :, 3:]
    assert torch.equal((low < f) & (f < high), torch.tensor([[0, 1], [1, 0], [1, 0], [1, 0], [1, 0]]) == 1)
    assert_close(high - low, torch.full_like(high, 0.5))
    assert (units.name, units.category) == ("Å", (3, 5))


def test_the_command_line_prints_likelihoods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["train.steps=3", "train.batch_size=8", "backbone.channels=16", "backbone.blocks=1", "sample.steps=3"]
    assert main(["train", "--domain", "image", "loss.objective=hybrid", *few, "--judge", "0"]) == 0
    capsys.readouterr()
    assert main(["eval", "runs/image-001", "--likelihood", "all", "-n", "10", "--json", "--batch-size", "4"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["n"], result["n_test"], result["dimensions"], result["unit"]) == (10, 359, 64, "")
    for row in result["likelihood"].values():
        assert row["bits_per_dim"] == pytest.approx(row["nats"] / 64 / math.log(2))
        assert sum(row["parts"].values()) == pytest.approx(row["nats"], rel=1e-5)
        assert row["nats_error"] > 0
    assert list(result["likelihood"]) == ["vlb", "chain", "flow"]
    assert main(["eval", "runs/image-001", "--likelihood", "-n", "10"]) == 0
    out = capsys.readouterr().out
    assert "-log p of 10 of 359 held-out examples at step 3" in out
    printed = re.search(r"vlb +([\d.]+) ± [\d.]+ +[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+ +33\n", out)
    assert printed is not None
    assert float(printed[1]) == pytest.approx(result["likelihood"]["vlb"]["nats"], rel=1e-3)  # batches of 4 or of 10
    assert main(["eval", "runs/image-001", "--likelihood", "--steps", "5"]) == 2
    assert "--steps applies to samples only" in capsys.readouterr().err


def test_the_example_of_the_docs_is_near_the_truth() -> None:
    page = (ROOT / "docs" / "likelihood.md").read_text()
    code = "".join(re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S))
    scope: dict[str, Any] = {}
    exec(code.replace("range(500)", "range(200)"), scope)
    truth, found = scope["truth"], scope["found"]
    for bound in found.values():
        gap = bound.nats - truth
        assert gap.mean().abs() < 0.03 + 4 * gap.std() / math.sqrt(200)
        assert gap.std() < 3
    smoothed = scope["exact"].log_prob(scope["x_0"], torch.full((200,), 0.05, dtype=F64))
    assert_close(scope["density"].log_prob, smoothed, rtol=0, atol=1e-3)
    x, sigma = scope["x"].detach(), torch.full((8,), 0.05, dtype=F64)
    score = (scope["exact"](x, sigma, scope["space"]) - x) / 0.05**2
    assert_close(scope["score"], score, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u: u._replace(low=u.high, high=u.low), "outside their bins"),
        (lambda u: u._replace(high=None), "one end of the bins"),
        (lambda u: u._replace(log_scale=u.log_scale[:1]), "log_scale of shape"),
        (lambda u: u._replace(low=u.low[:1], high=u.high[:1]), "do not have the states' shape"),
    ],
)
def test_wrong_units_are_found(change: Callable[[Units], Units], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(resolve("image").config, 4)
    right = type(subject.domain).units  # type: ignore[attr-defined]
    assert check_units(subject) == "bins"
    monkeypatch.setattr(type(subject.domain), "units", lambda self, x, space: change(right(self, x, space)))
    with pytest.raises(AssertionError, match=message):
        check_units(subject)
