"""A trained model: a domain, a denoiser and the way from noise to samples."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.checkpoint import STEP, Checkpoint, latest
from polydiff.config import Config, SampleConfig
from polydiff.denoise import Denoise, Denoiser
from polydiff.domain import Domain, Samples
from polydiff.ema import WIDEST, reconstruct
from polydiff.errors import UserError
from polydiff.guidance import ClassifierFree
from polydiff.loss import Loss
from polydiff.objective.shortcut import Shortcut, Stepping
from polydiff.plugins import build_domain
from polydiff.random import streams
from polydiff.run import Run
from polydiff.sampling import SAMPLERS, evaluations, plan, sample
from polydiff.schedule import SCHEDULES
from polydiff.settings import checked, config_from
from polydiff.space import Condition, Space, State, condition_to


@dataclass(frozen=True)
class Model:
    """What `polydiff.load` returns.

    Arguments:
        config: The run's configuration.
        domain: Its domain, with the statistics of its training data.
        denoiser: Its network.
        step: Optimizer steps that it was trained for.
        weights: "ema", the moving average, "ema 0.08", one of that width, or "model", the weights as trained.
    """

    config: Config
    domain: Domain
    denoiser: Denoiser
    step: int = 0
    weights: str = "ema"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def load(cls, path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Model:
        """Read a model from a run's folder (its newest checkpoint) or from one checkpoint's folder.

        Arguments:
            path: RUN or RUN/checkpoints/step-00002000.
            weights: "ema" or "model".
            device: Where to compute; None: on a GPU where there is one, unless the configuration says cpu.
            ema: Width of the average, made from the run's snapshots (`polydiff.ema`); None: the average of training.
        """
        if weights not in ("ema", "model"):
            raise UserError(f"weights must be 'ema' or 'model', not {weights!r}.")
        if ema is not None and (weights != "ema" or not 0 < ema < WIDEST):
            raise UserError(f"ema={ema:g} is the width of an average, between 0 and {WIDEST:.3f}, with weights='ema'.")
        checkpoint = open_checkpoint(path)
        config = config_from(checkpoint.state["config"], str(path))
        domain = build_domain(config, statistics=checkpoint.state["statistics"])
        place = pick_device(device or (config.device if config.device == "cpu" else "auto"))
        denoiser = build_denoiser(config, domain, place)
        load_weights(denoiser, checkpoint.ema if weights == "ema" else checkpoint.model)
        if ema is not None:
            load_weights(denoiser, {**denoiser.state_dict(), **average(path, checkpoint, ema)})
            weights = f"ema {ema:g}"
        return cls(config, domain, denoiser.eval(), checkpoint.step, weights, place)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        cond: Mapping[str, Any] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        batch_size: int | None = None,
    ) -> Samples:
        """Return n samples; sample i depends on the seed and i, not on the batch size.

        Arguments:
            n: How many.
            seed: Of everything random.
            cond: What they are asked to be, in the domain's words, such as {"pitch": "C4"}. What is not asked for is
                drawn as in the training data.
            steps: Sampling steps; this and the following default to the configuration's `sample` section.
            sampler: Name of the method.
            guidance: Scale of classifier-free guidance, 1 for none.
            batch_size: Samples computed at a time.
        """
        if n < 1:
            raise UserError(f"n must be at least 1, not {n}.")
        plan = self.plan(steps=steps, sampler=sampler, guidance=guidance, batch_size=batch_size)
        asked = {name: str(value) for name, value in (cond or {}).items()}
        examples: list[Any] = []
        conditions: list[Condition | None] = []
        for first in range(0, n, plan.batch_size):
            indices = range(first, min(first + plan.batch_size, n))
            space, given = self.domain.blank(streams(seed, "blank", indices), asked)
            x = self.states(space, given, seed, indices, plan)
            examples += self.domain.decode(x.cpu(), space)
            conditions.append(given)
        return Samples(examples, join_conditions(conditions))

    def states(self, space: Space, cond: Condition | None, seed: int, indices: range, plan: SampleConfig) -> State:
        """Return sampled states on a space, before decoding; what is not finite is an error, never an example."""
        x = sample(
            self.guided(plan),
            space.to(self.device),
            condition_to(cond, self.device),
            generators=streams(seed, "sample", indices, self.device),
            steps=plan.steps,
            sampler=plan.sampler,
            spacing=plan.spacing,
            **plan.options,
        )
        if not torch.isfinite(x).all():
            raise UserError(
                f"Samples of step {self.step} are not finite (sampler {plan.sampler}, {plan.steps} steps, guidance "
                f"{plan.guidance:g}). Use more steps, less guidance, or the sampler ddim."
            )
        return x

    def noise(self, n: int, *, seed: int = 0) -> Samples:
        """Return n decoded draws of pure noise, with conditions drawn as for samples: the floor of an evaluation."""
        space, cond = self.domain.blank(streams(seed, "blank", range(n)), {})
        return Samples(self.domain.decode(space.noise(streams(seed, "sample", range(n))), space), cond)

    def guided(self, plan: SampleConfig) -> Denoise:
        """Return the denoiser in the precision of sampling, with classifier-free guidance where its scale is not 1."""
        network = copy.copy(self.denoiser)  # the same weights
        network.precision = plan.precision
        denoiser: Denoise = network
        if plan.sampler == "shortcut":
            denoiser = self.stepping(denoiser, plan)
        return denoiser if plan.guidance == 1 else ClassifierFree(denoiser, plan.guidance)

    def stepping(self, denoiser: Denoise, how: SampleConfig) -> Stepping:
        """Return a shortcut denoiser that is told how far each of the plan's steps goes."""
        if not self.config.backbone.step_size:
            raise UserError("The sampler shortcut needs a run with loss.objective=shortcut. Use ddim or dpmpp_2m here.")
        rows = plan(self.denoiser.schedule, how.steps, how.sampler, how.spacing, **how.options)
        finest = self.config.loss.objective_options.get("finest", Shortcut.finest)
        return Stepping(denoiser, [*(row.at for row in rows if row.at is not None), 0.0], int(finest))

    def plan(self, **changes: Any) -> SampleConfig:
        """Return how samples are drawn: the configuration's `sample` section with changes (None: no change)."""
        section = self.config.sample
        given = {name: value for name, value in changes.items() if value is not None}
        if given.get("sampler", section.sampler) != section.sampler:
            given.setdefault("options", {})  # another method's options would mean nothing to this one
        SAMPLERS[given.get("sampler", section.sampler)]
        return checked(SampleConfig, section.model_dump() | given)

    def evaluations(self, how: SampleConfig) -> int:
        """Return how often sampling calls the network for a sample; guidance counts twice."""
        rows = plan(self.denoiser.schedule, how.steps, how.sampler, how.spacing, **how.options)
        calls = 1 if how.guidance in (0, 1) or not self.domain.conditions else 2
        return evaluations(rows) * calls


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Return the newest checkpoint of a run's folder, or the one whose folder this is."""
    path = Path(path)
    return Checkpoint.load(path if STEP.fullmatch(path.resolve().name) else latest(Run.open(path).checkpoints))


def average(path: Path | str, checkpoint: Checkpoint, ema: float) -> dict[str, Tensor]:
    """Return the parameters' average of a width, from a checkpoint and the snapshots of its run."""
    if not checkpoint.averages:
        raise UserError(f"{path} keeps no averages to make another from. Train with train.ema_snapshots=16.")
    place = Path(path).resolve()
    run = Run(place.parent.parent if STEP.fullmatch(place.name) else place)
    return reconstruct(run.averages, checkpoint.step, checkpoint.averages, ema)


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Denoiser:
    """Return the untrained denoiser that a configuration describes; its weights follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = domain.backbone()
    schedule = SCHEDULES[config.schedule](**config.schedule_options)
    precision = pick_precision(config.train.precision, device)
    loss = Loss(times=config.loss.times, times_options=config.loss.times_options, weighting=config.loss.weighting)
    return Denoiser(backbone, schedule, config.target, precision=precision, aids=loss.aids()).to(device)


def load_weights(denoiser: Denoiser, weights: Mapping[str, Tensor]) -> None:
    """Put weights into a denoiser; names or shapes that differ are a `UserError`."""
    try:
        denoiser.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise UserError(f"The checkpoint does not fit the network that its configuration describes: {error}") from error


def join_conditions(parts: list[Condition | None]) -> Condition | None:
    """Return the conditions of consecutive batches as one."""
    given = [part for part in parts if part is not None]
    return {name: torch.cat([part[name] for part in given]) for name in given[0]} if given else None


def pick_device(name: str) -> torch.device:
    """Return the device that a configuration names; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UserError(f"device={name} is not a device's name; auto, cpu, cuda and cuda:1 are.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}, but torch sees no such GPU here. Use device=cpu, or ask `polydiff doctor`.")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """Return "float32" or "bf16"; "auto" is bf16 on a GPU or a CPU that has instructions for it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "float32"


load = Model.load
"""Read a model from a run's folder or a checkpoint's; see `Model.load`."""
