"""Time from data to a good model, against peers: python benchmarks/time_to_quality.py --domain image -o DIR.

polydiff's preset "quick" and other libraries, each by its own documented recipe, train on the same data, on the same
threads, and are judged by the same metrics of the domain (`quality_learners.py` has the recipes). None sees the
conditions of the data. Judged are samples of the averaged weights, drawn by each library's own default sampler.

image: handwritten digits (--data digits, 8 x 8) or scenes of one shape (--data shapes, 32 x 32), against
denoising_diffusion_pytorch and diffusers. audio: plucked strings, half a second at 8 kHz, against
denoising_diffusion_pytorch and audio_diffusion_pytorch. molecule: small organic molecules in 3-D, against the network
and recipe of E(3) diffusion.

Minutes are those of training alone, of the processor (all threads) or, with --wall, of the clock. Data are read before;
batches, the network's construction and updates of the averages count, drawing and judging samples does not. Where a
learning rate falls over a run, each of --minutes is a run of its own, of as many steps as a short measurement allows;
otherwise one run is judged after each of them.

DIR keeps a file of each (library, variant, seed, minutes), so a later call does only what is missing: run it in pieces
with --systems, --variants and --seeds. `--report` makes the table and DIR/DOMAIN.svg from the files alone.

    pip install -e ".[bench,all]" && pip install --no-deps torchvision==0.26.0    # beside torch 2.11
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ.setdefault("TQDM_DISABLE", "1")  # before peers import tqdm

import torch
from quality_learners import SYSTEMS, Learner, System, Task, open_domain
from quality_report import picture, results_in, tables
from timing import parser, show

from polydiff.contract.domain import Domain, Samples
from polydiff.machine.allocator import keep_memory
from polydiff.machine.environment import environment, version
from polydiff.support.files import json_number, write_atomic

DATA: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "image": {"digits": {}, "shapes": {"data.name": "shapes"}},
    "audio": {"plucks": {}},
    "molecule": {"organic": {}},
}
"""Domain -> data -> keys of polydiff's configuration; the first is the default."""
LIBRARIES = ("diffusers", "denoising-diffusion-pytorch", "ema-pytorch", "audio-diffusion-pytorch")
PILOT = 12
"""Steps that are timed to learn how many fit in a budget."""
SMOKE = {"minutes": [0.01, 0.02], "seeds": [0], "n": 16, "evaluations": 4}
"""What --smoke sets."""


class Job(NamedTuple):
    """One training.

    Attributes:
        system: Name of the library.
        variant: Name of its size and learning rate.
        seed: Random seed.
        minutes: When it is judged, increasing.
    """

    system: str
    variant: str
    seed: int
    minutes: tuple[float, ...]

    def file(self, folder: Path, minutes: float) -> Path:
        """Return where the result of a budget is kept."""
        words = f"{self.system} {self.variant} seed {self.seed} {minutes:g} min"
        return folder / f"{''.join(c if c.isalnum() or c in '.-()' else '_' for c in words)}.json"


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Yield the trainings that are requested: seeds first, so that all libraries have a first result early."""
    budgets = tuple(sorted(args.minutes))
    for seed, (name, system) in itertools.product(args.seeds, SYSTEMS[args.domain].items()):
        if args.systems and name not in args.systems:
            continue
        known = list(system.variants)[: 1 if args.smoke else None]
        for variant in (v for v in known if not args.variants or v in args.variants or name == "polydiff"):
            for minutes in [(m,) for m in budgets] if system.decays else [budgets]:
                yield Job(name, variant, seed, minutes)


def seconds_per_step(make: Callable[[int], Learner], clock: Callable[[], float], timed: int) -> float:
    """Return the median time of some steps of a learner that is then dropped, not of its first.

    Imports and caches, which it is the first to need, so count for no training.
    """
    learner = make(timed + 1)
    learner.step()
    times = []
    for _ in range(timed):
        start = clock()
        learner.step()
        times.append(clock() - start)
    return median(times)


class Mark(NamedTuple):
    """A learner after a budget.

    Attributes:
        minutes: The budget.
        took: Minutes that it has trained.
        steps: Steps that it has taken.
        learner: The learner.
    """

    minutes: float
    took: float
    steps: int
    learner: Learner


def trained(
    make: Callable[[int], Learner], decays: bool, minutes: Sequence[float], clock: Callable[[], float]
) -> Iterator[Mark]:
    """Train and yield the learner after each budget; time that the caller takes between does not count.

    Arguments:
        make: Steps of the training -> learner.
        decays: Whether the learning rate falls, so that the steps are fixed in advance.
        minutes: Budgets, increasing; only one if `decays`.
        clock: Seconds.
    """
    a_step = seconds_per_step(make, clock, PILOT if decays else 1)
    steps = max(1, round(60 * minutes[-1] / a_step)) if decays else 10**9
    start = clock()
    learner, done = make(steps), 0
    spent = clock() - start
    for budget in minutes:
        while done < steps and (decays or spent < 60 * budget):
            start = clock()
            learner.step()
            spent, done = spent + clock() - start, done + 1
        yield Mark(budget, spent / 60, done, learner)


def judged(domain: Domain, examples: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the metrics of examples without conditions, as JSON."""
    found = domain.evaluate(Samples(examples))
    return {
        name: {"value": json_number(one.value), "error": json_number(one.error), "better": one.better}
        for name, one in found.items()
    }


def run(job: Job, system: System, args: argparse.Namespace, domain: Domain) -> None:
    """Train, judge and write the results of a job."""
    torch.manual_seed(job.seed)
    values, clock = DATA[args.domain][args.data], time.perf_counter if args.wall else time.process_time

    def make(steps: int) -> Learner:
        task = Task(args.domain, values, job.seed, steps, args.evaluations, domain)
        return system.make(task, **system.variants[job.variant])

    for mark in trained(make, system.decays, job.minutes, clock):
        begun = time.process_time()
        examples = mark.learner.sample(args.n)
        result = {
            **job._asdict(), "minutes": mark.minutes, "took": mark.took, "steps": mark.steps,
            "parameters": mark.learner.parameters, "evaluations": mark.learner.evaluations,
            "seconds_a_sample": (time.process_time() - begun) / args.n,
            "environment": environment("cpu"), "libraries": {name: version(name) for name in LIBRARIES},
            "metrics": judged(domain, examples),
        }  # fmt: skip
        write_atomic(job.file(args.output, mark.minutes), json.dumps(result, indent=1))
        print(f"{job.system}, {job.variant}, seed {job.seed}: {mark.steps} steps in {mark.took:.2f} min", flush=True)


def check_folder(args: argparse.Namespace) -> None:
    """Write what all results of a folder share, or exit if the folder has results of another comparison."""
    file, own = args.output / "comparison.json", {}
    for key in ("domain", "data", "n", "evaluations", "threads", "wall"):
        own[key] = getattr(args, key)
    args.output.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        write_atomic(file, json.dumps(own, indent=1))
    elif (known := json.loads(file.read_text())) != own:
        other = ", ".join(f"{key}={known.get(key)}, not {own[key]}" for key in own if known.get(key) != own[key])
        raise SystemExit(f"{args.output} has results with {other}. Use another folder with -o.")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    made = parser(__doc__)
    made.add_argument("-o", dest="output", type=Path, required=True, help="folder of the results")
    made.add_argument("--domain", choices=list(SYSTEMS), required=True)
    made.add_argument("--data", help="image: digits (default) or shapes")
    made.add_argument("--minutes", type=float, nargs="+", default=[2, 5, 10, 20], help="default: 2 5 10 20")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    made.add_argument("--systems", nargs="+", help="libraries; default: all")
    made.add_argument("--variants", nargs="+", help="of peers; default: all")
    made.add_argument("-n", type=int, default=359, help="samples; default: 359, as many as there are held-out digits")
    made.add_argument("--evaluations", type=int, help="of the sampling of peers; default: their own default")
    made.add_argument("--wall", action="store_true", help="count the time of the clock, not of the processor")
    made.add_argument("--smoke", action="store_true", help="seconds of training, to see that all works")
    made.add_argument("--report", action="store_true", help="no training: only the table and the picture")
    made.set_defaults(threads=1)
    args = made.parse_args(words)
    args.data = args.data or next(iter(DATA[args.domain]))
    if args.data not in DATA[args.domain]:
        made.error(f"--data {args.data} is unknown; {args.domain} has {', '.join(DATA[args.domain])}")
    if unknown := set(args.systems or ()) - SYSTEMS[args.domain].keys():
        made.error(f"--systems {', '.join(unknown)} is unknown; {args.domain} has {', '.join(SYSTEMS[args.domain])}")
    if args.smoke:
        vars(args).update(SMOKE)
    return args


def main(words: Sequence[str] | None = None) -> None:
    """Train and judge what is missing, and print the table."""
    args = arguments(words)
    torch.set_num_threads(args.threads)
    check_folder(args)
    if not args.report:
        keep_memory()
        domain = open_domain(args.domain, DATA[args.domain][args.data])
        real = args.output / "real_data.json"
        if not real.exists():
            write_atomic(real, json.dumps(judged(domain, list(domain.examples("test", args.n).examples)), indent=1))
        for job in jobs(args):
            if not all(job.file(args.output, minutes).exists() for minutes in job.minutes):
                run(job, SYSTEMS[args.domain][job.system], args, domain)
    results = results_in(args.output)
    picture(args.domain, results, args.output / f"{args.domain}.svg")
    show(f"Time to quality, {args.domain} ({args.data}), n = {args.n}", tables(args.domain, results), args)


if __name__ == "__main__":
    main()
