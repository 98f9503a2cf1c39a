"""Captions read by a pretrained text encoder from a local folder, here a tiny one with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from polydiff.contract.data.columns import measure_fields
from polydiff.contract.fields import from_json, to_json
from polydiff.contract.sections.data import CaptionConfig
from polydiff.contract.text.encoded import EncodedText
from polydiff.core.conditions import Tokens
from polydiff.core.streams import streams
from polydiff.support.errors import UserError

TRAIN = ["a small red circle", "a blue square", None, "a red square"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "small", "red", "blue", "circle", "square"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of width 8 and its tokenizer, as save_pretrained writes them."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("encoder")
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    pair = [("[CLS]", 2), ("[SEP]", 3)]
    model.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="[PAD]", model_max_length=12)
    fast.save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(path)
    return path


def field(folder: Path, longest: int = 64) -> EncodedText:
    made = measure_fields(
        [{"text": text} if text else {} for text in TRAIN],
        [1] * len(TRAIN),
        {"text": "text"},
        {},
        CaptionConfig(encoder=folder, longest=longest),
    )["text"]
    assert isinstance(made, EncodedText)
    return made


def test_captions_become_the_encoders_states_of_unit_scale(folder: Path) -> None:
    import transformers

    made = field(folder)
    cond = made.encode(TRAIN)
    assert made.kind == Tokens(8, pooled=True)
    assert cond.shape == (4, 6, 8)
    assert cond[2].isnan().all()
    model = transformers.AutoModel.from_pretrained(folder).eval()
    numbers = transformers.AutoTokenizer.from_pretrained(folder)("a blue square", return_tensors="pt")
    expected = model(**numbers).last_hidden_state[0].detach()
    torch.testing.assert_close(cond[1, :5] * made.scale, expected)
    assert cond[1, 5].isnan().all()
    assert float(cond[~cond.isnan()].square().mean().sqrt()) == pytest.approx(1, rel=1e-5)


def test_a_text_does_not_depend_on_its_batch(folder: Path) -> None:
    made = field(folder)
    both = made.encode(["a blue square", "a small red circle"])
    assert torch.equal(made.encode(["a blue square"])[0].nan_to_num(), both[0].nan_to_num())


def test_words_come_back_and_json_keeps_the_field(folder: Path) -> None:
    made = field(folder)
    assert made.words(made.encode(TRAIN)) == ["a small red circle", "a blue square", "any", "a red square"]
    again = from_json(json.loads(json.dumps(to_json({"text": made}))))["text"]
    assert torch.equal(again.encode(TRAIN).nan_to_num(), made.encode(TRAIN).nan_to_num())
    assert set(made.words(made.draw(streams(0, "draw", range(20))))) <= {text for text in TRAIN if text}
    assert bool(made.request("text", "any", 2).isnan().all())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("", "holds no word"), ("a " * 7, "has 9 tokens, and the longest caption of training has 6")],
)
def test_texts_that_cannot_be_read_are_errors(folder: Path, wanted: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        field(folder).request("text", wanted, 1)


def test_captions_beyond_a_limit_stop_with_an_example(folder: Path) -> None:
    with pytest.raises(UserError, match=r"1 captions have more tokens than data\.text\.longest 5, such as"):
        field(folder, longest=5)


def test_an_encoder_that_changed_or_went_is_an_error(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    saved: dict[str, Any] = to_json({"text": field(copy)})
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    with pytest.raises(UserError, match="is not that of training"):
        from_json(saved)["text"].encode(["a red circle"])
    shutil.rmtree(copy)
    with pytest.raises(UserError, match=r"is not there or holds no config\.json"):
        from_json({"text": {**saved["text"], "digest": "0"}})["text"].encode(["a red circle"])


def test_weights_that_are_pickles_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "pickled"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        field(copy)


def test_a_missing_library_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install \"polydiff\[text\]\""):
        field(folder)
