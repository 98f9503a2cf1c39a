r"""Bandwidth extension of held-out plucks: a model conditioned on recordings at half the rate, and interpolation.

    polydiff train --domain audio -o runs/up task=upsample data.sample_rate=16000 data.length=4096
    python benchmarks/bandwidth.py runs/up

Recordings are made by two filters, of kinds that training draws with other numbers: a Chebyshev filter of order 8 with
0.05 dB of ripple, whose cut-off is half the low rate, and a spectrum cut off there. Sinc interpolation leaves the
missing band empty; a cubic spline lets images of the lower band into it. The model is not conditioned on the note.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import timing
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

import polydiff
from polydiff.core.condition_batch import withhold
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.metrics.distances import log_spectral_distance, multi_resolution_distance, si_snr
from polydiff.domains.audio.tasks.low_rate import LowPass, record
from polydiff.domains.audio.tasks.restoration import Upsample
from polydiff.model.restore import restore


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("run", type=Path, help="a run of task=upsample")
    parser.add_argument("-n", type=int, default=128, help="held-out examples; default: 128")
    parser.add_argument("--steps", type=int, default=12, help="sampling steps; default: 12")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = polydiff.load(args.run, device=args.device)
    rows = [["filter", "method", "LSD above", "LSD", "multi-resolution", "SI-SNR, dB"]]
    data = data_of(model)
    for name, low_pass in filters(data.given_rate).items():
        rows += [[name, *row] for row in judged(model, low_pass, args.n, args.steps)]
    facts = (
        f"{args.n} held-out plucks of {data.length} samples, {data.given_rate} to {data.sample_rate} Hz; network of "
        f"{model.step} training steps, {args.steps} sampling steps. Log-spectral distance above {data.given_rate // 2} "
        "Hz and whole, mean and standard error; lower is better but for SI-SNR. Real data are at 0.\n\n"
    )
    timing.show("Bandwidth extension of sounds", facts + timing.markdown(rows), args)


def data_of(model: polydiff.Model) -> AudioData:
    """Return the settings of a model's data."""
    assert isinstance(model.config, AudioConfig)
    return model.config.data


def filters(low_rate: int) -> Mapping[str, LowPass]:
    """Return the filters before sampling at the low rate."""
    top = low_rate / 2
    return {"Chebyshev": LowPass("chebyshev", top, 8, 0.05), "cut-off spectrum": LowPass("brickwall", top)}


def judged(model: polydiff.Model, low_pass: LowPass, n: int, steps: int) -> list[list[str]]:
    """Return a row of figures of each method."""
    domain, data = model.domain, data_of(model)
    assert isinstance(domain, Audio)
    assert isinstance(domain.task, Upsample)
    held = domain.batch("test", range(n), streams(0, "augment", range(n)))
    truth = torch.stack(domain.decode(held.x, held.space))
    whole, rate, low = domain.codec.encode(truth), data.sample_rate, data.given_rate
    degraded = domain.task.degraded(whole, [low_pass] * n)
    space = domain.task.space(degraded)
    assert held.cond is not None
    given = Batch(torch.zeros_like(whole), space, withhold(held.cond, held.cond.keys()) | degraded)
    sounds = {
        "model": torch.stack(list(restore(model, given, steps=steps, guidance=1.0).examples)),
        "sinc": torch.stack(domain.decode(given.x, space)),
        "spline": domain.codec.decode(spline(record(whole, rate, low, [low_pass] * n), rate / low, whole.shape[-1])),
    }
    return [[name, *figures(sound, truth, rate, low / 2)] for name, sound in sounds.items()]


def spline(recording: Tensor, ratio: float, length: int) -> Tensor:
    """Return recordings brought to a higher rate by cubic splines."""
    places = np.arange(recording.shape[-1]) * ratio
    return torch.from_numpy(CubicSpline(places, recording.numpy(), axis=-1)(np.arange(length))).float()


def figures(sound: Tensor, truth: Tensor, rate: int, top: float) -> list[str]:
    """Return distances to the truth, as text."""
    values = [
        log_spectral_distance(sound, truth, rate, (top, rate / 2)),
        log_spectral_distance(sound, truth, rate),
        multi_resolution_distance(sound, truth),
    ]
    cells = [f"{value.mean():.3f} ± {value.std() / math.sqrt(len(value)):.3f}" for value in values]
    return [*cells, f"{si_snr(sound, truth).mean():.1f}"]


if __name__ == "__main__":
    main()
