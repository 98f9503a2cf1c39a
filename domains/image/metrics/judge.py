"""Judges of images: a classifier trained on the training split only, or random filters if there are no classes.

Both map an image to a few dozen features, on which sets of images are compared. Neither is trained on samples of a
model or needs downloaded weights. Their distances are specific to the data set and cannot be compared with published
ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.core.space import normal
from polydiff.core.streams import stream, streams
from polydiff.domains.image.codec import unit
from polydiff.domains.image.data.source import Split
from polydiff.metrics.classifier import classifier
from polydiff.support.disk import cache_dir

VERSION = 1
"""Version of the classifier and its training; a cached classifier of another version is not used."""
SEED, STEPS, BATCH, SMOOTHING = 0, 400, 64, 0.05
LARGEST = 32
"""Side to which larger images are reduced before they are judged."""
FILTERS = 24


class Classifier(nn.Module):
    """A small convolutional network: images -> 64 features -> classes.

    Arguments:
        channels: C.
        size: Side of the images.
        classes: Number of classes.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            block(channels, 32, stride=2 if size > 16 else 1),
            block(32, 64, stride=2),
            block(64, 64),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 16, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (B, classes) of images uint8 (B, C, H, W)."""
        scores: Tensor = self.head(self.body(reduced(images)))
        return scores


def block(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


def reduced(images: Tensor) -> Tensor:
    """Return images in [-1, 1], averaged down to `LARGEST` pixels a side."""
    x = unit(images)
    return functional.adaptive_avg_pool2d(x, LARGEST) if x.shape[-1] > LARGEST else x


class Judge:
    """A trained classifier.

    Arguments:
        network: The classifier; it is set to evaluation mode.
        test: Held-out images.

    Attributes:
        accuracy: Share of correct predictions on the held-out images that have a class; NaN if none has.
        held_out: Number of these images.
    """

    def __init__(self, network: Classifier, test: Split) -> None:
        self.network = network.eval()
        self.held_out = int((test.labels >= 0).sum())
        answers = torch.cat([self.classes(part) for part in test.parts(range(len(test)))])
        self.accuracy = float((answers == test.labels)[test.labels >= 0].double().mean())

    @classmethod
    def of(cls, train: Split, test: Split, classes: int) -> Judge:
        """Return the judge of a data set: from the cache, or trained now on the training split alone."""
        memory = cache_dir() / "image" / f"judge-{VERSION}-{train.digest()}.safetensors"
        make = partial(Classifier, train.images[0].shape[0], train.side, classes)
        return cls(classifier(memory, make, partial(batch, train), STEPS, smoothing=SMOOTHING, seed=SEED), test)

    @torch.no_grad()
    def classes(self, images: Tensor) -> Tensor:
        """Return the predicted class of each image uint8 (B, C, H, W), shape (B,)."""
        return torch.cat([self.network(part).argmax(1) for part in images.split(512)])

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the last hidden layer of images uint8 (B, C, H, W), shape (B, 64)."""
        return torch.cat([self.network.body(reduced(part)) for part in images.split(512)])


def batch(train: Split, step: int) -> tuple[Tensor, Tensor]:
    """Return the images of a training step, moved by up to a sixteenth of their side, and their classes."""
    g = stream(SEED, "image/judge", step)
    indices = torch.randint(len(train), (BATCH,), generator=g)
    return shifted(train.centred(indices.tolist()), g), train.labels[indices]


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, C, H, W), all moved by the same few pixels, with repeated edges."""
    reach = max(1, images.shape[-1] // 16)
    dy, dx = torch.randint(2 * reach + 1, (2,), generator=generator).tolist()
    padded = functional.pad(images.float(), (reach,) * 4, mode="replicate")
    return padded[..., dy : dy + images.shape[-2], dx : dx + images.shape[-1]]


def filter_features(channels: int) -> Callable[[Tensor], Tensor]:
    """Return the function images uint8 (B, C, H, W) -> features (B, 72): mean responses of fixed random filters.

    Three layers of 24 rectified random 3 x 3 filters, each on half the resolution of the one before.
    """
    widths = [channels, FILTERS, FILTERS, FILTERS]
    layers = [
        normal(streams(SEED, f"image/filters/{i}", range(FILTERS)), (c, 3, 3), "cpu") * (2 / (9 * c)) ** 0.5
        for i, c in enumerate(widths[:3])
    ]

    def features(images: Tensor) -> Tensor:
        h, means = unit(images), []
        for weight in layers:
            h = functional.relu(functional.conv2d(h, weight, padding=1))
            means.append(h.mean((2, 3)))
            h = functional.avg_pool2d(h, 2, ceil_mode=True)
        return torch.cat(means, 1)

    return lambda images: torch.cat([features(part) for part in images.split(256)])
