"""Given parts of molecules: bit for bit those of the examples, whatever the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.model.model import Model
from polydiff.model.parts.given import sample_given
from polydiff.support.errors import UserError

SMALL = {
    "data.bonds": True, "data.max_heavy": 4, "backbone.hidden": 16, "backbone.layers": 1, "backbone.pair": 8,
    "backbone.vectors": 8, "sample.steps": 3, "device": "cpu",
    "coupling": {"same": 0.7, "given": 0.3, "parts": ["atoms+bonds", "positions"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    config = resolve("molecule", values=SMALL).config
    domain = MoleculeDomain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())


def values(molecule: Any, part: str) -> Any:
    """The part of a decoded molecule, as bytes."""
    found = {"positions": molecule.positions, "atoms": molecule.numbers, "bonds": molecule.bonds}[part]
    return found.tobytes()


@pytest.mark.parametrize("parts", [["positions"], ["atoms", "bonds"]])
def test_given_parts_are_kept_bit_for_bit_and_the_others_do_not_depend_on_the_batch(
    model: Model, parts: list[str]
) -> None:
    numbers = list(range(5))
    given = model.domain.batch("test", numbers, streams(0, "augment", numbers))
    before = model.domain.decode(given.x, given.space)
    made = sample_given(model, given, parts).examples
    for part in ("positions", "atoms", "bonds"):
        kept = [values(a, part) == values(b, part) for a, b in zip(before, made, strict=True)]
        assert all(kept) == (part in parts)
    for i, one in enumerate(made):
        alone = model.domain.batch("test", [i], streams(0, "augment", [i]))
        (same,) = sample_given(model, alone, parts, first=i).examples
        assert abs(same.positions - one.positions).max() < 1e-4
        assert same.numbers.tolist() == one.numbers.tolist()
        assert (same.bonds == one.bonds).all()


def test_a_combination_that_training_never_met_is_an_error_before_sampling(model: Model) -> None:
    given = model.domain.batch("test", [0, 1], streams(0, "augment", [0, 1]))
    wrong = Batch({"positions": given.x["positions"]}, given.space)  # would fail in sampling
    for parts in (["bonds"], ["positions", "atoms"]):
        with pytest.raises(UserError, match="never trained with the part"):
            sample_given(model, wrong, parts)
