"""Feature extractors of the user: files and functions, errors, and the Frechet distance on their features."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.judging.evaluate import feature_metrics
from polydiff.metrics.features import open_extractor
from polydiff.metrics.frechet import frechet_distance
from polydiff.support.errors import UserError


def torchscript(path: Path) -> Path:
    """Write a TorchScript file whose features are mean and largest value of each channel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        class Net(torch.nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.cat([x.mean(-1), x.amax(-1)], 1)

        torch.jit.save(torch.jit.trace(Net(), torch.zeros(2, 1, 8)), path)
    return path


def python(path: Path, body: str = "return torch.cat([x.mean(-1), x.amax(-1)], 1)") -> str:
    path.write_text(f"import torch\n\n\ndef embed(x):\n    {body}\n")
    return f"{path}:embed"


def sounds(n: int, seed: int) -> list[Tensor]:
    return list(torch.randn(n, 1, 50, generator=torch.Generator().manual_seed(seed)))


def test_a_file_and_a_function_give_the_same_features(tmp_path: Path) -> None:
    x = sounds(150, 0)
    truth = torch.stack([torch.cat([one.mean(-1), one.amax(-1)]) for one in x]).double()
    file, function = open_extractor(str(torchscript(tmp_path / "net.pt"))), open_extractor(python(tmp_path / "own.py"))
    for features in (file, function):
        torch.testing.assert_close(features(x), truth, atol=1e-6, rtol=1e-6)
    assert file.digest == hashlib.sha256((tmp_path / "net.pt").read_bytes()).hexdigest()[:16]
    assert function.digest == hashlib.sha256((tmp_path / "own.py").read_bytes()).hexdigest()[:16]


def test_a_function_of_a_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python(tmp_path / "polydiff_own_features.py")
    monkeypatch.syspath_prepend(tmp_path)
    x = sounds(3, 0)
    truth = torch.stack([torch.cat([one.mean(-1), one.amax(-1)]) for one in x]).double()
    torch.testing.assert_close(open_extractor("polydiff_own_features:embed")(x), truth, atol=1e-6, rtol=1e-6)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    """Neither a file of torch.save nor one that imitates TorchScript can run code from a pickle."""
    saved = tmp_path / "saved.pt"
    torch.save({"net": Trap()}, saved)
    trap = zipfile.ZipFile(saved).read("saved/data.pkl")
    original, posing = zipfile.ZipFile(torchscript(tmp_path / "net.pt")), io.BytesIO()
    with zipfile.ZipFile(posing, "w") as archive:
        for name in original.namelist():
            archive.writestr(name, trap if name.endswith(("data.pkl", "constants.pkl")) else original.read(name))
    (tmp_path / "posing.pt").write_bytes(posing.getvalue())
    (tmp_path / "text.pt").write_text("not a network")
    for name in ("saved.pt", "posing.pt", "text.pt"):
        with pytest.raises(UserError, match="no TorchScript file"):
            open_extractor(str(tmp_path / name))


def test_anything_but_an_extractor_raises_an_error(tmp_path: Path) -> None:
    own = python(tmp_path / "own.py")
    for name, message in {
        "nowhere.pt": "no file",
        f"{tmp_path}/none.py:embed": "cannot be imported",
        "no_such_module:embed": "cannot be imported",
        own.replace("embed", "other"): "has no function other",
    }.items():
        with pytest.raises(UserError, match=message):
            open_extractor(name)
    for body, message in {
        "return x": r"shape \(3, D\); it returns \(3, 1, 50\)",
        "return None": "returns NoneType",
        "return x @ x": "fails on examples of shape",
        "return x.mean((0, 1))[None]": r"it returns \(1, 50\)",
    }.items():
        with pytest.raises(UserError, match=message):
            open_extractor(python(tmp_path / "own.py", body))(sounds(3, 0))
    with pytest.raises(UserError, match="tensors of one shape"):
        open_extractor(own)([torch.zeros(1, 5), torch.zeros(1, 6)])


def test_all_sets_are_compared_with_equal_numbers_of_examples(tmp_path: Path) -> None:
    features = open_extractor(python(tmp_path / "own.py"))
    sets = {"value": Samples(sounds(200, 2)), "data": Samples(sounds(80, 3)), "noise": Samples(sounds(200, 4))}
    known = features(sounds(80, 1))
    for examples in sets.values():
        found = feature_metrics(features, known, examples, 80)["feature_fd"]
        assert found.value == frechet_distance(features(examples.examples[:80]), known)
        assert "of 80 examples to 80 of training on 2 features" in found.meaning
        assert features.digest in found.meaning
