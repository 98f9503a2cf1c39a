r"""Inpainting a gap of 100 ms in held-out plucks: silence, linear prediction, replacement, conditioned network.

    polydiff train --domain audio -o runs/plain
    polydiff train --domain audio task=inpaint -o runs/inpaint
    python benchmarks/inpainting.py runs/plain runs/inpaint

Linear prediction extrapolates from both sides by all-pole models of Burg's method and fades from one to the other (Kay,
1988; Kauppinen and Roth, 2002). A plucked string is a sum of damped sinusoids. Such a model represents it exactly in
the decay, but not across the attack. Models are conditioned on the note only in the row that says so. Distances
compare the gap and up to 100 ms on each side; the signal-to-noise ratio compares the gap alone.
The bend at the seams is the root mean square of second differences there, as a multiple of that of the truth: 1 where
nothing clicks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import timing
import torch
from torch import Tensor

import polydiff
from polydiff.core.streams import streams
from polydiff.domains.audio.metrics.distances import multi_resolution_distance, snr

GAPS = {"decay": "0.2:0.3", "attack": "0:0.1"}
ORDERS = (32, 100, 500)
FIGURES = ("distance", "SNR, dB", "bend at the seams")
AROUND = 0.1
"""Seconds on each side of the gap that distances hold."""


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("plain", type=Path, help="a run of task=generate")
    parser.add_argument("inpaint", type=Path, help="a run of task=inpaint")
    parser.add_argument("-n", type=int, default=128, help="held-out examples; default: 128")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps; default: 20")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plain, inpaint = (polydiff.load(path, device=args.device) for path in (args.plain, args.inpaint))
    rows = [["filled by", *(f"{name}: {what}" for name in GAPS for what in FIGURES)]]
    columns = [judged(plain, inpaint, text, args.n, args.steps) for text in GAPS.values()]
    rows += [[name, *(cell for column in columns for cell in column[name])] for name in columns[0]]
    rate = plain.config.data.sample_rate  # type: ignore[attr-defined]
    gaps = " and ".join(f"{name} {text} s" for name, text in GAPS.items())
    facts = (
        f"{args.n} held-out plucks at {rate} Hz, gaps {gaps}; "
        f"{args.steps} sampling steps; networks of {plain.step} and {inpaint.step} training steps. "
        "Multi-resolution STFT distance, lower is better: mean and standard error.\n\n"
    )
    timing.show("Inpainting of sounds", facts + timing.markdown(rows), args)


def judged(plain: polydiff.Model, inpaint: polydiff.Model, text: str, n: int, steps: int) -> dict[str, list[str]]:
    """Return distance and signal-to-noise ratio, as text, of each way to fill a gap."""
    given = plain.domain.batch("test", range(n), streams(0, "augment", range(n)))
    gap = plain.domain.region(text, given)  # type: ignore[attr-defined]
    truth = torch.stack(plain.domain.decode(given.x, given.space))
    low, high = (int(gap.nonzero()[i]) for i in (0, -1))
    rate = plain.config.data.sample_rate  # type: ignore[attr-defined]
    around = slice(max(0, low - int(AROUND * rate)), high + 1 + int(AROUND * rate))

    def figures(sound: Tensor) -> list[str]:
        distance = multi_resolution_distance(sound[..., around], truth[..., around])
        ratio = snr(sound[..., gap], truth[..., gap])
        bend = seams(sound, gap) / seams(truth, gap)
        return [f"{distance.mean():.3f} ± {distance.std() / math.sqrt(n):.3f}", f"{ratio.mean():.1f}", f"{bend:.1f}"]

    return {name: figures(fill()) for name, fill in ways(plain, inpaint, given, gap, truth, steps).items()}


def seams(sound: Tensor, gap: Tensor) -> float:
    """Return the root mean square of second differences of sounds at the edges of the gap: large for a click."""
    meets = gap[1:] != gap[:-1]
    near = meets[1:] | meets[:-1]
    return sound.double().diff(n=2)[..., near].square().mean().sqrt().item()


def ways(
    plain: polydiff.Model, inpaint: polydiff.Model, given: polydiff.Batch, gap: Tensor, truth: Tensor, steps: int
) -> Mapping[str, Callable[[], Tensor]]:
    """Return each way to fill a gap (T,) of sounds (B, C, T)."""

    def model(which: polydiff.Model, resample: int = 1, note: bool = False) -> Callable[[], Tensor]:
        def fill() -> Tensor:
            parts = []
            for first in range(0, len(truth), 32):
                numbers = range(first, min(first + 32, len(truth)))
                batch = which.domain.batch("test", numbers, streams(0, "augment", numbers))
                how = {"cond": {} if note else {"pitch": "any"}, "guidance": 1.0, "steps": steps, "first": first}
                made = polydiff.inpaint(which, batch, ~gap, resample=resample, **how)  # type: ignore[arg-type]
                parts += [torch.as_tensor(sound) for sound in made.examples]
            return torch.stack(parts)

        return fill

    return {
        "silence": lambda: torch.where(gap, 0, truth),
        **{f"linear prediction, order {order}": lambda order=order: predicted(truth, gap, order) for order in ORDERS},
        "replacement": model(plain),
        "replacement, resample=4": model(plain, 4),
        "a conditioned network (task=inpaint)": model(inpaint),
        "the same, conditioned on the note too": model(inpaint, note=True),
    }


def predicted(sound: Tensor, gap: Tensor, order: int) -> Tensor:
    """Return sounds (B, C, T) whose gap, one stretch, is extrapolated from its sides and faded between them."""
    x = sound.double().flatten(0, 1)
    places = gap.nonzero()[:, 0]
    low, high = int(places[0]), int(places[-1]) + 1
    n = high - low
    left = extrapolate(x[:, :low], order, n) if low > 1 else None
    right = extrapolate(x[:, high:].flip(1), order, n).flip(1) if high < x.shape[1] - 1 else None
    fade = torch.cos(torch.linspace(0, math.pi / 2, n, dtype=x.dtype)) ** 2
    if left is None or right is None:
        filling = left if left is not None else right
        assert filling is not None
    else:
        filling = fade * left + (1 - fade) * right
    x = torch.cat([x[:, :low], filling, x[:, high:]], 1)
    return x.reshape(sound.shape).to(sound)


def extrapolate(x: Tensor, order: int, n: int) -> Tensor:
    """Return the n samples that follow signals (B, T) by an all-pole model."""
    order = min(order, x.shape[1] // 2)
    a = burg(x, order).flip(1)
    for _ in range(n):
        x = torch.cat([x, -(a * x[:, -order:]).sum(1, keepdim=True)], 1)
    return x[:, -n:]


def burg(x: Tensor, order: int) -> Tensor:
    """Return a_1 .. a_p, shape (B, p), of x_t = -sum_k a_k x_{t-k} + noise, by Burg's method; it is stable."""
    f, b = x[:, 1:], x[:, :-1]
    a = x.new_ones(len(x), 1)
    for _ in range(order):
        power = (f.square() + b.square()).sum(1, keepdim=True)
        k = torch.where(power > 0, -2 * (f * b).sum(1, keepdim=True) / power.clamp(min=1e-300), 0)
        padded = torch.cat([a, a.new_zeros(len(a), 1)], 1)
        a = padded + k * padded.flip(1)
        f, b = (f + k * b)[:, 1:], (b + k * f)[:, :-1]
    return a[:, 1:]


if __name__ == "__main__":
    main()
