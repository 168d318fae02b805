"""The layers of a network: all of them, in the order they run, and nothing left behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.ops.features.graph import plan
from reliab_widgets.ops.features.layers import Layer, find, observing
from reliab_widgets.ops.features.plan import Plan
from tests import strangers
from tests.models import Blocked, Brightness, flat_images


class Twice(nn.Module):
    """One convolution used twice, an activation three times; a shortcut of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.shortcut = nn.Conv2d(2, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(2, 3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.relu(self.conv(self.relu(self.conv(x))))
        return self.fc(self.relu(inner + self.shortcut(x)).mean((2, 3)))


class Functional(nn.Module):
    """Weights of its own and functions: no module runs but, if asked for, one."""

    def __init__(self, linear: nn.Module | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1, 1, 1))
        self.head = nn.Parameter(torch.ones(3, 2))
        self.fc = linear
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.weight)).mean((2, 3))
        return F.linear(x, self.head) if self.fc is None else self.fc(x)


class Inception(nn.Module):
    """Branches of one, two and no convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1)
        self.short = nn.Conv2d(2, 2, 1)
        self.long = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
        self.fc = nn.Linear(6, 3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc(torch.cat([self.short(x), self.long(x), x], 1).mean((2, 3)))


def subject(model: nn.Module, channels: int = 1) -> Subject:
    return Subject(model, flat_images([0.1, 0.5, 0.9], channels), [0, 1, 2])


def layers(of: Subject, which: str | tuple[str, ...] = "weight") -> tuple[Layer, ...]:
    return find(of.network, of.images[:1], which)[0]


@pytest.mark.parametrize("name", rw.zoo.classifiers())
def test_every_convolution_and_linear_layer_is_found_once(name: str) -> None:
    examined = rw.demo(f"{name}-untrained")
    heavy = [n for n, m in examined.model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    found, notes = find(examined.network, examined.images[:1])
    assert sorted(layer.name for layer in found) == sorted(heavy)
    assert notes == ()
    assert found[-1] == Layer(heavy[-1], heavy[-1], 0, "Linear", (10,))


def test_shapes_of_a_residual_network() -> None:
    found = layers(rw.demo("resnet20"))
    assert found[0] == Layer("conv1", "conv1", 0, "Conv2d", (16, 32, 32))


def test_what_they_show_is_what_a_pass_by_hand_gives() -> None:
    examined = rw.demo("resnet20")
    model, images = examined.model, examined.images[:3]
    found, _ = find(examined.network, images[:1])
    kept: dict[str, Tensor] = {}
    with (
        torch.no_grad(),
        observing(model, found, lambda place, output: kept.update({found[place].name: output})),
    ):
        logits = examined.network.logits(images)
        mean, std = (torch.tensor(it)[:, None, None] for it in (examined.mean, examined.std))
    with torch.no_grad():
        first = model.conv1((images - mean) / std)
        second = model.layer1[0].conv1(model.relu(model.bn1(first)))
    torch.testing.assert_close(kept["conv1"], first)
    torch.testing.assert_close(kept["layer1.0.conv1"], second)
    torch.testing.assert_close(kept["fc"], logits)
    assert [tuple(kept[layer.name].shape[1:]) for layer in found] == [it.shape for it in found]


def test_a_module_used_twice_has_two_entries() -> None:
    twice = subject(Twice(), channels=2)
    assert [it.name for it in layers(twice)] == ["conv", "conv (2nd use)", "shortcut", "fc"]
    names = [it.name for it in layers(twice, "activations")]
    assert names == ["relu", "relu (2nd use)", "relu (3rd use)"]
    assert [it.name for it in layers(twice, ("relu (2nd use)", "fc"))] == ["relu (2nd use)", "fc"]


def test_each_use_shows_its_own_output() -> None:
    model = Twice()
    with torch.no_grad():
        model.conv.weight.copy_(torch.eye(2)[:, :, None, None])
        model.conv.bias.fill_(1)
        model.shortcut.weight.zero_()
        model.shortcut.bias.zero_()
    twice = subject(model, channels=2)
    found = layers(twice)
    seen: dict[str, float] = {}
    with (
        torch.no_grad(),
        observing(
            twice.model,
            found,
            lambda place, out: seen.update({found[place].name: out.mean().item()}),
        ),
    ):
        twice.network.logits(twice.images[1:2])  # grey, 0.5
    assert seen["conv"] == pytest.approx(1.5)
    assert seen["conv (2nd use)"] == pytest.approx(2.5)


def test_without_gradients_there_are_layers() -> None:
    assert [it.name for it in layers(subject(Blocked()))] == ["net.conv", "net.fc"]


def test_blocks_are_the_outermost_modules_made_of_others() -> None:
    names = [it.name for it in layers(rw.demo("resnet20"), "blocks")]
    stages = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    assert names == ["conv1", *stages, "fc"]
    wrapped = nn.Sequential(Inception())  # a wrapper is no block
    assert "0.fc" in [it.name for it in layers(subject(wrapped), "blocks")]


def test_functions_are_layers_known_by_their_weights() -> None:
    examined = subject(Functional())
    found, notes = find(examined.network, examined.images[:1])
    assert [(it.name, it.type, it.shape) for it in found] == [
        ("weight", "conv2d", (2, 8, 8)),
        ("head", "linear", (3,)),
    ]
    assert notes == ()
    kept: dict[str, Tensor] = {}
    with (
        torch.no_grad(),
        observing(examined.model, found, lambda place, out: kept.update({found[place].name: out})),
    ):
        logits = examined.network.logits(examined.images)
    torch.testing.assert_close(kept["head"], logits)
    torch.testing.assert_close(kept["weight"], examined.images.expand(-1, 2, -1, -1))


def test_a_function_without_weights_of_its_own_is_called_by_its_module() -> None:
    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.fc = nn.Parameter(torch.ones(2, 1)), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.linear(x.mean((2, 3)), 2 * self.scale))

    names = [it.name for it in layers(subject(nn.Sequential(Made())))]
    assert names == ["0.linear()", "0.fc"]


@pytest.mark.parametrize(
    ("model", "which", "words"),
    [
        (Functional(nn.Linear(2, 3)), "activations", "no activation module runs"),
        (Brightness(), "conv2", "got layers='conv2'.*conv, relu, pool, fc"),
        (Brightness(), (), r"got layers=\(\)"),
    ],
)
def test_what_is_not_there_is_said(model: nn.Module, which: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        layers(subject(model), which)
    assert "layers=" in str(caught.value)


def test_no_hook_stays_even_after_a_crash() -> None:
    examined = subject(Brightness())
    found = layers(examined)

    def crash(place: int, output: Tensor) -> None:
        raise KeyError("planned")

    with pytest.raises(KeyError), observing(examined.model, found, crash):
        examined.network.logits(examined.images)
    assert not any(module._forward_hooks for module in examined.model.modules())


def test_passes_of_other_threads_are_not_seen() -> None:
    examined = subject(Brightness())
    found = layers(examined)
    barrier = threading.Barrier(4)

    def watch(grey: float) -> list[float]:
        seen: list[float] = []
        images = flat_images([grey])
        barrier.wait()
        for _ in range(20):
            with (
                torch.no_grad(),
                observing(
                    examined.model, found[:1], lambda _, out: seen.append(out[0, 0].mean().item())
                ),
            ):
                examined.network.logits(images)
        return seen

    greys = [0.1, 0.2, 0.3, 0.4]
    with ThreadPoolExecutor(4) as pool:
        for grey, seen in zip(greys, pool.map(watch, greys), strict=True):
            assert seen == pytest.approx([grey] * 20)


@pytest.mark.parametrize("image_first", [True, False])
def test_layers_that_read_windows_are_seen(image_first: bool) -> None:
    model = strangers.Windows(image_first).eval()
    subject = rw.Subject(model, torch.rand(3, 3, 8, 8), [0, 1, 2])
    found, notes = find(subject.network, subject.images[:1])
    names = ["first", "inner.0", "inner.2", "last"]
    assert ([layer.name for layer in found], notes) == (names, ())
    assert {layer.shape for layer in found[1:3]} == {(4, 16, 8), (4, 16, 6)}
    assert rw.propagation(subject, steps=1).layers[1:-2] == tuple(names)


# --- the plan of a network --------------------------------------------------------------------


def planned(model: nn.Module, image: Tensor, layers: str = "weight") -> Plan:
    subject = Subject(
        model, image.repeat(2, 1, 1, 1), torch.tensor([0, 1]), classes=["a", "b", "c"]
    )
    found, _ = find(subject.network, subject.images[:1], layers)
    return plan(subject.network, subject.images[:1], found)


def test_a_plan_has_the_longest_path_in_a_row_and_the_shortcut_halfway_along_its_arc() -> None:
    drawn = planned(Twice(), torch.rand(1, 2, 5, 5))
    places = dict(zip(drawn.names, drawn.place, strict=True))
    assert places == {"conv": 1, "conv (2nd use)": 2, "shortcut": 1.5, "fc": 3}
    assert drawn.names[int(np.flatnonzero(drawn.beside)[0])] == "shortcut"
    assert drawn.arcs.tolist() == [[0, 2]]  # leaves behind the input, comes back behind the second


def test_branches_side_by_side_are_arcs_and_pooling_alone_is_one_too() -> None:
    drawn = planned(Inception(), torch.rand(1, 1, 4, 4))
    places = dict(zip(drawn.names, drawn.place, strict=True))
    assert (places["stem"], places["long.0"], places["long.2"], places["fc"]) == (1, 2, 3, 4)
    assert places["short"] == 2.5
    assert drawn.arcs.tolist() == [[1, 3]]


def test_a_chain_has_no_arcs_and_every_layer_its_own_place() -> None:
    chain = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Flatten())
    chain = nn.Sequential(chain, nn.Linear(50, 3)).eval()
    drawn = planned(chain, torch.rand(1, 1, 5, 5))
    assert drawn.place.tolist() == [1, 2, 3]
    assert len(drawn.arcs) == 0
    assert [stage.title for stage in drawn.stages] == ["stage 1", "1"]
    assert drawn.stages is drawn.stages  # every layer of a picture asks for them


def test_squeeze_and_excitation_multiplies_what_went_around_it() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((1, 4), (4, 2), (2, 4))
            self.body = nn.ModuleList(nn.Conv2d(*size, 1) for size in sizes)
            self.fc = nn.Linear(4, 3)
            self.eval()

        def forward(self, x: Tensor) -> Tensor:
            first, small, large = self.body
            x = first(x)
            gate = torch.sigmoid(large(small(x.mean((2, 3), keepdim=True))))
            return self.fc((x * gate).mean((2, 3)))

    drawn = planned(Gate(), torch.rand(1, 1, 5, 5))
    assert drawn.place.tolist() == [1, 2, 3, 4]
    assert drawn.arcs.tolist() == [[1, 3]]
    assert drawn.stages[0][1:] == (3, "stage 1", "2–4 maps of 5 × 5")


def test_a_network_without_gradients_is_a_row() -> None:
    drawn = planned(Blocked(), flat_images([0.5]))
    assert drawn.place.tolist() == list(range(1, len(drawn.names) + 1))
    assert not drawn.beside.any()
    assert len(drawn.arcs) == 0


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet", "vit_b_16", "swin_t"])
def test_every_layer_of_a_well_known_network_has_a_place_within_its_arcs(name: str) -> None:
    from torchvision import models

    given: dict[str, object] = {"image_size": 32} if name == "vit_b_16" else {}
    if name == "googlenet":
        given = {"init_weights": False, "aux_logits": False}
    model = getattr(models, name)(weights=None, num_classes=3, **given).eval()
    drawn = planned(model, torch.rand(1, 3, 32, 32))
    main = drawn.place[~drawn.beside]
    assert main.tolist() == list(range(1, drawn.length + 1))
    assert (drawn.place > 0).all()
    for place in drawn.place[drawn.beside]:
        assert any(first < place < last + 1 for first, last in drawn.arcs)
    assert (drawn.arcs[:, 0] <= drawn.arcs[:, 1]).all()
    ends = [(stage.first, stage.last) for stage in drawn.stages]
    assert [end for first, last in ends for end in range(first, last + 1)] == main.tolist()


def test_a_shortcut_with_a_convolution_is_beside_the_path() -> None:
    block = nn.Sequential(
        nn.Conv2d(1, 4, 1),
        BasicBlock(4, 4, 2, nn.Sequential(nn.Conv2d(4, 4, 1, 2), nn.BatchNorm2d(4))),
        nn.Flatten(),
        nn.Linear(100, 3),
    ).eval()
    drawn = planned(block, torch.rand(1, 1, 9, 9))
    assert [drawn.names[k] for k in np.flatnonzero(drawn.beside)] == ["1.downsample.0"]
    assert drawn.arcs.tolist() == [[1, 3]]


def test_resnet_has_one_arc_for_each_of_its_blocks() -> None:
    from torchvision.models import resnet18

    drawn = planned(resnet18(weights=None, num_classes=3).eval(), torch.rand(1, 3, 32, 32))
    assert drawn.arcs.tolist() == [[k, k + 2] for k in range(1, 17, 2)]
    assert int(drawn.beside.sum()) == 3


class Placed(nn.Module):
    """Adds to what it sees what a convolution makes of the places, the same for every image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.places = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(8, 4)
        self.grid = nn.Parameter(torch.rand(1, 2, 8, 8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv(x).relu() + self.places(self.grid)
        return self.head(made.mean((2, 3)))


def test_a_layer_that_sees_no_image_is_named() -> None:
    subject = rw.Subject(Placed().eval(), torch.rand(4, 3, 8, 8), [0, 1, 2, 3])
    found, notes = find(subject.network, subject.images[:1])
    assert [layer.name for layer in found] == ["conv", "head"]
    assert notes == ("1 layer sees no image: places",)
    assert "without some layers: 1 layer sees no image: places" in str(subject.report())
    assert find(subject.network, subject.images[:1], "blocks")[1] == ()
