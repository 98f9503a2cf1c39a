r"""What the network knows, where: linear probes of its activations for the labels of the data.

The activations of a layer at a noise level, averaged over places, are features f of examples whose conditions are
withheld. A probe is the linear map of least squares, with a small penalty, from standardised features to one-hot
classes or to a number:

$$ W = (F^T F + \lambda N I)^{-1} F^T Y. $$

Its accuracy, or its share of explained variance R^2, on held-out examples is how much of the label can be read off
there (Alain & Bengio, 2016, https://arxiv.org/abs/1610.01644).

Symbols: L noise levels, N examples, F features (N, D).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import conditions_of
from polydiff.core.condition_batch import withhold
from polydiff.core.conditions import Classes, Number, given
from polydiff.core.space import Batch, Space
from polydiff.core.streams import streams
from polydiff.looking.capture import outputs
from polydiff.looking.fragments import heat_table, layer_name
from polydiff.looking.subject import LEVELS, Subject, Unable, level_name
from polydiff.report.views import View
from polydiff.support.files import json_number

TITLE = "What the network knows, and where"
TRAINED, TESTED, AT_ONCE = 512, 256, 64
"""Largest numbers of training and of held-out examples, and number of examples in a call of the network."""
PENALTY = 0.01
"""Penalty of the weights of a probe, relative to standardised features."""
PARTS = 2
"""Parts of each axis over which activations are averaged."""
MOST = 8
"""Largest number of layers."""


class Probed(NamedTuple):
    """What linear probes read.

    Attributes:
        levels: Falling noise levels, L of them.
        scores: Condition -> layer -> accuracy of classes, or R^2 of numbers, on held-out examples, (L,).
        chance: Condition -> share of the commonest class, or 0: what a probe without features reaches.
    """

    levels: Sequence[float]
    scores: Mapping[str, Mapping[str, Tensor]]
    chance: Mapping[str, float]


@torch.no_grad()
def probe(subject: Subject, train: int = TRAINED, test: int = TESTED, n: int = LEVELS) -> Probed:
    """Return how well linear probes read the classes and numbers of a domain, by noise level and layer.

    Arguments:
        subject: The model, and the seed of the noise.
        train: Largest number of training examples.
        test: Largest number of held-out examples.
        n: Number of levels.
    """
    process, model = subject.estimates, subject.model
    sets = [batches(subject, "train", train), batches(subject, "test", test)]
    levels, layers = process.levels(model, n), layers_of(model.denoiser)
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in labelled(subject)}
    chance: dict[str, float] = {}
    for level in levels:
        known, unknown = (features(subject, parts, layers, level) for parts in sets)
        for name in scores:
            y, truth = (torch.cat([part.cond[name].cpu() for part in parts if part.cond]) for parts in sets)
            kept, tested = given(y), given(truth)
            chance[name] = plain_score(y[kept], truth[tested])
            for layer, x in known.items():
                found = score(x[kept], y[kept], unknown[layer][tested], truth[tested])
                scores[name].setdefault(layer, []).append(found)
    return Probed(levels, {name: {k: torch.tensor(v) for k, v in own.items()} for name, own in scores.items()}, chance)


def labelled(subject: Subject) -> list[str]:
    """Return the classes and numbers of the domain's conditions, without those of a task."""
    domain = subject.model.domain
    kinds = conditions_of(domain)
    return [n for n, kind in kinds.items() if isinstance(kind, Classes | Number) and n not in task_conditions(domain)]


def batches(subject: Subject, split: str, most: int) -> list[Batch]:
    """Return examples of a split, at most so many and evenly spread, in batches."""
    domain = subject.model.domain
    size = domain.size(split)
    numbers = [i * size // min(most, size) for i in range(min(most, size))]
    parts = [numbers[i : i + AT_ONCE] for i in range(0, len(numbers), AT_ONCE)]
    return [domain.batch(split, part, streams(0, "augment", part)) for part in parts]


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return up to `MOST` of the repeated layers of a network, the members of its module lists, evenly spread."""
    lists = {name: module for name, module in network.named_modules() if isinstance(module, nn.ModuleList)}
    found = {f"{name}.{i}": layer for name, members in lists.items() for i, layer in enumerate(members)}
    inner = {name: layer for name, layer in found.items() if not any(other.startswith(f"{name}.") for other in found)}
    names = [name for name in inner if ".embed." not in f".{name}."]
    count = min(MOST, len(names))
    return {names[i * len(names) // count]: inner[names[i * len(names) // count]] for i in range(count)}


def features(
    subject: Subject, parts: Sequence[Batch], layers: Mapping[str, nn.Module], level: float
) -> dict[str, Tensor]:
    """Return the pooled activations of layers for examples with noise of a level: layer -> (N, D).

    Conditions of the examples are withheld, so that a probe cannot read them from the network's embedding of them.

    Arguments:
        subject: The model, and the seed of the noise.
        parts: The examples.
        layers: The layers.
        level: Noise level.
    """
    process, model = subject.estimates, subject.model
    found: dict[str, list[Tensor]] = {}
    for i, part in enumerate(parts):
        batch = part._replace(cond=withhold(part.cond, (part.cond or {}).keys()) or None).to(model.device)
        x = process.noisy(model, batch, level, subject.noise_streams(batch, f"probe/{i}"))
        with outputs(layers) as activations:
            process.estimate(model, batch._replace(x=x), level)
        for name, one in activations.items():
            if (vectors := pooled(one.float(), batch.space)) is not None:
                found.setdefault(name, []).append(vectors.double().cpu())
    return {name: torch.cat(many) for name, many in found.items() if len(many) == len(parts)}


def pooled(x: Tensor, space: Space) -> Tensor | None:
    """Return activations as vectors (B, D); None if they are not those of B samples.

    Planes (B, C, H, W) are averaged over parts, tokens (B, N, C) over all, and rows (R, C) over those of each sample.
    """
    if x.ndim < 2:
        return None
    if len(x) == space.batch:
        if x.ndim == 4:
            return functional.adaptive_avg_pool2d(x, (min(PARTS, x.shape[2]), PARTS)).flatten(1)
        return x.mean(1) if x.ndim == 3 else x
    sample = space.expand(torch.arange(space.batch, device=x.device)).flatten()  # that of each row of a state
    if x.ndim > 2 or len(x) != len(sample):
        return None
    sums = x.new_zeros(space.batch, x.shape[1]).index_add(0, sample, x)
    return sums / sample.bincount(minlength=space.batch)[:, None]


def score(x: Tensor, y: Tensor, others: Tensor, truth: Tensor) -> float:
    """Return the accuracy of a probe for classes, or its R^2 for numbers, on other examples.

    Arguments:
        x: Features (N, D) of the examples on which the probe is fitted.
        y: Their classes, whole numbers (N,), or numbers (N,).
        others: Features (M, D) of other examples.
        truth: Their classes or numbers, (M,).
    """
    classes = not y.is_floating_point()
    target = functional.one_hot(y, int(torch.cat([y, truth]).max()) + 1).double() if classes else y.double()[:, None]
    middle, scale = x.mean(0), x.std(0).clamp(min=1e-8)
    x, others = ((one - middle) / scale for one in (x, others))
    centre = target.mean(0)
    penalty = PENALTY * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(x.mT @ x + penalty, x.mT @ (target - centre))
    guess = others @ weights + centre
    if classes:
        return float((guess.argmax(1) == truth).double().mean())
    spread = (truth - truth.double().mean()).square().mean()
    return float(1 - (guess[:, 0] - truth).square().mean() / spread) if spread > 0 else math.nan


def plain_score(y: Tensor, truth: Tensor) -> float:
    """Return what a probe without features reaches: the share of the commonest class, or 0 for numbers."""
    return 0.0 if y.is_floating_point() else float((truth == y.mode().values).double().mean())


def probe_view(subject: Subject) -> View:
    """Return what probes read, by level and layer; missing without labels or without layers."""
    if not labelled(subject):
        raise Unable("The domain has neither classes nor numbers as conditions, which probes could read.")
    if not layers_of(subject.model.denoiser):
        raise Unable("The network has no repeated layers (`torch.nn.ModuleList`) to read.")
    found, level = probe(subject), level_name(subject.model)
    parts = []
    for name, by_layer in found.scores.items():
        if not by_layer:
            continue
        what = (
            f"accuracy; {found.chance[name]:.2f} is the commonest class" if found.chance[name] else "R²; 0 is the mean"
        )
        rows = [(f"{level} {s:.3g}", [float(v[i]) for v in by_layer.values()]) for i, s in enumerate(found.levels)]
        layers = [layer_name(layer) for layer in by_layer]
        parts.append(f"<h3>{name} ({what})</h3>{heat_table(layers, rows)}")
    if not parts:
        raise Unable("The layers of the network return no activations that belong to one example each.")
    return View(
        "probe",
        TITLE,
        "Linear maps from the averaged activations of a layer to a label, fitted on training examples with noise and "
        "judged on held-out ones. The network received no condition: what can be read was found in the noisy example.",
        "".join(parts),
        {
            "levels": list(found.levels),
            "chance": dict(found.chance),
            "scores": {
                name: {layer: [json_number(x) for x in v.tolist()] for layer, v in own.items()}
                for name, own in found.scores.items()
            },
        },
    )
