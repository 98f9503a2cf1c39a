"""Processes exchange tensors with their gradients, objects and flags."""

from __future__ import annotations

import torch
from process_jobs import gather_and_derive
from together import together

from polydiff.machine.ranks import ALONE, joined, ranks


def test_two_processes_exchange_tensors_gradients_objects_and_flags() -> None:
    whole = torch.tensor([[1.0, 0.0], [2.0, 1.0], [2.0, 0.0], [3.0, 1.0]])
    for found in together(2, gather_and_derive):
        assert found["whole"].equal(whole)
        assert found["own"]
        # each of the two processes has the square of the sum: the derivative of both together is twice the sum
        assert found["gradient"].equal(torch.full((2, 2), 2 * float(whole.sum())))
        assert found["objects"] == [{"rank": 0}, {"rank": 1}]
        assert found["agreed"] == "from 0"
        assert found["any"] == (True, False)


def test_a_process_alone_exchanges_nothing() -> None:
    x = torch.ones(3, requires_grad=True)
    with joined() as here:
        assert here is ranks() is ALONE
        assert here.gather(x) is x
        assert here.collect(5) == [here.agree(5)] == [5]
        assert here.any(True)
        assert not here.any(False)
