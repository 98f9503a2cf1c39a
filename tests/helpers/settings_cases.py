"""Helpers for tests of settings: resolving words, and a strategy for values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from polydiff.config.merge import Settings, resolve


def resolve_words(*words: str, domain: str | None = "ring", **more: Any) -> Settings:
    """Resolve settings from command-line words such as train.steps=3."""
    return resolve(domain, words=dict(word.split("=", 1) for word in words), **more)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=6,
)
