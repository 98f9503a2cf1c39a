"""U-Net against diffusion transformer at equal time of one core: python benchmarks/backbones.py -o DIR [--record].

Both train on scenes of one to three shapes with captions (data.name=shapes), with the defaults that polydiff gives
each. First the CPU seconds of a step are measured in turns, on one thread; DIR/seconds.json keeps them. Each budget of
minutes then becomes a number of steps and a run of its own, since the learning rate falls over the steps of a run. A
later call with the same DIR resumes an interrupted run, and neither trains nor judges again what it finds finished.

Samples are judged by the exact detector under held-out captions, and under captions of pairs of colour and shape that
training never shows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from timing import in_turns, markdown, parser, show

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.judging.evaluate import evaluate
from polydiff.machine.allocator import keep_memory
from polydiff.model.model import Model
from polydiff.run.folder import Run, steps_saved
from polydiff.support.files import write_atomic
from polydiff.training.steps import begin, records_of
from polydiff.training.trainer import resume, train

PRESETS = {"unet": "quick", "dit": "dit"}
"""Network -> preset that has it."""
SCENES: dict[str, Any] = {"data.name": "shapes", "data.things": (1, 2, 3), "device": "cpu", "train.workers": 0}
METRICS = ("all_right", "unseen_all_right", "shape", "colour", "size", "place", "relation", "frechet_filters")


def stepping(name: str, rounds: int) -> tuple[Callable[[], object], int]:
    """Return a function that takes one training step of a network's run, and the number of its parameters."""
    config = resolve("image", PRESETS[name], values=SCENES).config
    domain = build_domain(config)
    training = begin(config, domain)
    records = records_of(config, domain, training, rounds + 1)
    return lambda: next(records), sum(p.numel() for p in training.module.parameters())


def measured(names: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median CPU seconds of a training step and the parameters of each network."""
    steps = {name: stepping(name, rounds) for name in names}
    timings = in_turns({name: step for name, (step, _) in steps.items()}, rounds, clock=time.process_time)
    return {
        name: {"seconds": median(timings[name].seconds), "parameters": parameters}
        for name, (_, parameters) in steps.items()
    }


def costs(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return what steps cost, as the folder keeps it, or measured now."""
    file = folder / "seconds.json"
    if not file.exists():
        write_atomic(file, json.dumps(measured(list(PRESETS), rounds), indent=1))
    found: dict[str, dict[str, float]] = json.loads(file.read_text())
    return found


def trained(path: Path, name: str, steps: int) -> Model:
    """Return the model of a run of so many steps, which is trained, or trained on, if it is not finished."""
    saved = steps_saved(Run(path).checkpoints)
    if not saved:
        train("image", path, preset=PRESETS[name], overrides={**SCENES, "train.steps": steps})
    elif saved[-1] < steps:
        resume(path)
    return Model.load(path)


def judged(path: Path, name: str, steps: int, n: int, guidance: float) -> dict[str, Any]:
    """Return the metrics of n samples of a run; the folder beside the run keeps them."""
    file = path.with_name(f"{path.name}-n{n}-guidance{guidance:g}.json")
    if not file.exists():
        model = trained(path, name, steps)
        write_atomic(file, json.dumps(evaluate(model, n, guidance=guidance)["metrics"], indent=1))
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def cell(metrics: Mapping[str, Any], name: str, column: str) -> str:
    """Return a metric's value with its standard error; a dash if it was not measured."""
    found = metrics.get(name, {})
    value, error = found.get(column), found.get(f"{column}_error")
    if not isinstance(value, float | int):
        return "-"
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def table(args: argparse.Namespace) -> str:
    """Train and judge all runs, and return the table."""
    cost = costs(args.output, args.rounds)
    facts = [
        [name, f"{cost[name]['parameters'] / 1e6:.2f} M", f"{cost[name]['seconds']:.3f}"]
        for name in args.only or PRESETS
    ]
    rows = [["network", "minutes", "steps", *METRICS]]
    for minutes in args.minutes:
        for name in args.only or PRESETS:
            steps = max(1, round(60 * minutes / cost[name]["seconds"]))
            found = judged(args.output / f"{name}-{minutes:g}min", name, steps, args.n, args.guidance)
            rows.append([name, f"{minutes:g}", str(steps), *(cell(found, metric, "value") for metric in METRICS)])
            print(markdown([rows[0], rows[-1]]), flush=True)
    rows.append(["real data", "", "", *(cell(found, metric, "data") for metric in METRICS)])
    return f"{markdown([['network', 'parameters', 'CPU s a step'], *facts])}\n{markdown(rows)}"


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print."""
    reader = parser(__doc__, rounds=15)
    reader.add_argument("-o", dest="output", type=Path, required=True, help="folder of the runs")
    reader.add_argument("--minutes", type=float, nargs="+", default=[2, 10, 40], help="budgets; default: 2 10 40")
    reader.add_argument("--only", nargs="+", choices=list(PRESETS), help="networks; default: both")
    reader.add_argument("-n", type=int, default=500, help="samples; default: 500")
    reader.add_argument("--guidance", type=float, default=2.0, help="default: 2")
    reader.set_defaults(threads=1)
    args = reader.parse_args(words)
    keep_memory()
    torch.set_num_threads(args.threads)
    args.output.mkdir(parents=True, exist_ok=True)
    show(f"U-Net and diffusion transformer on captioned scenes, n = {args.n}", table(args), args)


if __name__ == "__main__":
    main()
