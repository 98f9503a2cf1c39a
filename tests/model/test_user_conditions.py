"""What users give as conditions, in the form that a domain reads."""

from __future__ import annotations

import numpy as np
import pytest

from polydiff.core.conditions import Aligned, Classes, Tokens
from polydiff.model.user_conditions import as_words
from polydiff.support.errors import UserError


def test_only_kinds_with_array_values_take_arrays() -> None:
    kinds = {"label": Classes(3), "text": Tokens(2), "mel": Aligned(4)}
    array = np.zeros((2, 2))
    assert as_words({"label": 1, "text": "a.npy"}, kinds) == {"label": "1", "text": "a.npy"}
    assert as_words({"text": array}, kinds)["text"] is array
    for name in ("label", "mel", "unknown"):
        with pytest.raises(UserError, match=rf"{name} .*array of shape \(2, 2\)"):
            as_words({name: array}, kinds)
