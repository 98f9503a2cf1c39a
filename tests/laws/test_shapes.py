"""The shape checks that all tests run with: a wrong shape raises an error that names it, in every layout."""

from __future__ import annotations

import importlib

import pytest
import torch
from shapes import SHAPES, ShapeError, Shapes, checked
from torch import Tensor

from polydiff.core.space import Batch, Euclidean, Space
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules

SIZES = torch.tensor([2, 3])
SPACES = [Euclidean(2, (4,)), DenseMolecules.of_sizes(SIZES, 1), PackedMolecules.of_sizes(SIZES, 1)]


@pytest.mark.parametrize("name", SHAPES)
def test_every_entry_of_the_table_is_checked(name: str) -> None:
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    assert found.shapes == SHAPES[name]


def double(x: Tensor, sigma: Tensor, space: Space) -> Tensor:
    """Return a state of the right shape unless sigma is zero."""
    return 2 * x if sigma.any() else x.sum(-1)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_a_wrong_shape_is_named_in_every_layout(space: Space) -> None:
    function = checked(double, "here.double", Shapes({"x": "R *d", "sigma": ("", "B")}, "R *d"))
    x = space.noise(streams(0, "shapes", range(2)))
    for sigma in (torch.ones(()), torch.ones(2)):
        assert torch.equal(function(x, sigma, space=space), 2 * x)
    with pytest.raises(ShapeError, match=r"here\.double: x has the shape .*, which is not \"R \*d\" with B = 2, R = "):
        function(x[:-1], torch.ones(2), space)
    with pytest.raises(ShapeError, match=r"here\.double: sigma has the shape \(3,\)"):
        function(x, torch.ones(3), space)
    with pytest.raises(ShapeError, match=r"here\.double: the output has the shape"):
        function(x, torch.zeros(2), space)


def test_errors_name_the_method_of_the_core() -> None:
    with pytest.raises(ShapeError, match=r"polydiff\..*Euclidean\.noise: generators has the shape \(3,\)"):
        Euclidean(2, (4,)).noise(streams(0, "shapes", range(3)))
    with pytest.raises(ShapeError, match=r"polydiff\..*PackedMolecules\.project: x has the shape \(4, 4\)"):
        SPACES[2].project(torch.zeros(4, 4))


def test_a_batch_has_a_state_and_conditions_for_each_sample() -> None:
    def batch(indices: list[int], n: int = 2) -> Batch:
        return Batch(torch.zeros(2, 3), Euclidean(2, (3,)), {"class": torch.zeros(n)})

    function = checked(batch, "here.batch", Shapes(space="indices"))
    assert function([4, 9]).x.shape == (2, 3)
    with pytest.raises(ShapeError, match=r"the number of samples has the shape \(2,\), which is not \"B\" with B = 3"):
        function([4, 9, 7])
    with pytest.raises(ShapeError, match=r"class has the shape \(1,\)"):
        function([4, 9], 1)
