"""Heads, widths of blocks and of the stream between them: what is cut is what is silenced."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

import reliab_widgets as rw
from reliab_widgets.ops.features.multihead import Attention
from reliab_widgets.ops.pruning.gates import Gates, normed
from reliab_widgets.ops.pruning.importance import importance
from reliab_widgets.ops.pruning.plain import plain_attention
from reliab_widgets.ops.pruning.structure import cut, structure
from tests.test_strangers_pruning import check, check_oracle, subject_of


class Fused(nn.Module):
    """Queries, keys and values in one layer, three heads of four channels, as timm has them."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = 3, 4, 12
        self.qkv, self.proj = nn.Linear(8, 36), nn.Linear(12, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        split = self.qkv(x).reshape(n, tokens, 3, self.num_heads, self.head_dim)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, tokens, self.attn_dim))


class Apart(nn.Module):
    """Three layers whose channels are cut into heads of two, as Hugging Face has them."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(8, 6) for _ in range(3))
        self.o_proj = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        parts = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        q, k, v = (it.view(*x.shape[:2], -1, 2).transpose(1, 2) for it in parts)
        x = (q @ k.mT / 2**0.5).softmax(-1) @ v
        return self.o_proj(x.transpose(1, 2).reshape(*x.shape[:1], x.shape[2], -1))


class Block(nn.Module):
    def __init__(self, attention: nn.Module, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm, self.attn = norm(8), attention
        self.gamma = nn.Parameter(torch.ones(8))
        self.mlp = nn.Sequential(norm(8), nn.Linear(8, 10), nn.GELU(), nn.Linear(10, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma * self.attn(self.norm(x))
        return x + self.mlp(x)


class Tokens(nn.Module):
    """Four patches, a class token and a register, places; two blocks of eight channels."""

    def __init__(
        self, attention: Callable[[], nn.Module], norm: Callable[[int], nn.Module] = nn.LayerNorm
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.reg_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 6, 8))
        self.blocks = nn.Sequential(*[Block(attention(), norm) for _ in range(2)])
        self.norm, self.head = norm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).mT
        extra = [it.expand(len(x), -1, -1) for it in (self.cls_token, self.reg_token)]
        x = self.blocks(torch.cat([*extra, x], 1) + self.pos_embed)
        return self.head(self.norm(x)[:, 0])


def vit() -> VisionTransformer:
    return VisionTransformer(8, 4, 2, 2, 8, 10, num_classes=4)


def convnext() -> ConvNeXt:
    return ConvNeXt([CNBlockConfig(8, 12, 1), CNBlockConfig(12, None, 1)], num_classes=4)


MODELS: dict[str, tuple[Callable[[], nn.Module], list[int]]] = {
    "torchvision": (vit, [8, 2, 10, 2, 10]),
    "timm": (lambda: Tokens(Fused), [8, 3, 10, 3, 10]),
    "hugging face": (lambda: Tokens(Apart), [8, 3, 10, 3, 10]),
    "rms": (lambda: Tokens(Fused, nn.RMSNorm), [8, 3, 10, 3, 10]),
    "norm without factors": (
        lambda: Tokens(Fused, lambda n: nn.LayerNorm(n, elementwise_affine=False)),
        [8, 3, 10, 3, 10],
    ),
    "convnext": (convnext, [8, 32, 12, 48]),
}


@pytest.mark.parametrize("name", MODELS)
def test_heads_and_widths_go(name: str) -> None:
    make, sizes = MODELS[name]
    subject = subject_of(make())
    before = {key: value.clone() for key, value in subject.model.state_dict().items()}
    found = structure(subject)
    assert np.bincount(found.group).tolist() == sizes
    assert list(found.tied.values()) == ["its outputs are the answer"]
    check(subject, found)
    check_oracle(subject, found)
    after = subject.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_the_network_without_a_head_is_the_one_that_does_not_read_it() -> None:
    model = vit()
    subject = subject_of(model)
    found = structure(subject)
    first = found.group == 1
    assert found.groups[1] == tuple(
        f"encoder.layers.encoder_layer_0.self_attention.{part}" for part in "qkv"
    )
    smaller = cut(subject, found, first & (np.cumsum(first) == 1))
    attention = smaller.model.encoder.layers.encoder_layer_0.self_attention  # type: ignore[union-attr]
    assert (attention.num_heads, attention.q.out_features, attention.q.in_features) == (1, 4, 8)
    with torch.no_grad():
        model.encoder.layers.encoder_layer_0.self_attention.out_proj.weight[:, :4] = 0
    torch.testing.assert_close(smaller.logits, model(subject.images), atol=1e-5, rtol=1e-5)


def test_a_narrower_stream_takes_tokens_and_places_along() -> None:
    subject = subject_of(Tokens(Fused))
    found = structure(subject)
    removed = np.isin(np.arange(len(found)), [0, 5])
    smaller: Any = cut(subject, found, removed).model
    assert smaller.pos_embed.shape == (1, 6, 6)
    assert smaller.cls_token.shape == smaller.reg_token.shape == (1, 1, 6)
    assert smaller.norm.normalized_shape == (6,)
    assert (smaller.blocks[1].attn.qkv.in_features, smaller.blocks[1].attn.num_heads) == (6, 3)
    assert smaller.blocks[0].gamma.shape == (6,)


def test_norms_know_nothing_of_closed_channels() -> None:
    x = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))
    stay = torch.tensor([True, False, True, True, False, True])
    for wide, narrow in ((nn.LayerNorm(6), nn.LayerNorm(4)), (nn.RMSNorm(6), nn.RMSNorm(4))):
        with torch.no_grad():
            narrow.weight.copy_(wide.weight.normal_()[stay])
        torch.testing.assert_close(normed(wide, x, stay.float())[..., stay], narrow(x[..., stay]))
        torch.testing.assert_close(normed(wide, x, torch.ones(6)), wide(x))


def test_slopes_of_gates_are_those_of_differences() -> None:
    subject = subject_of(Tokens(Fused))
    subject = subject.on(subject.network.doubled())
    found = structure(subject)
    gates = Gates(subject, found)
    images = subject.images[:3].double()
    slopes = gates.slopes(images, lambda logits: logits[:, 1])
    for unit in range(0, len(found), 3):
        open = torch.ones(len(found), dtype=torch.float64)
        values = []
        for step in (-1e-4, 1e-4):
            open[unit] = 1 + step
            values.append(gates.logits(images, open)[:, 1])
        expected = (values[1] - values[0]) / 2e-4
        torch.testing.assert_close(slopes[:, unit].double(), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("criterion", ["taylor", "taylor-fg", "taylor-so", "weight"])
def test_all_criteria_rank_heads(criterion: str) -> None:
    subject = subject_of(vit())
    scores = importance(subject, structure(subject), criterion)
    assert np.isfinite(scores).all()
    assert (scores > 0).any()


def test_pruning_reports_transformers() -> None:
    subject = subject_of(vit())
    result = rw.pruning(subject, levels=(0.3, 0.6), images=4, calibration_images=4)
    assert result.gap[1:].max() < 1e-4
    for level in (0.3, 0.6):
        logits = result.variant(level, subject).logits[result.index.tolist()]
        place = result.levels.tolist().index(level)
        np.testing.assert_allclose(logits, result.logits[0, place], atol=1e-4)


def test_windows_are_left_out_by_name() -> None:
    model = SwinTransformer([2, 2], 8, [2], [2], [2, 2], num_classes=4)
    found = structure(subject_of(model))
    assert found.groups == (("features.1.0.mlp.0",), ("features.1.1.mlp.0",))
    assert {"features.0.0", "features.1.0.mlp.3"} <= set(found.tied)
    # Its windows take the weights of these and multiply by themselves.
    assert found.tied["features.1.0.attn.qkv"].startswith("it does not run as a layer")
    assert found.tied["features.1.1.attn.proj"].startswith("it does not run as a layer")


# --- attention in one piece and in four -----------------------------------------------------------

MASK = torch.ones(5, 7).tril(2)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"attn_mask": MASK == 0},
        {"attn_mask": MASK, "need_weights": False},
        {"key_padding_mask": torch.arange(7).expand(3, 7) > 4},
        {"key_padding_mask": torch.arange(7).expand(3, 7) > 4, "attn_mask": MASK == 0},
        {"attn_mask": (MASK == 0).expand(6, 5, 7)},
    ],
    ids=str,
)
def test_attention_in_four_layers_is_the_same(first: bool, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    for wide in ({}, {"kdim": 3, "vdim": 5}, {"bias": False}):
        whole = nn.MultiheadAttention(4, 2, batch_first=first, **wide).eval()
        sizes = whole.embed_dim, whole.kdim, whole.vdim
        inputs = [torch.randn(3, n, size) for n, size in zip((5, 7, 7), sizes, strict=True)]
        if not first:
            inputs = [it.transpose(0, 1) for it in inputs]
        expected, found = whole(*inputs, **options), Attention(whole)(*inputs, **options)
        torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
        if options.get("need_weights", True):
            torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-5)


def test_one_sequence_needs_no_axis_for_the_batch() -> None:
    whole = nn.MultiheadAttention(4, 2).eval()
    inputs = [torch.randn(5, 4)] * 3
    torch.testing.assert_close(Attention(whole)(*inputs)[0], whole(*inputs)[0])


def test_attention_with_more_to_it_stays_in_one_piece() -> None:
    class Own(nn.MultiheadAttention):
        def forward(self, *args: Any, **options: Any) -> Any:
            return super().forward(*args, **options)

    for attention in (
        nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True),
        nn.MultiheadAttention(8, 2, add_zero_attn=True, batch_first=True),
        Own(8, 2, batch_first=True),
    ):

        class Model(nn.Module):
            def __init__(self, attention: nn.Module = attention) -> None:
                super().__init__()
                self.embed, self.attention = nn.Conv2d(3, 8, 4, 4), attention
                self.head = nn.Linear(8, 4)

            def forward(self, x: Tensor) -> Tensor:
                x = self.embed(x).flatten(2).mT
                return self.head(self.attention(x, x, x)[0].mean(1))

        subject = subject_of(Model())
        assert plain_attention(subject) is subject


def test_a_user_gets_the_model_back_as_it_was() -> None:
    subject = subject_of(vit())
    rw.oracle(subject)
    kinds = {type(module) for module in subject.model.modules()}
    assert nn.MultiheadAttention in kinds
    assert Attention not in kinds


class Pyramid(nn.Module):
    """The same block at two resolutions, as MobileViT has it, and one number for a whole branch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, 2)
        self.stages = nn.ModuleList(Block(Fused(), nn.LayerNorm) for _ in range(2))
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for stage in self.stages:
            tokens = stage(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])
            x = F.avg_pool2d(x + self.gain * tokens, 2)
        return self.head(x.mean((2, 3)))


def test_blocks_of_one_kind_cost_what_their_resolution_takes() -> None:
    subject = subject_of(Pyramid())
    found = structure(subject)
    assert {"stages.0.attn.qkv", "stages.1.attn.qkv"} <= {
        it for group in found.groups for it in group
    }
    check(subject, found)
