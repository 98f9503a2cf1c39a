"""The training examples that `data.per_class` uses: as many of each class, nested, and the same each time."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from polydiff.config.merge import resolve
from polydiff.contract.data.splits import chosen
from polydiff.contract.sections.data import DataConfig
from polydiff.domains.image.config import ImageData
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError

NAMES = [*"aabbbcabcabc", None]


def data(**values: int | None) -> ImageData:
    return ImageData(**values)


def test_each_class_has_as_many_and_smaller_choices_are_parts_of_larger_ones() -> None:
    before: set[int] = set()
    for k in (1, 2, 3):
        used = chosen(data(per_class=k), NAMES)
        assert Counter(NAMES[i] for i in used) == dict.fromkeys("abc", k)
        assert used == sorted(used)
        assert before < set(used)
        before = set(used)


def test_without_the_key_all_examples_are_used() -> None:
    assert chosen(data(), NAMES) == list(range(len(NAMES)))


def test_another_class_does_not_change_the_choice() -> None:
    only = [i for i, name in enumerate(NAMES) if name == "b"]
    alone = chosen(data(per_class=2), ["b"] * len(only))
    assert [only[i] for i in alone] == [i for i in chosen(data(per_class=2), NAMES) if NAMES[i] == "b"]


def test_subsets_are_random_choices() -> None:
    """Over 300 subsets each of 4 examples is chosen 75 times, within 4 standard deviations."""
    seen = Counter(chosen(data(per_class=1, subset=s), ["a"] * 4)[0] for s in range(300))
    assert all(abs(seen[i] - 75) < 4 * (300 * 0.25 * 0.75) ** 0.5 for i in range(4))


def test_too_few_examples_are_an_error() -> None:
    with pytest.raises(UserError, match=r"data\.per_class=4, but class c has 3 training examples"):
        chosen(data(per_class=4), NAMES)
    with pytest.raises(UserError, match=r"data\.per_class=4, but there are 3 training examples"):
        chosen(data(per_class=4), [""] * 3)


def test_a_domain_that_does_not_choose_refuses_the_key() -> None:
    with pytest.raises(ValidationError, match=r"data\.per_class is not used by this domain"):
        DataConfig(per_class=3)
    with pytest.raises(ValidationError, match=r"data\.subset chooses among examples only with data\.per_class"):
        ImageData(subset=3)


@pytest.mark.parametrize(
    ("domain", "own", "total"),
    [
        ("image", {}, 30),
        ("audio", {"data.classes": 4, "data.n_train": 400, "data.n_test": 20, "data.length": 256}, 12),
        ("molecule", {"data.max_heavy": 3, "data.conformers": 1}, 8),
    ],
)
def test_domains_train_on_the_chosen_examples_alone(domain: str, own: dict[str, object], total: int) -> None:
    k = 8 if domain == "molecule" else 3
    found = open_domain(resolve(domain, values={**own, "data.per_class": k}).config)
    whole = open_domain(resolve(domain, values=own).config)
    assert found.size("train") == total
    if domain == "molecule":
        assert set(found.dataset.splits["train"].smiles) < set(whole.dataset.splits["train"].smiles)
        assert set(found.dataset.splits["test"].smiles) <= set(whole.dataset.splits["test"].smiles)
        return
    a, b = (one.examples("train", one.size("train")) for one in (found, whole))
    name = next(iter(a.cond))
    known = {(x.numpy().tobytes(), int(c)) for x, c in zip(b.examples, b.cond[name], strict=True)}
    assert {(x.numpy().tobytes(), int(c)) for x, c in zip(a.examples, a.cond[name], strict=True)} <= known
    assert a.cond[name].bincount().tolist() == [3] * (total // 3)
    assert found.statistics["std"] != whole.statistics["std"]  # measured on the chosen examples
    assert found.size("test") == whole.size("test")
    assert found.identity("train") != whole.identity("train")
    assert found.identity("test") == whole.identity("test")
