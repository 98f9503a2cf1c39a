"""Conditions of new samples are drawn together, as training examples have them, and suit what is requested."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from polydiff.contract.conditions.data_conditions import DataConditions
from polydiff.contract.conditions.profiles import KEPT, NEAREST, Profiles, profiles_of
from polydiff.contract.data.statistics import FieldStatistics, ProfileStatistics
from polydiff.contract.fields import Embedding, Labels, Real, to_json
from polydiff.contract.text.captions import Captions
from polydiff.core.streams import streams

FAMILIES = {"oboe": "reed", "flute": "pipe", "horn": "brass"}
ROWS = [
    {"instrument": name, "family": FAMILIES[name], "velocity": 10.0 * i, "text": f"a {name} of {FAMILIES[name]}"}
    for i in range(50)
    for name in FAMILIES
]
WEIGHTS = [2 if row["instrument"] == "oboe" else 1 for row in ROWS]


@pytest.fixture(scope="module")
def conditions() -> DataConditions:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    fields = {
        "instrument": Labels.measure(columns["instrument"], WEIGHTS),
        "family": Labels.measure(columns["family"], WEIGHTS),
        "velocity": Real.measure(columns["velocity"], WEIGHTS),
        "text": Captions.measure(columns["text"], WEIGHTS),
        "vector": Embedding(4, 1, 1.0),
    }
    return DataConditions(fields, profiles_of(fields, ROWS.__getitem__, WEIGHTS))


def drawn(conditions: DataConditions, n: int = 400, **requested: object) -> list[dict[str, object]]:
    return conditions.describe(conditions.draw(streams(0, "profiles", range(n)), requested))


def test_values_of_one_example_come_together_as_often_as_in_training(conditions: DataConditions) -> None:
    found = drawn(conditions, 4000)
    assert all(row["family"] == FAMILIES[row["instrument"]] for row in found)
    assert all(row["text"] == f"a {row['instrument']} of {row['family']}" for row in found)
    assert all(row["vector"] == "any" for row in found)
    shares = Counter(str(row["instrument"]) for row in found)
    assert shares["oboe"] / 4000 == pytest.approx(0.5, abs=0.03)
    assert shares["horn"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_the_others_suit_what_is_requested(conditions: DataConditions) -> None:
    assert {row["instrument"] for row in drawn(conditions, family="brass")} == {"horn"}
    assert {row["family"] for row in drawn(conditions, text="a flute of pipe")} == {"pipe"}
    near = drawn(conditions, velocity=490.0)
    assert {row["velocity"] for row in near} == {490.0}
    assert {row["instrument"] for row in near} == set(FAMILIES)
    contradictory = drawn(conditions, family="brass", instrument="oboe")  # what is requested is kept
    assert {(row["family"], row["instrument"]) for row in contradictory} == {("brass", "oboe")}
    anything = drawn(conditions, family="any")
    assert {row["family"] for row in anything} == {"any"}
    assert {row["instrument"] for row in anything} == set(FAMILIES)


def test_numbers_near_the_requested_one_suit(conditions: DataConditions) -> None:
    like = Profiles(conditions.fields, conditions.profiles).like({"velocity": 0.0})
    assert like is not None
    velocities = [v for v, suits in zip(conditions.profiles["velocity"], like.tolist(), strict=True) if suits]
    assert NEAREST <= len(velocities) <= NEAREST + 3
    assert max(velocities) <= 10 * NEAREST


def test_a_value_that_no_profile_has_leaves_the_other_requests_in_force(conditions: DataConditions) -> None:
    profiles = Profiles(conditions.fields, conditions.profiles)
    brass = profiles.like({"family": "brass"})
    assert brass is not None
    for unsuited in ({"instrument": "tuba"}, {"text": "xylophone"}):  # such as a rare class, beyond the profiles
        both = profiles.like({"family": "brass", **unsuited})
        assert both is not None
        assert torch.equal(both, brass)
        assert profiles.like(unsuited) is None


def test_profiles_without_a_number_do_not_suit_one(conditions: DataConditions) -> None:
    profiles = Profiles(conditions.fields, {"velocity": [10.0, *[None] * 50], "instrument": ["oboe"] * 51})
    like = profiles.like({"velocity": 20.0})
    assert like is not None
    assert like.tolist() == [True] + [False] * 50


def test_a_sample_depends_on_nothing_but_its_own_stream(conditions: DataConditions) -> None:
    together = conditions.draw(streams(0, "profiles", range(8)), {})
    alone = conditions.draw(streams(0, "profiles", [5]), {})
    assert torch.equal(together.pop("vector")[5:6].isnan(), alone.pop("vector").isnan())
    assert all(torch.equal(together[name][5:6], alone[name]) for name in together)


def test_one_condition_alone_has_no_profiles_and_many_examples_have_a_thousand() -> None:
    field = Labels.measure(["a", "b"], [1, 1])
    assert profiles_of({"label": field}, [{"label": "a"}, {"label": "b"}].__getitem__, [1, 1]) == {}
    fields = {"label": field, "again": field}
    rows = [{"label": "ab"[i % 2], "again": "ab"[i % 2]} for i in range(5000)]
    found = profiles_of(fields, rows.__getitem__, [int(i < 4000) for i in range(5000)])
    assert len(found["label"]) == len(found["again"]) == KEPT
    assert found["label"] == found["again"]
    assert found["label"].count("a") == pytest.approx(KEPT / 2, abs=80)
    held_out = profiles_of(fields, [{"label": "a", "again": "a"}, {"label": "b", "again": "b"}].__getitem__, [0, 1])
    assert found.keys() == held_out.keys()
    assert held_out["label"] == ["b"]


def test_each_class_of_training_can_be_drawn() -> None:
    names = [f"class {i:04d}" for i in range(1300)]
    rows = [{"label": name, "family": name[:8]} for name in names for _ in range(3)]
    weights = [int(i % 3 < 2 or i >= 9) for i in range(len(rows))]
    fields = {key: Labels.measure([row[key] for row in rows], weights) for key in ("label", "family")}
    found = profiles_of(fields, rows.__getitem__, weights)
    assert set(found["label"]) == set(names)
    assert all(label.startswith(family) for label, family in zip(found["label"], found["family"], strict=True))
    drawn = DataConditions(fields, found).draw(streams(0, "rare", range(4)), {"label": "class 1299"})
    assert drawn["family"].tolist() == [fields["family"].names.index("class 12")] * 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"other": ["a", "b"]}, "profiles holds other, which is no condition"),
        ({"family": ["reed"]}, "profiles holds 1 values of family, but 2 of instrument"),
        ({"family": ["reed", "wood"]}, "profiles holds a class of family that it does not have"),
        ({"family": [1.0, "reed"]}, "profiles holds a value of family of another type"),
        ({"velocity": ["loud", None]}, "profiles holds a value of velocity of another type"),
    ],
)
def test_damaged_profiles_are_noticed(conditions: DataConditions, change: dict[str, list], problem: str) -> None:
    known = FieldStatistics(to_json(conditions.fields))
    right = {"instrument": ["oboe", None], "family": ["reed", "pipe"], "velocity": [1.0, None]}
    ProfileStatistics(right).check(known)
    with pytest.raises(ValueError, match=problem):
        ProfileStatistics({**right, **change}).check(known)
