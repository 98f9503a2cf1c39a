"""Build the domain of a configuration: its own, or the same seen through other runs, its codec and its pairs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from polydiff.config.data_defaults import with_data_defaults
from polydiff.config.merge import Settings
from polydiff.config.processes import process_of
from polydiff.config.saved import config_of_state
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.core.process.abilities import Embeds, Reconstructs
from polydiff.core.process.process import written
from polydiff.encode.module import Encoder
from polydiff.machine.device import pick_device
from polydiff.match.module import Pair
from polydiff.run.bounds import building
from polydiff.run.checkpoint import load_weights
from polydiff.run.parents import Parent, Records, open_parent
from polydiff.stages.codec import CODEC, LearnedCodec, Scale, measure
from polydiff.stages.conditioned import TELL, Conditioned
from polydiff.stages.embedded import Embedded
from polydiff.stages.embedder import Embedder
from polydiff.stages.parts import Part, kept_part, read_part
from polydiff.stages.through import Through
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

STAGES = (CODEC, TELL)
"""Keys that name the runs that a domain is seen through, and what is measured of them among a run's statistics."""


@dataclass(frozen=True)
class Stages:
    """The opened runs that the domain of a configuration is seen through.

    Arguments:
        codec: Makes states of examples; None: the domain does.
        tells: Name of a condition -> embedder that makes it of examples.
    """

    codec: LearnedCodec | Embedder | None = None
    tells: Mapping[str, Embedder] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Part]:
        """Dotted key -> the run that it names."""
        codec = {} if self.codec is None else {CODEC: self.codec.part}
        return codec | {f"{TELL}.{name}": embedder.part for name, embedder in self.tells.items()}

    def save(self, run: Path) -> None:
        """Copy the runs into the folder of a new run."""
        for key, part in self.parts.items():
            part.save(run, key)

    def statistics(self) -> Mapping[str, Any] | None:
        """Return the statistics of the data that all of them were trained on; None: there are none.

        Raises:
            UserError: They were trained on different data.
        """
        parts = list(self.parts.values())
        if not parts:
            return None
        first, own = parts[0], dict(parts[0].state["statistics"])
        for part in parts[1:]:
            other = part.state["statistics"]
            if different := [name for name in {**own, **other} if own.get(name) != other.get(name)]:
                raise UserError(
                    f"{first.name} and {part.name} were trained on different data: they differ in "
                    f"{', '.join(different)}. Train both on the same data."
                )
        return own


def open_domain(config: Config, statistics: Mapping[str, Any] | None = None, stages: Stages | None = None) -> Domain:
    """Return the domain of a configuration, seen through the runs that it names.

    Arguments:
        config: The run's configuration.
        statistics: Statistics of a checkpoint; None: those of the named runs, or measured on the training data.
        stages: The opened runs; None: they are opened where the configuration says.

    Raises:
        UserError: A run is missing, damaged, or of another domain or other data.
    """
    stages = stages or open_stages(config)
    if not stages.parts:
        return build_domain(config, statistics)
    found = statistics or {}
    if statistics is not None and (missing := [key for key in STAGES if getattr(config, key) and key not in found]):
        raise ValueError(f"what was measured of {missing[0]} is missing")
    own = stages.statistics() if statistics is None else {k: v for k, v in found.items() if k not in STAGES}
    try:
        domain = build_domain(config, own)
    except (ValueError, LookupError, TypeError) as error:
        name, task = next(iter(stages.parts.values())).name, getattr(config, "task", "generate")
        what = "on other data than this run" if task == "generate" else f"without task={task}, or on other data"
        raise UserError(f"{name} was trained {what}: {error}.") from error
    return seen_through(config, domain, stages, found)


def seen_through(config: Config, domain: Domain, stages: Stages, found: Mapping[str, Any]) -> Domain:
    """Return a domain seen through opened runs.

    Arguments:
        config: The run's configuration.
        domain: The domain itself.
        stages: The runs.
        found: What was measured of each (`STAGES`), from a checkpoint; what is missing is measured now.
    """
    codec, inner = stages.codec, domain
    if stages.tells:
        domain = Conditioned(config, inner, stages.tells, found.get(TELL))
    if isinstance(codec, Embedder):
        return Embedded(config, domain, codec, found.get(CODEC))
    if codec is not None:
        scale = Scale.of_json(found[CODEC]) if CODEC in found else None
        return Through(config, domain, codec, scale or measure(inner, codec))
    return domain


def reconfigured(domain: Domain, config: Config) -> Domain:
    """Return a domain with the configuration after its defaults were measured, which may have another network."""
    if not isinstance(domain, Through):
        return domain
    return Through(config, domain.__wrapped__, domain.codec, domain.codec.scale)


def suited(settings: Settings, domain: Domain) -> tuple[Settings, Domain]:
    """Return the settings of a new run with the values that suit its data or codes, and its domain with these.

    Arguments:
        settings: The settings before anything was measured.
        domain: The domain that they open.
    """
    settings = with_data_defaults(settings, domain)
    return settings, reconfigured(domain, settings.config)


def open_stages(
    config: Config,
    *,
    parents: Mapping[str, Parent] | None = None,
    run: Path | None = None,
    records: Records | None = None,
    device: torch.device | None = None,
) -> Stages:
    """Return the opened runs that the domain of a configuration is seen through.

    Arguments:
        config: Configuration of the run that needs them.
        parents: The named runs by dotted key, for a new run; None: opened where the configuration says.
        run: Folder of a run with copies of them; None: a new run.
        records: What the checkpoint of that run records of the runs that it needs.
        device: Where they compute; None: the device of the configuration.
    """
    device = device or pick_device(config.device)

    def part_of(key: str, path: Path) -> Part:
        if run is not None:
            return kept_part(key, path, run, (records or {}).get(key, {}))
        parent = (parents or {}).get(key) or open_parent(key, path)
        return read_part(str(parent), parent.checkpoint)

    codec = None if config.codec is None else open_codec(part_of(CODEC, config.codec), config, device)
    tells = {name: open_pair(part_of(f"{TELL}.{name}", path), config, device) for name, path in config.tell.items()}
    return Stages(codec, tells)


def open_codec(part: Part, config: Config, device: torch.device) -> LearnedCodec | Embedder:
    """Return the codec that a part holds: that of an autoencoder, or the embedder of a pair.

    Arguments:
        part: The run of the codec.
        config: Configuration of the run that needs it.
        device: Where it computes.
    """
    own, module = open_module(part, config, device)
    if isinstance(module, Pair):
        return Embedder(module, part)
    if not isinstance(module, Encoder):
        raise UserError(f"{part.name} was trained with learn={own.learn}. A codec is a run with learn=encode or match.")
    return LearnedCodec(module, part)


def open_pair(part: Part, config: Config, device: torch.device) -> Embedder:
    """Return the embedder that a part holds; arguments as `open_codec`."""
    own, module = open_module(part, config, device)
    if not isinstance(module, Pair):
        raise UserError(f"{part.name} was trained with learn={own.learn}. It should be a run with learn=match.")
    return Embedder(module, part)


def open_module(part: Part, config: Config, device: torch.device) -> tuple[Config, torch.nn.Module | None]:
    """Return the configuration of a part and its trained module in evaluation mode; None if it is a diffusion.

    Arguments:
        part: The run.
        config: Configuration of the run that needs it.
        device: Where it computes.

    Raises:
        UserError: It is of another domain, or trains a module of another class than the built-in ones.
    """
    own = config_of_state(part.state, part.name)
    if own.domain != config.domain:
        raise UserError(f"{part.name} is a run of the domain {own.domain}, not {config.domain}.")
    process = process_of(own)
    if not provides(process, Reconstructs) and not provides(process, Embeds):
        return own, None
    with building(part.weights, part.name):
        module = process.network(own, build_domain(own, part.state["statistics"]), device)
    if not isinstance(module, Encoder | Pair):
        raise UserError(
            f"{part.name}: {written(process)} trains neither a `polydiff.encode.module.Encoder` nor a "
            "`polydiff.match.module.Pair`."
        )
    load_weights(module, part.weights, part.name)
    module.precision = "float32"  # so that a code does not depend on its batch
    warn_of_other_data(part.name, own, config)
    return own, module.eval().requires_grad_(False)


def warn_of_other_data(name: str, codec: Config, config: Config) -> None:
    """Warn if a codec was trained with other keys of `data` than the run that needs it, whose statistics it gives.

    Keys such as the size of examples (`DataConfig.incidental`) change no statistics that matter here.
    """
    theirs, ours = codec.data.model_dump(mode="json"), config.data.model_dump(mode="json")
    shared = theirs.keys() & ours.keys() - set(config.data.incidental)
    different = [f"data.{key}={value}" for key, value in theirs.items() if key in shared and ours[key] != value]
    if different:
        warnings.warn(
            f"{name} was trained with {', '.join(different)}, unlike this run, which takes the statistics of the data "
            "(scale, classes, vocabulary) from it.",
            stacklevel=2,
        )
