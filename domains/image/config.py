"""Configuration of the domain image. Its defaults are the preset "quick". This module does not import torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from polydiff.backbones.config import DiTConfig, UNetConfig
from polydiff.contract.sections.base import NoiseLevels, Numbers
from polydiff.contract.sections.data import CaptionConfig, DataConfig
from polydiff.contract.sections.network import BackboneConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import LossConfig, OptimConfig, TrainConfig
from polydiff.domains.image.network import (
    QUICK,
    SMALL,
    encoder_recipe,
    scenes_enlarging,
    scenes_network,
    scenes_noise,
    scenes_training,
    suited_network,
)

SMALLEST = 4
"""Least side of an example in pixels."""
AUGMENTED = {"cifar10": 0.12}
"""Preset -> `data.augment` of its recipe."""


class ImageData(DataConfig):
    """Images."""

    before: ClassVar[Mapping[str, Any]] = {"rules": 1, "captions": "none"}
    embedded: ClassVar[str] = "digits"
    files: ClassVar[str] = "folder"
    selects: ClassVar[bool] = True
    incidental: ClassVar[Collection[str]] = ("size", "shrink", "crop", "flip", "augment", "factor", "noise")

    name: Literal["digits", "shapes", "folder"] = "digits"
    """digits: 1,797 handwritten digits. shapes: unlimited captioned scenes of coloured shapes. folder: the images of
    `path`, a folder, a .jsonl, .csv or .tsv table, a .tar archive, or a data set as it is distributed
    (docs/image_sets.md); setting `path` implies it."""
    size: int | None = Field(None, ge=4, le=8192)
    """Height and width in pixels; null: 8 for digits, else 32."""
    channels: Literal[1, 3] | None = None
    """1 grey, 3 colours; null: 1 for digits, else 3."""
    crop: Literal["centre", "random"] = "centre"
    """folder: which square is cut from an image, resized to the shorter side `size`; random: a new one each time."""
    flip: bool = False
    """folder: whether half of the training examples are mirrored, left for right."""
    augment: float = Field(0.0, ge=0, le=1)
    """folder: probability of each change of a training image (flip, scale, rotation, stretch, move). The network is
    informed of them, so samples are not changed. 0: none; Karras et al. (2022) use 0.12 to 0.15."""
    labels: Literal["auto", "folders", "none"] = "auto"
    """Whether the folders in `path` are classes; auto: if there are two or more, and no files beside them."""
    captions: str = "auto"
    """folder: column of the captions, which become the condition text; auto: text or caption, of a table beside the
    images or of a.txt beside a.png; none."""
    conditions: tuple[str, ...] = ()
    """folder: columns that become conditions, such as brand,year:class. Text becomes classes, numbers real values, .npy
    files embeddings; a type after the colon (class, number, text, embedding) sets it explicitly."""
    text: CaptionConfig = CaptionConfig()
    """folder: how captions become tokens."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of the images held out, unless the data state a test split."""
    merge: bool = False
    """folder: whether the splits that the data state are merged, and `test_share` of all images is held out."""
    rules: Literal[1, 2] = 2
    """folder: rules by which files are found and split; 1: those of runs that were saved without this key."""
    things: tuple[Literal[1, 2, 3], ...] = Field((1,), min_length=1)
    """shapes: possible numbers of things in a scene, all equally likely; 1,2,3: scenes with relations."""
    partial: float = Field(0.0, ge=0, le=1)
    """shapes: share of captions that may leave sizes, places and relations open."""
    factor: int = Field(2, ge=2, le=256)
    """task=upsample: factor by which the sides of an image exceed those of the given small image."""
    shrink: int = Field(1, ge=1, le=256)
    """An example is the means of blocks of so many pixels along each side of the image of data.size: the base of a
    cascade. 1: the image itself."""
    standardise: bool = True
    """Whether states have the mean 0 and unit variance, measured on the data. false: they are pixels in [-1, 1], as in
    diffusers, which an export to it needs."""
    greys: int | None = Field(None, ge=2, le=256)
    """Processes of letters: largest number of levels that a number of a pixel is rounded to; null: those that occur,
    at most 32."""
    noise: NoiseLevels | None = None
    """task=upsample: least and greatest standard deviation of the noise on the small image in training, such as 0.02,1,
    in units of the states; null: none."""

    @classmethod
    def idle(cls, values: Mapping[str, Any]) -> Collection[str]:
        """Return the keys that digits and shapes do not read, which earlier versions let a run set."""
        return {"text"} if values.get("name") in ("digits", "shapes") else ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name != "folder" and self.augments:
            raise ValueError(
                "data.flip, data.crop and data.augment are for folders; a mirrored or cropped digit or scene would be "
                "another one"
            )
        without = ("auto",) if self.name == "shapes" else ("auto", "none")  # "none": runs saved before the key
        own = ["data.path"] * (self.path is not None) + ["data.captions"] * (self.captions not in without)
        own += ["data.conditions"] * bool(self.conditions)
        own += [f"data.text.{key}" for key, value in self.text if value != getattr(CaptionConfig(), key)]
        if self.name != "folder" and own:
            raise ValueError(f"data.name={self.name} has data and conditions of its own; leave out {', '.join(own)}")
        if self.square % self.shrink or self.side < SMALLEST:
            raise ValueError(
                f"data.shrink={self.shrink} must divide the {self.square} pixels of data.size, and leave {SMALLEST} or "
                "more"
            )
        if self.name == "shapes" and self.per_class is not None:
            raise ValueError("data.name=shapes makes as many scenes as training needs; leave out data.per_class")
        if self.name == "shapes" and (self.square % 32 or self.planes != 3):
            raise ValueError(
                "data.name=shapes needs colours (data.channels=3) and a data.size that is a multiple of 32"
            )
        return self

    @property
    def square(self) -> int:
        """Height and width in pixels of what is cut from an image, before data.shrink."""
        return self.size or (8 if self.name == "digits" else 32)

    @property
    def side(self) -> int:
        """Height and width of an example in pixels."""
        return self.square // self.shrink

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random."""
        return self.flip or self.crop == "random" or self.augment > 0

    @property
    def planes(self) -> int:
        """Channels."""
        return self.channels or (1 if self.name == "digits" else 3)


class ImageConfig(Config):
    """Images."""

    domain: str = "image"
    task: Literal["generate", "inpaint", "upsample"] = "generate"
    """Condition of the network besides the label: none (generate), the known part of each image (inpaint), or the image
    reduced by data.factor (upsample)."""
    schedule_options: Numbers = Field({"sigma_min": 0.002, "sigma_max": 20.0})
    data: ImageData = ImageData()
    backbone: BackboneConfig = UNetConfig(channels=32, mult=(1, 2), blocks=2, attention=(1,))
    loss: LossConfig = LossConfig(times="log_normal", times_options={"mean": -1.0, "std": 1.2})
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=50, decay="cosine")
    train: TrainConfig = TrainConfig(steps=3000, batch_size=64, ema=0.995, checkpoint_every=1000)
    sample: SampleConfig = SampleConfig(steps=10, guidance=1.2)

    def following(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what suits the data, their size and the kind of network (`domains/image/network.py`)."""
        return {**self._optimizer(), **self._recipe()}

    def _recipe(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what suits the data, their size and the kind of network, but for the optimizer."""
        if self.learn == "encode":
            return encoder_recipe(self.data.side)
        if self.learn == "match":
            return {"learn": {"train.steps": 1500}}
        if self.codec is not None:  # its network follows from the codes (`polydiff.stages.network`)
            scenes = self.preset in QUICK and self.data.name == "shapes"
            return {"data.name": scenes_training(max(self.data.things), in_codes=True)} if scenes else {}
        return self._augmentation() | self._network()

    def _optimizer(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what replaces the preset's Muon where it was not measured: for all but digits from a U-Net."""
        images = self.learn == "denoise" and self.codec is None and self.task == "generate"
        digits = self.data.name == "digits" and self.data.side <= SMALL
        measured = images and digits and isinstance(self.backbone, UNetConfig)
        return self.usual_training(measured) if self.preset == "quick" else {}

    def _augmentation(self) -> dict[str, Mapping[str, Any]]:
        """Return the augmentation of a preset, which needs the pictures of a folder: a preset resolves without them."""
        found = AUGMENTED.get(self.preset) if self.data.name == "folder" else None
        return {"data.path": {"data.augment": found}} if found else {}

    def _network(self) -> dict[str, Mapping[str, Any]]:
        """Return the network, and of scenes also the training."""
        data, quick = self.data, self.preset in QUICK
        if data.name == "shapes" and self.task == "upsample" and quick and data.side > SMALL:
            network = scenes_network(self.backbone, data.side, max(data.things))
            return {"data.name": scenes_enlarging(), "backbone.name": network}
        if data.name != "shapes" or self.task != "generate":
            factor = data.factor if self.task == "upsample" else 1
            return suited_network(self.preset, self.backbone, data.side, data.planes, factor)
        found = scenes_training(max(data.things)) if quick else {}
        if self.schedule == "edm" and self.loss.times == "log_normal":
            found |= scenes_noise(data.side)
        if isinstance(self.backbone, (UNetConfig, DiTConfig)):
            found["backbone.coordinates"] = True  # captions name places
        if quick:
            return {"data.name": found, "backbone.name": scenes_network(self.backbone, data.side, max(data.things))}
        return {"data.name": found, **suited_network(self.preset, self.backbone, data.side, data.planes, 1)}

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.task == "upsample" and self.data.side % self.data.factor:
            raise ValueError(f"data.factor={self.data.factor} does not divide the {self.data.side} pixels of an image")
        if self.task != "upsample" and self.data.noise:
            raise ValueError(f"data.noise is noise on the small image of task=upsample, not for task={self.task}")
        return self

    @property
    def needs_input(self) -> bool:
        """Whether a run enlarges small images (`polydiff.contract.following.Fits`)."""
        return self.task == "upsample"

    @property
    def input_noise(self) -> tuple[float, float] | None:
        """Least and greatest level of the noise on small images in training (`contract.following.Fits`)."""
        return self.data.noise

    def misfit(self, earlier: Config) -> str | None:
        """Return why a run cannot enlarge the images of another (`polydiff.contract.following.Fits`)."""
        from polydiff.domains.image.following import misfit

        return misfit(self, earlier)
