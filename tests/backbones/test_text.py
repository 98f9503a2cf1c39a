"""Text as a condition of the networks: padding changes nothing, word order counts, every network reads it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, MLPConfig, UNetConfig
from polydiff.backbones.embed import ContextEmbedding, Pool
from polydiff.backbones.text import TextEncoder
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.network import BackboneConfig, TextConfig
from polydiff.core.conditions import Text
from polydiff.core.space import Euclidean

KIND = Text(20, 8)
SHORT = torch.tensor([[3, 1, 4]])
PADDED = torch.tensor([[3, 1, 4, -1, -1]])


def test_padding_changes_no_vector() -> None:
    encoder = TextEncoder(KIND, 16, TextConfig(width=32)).eval()
    alone, _ = encoder(SHORT)
    both, there = encoder(torch.cat([PADDED, torch.tensor([[5, 6, 7, 8, 9]])]))
    torch.testing.assert_close(both[:1, :3], alone, rtol=0, atol=1e-5)
    assert there.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_one_layer_equals_the_written_formula() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(KIND, 6, TextConfig(width=8, heads=2, layers=1, kernel=3)).eval().double()
    block = encoder.blocks[0]
    h = torch.cat([encoder.start[None], encoder.table(SHORT[0])]) + encoder.positions[:4]
    q, k, v = block.qkv(block.norms[0](h)).reshape(4, 3, 2, 4).permute(1, 2, 0, 3)
    mixed = torch.softmax(q @ k.mT / 2, -1) @ v
    h = h + block.out(mixed.permute(1, 0, 2).reshape(4, 8))
    padded, weight = nn.functional.pad(block.norms[1](h), (0, 0, 1, 1)), block.first.weight
    inner = block.first.bias + sum(padded[j : j + 4] @ weight[:, :, j].T for j in range(3))
    h = h + block.second(nn.functional.gelu(inner))
    torch.testing.assert_close(encoder(SHORT)[0][0], encoder.out(encoder.norm(h))[1:])


def test_the_order_of_words_counts() -> None:
    encoder = TextEncoder(KIND, 16, TextConfig()).eval()
    a, b = (encoder(torch.tensor([order]))[0].mean(1) for order in ([1, 2, 3], [2, 1, 3]))
    assert float((a - b).detach().abs().max()) > 1e-2


def test_without_any_text_all_gradients_are_finite() -> None:
    embed = ContextEmbedding({"text": KIND}, 16)
    context = embed(torch.zeros(2), {"text": KIND.blank(2)})
    assert context.tokens is not None
    (context.vector.sum() + context.tokens.sum()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in embed.parameters() if p.grad is not None)


def test_a_missing_name_and_a_blank_text_mean_the_same() -> None:
    embed = ContextEmbedding({"text": KIND}, 16).eval()
    torch.testing.assert_close(
        embed(torch.zeros(2), None).vector, embed(torch.zeros(2), {"text": KIND.blank(2)}).vector
    )


def test_the_mean_is_over_given_tokens() -> None:
    pool = Pool(4)
    tokens = torch.randn(1, 3, 4)
    there = torch.tensor([[True, False, True]])
    torch.testing.assert_close(pool(tokens, there), pool.out((tokens[:, 0] + tokens[:, 2]) / 2))
    torch.testing.assert_close(pool(tokens, ~there & there)[0], pool.null)


NETWORKS: list[tuple[BackboneConfig, int, tuple[int, ...]]] = [
    (UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2), 2, (3, 8, 8)),
    (UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2), 1, (1, 32)),
    (MLPConfig(hidden=16, layers=1), 0, (5,)),
]


@pytest.mark.parametrize(("config", "dims", "shape"), NETWORKS, ids=["unet 2-D", "unet 1-D", "mlp"])
def test_networks_read_a_text_and_padding_changes_no_output(
    config: BackboneConfig, dims: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    network = build_backbone(config, channels=shape[0], dims=dims, conditions={"text": KIND}).eval()
    for parameter in network.parameters():  # layers that begin at zero would hide the text
        nn.init.normal_(parameter, std=0.4)
    x, level, space = torch.randn(1, *shape), torch.zeros(1), Euclidean(1, shape)

    def output(text: Tensor | None) -> Tensor:
        out: Tensor = network(x, level, space, None if text is None else {"text": text}).detach()
        return out

    plain = output(SHORT)
    torch.testing.assert_close(output(PADDED), plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))
    for other in (None, torch.tensor([[3, 1, 5]]), torch.tensor([[1, 3, 4]])):
        assert float((output(other) - plain).abs().max()) > 2e-4 * float(plain.abs().max())


def test_networks_of_molecules_read_a_text() -> None:
    network = build_backbone(EGNNConfig(hidden=16, layers=1), channels=2, dims=3, conditions={"text": KIND})
    vectors = network.embed(torch.zeros(2), {"text": torch.tensor([[1, 2], [2, 1]])}).vector
    assert float((vectors[0] - vectors[1]).detach().abs().max()) > 1e-3
