"""What is looked at: a model, the conditions that are requested, and examples that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polydiff.config.processes import has_noise_levels, states_of
from polydiff.contract.domain import Samples
from polydiff.core.parts.product import WHOLE, as_parts, as_product, as_state
from polydiff.core.process.abilities import Estimates
from polydiff.core.process.process import lacks
from polydiff.core.space import Batch, State
from polydiff.core.streams import streams
from polydiff.looking.errors import Unseen, unseen_error
from polydiff.model.edit import held_out, numbers_from, read
from polydiff.model.model import Model
from polydiff.model.prompted import SHOWN, shown_request
from polydiff.model.request import Request
from polydiff.model.user_conditions import edited_conditions
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

EXAMPLES, LEVELS = 4, 8
"""Numbers of examples, and of noise levels, that a view shows."""
MEANT = 256
"""Number of training examples whose mean is that of the data."""


def level_name(model: Model) -> str:
    """Return what the levels of a model are called: "noise", or of letters "level", the share that is lost.

    Those of states of several parts are the levels of the first part.
    """
    return "noise" if has_noise_levels(model.config) else "level"


class Unable(UserError):
    """A view that a model cannot have, since its process, its domain or its network lacks an ability."""


@dataclass(frozen=True)
class Subject:
    """What the views look at.

    Arguments:
        model: The model.
        cond: Requested conditions, as in `Model.sample`; {}: those of samples as in training.
        files: The user's own examples; (): held-out ones.
        seed: Random seed.
        sampling: Changes of the configuration's section `sample`.
        thorough: Whether the views are for a page of their own, with films, and numbers over more examples.
    """

    model: Model
    cond: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Path] = ()
    seed: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    thorough: bool = False

    def request(self, n: int = SHOWN, **sampling: Any) -> tuple[Request, int]:
        """Return a request for samples to look at, and their number, at most n (`polydiff.model.prompted`).

        Arguments:
            n: Number of samples.
            sampling: Further changes of the section `sample`.
        """
        request = self.model.request(self.cond, **{**self.sampling, **sampling})
        return (request, n) if self.cond else shown_request(request, n)

    def examples(self, n: int = EXAMPLES) -> Batch:
        """Return the user's examples, or n held-out ones, as clean states with their conditions.

        Requested conditions take the place of their own. Of held-out examples there may be fewer.
        """
        batch = read(self.model, self.files) if self.files else self.held_out(n)
        numbers = numbers_from(0, batch)
        return batch._replace(cond=edited_conditions(self.model, batch, self.cond, self.seed, numbers))

    def repeated(self, n: int) -> Batch:
        """Return the first example n times, as clean states with its conditions.

        Raises:
            UserError: The first file holds several examples.
        """
        domain = self.model.domain
        batch = (
            read(self.model, [self.files[0]] * n)
            if self.files
            else domain.batch("test", [0] * n, streams(0, "augment", [0] * n))
        )
        if batch.space.batch != n:
            raise UserError(f"{self.files[0]} holds several examples. Name a file with one.")
        return batch._replace(cond=edited_conditions(self.model, batch, self.cond, self.seed, range(n)))

    def held_out(self, n: int) -> Batch:
        """Return n held-out examples as clean states with their own conditions; fewer if there are fewer."""
        parts = held_out(self.model, n)
        if not parts:
            raise UserError("There are no held-out examples. Name files of your own.")
        return parts[0]

    @property
    def estimates(self) -> Estimates:
        """The process, if it estimates clean states in one step; else `Unable` is raised."""
        if not provides(self.model.process, Estimates):
            raise Unable(str(lacks(self.model.process, "estimate clean states by one call of the network")))
        return self.model.process

    @property
    def estimates_of_one_part(self) -> Estimates:
        """The process, if its estimates are one tensor of real numbers or letters; else `Unable` is raised."""
        process, states = self.estimates, states_of(self.model.config)
        if states not in ("real", "letters"):
            kind = "several parts" if states == "parts" else f"points of a {states}"
            raise Unable(f"This view compares states of real numbers or of letters. Those of this model are {kind}.")
        return process

    def decoded(self, x: State, batch: Batch) -> Samples:
        """Return states (B, ...) of the space of a batch as examples, without conditions."""
        x = as_state({name: part.detach().cpu() for name, part in as_parts(x).items()})
        return Samples(self.model.domain.decode(x, batch.space.to("cpu")))

    def unseen(self, batch: Batch) -> Mapping[str, Unseen]:
        """Return what training examples say about a batch without seeing it: name of a part -> `Unseen`."""
        domain = self.model.domain
        n = min(MEANT, size := domain.size("train"))
        numbers = [i * size // n for i in range(n)]
        known = domain.batch("train", numbers, streams(0, "augment", numbers)).to(batch.space.dim.device)
        examples, among = as_parts(known.x), as_product(known.space).parts
        states, spaces = as_parts(batch.x), as_product(batch.space).parts
        return {name: Unseen.of(examples[name], among[name], x.shape, spaces[name]) for name, x in states.items()}

    def data_mean(self, batch: Batch) -> State:
        """Return the mean of training examples, or the commonest letters, as a state that broadcasts against a batch's.

        It is 0, the mean of standardised states, if examples differ in size.
        """
        return self.unseen(batch)[WHOLE].centre

    def deviations(self, batch: Batch) -> Mapping[str, float]:
        """Return name of a part -> mean squared distance of examples from what is known without them (`Unseen`).

        Parts whose distance is 0 are left out: nothing can be measured relative to it.

        Raises:
            Unable: No part is left.
        """
        unseen, spaces = self.unseen(batch), as_product(batch.space).parts
        errors = {name: unseen_error(x, unseen[name], spaces[name]) for name, x in as_parts(batch.x).items()}
        found = {name: value for name, error in errors.items() if (value := float(error.mean()))}
        if not found:
            raise Unable("The examples do not differ from the mean of the data, or consist of its commonest letters.")
        return found

    def noise_streams(self, batch: Batch, name: str = "look") -> Any:
        """Return the random streams of the noise on given examples, one each, on the model's device."""
        return streams(self.seed, name, range(batch.space.batch), self.model.device)
