"""What the metrics of audio make of known damage: which number hears what.

    python benchmarks/listening.py [--n 1024] [--rates 8000 16000] [--record]

Held-out plucks, damaged in one way each, are judged as samples are. A trained model's log_mel_fd should lie below a
quarter of that of "one class only". The floor is that of real clips: it falls about as 1/n, so distances of different n
cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from timing import markdown, parser, show
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.core.streams import stream, streams
from polydiff.domains.audio.data.plucks import LOWEST, Plucks, draw_strings, synthesise
from polydiff.domains.audio.metrics.reference import COMPARED, HELD_OUT, Clips, Reference
from polydiff.domains.audio.metrics.sample_set import pitch_metrics, set_metrics

LENGTHS = {8000: 4096, 16000: 16384}
"""Sample rate in Hz -> samples of a clip."""
CLASSES, MIDDLE = 24, 12
SHOWN = (
    "log_mel_fd",
    "pitch_accuracy",
    "in_tune",
    "level_error",
    "centroid_error",
    "attack_error",
    "ripple_error",
    "copies",
)


def plucks(rate: int) -> Plucks:
    """Return the data set."""
    return Plucks(rate, LENGTHS[rate], CLASSES, {"train": 100_000, "test": 100_000})


def detuned(data: Plucks, n: int, cents: float) -> Tensor:
    """Return the held-out clips with every string that much higher."""
    strings = draw_strings(data.labels(range(n)), streams(data.seed, "plucks/test", range(n)))
    higher = replace(strings, f_0=strings.f_0 * 2 ** (cents / 1200))
    parts = [[value[i : i + 32] for value in vars(higher).values()] for i in range(0, n, 32)]
    return torch.cat([synthesise(type(strings)(*part), data.sample_rate, data.length) for part in parts])[:, None]


def low_passed(x: Tensor) -> Tensor:
    """Return clips without the upper five eighths of their band."""
    spectrum = torch.fft.rfft(x)
    spectrum[..., spectrum.shape[-1] * 3 // 8 :] = 0
    passed: Tensor = torch.fft.irfft(spectrum, x.shape[-1])
    return passed


def noisy(x: Tensor, noise: Tensor, decibels: float) -> Tensor:
    """Return clips with noise of that level, of full scale 1."""
    return x + 10 ** (decibels / 20) * noise


def damaged(data: Plucks, n: int) -> Mapping[str, Callable[[], Tensor]]:
    """Return name -> clips (n, 1, T)."""
    x = data.clips("test", range(n))[0]
    noise = torch.randn(x.shape, generator=stream(0, "listening"))
    brown = noise.cumsum(2) - noise.cumsum(2).mean(2, keepdim=True)
    loud = x.square().mean().sqrt()
    return {
        "clean": lambda: x,
        **{f"white noise at {dB} dB": partial(noisy, x, noise, dB) for dB in (-80, -60, -40, -20)},
        "low-pass": lambda: low_passed(x),
        "6 dB quieter": lambda: x / 2,
        "50 cents higher": lambda: detuned(data, n, 50),
        "100 cents higher": lambda: detuned(data, n, 100),
        "reversed in time": lambda: x.flip(2),
        "one clip repeated": lambda: x[MIDDLE].expand_as(x),
        "one class only": lambda: data.clips("test", range(MIDDLE, CLASSES * n, CLASSES))[0],
        "clips of training": lambda: data.clips("train", range(n))[0],
        "silence": lambda: 0 * x,
        "white noise alone": lambda: loud * noise,
        "brown noise alone": lambda: loud * brown / brown.square().mean().sqrt(),
    }  # fmt: skip


def reference(data: Plucks, n: int) -> Reference:
    """Return what is compared with: training clips, the first of which are those of "clips of training"."""

    def clips(split: str, size: int) -> Clips:
        for first in range(0, size, 256):
            yield data.clips(split, range(first, first + 256))[0], {}

    return Reference.of(clips("train", COMPARED), clips("test", HELD_OUT), data.sample_rate, {}, n)


def judged(data: Plucks, x: Tensor, known: Reference) -> dict[str, float]:
    """Return the metrics of clips conditioned on the notes of the held-out ones."""
    found = pitch_metrics(x, data.sample_rate, range(LOWEST, LOWEST + CLASSES), data.labels(range(len(x))))
    found |= set_metrics(Samples(list(x)), known)
    return {name: found[name].value for name in SHOWN}


def main() -> None:
    """Measure and print."""
    reader = parser(__doc__)
    reader.add_argument("--n", type=int, default=1024, help="clips; default: 1024")
    reader.add_argument("--rates", type=int, nargs="+", choices=LENGTHS, default=list(LENGTHS), help="in Hz")
    args = reader.parse_args()
    torch.set_num_threads(args.threads)
    for rate in args.rates:
        data = plucks(rate)
        known = reference(data, args.n)
        rows = {name: judged(data, make(), known) for name, make in damaged(data, args.n).items()}
        table = [
            ["clips", *SHOWN],
            *([name, *(f"{value:.4g}" for value in row.values())] for name, row in rows.items()),
        ]
        floors = [128, 256, 512, 1024, 2048]
        held_out = data.clips("test", range(max(floors)))[0]
        real = [set_metrics(Samples(list(held_out[:n])), replace(known, n=n))["log_mel_fd"].value for n in floors]
        target = rows["one class only"]["log_mel_fd"] / 4
        text = (
            f"{markdown(table)}\nBelow a quarter of the distance of one class only: {target:.4g}.\n\n"
            f"{markdown([['n', *map(str, floors)], ['floor of log_mel_fd', *(f'{value:.3g}' for value in real)]])}"
        )
        title = f"What the metrics of audio make of known damage: {rate} Hz, {LENGTHS[rate]} samples, n = {args.n}"
        show(title, text, args)


if __name__ == "__main__":
    main()
