r"""At which noise level a model decides the pitch of a pluck, and at which the pitch can be known.

    python benchmarks/decided.py RUN

RUN is a run on the embedded plucks (`polydiff train --domain audio`). Held-out plucks get noise of several levels,
x = W(pluck) + s eps, with W the codec. The model estimates each by one call, without the condition, and the domain's
pitch tracker names the note of the estimate.

A pluck is a sum of damped modes, B_theta z, linear in the amplitudes and phases z of its modes, with theta all other
parameters. With S draws theta_j of the synthesiser for each note c,

$$ p(c | x) \propto \sum_{j \in c} N(x;\, 0,\, C_j + s^2 I), \qquad C_j = B_j V_j B_j^T, \qquad
   \mathrm E[x_0 | x] \propto \sum_j N(x;\, 0,\, C_j + s^2 I)\, C_j (C_j + s^2 I)^{-1} x, $$

where z is integrated out as if it were normal with its exact variances V_j; its true law, a random phase and a normal
deviation in dB, is not normal. So this posterior is near the exact one and not it. Its most probable note is still a
rule that reads x alone. No rule is right more often than the exact posterior, so the accuracy of this one bounds from
below what can be known. It falls again at low noise, where no draw meets the tuning of a pluck exactly; more noise can
be added, so the bound of a higher level holds there too. Its own mean probability is beside it: of the exact posterior,
the two agree. The note of E[x_0 | x], by the same tracker, is what a perfect network would reach.

Symbols: N examples, T samples, K modes, B (T, 2 K), J = S times notes draws, L noise levels s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from timing import markdown, parser, show
from torch import Tensor

import polydiff
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.core.condition_batch import withhold
from polydiff.core.space import Batch, Space
from polydiff.core.streams import streams
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.data.plucks import BAND, LOWEST, MODES, Plucks, Strings, draw_strings
from polydiff.domains.audio.metrics.pitch import detect_pitch
from polydiff.model.model import Model

LEVELS = (40.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.5, 2.5, 1.75, 1.25, 0.6, 0.3)
"""Noise levels, in standard deviations of the data."""
AT_ONCE, KEPT = 32, 8
"""Examples in a call of the network, and draws of which an estimate is the mean."""
DEVIATION = 3 * math.log(10) / 20
"""Standard deviation of the logarithm of a mode's amplitude."""


def modes(strings: Strings, sample_rate: int, length: int) -> Tensor:
    """Return B V^(1/2) of one string, (T, 2 K), each mode as a cosine and as a sine (`synthesise`)."""
    k = torch.arange(1, MODES + 1, dtype=torch.float64)
    f = (k * strings.f_0 * torch.sqrt(1 + strings.stiffness * k**2))[0]
    heard = f <= BAND * sample_rate
    k, f = k[heard], f[heard]
    tilt, place, decay, damping = (float(v) for v in (strings.tilt, strings.place, strings.decay, strings.damping))
    a = torch.sin(math.pi * k * place).abs() * k**-tilt
    start = float((strings.onset * sample_rate).round())
    t = (torch.arange(length, dtype=torch.float64) - start)[:, None] / sample_rate
    fading = torch.exp(-t.clamp(min=0) * k**damping / decay) * (t / 0.002).clamp(0, 1)
    basis = torch.cat([fading * torch.cos(2 * math.pi * f * t), -fading * torch.sin(2 * math.pi * f * t)], 1)
    own = a * torch.exp(DEVIATION * strings.level[0, heard] / 3)
    phase = strings.phase[0, heard]
    sound = basis @ torch.cat([own * phase.cos(), own * phase.sin()])
    gain = float(strings.peak) / sound.abs().max().clamp(min=1e-9)
    variance = (gain * a).square() * math.exp(2 * DEVIATION**2) / 2
    return basis * torch.cat([variance, variance]).sqrt()


class Drawn(NamedTuple):
    """One draw theta_j, by the eigenvectors of its covariance: C = U U^T, with U^T U diagonal.

    Attributes:
        turned: U, (T, 2 K).
        values: The diagonal, (2 K,).
    """

    turned: Tensor
    values: Tensor

    @classmethod
    def of(cls, basis: Tensor) -> Drawn:
        """Return the draw of B V^(1/2), (T, 2 K)."""
        values, vectors = torch.linalg.eigh(basis.mT @ basis)
        return cls(basis @ vectors, values.clamp(min=0))

    def evidence(self, clean: Tensor, noise: Tensor, levels: Sequence[float]) -> Tensor:
        """Return log N(x; 0, C + s^2 I), less what all draws share, of x = clean + s noise, (L, N).

        By Woodbury's identity, with u = U^T x: sum_k u_k^2 / (2 s^2 (s^2 + values_k)) - log(1 + values_k / s^2) / 2.

        Arguments:
            clean: Examples, (N, T).
            noise: Noise, (N, T).
            levels: s, L of them.
        """
        a, b = clean @ self.turned, noise @ self.turned
        rows = []
        for s in levels:
            fit = (a + s * b).square() / (2 * s**2 * (s**2 + self.values))
            rows.append((fit - torch.log1p(self.values / s**2) / 2).sum(1))
        return torch.stack(rows).double()

    def estimate(self, x: Tensor, s: float) -> Tensor:
        """Return C (C + s^2 I)^(-1) x of x (N, T)."""
        return (x @ self.turned / (s**2 + self.values)) @ self.turned.mT


def draws_of(source: Plucks, codec: Standardise, draws: int) -> Iterator[Drawn]:
    """Yield S draws of each note, note by note, as W makes states of them."""
    for number in range(source.classes * draws):
        strings = draw_strings(torch.tensor([number // draws]), streams(1, "decided", [number]))
        basis = modes(strings, source.sample_rate, source.length)
        yield Drawn.of(codec.encode(basis.mT.float()).mT)


class Known(NamedTuple):
    """What can be known of plucks in noise.

    Attributes:
        notes: p(c | x), (L, N, notes).
        estimates: E[x_0 | x] over the `KEPT` most probable draws of each, (L, N, T).
    """

    notes: Tensor
    estimates: Tensor


def known(
    source: Plucks, codec: Standardise, clean: Tensor, noise: Tensor, levels: Sequence[float], draws: int
) -> Known:
    """Return the posterior of the module's formula; `draws` is S, the other arguments as of `Drawn.evidence`."""
    logs = torch.stack([one.evidence(clean, noise, levels) for one in draws_of(source, codec, draws)], -1)
    notes = torch.softmax(torch.logsumexp(logs.unflatten(-1, (source.classes, draws)), -1), -1)
    best = logs.topk(min(KEPT, logs.shape[-1]))
    weights = torch.zeros_like(logs).scatter(-1, best.indices, torch.softmax(best.values, -1)).float()
    estimates = torch.zeros(*logs.shape[:2], clean.shape[1])
    for j, one in enumerate(draws_of(source, codec, draws)):  # made again, since all would take a gigabyte
        for i, s in enumerate(levels):
            own = weights[i, :, j].nonzero()[:, 0]
            if len(own):
                estimates[i, own] += weights[i, own, j, None] * one.estimate(clean[own] + s * noise[own], s)
    return Known(notes, estimates)


def note_of(model: Model, x: Tensor, space: Space) -> Tensor:
    """Return the note that the tracker hears in states (N, 1, T), (N,); -1 where it hears no pitch."""
    pitch = detect_pitch(model.domain.decode(x, space), model.config.data.sample_rate)  # type: ignore[attr-defined]
    return torch.where(pitch.voiced, pitch.semitones.round().long() - LOWEST, -1)


@torch.no_grad()
def estimated(model: Model, batch: Batch, noise: Tensor, level: float) -> Tensor:
    """Return the notes of the model's estimates of examples with noise, without conditions, (N,)."""
    x = batch.x + level * noise
    cond = withhold(batch.cond, (batch.cond or {}).keys()) or None
    return note_of(model, model.process.estimate(model, Batch(x, batch.space, cond), level), batch.space)  # type: ignore[attr-defined]


def crossing(levels: Sequence[float], right: Tensor) -> float:
    """Return the highest level below which at least half of the answers (L, N) are right, interpolated in log s."""
    share = right.double().mean(1)
    below = [i for i in range(len(levels)) if share[i] < 0.5]
    if not below or below[-1] == len(levels) - 1:
        return math.nan
    i = below[-1]
    part = float((0.5 - share[i]) / (share[i + 1] - share[i]))
    return math.exp(math.log(levels[i]) * (1 - part) + math.log(levels[i + 1]) * part)


def deviation(levels: Sequence[float], right: Tensor, resamples: int = 200) -> float:
    """Return the standard error of `crossing`, over resampled examples."""
    n, generator = right.shape[1], torch.Generator().manual_seed(0)
    picks = torch.randint(n, (resamples, n), generator=generator)
    return float(torch.tensor([crossing(levels, right[:, pick]) for pick in picks]).nan_to_num().std())


def table(model: Model, n: int, draws: int, levels: Sequence[float]) -> str:
    """Return the accuracies at each level, and the levels at which they are one half."""
    domain = model.domain
    source, codec = domain.clips.source, domain.codec  # type: ignore[attr-defined]
    batch = domain.batch("test", range(n), streams(0, "augment", range(n)))
    truth = source.labels(range(n))
    noise = batch.space.noise(streams(0, "decided/noise", range(n)))
    exact = known(source, codec, batch.x[:, 0], noise[:, 0], levels, draws)
    parts = [range(i, min(i + AT_ONCE, n)) for i in range(0, n, AT_ONCE)]
    given = [domain.batch("test", part, streams(0, "augment", part)) for part in parts]
    notes = [
        torch.cat([estimated(model, one, noise[p], s) for one, p in zip(given, parts, strict=True)]) for s in levels
    ]
    best = [note_of(model, one[:, None], batch.space) for one in exact.estimates]
    rights = {
        "can be known": exact.notes.argmax(-1) == truth,
        "note of E[x_0 given x]": torch.stack(best) == truth,
        "note of the model's estimate": torch.stack(notes) == truth,
    }
    rows = [["noise level", *rights, "its own p"]]
    for i, s in enumerate(levels):
        shares = [float(right[i].double().mean()) for right in rights.values()]
        certain = float(exact.notes[i].max(-1).values.mean())
        rows.append([f"{s:g}", *(f"{q:.2f} ± {math.sqrt(q * (1 - q) / n):.2f}" for q in shares), f"{certain:.2f}"])
    half = [f"{crossing(levels, right):.3g} ± {deviation(levels, right):.1g}" for right in rights.values()]
    return markdown([*rows, ["one half at", *half, ""]])


def tiny() -> Model:
    """Return an untrained small model of short plucks, for --smoke."""
    values = {"data.length": 1024, "data.classes": 4, "backbone.channels": 16, "device": "cpu"}
    config = resolve("audio", values=values).config
    domain = build_domain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())


def main() -> None:
    """Print the table of a run."""
    reader = parser(__doc__)
    reader.add_argument("run", type=Path, nargs="?", help="a run on the embedded plucks")
    reader.add_argument("-n", type=int, default=240, help="held-out plucks; default: 240, ten of each note")
    reader.add_argument("--draws", type=int, default=48, help="draws of the synthesiser for each note; default: 48")
    reader.add_argument("--smoke", action="store_true", help="a tiny untrained network, to see that the script runs")
    args = reader.parse_args()
    if not args.smoke and args.run is None:
        reader.error("name a run, or --smoke")
    torch.set_num_threads(args.threads)
    model = tiny() if args.smoke else polydiff.load(args.run)
    n, draws = (8, 2) if args.smoke else (args.n, args.draws)
    title = f"Where the pitch of plucks is decided: {n} plucks, {draws} draws a note, step {model.step}"
    show(title, table(model, n, draws, LEVELS), args)


if __name__ == "__main__":
    main()
