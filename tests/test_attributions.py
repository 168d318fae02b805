"""Maps of networks whose answer is known, and captum's opinion on those whose is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.utils import prune

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.core.batching import Plan
from reliab_widgets.ops.attribution.baselines import Baseline, baselines
from reliab_widgets.ops.attribution.deletion import Deletion, random_ranks, ranks
from reliab_widgets.ops.attribution.explainer import Explainer, Maps
from reliab_widgets.ops.attribution.foreign import foreign_map
from reliab_widgets.ops.attribution.inner import check_layer, spatial_layers
from reliab_widgets.ops.attribution.methods import Method, methods
from reliab_widgets.ops.attribution.scores import SCORES, gradients, score_of, scores, targets
from reliab_widgets.ops.networks.untrained import has_signal, untrained
from tests import strangers
from tests.models import Blocked, Views, flat_images

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
TARGET = 2


class Small(nn.Module):
    """A convolutional network with weights drawn here, smooth or not, for 3-channel images."""

    def __init__(self, activation: type[nn.Module] = nn.Tanh, inplace: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.act1 = activation(inplace=True) if inplace else activation()
        self.conv2 = nn.Conv2d(6, 5, 3, padding=1)
        self.act2 = activation(inplace=True) if inplace else activation()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(20, 3)
        generator = torch.Generator().manual_seed(4)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.conv1(x))
        return self.fc(self.pool(self.act2(self.conv2(x))).flatten(1))


class Reused(Small):
    """The same ReLU twice: DeepLift refuses that."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.conv1(x))
        return self.fc(self.pool(self.act1(self.conv2(x))).flatten(1))


def linear(images: Tensor = IMAGES) -> tuple[Subject, Tensor]:
    """A subject whose logits are w . x + 0.3, and its w (3, C, H, W)."""
    size = tuple(images.shape[1:])
    model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(size)), 3))
    generator = torch.Generator().manual_seed(2)
    nn.init.normal_(model[1].weight, generator=generator)
    nn.init.constant_(model[1].bias, 0.3)
    made = Subject(model, images, [0] * len(images), name="linear")
    return made, made.model[1].weight.view(3, *size)


def small(**options: Any) -> Subject:
    return Subject(Small(**options), IMAGES, [0, 1, 2, 0, 1], mean=(0.4, 0.5, 0.6), std=(0.2,) * 3)


def explained(
    subject: Subject,
    method: Method,
    given: Any = ("black", "white"),
    score: str = "logit",
    index: int = 1,
    batch: int = 7,
    keep: bool = False,
) -> Maps:
    bases = (
        baselines(given, subject)
        if method.has_baseline
        else (Baseline("none", torch.zeros(1, 1, 1, 1)),)
    )
    height, width = subject.images.shape[2:]
    explainer = Explainer(method, bases, score, (height, width), Plan(batch))
    clean = float(score_of(subject, subject.images[[index]], TARGET, score))
    return explainer.add(
        explainer.part(subject, index, TARGET, span, clean=clean, keep=keep)
        for span in explainer.spans
    )


# --- scores ---------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    p = logits.double().softmax(1)
    torch.testing.assert_close(scores(logits, "logit"), logits)
    torch.testing.assert_close(scores(logits, "probability").double(), p)
    torch.testing.assert_close(scores(logits, "log-odds").double(), p.log() - (1 - p).log())


def test_log_odds_do_not_saturate() -> None:
    logits = torch.tensor([[0.0, 60.0, 1.0]], requires_grad=True)
    odds = scores(logits, "log-odds")
    expected = torch.tensor([[0.0, 60.0, 1.0]]).double()
    rivals = torch.tensor([[60.0, np.log(1 + np.e), 60.0]]).double()
    torch.testing.assert_close(odds.double(), expected - rivals)
    (slope,) = torch.autograd.grad(odds[0, 1], logits)
    # The probability's gradient is 0 here; that of the log-odds is 1 for its own logit.
    assert slope[0, 1].item() == pytest.approx(1)
    assert slope.isfinite().all()


@pytest.mark.parametrize("score", SCORES)
def test_gradients_are_differences(score: str) -> None:
    subject = small()
    value, slope = gradients(subject, IMAGES[:1], TARGET, score, Plan(3))
    step = slope[0].float() / slope.norm().item() * 3e-3
    low, high = scores(subject.predict(IMAGES[0] + torch.stack([-step, step])), score)[:, TARGET]
    assert slope.norm().item() * 6e-3 == pytest.approx((high - low).item(), rel=0.01)
    assert value.item() == pytest.approx(scores(subject.logits, score)[0, TARGET].item(), abs=1e-6)


def test_gradients_do_not_depend_on_the_batch() -> None:
    subject = small()
    _, one = gradients(subject, IMAGES, TARGET, "probability", Plan(1))
    _, many = gradients(subject, IMAGES, TARGET, "probability", Plan(5, channels_last=True))
    torch.testing.assert_close(one, many, atol=1e-6, rtol=1e-4)


def test_blocked_gradients_are_said_to_be() -> None:
    subject = Subject(Blocked(), flat_images([0.2, 0.4]), [0, 1])
    with pytest.raises(ValueError, match=r"gradients are blocked inside Blocked\.forward"):
        gradients(subject, subject.images, 0, "logit", Plan(1))


def test_targets_by_hand() -> None:
    logits, truth = np.array([[1.0, 3.0, 2.0], [5.0, 0.0, 6.0]]), np.array([2, 1])
    for wanted, expected in (
        ("predicted", [1, 2]),
        ("true", [2, 1]),
        ("runner-up", [2, 0]),
        (1, [1, 1]),
    ):
        assert targets(wanted, logits, truth).tolist() == expected


# --- a linear network: f(x) = w . x ---------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        Method("ig", steps=1),
        Method("ig", steps=6),
        Method("input-x-gradient"),
        Method("expected-gradients", steps=5),
        Method("occlusion", window=1, stride=1),
    ],
    ids=lambda method: f"{method.name} {method.words}",
)
def test_credit_of_a_linear_network_is_weight_times_difference(method: Method) -> None:
    subject, weight = linear()
    made = explained(subject, method, ("black", "white", "blur"))
    for base, values in zip(baselines(("black", "white", "blur"), subject), made.maps, strict=True):
        expected = (weight[TARGET] * (IMAGES[1] - base(IMAGES[1], 1)[0])).sum(0)
        np.testing.assert_allclose(values, expected.numpy(), atol=2e-5)


def test_several_draws_are_averaged() -> None:
    subject, weight = linear()
    expected = (weight[TARGET] * (IMAGES[1] - IMAGES.mean(0))).sum(0).numpy()
    for method in (Method("ig", steps=2), Method("occlusion", window=1, stride=1)):
        made = explained(subject, method, "training:5")
        np.testing.assert_allclose(made.maps[0], expected, atol=2e-5)


@pytest.mark.parametrize("base", ["black", "white"])
def test_rise_of_a_linear_network_ranks_as_weight_times_difference(base: str) -> None:
    # Cells of 4 x 4 pixels cannot tell pixels apart, so the truth is made as coarse as they are.
    images = torch.full((1, 1, 16, 16), 0.5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    weight = rows + 0.6 * columns
    with torch.no_grad():
        model[1].weight.copy_(weight.flatten().expand(3, -1))
    subject = Subject(model, images, [0])
    made = explained(subject, Method("rise", masks=4000, grid=4), base, index=0, batch=256)
    expected = weight * (0.5 - float(base == "white"))
    assert spearmanr(made.maps[0].ravel(), expected.numpy().ravel()).statistic >= 0.97
    # The masks that keep a pixel are compared with all of them, so that signs mean something.
    assert np.sign(made.maps[0])[[0, 15], [0, 15]].tolist() == (
        np.sign(expected.numpy())[[0, 15], [0, 15]].tolist()
    )


def test_gradient_of_a_linear_network_is_its_weight() -> None:
    subject, weight = linear()
    for method in (Method("gradient"), Method("smoothgrad", steps=3)):
        made = explained(subject, method)
        assert made.maps.shape == (1, 8, 8)
        np.testing.assert_allclose(made.maps[0], weight[TARGET].sum(0), atol=1e-5)


# --- integrated gradients along their path --------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_integrated_gradients_add_up(score: str) -> None:
    subject = small()
    made = explained(subject, Method("ig", steps=256), score=score, keep=True)
    values = scores(subject.predict(torch.stack([IMAGES[1] * 0, IMAGES[1] ** 0, IMAGES[1]])), score)
    black, white, clean = values[:, TARGET].tolist()
    for number, base in enumerate((black, white)):
        assert made.path[number, 0] == pytest.approx(base, abs=1e-5)
        assert made.path[number, -1] == pytest.approx(clean, abs=1e-5)
        assert made.maps[number].sum() == pytest.approx(clean - base, abs=2e-3)
        assert made.credit[number, 0] == 0
        assert made.credit[number, -1] == pytest.approx(made.maps[number].sum(), abs=1e-5)
        # On the way the credit is the score so far.
        np.testing.assert_allclose(made.credit[number], made.path[number] - base, atol=2e-3)
        np.testing.assert_allclose(made.path_maps[number, -1], made.maps[number], atol=1e-6)
        # Kept at 33 places, whatever the number of steps.
        assert made.path_maps.shape == (2, 33, 8, 8)
        np.testing.assert_allclose(
            made.path_maps[number].sum((1, 2)), made.credit[number, ::8], atol=1e-5
        )


@pytest.mark.parametrize("steps", [1, 5, 32, 50])
def test_maps_along_the_path_are_kept_at_equal_distances(steps: int) -> None:
    made = explained(small(), Method("ig", steps=steps), keep=True)
    knots = min(steps, 32) + 1
    assert made.path_maps.shape == (2, knots, 8, 8)
    along = np.linspace(0, 1, knots)
    for sums, credit in zip(made.path_maps.sum((2, 3)), made.credit, strict=True):
        expected = np.interp(along, np.linspace(0, 1, steps + 1), credit)
        np.testing.assert_allclose(sums, expected, atol=1e-5)
    assert explained(small(), Method("ig", steps=steps)).path_maps.shape == (2, 0, 8, 8)


def test_a_baseline_gives_no_credit_to_its_own_colour() -> None:
    image = IMAGES[:1].clone()
    image[:, :, 2:4, 5] = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1)
    subject = Subject(Small(), image, [0])
    made = explained(subject, Method("ig", steps=9), "color:0.2,0.4,0.6", index=0)
    assert (made.maps[0, 2:4, 5] == 0).all()
    assert (made.maps[0] != 0).sum() == 62


def test_convergence_grows_with_steps_and_samples() -> None:
    subject = small(activation=nn.ReLU)
    # Half the steps, a quarter ... against all; disjoint halves, quarters ... of the masks.
    for method, sizes in (
        (Method("ig", steps=48), [3, 6, 12, 24]),
        (Method("smoothgrad", steps=100, noise=0.5), [3, 6, 12, 25, 50]),
        (Method("rise", masks=1000, grid=3), [31, 62, 125, 250, 500]),
    ):
        explainer = Explainer(method, baselines("black", subject), "logit", (8, 8), Plan(64))
        assert explainer.sizes.tolist() == sizes
        found = explained(subject, method, "black").convergence[0]
        assert found.shape == (len(sizes),)
        assert found[-1] > found[0]
        assert found[-1] > 0.8
    assert explained(subject, Method("occlusion", window=3, stride=2)).convergence.shape == (2, 0)


def test_convergence_compares_disjoint_halves() -> None:
    subject = small()
    one = explained(subject, Method("rise", masks=60, grid=3, seed=5), "black")
    halves = []
    logits = []
    from reliab_widgets.ops.attribution.perturbation import phi, rise_masks

    masks = rise_masks((8, 8), 60, 3, 5)
    for half in (masks[:30], masks[30:]):
        values = subject.predict(phi(IMAGES[1], half, torch.zeros(3, 8, 8)))[:, TARGET]
        logits.append(values)
        halves.append(((values.view(-1, 1, 1) * half[:, 0]).sum(0) / half[:, 0].sum(0)).flatten())
    expected = spearmanr(*halves).statistic
    assert one.convergence[0, -1] == pytest.approx(expected, abs=1e-3)


def test_maps_do_not_depend_on_the_spans() -> None:
    subject = small()
    for method in (
        Method("ig", steps=10),
        Method("smoothgrad", steps=9),
        Method("expected-gradients", steps=9),
        Method("rise", masks=400),  # of few masks some pixels are equal but for rounding
        Method("occlusion", window=3, stride=2),
    ):
        one, many = (explained(subject, method, batch=batch) for batch in (3, 64))
        np.testing.assert_allclose(one.maps, many.maps, atol=1e-6)
        np.testing.assert_allclose(one.convergence, many.convergence, atol=1e-3)


# --- captum's opinion -----------------------------------------------------------------------------


class Logits(nn.Module):
    """What captum is given for a second opinion: pixel units in, logits out, by hand."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.net = Small(type(subject.model.act1))
        self.net.load_state_dict(subject.model.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / 0.2)


def test_integrated_gradients_are_captums() -> None:
    from captum.attr import IntegratedGradients

    subject = small(activation=nn.ReLU)
    ours = explained(subject, Method("ig", steps=40), ("black", IMAGES[3])).maps
    for values, base in zip(ours, (torch.zeros_like(IMAGES[3]), IMAGES[3]), strict=True):
        theirs = IntegratedGradients(Logits(subject)).attribute(
            IMAGES[1:2], base[None], target=TARGET, n_steps=41, method="riemann_trapezoid"
        )
        # captum's trapezoids span n - 1 intervals and are divided by n.
        expected = theirs[0].sum(0).numpy() * 41 / 40
        np.testing.assert_allclose(values, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("window", "stride"), [(3, 2), (4, 4), (5, 2), (8, 4), (1, 1)])
def test_occlusion_is_captums(window: int, stride: int) -> None:
    from captum.attr import Occlusion

    subject = small(activation=nn.ReLU)
    ours = explained(subject, Method("occlusion", window=window, stride=stride), "white").maps[0]
    theirs = Occlusion(Logits(subject)).attribute(
        IMAGES[1:2],
        sliding_window_shapes=(3, window, window),
        strides=(3, stride, stride),
        baselines=1.0,
        target=TARGET,
    )
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-4)


def test_gradient_and_input_times_gradient_are_captums() -> None:
    from captum.attr import InputXGradient, Saliency

    subject = small()
    image = IMAGES[1:2].clone().requires_grad_()
    theirs = Saliency(Logits(subject)).attribute(image, target=TARGET, abs=False)
    ours = explained(subject, Method("gradient")).maps[0]
    np.testing.assert_allclose(ours, theirs[0].sum(0).numpy(), atol=1e-4)
    theirs = InputXGradient(Logits(subject)).attribute(image, target=TARGET)
    ours = explained(subject, Method("input-x-gradient"), "black").maps[0]
    np.testing.assert_allclose(ours, theirs[0].sum(0).detach().numpy(), atol=1e-4)


def test_smoothgrad_is_captums_in_the_mean() -> None:
    from captum.attr import NoiseTunnel, Saliency

    subject = small()
    image = IMAGES[1:2].clone().requires_grad_()
    theirs = NoiseTunnel(Saliency(Logits(subject))).attribute(
        image, nt_type="smoothgrad", nt_samples=4000, stdevs=0.2, target=TARGET, abs=False
    )
    ours = explained(subject, Method("smoothgrad", steps=4000, noise=0.2), batch=512).maps[0]
    # Two means of 4,000 draws each: they differ by their standard errors.
    error = np.abs(ours - theirs[0].sum(0).detach().numpy()).max()
    assert error < 0.1 * np.abs(ours).max()
    assert spearmanr(ours.ravel(), theirs[0].sum(0).detach().numpy().ravel()).statistic > 0.99


def test_expected_gradients_are_captums_in_the_mean() -> None:
    from captum.attr import GradientShap

    subject = small()
    theirs = GradientShap(Logits(subject)).attribute(
        IMAGES[1:2], baselines=IMAGES, n_samples=4000, stdevs=0.0, target=TARGET
    )
    method = Method("expected-gradients", steps=4000)
    ours = explained(subject, method, "training:5", batch=512).maps[0]
    assert spearmanr(ours.ravel(), theirs[0].sum(0).numpy().ravel()).statistic > 0.99
    assert ours.sum() == pytest.approx(theirs.sum().item(), abs=0.1)


@pytest.mark.parametrize("inplace", [False, True])
def test_gradcam_is_its_definition(inplace: bool) -> None:
    subject = small(activation=nn.ReLU, inplace=inplace)
    ours = explained(subject, Method("gradcam", layer="conv2")).maps
    model = Logits(subject)
    seen: list[Tensor] = []
    hook = model.net.conv2.register_forward_hook(lambda _m, _i, out: seen.append(out))
    value = model(IMAGES[1:2].clone().requires_grad_())[0, TARGET]
    hook.remove()
    (slope,) = torch.autograd.grad(value, seen[0])
    expected = (slope.mean((2, 3), keepdim=True) * seen[0]).sum(1)[0].detach()
    assert ours.shape == (1, 8, 8)
    np.testing.assert_allclose(ours[0], expected.numpy(), atol=1e-5)


def test_gradcam_is_enlarged_smoothly() -> None:
    ours = explained(small(), Method("gradcam", layer="pool")).maps[0]
    assert ours.shape == (8, 8)
    # From 2 x 2 to 8 x 8: the four corners keep the four values, and no edge is a jump.
    corners = ours[[0, 0, 7, 7], [0, 7, 0, 7]]
    assert ours.min() == pytest.approx(corners.min())
    assert ours.max() == pytest.approx(corners.max())


# --- methods of others ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_attributions_of_captum_explain_the_subjects_network_in_pixel_units() -> None:
    from captum.attr import DeepLift, IntegratedGradients, Occlusion

    subject = small()
    # The network that it was made for is another one: it is replaced.
    stranger = IntegratedGradients(nn.Linear(1, 1))
    (method,) = methods(stranger, subject)
    assert (method.name, method.words) == ("IntegratedGradients", "as given")
    ours = explained(subject, Method("ig", steps=200)).maps
    np.testing.assert_allclose(explained(subject, method).maps, ours, atol=5e-3)
    assert isinstance(stranger.forward_func, nn.Linear)

    (method,) = methods(Occlusion(Logits(subject)), subject, window=3, stride=2)
    single = explained(subject, Method("occlusion", window=3, stride=2)).maps
    np.testing.assert_allclose(explained(subject, method).maps, 3 * single, atol=1e-4)

    (method,) = methods(DeepLift, subject)
    made = explained(subject, method, score="logit")
    clean = subject.predict(IMAGES[1:2])[0, TARGET].item()
    black = subject.predict(torch.zeros(1, 3, 8, 8))[0, TARGET].item()
    assert made.maps[0].sum() == pytest.approx(clean - black, abs=1e-3)


def test_captums_random_numbers_are_seeded_and_leave_no_trace() -> None:
    from captum.attr import NoiseTunnel, Saliency

    subject = small()
    (method,) = methods(NoiseTunnel(Saliency(Logits(subject))), subject)
    state = torch.get_rng_state()
    assert method.name == "NoiseTunnel of Saliency"
    one, two = (explained(subject, method, "black").maps for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_function_of_ones_own() -> None:
    subject, weight = linear()

    def guess(model: Any, images: Tensor, target: int, baseline: Tensor) -> Tensor:
        assert images.shape == baseline.shape == (1, 3, 8, 8)
        change = model(images)[0, target] - model(baseline)[0, target]
        return change * torch.ones(8, 8)

    (method,) = methods(guess, subject)
    assert method.name == "guess"
    made = explained(subject, method, "white").maps[0]
    expected = (weight[TARGET] * (IMAGES[1] - 1)).sum().item()
    np.testing.assert_allclose(made, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (torch.zeros(4, 4), r"mine gives no map of the image: got 4 x 4 for an image of 3 x 8 x 8"),
        ("a map", r"mine gives no map of the image: got str"),
        (torch.full((8, 8), float("nan")), r"the map of mine holds NaN or infinity: 64 of 64"),
    ],
)
def test_what_is_no_map_is_refused(returned: Any, words: str) -> None:
    def mine(model: Any, images: Tensor, target: int, baseline: Tensor) -> Any:
        return returned

    with pytest.raises(ValueError, match=words):
        explained(small(), methods(mine, small())[0])


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_hooks_of_captum_leave_no_trace_even_when_they_fail() -> None:
    from captum.attr import DeepLift

    subject = Subject(Reused(), IMAGES, [0] * 5)
    with pytest.raises(
        ValueError,
        match=r"captum's DeepLift failed on Reused: .*more than once.*a module of its own",
    ):
        explained(subject, methods(DeepLift, subject)[0])
    for module in subject.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


def test_attributions_of_layers_and_nonsense_are_refused() -> None:
    from captum.attr import LayerGradCam

    subject = small()
    with pytest.raises(TypeError, match=r"explains a layer, not the image: got LayerGradCam"):
        methods(LayerGradCam(subject.model, subject.model.conv1), subject)
    with pytest.raises(TypeError, match=r"method cannot explain anything: got int"):
        methods(3, subject)


def test_gradcam_names_the_layers_that_have_a_map() -> None:
    subject = small()
    found = spatial_layers(subject)
    assert found == dict.fromkeys(("conv1", "conv2", "act1", "act2"), (8, 8))
    assert check_layer(subject, None) == "act2"
    # Used twice: the last use counts, as it does for captum.
    assert spatial_layers(Subject(Reused(), IMAGES, [0] * 5))["act1"] == (8, 8)
    with pytest.raises(
        ValueError,
        match=r"got layer='fc', whose output is none. Pass layer= one of: conv1, conv2, act1, act2",
    ):
        check_layer(subject, "fc")
    with pytest.raises(ValueError, match=r"got layer='conv9', which is not there"):
        check_layer(subject, "conv9")
    flat, _ = linear()
    with pytest.raises(ValueError, match=r"no convolution or block of linear gives one"):
        check_layer(flat, None)


# --- settings -------------------------------------------------------------------------------------


def test_settings_to_compare_are_tried_one_at_a_time() -> None:
    subject = small()
    made = methods("occlusion", subject, {"window": (2, 3, 4), "stride": 1}, window=3, stride=2)
    assert [(one.window, one.stride) for one in made] == [(3, 2), (2, 2), (4, 2), (3, 1)]
    (default,) = methods("occlusion", subject)
    assert default.words == "window 2, stride 1"
    assert methods("gradient", subject)[0].words == "one gradient"


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (
            "magic",
            {},
            r"there is no such method: got 'magic'. Choose method= from 'ig', 'gradient'",
        ),
        ("ig", {"steps": 0}, r"steps must be a whole number in its range: got 0. Pass steps= from"),
        ("ig", {"steps": 2.5}, r"steps must be a whole number"),
        ("rise", {"masks": 1}, r"masks must be a whole number .*: got 1. Pass masks= from 2"),
        ("rise", {"grid": 9}, r"grid= from 2 to 8: a cell must hold a pixel"),
        ("occlusion", {"window": 9}, r"window= from 1 to 8: it must fit the image"),
        (
            "occlusion",
            {"window": 2, "stride": 3},
            r"never be removed: got stride=3. Pass stride= from 1 to 2",
        ),
        ("smoothgrad", {"noise": 0}, r"noise must be a number above 0: got 0"),
        ("ig", {"noise": float("nan")}, r"noise must be a number above 0: got nan"),
        ("ig", {"hyper": {"window": (1, 2)}}, r"ig has no such setting: .*Its settings are: steps"),
        ("gradient", {"hyper": {"steps": 3}}, r"Its settings are: none"),
        ("rise", {"hyper": {"grid": (3, 99)}}, r"grid must be a whole number .*: got 99"),
        ("rise", {"hyper": {"gird": 3}}, r"no such setting: hyper has 'gird'. The nearest: grid"),
        ("rise", {"hyper": {"grid": ()}}, r"grid has too few or too many: got 0"),
    ],
)
def test_settings_out_of_range_are_refused(given: str, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        methods(given, small(), **options)


def test_hyper_must_be_a_dict() -> None:
    with pytest.raises(TypeError, match=r"hyper is not a dict: got list"):
        methods("ig", small(), [3])  # type: ignore[arg-type]


# --- networks of strangers ---


def test_gradcam_reads_channels_where_they_are() -> None:
    """A block of linear layers on (n, H, W, C)."""
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    subject = Subject(strangers.draw(strangers.ChannelsLast()), images, [0, 1])
    found = spatial_layers(subject)
    assert {"embed", "block.1", "block.2"} <= set(found)
    assert set(found.values()) == {(4, 4)}
    ours = explained_image(subject, Method("gradcam", layer="block.1"))
    seen: list[Tensor] = []
    hook = subject.model.block[1].register_forward_hook(lambda _m, _i, out: seen.append(out))
    value = subject.model(images[:1].clone().requires_grad_())[0, 2]
    hook.remove()
    (slope,) = torch.autograd.grad(value, seen[0])
    expected = (slope.mean((1, 2), keepdim=True) * seen[0]).sum(3).detach()
    expected = nn.functional.interpolate(expected[None], (8, 8), mode="bilinear")[0, 0]
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-6)


def test_gradcam_under_autocast_is_that_of_32_bits() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    net = strangers.draw(strangers.chain())
    wide = explained_image(Subject(net, images, [0, 1]), Method("gradcam", layer="2"))
    half = Subject(strangers.InBFloat16(net), images, [0, 1])
    narrow = explained_image(half, Method("gradcam", layer="net.2"))
    assert np.abs(narrow - wide).max() < 2**-6 * np.abs(wide).max()


def explained_image(subject: Subject, method: Method) -> np.ndarray:
    image = subject.images[0]
    return foreign_map(subject, method, image, 0 * image, 2, "logit", 4)


@pytest.mark.parametrize("last", [False, True])
def test_one_channel_has_one_memory_format(last: bool) -> None:
    """Strides over one channel may say either, and `view` accepts but one."""
    subject = Subject(Views(), torch.rand(2, 1, 8, 8), [0, 1])
    for images in (
        torch.rand(2, 8, 8, 1).permute(0, 3, 1, 2),
        torch.rand(1, 1, 8, 8).expand(2, -1, -1, -1),
    ):
        subject.network.logits(images.clone().requires_grad_(), last).sum().backward()


# --- the untrained network ------------------------------------------------------------------------


def test_the_untrained_network_has_other_weights_and_nothing_else_changes() -> None:
    subject = small()
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    state = torch.get_rng_state()
    control = untrained(subject, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name])
        assert not torch.equal(control.model.state_dict()[name], value)
    assert control.images is subject.images
    assert control.fingerprint != subject.fingerprint
    assert not torch.equal(control.logits, subject.logits)
    assert torch.equal(control.logits, untrained(subject, seed=3).logits)
    assert not torch.equal(control.logits, untrained(subject, seed=4).logits)
    # It takes images in pixel units, as the subject does.
    expected = control.model((IMAGES - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / 0.2)
    torch.testing.assert_close(control.predict(IMAGES), expected)


def deep(norm: bool, layers: int = 40) -> nn.Module:
    """So deep that, with first weights, all images get one answer."""
    steps: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1)]
    for _ in range(layers):
        steps += [nn.Conv2d(8, 8, 3, padding=1), *[nn.BatchNorm2d(8)] * norm, nn.SiLU()]
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


@pytest.mark.parametrize("norm", [True, False])
def test_the_untrained_network_has_a_signal(norm: bool) -> None:
    model = deep(norm)
    subject = Subject(model, torch.rand(4, 3, 8, 8), [0, 1, 2, 3])
    assert not has_signal(subject)
    control = untrained(subject)
    assert has_signal(control)
    assert control.logits.std(0).mean() > 0.01
    assert torch.equal(control.logits, untrained(subject).logits)
    norms = [module for module in control.model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not control.model.training
    assert all(norm.momentum == 0.1 and not norm.training for norm in norms)


def test_where_no_control_has_a_signal_the_result_says_so() -> None:
    subject = Subject(strangers.OnlyTrained(), torch.rand(2, 3, 8, 8), [0, 1])
    assert has_signal(subject)
    assert not has_signal(untrained(subject))
    result = rw.saliency(subject, index=0, points=2, steps=4)
    assert any("of the untrained network" in note for note in result.notes)
    assert "untrained network, whose maps are constant" in str(result)


class OwnParameters(nn.Module):
    """A parameter of its own, a masked layer and batch normalisation: three ways to be reset."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(1, 2, 12))
        self.norm = nn.BatchNorm1d(12)
        self.fc = nn.Linear(12, 3)
        prune.l1_unstructured(self.fc, "weight", amount=0.5)
        with torch.no_grad():
            self.norm.running_mean += 5
            self.norm.weight += 3
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(x.mean((2, 3)).repeat(1, 4) * self.scale))


def test_parameters_that_no_module_resets_are_shuffled() -> None:
    subject = Subject(OwnParameters(), IMAGES, [0] * 5)
    control = untrained(subject)
    model, trained = control.model, subject.model
    assert not torch.equal(model.scale, trained.scale)
    assert torch.equal(model.scale.sort()[0], trained.scale)
    assert not torch.equal(model.fc.weight_orig, trained.fc.weight_orig)
    assert model.norm.running_mean.unique().tolist() == [0]
    assert model.norm.weight.unique().tolist() == [1]
    assert (control.logits - subject.logits).abs().max() > 0.1


def test_a_copy_shares_nothing_that_can_change() -> None:
    subject = small().with_validation(small()[:0:-1].with_images(1 - IMAGES[1:]))
    other = subject.on(
        subject.network.copied(lambda model: nn.init.zeros_(model.fc.weight)), name="silent"
    )
    assert other.name == "silent"
    assert (other.logits == other.logits[0]).all()
    assert (subject.logits != subject.logits[0]).any()
    assert torch.equal(other.validation.logits, other.logits[:4])
    assert torch.equal(other.validation.images, subject.validation.images)


# --- deletion -------------------------------------------------------------------------------------


def test_ranks_by_hand() -> None:
    assert ranks(np.array([[[3.0, -1.0, 7.0]]]), seed=0).tolist() == [[1, 2, 0]]
    # Equal values come in random order, the same for the same seed.
    flat = np.zeros((2, 6, 6))
    assert (ranks(flat, 1) == ranks(flat, 1)).all()
    assert (ranks(flat, 1) != ranks(flat, 2)).any()
    assert sorted(ranks(flat, 1)[0].tolist()) == list(range(36))
    assert (random_ranks(2, 36, 1, 0) != random_ranks(2, 36, 1, 1)).any()


def curves(
    subject: Subject, orders: np.ndarray, fills: tuple[str | None, ...], points: int, batch: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    base = baselines(("black", "white"), subject)
    made = tuple(None if fill is None else baselines(fill, subject)[0] for fill in fills)
    deletion = Deletion(made, base, points, "logit", 64, batch)
    parts = [
        deletion.part(subject, 1, TARGET, orders, span) for span in deletion.spans(len(orders))
    ]
    ends = subject.predict(deletion.replacements(subject, 1))[:, TARGET].double().numpy()
    clean = subject.logits[1, TARGET].item()
    return deletion.curves(parts, len(orders), clean, ends)


def test_deletion_of_a_linear_network_by_hand() -> None:
    subject, weight = linear()
    credit = (weight[TARGET] * IMAGES[1]).sum(0).numpy()
    orders = ranks(credit[None], seed=0)
    morf, lerf = curves(subject, orders, ("black",), points=65)
    assert morf.shape == lerf.shape == (1, 1, 65)
    gone = np.sort(credit.ravel())
    clean = subject.logits[1, TARGET].item()
    np.testing.assert_allclose(morf[0, 0, 1:], clean - gone[::-1].cumsum(), atol=1e-4)
    np.testing.assert_allclose(lerf[0, 0, 1:], clean - gone.cumsum(), atol=1e-4)


def test_deletion_begins_at_the_image_and_ends_at_the_fill() -> None:
    subject = small()
    orders = ranks(np.random.default_rng(0).normal(size=(5, 8, 8)), seed=0)
    fills = ("black", "blur", "training:3", None)
    for batch in (4, 100):
        morf, lerf = curves(subject, orders, fills, points=5, batch=batch)
        assert morf.shape == (5, 4, 5)
        np.testing.assert_allclose(morf[..., 0], subject.logits[1, TARGET].item(), atol=1e-6)
        shown = torch.stack([IMAGES[1] * 0, IMAGES[1] ** 0])
        black, white = subject.predict(shown)[:, TARGET].tolist()
        np.testing.assert_allclose(morf[:, 0, -1], black, atol=1e-6)
        # Its own baseline: black and white in turns.
        np.testing.assert_allclose(morf[:, 3, -1], [black, white, black, white, black], atol=1e-6)
        np.testing.assert_array_equal(morf[..., [0, -1]], lerf[..., [0, -1]])
        # The own baseline of the first map is black, and so is the first fill.
        np.testing.assert_allclose(morf[0, 3], morf[0, 0], atol=1e-6)


def test_only_the_ends_are_asked_for() -> None:
    morf, _ = curves(small(), ranks(np.eye(8)[None], seed=0), ("black",), points=2)
    assert morf.shape == (1, 1, 2)
