r"""Classifiers trained on a data set's own labels, and scores of what they see in samples.

With p(y|x) the classifier's answer and p(y) its mean over samples,

$$ \mathrm{IS} = \exp \mathbb{E}_x D(p(y|x) \| p(y)), \qquad
   \mathrm{mIS} = \exp \mathbb{E}_{x, x'} D(p(y|x) \| p(y|x')), \qquad
   \mathrm{AM} = D(p_\mathrm{train}(y) \| p(y)) + \mathbb{E}_x H(p(y|x)) $$

(Salimans et al., 2016, https://arxiv.org/abs/1606.03498; Gurumurthy et al., 2017, https://arxiv.org/abs/1706.02071;
Zhou et al., 2018, https://arxiv.org/abs/1703.02000). Another classifier gives other numbers: these are local ones.

Symbols: D Kullback-Leibler divergence, H entropy, N samples, K classes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
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
    memory: Path,
    make: Callable[[], Network],
    batch: Callable[[int], tuple[Tensor, Tensor]],
    steps: int,
    *,
    smoothing: float = 0.0,
    seed: int = 0,
) -> Network:
    """Return a classifier in evaluation mode: from the cache, or trained now and kept there.

    Arguments:
        memory: Its file. The name must depend on the data and on everything that `batch` does.
        make: Builds the network, examples -> scores (B, K).
        batch: Step -> examples and their classes (B,).
        steps: Of training.
        smoothing: Share of each label that is spread over all classes; answers are less sure then.
        seed: Of the initial weights and of dropout.
    """
    with torch.random.fork_rng(devices=[]):  # both draw from the global stream
        torch.manual_seed(seed)
        network = make()
        if not recall(memory, network):
            train(network, batch, steps, smoothing)
            keep(memory, network)
    return network.eval()


def train(
    network: nn.Module, batch: Callable[[int], tuple[Tensor, Tensor]], steps: int, smoothing: float = 0.0
) -> None:
    """Train a classifier by cross entropy, its rate rising and falling once."""
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for step in range(steps):
        examples, labels = batch(step)
        loss = functional.cross_entropy(network(examples), labels, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()


def keep(memory: Path, network: nn.Module) -> None:
    """Keep a classifier's weights, after their own digest."""
    weights = save(network.state_dict())
    write_cache(memory, hashlib.sha256(weights).digest() + weights)


def recall(memory: Path, network: nn.Module) -> bool:
    """Put kept weights into a classifier; False where there are none, or they are damaged."""
    data = memory.read_bytes() if memory.is_file() else b""
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return False
    try:
        network.load_state_dict(load(data[32:]))
    except (SafetensorError, RuntimeError):  # another shape under this name: it is trained again
        return False
    return True


def inception_score(log_p: Tensor) -> float:
    """Return IS of answers log p(y|x) (N, K), p(y) being the mean over one half and x from the other.

    So answers do not count towards the mean that they are compared with. Between 1 and K; NaN of fewer than two.
    """
    if len(log_p) < 2:
        return math.nan
    x, rest = log_p[permutation(0, "classifier/halves", len(log_p))].double().chunk(2)
    return math.exp(divergence(x, mean(rest)).mean())


def modified_inception_score(log_p: Tensor) -> float:
    """Return mIS of answers log p(y|x) (N, K), over all pairs x, x': it knows variety within a class as well."""
    if len(log_p) < 2:
        return math.nan
    log_p = log_p.double()
    return math.exp((log_p.exp() * log_p).sum(1).mean() - (log_p.exp().mean(0) * log_p.mean(0)).sum())


def am_score(log_p: Tensor, log_p_train: Tensor) -> float:
    """Return AM of answers log p(y|x) (N, K), given those for training examples (M, K); 0 at best."""
    if not len(log_p) or not len(log_p_train):
        return math.nan
    entropy = -(log_p.double().exp() * log_p.double()).sum(1).mean()
    return float(divergence(mean(log_p_train), mean(log_p)) + entropy)


def mean(log_p: Tensor) -> Tensor:
    """Return the log of the mean of probabilities (N, K), shape (K,)."""
    return log_p.double().logsumexp(0) - math.log(len(log_p))


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return D(p || q) along the last axis; a class that p leaves out adds nothing."""
    difference = torch.where(log_p.isneginf(), 0.0, log_p - log_q)
    return (log_p.exp() * difference).sum(-1)
