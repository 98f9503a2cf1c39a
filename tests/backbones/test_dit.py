"""The diffusion transformer: any size, one definition for both dimensions, nothing at the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import DiTConfig
from polydiff.backbones.dit import DiT
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import ESTIMATE, STEP, Aligned, Classes, Kind, Number, Tokens
from polydiff.core.space import Euclidean
from polydiff.core.streams import stream
from polydiff.testing.backbone import check_backbone

Awake = Callable[..., nn.Module]
TINY = DiTConfig(width=16, depth=2, heads=2)
CONDITIONS: dict[str, Kind] = {"type": Classes(3), "pitch": Number()}
TEXT: dict[str, Kind] = {**CONDITIONS, "text": Tokens(5)}
SHAPES = {"1-D": (2, 23), "2-D": (3, 7, 10)}
BOTH = pytest.mark.parametrize("shape", list(SHAPES.values()), ids=list(SHAPES))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "state"))


def dit(shape: tuple[int, ...], conditions: dict[str, Kind] = CONDITIONS, **options: Any) -> DiT:
    config = DiTConfig(**{**TINY.model_dump(), **options})
    return DiT(config, channels=shape[0], dims=len(shape) - 1, conditions=conditions)


def cond(batch: int) -> dict[str, Tensor]:
    pitch = torch.linspace(-1, 1, batch)
    pitch[0] = torch.nan
    return {"type": torch.arange(batch) % 4 - 1, "pitch": pitch}


def with_text(batch: int) -> dict[str, Tensor]:
    text = drawn(batch, 4, 5, seed=3)
    text[0] = torch.nan
    text[1, 2:] = torch.nan
    return {**cond(batch), "text": text}


@BOTH
@pytest.mark.parametrize(
    "options", [{}, {"variance": True}, {"patch": 3, "bottleneck": 4, "dropout": 0.1}], ids=["plain", "variance", "jit"]
)
def test_conforms(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    check_backbone(dit(shape, **options), Euclidean(4, shape), drawn(4, *shape), cond(4))
    check_backbone(dit(shape, TEXT, **options), Euclidean(4, shape), drawn(4, *shape), with_text(4))


@BOTH
@pytest.mark.parametrize("every", [1, 2, 4])
def test_signals_enter_beside_the_patches(shape: tuple[int, ...], every: int) -> None:
    kind = Aligned(2, every)
    signal = drawn(3, *kind.shape(shape[1:]), seed=2)
    signal[0, :, :2] = torch.nan
    network = dit(shape, {"signal": kind})
    check_backbone(network, Euclidean(3, shape), drawn(3, *shape), {"signal": signal})


@BOTH
def test_an_earlier_estimate_and_the_size_of_a_step_are_conditions(shape: tuple[int, ...], awake: Awake) -> None:
    config = DiTConfig(**{**TINY.model_dump(), "self_condition": True, "step_size": True})
    network = build_backbone(config, channels=shape[0], dims=len(shape) - 1, conditions={})
    network = awake(network)
    x, space = drawn(3, *shape), Euclidean(3, shape)
    estimate, step = drawn(3, *shape, seed=1), torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        plain = network(x, torch.zeros(3), space)
        absent = {ESTIMATE: torch.full_like(x, torch.nan), STEP: torch.full((3,), torch.nan)}
        torch.testing.assert_close(network(x, torch.zeros(3), space, absent), plain, rtol=1e-5, atol=1e-5)
        for given in ({ESTIMATE: estimate}, {STEP: step}):
            changes = (network(x, torch.zeros(3), space, given) - plain).flatten(1).abs().amax(1)
            assert changes.min() > 1e-3, given.keys()


@BOTH
def test_starts_at_zero_and_trains_every_parameter(shape: tuple[int, ...], awake: Awake) -> None:
    network = dit(shape, TEXT, bottleneck=4)
    x, space = drawn(4, *shape), Euclidean(4, shape)
    assert not network(x, torch.zeros(4), space, with_text(4)).any()
    f = awake(network)(x, torch.zeros(4), space, with_text(4))
    (f - drawn(4, *shape, seed=1)).square().sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.any(), name
        assert p.grad.isfinite().all(), name


def test_steps_of_training_move_every_parameter() -> None:
    """The output starts at 0 and gates are closed, so the first steps open them; then every parameter moves."""
    torch.manual_seed(0)
    shape = SHAPES["2-D"]
    network = dit(shape, TEXT)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.0)
    moved = []
    for step in range(4):
        optimizer.zero_grad()
        f = network(drawn(4, *shape, seed=step), torch.zeros(4), Euclidean(4, shape), with_text(4))
        (f - drawn(4, *shape, seed=9)).square().mean().backward()
        optimizer.step()
        moved.append({name for name, p in network.named_parameters() if not torch.equal(p, before[name])})
    assert moved[0] == {"out.weight", "out.bias"}
    assert set(before) - moved[-1] == set()


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 5))
@settings(max_examples=25)
def test_odd_sizes_are_zero_padded_and_cropped(height: int, length: int, patch: int) -> None:
    for shape in ((1, length), (2, height, length)):
        torch.manual_seed(0)
        network = dit(shape, {}, patch=patch)
        nn.init.normal_(network.out.weight, std=0.1)
        x = drawn(1, *shape)
        padded = functional.pad(x, [p for n in reversed(shape[1:]) for p in (0, -n % patch)])
        log_sigma = torch.zeros(1)
        with torch.no_grad():
            f = network(x, log_sigma, Euclidean(1, shape))
            whole = network(padded, log_sigma, Euclidean(1, padded.shape[1:]))
        assert f.any()
        assert f.isfinite().all()
        torch.testing.assert_close(f, whole[tuple(slice(n) for n in x.shape)])


def at_place(network: nn.Module, x: Tensor, row: int, column: int) -> Tensor:
    """Output at one patch of 2 x 2."""
    f: Tensor = network(x, torch.zeros(len(x)), Euclidean(len(x), x.shape[1:]))
    return f[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]


def test_a_picture_of_one_patch_repeated_gives_one_patch_repeated(awake: Awake) -> None:
    """Nothing marks a place but the patches around it, so equal ones cannot be distinguished, at any size."""
    network = awake(dit((3, 6, 8)))
    one = drawn(2, 3, 2, 2)
    with torch.no_grad():
        small, large = (at_place(network, one.repeat(1, 1, n, m), 0, 0) for n, m in ((1, 1), (3, 4)))
        torch.testing.assert_close(large, small, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(at_place(network, one.repeat(1, 1, 3, 4), 2, 1), small, rtol=1e-4, atol=1e-5)
        other = one.repeat(1, 1, 3, 4)
        other[..., :2, :2] = 0
        assert (at_place(network, other, 2, 1) - small).abs().max() > 1e-3


def test_a_picture_of_one_row_of_patches_has_the_positions_of_a_picture(awake: Awake) -> None:
    """Two equal rows read as one row twice only if the columns have the same angles in both pictures."""
    network = awake(dit((1, 2, 12), {}))
    row, rows = (
        network.places(torch.Size(sizes), network.embed(torch.zeros(1), None), torch.device("cpu")).angle
        for sizes in ((1, 6), (2, 6))
    )
    assert torch.equal(row, rows[:6])


@pytest.mark.parametrize(("dims", "sizes"), [(1, (1, 6)), (2, (3, 4))])
def test_tokens_of_conditions_take_no_place(dims: int, sizes: tuple[int, int]) -> None:
    """They are not turned, and the patches have the same angles with and without them."""
    shape = (1, *(2 * n for n in sizes[2 - dims :]))
    bare, reading = dit(shape, {}), dit(shape, TEXT)
    there, here = (
        network.places(torch.Size(sizes), network.embed(torch.zeros(3), given), torch.device("cpu"))
        for network, given in ((bare, None), (reading, with_text(3)))
    )
    assert there.read is None
    assert torch.equal(here.angle[5:], there.angle)
    assert not here.angle[:5].any()
    assert here.read is not None
    assert here.read[:, 0, 0, :5].tolist() == [[True] + [False] * 4, [True] * 3 + [False] * 2, [True] * 5]
    assert here.read[..., 5:].all()


@pytest.mark.parametrize("more", [1, 7])
@BOTH
def test_tokens_that_are_not_given_change_nothing(shape: tuple[int, ...], more: int, awake: Awake) -> None:
    network = awake(dit(shape, TEXT))
    x, space, given = drawn(3, *shape), Euclidean(3, shape), with_text(3)
    padding = torch.full((3, more, 5), torch.nan)
    with torch.no_grad():
        plain = network(x, torch.zeros(3), space, given)
        padded = network(x, torch.zeros(3), space, {**given, "text": torch.cat([given["text"], padding], 1)})
        torch.testing.assert_close(padded, plain, rtol=1e-5, atol=1e-5)
        first = network(x[1:2], torch.zeros(1), Euclidean(1, shape), {k: v[1:2] for k, v in given.items()})
        alone = {k: v[1:2] for k, v in given.items()} | {"text": given["text"][1:2, :2]}
        torch.testing.assert_close(
            network(x[1:2], torch.zeros(1), Euclidean(1, shape), alone), first, rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(first, plain[1:2], rtol=1e-5, atol=1e-5)
        other = network(x, torch.zeros(3), space, {**given, "text": -given["text"]})
    changes = (other - plain).flatten(1).abs().amax(1)
    assert changes[0] < 1e-5
    assert changes[1:].min() > 1e-3


@BOTH
def test_a_batch_without_any_token_has_finite_gradients(shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(dit(shape, TEXT))
    x, space = drawn(2, *shape), Euclidean(2, shape)
    nothing = {"text": torch.full((2, 3, 5), torch.nan)}
    f = network(x, torch.zeros(2), space, nothing)
    f.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for n, p in network.named_parameters())
    torch.testing.assert_close(network(x, torch.zeros(2), space), f, rtol=1e-5, atol=1e-5)


@BOTH
def test_the_output_does_not_depend_on_the_batch(shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(dit(shape, TEXT))
    x, given, levels = drawn(5, *shape), with_text(5), torch.linspace(-3, 2, 5)
    with torch.no_grad():
        together = network(x, levels, Euclidean(5, shape), given)
        for i in range(5):
            one = slice(i, i + 1)
            alone = network(x[one], levels[one], Euclidean(1, shape), {k: v[one] for k, v in given.items()})
            torch.testing.assert_close(alone, together[one], rtol=1e-4, atol=1e-5)


def test_the_height_of_a_waveform_is_no_axis(awake: Awake) -> None:
    """Angles of a waveform depend on its samples alone, with all numbers of a head."""
    network = dit((2, 24), {})
    angle = network.places(torch.Size((1, 12)), network.embed(torch.zeros(1), None), torch.device("cpu")).angle
    assert angle.shape == (12, TINY.width // TINY.heads // 2)
    assert angle[:, 0].tolist() == list(range(12))


@BOTH
def test_bf16_stays_near(shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(dit(shape, TEXT))
    x, space = drawn(4, *shape), Euclidean(4, shape)
    exact = network(x, torch.zeros(4), space, with_text(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(x, torch.zeros(4), space, with_text(4))
    assert 0 < float(((rough - exact).norm() / exact.norm()).detach()) < 0.03


@BOTH
def test_the_whole_network_is_one_graph(shape: tuple[int, ...], awake: Awake) -> None:
    network = awake(dit(shape, TEXT))
    arguments = drawn(2, *shape), torch.zeros(2), Euclidean(2, shape), with_text(2)
    plain = network(*arguments)
    network.compile(backend="eager")
    torch.testing.assert_close(network(*arguments), plain, rtol=1e-5, atol=1e-5)


@BOTH
def test_recomputed_activations_change_no_gradient(shape: tuple[int, ...], awake: Awake) -> None:
    def gradients(recompute: bool) -> list[Tensor]:
        network = awake(dit(shape, TEXT, recompute=recompute, dropout=0.3))
        network.train()
        torch.manual_seed(1)
        network(drawn(3, *shape), torch.zeros(3), Euclidean(3, shape), with_text(3)).square().mean().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    kept, again = gradients(False), gradients(True)
    assert len(kept) > 20
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_a_bottleneck_reduces_a_patch() -> None:
    network = dit((3, 8, 8), {}, patch=4, bottleneck=5)
    assert isinstance(network.stem, nn.Sequential)
    assert [tuple(layer.weight.shape) for layer in network.stem] == [(5, 48), (16, 5)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 100, "heads": 6}, r"width=100 must be a multiple of 4 \* heads=24"),
        ({"patch": 0}, "patch"),
        ({"ratio": 0.0}, "ratio"),
        ({"blocks": 2}, "blocks"),
    ],
)
def test_impossible_settings_raise_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DiTConfig(**wrong)


def test_feed_forward_layers_have_about_the_parameters_of_plain_ones() -> None:
    """At the default ratio, three matrices of D x 8/3 D are as large as two of D x 4 D."""
    assert DiTConfig().hidden == 1024
    assert DiTConfig(width=4, heads=1, ratio=0.1).hidden == 8


def test_dimensions_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="1 or 2 dimensions, not in 3"):
        DiT(TINY, channels=1, dims=3, conditions={})
