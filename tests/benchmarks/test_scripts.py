"""What the benchmark of samplers computes, against closed forms."""

import importlib
import json
import math
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from repository import ROOT

from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.problems import SUITES, ring

FOLDER = ROOT / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    """Return the benchmark's modules, which are scripts beside each other and no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import cases
    import noisy
    import samplers

    yield SimpleNamespace(cases=cases, noisy=noisy, samplers=samplers)
    for name in (
        "cases",
        "noisy",
        "samplers",
        "peers",
        "diffusers_peer",
        "audio_peers",
        "image_peers",
        "molecule_recipe",
        "molecule_reference",
        "overhead",
        "timing",
        "speed_audio",
        "growth",
        "inpainting",
        "bandwidth",
        "first_steps",
        "image_metrics",
        "backbones",
        "decided",
        "evaluations",
        "looking",
    ):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_script_has_one_idea_and_so_few_lines(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 300


def test_scripts_of_several_files_fit_together(bench) -> None:
    for name in ("speed_audio", "speed_images", "speed_molecules", "peers", "diffusers_peer"):
        assert importlib.import_module(name).__doc__
        sys.modules.pop(name)


def test_impulses_give_the_exact_law_of_a_sampler(bench) -> None:
    """DDPM on a Gaussian: the variance along each axis by the recursion v <- (A + B g)^2 v + C^2, g = V / (V + s^2)."""
    method = bench.samplers.polydiff_method("ddpm", {"sampler": "ddpm", "spacing": "asinh"}, noisy=True)
    schedule = bench.cases.schedule("edm")
    data = bench.noisy.axes().exact.variances[0]
    variance = torch.full_like(data, schedule.sigma_max**2)
    levels = noise_levels(schedule, 20, "asinh", sigma_data=0.5)
    for row in SAMPLERS["ddpm"](levels):
        g = data / (data + row.at**2)
        variance = (row.A + row.B[0] * g) ** 2 * variance + row.C**2
    truth = ((variance.sqrt() - data.sqrt()).square().sum() / data.sum()).sqrt().item()
    assert bench.noisy.gaussian_distance(method, "edm", 20) == pytest.approx(truth, rel=1e-4)


def test_projected_quantiles_are_those_of_the_mixture(bench) -> None:
    one = GaussianMixture(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 9.0]]))
    u = torch.tensor([0.6, 0.8], dtype=torch.float64)
    q = bench.noisy.projected(one, u, 999)
    assert q[499].item() == pytest.approx(2.2, abs=1e-6)
    assert q.std().item() == pytest.approx(math.sqrt(0.36 * 4 + 0.64 * 9), rel=0.01)
    exact = ring(10, 8)
    assert bench.noisy.sliced(exact, exact.draw([torch.Generator().manual_seed(i) for i in range(2000)])) < 0.1


def test_budgets_are_kept_and_errors_fall(bench) -> None:
    heun = bench.samplers.polydiff_method("heun", {"sampler": "heun"})
    case = bench.cases.Case(SUITES["core"]()[0], "edm", 4)
    errors = []
    for budget in (8, 20, 51):
        steps = bench.cases.affordable(heun, "edm", budget)
        assert bench.cases.calls(heun, "edm", steps) <= budget < bench.cases.calls(heun, "edm", steps + 1)
        errors.append(bench.samplers.error(heun, case, case.truth(), steps)[0])
    assert errors[0] > errors[1] > errors[2]


def test_the_flow_track_ends_where_the_others_do(bench) -> None:
    """For one Gaussian x_0 = mu + sqrt(V / (V + s^2)) (x - mu): from infinity, mu + sqrt(V) xi along each axis."""
    case = bench.cases.Case(bench.noisy.axes(), "flow", 3)
    truth = case.exact.variances[0].sqrt() * case.xi.double()
    torch.testing.assert_close(case.truth(), truth, rtol=1e-8, atol=1e-8)


def test_tables_are_put_between_the_marks(bench, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n")
    bench.samplers.document("new\n<details>\nall\n</details>\n", page)
    assert page.read_text() == "before\n<!-- tables -->\nnew\n\n<!-- end of tables -->\nafter\n"
    assert "<!-- tables -->" in (FOLDER.parent / "docs" / "benchmarks.md").read_text()


def test_the_least_number_of_steps_counts_only_if_all_later_ones_are_right(bench) -> None:
    import first_steps

    ranges = [(0.95, 1.02), (0.7, 1.0), (0.91, 1.09), (1.0, 1.0)]
    assert first_steps.reached(ranges, (5, 10, 20, 50)) == "20"
    assert first_steps.reached(ranges[:2], (5, 10)) == "-"
    rows = first_steps.report(["edm"], (10, 50), laplace=False).splitlines()
    ddim, heun = (next(row for row in rows if row.startswith(f"| `{name}` |")) for name in ("ddim", "heun"))
    assert ddim.endswith("| 50 |")
    assert heun.endswith("| 1.02 to 1.36 | 1.00 to 1.01 | 50 |")


def test_exponents_are_those_of_powers(bench) -> None:
    import growth

    cubes = growth.Series("side", "image", "evaluation", {n: 5.0 * n**3 for n in (2, 4, 8, 16)})
    overhead = growth.Series("side", "image", "evaluation", {n: max(100.0, n**2) for n in (1, 2, 16, 32)})
    assert cubes.exponent == pytest.approx(3)
    assert overhead.exponent == pytest.approx(2)


def test_forms_of_an_audio_network_are_one_function(bench) -> None:
    """conv1d in place of planes changes an output by rounding alone, and no layer is missed."""
    import speed_audio
    from torch import nn

    from polydiff.backbones.config import UNetConfig

    network = speed_audio.unet(UNetConfig(channels=16, mult=(1, 2), strides=(4,), blocks=1, attention=(1,)))
    flat = speed_audio.as_conv1d(network)
    assert not any(isinstance(module, nn.Conv2d) for module in flat.modules())
    x, log_sigma = torch.randn(2, 1, 256), torch.zeros(2)
    with torch.no_grad():
        f, g = (form(x, log_sigma, speed_audio.Euclidean(2, (1, 256))) for form in (network, flat))
    assert f.any()
    torch.testing.assert_close(g, f, rtol=1e-4, atol=1e-5)


def test_linear_prediction_follows_what_it_can(bench) -> None:
    """Damped sinusoids are an all-pole model's own: high orders lose nothing; of a beginning it has one side alone."""
    import inpainting

    t = torch.arange(2000).double()
    x = sum(torch.exp(-t * k / 4000) * torch.cos(0.11 * k * t + k) for k in range(1, 6))[None, None]
    gap = (t >= 900) & (t < 1300)
    errors = [(inpainting.predicted(x, gap, order) - x)[..., gap].norm() / x[..., gap].norm() for order in (32, 200)]
    assert errors[1] < errors[0] < 0.1
    assert errors[1] < 5e-3
    filled = inpainting.predicted(x, gap, 32)
    assert torch.equal(filled[..., ~gap], x[..., ~gap])
    assert bool((inpainting.predicted(x, t < 300, 100)[..., :300] - x[..., :300]).norm() < 2 * x[..., :300].norm())


def test_a_spline_goes_through_the_recording_and_follows_what_is_slow(bench) -> None:
    import bandwidth

    t = torch.arange(400).double()
    slow = torch.sin(0.05 * t)[None, None]
    raised = bandwidth.spline(slow[..., ::2], 2.0, 400)
    torch.testing.assert_close(raised[..., ::2], slow[..., ::2].float())
    assert float((raised - slow)[..., 4:-4].abs().max()) < 1e-4
    same = bandwidth.figures(raised.repeat(2, 1, 1), raised.repeat(2, 1, 1), 8000, 2000.0)
    assert same[:3] == ["0.000 ± 0.000"] * 3


def test_the_evidence_of_a_note_is_the_density_of_a_normal_law_and_its_modes_are_the_synthesiser(bench) -> None:
    import decided

    from polydiff.core.streams import streams
    from polydiff.domains.audio.data.plucks import draw_strings, synthesise

    strings = draw_strings(torch.tensor([5]), streams(0, "test", [0]))
    basis = decided.modes(strings, 8000, 512)
    half = basis.shape[1] // 2
    own = torch.exp(decided.DEVIATION * strings.level[0, :half] / 3) * math.sqrt(2) * math.exp(-(decided.DEVIATION**2))
    phase = strings.phase[0, :half]
    sound = basis @ torch.cat([own * phase.cos(), own * phase.sin()])
    torch.testing.assert_close(sound.float(), synthesise(strings, 8000, 512)[0], rtol=0, atol=1e-4)

    basis = torch.randn(7, 4, dtype=torch.float64)
    drawn, (clean, noise) = decided.Drawn.of(basis), torch.randn(2, 3, 7, dtype=torch.float64)
    shared = []
    for found, s in zip(drawn.evidence(clean, noise, (2.0, 0.5)), (2.0, 0.5), strict=True):
        covariance, x = basis @ basis.mT + s**2 * torch.eye(7), clean + s * noise
        exact = torch.distributions.MultivariateNormal(torch.zeros(7, dtype=torch.float64), covariance).log_prob(x)
        alone = torch.distributions.Normal(0, s).log_prob(x).sum(1)  # what all draws share
        shared.append(found - (exact - alone))
        torch.testing.assert_close(drawn.estimate(x, s), (basis @ basis.mT @ torch.linalg.solve(covariance, x.mT)).mT)
    assert float(torch.stack(shared).abs().max()) < 1e-6


def test_a_crossing_is_interpolated_and_a_curve_that_never_falls_below_has_none(bench) -> None:
    import decided

    right = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    assert decided.crossing((8.0, 4.0, 1.0, 0.5), right) == pytest.approx(2.0)
    assert math.isnan(decided.crossing((2.0, 1.0), torch.ones(2, 4, dtype=torch.bool)))
    assert decided.deviation((8.0, 4.0, 1.0, 0.5), right) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "speed_audio.py --quick --parts layout same",
        "growth.py --quick --rounds 1",
        "shapes.py -n 20",
        "decided.py --smoke",
        "looking.py --smoke",
    ],
)
def test_commands_print_their_tables(command: str) -> None:
    words = [sys.executable, *shlex.split(command)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout.count("| --- |") >= 1


def test_metrics_of_features_agree_with_numpy_and_torchmetrics(bench) -> None:
    import image_metrics

    sets = image_metrics.features(300, 48)
    ours, theirs = (of(*sets) for of in (image_metrics.polydiff_overlap, image_metrics.numpy_overlap))
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert min(ours[:2]) > 0
    pytest.importorskip("torchmetrics")
    frechet = image_metrics.frechet_distance(*sets)
    assert frechet == pytest.approx(image_metrics.torchmetrics_frechet(*sets), rel=1e-6)
    kernel = image_metrics.kernel_distance(*sets).value
    assert kernel == pytest.approx(image_metrics.torchmetrics_kernel(*sets), rel=1e-6)


def test_a_comparison_of_networks_trains_and_judges_once(bench, tmp_path: Path, monkeypatch) -> None:
    """Budgets become steps by the seconds that the folder keeps, and a finished run is only read."""
    import backbones

    cost = {name: {"seconds": 3.0, "parameters": 2e6} for name in backbones.PRESETS}
    (tmp_path / "seconds.json").write_text(json.dumps(cost))
    steps: list[int] = []
    metrics = {"all_right": {"value": 0.5, "value_error": 0.1, "data": 1.0}}
    monkeypatch.setattr(backbones, "trained", lambda path, name, n: steps.append(n))
    monkeypatch.setattr(backbones, "evaluate", lambda model, n, guidance: {"metrics": metrics})
    said = SimpleNamespace(output=tmp_path, rounds=1, only=["dit"], minutes=[1, 2], n=16, guidance=2.0)
    table = backbones.table(said)
    assert backbones.table(said) == table
    assert steps == [20, 40]
    assert "| dit | 2 | 40 | 0.500 ± 0.100 | - |" in table
    assert "| real data |  |  | 1.000 | - |" in table


def test_steps_within_a_budget_count_both_estimates_inside_an_interval_of_guidance(bench) -> None:
    """Each step takes one evaluation, and a second one if its level is in the interval."""
    import evaluations

    def calls(how: SimpleNamespace) -> int | None:
        return None if how.sampler == "adaptive" else how.steps + sum(n > how.low for n in range(how.steps))

    model: Any = SimpleNamespace(plan=lambda **how: SimpleNamespace(**how), evaluations=calls)
    found = [evaluations.steps_within(model, 20, sampler="auto", low=low) for low in (-1, 4, 99)]
    assert found == [10, 12, 20]  # 12 steps and the 7 of them above 4; 13 steps would take 21 evaluations
    assert evaluations.steps_within(model, 20, sampler="adaptive", low=0) == 20
    assert evaluations.steps_within(model, 1, sampler="auto", low=-1) == 1
