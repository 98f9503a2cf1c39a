"""task=inpaint of images of letters: known pixels stay open in the state."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import polydiff
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.core.conditions import KNOWN
from polydiff.core.streams import streams
from polydiff.domains.image.domain import Image
from polydiff.model.model import Model
from polydiff.model.restore import paired, restore
from polydiff.support.errors import UserError

SMALL = {"backbone.channels": 8, "backbone.blocks": 1, "backbone.attention": [], "sample.steps": 2, "device": "cpu"}


def made(**keys: Any) -> Model:
    config = resolve("image", values={**SMALL, **keys}).config
    domain = Image(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())


def test_known_pixels_are_kept_and_held_out_images_are_judged() -> None:
    model = made(process="masked", task="inpaint")
    batch = model.domain.batch("test", range(5), streams(0, "task", range(5)))
    here = batch.cond[KNOWN] >= 0
    assert 0 < int(here.sum()) < here.numel()
    true, images = (
        torch.stack(list(one)) for one in (model.domain.decode(batch.x, batch.space), restore(model, batch).examples)
    )
    assert torch.equal(images[here], true[here])
    assert not torch.equal(images, true)
    kept = polydiff.inpaint(model, batch, here[:1], guidance=1.0)
    assert torch.equal(torch.stack(list(kept.examples))[:, here[0]], true[:, here[0]])
    found = paired(model.request(), 4).metrics
    assert found["baseline"]["psnr"].value < found["data"]["psnr"].value


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"process": "uniform", "task": "inpaint"}, "process=uniform does not show"),
        ({"process": "masked", "task": "upsample"}, "tasks generate and inpaint alone"),
    ],
)
def test_tasks_that_letters_lack_are_errors(keys: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Image(resolve("image", values=keys).config)
