"""Processes that hold a part of the weights each compute what one process computes, in a part of the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sharding_jobs import Net, shares, trained
from tiny_runs import SMALL_NETS, TINY
from together import together

from polydiff.config.merge import resolve
from polydiff.support.errors import UserError
from polydiff.training.checks import check_settings
from polydiff.training.processes.sharding import layers

IMAGE: dict[str, Any] = {**TINY, **SMALL_NETS["image"], "train.precision": "float32", "device": "cpu"}


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_optimizers_averages_and_clipping_of_parts_are_those_of_whole_weights(name: str) -> None:
    """Also after all has been saved by two processes and restored by one, and the other way round."""
    early, (parts, other) = trained(name, {}), together(2, trained, name, {})
    late, (from_whole, _) = trained(name, parts), together(2, trained, name, early)
    for found, expected in ((parts, early), (other, early), (from_whole, late)):
        assert {part: list(tensors) for part, tensors in found.items()} == {
            part: list(tensors) for part, tensors in expected.items()
        }
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (early["else"]["norms"] > 0.1).all()  # so that gradients were clipped


def test_each_of_two_processes_holds_about_half_of_all_that_training_keeps() -> None:
    keys = {**IMAGE, "launch.strategy": "fsdp", "train.ema_snapshots": 2}
    for found in together(2, shares, keys):
        assert len(found) == 4
        for part, (held, total) in found.items():
            assert 0.45 < held / total < 0.55, part


def test_with_whole_weights_each_process_holds_all() -> None:
    for found in together(2, shares, IMAGE):
        assert all(held == total for held, total in found.values())


def test_a_network_without_units_cannot_be_divided() -> None:
    values = {"learn": "encode", "launch.strategy": "fsdp"}
    with pytest.raises(UserError, match=r"launch.strategy=fsdp divides .* which learn=encode does not. .* unet"):
        check_settings(resolve("image", values=values))
    with pytest.raises(UserError, match=r"the network Sequential has no layer of a class .* \(Block\)"):
        layers(Net(), ["Block"])
