"""Pickles: plain values are read, and nothing that a pickle names is run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_layouts import by_pickle, cifar10_python, python2

from polydiff.domains.image.config import ImageData
from polydiff.domains.image.data.sets.pickles import read_pickle
from polydiff.domains.image.data.source import open_source
from polydiff.support.errors import UserError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(PLAIN, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    try:
        found = read_pickle(content, "a")
    except UserError as error:
        assert "nested too deeply" in str(error)  # noqa: PT017
    else:
        assert found == pickle.loads(content)


@pytest.mark.parametrize("kind", ["u1", "<i4", ">f8", "?"])
@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_in_every_protocol(kind: str, protocol: int, order: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind, order=order)
    found = read_pickle(pickle.dumps({"a": [array]}, protocol), "a")["a"][0]
    assert found.dtype == array.dtype
    assert (found == array).all()


def test_text_and_arrays_of_python_2_are_read() -> None:
    array = np.arange(256, dtype=np.uint8).reshape(2, 128)
    found = read_pickle(python2({"data": array, "labels": [1, -2], "name": "x"}), "a")
    assert (found["data"] == array).all()
    assert (found["labels"], found["name"]) == ([1, -2], "x")


class Runs:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def array_with(state: bytes, kind: bytes = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R") -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return b"\x80\x02" + made + b"(K\x01" + state.replace(b"KIND", kind) + b"tb."


HOSTILE: dict[str, bytes] = {
    "a shell": pickle.dumps(Runs(os.system, "touch ran")),
    "an evaluation": pickle.dumps({"data": [Runs(eval, "open('ran', 'w')")]}, 2),
    "a module's class": pickle.dumps(Path("x")),
    "an instance": b"(S'touch ran'\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'touch ran'\no.",
    "a persistent id": b"Pran\n.",
    "an extension": b"\x82\x01.",
    "another numpy function": b"cnumpy\nfromfile\nS'/etc/passwd'\n\x85R.",
    "an array of objects": pickle.dumps(np.array([{}], dtype=object), 2),
    "an array of text": pickle.dumps(np.array(["a"]), 2),
    "a set": pickle.dumps({1, 2}),
    "a name alone": b"cnumpy\nndarray\n.",
    "a call of ndarray": b"cnumpy\nndarray\nK\x08\x85R.",
    "a changed name": b"cnumpy\nndarray\n}U\x01aK\x01sb.",
    "a huge array": array_with(b"(J\xff\xff\xff\x7ftKIND\x89U\x02abt".replace(b"abt", b"ab")),
    "a negative side": array_with(b"(J\xff\xff\xff\xfftKIND\x89U\x02ab"),
    "a list in itself": b"]q\x00h\x00a.",
    "a key that is a list": b"}]K\x01s.",
    "an early end": pickle.dumps({"a": 1})[:-1],
    "no pickle": b"\x00\x01\x02",
    "nothing": b"",
    "text beyond its end": b"T\xff\xff\xff\x7fabc.",
    "an unknown place": b"h\x05.",
    "an empty stack": b"\x85.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_pickle_is_an_error_and_nothing_is_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"a/batch is not a pickle of plain values: .*Nothing of it was run"):
        read_pickle(HOSTILE[name], "a/batch")
    assert not (tmp_path / "ran").exists()


def test_values_that_are_shared_many_times_are_read_once() -> None:
    value: Any = [0]
    for _ in range(6):
        value = [value] * 1000
    found = read_pickle(pickle.dumps(value), "a")
    assert len(found) == 1000
    assert found[0] is found[999]


@pytest.mark.filterwarnings("ignore:Few examples")
@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_a_data_set_pickled_again_by_python_3_is_read(protocol: int, tmp_path: Path) -> None:
    path = cifar10_python(tmp_path / "data", by_pickle(protocol))
    assert len(open_source(ImageData(path=path, size=8)).splits["train"]) == 24


@pytest.mark.parametrize("name", ["a shell", "an array of objects"])
def test_a_hostile_batch_stops_the_run(name: str, tmp_path: Path) -> None:
    path = cifar10_python(tmp_path / "data")
    (path / "data_batch_2").write_bytes(HOSTILE[name])
    with pytest.raises(UserError, match=r"data_batch_2 is not a pickle"):
        open_source(ImageData(path=path, size=8))
