"""Odd configurations: refused with code 2 and a message that names the key, soon and without a traceback.

A mutated configuration may be right by chance. It is then resolved and checked as any other; nothing but UserError is
raised. Sizes that no memory has are refused by `--dry-run` before anything is allocated; sizes of data that are made
where they are read cost as little as others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from children import check_refused, run_child
from odd_configs import BY_HAND, GIANTS, ODD, ON_DEMAND, mutated_text
from trial import Trial, chance_of, kind, user_error, workplace

from polydiff.cli import main
from polydiff.config.keys import leaves
from polydiff.config.merge import Settings, resolve
from polydiff.config.saved import resolved_text
from polydiff.support.yaml_text import dump_yaml
from polydiff.training.checks import check_settings

TRIALS = {"push": (60, 12, 3), "nightly": (500, 80, 20), "release": (2_000, 80, 20)}
"""Largest numbers of mutations, of configurations by hand, and of giants."""
DOMAINS = ("image", "audio", "molecule", "sequence")
SECONDS, GIANT_SECONDS, MEMORY = 2.0, 20.0, 1500.0
"""Processor time of a verdict, that of a giant with its data, and MiB that the latter may take."""


@cache
def settings_of(domain: str) -> Settings:
    return resolve(domain)


def mutate(seed: int) -> None:
    """Put an odd value at a key of a configuration, or mutate its text, and check it."""
    chance = chance_of("configs", seed)
    domain = chance.choice(DOMAINS)
    settings = settings_of(domain)
    with workplace() as folder:
        path, key = folder / "odd.yaml", ""
        if seed % 2:
            path.write_text(mutated_text(resolved_text(settings.config, {}), chance), errors="surrogatepass")
        else:
            key = chance.choice(sorted(leaves(type(settings.config))))
            path.write_text(dump_yaml(nested(key, chance.choice(ODD)), {}), errors="surrogatepass")
        error = user_error(lambda: check_settings(resolve(domain, files=[path])))
    if error is not None:
        named = any(part in error.lower() for part in key.split("."))
        assert named, f"{key}: the message names no part of it: {error[:300]}"
        assert len(error) < 20_000, f"a message of {len(error)} letters: {error[:200]}"


def nested(key: str, value: Any) -> dict[str, Any]:
    """Return a value at a dotted key, as sections."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def by_hand(words: list[str], named: str) -> None:
    """Train with a configuration that is wrong."""
    main(["config", "show", "--domain", "image"])  # imports are done before the fork
    with workplace() as folder:
        ended = run_child(lambda: main(["train", "--domain", "image", *words, "-o", str(folder / "run")]), wait=30)
        assert not (folder / "run").exists(), "a folder was written"
    check_refused(ended, named)
    assert ended.seconds < SECONDS, f"a verdict after {ended.seconds:.1f} s"


def giant(domain: str, words: list[str]) -> None:
    """Let the program say what a run costs that no memory has room for."""
    ended = run_child(lambda: main(["train", "--domain", domain, "--dry-run", *words]), wait=200)
    check_refused(ended, words[0].partition("=")[0])
    assert ended.seconds < GIANT_SECONDS, f"a verdict after {ended.seconds:.1f} s"
    assert ended.risen < MEMORY, f"{ended.risen:.0f} MiB"


def on_demand(domain: str, words: list[str]) -> None:
    """Let the program say what a run costs whose many examples are made on demand."""
    ended = run_child(lambda: main(["train", "--domain", domain, "--dry-run", *words]), wait=200)
    assert ended.code == 0, f"it returned {ended.result}, code {ended.code}: {ended.err[-300:]}"
    assert ended.risen < MEMORY, f"{ended.risen:.0f} MiB"


@kind("configs")
def trials(tier: str) -> Iterator[Trial]:
    mutations, hand, giants = TRIALS[tier]
    for seed in range(mutations):
        yield Trial("configs", f"mutation {seed}", seed, partial(mutate, seed))
    for seed, (words, named) in thinned(BY_HAND, hand):
        yield Trial("configs", f"by hand: {' '.join(words)[:60]}", seed, partial(by_hand, words, named))
    for seed, (domain, words) in thinned(GIANTS, giants):
        yield Trial("configs", f"giant: {domain} {' '.join(words)}", seed, partial(giant, domain, words))
    for seed, (domain, words) in enumerate(ON_DEMAND):
        yield Trial("configs", f"on demand: {domain} {' '.join(words)}", seed, partial(on_demand, domain, words))


def thinned(cases: list[Any], most: int) -> Iterator[tuple[int, Any]]:
    """Return at most about so many cases, spread over the list, with their numbers."""
    return itertools.islice(enumerate(cases), 0, None, max(1, len(cases) // most))
