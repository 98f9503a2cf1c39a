"""Values that a domain measures on its data become part of the resolved configuration of a new run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polydiff.config.data_defaults import with_data_defaults
from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.model.model import Model
from polydiff.training.trainer import resume, start


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Plain pictures of many shades, whose brightness is their first principal component."""
    (tmp_path / "photos").mkdir()
    for i in range(40):
        shade = np.full((16, 16), 6 * i, np.uint8)
        shade[i % 16, i // 16] = 255
        Image.fromarray(shade).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def values(photos: Path, **more: object) -> dict[str, object]:
    small = {"backbone.channels": 8, "backbone.mult": [1], "backbone.blocks": 1, "backbone.attention": []}
    return {"data.path": photos, "data.size": 16, "data.channels": 1, **small, **more}


def test_the_noise_range_follows_from_the_data_unless_the_user_set_it(photos: Path) -> None:
    settings = resolve("image", values=values(photos))
    domain = build_domain(settings.config)
    suited = with_data_defaults(settings, domain)
    highest = suited.config.schedule_options["sigma_max"]
    assert highest == pytest.approx(4 * domain.statistics["principal_std"], rel=0.01)
    assert 60 < highest < 64.5
    assert suited.provenance["schedule_options"] == suited.provenance["loss.times_options"] == "data"
    own = resolve("image", values=values(photos, **{"schedule_options.sigma_max": 30.0}))
    with pytest.warns(UserWarning, match="too little noise"):
        assert with_data_defaults(own, build_domain(own.config)) == own
    digits = resolve("image")
    assert with_data_defaults(digits, build_domain(digits.config)) == digits


def test_a_resumed_and_a_loaded_run_keep_the_measured_values(photos: Path, tmp_path: Path) -> None:
    few = {"train.steps": 2, "train.batch_size": 4, "sample.steps": 2, "train.sample_every": 9}
    run = start(resolve("image", values=values(photos, **few)), tmp_path / "run")
    config = Model.load(run).config
    assert config.schedule_options["sigma_max"] > 60
    assert "# data" in (run / "config.resolved.yaml").read_text()
    assert Model.load(resume(run, steps=3)).config.schedule_options == config.schedule_options
    assert Model.load(run).config.loss == config.loss
