"""Build the domain of a configuration: its own, or the same seen through the codec of another run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polydiff.config.processes import process_of
from polydiff.config.saved import config_of_state
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.contract.sections import Config
from polydiff.core.process import Reconstructs
from polydiff.encode.module import Encoder
from polydiff.machine.device import pick_device
from polydiff.run.bounds import bounded
from polydiff.run.checkpoint import load_weights
from polydiff.stages.codec import LearnedCodec, Scale
from polydiff.stages.parts import Part, open_part
from polydiff.stages.through import CODEC, Through
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def open_domain(config: Config, statistics: Mapping[str, Any] | None = None, run: Path | None = None) -> Domain:
    """Return the domain of a configuration, seen through its codec if it names one.

    Arguments:
        config: The run's configuration.
        statistics: Statistics of a checkpoint; None: those of the codec's run, or measured on the training data.
        run: Folder of the run, with its own copy of the codec; None: a new run.

    Raises:
        UserError: The codec is missing, damaged or of another domain.
    """
    if config.codec is None:
        return build_domain(config, statistics)
    part = open_part(CODEC, config.codec, run)
    codec = open_codec(part, config)
    own = part.state["statistics"] if statistics is None else {k: v for k, v in statistics.items() if k != CODEC}
    return Through(
        config, build_domain(config, own), codec, None if statistics is None else Scale.of_json(statistics[CODEC])
    )


def open_codec(part: Part, config: Config) -> LearnedCodec:
    """Return the codec that a part holds.

    Arguments:
        part: The run of the codec.
        config: Configuration of the run that needs it.
    """
    own = config_of_state(part.state, part.name)
    if own.domain != config.domain:
        raise UserError(f"{part.name} is a run of the domain {own.domain}, not {config.domain}.")
    process = process_of(own)
    if not provides(process, Reconstructs):
        raise UserError(f"{part.name} was trained with learn={own.learn}. A codec is a run with learn=encode.")
    device = pick_device(config.device)
    with bounded(part.weights, part.name):
        encoder = process.network(own, build_domain(own, part.state["statistics"]), device)
    assert isinstance(encoder, Encoder)
    load_weights(encoder, part.weights, part.name)
    encoder.precision = "float32"  # so that a code does not depend on its batch
    return LearnedCodec(encoder.eval().requires_grad_(False), part.name)


def copy_parts(config: Config, run: Path) -> None:
    """Copy the runs that a new run needs into its folder."""
    if config.codec is not None:
        open_part(CODEC, config.codec, None).save(run, CODEC)
