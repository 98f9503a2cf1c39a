"""Which stage takes the examples of which: it follows from what the stages' domains fit, not from wiring."""

from __future__ import annotations

from collections.abc import Mapping

from polydiff.contract.domain import Domain
from polydiff.contract.following import Follows
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


def links(domains: Mapping[str, Domain]) -> dict[str, str]:
    """Return, for each stage that follows another, the stage whose examples it is conditioned on.

    Arguments:
        domains: Name of a stage that generates -> its domain, in order.

    Raises:
        UserError: A stage follows none or several of the earlier ones, or its examples go nowhere; the message gives
            the reason for each pair of stages.
    """
    names, found, reasons = list(domains), dict[str, str](), list[str]()
    for place, (name, domain) in enumerate(domains.items()):
        if not provides(domain, Follows):
            continue
        misfits = {other: domain.misfit(domains[other]) for other in names[:place]}
        fitting = [other for other, reason in misfits.items() if reason is None]
        reasons += [f"{name} cannot follow {other}: {reason}" for other, reason in misfits.items() if reason]
        if not fitting:
            why = "; ".join(reason for reason in reasons if reason.startswith(f"{name} cannot"))
            raise UserError(
                f"Stage {name} needs the examples of an earlier stage. {why or 'No stage comes before it'}."
            )
        if len(fitting) > 1:
            raise UserError(
                f"Stage {name} fits the examples of several earlier stages: {', '.join(fitting)}. Keep one of them."
            )
        found[name] = fitting[0]
    for name in names[:-1]:
        if name not in found.values():
            tried = [reason for reason in reasons if f"cannot follow {name}:" in reason]
            raise UserError(
                f"No later stage takes the examples of stage {name}. {'; '.join(tried) or 'None follows another'}."
            )
    return found
