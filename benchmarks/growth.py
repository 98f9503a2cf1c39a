"""How time grows: python benchmarks/growth.py [--docs] [--quick].

The time of an evaluation, a training step and a sampling call of small networks (a U-Net of images, one of sounds, an
EGNN) over sizes that double: batch, side of an image, length of a sound, atoms, sampling steps, guidance. An exponent p
means that time grows as size^p: least squares in the logarithms over the upper half of the sizes. Medians of a few
turns; sizes take turns, so that other load on the machine touches all alike.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from speed_audio import Ours, awaken
from timing import document, in_turns, markdown, parser, show
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, UNetConfig
from polydiff.backbones.molecules.egnn import EGNN
from polydiff.backbones.unet import UNet
from polydiff.core.conditions import Classes
from polydiff.core.space import Euclidean, Space
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.gaussian.guidance.guided import ClassifierFree
from polydiff.gaussian.sampling.execute import sample
from polydiff.machine.allocator import keep_memory

DOCS = Path(__file__).parents[1] / "docs"
CLASSES = {"label": Classes(10)}
IMAGE = UNetConfig(channels=64, mult=(1, 2, 2), blocks=1, attention=(2,))
SOUND = UNetConfig(channels=64, mult=(1, 2, 2), strides=(4,), blocks=1, attention=(2,), patch=4)
MOLECULE = EGNNConfig(hidden=128, layers=4)
FEATURES = 5


@dataclass(frozen=True)
class Series:
    """Times over sizes.

    Arguments:
        panel: What grows.
        label: Of which network.
        kind: "evaluation", "training step" or "sampling".
        seconds: Size -> median time.
    """

    panel: str
    label: str
    kind: str
    seconds: Mapping[int, float]

    @property
    def exponent(self) -> float:
        """Slope of log time over log size, by least squares over the upper half of the sizes."""
        sizes = sorted(self.seconds)
        upper = sizes[len(sizes) // 2 - (len(sizes) < 4) :]
        return slope([math.log(n) for n in upper], [math.log(self.seconds[n]) for n in upper])


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return b of the line a + b x nearest to y."""
    a, b = sum(x) / len(x), sum(y) / len(y)
    return sum((u - a) * (v - b) for u, v in zip(x, y, strict=True)) / sum((u - a) ** 2 for u in x)


def networks() -> dict[str, nn.Module]:
    """Return the three networks."""
    made: dict[str, nn.Module] = {
        "image": UNet(IMAGE, channels=3, dims=2, conditions=CLASSES),
        "audio": UNet(SOUND, channels=1, dims=1, conditions=CLASSES),
        "molecule": EGNN(MOLECULE, channels=FEATURES, dims=3, conditions=CLASSES),
    }
    for network in made.values():
        awaken(network)
    return made


def image(batch: int, side: int = 32) -> Space:
    """Return the space of square images."""
    return Euclidean(batch, (3, side, side))


def sound(batch: int, length: int = 4096) -> Space:
    """Return the space of sounds."""
    return Euclidean(batch, (1, length))


def molecule(batch: int, atoms: int = 20) -> Space:
    """Return the space of molecules of the same number of atoms."""
    return DenseMolecules.of_sizes(torch.full((batch,), atoms), FEATURES)


SPACES: dict[str, Callable[..., Space]] = {"image": image, "audio": sound, "molecule": molecule}
Point = tuple[str, str, str, int]
"""Panel, network, kind and size."""


def sizes(first: int, last: int) -> list[int]:
    """Return first, 2 first, 4 first, ... up to last."""
    return [first << i for i in range((last // first).bit_length())]


def runs(args: argparse.Namespace) -> dict[str, dict[Point, Callable[[], object]]]:
    """Return what is measured: panel -> point -> a call."""
    made = networks()

    def steps(panel: str, name: str, spaces: Mapping[int, Space]) -> dict[Point, Callable[[], object]]:
        found: dict[Point, Callable[[], object]] = {}
        for n, space in spaces.items():
            one = Ours(made[name], space, args.precision, args.device)
            found[panel, name, "evaluation", n] = one.evaluate
            found[panel, name, "training step", n] = one.step
        return found

    grown = {"batch": {}}  # type: dict[str, dict[Point, Callable[[], object]]]
    for name in made:
        grown["batch"] |= steps("batch", name, {n: SPACES[name](n) for n in sizes(1, 8 if args.quick else 64)})
    top = {"image": (8, 32) if args.quick else (8, 128), "audio": (1024, 4096) if args.quick else (1024, 131_072)}
    for panel, name in (("side of an image, pixels", "image"), ("length of a sound", "audio")):
        grown[panel] = steps(panel, name, {n: SPACES[name](2, n) for n in sizes(*top[name])})
    atoms = sizes(4, 16 if args.quick else 64)
    grown["atoms"] = steps("atoms", "molecule", {n: molecule(16, n) for n in atoms})
    grown["sampling steps"] = {
        ("sampling steps", f"{name}, guidance {scale:g}", "sampling", n): partial(
            draw, Ours(network, SPACES[name](8), args.precision, args.device), n, scale
        )
        for name, network in made.items()
        for scale in (1.0, 2.0)
        for n in sizes(4, 8 if args.quick else 32)
    }
    return grown


def draw(one: Ours, steps: int, scale: float) -> Tensor:
    """Sample a batch with DDIM, guided towards a class."""
    cond = {"label": torch.zeros(one.space.batch, dtype=torch.long, device=one.x.device)}
    denoise = ClassifierFree(one.denoiser, scale) if scale != 1 else one.denoiser
    generators = streams(0, "initial", range(one.space.batch), one.x.device)
    return sample(denoise, one.space, cond, generators=generators, steps=steps, sampler="ddim")


def measured(args: argparse.Namespace) -> list[Series]:
    """Measure all, a panel at a time."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for calls in runs(args).values():
        named = {"\n".join(map(str, point)): call for point, call in calls.items()}
        took = in_turns(named, args.rounds, args.device)
        for point in calls:
            seconds = took["\n".join(map(str, point))].seconds
            found.setdefault(point[:3], {})[point[3]] = median(seconds)
    return [Series(*key, seconds) for key, seconds in found.items()]


def table(series: Sequence[Series]) -> str:
    """Return the series as a table."""
    rows = [["what grows", "network", "time of", "from", "to", "ms", "exponent"]]
    for one in series:
        low, high = min(one.seconds), max(one.seconds)
        ms = f"{1e3 * one.seconds[low]:.3g} to {1e3 * one.seconds[high]:.3g}"
        rows.append([one.panel, one.label, one.kind, str(low), str(high), ms, f"**{one.exponent:.2f}**"])
    return markdown(rows)


def guidance(series: Sequence[Series]) -> str:
    """Return a sentence of what guidance costs: the time of guided samples over that of unguided ones."""
    most = {one.label: one.seconds[max(one.seconds)] for one in series if one.kind == "sampling"}
    names = dict.fromkeys(label.partition(",")[0] for label in most)
    ratios = [f"{name} {most[f'{name}, guidance 2'] / most[f'{name}, guidance 1']:.2f}" for name in names]
    return f"Guided samples take so many times as long as unguided ones: {', '.join(ratios)}.\n"


def picture(series: Sequence[Series], path: Path) -> None:
    """Draw time over size, a panel for each thing that grows."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(one.panel for one in series))
    figure = Figure(figsize=(11, 7), layout="constrained")
    grid = list(figure.subplots(2, 3).flat)
    colours = {"image": "tab:blue", "audio": "tab:orange", "molecule": "tab:green"}
    for axes, panel in zip(grid, panels, strict=False):
        for one in (s for s in series if s.panel == panel):
            name = one.label.partition(",")[0]
            dashed = one.kind == "training step" or one.label.endswith("guidance 2")
            text = one.label if one.kind == "sampling" else f"{one.label}, {one.kind}"
            ms = [1e3 * t for t in one.seconds.values()]
            line = {"color": colours[name], "linestyle": "--" if dashed else "-", "marker": "o", "markersize": 3}
            axes.loglog(list(one.seconds), ms, label=f"{text}: {one.exponent:.2f}", **line)
        ticks = sorted({n for s in series if s.panel == panel for n in s.seconds})
        axes.set_xticks(ticks, [f"{n // 1024}k" if n >= 1024 else str(n) for n in ticks])
        axes.minorticks_off()
        axes.set_xlabel(panel)
        axes.set_ylabel("ms")
        axes.grid(alpha=0.3)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** (0.6 if len(axes.lines) > 2 else 0.25))  # room for the legend
        axes.legend(fontsize=7, loc="upper left", title="exponent of size", title_fontsize=7)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure; with --docs, write the page and its picture."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--precision", default="bf16", choices=["float32", "bf16"], help="of the networks")
    made.add_argument("--quick", action="store_true", help="few sizes, one turn")
    made.add_argument("--docs", action="store_true", help="put table and picture into docs/performance.md")
    made.add_argument("--picture", type=Path, help="where the picture goes")
    args = made.parse_args()
    if args.quick:
        args.rounds = 1
    torch.set_num_threads(args.threads)
    keep_memory()
    series = measured(args)
    text = f"{table(series)}\n{guidance(series)}"
    show("How time grows", text, args)
    if args.docs:
        document(text, DOCS / "performance.md", "growth")
        args.picture = DOCS / "growth.png"
    if args.picture:
        picture(series, args.picture)


if __name__ == "__main__":
    main()
