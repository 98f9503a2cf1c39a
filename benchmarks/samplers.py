"""Measure samplers on exact models, beside other libraries': python benchmarks/samplers.py [--quick] [--record].

Each sampler gets the exact denoiser, the same noise and a budget of evaluations, and takes the largest number of steps
that the budget allows. The error of a sample is its distance from where the probability-flow ODE ends for the same
noise, over the norm of that end point; a problem's number is the median over its samples, and a sampler's the geometric
mean over problems (in brackets: of root mean squares, in which samples that end in another mode weigh most). States are
float32, evaluations are counted where the model is called.

`cases.py` has the problems, `diffusers_peer.py` and `peers.py` the other libraries, `noisy.py` samplers that draw
noise, `overhead.py` time.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from cases import Case, Method, affordable, schedule, short, table
from timing import document
from torch import Tensor

from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import SAMPLERS, evaluations, plan
from polydiff.machine.allocator import keep_memory
from polydiff.testing.problems import SUITES

BUDGETS = (5, 8, 10, 20, 50)
VARIANTS: dict[str, dict[str, Any]] = {
    "adams 2": {"sampler": "adams", "order": 2},
    "adams 3": {"sampler": "adams", "order": 3},
    "adams 4": {"sampler": "adams", "order": 4},
    "deis 2": {"sampler": "deis", "order": 2},
    "lms 3": {"sampler": "lms", "order": 3},
    "sa_solver 0.5": {"sampler": "sa_solver", "tau": 0.5, "spacing_options": {"power": 1.3}},
    "unipc 3": {"sampler": "unipc", "order": 3},
    **{f"dpmpp_2m {grid}": {"sampler": "dpmpp_2m", "spacing": grid} for grid in ("karras", "log_snr")},
    **{f"heun {grid}": {"sampler": "heun", "spacing": grid} for grid in ("karras", "log_snr")},
}
"""Configurations beside each sampler's defaults; those whose names are not registered are left out."""


def draws_noise(how: Mapping[str, Any]) -> bool:
    """Return whether a configuration adds noise on the way."""
    rows = plan(schedule("edm"), 12, sigma_data=0.5, **how)
    return any(getattr(row, "C", 0.0) or getattr(row, "C_large", None) for row in rows)  # a `Solve` has neither


def polydiff_method(name: str, how: Mapping[str, Any], noisy: bool = False) -> Method:
    """Return a configuration of polydiff, run through its public `sample`."""

    def run(case: Case, steps: int) -> Tensor:
        rows = plan(schedule(case.track), steps, sigma_data=case.exact.sigma_data, **how)
        x = sample(case.exact, case.space, generators=case.generators(), steps=steps, **how)
        case.calls += evaluations(rows)
        return x.reshape(case.n, -1)

    return Method("polydiff", name, ("vp", "edm", "flow"), run, name == "auto", noisy)


def configurations() -> dict[str, dict[str, Any]]:
    """Return every registered sampler with its defaults, and the variants of those that exist."""
    found = {name: {"sampler": name} for name in SAMPLERS if name != "calibrated"}
    return {**found, **{name: how for name, how in VARIANTS.items() if how["sampler"] in found}}


def polydiff_methods(noisy: bool = False) -> list[Method]:
    """Return polydiff's configurations that draw noise, or those that do not."""
    return [polydiff_method(n, how, noisy) for n, how in configurations().items() if draws_noise(how) == noisy]


@functools.cache
def prepared(suite: str, name: str, track: str, n: int) -> tuple[Case, Tensor]:
    """Return a case and where its samples should end."""
    case = Case(next(p for p in SUITES[suite]() if p.name == name), track, n)
    return case, case.truth()


def error(method: Method, case: Case, truth: Tensor, steps: int) -> tuple[float, float]:
    """Return median and root mean square of the relative errors; infinity where a method fails."""
    try:
        x = method.run(case, steps).double()
    except Exception:  # noqa: BLE001 - a peer that cannot take so many steps is a result
        return math.inf, math.inf
    relative = (x - truth).norm(dim=1) / truth.norm(dim=1)
    relative = relative.nan_to_num(math.inf)
    return relative.median().item(), relative.square().mean().sqrt().item()


Scores = dict[str, dict[int, dict[str, tuple[float, float]]]]
"""Method -> budget -> problem -> (median, rms)."""


def scores(methods: Iterable[Method], suite: str, track: str, budgets: Sequence[int], n: int) -> Scores:
    """Measure methods on a suite."""
    found: Scores = {}
    for method in methods:
        if track not in method.tracks:
            continue
        for budget in budgets:
            steps = affordable(method, track, budget)
            each = {}
            for problem in SUITES[suite]():
                case, truth = prepared(suite, problem.name, track, n)
                each[problem.name] = error(method, case, truth, steps) if steps else (math.inf, math.inf)
            found.setdefault(method.label, {})[budget] = each
    return found


def mean(each: Mapping[str, tuple[float, float]], which: int = 0) -> float:
    """Return the geometric mean over problems."""
    values = [v[which] for v in each.values()]
    return math.exp(sum(map(math.log, values)) / len(values)) if all(map(math.isfinite, values)) else math.inf


def both(each: Mapping[str, tuple[float, float]]) -> str:
    """Return median and rms in words."""
    return f"{short(mean(each))} ({short(mean(each, 1))})" if math.isfinite(mean(each)) else "-"


def library(label: str) -> str:
    """Return whose a method is."""
    return label.split()[0]


def leaders(found: Scores, defaults: Sequence[str], budgets: Sequence[int]) -> str:
    """Return the best configuration of each library at each budget, and the defaults."""
    rows = [[f"{label} (default)", *(both(found[label][b]) for b in budgets)] for label in defaults if label in found]
    for whose in dict.fromkeys(map(library, found)):
        best = [min((m for m in found if library(m) == whose), key=lambda m, b=b: mean(found[m][b])) for b in budgets]
        cells = [f"{both(found[m][b])} {m.removeprefix(whose).strip()}" for m, b in zip(best, budgets, strict=True)]
        rows.append([f"best of {sum(library(m) == whose for m in found)} of {whose}", *cells])
    return table(["", *map(str, budgets)], rows)


def everything(found: Scores, budgets: Sequence[int]) -> str:
    """Return all configurations, the best at the middle budget first."""
    middle = budgets[len(budgets) // 2]
    order = sorted(found, key=lambda m: mean(found[m][middle]))
    return table(["", *map(str, budgets)], [[m, *(both(found[m][b]) for b in budgets)] for m in order])


def one_against_peers(found: Scores, budgets: Sequence[int], ours: str = "polydiff auto") -> str:
    """Return our error and that of the peers' best on each problem; the best is chosen anew for each cell."""
    if ours not in found:
        return f"{ours} does not exist.\n"
    peers = [m for m in found if library(m) != "polydiff"]
    rows = []
    for problem in found[ours][budgets[0]]:
        cells = []
        for b in budgets:
            best = min(peers, key=lambda m, b=b, p=problem: found[m][b][p][0]) if peers else ours
            cells.append(f"{short(found[ours][b][problem][0])} / {short(found[best][b][problem][0])} {best}")
        rows.append([problem, *cells])
    return table(["", *map(str, budgets)], rows)


def falls_off(method: Method, suite: str, track: str, n: int, counts: Sequence[int]) -> dict[int, float]:
    """Return the error at each number of evaluations, over the least error at any smaller number."""
    found = scores([method], suite, track, counts, n)
    if method.label not in found:
        return {}
    errors = {b: mean(found[method.label][b]) for b in counts}
    return {b: errors[b] / min(errors[c] for c in counts if c < b) for b in counts[1:]}


def cliffs(methods: Iterable[Method], suite: str, track: str, n: int, counts: Sequence[int]) -> str:
    """Return where more evaluations make a sampler worse."""
    rows = []
    for method in methods:
        ratios = {b: r for b, r in falls_off(method, suite, track, n, counts).items() if not math.isnan(r)}
        worst = max(ratios, key=lambda b: ratios[b])
        rows.append([method.label, short(ratios[worst]), str(worst), str(sum(r > 1.1 for r in ratios.values()))])
    return table(["", "worst ratio", "at", f"of {len(counts) - 1}, above 1.1"], rows)


def available() -> list[Method]:
    """Return the peers that are installed, and say which are not."""
    import diffusers_peer
    import peers

    methods: list[Method] = []
    for make in (diffusers_peer.diffusers_methods, peers.k_methods, peers.azula_methods):
        try:
            methods += make()
        except ImportError as missing:
            print(f"Without {make.__name__.removesuffix('_methods')}: {missing}\n")
    return methods


def accuracy(suites: Sequence[str], tracks: Sequence[str], n: int, budgets: Sequence[int], raw: dict[str, Any]) -> str:
    """Return the tables of deterministic samplers."""
    methods = [*polydiff_methods(), *available()]
    defaults = [m.label for m in methods if m.default]
    parts = []
    for suite in suites:
        for track in tracks:
            found = scores(methods, suite, track, budgets, n)
            raw[f"{suite} {track}"] = found
            parts += [f"### {suite} problems, {track} track\n", leaders(found, defaults, budgets), ""]
            parts += ["auto / the peers' best on each problem:\n", one_against_peers(found, budgets), ""]
            parts += ["<details><summary>All configurations</summary>\n", everything(found, budgets), "\n</details>\n"]
            print("\n".join(parts[-9:]), flush=True)
    return "\n".join(parts)


def machine() -> str:
    """Return where and with what this was measured."""
    import importlib.metadata as metadata

    def version(name: str) -> str:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return f"no {name}"

    packages = ", ".join(map(version, ("torch", "diffusers", "k-diffusion", "azula")))
    cpu = next((line.split(":")[1].strip() for line in cpu_info() if line.startswith("model name")), platform.machine())
    return f"{date.today()}, {cpu}, 1 thread, Python {platform.python_version()}, {packages}"


def cpu_info() -> list[str]:
    """Return what Linux says of the processor."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    """Measure all, or the requested parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", default=list(SUITES), choices=list(SUITES))
    parser.add_argument("--tracks", nargs="+", default=["vp", "edm", "flow"], choices=["vp", "edm", "flow"])
    parser.add_argument("--parts", nargs="+", default=["accuracy", "cliffs", "noisy", "overhead"])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="few samples, three budgets, the core problems on vp")
    parser.add_argument("--json", type=Path, default=Path("runs/samplers.json"), help="where the raw numbers go")
    parser.add_argument("--record", action="store_true", help="append the tables to benchmarks/RESULTS.md")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    began, raw = time.process_time(), {}
    budgets: Sequence[int] = BUDGETS
    if args.quick:
        args.suites, args.tracks, args.samples, budgets = ["core"], ["vp"], 16, (5, 10, 20)
    parts = [f"\n## Samplers\n\n    python benchmarks/samplers.py\n\n{machine()}.\n"]
    print(parts[0], flush=True)
    if "accuracy" in args.parts:
        parts.append(accuracy(args.suites, args.tracks, args.samples, budgets, raw))
    if "cliffs" in args.parts:
        counts = range(4, 31 if args.quick else 61)
        methods = [m for m in polydiff_methods() if m.name in ("auto", "adams 3", "dpmpp_2m", "unipc", "heun")]
        text = cliffs(methods, "core", "vp", 16, counts)
        parts += [f"### Does any number of evaluations from {counts[0]} to {counts[-1]} fall off?\n", text, ""]
        print("\n".join(parts[-3:]), flush=True)
    if "noisy" in args.parts:
        import noisy

        parts.append(noisy.report(polydiff_methods(noisy=True), args.quick, raw))
        print(parts[-1], flush=True)
    if "overhead" in args.parts:
        import overhead

        parts.append(overhead.report(polydiff_methods(), available(), args.quick, raw))
        print(parts[-1], flush=True)
    parts.append(f"{(time.process_time() - began) / 60:.1f} CPU minutes.\n")
    print(parts[-1])
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(raw, indent=1))
    if args.record:
        with Path(__file__).with_name("RESULTS.md").open("a") as results:
            results.write("\n".join(parts))
    if args.docs:
        document("\n".join(parts), Path(__file__).parents[1] / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main()
