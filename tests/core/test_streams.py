"""Random streams depend only on their names."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.core.streams import permutation, stream, stream_seed

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
