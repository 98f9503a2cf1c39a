"""What `polydiff look` costs when it is off: nothing, in bits and in time.

    python benchmarks/looking.py [--rounds 101] [--record]

For the default network of each domain, with random weights: samples, and the gradient of one loss, are computed before
`polydiff.looking` is imported, and again after it has looked at the network: the bits must be the same. Then three
copies take turns: two that were never looked at, whose ratio is the noise of the measurement, and one that was. Times
are of the processor, since other load can only add to those of a clock on the wall; `--smoke` takes three rounds.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from timing import Timing, in_turns, markdown, parser, quartiles, show
from torch import Tensor

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.core.objective import Moment
from polydiff.core.streams import streams
from polydiff.model.model import Model

SMALL: Mapping[str, Mapping[str, Any]] = {
    "image": {"backbone.channels": 32},
    "audio": {"backbone.channels": 32, "data.length": 1024},
    "molecule": {"backbone.hidden": 64, "backbone.layers": 3, "data.max_heavy": 4},
    "sequence": {"backbone.width": 64, "backbone.depth": 2},
}
"""Domain -> a small network, of which hooks would be the largest share."""
VIEWS = ("one_step", "attention", "probe")
"""Views that listen to networks."""


def random_model(domain: str) -> Model:
    """Return a model with random weights, so that no zero of an initialisation hides a difference."""
    config = resolve(domain, values={**SMALL[domain], "device": "cpu", "sample.steps": 4}).config
    made = build_domain(config)
    network = build_denoiser(config, made, torch.device("cpu")).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return Model(config, made, network)


def sampled(model: Model) -> list[Any]:
    """Return eight samples."""
    return list(model.sample(8, seed=0).examples)


def trained(model: Model) -> list[Tensor]:
    """Return the gradients of the loss of a batch of eight, (*sizes) each."""
    numbers = range(8)
    batch = model.domain.batch("train", numbers, streams(0, "augment", numbers))
    objective = model.process.objective(model.config)  # type: ignore[attr-defined]
    u = (torch.arange(8, dtype=torch.float64) + 0.5) / 8
    model.denoiser.zero_grad()
    outcome = objective(model.denoiser, batch, u, streams(0, "loss", numbers), Moment(0, 1, model.denoiser))
    outcome.losses.mean().backward()
    return [p.grad.clone() for p in model.denoiser.parameters() if p.grad is not None]


def same(a: Any, b: Any) -> bool:
    """Return whether two results have the same bits."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool((a == b).all()) if hasattr(a, "all") else a == b


def row(domain: str, what: str, bits: bool, timings: Mapping[str, Timing]) -> list[str]:
    """Return the row of a table: the bits, the time, and ratios to the first copy with quartiles."""
    first, other, looked = timings.values()
    ratios = [quartiles([1 / r for r in one.ratios]) for one in (other, looked)]
    return [
        f"{domain}, {what}",
        "equal" if bits else "DIFFERENT",
        f"{1e3 * statistics.median(first.seconds):.1f}",
        *(f"{middle:.4f} ({low:.4f} to {high:.4f})" for low, middle, high in ratios),
    ]


def rows_of(domain: str, rounds: int) -> list[list[str]]:
    """Return the rows of a domain."""
    model = random_model(domain)
    never, again = (replace(model, denoiser=copy.deepcopy(model.denoiser)) for _ in range(2))
    before = {"samples": sampled(model), "gradient": trained(model)}
    from polydiff.looking.page import look

    found = look(model, only=VIEWS, steps=2)
    assert found.views, [one.reason for one in found.missing]
    rows = []
    for what, run in (("samples", sampled), ("gradient", trained)):
        bits = same(before[what], run(model))
        copies = {"never": never, "again": again, "looked": model}
        turns = {name: (lambda one=one, run=run: run(one)) for name, one in copies.items()}
        rows.append(row(domain, what, bits, in_turns(turns, rounds, clock=time.thread_time)))
    return rows


def main() -> None:
    """Print the table."""
    reader = parser(__doc__, rounds=101)
    reader.add_argument("--smoke", action="store_true", help="three rounds, to see that the script runs")
    reader.add_argument("--only", nargs="+", choices=SMALL, default=list(SMALL), help="domains; default: all")
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    assert "polydiff.looking" not in sys.modules
    head = ["", "bits after looking", "ms", "a copy never looked at", "the one looked at"]
    rows = [row for domain in args.only for row in rows_of(domain, 3 if args.smoke else args.rounds)]
    show("Looking, when it is off", markdown([head, *rows]), args)


if __name__ == "__main__":
    main()
