"""Models and data that nobody here wrote: read as they are meant, or refused with a way out."""

import copy
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

import reliab_widgets as rw

IMAGES = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 4


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        ).eval()


class Made(nn.Module):
    """A forward pass written as one function of the images."""

    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.way = net(), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x)


def brightness(x: Tensor) -> Tensor:
    return 40 * (x.mean((1, 2, 3)) - 0.5)


# --- one number for each image --------------------------------------------------------------------

PROBABILITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "view": lambda x: torch.sigmoid(brightness(x)).view(-1, 1),
    "clamp": lambda x: torch.sigmoid(brightness(x))[:, None].clamp(1e-6, 1 - 1e-6),
    "mean of parts": lambda x: torch.sigmoid(
        torch.stack([brightness(x), 2 * brightness(x)], 1)
    ).mean(1, keepdim=True),
    "column of a softmax": lambda x: torch.stack([0 * brightness(x), brightness(x)], 1).softmax(1)[
        :, 1:
    ],
    "double": lambda x: torch.sigmoid(brightness(x).double()).float().unsqueeze(1),
}


@pytest.mark.parametrize("way", PROBABILITIES.values(), ids=PROBABILITIES)
def test_a_probability_is_read_as_one(way: Callable[[Tensor], Tensor]) -> None:
    labels = (way(IMAGES)[:, 0] > 0.5).long()
    subject = rw.Subject(Made(way), IMAGES, labels)
    assert any("one probability" in note for note in subject.notes)
    assert (subject.logits.argmax(1) == labels).all()
    torch.testing.assert_close(subject.logits.softmax(1)[:, 1:], way(IMAGES), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), ()])
def test_one_number_for_each_image_needs_no_column(shape: tuple[int, ...]) -> None:
    def shaped(x: Tensor) -> Tensor:  # as by squeeze(): of one image, nothing is left
        return x.reshape(shape) if shape or len(x) == 1 else x

    model = Made(lambda x: shaped(torch.sigmoid(brightness(x))))
    subject = rw.Subject(model, IMAGES, LABELS % 2)
    assert any("one probability" in note for note in subject.notes)
    expected = torch.sigmoid(brightness(IMAGES))
    torch.testing.assert_close(subject.logits.softmax(1)[:, 1], expected, rtol=1e-4, atol=1e-6)
    assert rw.attack(subject[:2], attack="fgsm").images.shape == IMAGES[:2].shape
    logit = rw.Subject(Made(lambda x: shaped(brightness(x))), IMAGES, LABELS % 2)
    torch.testing.assert_close(logit.logits[:, 1], brightness(IMAGES))


def test_logits_are_found_in_an_object() -> None:
    class Answer:
        def __init__(self, logits: Tensor) -> None:
            self.loss, self.logits = None, logits

    class Answering(Made):
        def forward(self, x: Tensor) -> Any:
            return Answer(super().forward(x))

    way = LOGITS["of a layer"]
    subject = rw.Subject(Answering(way), IMAGES, LABELS % 2)
    torch.testing.assert_close(subject.logits[:, 1:], way(IMAGES))
    assert any("logits" in note for note in subject.notes)


@pytest.mark.parametrize("method", ["gradcam", "ig"])
def test_a_method_by_gradients_says_why_there_are_none(method: str) -> None:
    class Detached(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    subject = rw.Subject(Detached(*net()), IMAGES, LABELS)
    with pytest.raises(ValueError, match="gradients are blocked"):
        rw.saliency(subject, method=method)


LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "of a layer": lambda x: F.linear(x.mean((2, 3)), torch.full((1, 3), 1e-3), torch.tensor([0.5])),
    "without a layer": lambda x: x.mean((1, 2, 3))[:, None],
    "without a graph": lambda x: x.detach().mean((1, 2, 3))[:, None],
}


@pytest.mark.parametrize("way", LOGITS.values(), ids=LOGITS)
def test_a_logit_between_0_and_1_stays_one(way: Callable[[Tensor], Tensor]) -> None:
    assert ((way(IMAGES) > 0) & (way(IMAGES) < 1)).all()
    subject = rw.Subject(Made(way), IMAGES, LABELS % 2)
    torch.testing.assert_close(subject.logits[:, 1:], way(IMAGES))


def test_what_may_be_either_is_asked_about_and_both_remedies_work() -> None:
    def way(x: Tensor) -> Tensor:
        return torch.sigmoid(brightness(x))[:, None].detach()

    with pytest.raises(ValueError, match=r"not clear whether.*torch\.logit.*torch\.cat"):
        rw.Subject(Made(way), IMAGES, LABELS % 2)
    probability = rw.Subject(Made(way), IMAGES, LABELS % 2, output=torch.logit)
    torch.testing.assert_close(probability.logits[:, 1], brightness(IMAGES), rtol=1e-3, atol=1e-3)
    logit = rw.Subject(Made(way), IMAGES, LABELS % 2, output=lambda z: torch.cat([0 * z, z], 1))
    torch.testing.assert_close(logit.logits[:, 1:], way(IMAGES))


def test_a_sigmoid_for_each_class_is_undone() -> None:
    model = Made(lambda x: torch.sigmoid(net()(x)).clone())
    subject = rw.Subject(model, IMAGES, LABELS)
    torch.testing.assert_close(subject.logits, net()(IMAGES), rtol=1e-4, atol=1e-4)
    assert any("one probability p for each class" in note for note in subject.notes)


# --- answers that are none ------------------------------------------------------------------------


class Late(nn.Module):
    """NaN for images with a certain number in a corner."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x: Tensor) -> Tensor:
        return torch.where((x[:, 0, 0, 0, None] - 0.9123).abs() < 1e-6, torch.nan, self.inner(x))


@pytest.fixture
def late() -> rw.Subject:
    """Image 9 alone is answered by NaN."""
    images = IMAGES.clone()
    images[:, 0, 0, 0] = 0.1
    images[9, 0, 0, 0] = 0.9123
    return rw.Subject(Late().eval(), images, LABELS)


BROKEN: dict[str, Callable[[rw.Subject], object]] = {
    "logits": lambda subject: subject.logits,
    "reliability": rw.reliability,
    "smallest epsilon": lambda subject: rw.smallest_epsilon(subject, images=[9]),
    "attack": lambda subject: rw.attack(subject),
    "propagation": lambda subject: rw.propagation(subject, images=[8, 9]),
    "saliency": lambda subject: rw.saliency(subject, index=9, points=3),
    "pruning": lambda subject: rw.pruning(subject, levels=(0.3,), calibration_images=8),
    "oracle": lambda subject: rw.oracle(subject),
}


@pytest.mark.parametrize("call", BROKEN.values(), ids=BROKEN)
def test_the_image_without_an_answer_is_named(
    call: Callable[[rw.Subject], object], late: rw.Subject
) -> None:
    with pytest.raises(ValueError, match=r"NaN or infinity: for .*\bimage 9\b"):
        call(late)


def test_the_other_images_are_answered(late: rw.Subject) -> None:
    assert np.isfinite(rw.smallest_epsilon(late, images=[8]).epsilon).all()
    assert rw.propagation(late, images=[7, 8]).n == 2
    assert rw.saliency(late, index=8, points=3).index == [8]
    others = late[[i for i in range(24) if i != 9]]
    assert rw.reliability(others).n == 23
    assert late[:9].logits.isfinite().all()


def test_predict_names_the_row(late: rw.Subject) -> None:
    with pytest.raises(ValueError, match=r"for 1 of the 2 images passed: image 1"):
        late.predict(late.images[8:10])  # counted from 0


# --- gradients --------------------------------------------------------------------------------


def test_gradients_that_exist_but_cannot_be_computed_are_reported() -> None:
    def way(x: Tensor) -> Tensor:
        hidden = x.mean((2, 3)).repeat(1, 2)[:, :4].sigmoid()
        return hidden.mul_(2)

    subject = rw.Subject(Made(way), IMAGES, LABELS)
    assert not subject.report().gradients
    assert "✗ gradients: RuntimeError: one of the variables needed" in str(subject.report())
    with pytest.raises(ValueError, match=r"gradients are blocked inside Made\.forward: RuntimeErr"):
        rw.attack(subject)
    assert rw.reliability(subject).n == 24


# --- pictures of other kinds ------------------------------------------------------------------


class Pictures(Dataset):
    def __init__(self, of: Callable[[int], object]) -> None:
        self.of = of

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[object, int]:
        return self.of(index), index % 4


def grey(index: int, most: int = 65536) -> np.ndarray:
    return np.random.default_rng(index).integers(0, most, (16, 16)).astype(np.uint16)


FLAT = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
SIXTEEN: dict[str, Callable[[int], object]] = {
    "PIL": lambda index: Image.fromarray(grey(index)),
    "PIL, other end first": lambda index: Image.frombytes(
        "I;16B", (16, 16), grey(index).astype(">u2").tobytes()
    ),
    "array": grey,
    "array, other end first": lambda index: grey(index).astype(">u2"),
    "tensor": lambda index: torch.from_numpy(grey(index)),
}


@pytest.mark.parametrize("of", SIXTEEN.values(), ids=SIXTEEN)
def test_sixteen_bits_are_scaled_by_their_range(of: Callable[[int], object]) -> None:
    subject = rw.Subject.from_dataset(FLAT, Pictures(of))
    wanted = np.stack([grey(index) for index in range(8)])[:, None] / 65535
    np.testing.assert_allclose(subject.images, wanted, atol=1e-6)
    assert "uint16 images were scaled from 0-65535 to 0-1" in subject.notes


@pytest.mark.parametrize("kind", [np.uint16, np.dtype(">u2")])
def test_arrays_of_sixteen_bits_are_scaled(kind: type) -> None:
    subject = rw.Subject(net(), (IMAGES.numpy() * 65535).round().astype(kind), LABELS)
    torch.testing.assert_close(subject.images, IMAGES, rtol=0, atol=1e-5)


def test_floats_of_pictures_stay_as_they_are() -> None:
    of = lambda index: Image.fromarray(IMAGES[index, 0].numpy())  # noqa: E731
    subject = rw.Subject.from_dataset(FLAT, Pictures(of))
    torch.testing.assert_close(subject.images, IMAGES[:8, :1])


WHOLE: dict[str, tuple[Callable[[int], object], str]] = {
    "int32": (lambda index: grey(index).astype(np.int32), "/ 65535"),
    "PIL, 32 bits": (lambda index: Image.fromarray(grey(index).astype(np.int32)), "/ 65535"),
    "12 bits": (lambda index: grey(index, 4096), "/ 4095"),
    "0 and 1": (lambda index: grey(index, 2).astype(np.uint8), ".float()"),
}


@pytest.mark.parametrize(("of", "remedy"), WHOLE.values(), ids=WHOLE)
def test_whole_numbers_of_no_sure_range_are_refused_with_a_remedy_that_helps(
    of: Callable[[int], object], remedy: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(remedy)) as caught:
        rw.Subject.from_dataset(FLAT, Pictures(of))
    transform = re.findall(r"transform=(lambda image: .*?) if", str(caught.value))[0]
    names = {"np": np, "torch": torch}
    subject = rw.Subject.from_dataset(FLAT, Pictures(of), transform=eval(transform, names))
    assert 0.9 < subject.images.max() <= 1


# --- numbers for the channels, names for the classes --------------------------------------------

THREE = np.array([0.4, 0.5, 0.6])


@pytest.mark.parametrize(
    "given",
    [
        torch.tensor(THREE).view(1, 3, 1, 1),
        THREE.reshape(3, 1, 1),
        THREE.reshape(1, 1, 3),
        torch.nn.Parameter(torch.tensor(THREE)),
        iter(THREE),
    ],
)
def test_shapes_that_mean_one_number_per_channel_are_taken(given: object) -> None:
    subject = rw.Subject(net(), IMAGES, LABELS, mean=given, std=0.25)
    assert subject.mean == pytest.approx(tuple(THREE))


def test_one_number_without_a_shape_is_for_all_channels() -> None:
    subject = rw.Subject(net(), IMAGES, LABELS, mean=torch.tensor(0.5), std=np.float64(0.25))
    assert (subject.mean, subject.std) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize("given", ["0.5", ["0.1", "0.2", "0.3"], {"r": 0.1}, object(), [True] * 3])
def test_what_is_no_number_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match=r"^mean is no numbers: got .*Pass mean= as numbers"):
        rw.Subject(net(), IMAGES, LABELS, mean=given, std=0.25)


def test_a_picture_as_a_mean_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one number per channel: got .* of shape \(3, 16, 16\)"):
        rw.Subject(net(), IMAGES, LABELS, mean=IMAGES[0], std=0.25)


NAMES = ("cat", "dog", "cow", "hen")
DICTS: dict[str, dict] = {
    "by index": dict(reversed([*enumerate(NAMES)])),
    "by name": {"dog": 1, "cat": 0, "hen": 3, "cow": 2},
    "as JSON has it": {str(index): name for index, name in enumerate(NAMES)},
}


@pytest.mark.parametrize("given", DICTS.values(), ids=DICTS)
def test_a_dict_of_classes_is_brought_into_order(given: dict) -> None:
    assert rw.Subject(net(), IMAGES, LABELS, classes=given).classes == NAMES


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (set(NAMES), "have no order: got a set"),
        ({0: "cat", 1: "dog", 2: "cow", 4: "hen"}, "every index of 0 to 3 once"),
        ({"cat": 0, "dog": 0, "cow": 1, "hen": 2}, "every index of 0 to 3 once"),
        (4, "got 4, the model has 4 classes"),
    ],
)
def test_classes_in_no_order_are_refused(given: object, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        rw.Subject(net(), IMAGES, LABELS, classes=given)


# --- pictures that are there twice ----------------------------------------------------------------


@pytest.mark.parametrize("analysis", ["reliability", "pruning"])
def test_copies_of_a_picture_stay_on_one_side(analysis: str) -> None:
    subject = rw.Subject(net(), torch.cat([IMAGES] * 2), torch.cat([LABELS] * 2))
    if analysis == "reliability":
        result = rw.reliability(subject, method="histogram")
        reported = result.image
    else:
        result = rw.pruning(subject, levels=(0.3,), images=24, calibration_images=24)
        reported = result.index
    assert len(reported) == 24
    assert "24 pictures that are there more than once stayed on one side" in result.split
    fitted = np.setdiff1d(np.arange(48), reported)
    assert not set(reported % 24) & set(fitted % 24)


def test_two_different_pictures_are_needed() -> None:
    subject = rw.Subject(net(), IMAGES[:1].expand(5, -1, -1, -1), LABELS[:5])
    with pytest.raises(ValueError, match=r"two pictures are needed.*has 5 copies of one"):
        rw.reliability(subject, method="temperature")


# --- remedies that help -------------------------------------------------------------------------


def remedied(call: Callable[..., object], **names: object) -> object:
    """Follow what the error of a call says after "Pass" or "pass"."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    remedy = r"[Pp]ass (\w+)=(.+?)(?: \(torch\).*)?(?: if .*)?\.$"
    ((name, code),) = re.findall(remedy, str(caught.value))
    return call(**{name: eval(code, {"torch": torch, "np": np, **names})})


def test_remedies_were_tried() -> None:
    class Squeezing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(self.conv(x), 1).squeeze()

    squeezing = Squeezing().eval()
    remedied(lambda output=None: rw.Subject(squeezing, IMAGES, LABELS, output=output).logits)

    over = F.interpolate((IMAGES > 0.5).float(), 24, mode="bicubic")
    for given in (IMAGES[:, :, None], over, IMAGES * 1.03):
        remedied(lambda images=given: rw.Subject(net(), images, LABELS).logits, images=given)


def test_an_l2_norm_may_be_above_1_and_a_pixel_may_not() -> None:
    subject = rw.Subject(net(), IMAGES, LABELS)[:4]
    change = rw.attack(subject, attack="pgd-l2", epsilon=3.0, steps=3).images - subject.images
    norms = change.flatten(1).norm(dim=1)
    assert (norms > 1).all()
    assert (norms <= 3 + 1e-4).all()
    with pytest.raises(ValueError, match=r'epsilon is more than.*got 3 .*attack="pgd-l2"'):
        rw.attack(subject, epsilon=3.0)


def test_labels_of_one_number_each_are_taken() -> None:
    data = [(image, np.array([label])) for image, label in zip(IMAGES, LABELS, strict=True)]
    subject = rw.Subject.from_dataset(net(), data)
    assert (subject.labels == LABELS).all()


def test_a_thousand_classes_make_no_message_of_a_thousand_names() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 1000))
    subject = rw.Subject(model, IMAGES, LABELS)
    for call in (
        lambda: rw.reliability(subject, label="dog"),
        lambda: rw.attack(subject, target="dog"),
    ):
        with pytest.raises(ValueError, match=r"from 0 to 999") as caught:
            call()
        assert len(str(caught.value)) < 300


# --- parts that cannot be looked into -------------------------------------------------------------

FOREIGN: dict[str, Callable[[], nn.Module]] = {
    "scripted": lambda: torch.jit.script(net()),
    "traced": lambda: torch.jit.trace(net(), IMAGES[:2]),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(net())),
    "scripted inside": lambda: nn.Sequential(torch.jit.script(net()), nn.Identity()).eval(),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_torchscript_works_where_nothing_inside_is_asked_for(
    make: Callable[[], nn.Module],
) -> None:
    subject = rw.Subject(make(), IMAGES, LABELS)
    torch.testing.assert_close(subject.logits, net()(IMAGES))
    assert any("TorchScript" in note for note in subject.notes)
    plain = rw.Subject(net(), IMAGES, LABELS)
    attacked, wanted = (rw.attack(it[:4], attack="pgd", steps=3) for it in (subject, plain))
    torch.testing.assert_close(attacked.images, wanted.images)
    assert rw.reliability(subject).n == 24
    assert rw.saliency(subject, index=1, steps=4, points=3).index == [1]
    assert subject.fingerprint == rw.Subject(subject.model, IMAGES, LABELS).fingerprint
    other = torch.jit.script(nn.Sequential(*net()[:-1], nn.Linear(8, 4)).eval())
    assert rw.Subject(other, IMAGES, LABELS).fingerprint != subject.fingerprint
    for call in (rw.pruning, rw.oracle):
        with pytest.raises(ValueError, match=r"there is no prunable layer"):
            call(subject)


class WithState(nn.Module):
    """State that is no tensor, and a buffer that is sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()
        self.register_buffer("weights", torch.eye(4).to_sparse())

    def get_extra_state(self) -> dict:
        return {"version": 1}

    def set_extra_state(self, state: dict) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.weights, self.inner(x).T).T


def test_state_of_any_kind_is_carried() -> None:
    subject = rw.Subject(WithState().eval(), IMAGES, LABELS)
    torch.testing.assert_close(subject.logits, net()(IMAGES))
    assert rw.reliability(subject).n == 24
    result = rw.pruning(subject, levels=(0.3,), images=8, calibration_images=8)
    assert np.isfinite(result.logits).all()


def test_grad_cam_looks_at_no_layer_that_is_made_of_constants() -> None:
    class Encoded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.places = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 1)
            self.last = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last((x + self.places(torch.ones(1, 1, *x.shape[2:]))).mean((2, 3)))

    subject = rw.Subject(Encoded().eval(), IMAGES, LABELS)
    assert rw.saliency(subject, method="gradcam", fills=(), untrained=False).layer == "first"


# --- gradients that are no numbers ----------------------------------------------------------------


class Lengths(nn.Module):
    """Multiplies each pixel by its length, which has no slope where it is black."""

    def __init__(self, small: float = 0.0) -> None:
        super().__init__()
        self.small = small
        self.first, self.second = (nn.Conv2d(*it, 1, bias=False) for it in ((3, 6), (6, 4)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        return (x * (x.square().sum(1, keepdim=True) + self.small).sqrt()).mean((2, 3))


SLOPES: dict[str, Callable[[rw.Subject], object]] = {
    "saliency": lambda it: rw.saliency(it, method="gradient", fills=(), untrained=False),
    "gradcam": lambda it: rw.saliency(it, method="gradcam", layer="first", fills=()),
    **{
        kind: lambda it, kind=kind: rw.attack(it, attack=kind, steps=2)
        for kind in ("fgsm", "mim", "deepfool")
    },
    "propagation": lambda it: rw.propagation(it, steps=2, correct_only=False),
    "pruning": lambda it: rw.pruning(it, levels=(0.3,), images=4, calibration_images=4),
}


@pytest.mark.parametrize("call", SLOPES.values(), ids=SLOPES)
def test_a_gradient_that_is_nan_is_refused_and_its_remedy_helps(
    call: Callable[[rw.Subject], object],
) -> None:
    images = IMAGES[:8].clone()
    images[:, :, 2, 2] = 0  # black, where the root has no slope
    torch.manual_seed(0)
    model = Lengths().eval()
    subject = rw.Subject(model, images, model(images).argmax(1))
    with pytest.raises(ValueError, match="gradient holds NaN or infinity: for"):
        call(subject)
    mended = Lengths(small=1e-6).eval()
    mended.load_state_dict(model.state_dict())
    call(rw.Subject(mended, images, subject.labels))
    assert np.isfinite(rw.saliency(subject, method="occlusion", fills=()).maps).all()


# --- weights without values -------------------------------------------------------------------


def test_a_model_that_never_saw_an_image_is_refused_and_the_remedy_helps() -> None:
    model, images = nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), torch.rand(4, 1, 4, 4)
    with pytest.raises(ValueError, match=r"weights without values: 1\.weight gets its shape"):
        rw.Subject(model, images, [0, 1, 2, 0])
    model(images[:1])
    assert rw.Subject(model, images, [0, 1, 2, 0]).logits.shape == (4, 3)


def test_a_model_on_the_meta_device_is_refused_and_the_remedy_helps() -> None:
    made = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    model, images = copy.deepcopy(made).to("meta"), torch.rand(4, 1, 4, 4)
    with pytest.raises(ValueError, match=r"weights without values: 1\.weight is on torch's meta"):
        rw.Subject(model, images, [0, 1, 2, 0])
    model.to_empty(device="cpu").load_state_dict(made.state_dict())
    here, there = (rw.Subject(it, images, [0, 1, 2, 0]).logits for it in (model, made))
    assert torch.equal(here, there)


# --- what a notebook shows of an error --------------------------------------------------------


@pytest.fixture
def cell(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], str]]:
    """Runs a cell and returns what is printed."""
    shell = InteractiveShell.instance(colors="nocolor")
    shell.run_cell("import torch, reliab_widgets as rw\nfrom torch import nn")
    capsys.readouterr()

    def run(code: str) -> str:
        assert not shell.run_cell(code).success
        return capsys.readouterr().out

    yield run
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("code", "happened"),
    [
        (
            "rw.widgets.SaliencyWidget("
            "rw.Subject(nn.Conv2d(1, 3, 4), torch.ones(1, 3, 4, 4), [0]))",
            "ValueError: the model wants 1 channel, the images have 3",
        ),
        ("rw.widgets.PruningWidget(3)", "TypeError: subject is not a Subject"),
        ("rw.reliability(rw.demo('resnet20'), bins=0)", "ValueError: bins must be"),
        ("rw.Subject(nn.Flatten())", "TypeError: Subject cannot be called like this"),
    ],
)
def test_a_notebook_shows_what_to_do_and_not_our_code(
    cell: Callable[[str], str], code: str, happened: str
) -> None:
    shown = cell(code)
    assert shown.startswith(happened)
    assert "\n  seen: " in shown
    assert "\n  to do: " in shown
    assert len(shown.splitlines()) == 4


def test_a_notebook_shows_what_went_wrong_in_the_model_of_a_user(
    cell: Callable[[str], str],
) -> None:
    shown = cell(
        "class Net(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x @ torch.ones(2, 3)\n"
        "rw.Subject(Net(), torch.rand(2, 3, 4, 4), [0, 1])"
    )
    assert "return x @ torch.ones(2, 3)" in shown
    assert "to do: " in shown.splitlines()[-2]


def test_an_error_outlasts_the_way_out_of_a_process() -> None:
    with pytest.raises(TypeError) as caught:
        rw.reliability(3)  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again._render_traceback_() == caught.value._render_traceback_()
