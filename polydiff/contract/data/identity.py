"""What the examples of a run were: digests that checkpoints keep, so that a resumed run sees that its data changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from polydiff.contract.abilities import HasIdentity
from polydiff.support.protocols import provides


def digest_of(parts: Iterable[str]) -> str:
    """Return a digest of texts in their order."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", errors="surrogatepass")
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def identity(examples: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the identity of examples that have names and contents, as JSON.

    Arguments:
        examples: Name of each, and a digest of its content with its conditions, in the order of their numbers.
    """
    known = list(examples)
    return {
        "count": len(known),
        "names": digest_of(sorted(name for name, _ in known)),
        "contents": digest_of(sorted(content for _, content in known)),
        "order": digest_of(part for pair in known for part in pair),
    }


def embedded_identity(name: str, count: int) -> dict[str, Any]:
    """Return the identity of data that come with a package, or that are computed: their name and number."""
    return {"count": count, "names": digest_of([name])}


def identity_of(domain: object) -> dict[str, Any] | None:
    """Return the identity of a domain's training examples; None if the domain does not tell."""
    return dict(domain.identity("train")) if provides(domain, HasIdentity) else None


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, in words; [] if nothing does."""
    found = []
    if before["count"] != now["count"]:
        found.append(f"their number ({now['count']:,}, not {before['count']:,})")
    both = [key for key in ("names", "contents", "order") if key in before and key in now]
    found += [f"their {key}" for key in both[:2] if before[key] != now[key]]
    if not found and any(before[key] != now[key] for key in both):
        found.append("their order, or which name has which content")
    return found
