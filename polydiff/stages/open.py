"""Build the domain of a configuration: its own, or the same seen through the codec of another run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polydiff.config.processes import process_of
from polydiff.config.saved import config_of_state
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.contract.sections import Config
from polydiff.core.process import Reconstructs, written
from polydiff.encode.module import Encoder
from polydiff.machine.device import pick_device
from polydiff.run.bounds import bounded
from polydiff.run.checkpoint import load_weights
from polydiff.run.parents import Parent, Records, open_parent
from polydiff.stages.codec import LearnedCodec, Scale
from polydiff.stages.parts import Part, kept_part, read_part
from polydiff.stages.through import CODEC, Through
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def open_domain(
    config: Config, statistics: Mapping[str, Any] | None = None, codec: LearnedCodec | None = None
) -> Domain:
    """Return the domain of a configuration, seen through its codec if it names one.

    Arguments:
        config: The run's configuration.
        statistics: Statistics of a checkpoint; None: those of the codec's run, or measured on the training data.
        codec: The opened codec; None: there is none, or it is opened where the configuration says.

    Raises:
        UserError: The codec is missing, damaged, or of another domain or other data.
    """
    codec = codec or codec_of(config)
    if codec is None:
        return build_domain(config, statistics)
    if statistics is not None and CODEC not in statistics:
        raise ValueError("the scale of the codec is missing")
    own = codec.statistics if statistics is None else {k: v for k, v in statistics.items() if k != CODEC}
    try:
        domain = build_domain(config, own)
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{codec.name} was trained on other data than this run: {error}.") from error
    return Through(config, domain, codec, None if statistics is None else Scale.of_json(statistics[CODEC]))


def reconfigured(domain: Domain, config: Config) -> Domain:
    """Return a domain with the configuration after its defaults were measured, which may have another network."""
    if not isinstance(domain, Through):
        return domain
    return Through(config, domain.__wrapped__, domain.codec, domain.codec.scale)


def codec_of(
    config: Config,
    *,
    parent: Parent | None = None,
    run: Path | None = None,
    records: Records | None = None,
    device: torch.device | None = None,
) -> LearnedCodec | None:
    """Return the codec that a configuration names; None if it names none.

    Arguments:
        config: Configuration of the run that needs it.
        parent: The codec's run, for a new run; None: opened where the configuration says.
        run: Folder of a run with a copy of its codec; None: a new run.
        records: What the checkpoint of that run records of the runs that it needs.
        device: Where the codec computes; None: the device of the configuration.
    """
    if config.codec is None:
        return None
    if run is not None:
        part = kept_part(CODEC, config.codec, run, (records or {}).get(CODEC, {}))
    else:
        parent = parent or open_parent(CODEC, config.codec)
        part = read_part(str(parent), parent.checkpoint)
    return open_codec(part, config, device or pick_device(config.device))


def open_codec(part: Part, config: Config, device: torch.device) -> LearnedCodec:
    """Return the codec that a part holds.

    Arguments:
        part: The run of the codec.
        config: Configuration of the run that needs it.
        device: Where it computes.
    """
    own = config_of_state(part.state, part.name)
    if own.domain != config.domain:
        raise UserError(f"{part.name} is a run of the domain {own.domain}, not {config.domain}.")
    process = process_of(own)
    if not provides(process, Reconstructs):
        raise UserError(f"{part.name} was trained with learn={own.learn}. A codec is a run with learn=encode.")
    with bounded(part.weights, part.name):
        encoder = process.network(own, build_domain(own, part.state["statistics"]), device)
    if not isinstance(encoder, Encoder):
        raise UserError(f"{part.name}: {written(process)} trains no `polydiff.encode.module.Encoder`.")
    load_weights(encoder, part.weights, part.name)
    encoder.precision = "float32"  # so that a code does not depend on its batch
    warn_of_other_data(part.name, own, config)
    return LearnedCodec(encoder.eval().requires_grad_(False), part)


def warn_of_other_data(name: str, codec: Config, config: Config) -> None:
    """Warn if a codec was trained with other keys of `data` than the run that needs it, whose statistics it gives."""
    theirs, ours = codec.data.model_dump(mode="json"), config.data.model_dump(mode="json")
    different = [f"data.{key}={value}" for key, value in theirs.items() if key in ours and ours[key] != value]
    if different:
        warnings.warn(
            f"{name} was trained with {', '.join(different)}, unlike this run, which takes the statistics of the data "
            "(scale, classes, vocabulary) from it.",
            stacklevel=2,
        )
