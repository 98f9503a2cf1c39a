"""From a checkpoint to what a model is made of."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from polydiff.config.processes import build_denoiser
from polydiff.config.saved import config_of_state
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.core.streams import streams
from polydiff.machine.device import pick_device
from polydiff.run.averages import WIDEST
from polydiff.run.bounds import bounded, building
from polydiff.run.calibrations import Fitted, read_fitted
from polydiff.run.checkpoint import Checkpoint, load_weights, open_checkpoint
from polydiff.run.folder import run_of
from polydiff.run.parents import Records, located
from polydiff.run.snapshots import average
from polydiff.stages.open import Stages, open_domain, open_stages
from polydiff.support.errors import UserError, one_line


class Parts(NamedTuple):
    """What a model is made of; attributes as of `polydiff.Model`."""

    config: Config
    domain: Domain
    denoiser: Any
    step: int
    weights: str
    device: torch.device
    parents: Records
    fitted: Sequence[Fitted]


def assemble(path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Parts:
    """Return the parts of a model that a checkpoint holds.

    Arguments:
        path: A run's folder, for its newest checkpoint, or the folder of one checkpoint.
        weights: "ema", the moving average of the weights, or "model", the weights as trained.
        device: Device, such as "cuda:1"; None: cpu if the configuration has device=cpu, otherwise chosen automatically.
        ema: Width sigma_rel of an average that is computed from the run's snapshots; None: the moving average.

    Raises:
        UserError: As in `polydiff.Model.load`.
    """
    if weights not in ("ema", "model"):
        raise UserError(f"weights must be 'ema' or 'model', not {weights!r}.")
    if ema is not None and weights != "ema":
        raise UserError(f"ema={ema:g} selects an average, but weights={weights!r} selects none. Set only one of them.")
    if ema is not None and not 0 < ema < WIDEST:
        raise UserError(f"ema={ema:g} should be the width of an average, between 0 and {WIDEST:.3f}.")
    checkpoint = open_checkpoint(path)
    parents = checkpoint.state.get("parents", {})
    run = run_of(Path(path)).path
    config = located(config_of_state(checkpoint.state, str(path)), parents, run)
    place = pick_device(device or (config.device if config.device == "cpu" else "auto"))
    stages = open_stages(config, run=run, records=parents, device=place)
    domain = restored_domain(config, checkpoint, path, stages)
    with building(checkpoint.ema, str(path)):
        denoiser = build_denoiser(config, domain, place)
    if weights == "model" and not checkpoint.model:
        raise UserError(f"{path} is an exported model, which has averaged weights alone. Leave weights out.")
    load_weights(denoiser, checkpoint.ema if weights == "ema" else checkpoint.model)
    if ema is not None:
        load_weights(denoiser, {**denoiser.state_dict(), **average(path, checkpoint, ema)})
        weights = f"ema {ema:g}"
    return Parts(config, domain, denoiser.eval(), checkpoint.step, weights, place, parents, read_fitted(run))


DAMAGED = "The checkpoint is damaged, or from another version of the domain."
"""Why statistics do not fit the domain of the checkpoint's own configuration."""


def restored_domain(
    config: Config, checkpoint: Checkpoint, source: Path | str, stages: Stages, why: str = DAMAGED
) -> Domain:
    """Return the domain of a checkpoint, with its statistics.

    Arguments:
        config: Configuration of the checkpoint, or of a run that begins with its weights.
        checkpoint: The checkpoint.
        source: Its path, for messages.
        stages: The opened runs that the domain is seen through.
        why: Sentence on the cause if the statistics do not fit.

    Raises:
        UserError: The statistics are not those of this domain.
    """
    statistics = checkpoint.state["statistics"]
    try:
        check_scales(statistics)
        with bounded(checkpoint.ema, str(source)):
            domain = open_domain(config, statistics, stages)
            try_statistics(domain, statistics)
            return domain
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        problem = str(error) if type(error) is ValueError and "\n" not in str(error) else one_line(error)
        raise UserError(f"{source}: its statistics do not fit the domain {config.domain}: {problem}. {why}") from error


def try_statistics(domain: Domain, statistics: Mapping[str, Any]) -> None:
    """Decode one draw of noise, which reads the statistics, so that wrong ones raise an error before any work."""
    if domain.statistics and not statistics:
        raise ValueError(f"{', '.join(domain.statistics)} are missing")
    generators = streams(0, "blank", [0])
    space, _ = domain.blank(generators, {})
    domain.decode(space.noise(generators), space)


def check_scales(statistics: Mapping[str, Any]) -> None:
    """Raise ValueError unless every statistic that states are divided by, "std", "stds" and "scale", is above 0."""
    for name in ("std", "stds", "scale"):
        value = statistics.get(name, 1.0)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not number > 0:
                raise ValueError(f"{name} should be above 0, not {number}")


def same_weights(network: nn.Module) -> Any:
    """Return new modules around the same parameters and buffers: to compile them leaves the network as it is."""
    return copy.deepcopy(network, {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())})
