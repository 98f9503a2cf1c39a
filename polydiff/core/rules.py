"""Rules: what a registered thing needs of the rest of a configuration, stated where the thing is defined.

A class has them as its attribute `rules`; a function gets them by a decorator:

    @SAMPLERS.register("mine")
    @rules(Rule("backbone.step_size", (True,), "needs a network that receives step sizes."))
    def mine(levels): ...

`polydiff.gaussian.process.checks` checks the rules of everything that a configuration chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from polydiff.support.errors import UserError
from polydiff.support.nested import get_dotted

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Rule:
    """What a choice needs of another key of the configuration.

    Arguments:
        key: Dotted key.
        values: The values that it needs; of `excludes`, those that it cannot stand.
        why: What follows the choice in the message, such as "needs D(x, 0) = x. Use target=edm.".
        excludes: Whether the key must have none of the values, rather than one of them.
        when: Dotted keys and the values at which the rule holds; {}: always.
    """

    key: str
    values: Sequence[Any]
    why: str
    excludes: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def check(self, choice: str, config: Mapping[str, Any]) -> None:
        """Raise a `UserError` if a configuration breaks this rule.

        Arguments:
            choice: What has the rule, such as "loss.objective=ect".
            config: Every value, as nested mappings.
        """
        holds = all(get_dotted(config, key) == value for key, value in self.when.items())
        if holds and (get_dotted(config, self.key) in self.values) == self.excludes:
            raise UserError(f"{choice} {self.why}")


def rules(*rules: Rule) -> Callable[[T], T]:
    """Return a decorator that gives a function its rules."""

    def attach(thing: T) -> T:
        thing.rules = rules  # type: ignore[attr-defined]
        return thing

    return attach


def rules_of(thing: object) -> Sequence[Rule]:
    """Return the rules of a registered thing."""
    found: Sequence[Rule] = getattr(thing, "rules", ())
    return found
