"""Which stage takes the examples of which: it follows from what the stages' domains fit, not from wiring."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from polydiff.contract.domain import Domain
from polydiff.contract.following import Follows
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def links(domains: Mapping[str, Domain], needy: Collection[str] = ()) -> dict[str, str]:
    """Return, for each stage that follows another, the stage whose examples it is conditioned on.

    The examples of a stage go to one later stage, the first that they fit.

    Arguments:
        domains: Name of a stage that generates -> its domain, in order.
        needy: Names of stages that cannot draw without the examples of another one.

    Raises:
        UserError: A stage fits several earlier ones, or none though it needs one, or its examples go nowhere; the
            message gives the reason for each pair of stages.
    """
    names, found = list(domains), dict[str, str]()
    reasons: dict[tuple[str, str], str] = {}
    for place, (name, domain) in enumerate(domains.items()):
        free = [other for other in names[:place] if other not in found.values()]
        misfits = {other: why_not(domain, domains[other]) for other in free}
        reasons |= {(name, other): reason for other, reason in misfits.items() if reason}
        fitting = [other for other, reason in misfits.items() if reason is None]
        if len(fitting) > 1:
            raise UserError(
                f"Stage {name} fits the examples of several earlier stages, {', '.join(fitting)}. Keep one."
            )
        if name in needy and not fitting:
            why = sentences({(name, other): reasons[name, other] for other in free}) or "None comes before it."
            raise UserError(f"Stage {name} needs the examples of an earlier stage. {why}")
        if fitting:
            found[name] = fitting[0]
    for name in names[:-1]:
        if name not in found.values():
            why = sentences({pair: reason for pair, reason in reasons.items() if pair[1] == name})
            raise UserError(f"No later stage takes the examples of stage {name}. {why}")
    return found


def why_not(domain: Domain, earlier: Domain) -> str | None:
    """Return why a domain cannot follow another; None if it can."""
    return domain.misfit(earlier) if provides(domain, Follows) else "it follows no other stage"


def sentences(reasons: Mapping[tuple[str, str], str]) -> str:
    """Return the reasons why stages cannot follow others, (stage, other) -> reason, as sentences."""
    return " ".join(f"{stage} cannot follow {other}: {reason}." for (stage, other), reason in reasons.items())
