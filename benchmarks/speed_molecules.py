"""Time networks for molecules: python benchmarks/speed_molecules.py [--compile] [--memory].

Two comparisons, whose figures must not be mixed. "Same function" is one network with one set of weights, written as its
formula reads (padded pairs, the concatenation [u_i, u_j, e_ij] of each) and as polydiff computes it; the errors come
first. "What users run" is a whole training step, or an evaluation, of the network and recipe of E(3) diffusion
(Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003) against polydiff's network of the same width and depth with
its own: there, less work in the network counts as well as how it is done.

All get the same molecules, of sizes like QM9's: 18 atoms on average, 25 at most. With --memory each variant trains in
a process of its own, and the table holds its peak memory beyond the memory held before its first step. Freed memory is
kept for all of them, as polydiff's commands do. This helps the variants that allocate most.
"""

from __future__ import annotations

import argparse
import copy
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from molecule_recipe import Recipe
from molecule_reference import CONFIG, Concatenated, K, Reference
from timing import in_turns, markdown, parser, relative_error, show, timing_table
from torch import Tensor, nn

from polydiff.backbones.molecules.egnn import EGNN
from polydiff.contract.sections.training import OptimConfig
from polydiff.core.space import Batch, Space
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.machine.allocator import keep_memory
from polydiff.training.loop import Training, fit

BATCH = 64


def molecule_sizes() -> Tensor:
    """Return the numbers of atoms of the batch, the same each time."""
    return (18 + 3 * torch.randn(BATCH, generator=stream(0, "sizes"))).round().clamp(8, 25).long()


def spaces(device: str) -> dict[str, Space]:
    """Return where the molecules live, in each layout."""
    sizes = molecule_sizes()
    found: dict[str, Space] = {
        "dense": DenseMolecules.of_sizes(sizes, K),
        "sparse": PackedMolecules.of_sizes(sizes, K),
    }
    return {name: space.to(device) for name, space in found.items()}


def network() -> EGNN:
    """Return polydiff's network, its last layers drawn anew so that nothing is 0."""
    torch.manual_seed(0)
    made = EGNN(CONFIG, channels=K, dims=3, conditions={})
    nn.init.normal_(made.out.weight, std=CONFIG.hidden**-0.5)
    return made


def reference_steps(space: DenseMolecules, x: Tensor) -> Iterator[None]:
    """Train the reference by its recipe."""
    torch.manual_seed(0)
    recipe = Recipe(Reference().to(x.device))
    while True:
        yield recipe.step(x, space)


def denoiser(precision: str, device: str) -> Denoiser:
    """Return polydiff's denoiser for molecules."""
    return Denoiser(network(), SCHEDULES["edm"](), precision=precision).to(device)


def steps(space: Space, x: Tensor, precision: str, compiled: bool = False, recompute: bool = False) -> Iterator[object]:
    """Train polydiff's network by its own loop."""
    made = denoiser(precision, str(x.device))
    for layer in made.backbone.layers:
        layer.recompute = recompute
    training = Training(made, optim=OptimConfig())
    if compiled:
        made.backbone.compile()
    return fit(training, lambda step: Batch(x, space), steps=10**9, batch_size=BATCH)


def forms(where: dict[str, Space], compiled: bool) -> dict[str, tuple[str, str]]:
    """Return name -> (layout, precision) of each way in which polydiff computes its network."""
    ways = {f"{layout} {p}": (layout, p) for p in ("float32", "bf16") for layout in ("dense", "sparse")}
    return ways | ({"sparse bf16, compiled": ("sparse", "bf16")} if compiled else {})


def state(space: Space) -> Tensor:
    """Return a state, the same numbers in every layout."""
    return space.noise(streams(0, "molecules", range(BATCH)))


def same_function(where: dict[str, Space], args: argparse.Namespace) -> None:
    """Compare one function, written in two ways."""
    net = network().to(args.device)
    plain = copy.deepcopy(net)
    plain.layers = nn.ModuleList(Concatenated(layer) for layer in plain.layers)
    compiled = copy.deepcopy(net)
    compiled.compile()
    level = torch.zeros(BATCH, device=args.device)

    def run(net: nn.Module, layout: str, precision: str, train: bool) -> Tensor:
        space = where[layout]
        with torch.set_grad_enabled(train), torch.autocast(args.device, torch.bfloat16, enabled=precision == "bf16"):
            f = net(state(space), level, space)
        if train:
            (f - 1).square().mean().backward()
            net.zero_grad()
        return f.detach()[space.mask] if isinstance(space, DenseMolecules) else f.detach()

    ways = {"as the formula reads, float32": (plain, "dense", "float32")} | {
        name: (compiled if "compiled" in name else net, *way) for name, way in forms(where, args.compile).items()
    }
    truth = run(*ways["as the formula reads, float32"], train=False)
    rows = [["relative error of", "positions", "features"]]
    for name, way in ways.items():
        f = run(*way, train=False)
        rows.append([name, *(f"{relative_error(f[:, a], truth[:, a]):.1e}" for a in (slice(3), slice(3, None)))])
    text = [markdown(rows)]
    for title, train in (("forward and backward", True), ("evaluation", False)):
        timings = in_turns({name: partial(run, *way, train=train) for name, way in ways.items()}, args.rounds)
        text.append(timing_table(title, timings))
    show(f"Molecules, one function in two forms, {count(net)} parameters", "\n".join(text), args)


def trainers(where: dict[str, Space], compiled: bool) -> dict[str, Callable[[], Iterator[object]]]:
    """Return name -> what begins the training of each side."""
    dense = where["dense"]
    assert isinstance(dense, DenseMolecules)
    made: dict[str, Callable[[], Iterator[object]]] = {"reference": lambda: reference_steps(dense, state(dense))}
    for name, (layout, precision) in forms(where, compiled).items():
        made[f"polydiff, {name}"] = partial(
            steps, where[layout], state(where[layout]), precision, compiled="compiled" in name
        )
    recomputed = partial(steps, where["sparse"], state(where["sparse"]), "bf16", recompute=True)
    return made | {"polydiff, sparse bf16, recomputed": recomputed}


def evaluations(where: dict[str, Space], args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Return name -> an evaluation of each side's network as its sampler calls it."""
    dense, level = where["dense"], torch.ones(BATCH, device=args.device)
    reference = Reference().to(args.device)
    made: dict[str, Callable[[], object]] = {"reference": lambda: reference(state(dense), level, dense)}
    for name, (layout, precision) in forms(where, args.compile).items():
        model = denoiser(precision, args.device).eval()
        if "compiled" in name:
            model.backbone.compile()
        made[f"polydiff, {name}"] = partial(model, state(where[layout]), level, where[layout])
    return {name: torch.inference_mode()(call) for name, call in made.items()}


def what_users_run(where: dict[str, Space], args: argparse.Namespace) -> None:
    """Compare training steps and evaluations of both sides."""
    running = {name: begin() for name, begin in trainers(where, args.compile).items()}
    training = in_turns({name: partial(next, steps) for name, steps in running.items()}, args.rounds)
    evaluation = in_turns(evaluations(where, args), args.rounds)
    text = [timing_table("training step", training), timing_table("evaluation", evaluation)]
    sides = f"{count(Reference())} (E(3) diffusion's) and {count(network())} (polydiff's) parameters"
    show(f"Molecules, what users run, {sides}", "\n".join(text), args)


def count(net: nn.Module) -> str:
    """Return the number of parameters, in words."""
    return f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M"


def memory(args: argparse.Namespace) -> None:
    """Print the peak memory of each variant's training, each in a process of its own."""
    rows = [["three training steps", "memory, MiB"]]
    for name in trainers(spaces("cpu"), args.compile):
        command = [sys.executable, str(Path(__file__)), "--only", name, "--threads", str(args.threads)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.append([name, f"{float(printed):.0f}"])
    show("Molecules, memory of training", markdown(rows), args)


def taken(name: str) -> float:
    """Return the MiB that a variant's steps take beyond the memory held before."""
    running = trainers(spaces("cpu"), compiled="compiled" in name)[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        next(running)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Measure the requested parts."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--compile", action="store_true", help="also compile polydiff's network, which takes a minute")
    options.add_argument("--memory", action="store_true", help="measure memory instead of time")
    options.add_argument("--users", action="store_true", help="only what users run")
    options.add_argument("--only", help=argparse.SUPPRESS)
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    if args.only:
        print(taken(args.only))
    elif args.memory:
        memory(args)
    else:
        where = spaces(args.device)
        if not args.users:
            same_function(where, args)
        what_users_run(where, args)


if __name__ == "__main__":
    main()
