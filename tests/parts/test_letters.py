"""Letters against exactly solved problems: the laws of samplers, and bounds, with a network that knows the data."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import WHOLE, Product
from polydiff.core.streams import streams
from polydiff.parts.bound import dense_at_ends
from polydiff.parts.guidance import Guided
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.law import pick, sharpened, uniform_law
from polydiff.parts.letters.samplers import Jump, ancestral, confident, first_hitting, remask
from polydiff.parts.sampling.execute import Held, JointRow, begin, run_rows, with_known
from polydiff.parts.schedule import LEVEL_SCHEDULES, level_grid
from polydiff.testing.parts.letters import (
    ExactLetters,
    Words,
    corrupted_words,
    data_law,
    law_of,
    prior_law,
    total_variation,
)

CHAIN = Words.chain((0.7, 0.3), ((0.9, 0.1), (0.3, 0.7)), 6)
SMALL = Words.chain((0.5, 0.3, 0.2), ((0.8, 0.15, 0.05), (0.1, 0.7, 0.2), (0.3, 0.1, 0.6)), 4)
FREQUENCIES = (0.730138666666667, 0.269861333333333)
KERNELS = {
    "masked": LetterKernel(2),
    "uniform": LetterKernel(2, uniform_law(2)),
    "marginal": LetterKernel(2, FREQUENCIES),
}


def linear(steps: int) -> list[float]:
    return list(level_grid(LEVEL_SCHEDULES["linear"], steps))


@cache
def distance(kernel: str, steps: int, schedule: str = "linear") -> float:
    """Total variation between the chain and the samples of so many ancestral steps."""
    network = ExactLetters(CHAIN, KERNELS[kernel])
    law = law_of(ancestral(level_grid(LEVEL_SCHEDULES[schedule], steps), 6), network)
    return total_variation(law, data_law(CHAIN, network.kernel))


def test_the_chain_has_the_entropy_and_frequencies_of_its_formula() -> None:
    assert CHAIN.entropy == pytest.approx(2.626450701409763, abs=1e-12)
    hot = torch.nn.functional.one_hot(CHAIN.words, 2).double()
    frequencies = torch.einsum("w,wnk->nk", CHAIN.p, hot).mean(0)
    assert frequencies.tolist() == pytest.approx(FREQUENCIES, abs=1e-12)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("masked", (0.49903, 0.26037, 0.13251, 0.06649)),
        ("uniform", (0.49903, 0.32013, 0.16766, 0.07875)),
        ("marginal", (0.49903, 0.31079, 0.15888, 0.07424)),
    ],
)
def test_ancestral_sampling_has_the_known_distance_to_the_data(kernel: str, expected: tuple[float, ...]) -> None:
    found = [distance(kernel, steps) for steps in (1, 2, 4, 8)]
    assert found == pytest.approx(expected, abs=6e-6)


def test_ancestral_sampling_is_of_first_order() -> None:
    assert distance("masked", 16) / distance("masked", 32) == pytest.approx(2, rel=0.02)


def test_a_cosine_grid_has_its_known_distance() -> None:
    assert [distance("masked", n, "cosine") for n in (2, 4, 8)] == pytest.approx((0.27214, 0.14582, 0.07431), abs=6e-6)


@pytest.mark.parametrize(("eta", "expected"), [(1, (0.1373, 0.0700)), (5, (0.1712, 0.1031)), (20, (0.1712, 0.1103))])
def test_remasking_has_its_known_distance(eta: float, expected: tuple[float, float]) -> None:
    network = ExactLetters(CHAIN, KERNELS["masked"])
    truth = data_law(CHAIN, network.kernel)
    found = [total_variation(law_of(remask(linear(n), 6, eta=eta), network), truth) for n in (4, 8)]
    assert found == pytest.approx(expected, abs=6e-5)


def test_remasking_keeps_the_share_of_masked_letters() -> None:
    """Letters that are masked again are replaced by as many revealed ones, whatever the posterior."""
    network = ExactLetters(CHAIN, KERNELS["masked"])
    states = corrupted_words(CHAIN, network.kernel)
    for row in remask(linear(5), 6, eta=3)[:-1]:
        law = law_of(remask(linear(5), 6, eta=3)[: round(5 * (1 - row.to))], network)
        assert float(law @ (states == 2).double().mean(1)) == pytest.approx(row.to, abs=1e-12)


@pytest.mark.parametrize(("temperature", "entropy"), [(0.9, 2.4273), (0.5, 1.1124)])
def test_temperature_lowers_the_entropy_of_samples_by_a_known_amount(temperature: float, entropy: float) -> None:
    network = ExactLetters(CHAIN, KERNELS["masked"])
    law = law_of(ancestral(linear(64), 6, temperature=temperature), network)
    assert float(-(law * law.clamp(min=1e-300).log()).sum()) == pytest.approx(entropy, abs=5e-5)


def test_given_letters_lead_to_the_exact_conditional_law() -> None:
    network = ExactLetters(CHAIN, KERNELS["masked"])
    states = corrupted_words(CHAIN, network.kernel)
    begin = (states == torch.tensor([0, 2, 2, 1, 2, 2])).all(1).double()
    truth = data_law(CHAIN, network.kernel) * ((states[:, 0] == 0) & (states[:, 3] == 1))
    found = [total_variation(law_of(ancestral(linear(n), 6), network, begin), truth / truth.sum()) for n in (4, 16)]
    assert found == pytest.approx((0.08034, 0.02052), abs=6e-6)


def drawn_law(rows: list[JointRow], network: ExactLetters, n: int = 20_000) -> Tensor:
    """Law of n drawn words."""
    space, kernel = Product({WHOLE: CHAIN.space(n)}), network.kernel
    generators = streams(0, "sample", range(n))
    x = {WHOLE: kernel.prior(space.parts[WHOLE], generators)}
    *_, last = run_rows(rows, network, {WHOLE: kernel}, x, space, None, generators)
    states = corrupted_words(CHAIN, kernel)
    weights = torch.tensor([3**i for i in range(5, -1, -1)])
    counts = torch.bincount((last.x[WHOLE] * weights).sum(1), minlength=len(states))
    return counts.double() / n


def as_rows(rows: list) -> list[JointRow]:
    return [JointRow({WHOLE: row}, {WHOLE: row.at}) for row in rows]


def test_one_letter_a_call_has_no_error_and_two_of_the_surest_have_their_known_one() -> None:
    """The drawn law of n words differs from the true one by about sqrt(W / n) / 2 in total variation, here 0.02."""
    network = ExactLetters(CHAIN, KERNELS["masked"])
    truth = data_law(CHAIN, network.kernel)
    for rows in (first_hitting([1.0, 0.0], 6), confident([1.0, 0.0], 6, k=1)):
        assert len(rows) == 6
        assert total_variation(drawn_law(as_rows(rows), network), truth) < 0.03
    two = confident([1.0, 0.0], 6, k=2)
    assert total_variation(drawn_law(as_rows(two), network), truth) == pytest.approx(0.3279, abs=0.02)
    assert total_variation(drawn_law(as_rows(ancestral(linear(3), 6)), network), truth) == pytest.approx(
        0.1759, abs=0.02
    )


def expected(data: Words, kernel: LetterKernel, level: Tensor, what) -> Tensor:
    """Mean of a function of a corrupted word, for each word of the data, (W,)."""
    network, states = ExactLetters(data, kernel), corrupted_words(data, kernel)
    space = data.space(len(states))
    f = network({WHOLE: states}, {WHOLE: level}, Product({WHOLE: space}))[WHOLE]
    each = torch.full((len(states),), float(level), dtype=torch.float64)
    means = []
    for word in data.words:
        q = kernel.likelihood(states, level, space)
        if kernel.masked:
            hidden = (states == data.letters).double()
            chance = (hidden * level + (1 - hidden) * (1 - level) * (states == word)).prod(-1)
        else:
            chance = q.gather(-1, word.expand(len(states), -1)[..., None])[..., 0].prod(-1)
        x_0 = word.expand(len(states), -1)
        means.append((chance * what(f, x_0, states, each, space)).sum())
    return torch.stack(means)


@pytest.mark.parametrize(
    ("kernel", "bounds"),
    [
        ("masked", {1: 3.494878, 2: 3.029788, 8: 2.721265}),
        ("uniform", {1: 3.494878, 2: 3.137679, 8: 2.756807}),
        ("marginal", {1: 3.494878, 2: 3.115218, 8: 2.750546}),
    ],
)
def test_the_bound_of_a_chain_of_steps_is_the_known_number(kernel: str, bounds: dict[int, float]) -> None:
    own = KERNELS[kernel]
    for steps, bound in bounds.items():
        total = torch.zeros(len(CHAIN.words), dtype=torch.float64)
        for k in range(1, steps + 1):
            to = torch.tensor([(k - 1) / steps], dtype=torch.float64)
            level = torch.tensor(k / steps, dtype=torch.float64)
            total += expected(CHAIN, own, level, lambda f, a, x, l, space, to=to: own.divergence(f, a, x, l, to, space))
        assert float(CHAIN.p @ total) == pytest.approx(bound, abs=2e-6)


@pytest.mark.parametrize("kernel", ["masked", "uniform", "marginal"])
def test_the_continuous_bound_is_the_exact_likelihood_of_each_word(kernel: str) -> None:
    kernels = {"masked": LetterKernel(3), "uniform": LetterKernel(3, uniform_law(3))}
    own = kernels.get(kernel, LetterKernel(3, (0.5, 0.3, 0.2)))
    nodes, weights = legendre(48)
    total = torch.zeros(len(SMALL.words), dtype=torch.float64)
    for v, weight in zip(nodes, weights, strict=True):
        t, density = dense_at_ends(v)
        total += weight * density * expected(SMALL, own, t, own.rate)
    assert (total + SMALL.p.log()).abs().max() < 1e-6


def legendre(n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre on (0, 1)."""
    import numpy as np

    x, w = np.polynomial.legendre.leggauss(n)
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)


@pytest.mark.parametrize("kernel", [LetterKernel(3), LetterKernel(3, uniform_law(3))])
def test_guidance_of_one_site_gives_the_tilted_law(kernel: LetterKernel) -> None:
    """p proportional to p_u (p_c / p_u)^w, in any number of steps."""
    strong, weak = (
        ExactLetters(Words(torch.arange(3)[:, None], torch.tensor(p, dtype=torch.float64), 3), kernel)
        for p in ((0.6, 0.3, 0.1), (0.2, 0.3, 0.5))
    )
    guided = Guided(strong, 3.0, None, weak, None, WHOLE, joined=False)
    states = corrupted_words(strong.data, kernel)
    space = strong.data.space(len(states))
    law = prior_law(strong.data, kernel)
    for row in ancestral(linear(5), 1):
        level = torch.tensor(row.at, dtype=torch.float64)
        f = guided({WHOLE: states}, {WHOLE: level}, Product({WHOLE: space}))[WHOLE]
        site = row.law(kernel, kernel.log_posterior(f, states, level, space), states, space)
        law = law @ site[:, 0]
    assert law[:3].tolist() == pytest.approx((0.946704068, 0.052594670, 0.000701262), abs=1e-9)


def test_a_letter_of_small_probability_is_drawn_with_exactly_this_probability() -> None:
    for q in (1e-6, 3e-8, 1e-12):
        edge = torch.tensor(q, dtype=torch.float64)
        weights = torch.stack([edge, 1 - edge]).expand(3, 2)
        v = torch.stack([edge * (1 - 1e-9), edge * (1 + 1e-9), torch.tensor(1 - 2**-53, dtype=torch.float64)])
        assert pick(weights, v).tolist() == [0, 1, 1]


def test_a_draw_never_gives_a_letter_of_no_weight() -> None:
    weights = torch.tensor([[0.0, 0.3, 0.7, 0.0], [0.1, 0.0, 0.0, 0.0]], dtype=torch.float64)
    for v in (0.0, 0.5, 1 - 2**-53):
        letters = pick(weights, torch.full((2,), v, dtype=torch.float64))
        assert (weights.gather(1, letters[:, None]) > 0).all()


def test_nucleus_keeps_the_most_probable_letters() -> None:
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64)
    assert sharpened(p.log(), 1.0, 0.7).exp().tolist()[0] == pytest.approx((0.625, 0.375, 0, 0))
    assert sharpened(p.log(), 1.0, 0.1).exp().tolist()[0] == pytest.approx((1, 0, 0, 0))
    assert torch.equal(sharpened(p.log(), 1.0, 1.0), p.log())


@pytest.mark.parametrize("kernel", list(KERNELS.values()))
def test_corruption_has_the_law_of_its_formula(kernel: LetterKernel) -> None:
    """All uniform numbers of a fine grid, one a site: shares are exact to the width of the grid."""
    n, l = 10_000, 0.37

    class Grid(LettersSpace):
        def uniforms(self, generators) -> Tensor:
            return ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[None]

    x = kernel.corrupt(torch.ones(1, n, dtype=torch.int64), torch.tensor([l]), Grid(1, (n,), 2), [])
    pi = [0, 0, 1] if kernel.masked else [*kernel.law, 0]
    shares = [l * p + (1 - l) * (k == 1) for k, p in enumerate(pi)]
    assert (torch.bincount(x[0], minlength=3) / n).tolist() == pytest.approx(shares, abs=2e-4)


def test_a_sample_does_not_depend_on_its_batch_or_its_padding() -> None:
    kernel, data = KERNELS["masked"], CHAIN
    network = ExactLetters(data, kernel)

    def draw(numbers: range) -> Tensor:
        space, generators = Product({WHOLE: data.space(len(numbers))}), streams(3, "sample", numbers)
        x = {WHOLE: kernel.prior(space.parts[WHOLE], generators)}
        *_, last = run_rows(as_rows(ancestral(linear(4), 6)), network, {WHOLE: kernel}, x, space, None, generators)
        return last.x[WHOLE]

    assert torch.equal(draw(range(5))[3:], draw(range(3, 5)))
    sizes = torch.tensor([3, 5])
    both = LettersSpace.of_lengths(sizes, 4).uniforms(streams(0, "x", range(2)))
    alone = LettersSpace.of_lengths(sizes[:1], 4).uniforms(streams(0, "x", range(1)))
    assert torch.equal(both[0, :3], alone[0])


@pytest.mark.parametrize("kernel", list(KERNELS.values()))
def test_known_letters_stay(kernel: LetterKernel) -> None:
    n = 64
    space, generators = Product({WHOLE: CHAIN.space(n)}), streams(0, "sample", range(n))
    known = torch.tensor([1, 0, 1, 0, 1, 0]).expand(n, -1)
    mask = torch.tensor([True, False, True, True, False, False])
    held = Held({WHOLE: known}, {WHOLE: mask})
    x = with_known(
        {WHOLE: kernel.prior(space.parts[WHOLE], generators)},
        {WHOLE: 1.0},
        held,
        {WHOLE: kernel},
        space,
        {WHOLE: generators},
    )
    *_, last = run_rows(
        as_rows(ancestral(linear(8), 6)), ExactLetters(CHAIN, kernel), {WHOLE: kernel}, x, space, None, generators, held
    )
    assert (last.x[WHOLE] == known)[:, mask].all()
    assert last.x[WHOLE].max() < 2


@pytest.mark.parametrize("name", list(LEVEL_SCHEDULES))
def test_schedules_rise_from_exactly_zero_to_exactly_one(name: str) -> None:
    levels = LEVEL_SCHEDULES[name](torch.linspace(0, 1, 101, dtype=torch.float64))
    assert levels[0] == 0
    assert levels[-1] == 1
    assert (levels.diff() > 0).all()
    assert level_grid(LEVEL_SCHEDULES[name], 7)[-1] == 0


def test_a_jump_to_level_zero_leaves_nothing_masked() -> None:
    law = Jump(0.3, 0.0).law(
        KERNELS["masked"], torch.full((1, 1, 2), -math.log(2), dtype=torch.float64), torch.tensor([[2]]), CHAIN.space(1)
    )
    assert law[0, 0].tolist() == pytest.approx((0.5, 0.5, 0))
    assert law[0, 0, 2] == 0


@pytest.mark.parametrize("kernel", [KERNELS["uniform"], KERNELS["marginal"]])
def test_the_bound_of_a_network_in_float32_is_finite_and_near_that_in_float64_at_all_levels(
    kernel: LetterKernel,
) -> None:
    """Close to the prior the rates of data and model nearly cancel, and are divided by 1 - l."""
    n = 400
    space, generators = CHAIN.space(n), streams(0, "level", range(n))
    x_0 = CHAIN.words[torch.arange(n) % len(CHAIN.words)]
    for level in (1e-9, 1e-4, 0.5, 1 - 1e-4, 1 - 1e-9):
        at = torch.full((n,), level, dtype=torch.float64)
        x = kernel.corrupt(x_0, at, space, generators)
        f = ExactLetters(CHAIN, kernel)({WHOLE: x}, {WHOLE: at}, Product({WHOLE: space}))[WHOLE]
        fine, coarse = (kernel.rate(each, x_0, x, at, space).double() for each in (f, f.float()))
        assert coarse.isfinite().all()
        assert (coarse - fine).abs().max() < 1e-3 * max(1.0, float(fine.abs().max()))
        assert coarse.min() > -1e-6


def sums(largest: int) -> Words:
    """Texts a+b=c of one digit each side and c of two, all pairs equally likely; letters 10 and 11 are + and =."""
    words = torch.tensor([[a, 10, b, 11, *divmod(a + b, 10)] for a in range(largest + 1) for b in range(largest + 1)])
    return Words(words, torch.full((len(words),), 1 / len(words), dtype=torch.float64), 12)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("3+4=__", {"3+4=07": 1.0}),
        ("_+4=12", {"8+4=12": 1.0}),
        ("9+_=1_", {f"9+{b}={9 + b}": 1 / 9 for b in range(1, 10)}),
        ("_+_=02", {"0+2=02": 1 / 3, "1+1=02": 1 / 3, "2+0=02": 1 / 3}),
    ],
)
def test_blanks_of_sums_are_filled_by_the_exact_conditional_law(text: str, answers: dict[str, float]) -> None:
    signs, n = "0123456789+=", 1200
    data, kernel = sums(9), LetterKernel(12)
    known = torch.tensor([max(signs.find(sign), 0) for sign in text]).expand(n, -1)
    held = Held({WHOLE: known}, {WHOLE: torch.tensor([sign != "_" for sign in text])})
    rows, generators = as_rows(first_hitting([1.0, 0.0], text.count("_"))), streams(0, "sample", range(n))
    space = Product({WHOLE: data.space(n)})
    x = begin(rows, {WHOLE: kernel}, space, generators, held=held)
    *_, last = run_rows(rows, ExactLetters(data, kernel), {WHOLE: kernel}, x, space, None, generators, held)
    texts = ["".join(signs[letter] for letter in word) for word in last.x[WHOLE].tolist()]
    assert set(texts) == answers.keys()
    for word, p in answers.items():
        assert texts.count(word) / n == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)


@pytest.mark.parametrize(("letters", "law"), [(3, (0.5, 0.5)), (2, (0.5, 0.6)), (2, (1.5, -0.5))])
def test_a_law_that_is_none_is_an_error(letters: int, law: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="law"):
        LetterKernel(letters, law)
