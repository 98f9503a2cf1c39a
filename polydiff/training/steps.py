"""How training begins: the module, its weights, and the steps that a configuration takes."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.config.processes import build_denoiser, process_of
from polydiff.contract.backbone import Inherits, load_backbone_spec
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.core.conditions import STEP
from polydiff.machine.compiler import need_compiler
from polydiff.machine.device import pick_device
from polydiff.machine.ranks import ranks
from polydiff.model.assemble import DAMAGED, restored_domain
from polydiff.run.averages import SIGMAS
from polydiff.run.checkpoint import Checkpoint, load_weights
from polydiff.run.memory_check import fitting
from polydiff.run.parents import Parent
from polydiff.stages.open import Stages
from polydiff.support.errors import UserError, shortened
from polydiff.support.nested import flat
from polydiff.support.protocols import provides
from polydiff.support.yaml_text import one_line_yaml
from polydiff.training.data import Split, batches, worker_count
from polydiff.training.loop import Phase, Record, Training, fit
from polydiff.training.processes.sharding import Sharding


def initial_checkpoint(config: Config, parents: Mapping[str, Parent]) -> Checkpoint | None:
    """Return the checkpoint of the run that `train.init` names, None for a run from scratch.

    Arguments:
        config: Configuration of the new run.
        parents: The runs that it names, by dotted key.

    Raises:
        UserError: The weights or the states of that run do not fit the configuration.
    """
    parent = parents.get("train.init")
    if parent is None:
        return None
    parent.check_domain(config.domain)
    learn = parent.config.get("learn", Config.model_fields["learn"].default)
    if learn != config.learn:
        raise UserError(f"{parent} was trained with learn={learn}, so its weights do not fit learn={config.learn}.")
    check_same_stages(parent, parents)
    if learn != "denoise":
        return Checkpoint.load(parent.checkpoint)
    process = parent.config.get("process", Config.model_fields["process"].default)  # absent in old checkpoints
    if process != config.process:
        raise UserError(
            f"{parent} was trained with process={process}, so its weights do not fit process={config.process}."
        )
    target = parent.config["target"]
    if target != config.target:
        raise UserError(
            f"{parent} predicts {target}, so its weights do not fit target={config.target}. Set target={target}."
        )
    return Checkpoint.load(parent.checkpoint)


def initial_domain(config: Config, source: Checkpoint, stages: Stages) -> Domain:
    """Return the domain of a run that begins with the weights of another one, with the other's statistics.

    Arguments:
        config: Configuration of the new run.
        source: The checkpoint that `train.init` names.
        stages: The opened runs that the domain is seen through.

    Raises:
        UserError: The statistics do not fit the new run's data or conditions.
    """
    why = differences(source.state["config"], config) or DAMAGED
    return restored_domain(config, source, f"train.init={config.train.init}", stages, why.strip())


def check_same_stages(parent: Parent, parents: Mapping[str, Parent]) -> None:
    """Raise UserError unless a run has the codec and the pairs that a new run has, by `parents`."""
    theirs = {key: record["sha256"] for key, record in parent.state.get("parents", {}).items()}
    ours = {key: other.sha256 for key, other in parents.items()}
    if theirs.get("codec") != ours.get("codec"):
        raise UserError(f"{parent} was trained in other states: its codec is not that of this run.")
    for key in sorted(theirs.keys() | ours.keys()):
        if key.startswith("tell.") and theirs.get(key) != ours.get(key):
            raise UserError(f"{parent} was trained on other embeddings: its {key} is not that of this run.")


def begin(config: Config, domain: Domain, source: Checkpoint | None = None) -> Training[Any]:
    """Return the training of a configuration before its first step, with initial weights or from scratch.

    Arguments:
        config: The configuration.
        domain: Its domain.
        source: The checkpoint that `train.init` names; None: from scratch.

    Raises:
        UserError: The weights of the checkpoint do not fit.
    """
    with fitting(config):
        denoiser = build_denoiser(config, domain, pick_device(config.device))
    if source is not None:
        load_initial(denoiser, source, config)
    sharding, widths = sharding_of(config), SIGMAS if config.train.ema_snapshots else ()
    if config.train.compile and not sharding:
        denoiser.compile()
    return Training(denoiser, process_of(config).objective(config), config.optim, widths=widths, sharding=sharding)


def sharding_of(config: Config) -> Sharding | None:
    """Return how the processes divide the weights, None if each holds all of them."""
    world = ranks().world
    if config.launch.strategy == "ddp" or world == 1:
        return None
    if config.train.compile and pick_device(config.device).type == "cpu":
        need_compiler()
    return Sharding(load_backbone_spec(config.backbone.name).units, world, config.train.compile)


def load_initial(denoiser: nn.Module, source: Checkpoint, config: Config) -> None:
    """Put the averaged weights of another run into an untrained denoiser.

    One of the two networks may lack the condition "_step", the size of a step. A network that gains it begins with what
    the other one gives, at any step size; one that loses it, with what the other one gives without a step size.

    Raises:
        UserError: They differ in something else.
    """
    before = source.state["config"]
    ours, theirs = optional_conditions(config.backbone.model_dump()), optional_conditions(before.get("backbone", {}))
    weights = inherited(denoiser, source.ema, ours - theirs, theirs - ours) if ours != theirs else source.ema
    try:
        load_weights(denoiser, initial_weights(weights, denoiser.state_dict()), f"train.init={config.train.init}")
    except UserError as error:
        raise UserError(f"{error}{differences(before, config)}") from error


def optional_conditions(backbone: Mapping[str, Any]) -> set[str]:
    """Return the conditions of a network, by its section `backbone`, that weights from another run need not have."""
    return {STEP} if backbone.get("step_size") else set()


def inherited(
    network: nn.Module, weights: Mapping[str, Tensor], added: Collection[str], dropped: Collection[str]
) -> dict[str, Tensor]:
    """Return the weights of another network for one with other conditions (`polydiff.contract.backbone.Inherits`)."""
    found = dict(weights)
    for name, layer in network.named_modules():
        if provides(layer, Inherits):
            own = {key: found.pop(key) for key in weights if key.startswith(f"{name}.")}
            begun = layer.inherited({key.removeprefix(f"{name}."): own[key] for key in own}, added, dropped)
            found |= {f"{name}.{key}": value for key, value in begun.items()}
    return found


def differences(before: Mapping[str, Any], config: Config) -> str:
    """Return a sentence with the settings of network, data and task in which another run differs; "" if in none."""
    then, now = flat(before), flat(config.model_dump(mode="json"))
    of_network = [key for key in then if key.partition(".")[0] in ("backbone", "data", "task")]
    different = [f"{key}={one_line_yaml(then[key])}" for key in of_network if key in now and now[key] != then[key]]
    return f" That run has {shortened(', '.join(different))}." if different else ""


def initial_weights(weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return initial weights: the network's from another run, the rest fresh.

    The state of a loss starts fresh. A learned schedule does too, unless the other run has one of the same shapes. A
    network fits any schedule, because it is conditioned on the noise level alone.

    Arguments:
        weights: Tensors of the other run.
        fresh: Tensors of the new, untrained denoiser.
    """

    def schedule(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in tensors.items() if name.startswith("schedule.")}

    def shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in tensors.items()}

    path = schedule(weights) if shapes(schedule(weights)) == shapes(schedule(fresh)) else schedule(fresh)
    beside = ("aids.", "schedule.")
    network = {name: value for name, value in weights.items() if not name.startswith(beside)}
    return network | path | {name: value for name, value in fresh.items() if name.startswith("aids.")}


def records_of(
    config: Config, domain: Domain, training: Training[Any], steps: int | None = None, phase: Phase = nullcontext
) -> Generator[Record, None, None]:
    """Train and yield the record of each step (`polydiff.training.loop.fit`).

    Arguments:
        config: The run's configuration.
        domain: Provides the batches.
        training: What is trained.
        steps: Last step; None: `train.steps`.
        phase: Context in which each phase of a step runs, for profiles.
    """
    settings, device, together = config.train, next(training.module.parameters()).device, ranks()
    split = Split(together.rank, together.world, settings.accumulate)
    split.rows(settings.batch_size, 0)  # raises if the batch cannot be divided
    return fit(
        training,
        batches(domain, settings.batch_size, config.seed, settings.condition_dropout, settings.like_sizes, split),
        steps=steps or settings.steps,
        batch_size=settings.batch_size,
        ema=settings.ema,
        seed=config.seed,
        workers=worker_count(settings.workers, device),
        accumulate=settings.accumulate,
        phase=phase,
    )
