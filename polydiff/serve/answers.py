"""Answers of the API as pydantic models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Condition(Answer):
    """A condition that samples can be given."""

    name: str
    kind: Literal["class", "number", "text"]
    values: list[str] = []
    """Names of the classes, or texts of the training data as examples."""
    least: float | None = None
    """Least number that occurs in the training data (of the draws that the server looked at)."""
    most: float | None = None
    whole: bool = False
    """Whether the numbers are whole."""


class Defaults(Answer):
    """How the model samples if a request leaves it open."""

    steps: int
    sampler: str
    guidance: float


class Stage(Answer):
    """A stage of a pipeline that draws, and how it does if a request leaves it open."""

    name: str
    about: str
    """One line: kind of network, its size, process."""
    follows: str = ""
    """Stage whose examples it is conditioned on."""
    defaults: Defaults
    samplers: list[str]
    guided: bool
    level: float | None = None
    """Configured level of the noise on these examples; none: it was trained without."""
    levels: tuple[float, float] | None = None
    """Least and greatest level in its training, besides 0."""
    of: int | None = None
    """Configured number of draws, of which the best is kept; none: nothing scores its examples."""


class ModelCard(Answer):
    """A model, and what can be done with it."""

    name: str
    domain: str
    about: str
    """One line: kind of network, its size, training steps."""
    form: str = ""
    """What an example is, such as "images of 1 x 8 x 8"."""
    stages: list[Stage] = []
    """Stages of a pipeline that draw, in order."""
    step: int
    weights: str
    conditions: list[Condition]
    closed: list[str] = []
    """Conditions that requests cannot set: arrays, which a domain may read from files, and those of a task."""
    defaults: Defaults
    samplers: list[str]
    """Samplers that work with the model; []: only its own."""
    guided: bool
    """Whether guidance has an effect: the model has conditions and was trained without them as well."""
    actions: list[Literal["sample", "vary", "inpaint", "interpolate", "film", "solve", "restore"]]
    masks: bool = False
    """Whether `inpaint` takes a picture as the mask."""
    grows: bool = False
    """Whether `inpaint` can add elements, such as atoms."""
    measurements: list[str] = []
    """What `solve` can be given: one text for each kind of measurement."""
    solvers: list[str] = []
    """Methods of `solve`."""
    measured: bool = False
    """Whether `solve` takes files of measurements."""
    task: str = ""
    """What the model was trained to restore, such as "upsample"."""
    scripts: list[str] = []
    """Scripts of the domain's pictures: /api/models/NAME/scripts/SCRIPT."""


class Models(Answer):
    """All models of the server, and its limits."""

    models: list[ModelCard]
    limits: dict[str, int | float]


class JobStatus(Answer):
    """A job."""

    id: str
    kind: str
    model: str
    state: State
    position: int = 0
    """Number of jobs before it in the queue."""
    progress: float = 0.0
    """Share of its computation that is done."""
    message: str = ""
    """Why it failed or was cancelled."""
    seconds: float = 0.0
    """Time of its computation so far."""


class Frame(Answer):
    """A moment of a film."""

    level: float
    """Noise level, or share of lost letters; 0 at the end."""
    state: str
    """Address of the noisy state as a file."""
    estimate: str
    """Address of what the network expects the sample to be."""


class Results(Answer):
    """What a job has made."""

    id: str
    facts: dict[str, Any]
    """How it was made, as in manifest.json."""
    samples: list[dict[str, Any]] = []
    """Each with its file, its url, its conditions, and what the domain adds, such as the SMILES."""
    given: str = ""
    """Address of what `solve` or `restore` started from, as an example: the estimate of a simple method."""
    frames: list[Frame] = []
    notes: list[str] = []
    """Warnings, such as of a request far outside of the training data."""


class Uploaded(Answer):
    """An uploaded file."""

    id: str
    bytes: int


class Health(Answer):
    """Whether the server works."""

    status: Literal["ok", "starting", "failed"]
    message: str = ""
    queued: int
    running: int
    version: str
    seconds: float
    """Time since the start."""


class Problem(Answer):
    """What is wrong with a request."""

    error: str
    where: str = ""
    """Key of the request's JSON."""
