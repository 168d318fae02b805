"""What is cut is what is silenced, or is refused by name, in networks of all kinds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.ops.pruning.gates import Gates
from reliab_widgets.ops.pruning.importance import importance
from reliab_widgets.ops.pruning.plain import plain_weights
from reliab_widgets.ops.pruning.structure import Structure, cut, structure
from reliab_widgets.ops.pruning.sweep import size_on_disk
from tests import strangers
from tests.strangers import BETWEEN, Between, chain, draw


def subject_of(model: nn.Module, n: int = 8) -> Subject:
    images = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return Subject(draw(model), images, [i % 4 for i in range(n)], classes=list("abcd"))


def check(subject: Subject, found: Structure) -> None:
    """Cut random sets of units: logits, losses, parameters and multiply-adds are the real ones."""
    generator = np.random.default_rng(1)
    sets = [np.zeros(len(found), dtype=bool)]
    for part in (0.1, 0.3, 0.6):
        removed = generator.random(len(found)) < part
        for number in range(len(found.groups)):
            units = np.flatnonzero(found.group == number)
            removed[generator.choice(units)] = False
        sets.append(removed)
    for removed in sets:
        smaller = cut(subject, found, removed)
        open = torch.from_numpy(1.0 - removed).float()
        masked = Gates(subject, found).logits(subject.images, open)
        assert (masked - smaller.logits).abs().max() < 1e-5 * masked.abs().max().clamp_min(1)
        plain = smaller.network.copied(plain_weights).model
        with FlopCounterMode(display=False, custom_mapping=FUSED) as counter, torch.enable_grad():
            plain(subject.images[:1].clone().requires_grad_())
        parameters = sum(one.numel() for one in smaller.model.parameters())
        assert found.cost(removed) == (parameters, counter.get_total_flops() // 2)
        if removed.any():
            left = found.without(removed)
            assert left.cost(np.zeros(len(left), dtype=bool)) == found.cost(removed)


def check_oracle(subject: Subject, found: Structure) -> None:
    change = rw.oracle(subject).change
    whole = cross_entropy(subject.logits, subject.labels, reduction="none")
    close = 1e-5 * float(subject.logits.abs().max().clamp_min(1))
    for unit in range(len(found)):
        if (found.group == found.group[unit]).sum() > 1:
            smaller = cut(subject, found, np.arange(len(found)) == unit)
            without = cross_entropy(smaller.logits, subject.labels, reduction="none")
            np.testing.assert_allclose(change[:, unit], without - whole, atol=close)


FUSED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: (
        2 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])
    )
}
HALVES = [0, 1, 2, 3, 0, 1, 2, 3]
UNITS = {  # of the eight filters of `first`; others are refused
    "chunk": HALVES,
    "maxout": HALVES,
    "glu": HALVES,
    "unbind": HALVES,
    "interleaved": [0, 0, 1, 1, 2, 2, 3, 3],
    "pixel shuffle": [0, 0, 0, 0, 1, 1, 1, 1],
    **{kind: list(range(8)) for kind in ("pixel unshuffle", "flip", "index select", "padded")},
    **{kind: list(range(8)) for kind in ("repeated", "twice", "relu")},
}
ODD = "cutting its filters gives other logits than silencing them"


@pytest.mark.parametrize("kind", BETWEEN)
def test_whatever_stands_between_two_convolutions(kind: str) -> None:
    subject = subject_of(Between(*BETWEEN[kind]))
    found = structure(subject)
    assert ("second",) in found.groups
    check(subject, found)
    check_oracle(subject, found)
    if kind in UNITS:
        (first,) = (layer for layer in found.layers if layer.name == "first")
        assert first.outputs.tolist() == UNITS[kind]
        count = np.bincount(UNITS[kind])
        assert found.filters.tolist() == [*count, *[1] * 6]
        assert found.channel[: len(count)].tolist() == [
            UNITS[kind].index(u) for u in range(len(count))
        ]
    else:
        assert found.tied["first"] == ODD


MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "padded shortcut": (strangers.PaddedShortcut, 0),
    "squeeze and excitation": (strangers.SqueezeExcite, 2),
    "two outputs": (strangers.TwoOutputs, 1),
    "tied": (strangers.Tied, 1),
    "twice": (strangers.Twice, 1),
    "attention": (strangers.Attention, 2),
    "by function": (strangers.ByFunction, 1),
    "transformer": (strangers.Transformer, 3),
    "same padding": (
        lambda: nn.Sequential(
            strangers.SameConv(3, 8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        ),
        1,
    ),
    "prelu": (lambda: chain(last=nn.PReLU(8)), 2),
    "one slope": (lambda: chain(last=nn.PReLU()), 2),
    "norm": (lambda: chain(last=nn.BatchNorm2d(8)), 2),
    "norm without factors": (lambda: chain(last=nn.BatchNorm2d(8, affine=False)), 2),
    "instance norm": (lambda: chain(last=nn.InstanceNorm2d(8, affine=True)), 2),
    "channels last": (lambda: chain().to(memory_format=torch.channels_last), 2),
    "transposed": (strangers.transposed, 2),
    "orthogonal": (strangers.orthogonal, 2),
    "weight norm": (strangers.weight_normed, 2),
    "masked": (strangers.masked, 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_networks_of_strangers(name: str) -> None:
    make, groups = MODELS[name]
    subject = subject_of(make())
    if not groups:
        with pytest.raises(ValueError, match="no layer can lose a filter"):
            structure(subject)
        return
    found = structure(subject)
    assert len(found.groups) == groups
    check(subject, found)
    check_oracle(subject, found)


def test_a_network_that_takes_gradients_itself_is_refused_by_name() -> None:
    subject = subject_of(strangers.Differentiating())
    with pytest.raises(ValueError, match="no layer can lose a filter: conv: "):
        structure(subject)
    result = rw.propagation(subject, images=2, restarts=1)
    assert np.isfinite(result.distance).all()


def test_scores_under_autocast_are_those_of_32_bits() -> None:
    net = chain()
    wide, narrow = subject_of(net), subject_of(strangers.InBFloat16(net))
    found, other = structure(wide), structure(narrow)
    assert [len(layers) for layers in other.groups] == [1, 1]
    for criterion in ("taylor", "taylor-fg", "taylor-so"):
        expected = importance(wide, found, criterion)
        gap = np.abs(importance(narrow, other, criterion) - expected)
        assert gap.max() < 2**-5 * expected.max()
    result = rw.pruning(narrow, levels=(0.3,), images=4, calibration_images=4)
    assert np.isfinite(result.logits).all()


@pytest.mark.parametrize("name", ["transposed", "orthogonal", "weight norm", "masked"])
def test_pruning_runs_on_weights_of_all_kinds(name: str) -> None:
    subject = subject_of(MODELS[name][0]())
    before = {key: value.clone() for key, value in subject.model.state_dict().items()}
    for criterion in ("taylor", "magnitude"):
        result = rw.pruning(
            subject, criterion=criterion, levels=(0.3,), images=4, calibration_images=4
        )
        assert result.parameters[0, 0] == sum(p.numel() for p in subject.model.parameters())
        assert result.parameters[0, 1] < result.parameters[0, 0]
        assert (result.logits[0, 0] != result.logits[0, 1]).any()
    for key, value in subject.model.state_dict().items():
        assert torch.equal(value, before[key])


def test_no_control_is_said() -> None:
    images = torch.rand(8, 3, 8, 8)
    subject = Subject(strangers.OnlyTrained(), images, [0, 1, 2, 3] * 2)
    result = rw.pruning(subject, levels=(0.3,), images=4, calibration_images=4, explain=1)
    assert np.isnan(result.drift_untrained).all()
    assert any("no control by an untrained network" in note for note in result.notes)


def test_the_size_is_that_of_a_file() -> None:
    from safetensors.torch import save

    model = rw.demo("resnet20").model
    written = save({name: value.clone() for name, value in model.state_dict().items()})
    assert size_on_disk(model) == len(written)


def test_gates_have_the_subject_s_weights_and_what_is_cut_has_its_own() -> None:
    """A large network is in memory once for both, and once more where it was cut."""
    subject = subject_of(chain())
    found = structure(subject)
    weights = {one.data_ptr() for one in subject.model.parameters()}
    shared = subject.network.copied(shared=True).model
    assert {one.data_ptr() for one in shared.parameters()} == weights
    smaller = cut(subject, found, found.channel == 0).model
    assert not weights & {one.data_ptr() for one in smaller.parameters()}
    same = cut(subject, found, np.zeros(len(found), dtype=bool)).model
    assert not weights & {one.data_ptr() for one in same.parameters()}


@pytest.mark.parametrize("image_first", [True, False])
def test_windows_of_an_image_belong_to_it(image_first: bool) -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    subject = rw.Subject(draw(strangers.Windows(image_first)), images, [0, 1, 2, 3, 0])
    found = structure(subject)
    gates = Gates(subject, found)

    def of(logits: Tensor) -> Tensor:
        return logits.logsumexp(1) - logits[:, 0]

    slopes = gates.slopes(images, of)
    assert slopes.any(1).all()
    alone = torch.cat([gates.slopes(image, of) for image in images.split(1)])
    torch.testing.assert_close(slopes, alone)
    open = torch.rand(5, len(found), generator=torch.Generator().manual_seed(1))
    each = [gates.logits(*pair) for pair in zip(images.split(1), open, strict=True)]
    torch.testing.assert_close(gates.logits(images, open), torch.cat(each))
    whole = rw.oracle(subject).change
    one = rw.oracle(subject[[3]]).change
    np.testing.assert_allclose(whole[3], one[0], atol=1e-5)
    assert rw.pruning(subject, levels=(0.3,), calibration_images=2).n
