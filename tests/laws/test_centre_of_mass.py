"""The centre of mass stays at the origin in every state of every sampler, in both layouts."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from clouds import awaken
from torch import Tensor

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MoleculeNetConfig
from polydiff.contract.backbone import build_backbone
from polydiff.core.space import sqnorm
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.sampling.execute import trajectory
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.schedule.base import SCHEDULES

K, SIZES = 3, torch.tensor([1, 2, 5, 9, 13])
VARIANTS: dict[str, dict[str, object]] = {
    **{name: {"sampler": name} for name in SAMPLERS if name != "calibrated"},
    "heun, churn": {"sampler": "heun", "churn": 10.0},
    "ddim, eta": {"sampler": "ddim", "eta": 0.5},
    "ddpm, learned": {"sampler": "ddpm", "variance": "learned"},
}
NETWORKS: dict[str, MoleculeNetConfig] = {
    "egnn": EGNNConfig(hidden=16, layers=2, radial=4),
    "graph_transformer": GraphTransformerConfig(hidden=16, layers=2, radial=4, pair=8, vectors=4, heads=2),
}


@cache
def denoiser(name: str, variance: bool) -> Denoiser:
    config = NETWORKS[name].model_copy(update={"variance": variance})
    network = awaken(build_backbone(config, channels=K, dims=3, conditions={}))
    return Denoiser(network, SCHEDULES["edm"](sigma_min=0.002, sigma_max=20.0)).eval()


def off_centre(x: Tensor, space: DenseMolecules | PackedMolecules) -> float:
    """Return the largest offset of a centre of mass, relative to the molecule's largest coordinate."""
    rows = x[space.mask] if isinstance(space, DenseMolecules) else x
    worst = 0.0
    for r in rows[:, :3].double().split(SIZES.tolist()):
        worst = max(worst, float(r.mean(0).abs().max() / r.abs().max().clamp(min=1e-30)))
    return worst


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("layout", [DenseMolecules, PackedMolecules])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_state_is_centred(
    variant: str, layout: type[DenseMolecules] | type[PackedMolecules], network: str
) -> None:
    how, space = VARIANTS[variant], layout.of_sizes(SIZES, K)
    made = denoiser(network, how.get("variance") == "learned")
    seen = 0
    with torch.no_grad():
        for step in trajectory(made, space, generators=streams(0, "sample", range(len(SIZES))), steps=8, **how):
            assert step.x.isfinite().all()
            assert off_centre(step.x, space) < 1e-5
            assert off_centre(step.x_0, space) < 1e-5
            if isinstance(space, DenseMolecules):
                assert not step.x[~space.mask].any()
            seen += 1
    assert seen >= 1
    assert off_centre(step.x + 1e-3, space) > 1e-4  # the check detects a shift


@pytest.mark.parametrize("layout", [DenseMolecules, PackedMolecules])
def test_noise_has_three_times_n_minus_one_degrees_of_freedom_and_k_an_atom(
    layout: type[DenseMolecules] | type[PackedMolecules],
) -> None:
    """E |noise|^2 = 3 (N - 1) + N K, to four standard errors."""
    n = 4000
    for atoms in (1, 2, 9):
        space = layout.of_sizes(torch.full((n,), atoms), K)
        dim = 3 * (atoms - 1) + atoms * K
        assert (space.dim == dim).all()
        norms = sqnorm(space, space.noise(streams(0, "noise", range(n)))).double()
        assert abs(float(norms.mean()) - dim) < 4 * (2 * dim / n) ** 0.5
