"""A classifier of sounds, trained only on the labels of the training data.

Its input are mel spectrograms of 40 bands and 32 frames, with random shifts in time and level during training.
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
from polydiff.support.disk import cache_dir

VERSION = 1
"""Version of the classifier and its training; cached classifiers of another version are not used."""
SEED, BATCH, STEPS, EPOCHS = 0, 64, 600, 20
"""Training runs for EPOCHS passes over the clips, but at least STEPS / 10 and at most STEPS steps."""
SMOOTHING = 0.02
"""Label smoothing, without which the scores would depend on the overconfidence of the classifier."""
GAIN, SHIFT = 6 / 35, 3
"""Largest random shift of a spectrogram: in level, 6 dB in units of 35 dB, and in time, in frames."""


class Classifier(nn.Module):
    """A small convolutional network: spectrograms (B, 40, 32) -> logits (B, K).

    Arguments:
        classes: K, the number of classes.
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
        """Return logits (B, K) of spectrograms (B, 40, 32)."""
        logits: Tensor = self.body(spectrograms[:, None])
        return logits


def block(c_in: int, c_out: int, stride: int = 1) -> list[nn.Module]:
    """Return the layers convolution, batch normalisation and ReLU."""
    return [nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


@dataclass(frozen=True)
class Labelled:
    """Spectrograms (N, 40, 32) in half precision, and their class labels (N,), -1 if unknown."""

    spectrograms: Tensor
    labels: Tensor

    def with_labels(self) -> Labelled:
        """Return the spectrograms with known labels."""
        return Labelled(self.spectrograms[self.labels >= 0], self.labels[self.labels >= 0])

    def digest(self) -> str:
        """Return a hash of the spectrograms and labels."""
        found = hashlib.sha256(self.labels.numpy().tobytes())
        found.update(self.spectrograms.numpy().tobytes())
        return found.hexdigest()[:16]


class Judge:
    """A trained classifier.

    Arguments:
        network: The network, in evaluation mode.
        train: Clips of its training.
        test: Held-out clips.
    """

    def __init__(self, network: Classifier, train: Labelled, test: Labelled) -> None:
        self.network = network
        self.known = self.log_probabilities(train.spectrograms)
        """Log-probabilities for training clips, shape (N, K)."""
        labelled = test.with_labels()
        self.accuracy = float(
            (self.log_probabilities(labelled.spectrograms).argmax(1) == labelled.labels).double().mean()
        )
        """Accuracy on held-out clips; NaN without labelled ones."""

    @classmethod
    def of(cls, train: Labelled, test: Labelled, classes: int) -> Judge | None:
        """Return the classifier of a condition, cached or newly trained; None if fewer than two classes occur."""
        train = train.with_labels()
        if len(train.labels.unique()) < 2:
            return None
        steps = min(STEPS, max(STEPS // 10, EPOCHS * len(train.labels) // BATCH))
        memory = cache_dir() / "audio" / f"judge-{VERSION}-{classes}-{steps}-{train.digest()}.safetensors"
        network = classifier(
            memory, partial(Classifier, classes), partial(batch, train), steps, smoothing=SMOOTHING, seed=SEED
        )
        return cls(network, train, test)

    @torch.no_grad()
    def log_probabilities(self, spectrograms: Tensor) -> Tensor:
        """Return log p(class | spectrogram) of spectrograms (B, 40, 32), float64, shape (B, K)."""
        parts = [self.network(part.float()).double().log_softmax(1) for part in spectrograms.split(512)]
        return torch.cat(parts)


def batch(train: Labelled, step: int) -> tuple[Tensor, Tensor]:
    """Return the spectrograms (BATCH, 40, 32) and labels (BATCH,) of a training step.

    All spectrograms get the same random shift in time, and each its own gain.
    """
    g = stream(SEED, "audio/judge", step)
    places = torch.randint(len(train.labels), (BATCH,), generator=g)
    return varied(train.spectrograms[places], g), train.labels[places]


def varied(spectrograms: Tensor, generator: torch.Generator) -> Tensor:
    """Return spectrograms (B, 40, 32) with the same random shift in time, and a random gain each."""
    gain = GAIN * (2 * torch.rand(len(spectrograms), 1, 1, generator=generator) - 1)
    begin = int(torch.randint(2 * SHIFT + 1, (), generator=generator))
    louder = (spectrograms.float() + gain).clamp(min=-1)
    padded = functional.pad(louder, (SHIFT, SHIFT), value=-1)
    return padded[..., begin : begin + FRAMES]
