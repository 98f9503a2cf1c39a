"""Scenes of shapes as a data set of the image domain: captions are conditions, and samples are judged by a detector."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from polydiff.config.processes import process_of
from polydiff.contract.domain import Samples
from polydiff.core.conditions import Text
from polydiff.core.streams import streams
from polydiff.domains.image.config import ImageConfig, ImageData
from polydiff.domains.image.domain import Image
from polydiff.domains.image.shapes.dataset import Shapes
from polydiff.judging.evaluate import further_prompts, to_judge
from polydiff.model.model import Model
from polydiff.model.prompted import prompted, shown_request
from polydiff.model.request import Request


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(ImageConfig(data=ImageData(name="shapes", things=(1, 2))))


def test_batches_are_the_scenes_with_their_captions(image: Image) -> None:
    indices = [3, 999_999, 17]
    batch = image.batch("train", indices, streams(0, "augment", range(3)))
    pictures, captions = Shapes(32, (1, 2)).batch(indices)
    assert torch.equal(torch.stack(image.decode(batch.x, batch.space)), pictures)
    assert batch.cond is not None
    assert [words["text"] for words in image.describe(batch.cond)] == captions
    assert image.conditions == {"text": Text(35, 21)}


def test_real_examples_agree_with_their_captions_and_exchanged_ones_do_not(image: Image) -> None:
    real = image.examples("test", 200)
    assert image.agreement(real)["all_right"].value == 1
    assert image.agreement(image.examples("unseen", 200))["all_right"].value == 1
    assert real.cond is not None
    exchanged = Samples(real.examples, {"text": real.cond["text"].roll(1, 0)})
    assert image.agreement(exchanged)["all_right"].value < 0.1


def test_captions_of_another_grammar_are_not_judged(image: Image) -> None:
    real = image.examples("test", 2)
    _, cond = image.blank(streams(0, "blank", range(2)), {"text": "red circle small"})
    assert image.agreement(Samples(real.examples, cond)) == {}
    _, cond = image.blank(streams(0, "blank", range(2)), {"text": "any"})
    assert image.agreement(Samples(real.examples, cond)) == {}


@pytest.mark.parametrize("keys", [{"size": 40}, {"channels": 1}, {"flip": True}, {"things": ()}, {"things": (4,)}])
def test_keys_that_do_not_fit_scenes_are_errors(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"shapes needs colours|are for folders|things"):
        ImageData(name="shapes", **keys)  # type: ignore[arg-type]


def test_samples_are_judged_under_captions_that_training_lacks(image: Image) -> None:
    backbone = image.config.backbone.model_copy(update={"channels": 16, "mult": (1, 1), "patch": 8, "blocks": 1})
    config = image.config.model_copy(update={"backbone": backbone})
    network = process_of(config).network(config, image, torch.device("cpu"))
    model = Model(config, image, network)
    request = Request.of(model, {"steps": 1, "guidance": 1.0})
    for split in ("test", "unseen"):
        drawn = prompted(request, split, 5, seed=0)
        real = model.domain.examples(split, 5)
        assert drawn.cond is not None
        assert real.cond is not None
        assert torch.equal(drawn.cond["text"], real.cond["text"])
    beside = shown_request(request, 5)[0].joined(range(5), 0)  # on a page: captions of the real examples beside them
    assert beside.cond is not None
    assert torch.equal(beside.cond["text"], model.domain.examples("test", 5).cond["text"])
    sets = to_judge(request, 5, 0, None).sets
    assert set(sets) == {"value", "data", "noise"}
    rows = further_prompts(request, 5, 0, None)
    assert rows["data"]["unseen_all_right"].value == 1
    assert rows["noise"]["unseen_no_scene"].value == 1
    assert rows["value"].keys() == rows["data"].keys()
    assert further_prompts(request, 5, 0, {"text": "a red circle"})["value"] == {}
