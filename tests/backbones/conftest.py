"""Networks with weights that hide nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from clouds import awaken
from torch import nn


@pytest.fixture
def awake() -> Callable[..., nn.Module]:
    """The function that draws every parameter of a network."""
    return awaken
