"""The configurations of a pipeline's stages: each is that of an ordinary run.

Layers, from weak to strong: defaults < preset < `common` < the stage < keys of the command line < `--stage NAME.key`.
Keys of `common`, and keys of the command line without a stage, go to every stage that uses them, and to at least one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from polydiff.config.keys import CommandLineValue, kinds, leaves, unknown_key
from polydiff.config.layers import Layer, last
from polydiff.config.merge import COMMAND_LINE, Settings, resolve_layers
from polydiff.config.processes import check_used, process_of
from polydiff.contract.sections.base import NamesRun, is_marked
from polydiff.contract.sections.run import Config
from polydiff.core.process.sampling import Generates
from polydiff.hub.names import on_hub
from polydiff.model.sample_section import section
from polydiff.pipeline.file import CHOICE, Pipeline, from_folder
from polydiff.run.parents import parents_of
from polydiff.support.errors import UserError, nearest, unknown
from polydiff.support.nested import get_dotted, get_nested
from polydiff.support.protocols import provides
from polydiff.training.checks import check_effect, check_settings

CHOICES = ("preset", "learn", "codec", "process", "backbone.name", "loss.objective")
"""Keys on whose values the keys of a configuration, or their use, depend."""


@dataclass(frozen=True)
class Words:
    """Keys of the command line.

    Arguments:
        every: Dotted key -> text, for all stages that use the key.
        own: Name of a stage -> dotted key -> text.
    """

    every: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]]


NO_WORDS = Words({}, {})


class Named(NamedTuple):
    """A run that a stage names.

    Attributes:
        key: Dotted key.
        path: Absolute folder of the run.
        stage: Name of the earlier stage that it is; "": none.
    """

    key: str
    path: Path
    stage: str = ""


def stage_settings(
    pipeline: Pipeline, runs: Mapping[str, Path], words: Words = NO_WORDS, only: Collection[str] | None = None
) -> tuple[dict[str, Settings], Pipeline]:
    """Return the settings of each stage that the pipeline trains, and the pipeline with the words as its keys.

    Arguments:
        pipeline: The pipeline.
        runs: Name of a stage -> absolute folder of its run.
        words: Keys of the command line.
        only: Names of the stages whose settings are needed; None: all that the pipeline trains.

    Raises:
        UserError: A key or a value is wrong, or names a run that is neither an earlier stage nor there.
    """
    for name in words.own:
        check_trained(pipeline, name)
    found: dict[str, Settings] = {}
    unused: list[dict[str, str]] = []
    kept = pipeline
    for name in (name for name, stage in pipeline.stages.items() if stage.run is None) if only is None else only:
        try:
            layers, left_out = layers_of(pipeline, name, words)
            names = named_runs(pipeline, name, layers, runs)
            settings = resolve_layers(with_runs(layers, names))
            coming = {runs[other] for other in pipeline.earlier(name) if pipeline.stages[other].run is None}
            check_settings(settings, coming)
        except UserError as error:
            raise UserError(f"{pipeline.source}: stage {name}: {error}") from error
        if only is None:
            try:
                check_sampling(pipeline.sample.get(name, {}), settings.config)
            except UserError as error:
                raise UserError(f"{pipeline.source}: sample.{name}: {error}") from error
        found[name] = settings
        unused.append(left_out)
        kept = kept.with_values(name, kept_values(layers, settings, names))
    if len(found) == len(pipeline.stages) and not any(map(generates, found.values())):
        raise UserError(f"{pipeline.source}: no stage generates samples: {', '.join(found)}. Train a single one alone.")
    for key in unused[0] if unused and only is None else ():
        if all(key in one for one in unused):
            own = f" A key of one stage: --stage {key}=VALUE." if key.partition(".")[0] in pipeline.stages else ""
            raise UserError(f"{pipeline.source}: no stage uses {key}: {unused[0][key]}{own}")
    return found, kept


def generates(settings: Settings) -> bool:
    """Return whether a stage with these settings draws examples."""
    return provides(process_of(settings.config), Generates)


def check_sampling(how: Mapping[str, Any], config: Config) -> None:
    """Raise UserError if a stage that is still to be trained cannot sample as the file says.

    Arguments:
        how: Keys of the section `sample` with level, keep and of.
        config: Configuration of the stage.
    """
    process = process_of(config)
    if how and not provides(process, Generates):
        raise UserError("The stage generates no samples, so it takes no keys of sampling. Leave them out.")
    changed = section(config, {key: value for key, value in how.items() if key not in CHOICE})
    process.check(config.model_copy(update={"sample": changed}))


def check_trained(pipeline: Pipeline, name: str) -> None:
    """Raise UserError unless a stage exists and is trained by the pipeline."""
    if name not in pipeline.stages:
        raise unknown("stage", name, pipeline.stages)
    if pipeline.stages[name].run is not None:
        raise UserError(f"Stage {name} is a run that exists, {pipeline.stages[name].run}. It is not trained again.")


def layers_of(pipeline: Pipeline, name: str, words: Words) -> tuple[list[Layer], dict[str, str]]:
    """Return the layers of a stage above its preset, and the keys that it does not use with the reasons.

    Arguments:
        pipeline: The pipeline.
        name: Name of the stage.
        words: Keys of the command line.
    """
    common = Layer(f"{pipeline.source}, common", pipeline.common)
    own = Layer(f"{pipeline.source}, stages.{name}", pipeline.stages[name].values)
    typed = [
        Layer(COMMAND_LINE, {key: CommandLineValue(value) for key, value in given.items()})
        for given in (words.every, words.own.get(name, {}))
    ]
    domain = Layer(pipeline.source, {"domain": pipeline.domain})
    if (other := last([domain, common, own, *typed], "domain")) != pipeline.domain:
        raise UserError(
            f"domain={other}: all stages of a pipeline are of one domain, here {pipeline.domain}. Leave this key out."
        )
    chosen = {key: value for key in CHOICES if (value := last([common, own, *typed], key)) is not None}
    bare = resolve_layers([domain, Layer("", chosen), own, typed[1]])
    left_out: dict[str, str] = {}
    shared = [Layer(layer.source, dict(used(layer, bare, left_out))) for layer in (common, typed[0])]
    placed = [with_paths(layer, bare, pipeline.folder) for layer in (shared[0], own)]
    return [domain, *placed, shared[1], typed[1]], left_out


def used(layer: Layer, bare: Settings, left_out: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of a layer that a stage uses, with their values.

    Arguments:
        layer: Nested or dotted keys of all stages.
        bare: Settings of the stage without them.
        left_out: Receives the other keys, with the reasons why they are not used.
    """
    fields: Mapping[str, Any] = bare.provenance
    for key, value in flat(layer.values, fields):
        if key not in fields and key.rpartition(".")[0] not in fields:
            left_out[key] = unknown_key(key, layer.source, fields)
            continue
        try:
            check_used(bare.config, [key])
            check_effect(bare.config, [key])
        except UserError as error:
            left_out[key] = str(error)
        else:
            yield key, value


def flat(values: Mapping[str, Any], fields: Collection[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of nested or dotted keys with their values; a key in `fields` is not taken apart."""
    for name, value in values.items():
        key = prefix + str(name).replace("-", "_")
        if isinstance(value, Mapping) and key not in fields:
            yield from flat(value, fields, f"{key}.")
        else:
            yield key, value


def with_paths(layer: Layer, bare: Settings, folder: Path) -> Layer:
    """Return a layer of the file with absolute paths of data; those that may name a run are left to `named_runs`.

    Arguments:
        layer: Nested or dotted keys.
        bare: Settings of the stage, by which keys are known to be paths.
        folder: What relative paths are relative to.
    """
    fields = leaves(type(bare.config))
    for key, field in fields.items():
        value = get_dotted(layer.values, key)
        if isinstance(value, str) and Path in kinds(field.annotation) and not is_marked(field, NamesRun):
            place = str((folder / Path(value).expanduser()).absolute())
            layer = layer._replace(values=replaced(layer.values, key, place))
    return layer


def named_runs(pipeline: Pipeline, name: str, layers: Sequence[Layer], runs: Mapping[str, Path]) -> list[Named]:
    """Return the runs that a stage names.

    Arguments:
        pipeline: The pipeline.
        name: Name of the stage.
        layers: Its layers above the preset.
        runs: Name of a stage -> absolute folder of its run.
    """
    settings, found = resolve_layers(layers), list[Named]()
    for key, path in parents_of(settings.config).items():
        value = last(layers, key)
        if value is None:  # from a default or a preset
            continue
        earlier, typed = pipeline.earlier(name), isinstance(value, CommandLineValue)
        if value in earlier:
            found.append(Named(key, runs[value], str(value)))
        elif value in pipeline.stages:
            where = "this is the stage itself" if value == name else "this stage comes later"
            raise UserError(
                f"{key}={value}: {where}. A stage may name those before it: {', '.join(earlier) or 'none'}."
            )
        else:
            place = path if typed else from_folder(pipeline.folder, value)
            if not (on_hub(place) or place.is_dir()):
                near = nearest(str(value), earlier)
                hint = f" Did you mean {near!r}?" if near else ""
                raise UserError(
                    f"{key}={value}: there is no such run, and no earlier stage of this name.{hint} "
                    f"Earlier stages: {', '.join(earlier) or 'none'}."
                )
            found.append(Named(key, place))
    return found


def kept_values(layers: Sequence[Layer], settings: Settings, named: Sequence[Named]) -> dict[str, Any]:
    """Return what the kept file has beside the stage's own keys: those of the command line, and paths made absolute.

    Arguments:
        layers: Layers of the stage, those of the command line the last two.
        settings: Its settings.
        named: Runs that it names, from `named_runs`.
    """
    typed = dict.fromkeys(key for layer in layers[-2:] for key in layer.values)
    given = {key for layer in layers for key in settings.provenance if get_dotted(layer.values, key) is not None}
    typed |= dict.fromkeys(key for key in settings.provenance if key in given and is_path(settings, key))
    values = {key: get_dotted(settings.user_values, key) for key in typed}
    return values | {one.key: one.stage or str(one.path) for one in named}


def is_path(settings: Settings, key: str) -> bool:
    """Return whether the value of a dotted key is a path."""
    return isinstance(get_nested(settings.config.model_dump(), key), Path)


def with_runs(layers: Sequence[Layer], named: Sequence[Named]) -> list[Layer]:
    """Return layers with the folders of runs in place of their names, each in the layer that names it.

    A key that names a run may bring defaults with it, which lie just below its own layer.
    """
    made = list(layers)
    for key, path, _ in named:
        place = max(i for i, layer in enumerate(made) if get_dotted(layer.values, key) is not None)
        made[place] = made[place]._replace(values=replaced(made[place].values, key, str(path)))
    return made


def replaced(values: Mapping[str, Any], key: str, value: str) -> dict[str, Any]:
    """Return nested or dotted keys and their values with another value of a dotted key that they have."""
    if key in values:
        return {**values, key: value}
    head, _, rest = key.partition(".")
    return {**values, head: replaced(values[head], rest, value)}
