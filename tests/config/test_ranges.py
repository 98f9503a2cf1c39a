"""Every number of a configuration has a range, and a value outside is one message that names key and limit."""

from __future__ import annotations

from typing import Any

import annotated_types
import pytest
from pydantic import BaseModel

from polydiff.backbones.config import EGNNConfig, GraphTransformerConfig, MLPConfig, UNetConfig
from polydiff.config.merge import resolve
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import EncodeConfig, LaunchConfig, LossConfig, OptimConfig, TrainConfig
from polydiff.domains.audio.config import AudioConfig, AudioData, MelConfig
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.sequence.config import SequenceConfig, SequenceData
from polydiff.support.errors import UserError

SECTIONS: list[type[BaseModel]] = [
    *(UNetConfig, EGNNConfig, GraphTransformerConfig, MLPConfig),
    *(LossConfig, OptimConfig, SampleConfig, TrainConfig, LaunchConfig, EncodeConfig),
    *(AudioConfig, AudioData, MelConfig, ImageConfig, ImageData, MoleculeConfig, MoleculeData),
    *(SequenceConfig, SequenceData),
]
FREE = {"optim.clip", "clip"}
"""Numbers without an upper bound: any gradient may be left as it is."""
NUMBERS = [
    (section, name)
    for section in SECTIONS
    for name, field in section.model_fields.items()
    if field.annotation in (int, float, int | None, float | None) and name not in FREE
]


def test_there_are_numbers() -> None:
    assert len(NUMBERS) > 60


@pytest.mark.parametrize(("section", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_every_number_has_a_range(section: type[BaseModel], name: str) -> None:
    limits = section.model_fields[name].metadata
    low, high = (annotated_types.Ge, annotated_types.Gt), (annotated_types.Le, annotated_types.Lt)
    inner = str(section.model_fields[name].annotation)
    assert any(isinstance(limit, low) for limit in limits), inner
    assert any(isinstance(limit, high) for limit in limits), inner


@pytest.mark.parametrize(
    ("domain", "key", "value", "limit"),
    [
        ("audio", "data.length", 255, "greater than or equal to 256"),
        ("audio", "data.length", 10**11, "less than or equal to 67108864"),
        ("audio", "data.n_train", 10**14, "less than or equal to 1000000000"),
        ("audio", "data.n_test", 0, "greater than or equal to 1"),
        ("audio", "data.seed", 2**63, "less than"),
        ("audio", "data.channels", 3, "should be 1 or 2"),
        ("image", "data.size", 10**6, "less than or equal to 8192"),
        ("image", "data.channels", 2, "should be 1 or 3"),
        ("image", "train.batch_size", 10**9, "less than or equal to 1000000"),
        ("image", "train.keep", 0, "greater than or equal to 1"),
        ("image", "sample.batch_size", 10**9, "a whole number of 1 to 1000000"),
        ("image", "train.workers", 10**9, "0 to 256"),
        ("image", "optim.lr", 1e9, "less than or equal to 100"),
        ("image", "backbone.channels", 10**7, "less than or equal to 65536"),
        ("image", "backbone.mult", [10**7], "less than or equal to 4096"),
        ("image", "backbone.mult", [1] * 100, "at most 16"),
        ("molecule", "backbone.layers", 10**7, "less than or equal to 1000"),
        ("molecule", "data.max_atoms", 10**6, "less than or equal to 10000"),
        ("molecule", "data.scale", 1e-30, "greater than or equal to 0.001"),
    ],
)
def test_a_value_outside_is_one_message(domain: str, key: str, value: Any, limit: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(domain, values={key: value})
    assert key in str(raised.value)
    assert limit in str(raised.value)
    assert "\n" not in str(raised.value)
