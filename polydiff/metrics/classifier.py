r"""Classifiers trained on the labels of a data set, and scores of samples computed from their predictions.

With p(y|x) the classifier's prediction and p(y) its mean over samples,

$$ \mathrm{IS} = \exp \mathbb{E}_x D(p(y|x) \| p(y)), \qquad
   \mathrm{mIS} = \exp \mathbb{E}_{x, x'} D(p(y|x) \| p(y|x')), \qquad
   \mathrm{AM} = D(p_\mathrm{train}(y) \| p(y)) + \mathbb{E}_x H(p(y|x)) $$

(Salimans et al., 2016, https://arxiv.org/abs/1606.03498; Gurumurthy et al., 2017, https://arxiv.org/abs/1706.02071;
Zhou et al., 2018, https://arxiv.org/abs/1703.02000). Scores depend on the classifier: they can be compared with
each other, not with published scores of another classifier.

Symbols: D Kullback-Leibler divergence, H entropy, N samples, K classes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from polydiff.core.streams import permutation
from polydiff.support.files import write_cache

LR, DECAY = 3e-3, 1e-2


Network = TypeVar("Network", bound=nn.Module)


def classifier(
    cache_file: Path | None,
    make: Callable[[], Network],
    batch: Callable[[int], tuple[Tensor, Tensor]],
    steps: int,
    *,
    smoothing: float = 0.0,
    seed: int = 0,
) -> Network:
    """Return a classifier in evaluation mode, from the cache or newly trained and saved there.

    Arguments:
        cache_file: File of the weights. Its name must depend on the data and on everything that `batch` does. None: no
            cache.
        make: Builds the network, examples (B, ...) -> logits (B, K).
        batch: Step -> examples (B, ...) and their class labels (B,).
        steps: Number of training steps.
        smoothing: Label smoothing, the share of each label that is spread over all classes. It lowers confidence.
        seed: Seed of the initial weights and of dropout.
    """
    with torch.random.fork_rng(devices=[]):  # initial weights and dropout draw from torch's global generator
        torch.manual_seed(seed)
        network = make()
        if cache_file is None or not load_weights(cache_file, network):
            train(network, batch, steps, smoothing)
            if cache_file is not None:
                save_weights(cache_file, network)
    return network.eval()


def mixed(sets: Sequence[tuple[Tensor, Tensor]], size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch in which each set of labelled examples has the same share, to within one example.

    Arguments:
        sets: Examples (N, ...) and their labels (N,), of each set.
        size: Number of examples of the batch.
        generator: Draws them, with repetition.
    """
    examples, labels = [], []
    for number, (known, answers) in enumerate(sets):
        n = size * (number + 1) // len(sets) - size * number // len(sets)
        places = torch.randint(len(answers), (n,), generator=generator)
        examples.append(known[places])
        labels.append(answers[places])
    return torch.cat(examples), torch.cat(labels)


def train(
    network: nn.Module, batch: Callable[[int], tuple[Tensor, Tensor]], steps: int, smoothing: float = 0.0
) -> None:
    """Train a classifier by cross entropy with AdamW and a one-cycle learning rate.

    Arguments:
        network: Examples (B, ...) -> logits (B, K); changed in place.
        batch: Step -> examples (B, ...) and their class labels (B,).
        steps: Number of training steps.
        smoothing: Label smoothing.
    """
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for step in range(steps):
        examples, labels = batch(step)
        loss = functional.cross_entropy(network(examples), labels, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()


def save_weights(cache_file: Path, network: nn.Module) -> None:
    """Save the weights of a classifier, preceded by their digest."""
    weights = save(network.state_dict())
    write_cache(cache_file, hashlib.sha256(weights).digest() + weights)


def load_weights(cache_file: Path, network: nn.Module) -> bool:
    """Load saved weights into a classifier, and return whether there are weights that are intact and fit."""
    data = cache_file.read_bytes() if cache_file.is_file() else b""
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return False
    try:
        network.load_state_dict(load(data[32:]))
    except (SafetensorError, RuntimeError):  # weights of another shape: the classifier is trained again
        return False
    return True


def inception_score(log_p: Tensor) -> float:
    """Return IS of predictions log p(y|x), shape (N, K), with x from one half of the samples and p(y) of the other.

    So no prediction counts towards the mean that it is compared with. IS is 1 at worst and about K at best; NaN for
    fewer than two samples.
    """
    if len(log_p) < 2:
        return math.nan
    x, rest = log_p[permutation(0, "classifier/halves", len(log_p))].double().chunk(2)
    return math.exp(divergence(x, mean(rest)).mean())


def modified_inception_score(log_p: Tensor) -> float:
    """Return mIS of predictions log p(y|x), shape (N, K), over all pairs of samples; NaN for fewer than two.

    Unlike IS, it also measures variety within a class.
    """
    if len(log_p) < 2:
        return math.nan
    log_p = log_p.double()
    return math.exp((log_p.exp() * log_p).sum(1).mean() - (log_p.exp().mean(0) * log_p.mean(0)).sum())


def am_score(log_p: Tensor, log_p_train: Tensor) -> float:
    """Return AM of predictions log p(y|x), shape (N, K), and those for training examples, shape (M, K).

    It is 0 at best; NaN if either set is empty.
    """
    if not len(log_p) or not len(log_p_train):
        return math.nan
    entropy = -(log_p.double().exp() * log_p.double()).sum(1).mean()
    return float(divergence(mean(log_p_train), mean(log_p)) + entropy)


def mean(log_p: Tensor) -> Tensor:
    """Return the log of the mean of the probabilities exp(log_p): (N, K) -> (K,)."""
    return log_p.double().logsumexp(0) - math.log(len(log_p))


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return D(p || q) along the last axis: (..., K) -> (...). A class with p = 0 adds nothing."""
    difference = torch.where(log_p.isneginf(), 0.0, log_p - log_q)
    return (log_p.exp() * difference).sum(-1)
