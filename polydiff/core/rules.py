"""Rules: what a sampler, a loss or another registered choice requires of the rest of a configuration.

Rules are stated where the choice is defined. A class has them as its attribute `rules`; a function gets them from a
decorator:

    @SAMPLERS.register("mine")
    @rules(Rule("backbone.step_size", (True,), "needs a network that receives step sizes."))
    def mine(levels): ...

`polydiff.gaussian.process.checks` checks the rules of all choices in a configuration.
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
    """A requirement of a choice on another key of the configuration.

    Arguments:
        key: Dotted key.
        values: Values that the key may have; with `excludes`, values that it must not have.
        why: Rest of the message after the choice, such as "needs D(x, 0) = x. Use target=edm.".
        excludes: Whether the key must have none of the values, rather than one of them.
        when: Dotted keys and the values that all of them must have for the rule to apply; {}: it always applies.
    """

    key: str
    values: Sequence[Any]
    why: str
    excludes: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def check(self, choice: str, config: Mapping[str, Any]) -> None:
        """Raise UserError if a configuration breaks this rule.

        Arguments:
            choice: The choice that has the rule, such as "loss.objective=ect".
            config: Every value, as nested mappings.
        """
        holds = all(get_dotted(config, key) == value for key, value in self.when.items())
        if holds and (get_dotted(config, self.key) in self.values) == self.excludes:
            raise UserError(f"{choice} {self.why}")


def rules(*rules: Rule) -> Callable[[T], T]:
    """Return a decorator that sets the rules of a function as its attribute `rules`."""

    def attach(function: T) -> T:
        function.rules = rules  # type: ignore[attr-defined]
        return function

    return attach


def rules_of(choice: object) -> Sequence[Rule]:
    """Return the rules of a registered class, function or other value; () if it has none."""
    found: Sequence[Rule] = getattr(choice, "rules", ())
    return found
