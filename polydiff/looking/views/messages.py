"""Messages between the nodes of a graph, such as atoms, by noise level and layer: a part of the view of attention."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from polydiff.contract.domain import Samples
from polydiff.contract.likeness import RelatesPlaces, ShowsWeights
from polydiff.looking.fragments import above_even, heat_table, layer_name, peak, table
from polydiff.looking.messages import Messages, messages, times_even
from polydiff.looking.subject import Subject
from polydiff.support.protocols import provides

MEASURED, SHOWN = 32, 6
"""Numbers of held-out examples on which shares are measured, and of receivers that are drawn."""
MESSAGES = (
    "Examples with noise, and the messages between their atoms. This network has no softmax attention: its weights may "
    "have any sign. Shown is how large the message of each atom is, as its share in all that another one receives. "
    "Discs are shares above the mean, and the number is the largest share as a multiple of it. The size of a message "
    "is what a layer passes on, not proof that the estimate depends on it."
)


def message_parts(subject: Subject, domain: ShowsWeights) -> tuple[str, dict[str, Any]]:
    """Return the messages of examples as HTML, and the weights of kinds of pairs, such as bonds, as JSON."""
    batch = subject.examples()
    examples, found = subject.decoded(batch.x, batch), messages(subject, batch)
    parts = [senders(domain, examples, found), receivers(domain, examples, found)]
    numbers: dict[str, Any] = {}
    if provides(domain, RelatesPlaces):
        batch = subject.examples(MEASURED)
        measured, kinds = messages(subject, batch), domain.relations(subject.decoded(batch.x, batch))
        factors = times_even(measured, kinds)
        parts += [related(measured.levels, factors)] if factors else []
        numbers = {
            "levels": list(measured.levels),
            "times_even": {kind: {layer: v.tolist() for layer, v in own.items()} for kind, own in factors.items()},
        }
    return "".join(parts), numbers


def senders(domain: ShowsWeights, examples: Samples, found: Messages) -> str:
    """Return how much each atom sends to all others as HTML."""
    sent = [share.sum(0) for share in found.mean()]
    drawn = domain.show_weights(examples, padded([above_even(one[None])[0] for one in sent]), list(map(times, sent)))
    return "<h3>Which atoms send most</h3><p>Mean over layers and levels.</p>" + table([""], [("", [drawn])])


def receivers(domain: ShowsWeights, examples: Samples, found: Messages) -> str:
    """Return what some atoms of the largest example receive, and one of them by level and layer, as HTML."""
    mean = found.mean()
    largest = max(range(len(mean)), key=lambda b: len(mean[b]))
    share, example = mean[largest], examples.take([largest])
    order = share.max(1).values.argsort(descending=True)[:SHOWN].tolist()  # the least even first
    several, atoms = examples.take([largest] * len(order)), torch.eye(len(share))[order]
    rows = [
        ("the atom", [domain.show_weights(several, atoms, [""] * len(order))]),
        ("receives from", [domain.show_weights(several, above_even(share[order]), list(map(times, share[order])))]),
    ]
    by_level = [
        (
            f"noise {level:.3g}",
            [weights_of(domain, example, at_level[k][largest][order[0]]) for at_level in found.shares.values()],
        )
        for k, level in enumerate(found.levels)
    ]
    return (
        "<h3>What atoms receive</h3><p>Of one example, the atoms whose messages are least even.</p>"
        + table([""], rows)
        + "<h3>The first of these atoms, by noise level and layer</h3>"
        + table([layer_name(name) for name in found.shares], by_level)
    )


def weights_of(domain: ShowsWeights, example: Samples, share: Tensor) -> str:
    """Return one example with the shares (n,) of its atoms as HTML."""
    return domain.show_weights(example, above_even(share[None]), [times(share)])


def times(share: Tensor) -> str:
    """Return the largest of shares as a multiple of their mean."""
    return f"\N{MULTIPLICATION SIGN}{peak(share):.2g}"


def related(levels: Sequence[float], factors: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Return the mean share of each kind of pairs, as multiples of an even one, as HTML."""
    kinds = list(factors)
    mean = {kind: torch.stack(list(own.values())).mean(0) for kind, own in factors.items()}
    rows = [(f"noise {level:.3g}", [float(mean[kind][k]) for kind in kinds]) for k, level in enumerate(levels)]
    first = factors[kinds[0]]
    by_layer = [(f"noise {level:.3g}", [float(v[k]) for v in first.values()]) for k, level in enumerate(levels)]
    return (
        "<h3>Messages by the bonds between atoms</h3><p>The mean share of a message as a multiple of an even one, "
        f"1 / (n - 1) of n atoms, over up to {MEASURED} held-out examples and all layers.</p>{heat_table(kinds, rows)}"
        f"<h3>{html.escape(kinds[0])}, by layer</h3>{heat_table([layer_name(name) for name in first], by_layer)}"
    )


def padded(numbers: Sequence[Tensor]) -> Tensor:
    """Return numbers (n,) of each example, padded with 0, (B, N)."""
    return pad_sequence(list(numbers), batch_first=True)
