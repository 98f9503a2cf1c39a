"""Time sampling by the networks of the quick presets: python benchmarks/sampling_speed.py [--only batch].

Weights are random, which changes no time. Sections: `batch`, samples that an evaluation computes a second by the size
of the batch, and the size that `sample.batch_size=auto` takes; `guidance`, both estimates in one call of a doubled
batch or in two; `loop`, what of a run is spent outside the network, beside the loop of diffusers' pipelines around the
same network; `noise`, what drawing noise costs a stochastic sampler; `files`, samples drawn to a folder, beside samples
drawn and dropped. Memory that is freed is kept, as polydiff's commands do.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timing import in_turns, markdown, parser, quartiles, show
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.core.space import Batch, State
from polydiff.core.streams import streams
from polydiff.gallery.writer import draw
from polydiff.gaussian.guidance.guided import Guided
from polydiff.gaussian.guidance.method import GUIDANCE
from polydiff.gaussian.sampling.execute import sample
from polydiff.machine.allocator import keep_memory
from polydiff.machine.device import pick_device
from polydiff.model.model import Model

BATCHES = (1, 4, 16, 32, 64, 128, 256, 512, 1024)
PRESETS: dict[str, tuple[str, dict[str, str]]] = {
    "image": ("image", {}),
    "audio": ("audio", {}),
    "molecule": ("molecule", {}),
    "molecule, padded": ("molecule", {"data.layout": "dense"}),
}
LEAST = 0.2
"""Seconds that a rate is measured for."""


def model(name: str, device: str, **more: str) -> Model:
    """Return a preset's untrained model."""
    domain, words = PRESETS.get(name, (name, {}))
    config = resolve(domain, more.pop("preset", None), (), words | more).config
    built = build_domain(config)
    place = pick_device(device)
    return Model(config, built, build_denoiser(config, built, place).eval(), device=place)


def batch(made: Model, n: int) -> Batch:
    """Return n noisy states of a model."""
    space, cond = made.domain.blank(streams(0, "blank", range(n)), {})
    return Batch(space.noise(streams(0, "x", range(n))), space, cond).to(made.device)


def evaluation(made: Model, given: Batch, guided: Guided | None = None) -> Callable[[], State]:
    """Return one evaluation of a network, guided or not."""
    sigma = torch.ones(given.space.batch, device=made.device)
    denoise = guided or made.denoiser
    return torch.no_grad()(lambda: denoise(given.x, sigma, given.space, given.cond))


def seconds(run: Callable[[], object], device: str) -> float:
    """Return the median time of a run, after two that are not counted."""
    times: list[float] = []
    while len(times) < 5 or sum(times[2:]) < LEAST:
        start = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def by_batch(args: argparse.Namespace) -> str:
    """Return samples a second of an evaluation by batch size; in bold the size that "auto" takes."""
    rows = [["evaluation of", *map(str, BATCHES)]]
    for name in PRESETS:
        for precision in ("float32", "bf16"):
            made = model(name, args.device)
            auto, made.denoiser.precision = made.efficient, precision
            rates = {n: n / seconds(evaluation(made, batch(made, n)), args.device) for n in BATCHES}
            cells = [f"**{rate:.0f}**" if n == auto else f"{rate:.0f}" for n, rate in rates.items()]
            rows.append([f"{name}, {precision}", *cells])
    return markdown(rows)


def by_calls(args: argparse.Namespace) -> str:
    """Return how many times as fast one call is as two; in bold where it is taken by "auto"."""
    sizes = [n for n in BATCHES if n <= 256]
    rows = [["guided evaluation of", *map(str, sizes)]]
    for name in PRESETS:
        for precision in ("float32", "bf16"):
            made, cells = model(name, args.device), []
            limit, made.denoiser.precision = made.efficient, precision
            for n in sizes:
                given, method = batch(made, n), GUIDANCE["cfg"](2.0, [])
                ways = {
                    str(joined): evaluation(made, given, Guided(made.denoiser, method, joined=joined))
                    for joined in (False, True)
                }
                ratio = quartiles(in_turns(ways, args.rounds, args.device)["True"].ratios)[1]
                cells.append(f"**{ratio:.2f}**" if 2 * n <= limit else f"{ratio:.2f}")
            rows.append([f"{name}, {precision}", *cells])
    return markdown(rows)


def drawn(made: Model, given: Batch, steps: int, sampler: str) -> State:
    """Return states that a sampler draws."""
    generators = streams(0, "x", range(given.space.batch), made.device)
    return sample(made.denoiser, given.space, given.cond, generators=generators, steps=steps, sampler=sampler)


class Timed(nn.Module):
    """A network, and the seconds that were spent within it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, *given: Any) -> Any:
        """Call the network."""
        start = time.perf_counter()
        out = self.network(*given)
        self.seconds += time.perf_counter() - start
        return out


def outside(run: Callable[[], object], timed: Timed, steps: int, rounds: int) -> list[str]:
    """Return microseconds a step spent outside a network, their share of the run, and the run's time."""
    found = []
    for _ in range(rounds + 1):
        timed.seconds, start = 0.0, time.perf_counter()
        run()
        whole = time.perf_counter() - start
        found.append((whole - timed.seconds, whole))
    rest, whole = (statistics.median(column) for column in zip(*found[1:], strict=True))
    return [f"{1e6 * rest / steps:.0f}", f"{100 * rest / whole:.2f} %", f"{1e3 * whole / steps:.2f}"]


def diffusers_loop(timed: Timed, given: Batch, kind: str, steps: int) -> Callable[[], Tensor]:
    """Return the loop of a pipeline of diffusers around a network."""
    import diffusers

    scheduler = {"ddim": diffusers.DDIMScheduler, "dpmpp_2m": diffusers.DPMSolverMultistepScheduler}[kind]()

    @torch.no_grad()
    def run() -> Tensor:
        scheduler.set_timesteps(steps)
        x = torch.randn_like(given.x)
        for t in scheduler.timesteps:
            level = torch.full((len(x),), float(t) / 1000)
            estimate = timed(scheduler.scale_model_input(x, t), level, given.space, given.cond)
            x = scheduler.step(estimate, t, x).prev_sample
        return x

    return run


def around(args: argparse.Namespace) -> str:
    """Return what of a run is spent outside the network; `small` is the preset of images of 32 x 32."""
    cases = {("image", 1): 40, ("image", 64): 20, ("audio", 16): 12, ("molecule", 64): 20, ("small images", 16): 4}
    rows = [["network, batch", "loop", "µs a step outside", "share", "ms a step"]]
    for (name, n), steps in cases.items():  # in float32, as by default
        small = {"preset": "small", "data.name": "folder"} if name == "small images" else {}
        made = small_images(args.device) if small else model(name, args.device)
        made.denoiser.precision = "float32"
        timed = Timed(made.denoiser.backbone)
        made.denoiser.backbone = timed
        given, count = batch(made, n), sum(p.numel() for p in made.denoiser.parameters()) / 1e6
        runs: dict[str, Callable[[], object]] = {}
        for kind in ("auto", "ddim", "dpmpp_2m", "ddpm"):
            runs[f"polydiff {kind}"] = partial(drawn, made, given, steps, kind)
        if name != "molecule":  # noise that diffusers draws would leave the space of molecules
            for kind in ("ddim", "dpmpp_2m"):
                runs[f"diffusers {kind}"] = diffusers_loop(timed, given, kind, steps)
        rounds = 1 if small else args.rounds
        for loop, run in runs.items():
            rows.append([f"{name} ({count:.1f} M), {n}", loop, *outside(run, timed, steps, rounds)])
    return markdown(rows)


def small_images(device: str) -> Model:
    """Return the untrained model of the preset small for 32 x 32 pixels in three colours, without data."""
    config = resolve("image", "small", (), {"data.size": "32", "data.channels": "3"}).config
    made = build_domain(config, {"mean": [0.0] * 3, "std": 1.0, "names": [], "counts": []})
    return Model(config, made, build_denoiser(config, made, pick_device(device)).eval(), device=pick_device(device))


def drawing_noise(args: argparse.Namespace) -> str:
    """Return what one draw of noise takes, and its share of a step with one evaluation."""
    rows = [["states", "batch", "ms a draw", "share of a step"]]
    for name, n in (("image", 256), ("audio", 32), ("molecule", 64), ("molecule", 256), ("molecule, padded", 64)):
        made = model(name, args.device)
        given, generators = batch(made, n), streams(0, "x", range(n), made.device)
        runs = (partial(given.space.noise, generators), evaluation(made, given))
        draw, step = (seconds(run, args.device) for run in runs)
        rows.append([name, str(n), f"{1e3 * draw:.2f}", f"{100 * draw / (draw + step):.1f} %"])
    return markdown(rows)


def to_files(args: argparse.Namespace) -> str:
    """Return samples a second with and without writing them."""
    rows = [["samples", "way", "samples/s", "of drawing alone"]]
    for name, n in (("image", 2048), ("audio", 128), ("molecule", 512)):
        made = model(name, args.device)
        ways: dict[str, Callable[[], object]] = {"drawn and dropped": partial(dropped, made, n)}
        for one in (False, True):
            if not one or hasattr(made.domain, "archive"):
                ways["one file" if one else "a file each"] = partial(into_folder, made, n, one)
        for way, timing in in_turns(ways, min(args.rounds, 3), args.device).items():
            rate, ratio = n / statistics.median(timing.seconds), quartiles(timing.ratios)[1]
            rows.append([f"{n}, {name}", way, f"{rate:.0f}", f"{100 * ratio:.0f} %"])
    return markdown(rows)


def dropped(made: Model, n: int) -> None:
    """Draw samples and forget them."""
    for _ in made.stream(n):
        pass


def into_folder(made: Model, n: int, one_file: bool) -> None:
    """Draw samples to a folder that is then removed."""
    with tempfile.TemporaryDirectory() as folder:
        draw(made, Path(folder) / "drawn", n, one_file=one_file)


SECTIONS: Mapping[str, tuple[str, Callable[[argparse.Namespace], str]]] = {
    "batch": ("Samples that one evaluation computes a second, by batch size", by_batch),
    "guidance": ("Guidance in one call of a doubled batch: times as fast as in two, by batch size", by_calls),
    "loop": ("Time of a sampling run outside its network", around),
    "noise": ("Noise of a stochastic sampler", drawing_noise),
    "files": ("Samples drawn to files", to_files),
}


def main() -> None:
    """Print the sections."""
    reader = parser(__doc__, rounds=5)
    reader.add_argument("--only", choices=SECTIONS, help="one section; default: all")
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    for name, (title, section) in SECTIONS.items():
        if args.only in (None, name):
            show(title, section(args), args)


if __name__ == "__main__":
    main()
