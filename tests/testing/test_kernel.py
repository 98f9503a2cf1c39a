"""The rules of kernels: ours keep them, broken ones are found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from polydiff.core.parts.letters import LettersSpace
from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.sampling.plan import grid, rows_on
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.law import uniform_law
from polydiff.parts.letters.samplers import Jump, ancestral
from polydiff.testing.parts.kernel import check_kernel

LETTERS = LettersSpace.of_lengths(torch.tensor([4, 6, 3]), 5)
X_0 = LETTERS.noise(streams(0, "data", range(3)))
F = torch.linspace(-2, 2, 3 * 6 * 5).reshape(3, 6, 5)
ROWS = ancestral([1.0, 0.6, 0.2, 0.0], 6)


@pytest.mark.parametrize(
    "kernel", [LetterKernel(5), LetterKernel(5, uniform_law(5)), LetterKernel(5, (0.4, 0.3, 0.1, 0.1, 0.1))]
)
@pytest.mark.parametrize("weighting", ["elbo", "simple"])
def test_kernels_of_letters_keep_the_rules(kernel: LetterKernel, weighting: str) -> None:
    check_kernel(kernel, LETTERS, X_0, ROWS, F, weighting)


def test_the_gaussian_kernel_keeps_the_rules() -> None:
    schedule, space = SCHEDULES["edm"](), Euclidean(3, (4,))
    levels = grid(schedule, 5, "ddim", None, 1.0, None, None)
    x_0 = space.noise(streams(0, "data", range(3)))
    check_kernel(GaussianKernel(schedule, "edm", Loss()), space, x_0, rows_on(levels, "ddim", 1.0), x_0 / 2, "")


def test_rows_that_leave_letters_masked_are_found() -> None:
    with pytest.raises(AssertionError, match="The last row leads to"):
        check_kernel(LetterKernel(5), LETTERS, X_0, ROWS[:-1], F, "elbo")


def test_a_step_that_masks_letters_at_the_end_is_found() -> None:
    class Late(Jump):
        def law(self, kernel, log_p, x, space):
            law = super().law(kernel, log_p, x, space)
            return law + torch.nn.functional.one_hot(torch.tensor(kernel.letters), kernel.letters + 1)

    rows = [*ROWS[:-1], Late(0.2, 0.0)]
    with pytest.raises(Exception, match="has a blank"):
        check_kernel(LetterKernel(5), LETTERS, X_0, rows, F, "elbo")


def test_a_corruption_that_ignores_its_streams_is_found() -> None:
    class Fixed(LetterKernel):
        def corrupt(self, x_0, level, space, generators):
            return x_0

    with pytest.raises(AssertionError, match="does not depend on its streams"):
        check_kernel(replace(Fixed(5)), LETTERS, X_0, ROWS, F, "elbo")
