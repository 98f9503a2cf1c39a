"""Requests of the API as pydantic models. Their JSON schemas are the API's documentation.

A request holds numbers, names and texts alone: neither a path nor code. Keys of the section `sample` that would name
one (`guide`), or that are the server's own business (`batch_size`, `compile`, `precision`), are unknown here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from polydiff.serve.limits import DRAWS, FRAMES, ITERATIONS, SHARES

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Key = Annotated[str, Field(min_length=1, max_length=100)]
Words = Annotated[str, Field(max_length=2000)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Value = bool | int | Real | Words
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,40}$")]
Part = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """A part of a request, whose keys and types must be right."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Sampling(Strict):
    """How samples are drawn: keys of the configuration's section `sample`. One that is left out is as configured."""

    steps: int | None = Field(None, ge=1)
    """Number of sampling steps, up to the server's limit."""
    sampler: Name | None = None
    """Name of the sampler, one of those that the model lists."""
    options: dict[Key, Value] = Field({}, max_length=20)
    """Options of the sampler, such as {"eta": 0.5}."""
    spacing: Name | None = None
    """Spacing of noise levels, such as "karras"."""
    spacing_options: dict[Key, Value] = Field({}, max_length=20)
    """Options of the spacing, such as {"rho": 5}."""
    guidance: Real | None = Field(None, ge=0, le=10_000)
    """Guidance scale; 1: no guidance."""
    guidance_method: Name | None = None
    """Method of guidance: cfg, cfg_pp, apg or cfg_zero."""
    guidance_options: dict[Key, Value] = Field({}, max_length=20)
    """Options of the method, such as {"rescale": 0.7}."""
    guidance_interval: tuple[Real, Real] | None = None
    """Lowest and highest level at which guidance acts."""
    negative: dict[Key, Value] = Field({}, max_length=50)
    """Conditions to guide away from."""

    def changes(self) -> dict[str, Any]:
        """Return the keys that are given, as `polydiff.Model.sample` takes them."""
        return {key: value for key, value in self.model_dump().items() if value not in (None, {})}


class StageSampling(Sampling):
    """How one stage of a pipeline draws. A key that is left out is as in `sampling`, or as configured."""

    level: Real | None = Field(None, ge=0)
    """Standard deviation of the noise that is added to the examples of the stage that it follows."""
    of: int | None = Field(None, ge=1, le=DRAWS)
    """Number of draws of which the stage keeps the one with the highest score."""


class Source(Strict):
    """An example to start from: a sample of an earlier job, or an uploaded file."""

    job: Id | None = None
    """Id of a finished job."""
    sample: int = Field(0, ge=0)
    """Number of its sample."""
    file: Id | None = None
    """Id of an uploaded file."""

    @model_validator(mode="after")
    def _one(self) -> Source:
        if (self.job is None) == (self.file is None):
            raise ValueError('give either "job", with "sample", or "file"')
        return self


class Common(Strict):
    """What every job has."""

    model: Annotated[str, Field(max_length=200)] | None = None
    """Name of the model; left out: the server's first."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed. The same request with the same seed gives the same samples."""
    cond: dict[Key, Value] = Field({}, max_length=50)
    """Requested conditions, such as {"label": "7"}. Those that are left out are drawn as in the training data."""


class Sample(Common):
    """Draw new samples."""

    kind: Literal["sample"]
    n: int = Field(1, ge=1)
    """Number of samples, up to the server's limit."""
    sampling: Sampling = Sampling()
    stages: dict[Key, StageSampling] = Field({}, max_length=20)
    """Pipelines: name of a stage -> how it draws, such as {"up": {"steps": 8, "level": 0.2}}."""


class Vary(Common):
    """Corrupt an example in part and sample from there, n times with other noise."""

    kind: Literal["vary"]
    source: Source
    strength: Real = Field(0.5, gt=0, le=1)
    """Time at which sampling begins: near 0 the example stays, at 1 nothing of it is left."""
    n: int = Field(1, ge=1)
    sampling: Sampling = Sampling()


class Inpaint(Common):
    """Generate parts of an example again, n times with other noise."""

    kind: Literal["inpaint"]
    source: Source
    gap: list[Part] = Field([], max_length=50)
    """Parts to generate: audio BEGIN:END in seconds; images X0,Y0:X1,Y1 in pixels; molecules atom numbers such as
    0,4-7 or a SMARTS pattern; texts BEGIN:END in letters."""
    keep: list[Part] = Field([], max_length=50)
    """Parts to keep, instead of `gap`."""
    mask: Id | None = None
    """Images: uploaded picture whose white parts are generated, instead of `gap`."""
    add: Annotated[str, Field(max_length=40)] = ""
    """Molecules: atoms to add, as a number or a formula such as C2H4."""
    resample: int = Field(1, ge=1, le=20)
    """Runs of each segment of steps (RePaint)."""
    n: int = Field(1, ge=1)
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _chosen(self) -> Inpaint:
        if sum(map(bool, (self.gap, self.keep, self.mask))) > 1:
            raise ValueError('give only one of "gap", "keep" and "mask"')
        return self


class Interpolate(Common):
    """Examples between two."""

    kind: Literal["interpolate"]
    a: Source
    b: Source
    shares: list[Annotated[Real, Field(ge=0, le=1)]] = Field([0.25, 0.5, 0.75], min_length=1, max_length=SHARES)
    """Places between the two: 0 is a, 1 is b."""
    steps: int = Field(30, ge=2)
    """Steps to noise, and of the way back."""


class Film(Common):
    """The way from noise to one sample of a job of kind "sample": the same request, and the sample's number."""

    kind: Literal["film"]
    sample: int = Field(0, ge=0)
    """Number of the sample."""
    frames: int = Field(16, ge=2, le=FRAMES)
    """Most moments to show."""
    sampling: Sampling = Sampling()


class Solve(Common):
    """Generate examples of which a linear measurement is given, such as a blurred or a grey picture."""

    kind: Literal["solve"]
    source: Source
    given: Part
    """What is known of the example: one of the model's `measurements`, or one with another value, such as blur=2."""
    measured: bool = False
    """Whether the source is the measurement itself, such as a blurred picture; otherwise it is measured first."""
    noise: Real = Field(0.0, ge=0, le=10)
    """Standard deviation of the noise of the measurement, where 1 is white or full scale."""
    how: Name = "moments"
    """Name of the method, one of the model's `solvers`."""
    iterations: int | None = Field(None, ge=1, le=ITERATIONS)
    """Methods moments and pigdm: most iterations of the linear solver."""
    zeta: Real | None = Field(None, gt=0)
    """Method dps: size of the gradient step."""
    n: int = Field(1, ge=1)
    sampling: Sampling = Sampling()


class Restore(Common):
    """Restore an example from a degraded form, by a model that was trained for it, such as by task=upsample."""

    kind: Literal["restore"]
    source: Source
    degrade: bool = False
    """Whether the source is a whole example, which is degraded first."""
    keep: bool = True
    """Whether known values are put back, such as the low frequencies of a recording."""
    n: int = Field(1, ge=1)
    sampling: Sampling = Sampling()


KINDS = (Sample, Vary, Inpaint, Interpolate, Film, Solve, Restore)
Request = Sample | Vary | Inpaint | Interpolate | Film | Solve | Restore
JOB: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
"""Reads the body of POST /api/jobs."""
