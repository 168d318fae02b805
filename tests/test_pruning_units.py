"""Units, gates, scores and the oracle, by hand on tiny networks and against other libraries."""

import copy

import numpy as np
import pytest
import torch
import torch_pruning
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.ops.networks.tuning import plain, trained
from reliab_widgets.ops.pruning import removal
from reliab_widgets.ops.pruning.gates import Gates
from reliab_widgets.ops.pruning.importance import BATCH, importance
from reliab_widgets.ops.pruning.oracle import Oracle
from reliab_widgets.ops.pruning.structure import STAYS, cut, structure

NAMES = [
    "resnet20",
    "vgg-untrained",
    "densenet-untrained",
    "mobilenetv2-untrained",
    "googlenet-untrained",
]


class Chain(nn.Module):
    """Two convolutions with batch norm and a linear layer: two groups of units, 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.relu, self.pool, self.fc = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.fc(self.pool(x).flatten(1))


class Residual(nn.Module):
    """The outputs of `first` and `inner2` are added: their filters go together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner1 = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 5, 1)
        self.inner2, self.fc = nn.Conv2d(5, 3, 1), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = x + self.inner2(self.inner1(x).relu())
        return self.fc(x.mean((2, 3)))


def random_subject(model: nn.Module, n: int = 6, size: int = 5, seed: int = 0) -> Subject:
    """Random images and labels; every weight and every statistic of a norm is drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    images = torch.rand(n, 2, size, size, generator=generator)
    labels = torch.randint(0, 3, (n,), generator=generator)
    return Subject(model.eval(), images, labels, name="tiny")


@pytest.fixture
def chain() -> Subject:
    return random_subject(Chain())


# Structure


def test_units_of_a_chain(chain: Subject) -> None:
    found = structure(chain)
    assert found.groups == (("conv1",), ("conv2",))
    assert found.group.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert found.channel.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert [layer.name for layer in found.layers] == ["conv1", "conv2", "fc"]
    conv1, conv2, fc = found.layers
    assert conv1.outputs.tolist() == conv2.inputs.tolist() == [0, 1, 2]
    assert conv1.inputs.tolist() == [STAYS] * 2
    assert conv2.outputs.tolist() == fc.inputs.tolist() == [3, 4, 5, 6]
    assert fc.outputs.tolist() == [STAYS] * 3
    assert found.tied == {"fc": "its outputs are the answer"}


def test_cost_by_hand(chain: Subject) -> None:
    found = structure(chain)
    nothing = np.zeros(7, dtype=bool)
    # conv1 2x3x9 at 25 places, conv2 3x4x9 and 4 biases at 9 places, fc 4x3 and 3 biases; norms.
    parameters = 54 + 6 + 108 + 4 + 8 + 12 + 3
    assert found.cost(nothing) == (parameters, 54 * 25 + 108 * 9 + 12)
    one_of_each = np.array([True, False, False, True, False, False, False])
    left = 36 + 4 + 54 + 3 + 6 + 9 + 3
    assert found.cost(one_of_each) == (left, 36 * 25 + 54 * 9 + 9)


@pytest.mark.parametrize("name", NAMES)
def test_cutting_does_what_silencing_does_and_costs_what_torch_counts(name: str) -> None:
    subject = rw.demo(name)[:4]
    found = structure(subject)
    removed = np.random.default_rng(0).random(len(found)) < 0.4
    removed[np.unique(found.group, return_index=True)[1]] = False
    smaller = cut(subject, found, removed)
    silent = torch.from_numpy(1.0 - removed).float()
    masked = Gates(subject, found).logits(subject.images, silent)
    assert (masked - smaller.logits).abs().max() < 1e-5 * max(1, masked.abs().max())
    with FlopCounterMode(display=False) as counter:
        smaller.model(torch.zeros(1, 3, 32, 32))
    parameters = sum(parameter.numel() for parameter in smaller.model.parameters())
    assert found.cost(removed) == (parameters, counter.get_total_flops() // 2)
    assert set(found.tied.values()) == {"its outputs are the answer"}


def test_what_is_left_is_the_structure_of_the_smaller_network() -> None:
    subject = rw.demo("densenet-untrained")[:2]
    found = structure(subject)
    removed = found.channel % 3 == 1
    left, again = found.without(removed), structure(cut(subject, found, removed))
    assert left.groups == again.groups
    for mine, other in zip(left.layers, again.layers, strict=True):
        assert mine.name == other.name
        np.testing.assert_array_equal(mine.outputs, other.outputs)
        np.testing.assert_array_equal(mine.inputs, other.inputs)
        assert mine.kernel == other.kernel
    np.testing.assert_array_equal(left.group, again.group)
    np.testing.assert_array_equal(left.channel, again.channel)
    assert left.cost(np.zeros(len(left), dtype=bool)) == found.cost(removed)


def test_what_is_added_goes_together() -> None:
    found = structure(random_subject(Residual()))
    assert found.groups == (("first", "inner2"), ("inner1",))
    assert found.filters.tolist() == [2, 2, 2, 1, 1, 1, 1, 1]


class Around(nn.Module):
    """A convolution, something in between, a convolution, and a linear layer."""

    def __init__(self, between: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.first, self.between = nn.Conv2d(2, 4, 1), between
        self.second, self.fc = nn.Conv2d(width, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.between(self.first(x))).relu().mean((2, 3)))


class Shuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.roll(1, 1)  # with one channel less it is another one that comes first


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.GroupNorm(2, 4), "tied to between, a GroupNorm"),
        (nn.Conv2d(4, 4, 1, groups=2), "tied to between, a convolution in 2 groups"),
        (Shuffle(), "cutting its filters gives other logits than silencing them"),
    ],
    ids=["normalised over channels", "grouped", "shuffled"],
)
def test_what_cannot_be_cut_says_why(between: nn.Module, reason: str) -> None:
    found = structure(random_subject(Around(between)))
    assert ("second",) in found.groups
    assert not any("first" in layers for layers in found.groups)
    assert reason in found.tied["first"]


def test_depthwise_filters_go_with_those_they_read() -> None:
    found = structure(random_subject(Around(nn.Conv2d(4, 4, 3, padding=1, groups=4))))
    assert found.groups == (("first", "between"), ("second",))
    assert found.filters.tolist() == [2] * 4 + [1] * 6


def test_flattened_maps_lose_all_their_columns() -> None:
    subject = random_subject(
        nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 3))
    )
    found = structure(subject)
    assert found.layers[1].inputs.tolist() == [0] * 16 + [1] * 16 + [2] * 16
    smaller = cut(subject, found, np.array([False, True, False]))
    assert smaller.model[3].in_features == 32


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(50, 3)), "1: its outputs are the answer"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(2)), "no prunable"),
    ],
)
def test_nothing_to_prune_is_said(model: nn.Module, words: str) -> None:
    subject = Subject(model, torch.rand(4, 2, 5, 5), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=words):
        structure(subject)


def test_blocked_gradients_are_said() -> None:
    class Blocked(Chain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach()).detach()

    with pytest.raises(ValueError, match=r"gradients are blocked inside.*whatever ranks them"):
        structure(random_subject(Blocked()))


@pytest.mark.parametrize(
    ("name", "groups", "tied"),
    [
        ("squeezenet1_0", 25, {"tied to the answer"}),  # its last convolution, behind a mean
        ("mobilenet_v3_small", 27, {"its outputs are the answer"}),  # squeeze and excitation
        ("resnet18", 12, {"its outputs are the answer"}),
    ],
)
def test_networks_of_torchvision(name: str, groups: int, tied: set[str]) -> None:
    model = getattr(torchvision.models, name)(weights=None, num_classes=10).eval()
    found = structure(Subject(model, torch.rand(2, 3, 64, 64), [0, 1]))
    assert len(found.groups) == groups
    assert set(found.tied.values()) == tied


@pytest.mark.parametrize("name", ["chain", "residual", "resnet20"])
def test_where_the_graph_stops_ties_are_found_by_trying(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")  # what it does with a ShuffleNet

    models = {"chain": Chain, "residual": Residual}

    def subject() -> Subject:
        return random_subject(models[name]()) if name in models else rw.demo(name)[:4]

    expected = structure(subject())
    monkeypatch.setattr(torch_pruning.DependencyGraph, "build_dependency", stops)
    other = subject()
    found = structure(other.on(other.network.copied()))  # one that nothing is known of
    assert found.groups == expected.groups
    for mine, theirs in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(mine.outputs, theirs.outputs)
        np.testing.assert_array_equal(mine.inputs, theirs.inputs)


def test_what_nothing_can_follow_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(torch_pruning.DependencyGraph, "build_dependency", stops)
    monkeypatch.setattr("reliab_widgets.ops.pruning.trials._ROWS", 0)  # too large to be tried
    with pytest.raises(ValueError, match=r"conv1: .*torch-pruning stopped with ZeroDivisionError"):
        structure(random_subject(Chain()))


def test_the_subject_stays_as_it_is(chain: Subject) -> None:
    before = copy.deepcopy(chain.model.state_dict())
    state = torch.random.get_rng_state()
    found = structure(chain)
    cut(chain, found, np.eye(7, dtype=bool)[0])
    importance(chain, found, "taylor-so")
    rw.oracle(chain)
    trained(chain, chain, plain, 2, 0.01, 0, lambda *_: None, "")
    for name, value in chain.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not chain.model.training
    assert not any(p.requires_grad for p in chain.model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in chain.model.modules())
    assert not any("forward" in vars(m) for m in chain.model.modules())


# Gates


def test_gate_slope_is_that_of_the_batch_norm_before(chain: Subject) -> None:
    """A gate scales what the batch norm gives: gamma * dgamma + beta * dbeta."""
    slopes = Gates(chain, structure(chain)).slopes(chain.images, losses(chain)).sum(0)
    model = copy.deepcopy(chain.model).requires_grad_(True)
    cross_entropy(model(chain.images), chain.labels, reduction="sum").backward()
    by_norms = torch.cat(
        [bn.weight * bn.weight.grad + bn.bias * bn.bias.grad for bn in (model.bn1, model.bn2)]
    )
    assert (slopes - by_norms).abs().max() < 1e-5
    assert by_norms.abs().max() > 1


def test_slopes_of_images_are_those_of_their_own_gates() -> None:
    subject = rw.demo("resnet20")[:3]
    found = structure(subject)
    gates = Gates(subject, found)
    open = torch.ones(3, len(found), requires_grad=True)
    logits = gates.logits(subject.images, open)
    cross_entropy(logits, subject.labels, reduction="sum").backward()
    assert open.grad is not None
    slopes = gates.slopes(subject.images, losses(subject))
    assert (slopes - open.grad).abs().max() < 1e-5
    assert open.grad.abs().max() > 0.1


def test_in_a_linear_network_the_slope_is_the_change() -> None:
    """Without activations a logit falls by exactly its slope when a gate is closed."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(4, 3))
    subject = random_subject(model)
    gates = Gates(subject, structure(subject))
    slopes = gates.slopes(subject.images, lambda logits: logits[:, 1])
    for unit in range(4):
        open = torch.ones(4)
        open[unit] = 0
        change = subject.logits[:, 1] - gates.logits(subject.images, open)[:, 1]
        assert (slopes[:, unit] - change).abs().max() < 1e-6
    assert slopes.abs().min() > 1e-3


def losses(subject: Subject):  # type: ignore[no-untyped-def]
    return lambda logits: cross_entropy(logits, subject.labels, reduction="none")


# Importance


def test_taylor_squares_means_of_batches_and_taylor_fg_images() -> None:
    subject = random_subject(Chain(), n=BATCH + 30)
    found = structure(subject)
    slopes = Gates(subject, found).slopes(subject.images, losses(subject)).double().numpy()
    first, second = slopes[:BATCH].mean(0) ** 2, slopes[BATCH:].mean(0) ** 2
    np.testing.assert_allclose(importance(subject, found, "taylor"), (first + second) / 2, 1e-4)
    fine = (slopes**2).mean(0)
    np.testing.assert_allclose(importance(subject, found, "taylor-fg"), fine, 1e-4)


def test_second_order_is_that_of_two_backward_passes(chain: Subject) -> None:
    found = structure(chain)
    gates = Gates(chain, found)

    def loss(open: Tensor) -> Tensor:
        return cross_entropy(gates.logits(chain.images, open), chain.labels)

    ones = torch.ones(7)
    slope = torch.autograd.functional.jacobian(loss, ones)
    curvature = torch.autograd.functional.hessian(loss, ones).diag()  # type: ignore[operator]
    by_hand = (-slope + curvature / 2).square().double()
    np.testing.assert_allclose(importance(chain, found, "taylor-so"), by_hand, rtol=1e-3)


def test_scores_by_weights_by_hand() -> None:
    subject = random_subject(Residual())
    found = structure(subject)
    first, inner1, inner2 = (
        subject.model.get_submodule(name).weight.double().flatten(1).square().sum(1)
        for name in ("first", "inner1", "inner2")
    )
    by_hand = torch.cat([((first + inner2) / 2).sqrt(), inner1.sqrt()])
    np.testing.assert_allclose(importance(subject, found, "weight"), by_hand)
    with pytest.raises(ValueError, match="no batch norm follows first"):
        importance(subject, found, "bn-scale")


def test_scores_by_norms_by_hand(chain: Subject) -> None:
    by_hand = torch.cat([chain.model.bn1.weight, chain.model.bn2.weight]).abs()
    np.testing.assert_allclose(importance(chain, structure(chain), "bn-scale"), by_hand)


def test_taylor_of_one_batch_agrees_with_torch_pruning(chain: Subject) -> None:
    """Its gate scales the filter's weights: the sum of w dw."""
    model = copy.deepcopy(chain.model).requires_grad_(True)
    graph = torch_pruning.DependencyGraph().build_dependency(model, chain.images[:1])
    # Its gate lies before the batch norm, which adds a constant: without one they are the same.
    model.zero_grad()
    model.bn1.running_mean.zero_()
    model.bn1.bias.data.zero_()
    cross_entropy(model(chain.images), chain.labels).backward()
    group = graph.get_pruning_group(model.conv1, torch_pruning.prune_conv_out_channels, [0, 1, 2])
    theirs = torch_pruning.importance.TaylorImportance(
        multivariable=True, group_reduction="first", normalizer=None, target_types=[nn.Conv2d]
    )(group)
    same = Subject(model, chain.images, chain.labels)
    ours = np.sqrt(importance(same, structure(same), "taylor"))[:3]
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4)


def test_weight_norm_agrees_with_torch_pruning() -> None:
    subject = rw.demo("resnet20")[:2]
    found = structure(subject)
    model = copy.deepcopy(subject.model).requires_grad_(True)
    graph = torch_pruning.DependencyGraph().build_dependency(model, torch.zeros(1, 3, 32, 32))
    conv = model.layer1[0].conv1
    group = graph.get_pruning_group(conv, torch_pruning.prune_conv_out_channels, list(range(16)))
    theirs = torch_pruning.importance.GroupMagnitudeImportance(
        p=2, group_reduction="first", normalizer=None, target_types=[nn.Conv2d]
    )(group)
    number = found.groups.index(("layer1.0.conv1",))
    ours = importance(subject, found, "weight")[found.group == number]
    # Theirs is the sum of squares.
    np.testing.assert_allclose(ours**2, theirs.detach().numpy(), rtol=1e-4)


def test_own_scores_are_averaged_over_what_is_tied() -> None:
    subject = random_subject(Residual())
    found = structure(subject)
    given = {"first": [1, 2, 3], "inner2": [3, 4, 5], "inner1": [9, 8, 7, 6, 5]}
    scores = importance(subject, found, lambda subject: given)
    assert scores.tolist() == [2, 3, 4, 9, 8, 7, 6, 5]
    with pytest.raises(ValueError, match="got none for inner1"):
        importance(subject, found, lambda subject: {"first": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"got shape \(2,\) for first, which has 3"):
        importance(subject, found, lambda subject: given | {"first": [1, 2]})


def test_unknown_criterion_names_the_known(chain: Subject) -> None:
    with pytest.raises(ValueError, match="'taylor', 'taylor-fg'"):
        importance(chain, structure(chain), "tailor")


# Oracle


@pytest.mark.parametrize("model", [Chain(), Residual()], ids=["chain", "residual"])
def test_oracle_is_the_loss_without_each_unit(model: nn.Module) -> None:
    subject = random_subject(model, n=BATCH + 5)
    found = structure(subject)
    truth = rw.oracle(subject)
    whole = cross_entropy(subject.logits, subject.labels, reduction="none")
    np.testing.assert_allclose(truth.loss, whole, rtol=1e-6)
    for unit in range(len(found)):
        one = np.arange(len(found)) == unit
        if (found.group == found.group[unit]).sum() == 1:
            continue
        without = cross_entropy(cut(subject, found, one).logits, subject.labels, reduction="none")
        np.testing.assert_allclose(truth.change[:, unit], without - whole, atol=2e-6)


def test_oracle_is_exact_where_modules_work_in_place() -> None:
    """Values kept for the next pass must not be those that a later step has changed."""

    class InPlace(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu_(self.first(x))
            y = self.inner2(torch.relu_(self.inner1(x)))
            y += x
            return self.fc(y.mean((2, 3)))

    plain, in_place = random_subject(Residual()), random_subject(InPlace())
    torch.testing.assert_close(plain.logits, in_place.logits)
    change = rw.oracle(plain).change
    np.testing.assert_allclose(rw.oracle(in_place).change, change, atol=1e-6)
    assert np.abs(change).max() > 1e-3


def test_the_oracle_of_few_images_takes_many_units_in_one_pass() -> None:
    rows: list[int] = []

    class Wide(Chain):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(2, 40, 3), nn.BatchNorm2d(40)
            self.conv2 = nn.Conv2d(40, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            rows.append(len(x))
            return super().forward(x)

    subject = random_subject(Wide(), n=BATCH)
    whole = rw.oracle(subject, layers=["conv1"])
    subject = subject[:3]
    rows.clear()
    few = rw.oracle(subject, layers=["conv1"])
    np.testing.assert_allclose(few.change, whole.change[:3], atol=1e-5)
    assert len(rows) < 10
    assert sum(rows) < 2 * few.change.size


def test_a_sample_of_the_oracle_is_a_part_of_it() -> None:
    subject = random_subject(Chain())
    whole = rw.oracle(subject)
    assert (whole.total, whole.unit.tolist()) == (7, list(range(7)))
    some = rw.oracle(subject, units=2, seed=3)
    assert np.bincount(some.group).tolist() == [2, 2]
    np.testing.assert_allclose(some.change, whole.change[:, some.unit], atol=1e-6)
    np.testing.assert_array_equal(some.channel, whole.channel[some.unit])
    layer = rw.oracle(subject, layers=["conv2"])
    assert (layer.groups, layer.unit.tolist()) == (("conv2",), [3, 4, 5, 6])
    np.testing.assert_allclose(layer.change, whole.change[:, 3:], atol=1e-6)
    scores = np.arange(7.0)
    assert layer.agreement(scores).equals(layer.agreement(scores[3:]))
    assert not np.array_equal(some.unit, rw.oracle(subject, units=2, seed=4).unit)
    with pytest.raises(ValueError, match="got 'fc': its outputs are the answer"):
        rw.oracle(subject, layers=["fc"])
    with pytest.raises(ValueError, match=r"units.*so many"):
        rw.oracle(subject, units=5)


def test_measures_of_the_oracle_by_hand() -> None:
    change = np.array([[1.0, 0.0], [-1.0, 2.0]])
    first, two = np.array([0, 0]), np.array([0, 1])
    truth = Oracle("s", "f", ("a",), first, two, two, 2, np.zeros(2), change)
    assert truth.by_batch.tolist() == [0, 1]
    assert truth.by_image.tolist() == [1, 2]
    assert truth.by_set.tolist() == [0, 1]
    table = truth.agreement(np.array([5.0, 6.0]), "image")
    assert table.loc["all", "spearman"] == pytest.approx(1)
    assert table.loc["a", "n"] == 2
    with pytest.raises(ValueError, match="got shape"):
        truth.agreement(np.zeros(3))


# Removal


def test_the_lowest_scores_go_and_every_group_keeps_one(chain: Subject) -> None:
    found = structure(chain)
    scores = np.array([3.0, 1, 2, 0, 0, 0, 0])  # equal scores go in their order
    free = np.ones(7, dtype=bool)

    def gone(level: float, scope: str = "filters") -> list[int]:
        return np.flatnonzero(removal.remove(found, scores, level, scope, free)).tolist()

    assert gone(0) == []
    assert gone(1 / 7) == [3]
    assert gone(3 / 7) == [3, 4, 5]
    assert gone(4 / 7) == [1, 3, 4, 5]
    assert gone(0.99) == [1, 2, 3, 4, 5]
    whole, order = found.cost(np.zeros(7, dtype=bool))[1], [3, 4, 5, 1, 2]
    for level in (0.1, 0.4, 0.7):
        count = len(gone(level, "flops"))
        costs = [
            found.cost(np.isin(np.arange(7), order[:n]))[1] <= (1 - level) * whole
            for n in (count - 1, count)
        ]
        assert costs == [False, True]
    assert gone(0.9, "flops") == [1, 2, 3, 4, 5]  # no more than there is


def test_protected_layers_keep_all() -> None:
    found = structure(random_subject(Residual()))
    assert removal.free(found, ["inner2"]).tolist() == [False] * 3 + [True] * 5
    assert removal.free(found, ["first"]).tolist() == [False] * 3 + [True] * 5
    assert removal.free(found, ["last"]).all()
    with pytest.raises(ValueError, match="got 'outer'"):
        removal.free(found, ["outer"])
    with pytest.raises(ValueError, match="every layer is protected"):
        removal.free(found, ["first", "inner1"])


def test_second_order_tells_of_its_progress_within_a_batch(chain: Subject) -> None:
    ticks: list[tuple[int, int]] = []
    importance(chain, structure(chain), "taylor-so", progress=lambda *tick: ticks.append(tick))
    classes = chain.logits.shape[1]
    assert ticks.count((0, 1)) >= classes
    assert ticks[-1] == (1, 1)
