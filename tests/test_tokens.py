"""Transformers: what runs inside of attention, where tokens have places, maps by attention."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.ops.attribution.inner import check_attention, check_layer, spatial_layers
from reliab_widgets.ops.features.attention import attending
from reliab_widgets.ops.features.layers import find, observing
from reliab_widgets.ops.features.rows import Rows, whose
from reliab_widgets.ops.features.tokens import places
from tests.strangers import draw

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
WIDE = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))


class Attention(nn.Module):
    """One head or two, its products fused or written out."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.fused = nn.Linear(8, 24), nn.Linear(8, 8), fused

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = (q @ k.transpose(2, 3) / 2).softmax(-1) @ v
        return self.out(x.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.norm, self.attn, self.mlp = nn.LayerNorm(8), Attention(fused), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm(x))
        return x + self.mlp(x)


class Tokens(nn.Module):
    """Patches of 4 pixels, some tokens before them; reads the first, or the mean of places."""

    def __init__(self, extra: int = 1, *, mean: bool = False, fused: bool = True) -> None:
        super().__init__()
        self.embed, self.mean = nn.Conv2d(3, 8, 4, 4), mean
        self.extra = nn.Parameter(torch.zeros(1, extra, 8))
        self.blocks = nn.Sequential(*[Block(fused) for _ in range(3)])
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).mT
        x = self.blocks(torch.cat([self.extra.expand(len(x), -1, -1), x], 1))
        return self.head(x[:, self.extra.shape[1] :].mean(1) if self.mean else x[:, 0])


def subject(model: nn.Module, images: Tensor = IMAGES) -> Subject:
    return Subject(draw(model), images, [0] * len(images))


def vit(**options: Any) -> VisionTransformer:
    return VisionTransformer(16, 4, 2, 2, 8, 16, num_classes=5, **options).eval()


def swin() -> SwinTransformer:
    return SwinTransformer([2, 2], 8, [2, 2], [1, 2], [4, 4], num_classes=5).eval()


# --- layers ---------------------------------------------------------------------------------


def test_attention_is_a_layer_and_so_is_each_block() -> None:
    model = subject(vit())
    found, notes = find(model.network, model.images[:1])
    first, second = (f"encoder.layers.encoder_layer_{number}" for number in (0, 1))
    parts = ("q", "k", "v", "out_proj")
    assert [it.name for it in found] == [
        "conv_proj",
        *(f"{first}.self_attention.{part}" for part in parts),
        *(f"{first}.mlp.{part}" for part in (0, 3)),
        *(f"{second}.self_attention.{part}" for part in parts),
        *(f"{second}.mlp.{part}" for part in (0, 3)),
        "heads.head",
    ]
    assert notes == ()
    assert {it.shape for it in found[1:5]} == {(17, 8)}
    blocks, _ = find(model.network, model.images[:1], "blocks")
    assert [it.name for it in blocks] == ["conv_proj", first, second, "heads.head"]


@pytest.mark.parametrize("batch_first", [True, False])
def test_queries_and_output_are_those_of_the_attention(batch_first: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(3, 1, batch_first=batch_first)
            self.head = nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).movedim(2, 1 if batch_first else 0)
            x = self.attention(x, x, x, need_weights=False)[0]
            return self.head(x.mean(1 if batch_first else 0))

    model = subject(Model())
    found, _ = find(model.network, model.images[:1])
    kept: dict[str, Tensor] = {}
    with (
        torch.no_grad(),
        observing(model.model, found, lambda place, out: kept.update({found[place].name: out})),
    ):
        logits = model.network.logits(model.images)
    tokens = model.images.flatten(2).mT
    attention: Any = model.model.attention
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    for number, part in enumerate(("q", "k", "v")):
        rows = slice(3 * number, 3 * number + 3)
        expected = F.linear(tokens, weight[rows], bias[rows])
        torch.testing.assert_close(kept[f"attention.{part}"], expected)
    expected = model.model.head(kept["attention.out_proj"].mean(1))
    torch.testing.assert_close(logits, expected)


def test_layers_are_seen_on_the_fast_path_too() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)
    model = subject(
        nn.Sequential(
            nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Turned(), encoder, Mean(), nn.Linear(8, 5)
        )
    )
    found, _ = find(model.network, model.images[:1])
    assert [it.name for it in found].count("3.layers.1.self_attn.v") == 1
    fast = model.network.logits(model.images)  # nobody watches: torch takes it
    kept: list[str] = []
    with (
        torch.no_grad(),
        observing(model.model, found, lambda place, _: kept.append(found[place].name)),
    ):
        slow = model.network.logits(model.images)
    assert sorted(kept) == sorted(it.name for it in found)
    torch.testing.assert_close(fast, slow)


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mT


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def test_windows_are_rows_of_their_image() -> None:
    model = subject(swin())
    found, notes = find(model.network, model.images[:1])
    shapes = {it.name: it.shape for it in found}
    assert notes == ()
    assert shapes["features.1.0.attn.qkv"] == (4, 16, 24)  # 8 x 8 places in windows of 4 x 4
    assert sum(isinstance(it, nn.Linear | nn.Conv2d) for it in model.model.modules()) == len(found)
    result = rw.propagation(model, steps=1, images=2)
    assert np.isfinite(result.distance).all()


@pytest.mark.parametrize("rows", [(0, 1, 1), (0, 1, 4), (0, 4, 1), (1, 1, 1)])
def test_whose_a_row_is_is_found(rows: tuple[int, int, int]) -> None:
    axis, before, after = rows
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(before, 3, after, 5, 6, generator=generator)
    values[:, 2] = values[:, 0]
    output = values.flatten(0, 2).movedim(0, axis)
    found = whose(output)
    assert found == Rows(*rows)
    expected = values.movedim(1, 0).flatten(1, 2)
    assert torch.equal(found.by_image(output).reshape(expected.shape), expected)


def test_a_row_that_belongs_to_nobody_is_told() -> None:
    assert whose(torch.rand(7, 5)) is None
    assert whose(torch.rand(3, 5, generator=torch.Generator().manual_seed(0))) == Rows(0, 1, 1)


# --- places ---------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [0, 1, 5])
@pytest.mark.parametrize("images", [IMAGES, WIDE], ids=["square", "wide"])
def test_tokens_become_maps(extra: int, images: Tensor) -> None:
    model = subject(Tokens(extra, mean=True), images)
    found = places(model.network, images[:1])
    height, width = (side // 4 for side in images.shape[2:])
    one = found["blocks.1"]
    assert (one.axis, one.grid, one.extra) == (0, (height, width), extra)
    tokens = torch.arange(extra + height * width).float()[None, :, None]
    expected = torch.arange(height * width).float().view(1, 1, height, width) + extra
    assert torch.equal(one.maps(tokens), expected)
    assert check_layer(model, None) == "blocks.2"


def test_the_grid_is_found_where_no_map_was_seen() -> None:
    class Cut(nn.Module):
        """Cuts patches without a convolution."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(48, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(F.unfold(x, 4, stride=4).mT).relu().mean(1))

    model = subject(Cut(), WIDE)
    assert places(model.network, WIDE[:1])["embed"].grid == (2, 4)


def test_by_default_the_last_block_that_the_answer_needs_is_looked_at() -> None:
    read_by_class = subject(Tokens())
    assert list(spatial_layers(read_by_class))[-1] == "blocks.2"
    assert check_layer(read_by_class, None) == "blocks.1"
    before = rw.saliency(
        read_by_class, method="gradcam", layer="blocks.2.norm", fills=(), untrained=False
    )
    assert before.layer == "blocks.2.norm"
    assert before.maps.any()


def test_gradcam_of_tokens_is_its_definition() -> None:
    model = subject(Tokens())
    ours = rw.saliency(model, method="gradcam", target=2, score="logit", fills=(), untrained=False)
    tokens = model.model.blocks[:2](first_tokens(model)).detach().requires_grad_()
    score = model.model.head(model.model.blocks[2](tokens)[:, 0])[0, 2]
    (slope,) = torch.autograd.grad(score, tokens)
    maps = (slope[:, 1:].mean(1, keepdim=True) * tokens[:, 1:]).sum(2).view(1, 1, 4, 4)
    expected = F.interpolate(maps, (16, 16), mode="bilinear")[0, 0].detach().numpy()
    np.testing.assert_allclose(ours.maps[0, 0], expected, atol=1e-6)


def test_gradcam_of_swin_is_that_computed_by_hand() -> None:
    model = subject(swin())
    ours = rw.saliency(model, method="gradcam", target=1, score="logit", fills=(), untrained=False)
    assert ours.layer == "features.3.1"
    rows = model.model.features(model.images[:1]).detach().requires_grad_()  # (1, H, W, C)
    body: Any = model.model
    score = body.head(body.norm(rows).mean((1, 2)))[0, 1]
    (slope,) = torch.autograd.grad(score, rows)
    maps = (slope.mean((1, 2), keepdim=True) * rows).sum(3)[None]
    expected = F.interpolate(maps, (16, 16), mode="bilinear")[0, 0].detach().numpy()
    assert np.corrcoef(ours.maps[0, 0].ravel(), expected.ravel())[0, 1] > 0.9999


def first_tokens(model: Subject) -> Tensor:
    body: Any = model.model
    tokens = body.embed(model.images[:1]).flatten(2).mT
    return torch.cat([body.extra, tokens], 1)


# --- attention ------------------------------------------------------------------------------


def weights_by_hand(model: Subject) -> list[Tensor]:
    """The weights (2, N, N) of each block for the first image, with their graph."""
    x, found = first_tokens(model), []
    for block in model.model.blocks:  # type: ignore[union-attr]
        q, k, _ = block.attn.qkv(block.norm(x)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        found.append((q @ k.mT / 2).softmax(-1)[0])
        x = block(x)
    return found


@pytest.mark.parametrize("fused", [True, False])
def test_rollout_is_its_definition(fused: bool) -> None:
    model = subject(Tokens(fused=fused))
    ours = rw.saliency(model, method="rollout", fills=(), untrained=False)
    joint = torch.eye(17)
    for weights in weights_by_hand(model):
        joint = (weights.mean(0) + torch.eye(17)) / 2 @ joint
    expected = joint[0, 1:].view(1, 1, 4, 4).detach()
    expected = F.interpolate(expected, (16, 16), mode="bilinear")[0, 0]
    np.testing.assert_allclose(ours.maps[0, 0], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("fused", [True, False])
def test_attention_times_gradient_is_its_definition(fused: bool) -> None:
    model = subject(Tokens(fused=fused))
    ours = rw.saliency(
        model, method="attention-x-gradient", target=3, score="logit", fills=(), untrained=False
    )
    kept: list[Tensor] = []
    with torch.enable_grad(), attending(model.model, kept.append):
        score = model.network.logits(model.images[:1].clone().requires_grad_())[0, 3]
    slopes = torch.autograd.grad(score, kept)
    relevance = torch.eye(17)
    for weights, slope, by_hand in zip(kept, slopes, weights_by_hand(model), strict=True):
        torch.testing.assert_close(weights[0], by_hand)
        relevance = relevance + (weights * slope)[0].clamp(min=0).mean(0) @ relevance
    expected = relevance[0, 1:].view(1, 1, 4, 4).detach()
    expected = F.interpolate(expected, (16, 16), mode="bilinear")[0, 0]
    np.testing.assert_allclose(ours.maps[0, 0], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("method", ["rollout", "attention-x-gradient"])
def test_maps_by_attention_have_their_controls(method: str) -> None:
    result = rw.saliency(subject(vit()), method=method, points=3, fills=("mean",))
    assert result.untrained.shape == result.maps.shape
    assert result.maps.any()
    assert "rollout" not in method or "all blocks" in str(result)


def test_recomputed_attention_changes_no_answer() -> None:
    for made, blocks in ((vit(), 2), (Tokens(fused=True), 3), (Tokens(fused=False), 3)):
        model = subject(made)
        seen: list[Tensor] = []
        with torch.enable_grad(), attending(model.model, seen.append):
            logits = model.network.logits(model.images)
        torch.testing.assert_close(logits.detach(), model.logits)
        assert [it.shape[-2:] for it in seen] == [(17, 17)] * blocks
        for weights in seen:
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert not any(it._forward_hooks for it in model.model.modules())


@pytest.mark.parametrize("causal", [True, False])
def test_masks_and_scales_of_fused_attention_are_kept(causal: bool) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).mT[:, None, :9]
            mask = None if causal else torch.ones(9, 9).triu().bool()
            x = F.scaled_dot_product_attention(x, x, x, mask, is_causal=causal, scale=0.3)
            return self.head(x[:, 0].mean(1))

    model = subject(Masked())
    seen: list[Tensor] = []
    with attending(model.model, seen.append):
        again = model.network.logits(model.images)
    torch.testing.assert_close(again, model.logits)
    allowed = torch.ones(9, 9).tril() if causal else torch.ones(9, 9).triu()
    assert torch.equal(seen[0][0, 0] > 0, allowed.bool())


def test_an_attention_that_cannot_be_recomputed_is_refused() -> None:
    model = subject(vit())
    for module in model.model.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.add_zero_attn = True
    with pytest.raises(ValueError, match=r"an attention cannot be recomputed: encoder.layers"):
        rw.saliency(model, method="rollout", fills=(), untrained=False)


@pytest.mark.parametrize(
    ("model", "why"),
    [(swin(), "no step gives tokens|within windows"), (nn.Conv2d(3, 5, 16), "there is none")],
    ids=["windows", "none"],
)
def test_where_attention_cannot_be_followed_it_is_said(model: nn.Module, why: str) -> None:
    if isinstance(model, nn.Conv2d):
        model = nn.Sequential(model, nn.Flatten())
    examined = subject(model)
    for method in ("rollout", "attention-x-gradient"):
        with pytest.raises(ValueError, match=f"no attention that can be followed: .*({why})"):
            rw.saliency(examined, method=method)
        assert method in examined.report().analyses["saliency"].refused
    with pytest.raises(ValueError, match="every token looks at all the others"):
        check_attention(examined)
