"""Which stage takes the examples of which: it follows from the configurations of the stages, not from wiring.

So stages that cannot follow each other are found before any of them is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from polydiff.contract.following import Fits, NoiseAugmentation, check_level
from polydiff.contract.sections.run import Config
from polydiff.model.model import Model
from polydiff.stages.codec import CODEC
from polydiff.stages.conditioned import TELL, check_noise
from polydiff.stages.embedded import Embedded
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


class UsedPair(NamedTuple):
    """A contrastive pair that a stage names.

    Attributes:
        name: The key and its value, for messages, such as "codec=runs/pair".
        identity: What equal pairs have in common: the digest of their weights; before training, their folder.
    """

    name: str
    identity: str


@dataclass(frozen=True)
class Outline:
    """What decides which other stage a stage that generates can follow.

    Arguments:
        config: Its configuration.
        draws: The pair whose embeddings it draws; None: it draws examples of its domain.
        takes: The pairs on whose embeddings it is conditioned.
    """

    config: Config
    draws: UsedPair | None = None
    takes: Sequence[UsedPair] = ()

    @classmethod
    def of(cls, model: Model) -> Outline:
        """Return the outline of a trained stage."""

        def used(key: str) -> UsedPair:
            record = model.parents[key]
            return UsedPair(f"{key}={record['path']}", record["sha256"])

        draws = used(CODEC) if isinstance(model.domain, Embedded) else None
        return cls(model.config, draws, [used(f"{TELL}.{name}") for name in model.config.tell])

    @property
    def needs_input(self) -> bool:
        """Whether it cannot draw without examples of another form."""
        return provides(self.config, Fits) and self.config.needs_input


def links(stages: Mapping[str, Outline]) -> dict[str, str]:
    """Return, for each stage that follows another, the stage whose examples it is conditioned on.

    The examples of a stage go to one later stage, the first that they fit.

    Arguments:
        stages: Name of a stage that generates -> its outline, in order.

    Raises:
        UserError: A stage fits several earlier ones, or none though it needs one, or its examples go nowhere; the
            message gives the reason for each pair of stages.
    """
    names, found = list(stages), dict[str, str]()
    reasons: dict[tuple[str, str], str] = {}
    for place, (name, stage) in enumerate(stages.items()):
        free = [other for other in names[:place] if other not in found.values()]
        misfits = {other: misfit(stage, stages[other]) for other in free}
        reasons |= {(name, other): reason for other, reason in misfits.items() if reason}
        fitting = [other for other, reason in misfits.items() if reason is None]
        if len(fitting) > 1:
            raise UserError(
                f"Stage {name} fits the examples of several earlier stages, {', '.join(fitting)}. Keep one."
            )
        if stage.needs_input and not fitting:
            why = sentences({(name, other): reasons[name, other] for other in free}) or "None comes before it."
            raise UserError(f"Stage {name} needs the examples of an earlier stage. {why}")
        if fitting:
            found[name] = fitting[0]
    for name in names[:-1]:
        if name not in found.values():
            why = sentences({pair: reason for pair, reason in reasons.items() if pair[1] == name})
            raise UserError(f"No later stage takes the examples of stage {name}. {why}")
    return found


def misfit(stage: Outline, earlier: Outline) -> str | None:
    """Return why a stage cannot be conditioned on the examples of another; None if it can."""
    config = stage.config
    if stage.draws:
        return "it draws embeddings, which are conditioned on no examples"
    if earlier.draws:
        return misfit_of_embeddings(stage, earlier.draws)
    if stage.takes and not stage.needs_input:
        if earlier.config.domain == config.domain:
            return None
        return f"it embeds examples of the domain {config.domain}, not {earlier.config.domain}"
    return config.misfit(earlier.config) if provides(config, Fits) else "it follows no other stage"


def misfit_of_embeddings(stage: Outline, drawn: UsedPair) -> str | None:
    """Return why a stage cannot be conditioned on embeddings of a pair that another stage draws; None if it can."""
    if any(pair.identity == drawn.identity for pair in stage.takes):
        return None
    if not stage.takes:
        return f"it is not conditioned on embeddings (tell.NAME), and the earlier stage draws those of {drawn.name}"
    ours = ", ".join(pair.name for pair in stage.takes)
    return (
        f"it is conditioned on embeddings of {ours}, and the earlier stage draws those of {drawn.name}, which has "
        "other weights"
    )


def check_level_of(level: float, stage: Outline, earlier: Outline) -> None:
    """Raise UserError unless a stage is trained with noise of this level on the examples of the one that it follows.

    Arguments:
        level: Standard deviation of the noise.
        stage: The stage.
        earlier: The one that it follows.
    """
    if earlier.draws or not stage.needs_input:
        check_noise(level, stage.config)
    elif provides(stage.config, Fits):
        noise = stage.config.input_noise
        check_level(level, noise and NoiseAugmentation(*noise))


def sentences(reasons: Mapping[tuple[str, str], str]) -> str:
    """Return the reasons why stages cannot follow others, (stage, other) -> reason, as sentences."""
    return " ".join(f"{stage} cannot follow {other}: {reason}." for (stage, other), reason in reasons.items())
