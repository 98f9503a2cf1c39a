"""Checks of a configuration before any work: what every process needs, and what its own process needs.

Importing this module does not import torch, so that help and messages come at once.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from pathlib import Path

from polydiff.config.merge import Settings, resolve
from polydiff.config.processes import DENOISE, check_used, process_of
from polydiff.contract.backbone import BackboneSpec
from polydiff.contract.discover import discover
from polydiff.contract.names import check_chosen
from polydiff.contract.sections.run import Config
from polydiff.hub.names import on_hub
from polydiff.model.sample_section import check_guided
from polydiff.support.errors import UserError, shortened
from polydiff.support.nested import get_dotted
from polydiff.tracking.spec import check_trackers


def check_config(config: Config, coming: Collection[Path] = ()) -> None:
    """Raise a `UserError` unless everything that a configuration names exists, works and fits together.

    Arguments:
        config: The configuration.
        coming: Runs that will exist when this one begins.
    """
    from polydiff.training.optimizers import OPTIMIZERS

    check_chosen(config.model_dump(), {"optim.name": OPTIMIZERS})
    process_of(config).check(config)
    check_guided(config.sample, ("guide", "negative"))
    check_parents(config, coming)
    check_strategy(config)
    check_trackers(config.track, config.track_options)
    if config.train.codes == "cache" and config.codec is None:
        raise UserError(
            "train.codes=cache keeps the codes of a codec, and this run has none. Leave it out, or set codec."
        )


def check_settings(settings: Settings, coming: Collection[Path] = ()) -> None:
    """Check a new run's configuration as `check_config` does, and that the keys that the user set have an effect."""
    config = settings.config
    check_config(config, coming)
    usual = resolve(config.domain, config.preset, values={"learn": config.learn}).config.model_dump(mode="json")
    of_objective = f"objective {config.loss.objective}"  # what the objective brings with it is not the user's
    set_by_user = {
        key: get_dotted(settings.user_values, key)
        for key, source in settings.provenance.items()
        if source != of_objective
    }
    keys = [  # {}: options of another name; a file such as config.resolved.yaml also holds the usual values
        key for key, value in set_by_user.items() if value not in (None, {}) and value != get_dotted(usual, key)
    ]
    check_used(config, keys)
    check_effect(config, keys)


def check_effect(config: Config, keys: Collection[str]) -> None:
    """Raise UserError if a key that the user has set has no effect because of the value of another one.

    Arguments:
        config: The configuration.
        keys: Dotted keys that the user has set.
    """
    if "encode.kl" in keys and config.encode.bits is not None:
        raise UserError(
            f"encode.kl has no effect beside encode.bits={config.encode.bits:g}, which replaces it. Leave one of them "
            "out."
        )
    if "tell_noise" in keys and not config.tell:
        raise UserError(
            "tell_noise is noise on the embeddings of tell, which is not set. Leave it out, or set tell.NAME=PAIR."
        )


def check_strategy(config: Config) -> None:
    """Raise UserError if processes cannot divide the weights of the network that `launch.strategy` divides."""
    if config.launch.strategy == "ddp":
        return
    able = [found.name for found in discover(BackboneSpec) if found.spec and found.spec.units]
    if config.learn != DENOISE or config.backbone.name not in able:
        what = f"learn={config.learn}" if config.learn != DENOISE else f"backbone.name={config.backbone.name}"
        raise UserError(
            f"launch.strategy={config.launch.strategy} divides the weights of a denoiser whose backbone names the "
            f"units in which they are gathered, which {what} does not. Set launch.strategy=ddp, or take "
            f"{' or '.join(able)}."
        )


def check_parents(config: Config, coming: Collection[Path] = ()) -> None:
    """Raise `UserError` if a run that the configuration names does not exist, and is not one that is coming."""
    from polydiff.run.parents import parents_of

    for key, path in parents_of(config).items():
        if path not in coming and not on_hub(path) and not is_folder(path):
            raise UserError(f"{key}={shortened(str(path))}: there is no such run or checkpoint.")


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder; a name that is too long for the file system is not."""
    try:
        return path.is_dir()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False
