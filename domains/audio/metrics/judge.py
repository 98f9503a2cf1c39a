"""A classifier of sounds, trained on the labels of the training data alone.

It sees mel spectrograms of 40 bands and 32 frames, moved in time and in loudness while it learns.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.core.streams import stream
from polydiff.domains.audio.spectrogram import BANDS, FRAMES
from polydiff.metrics.classifier import classifier
from polydiff.support.files import cache_dir

VERSION = 1
"""Counts changes of the classifier or of its training, so that a cached one of another version is not used."""
SEED, BATCH, STEPS, EPOCHS = 0, 64, 600, 20
"""The classifier learns for so many passes over its clips, but for at most STEPS steps and at least a tenth of them."""
SMOOTHING = 0.02
"""Share of each label that is spread, without which scores would tell how sure of itself the classifier is."""
GAIN, SHIFT = 6 / 35, 3
"""Most that a spectrogram is moved: 6 dB in its units (-1 to 1 for 70 dB), and frames."""


class Classifier(nn.Module):
    """A small convolutional network: spectrograms (B, 40, 32) -> scores (B, K).

    Arguments:
        classes: K.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *block(1, 32, stride=2),
            *block(32, 64, stride=2),
            *block(64, 64),
            nn.AdaptiveAvgPool2d((BANDS // 8, FRAMES // 8)),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * (BANDS // 8) * (FRAMES // 8), 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return scores (B, K)."""
        scores: Tensor = self.body(spectrograms[:, None])
        return scores


def block(c_in: int, c_out: int, stride: int = 1) -> list[nn.Module]:
    """Return convolution, normalisation, ReLU."""
    return [nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


@dataclass(frozen=True)
class Labelled:
    """Spectrograms (N, 40, 32) in half precision, and their classes (N,), -1 for none."""

    spectrograms: Tensor
    labels: Tensor

    def told(self) -> Labelled:
        """Return those that have a class."""
        return Labelled(self.spectrograms[self.labels >= 0], self.labels[self.labels >= 0])

    def digest(self) -> str:
        """Return a hash of all of it."""
        found = hashlib.sha256(self.labels.numpy().tobytes())
        found.update(self.spectrograms.numpy().tobytes())
        return found.hexdigest()[:16]


class Judge:
    """A trained classifier.

    Arguments:
        network: In evaluation mode.
        train: What it was trained on.
        test: Held-out clips.
    """

    def __init__(self, network: Classifier, train: Labelled, test: Labelled) -> None:
        self.network = network
        self.known = self.answers(train.spectrograms)
        """Its answers for training clips (N, K)."""
        told = test.told()
        self.accuracy = float((self.answers(told.spectrograms).argmax(1) == told.labels).double().mean())
        """Its share of right answers on held-out clips."""

    @classmethod
    def of(cls, train: Labelled, test: Labelled, classes: int) -> Judge | None:
        """Return the judge of a condition, from the cache or trained now; None with fewer than two classes."""
        train = train.told()
        if len(train.labels.unique()) < 2:
            return None
        steps = min(STEPS, max(STEPS // 10, EPOCHS * len(train.labels) // BATCH))
        memory = cache_dir() / "audio" / f"judge-{VERSION}-{classes}-{steps}-{train.digest()}.safetensors"
        network = classifier(
            memory, partial(Classifier, classes), partial(batch, train), steps, smoothing=SMOOTHING, seed=SEED
        )
        return cls(network, train, test)

    @torch.no_grad()
    def answers(self, spectrograms: Tensor) -> Tensor:
        """Return log p(class | spectrogram) in float64, shape (B, K)."""
        parts = [self.network(part.float()).double().log_softmax(1) for part in spectrograms.split(512)]
        return torch.cat(parts)


def batch(train: Labelled, step: int) -> tuple[Tensor, Tensor]:
    """Return examples of a step of training, moved together in time and each in loudness, and their classes."""
    g = stream(SEED, "audio/judge", step)
    places = torch.randint(len(train.labels), (BATCH,), generator=g)
    gain = GAIN * (2 * torch.rand(BATCH, 1, 1, generator=g) - 1)
    begin = int(torch.randint(2 * SHIFT + 1, (), generator=g))
    louder = (train.spectrograms[places].float() + gain).clamp(min=-1)
    padded = functional.pad(louder, (SHIFT, SHIFT), value=-1)
    return padded[..., begin : begin + FRAMES], train.labels[places]
