"""A contrastive pair that several files of tests share; none of them changes it."""

from __future__ import annotations

import pytest
from stage_cases import CaptionedPair, captioned, trained_pair


@pytest.fixture(scope="session", params=["image", "audio"])
def captioned_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CaptionedPair:
    folder, domain = tmp_path_factory.mktemp(f"pair-{request.param}"), request.param
    data = captioned(domain, folder / "data")
    return domain, trained_pair(domain, folder / "pair", data), data
