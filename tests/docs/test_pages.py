"""What the documentation shows works: its commands and its Python, on fewer steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from repository import FEW, ROOT, blocks, commands

from polydiff.cli import main

FEWER = {"500": "20", "1000": "20", "5000": "6", "10000": "20"}


def photos(folder: Path) -> None:
    """A folder of small pictures."""
    folder.mkdir()
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def test_the_page_of_samplers_names_all_of_them() -> None:
    """Each sampler and each spacing stands in a table, with every option that it takes."""
    import inspect

    from polydiff.gaussian.sampling.plan import SAMPLERS
    from polydiff.gaussian.sampling.spacing import SPACINGS

    page = (ROOT / "docs" / "samplers.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for registry in (SAMPLERS, SPACINGS):
        for name in registry:
            row = next((row for row in rows if f"`{name}`" in row.split("|")[1]), None)
            assert row is not None, f"docs/samplers.md has no row for {name}"
            options = [
                p.name for p in inspect.signature(registry[name]).parameters.values() if p.default is not p.empty
            ]
            for option in options:
                assert f"`{option}`" in row or option in ("sigma_data", "last"), f"{name}: {option}"


def test_the_commands_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    # tested elsewhere: dalle2 in tests/pipeline, look in tests/looking, bonds in tests/domains/molecule/graphs
    elsewhere = {"points", "audio", "dalle2", "bonds", "serve", "look", "augment"}
    expected = [words for words in commands("README.md") if not elsewhere & set(words)]
    assert [words[0] for words in expected] == [
        *["train"] * 3,
        "sample",
        "sample",
        "solve",
        "eval",
        "export",
        "resume",
        "resume",
        *["train"] * 3,
        "domains",
    ]
    for words in expected:
        fewer = [re.sub(r"^(train\.steps=)?(\d+)$", lambda m: (m[1] or "") + FEWER.get(m[2], m[2]), w) for w in words]
        extra = {"train": FEW, "resume": ["--judge", "20"]}.get(words[0], [])
        assert main([*fewer, *extra]) == 0, words
    assert len(list((tmp_path / "sevens").glob("*.png"))) == 16
    assert len(list((tmp_path / "many").glob("*.png"))) == 20
    assert (tmp_path / "profile-image.json.gz").is_file()
    assert (tmp_path / "polydiff-weather" / "pyproject.toml").is_file()
    assert (tmp_path / "runs" / "image-001" / "report.html").is_file()


def test_the_commands_of_the_page_of_images_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        photos(tmp_path / "photos" / name)
    for name, side in {"photo.jpg": 48, "mask.png": 48, "small.png": 8}.items():
        Image.linear_gradient("L").resize((side, side)).save(tmp_path / name)
    for words in commands("docs/image.md"):
        if {"cifar10", "ddpm64"} & {*words}:
            continue  # presets for a GPU and data sets of their own (tests/laws/test_image_recipes.py)
        fewer = [word.replace("data.size=64", "data.size=16").replace("20,20:40,40", "5,5:10,10") for word in words]
        assert main([*fewer, *([*FEW[:-1], "0"] if words[0] == "train" else [])]) == 0, words
    assert {path.name for path in (tmp_path / "runs" / "pets" / "samples").glob("inpainted-*")} == {
        "inpainted-001",
        "inpainted-002",
    }
    assert len(list((tmp_path / "runs" / "larger" / "samples").glob("upsampled-*"))) == 2


@pytest.mark.parametrize("page", ["README.md", "docs/runs.md"])
def test_the_python_of_the_pages_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(page, "python")
    few = '{"train.steps": 4, "train.batch_size": 8, "backbone.channels": 16, "backbone.blocks": 1, "sample.steps": 3}'
    assert '{"train.steps": 500}' in code
    exec(code.replace('{"train.steps": 500}', few).replace("n=500", "n=20").replace("n=200", "n=20"), {})
    assert (tmp_path / "runs" / "image-001" / "report.html").is_file()


def test_the_page_of_cascades_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands("docs/cascades.md"):
        assert main([*words, *FEW[:-1], "0"]) == 0, words
    (code,) = blocks("docs/cascades.md", "python")
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert scope["up"].config.misfit(scope["base"].config) is None
    assert [tuple(image.shape) for image in scope["large"]] == [(3, 32, 32)] * 4
    assert len(list((tmp_path / "large").glob("*.png"))) == 4


@pytest.mark.parametrize("page", ["docs/guidance.md", "docs/control.md"])
def test_the_pages_of_guidance_and_control_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polydiff.gaussian.guidance.method import GUIDANCE

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--domain", "image", "-o", "runs/image-001", *FEW[:-1], "0"]) == 0
    if "audio-001" in (ROOT / page).read_text():
        assert main(["train", "--domain", "audio", "-o", "runs/audio-001", *FEW[:-1], "0"]) == 0
    scope: dict[str, Any] = {}
    with GUIDANCE.temporary():
        for code in blocks(page, "python"):
            exec(code, scope)
    assert torch.isfinite(scope["x"]).all()


def test_the_page_on_your_own_tensors_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples have the requested classes, the known coordinate stays, the density is near the exact one."""
    from polydiff.testing.analytic import GaussianMixture

    scope: dict[str, Any] = {}
    code = [block.replace("steps=1500", "steps=800") for block in blocks("docs/tensors.md", "python")]
    monkeypatch.chdir(tmp_path)
    for block in code:
        exec(block, scope)
    centres, label = scope["centres"], scope["label"]
    for name in ("x", "strong"):
        assert (torch.cdist(scope[name], centres).argmin(1) == label).float().mean() > 0.97
    shares = torch.bincount(torch.cdist(scope["free"], centres).argmin(1), minlength=3) / 300
    assert ((shares - 1 / 3).abs() < 0.1).all()
    assert (scope["completed"][:, 0] - 1.2).abs().max() < 1e-5
    assert scope["completed"][:, 1].median() < -0.4
    exact = GaussianMixture(centres, variances=torch.full((3, 2), 0.25**2))
    truth = exact.log_prob(scope["noisy"].double(), torch.full((300,), 0.1, dtype=torch.float64))
    assert (scope["density"].double() - truth).mean().abs() < 0.5


def test_the_features_of_the_audio_page_are_logarithms_of_its_level(tmp_path: Path) -> None:
    from polydiff.metrics.features import open_extractor

    code = next(code for code in blocks("docs/audio.md", "python") if "def features" in code)
    (tmp_path / "embed.py").write_text(code)
    features, x = open_extractor(f"{tmp_path / 'embed.py'}:features"), torch.randn(5, 2, 4096)
    torch.testing.assert_close(
        features(list(2 * x)) - features(list(x)),
        torch.full((5, 129), np.log(2), dtype=torch.float64),
        atol=1e-4,
        rtol=0,
    )


def test_the_sampler_of_the_documentation_is_of_second_order() -> None:
    """The page shows a whole sampler; it registers, runs and converges as it says."""
    from oracles import convergence

    from polydiff.gaussian.sampling.plan import SAMPLERS

    scope: dict[str, Any] = {}
    _, lms, ab2 = blocks("docs/samplers.md", "python")
    with SAMPLERS.temporary():
        exec(lms, scope)
        exec(ab2, scope)
        assert abs(convergence(SAMPLERS["ab2"], (80, 160, 320)) - 2) < 0.15


def test_the_core_page_trains_and_samples() -> None:
    """With a ring as data and a small network; the samples lie near the ring."""
    from polydiff.backbones.config import MLPConfig
    from polydiff.contract.backbone import build_backbone

    def ring(n: int, step: int) -> torch.Tensor:
        angle = 6.2832 * torch.rand(n, generator=torch.Generator().manual_seed(step))
        return torch.stack([angle.cos(), angle.sin()], -1) * 2**0.5

    torch.manual_seed(0)
    network = build_backbone(MLPConfig(hidden=64, layers=3), channels=2, dims=0, conditions={})
    scope: dict[str, Any] = {"ring": ring, "network": network}
    code = blocks("docs/core.md", "python")[1]
    assert "steps=1000" in code
    exec(code.replace("steps=1000", "steps=400"), scope)
    radius = scope["x"].norm(dim=1)
    assert (radius / 2**0.5 - 1).abs().median() < 0.1


def test_the_python_of_the_page_on_likelihoods_runs(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    for code in blocks("docs/likelihood.md", "python"):
        exec(code, scope)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["continuous", "chain", "flow", "log"]
    bound, truth = (float(lines[2].split()[i]) for i in (1, 3))
    assert abs(bound - truth) < 0.05


def test_published_features_are_resized_and_normalised_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's file with a small network in place of Inception; images of any size, grey ones too."""
    from polydiff.metrics.features import open_extractor

    class Inception(torch.nn.Module):
        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            return x.float().mean((2, 3)) if return_features else x.float()

    monkeypatch.chdir(tmp_path)
    torch.jit.script(Inception()).save("inception-2015-12-05.pt")
    (source,) = (block for block in blocks("docs/image.md", "python") if "def inception(" in block)
    Path("published.py").write_text(source)
    grey = [torch.full((1, 20, 20), value, dtype=torch.uint8) for value in (0, 255)]
    assert open_extractor("published.py:inception")(grey).tolist() == [[0.0] * 3, [255.0] * 3]
    scope: dict[str, Any] = {}
    exec(source, scope)
    out = scope["resized"](torch.stack(grey), 14, (0.5, 0.5, 0.25), (0.5, 0.5, 0.25))
    assert out.shape == (2, 3, 14, 14)
    assert torch.allclose(out.mean((2, 3)), torch.tensor([[-1.0, -1, -1], [1, 1, 3]]))


def test_the_page_on_angles_and_rotations_runs() -> None:
    """Both attitudes are drawn equally often, and the body wobbles about them as in the data."""
    scope: dict[str, Any] = {}
    for block in blocks("docs/manifolds.md", "python"):
        exec(block.replace("steps=1500", "steps=300"), scope)
    angles = scope["angles"]
    assert abs(float((angles[1] < angles[0]).float().mean()) - 0.5) < 0.1
    assert float(angles.amin(0).square().mean().sqrt()) / 3**0.5 == pytest.approx(0.2, abs=0.09)


def test_the_page_on_angles_and_rotations_names_all_samplers() -> None:
    from polydiff.parts.geodesic import FLOWS

    page = (ROOT / "docs" / "manifolds.md").read_text()
    assert [name for name in FLOWS if f"| `{name}`" not in page] == []
