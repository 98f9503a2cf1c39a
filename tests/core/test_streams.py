"""Random streams depend only on their names."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.core.streams import LONGEST, OnDemand, permutation, shuffled, stream, stream_seed

names = st.tuples(
    st.integers(0, 2**40), st.sampled_from(["noise", "time", "sample"]), st.lists(st.integers(0, 10**9), max_size=2)
)


@given(names, names)
def test_streams_are_equal_exactly_if_their_names_are(a: tuple, b: tuple) -> None:
    seeds = [stream_seed(seed, purpose, *counters) for seed, purpose, counters in (a, b)]
    assert (seeds[0] == seeds[1]) == (a == b)
    assert 0 <= seeds[0] < 2**63


def test_a_stream_ignores_what_was_drawn_before() -> None:
    first = torch.rand(3, generator=stream(7, "noise", 2))
    torch.rand(1000)
    assert torch.equal(first, torch.rand(3, generator=stream(7, "noise", 2)))
    assert stream_seed(0, "noise", 1) == 6545564728581758268  # another hash would change the results of every run


def test_permutations_contain_every_index_once() -> None:
    assert sorted(permutation(0, "order", 100, 3).tolist()) == list(range(100))
    assert not torch.equal(permutation(0, "order", 100, 3), permutation(0, "order", 100, 4))


@given(st.integers(1, 300), st.integers(0, 2**40), st.integers(0, 10**9))
def test_permutations_on_demand_contain_every_index_once(n: int, seed: int, epoch: int) -> None:
    order = OnDemand(seed, "order", n, epoch)
    assert sorted(order) == list(range(n))
    assert len(order) == n


def test_entries_on_demand_are_uniform_and_independent_of_their_places() -> None:
    n, draws = 6, 6000
    tables = torch.zeros(n, n)
    for epoch in range(draws):
        order = OnDemand(0, "order", n, epoch)
        for i in range(n):
            tables[i, order[i]] += 1
    spread = ((tables - draws / n).square() / (draws / n)).sum().item()  # chi-squared with (n - 1)^2 = 25 dof
    assert spread < 52.6  # p = 0.001


def test_long_orders_are_pseudorandom_and_need_no_memory() -> None:
    n, many = 10**9, 3000
    order = shuffled(3, "order", n, 1)
    assert isinstance(order, OnDemand)
    found = torch.tensor([order[i] for i in range(many)], dtype=torch.float64)
    assert len(set(found.tolist())) == many
    assert found.min() >= 0
    assert found.max() < n
    assert abs(found.mean() / n - 0.5) < 4 / (12 * many) ** 0.5
    pairs = torch.stack([found[:-1], found[1:]])
    assert abs(torch.corrcoef(pairs)[0, 1]) < 4 / many**0.5
    assert abs(torch.corrcoef(torch.stack([found, torch.arange(many) % 24 + 0.0]))[0, 1]) < 4 / many**0.5
    assert [order[i] for i in (0, 1, n - 1)] == [
        611431001,
        253596532,
        127297041,
    ]  # other numbers would change the order of long runs


def test_shorter_orders_are_those_of_torch() -> None:
    assert torch.equal(shuffled(0, "order", 100, 3), permutation(0, "order", 100, 3))
    assert isinstance(OnDemand(0, "order", LONGEST + 1), type(shuffled(0, "order", LONGEST + 1)))
