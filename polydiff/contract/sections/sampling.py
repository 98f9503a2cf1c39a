"""The section on sampling."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from polydiff.contract.sections.base import RunPath, Section

ALL_LEVELS = (0.0, sys.float_info.max)
"""A `guidance_interval` of all noise levels, for a model whose configuration has a narrower one."""


class SampleConfig(Section):
    """How samples are drawn; options of the command line override these keys."""

    steps: int = Field(40, ge=1, le=10**5)
    """Number of sampling steps."""
    sampler: str = "auto"
    """Sampler: auto, ddpm, ddim, heun, dpmpp_2m, unipc, er_sde or another of docs/samplers.md."""
    spacing: str | None = None
    """Spacing of noise levels: asinh, karras, log_snr, time, trailing, ...; null: the sampler's own."""
    spacing_options: dict[str, Any] = {}
    """Options of the spacing, such as {rho: 5}, or {levels: [...]} for spacing=own."""
    guidance: float = Field(1.0, ge=0, le=10_000)
    """Guidance scale; 1: no guidance."""
    guidance_method: str = "cfg"
    """How guidance combines its two estimates: cfg, cfg_pp, apg or cfg_zero."""
    guidance_options: dict[str, Any] = {}
    """Options of the guidance method, such as {rescale: 0.7}."""
    guidance_interval: tuple[float, float] | None = None
    """Lowest and highest noise level at which guidance is applied, such as [0.3, 5]; None: all."""
    guide: RunPath | None = None
    """Run or checkpoint of a worse model to guide away from (autoguidance); None: this model, unconditional."""
    negative: dict[str, Any] = {}
    """Conditions to guide away from, such as {label: 3}; {}: the null condition."""
    options: dict[str, Any] = {}
    """Options of the sampler, such as {eta: 0.5}."""
    batch_size: Literal["auto"] | int = "auto"
    """Samples in a batch; auto: the most efficient number for the device. It changes samples by rounding only."""
    precision: Literal["float32", "bf16"] = "float32"
    """Precision of the network; bf16 can be faster, but a sample then depends slightly on its batch."""
    compile: bool = False
    """Whether to compile the network; it takes a minute at the start and speeds up drawing many samples."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _size(cls, size: Any) -> Any:
        if size != "auto" and not (str(size).isdecimal() and len(str(size)) < 10 and 1 <= int(str(size)) <= 10**6):
            raise ValueError("should be auto or a whole number of 1 to 1000000")
        return size

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _two(cls, interval: Any) -> Any:
        if interval is not None and not (isinstance(interval, Sequence) and len(interval) == 2):
            raise ValueError("should be two noise levels, the lower first, such as 0.3,5")
        return interval
