"""What the benchmark of samplers computes, against closed forms."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from polydiff.sampling import SAMPLERS, noise_levels
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.problems import SUITES, ring

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    """Return the benchmark's modules, which are scripts beside each other and no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import cases
    import noisy
    import samplers

    yield SimpleNamespace(cases=cases, noisy=noisy, samplers=samplers)
    for name in ("cases", "noisy", "samplers", "peers", "overhead", "timing"):
        sys.modules.pop(name, None)


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
