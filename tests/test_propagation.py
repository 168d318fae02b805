"""How an attack propagates: hand-computed distances, honest controls, nothing left behind."""

import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses.propagation.charts import Steps
from reliab_widgets.analyses.propagation.compute import channels, propagation
from reliab_widgets.analyses.propagation.drawing import Attacked
from reliab_widgets.analyses.propagation.result import METRICS, Propagation
from reliab_widgets.analyses.propagation.sentences import times
from reliab_widgets.core.knobs import Knobs
from reliab_widgets.ops.features.layers import find
from tests.models import Blocked, Brightness, flat_images
from tests.test_attacks import inside
from tests.test_layers import Functional, Twice
from tests.test_result import assert_same


def tiny(means: tuple[float, ...] = (0.25, 0.75), labels: tuple[int, ...] = (1, 0)) -> Subject:
    """Grey images m; the convolution gives (m, 1 - m), the logits are (2 m, 2 - 2 m, 0.5)."""
    return Subject(
        Brightness(), flat_images(list(means)), labels, classes=["bright", "dark", "grey"]
    )


def brighten(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return (images + 0.125).clamp(0, 1)


def add(images: Tensor) -> Tensor:
    return (images + 0.25).clamp(0, 1)


def examine(subject: Subject, **knobs: Any) -> Propagation:
    return rw.propagation(subject, **knobs)


# --- by hand ----------------------------------------------------------------------------------


def test_distances_by_hand() -> None:
    """From m = 0.25 to 0.375: the convolution goes from (0.25, 0.75) to (0.375, 0.625)."""
    result = examine(tiny(), attack=brighten)
    assert result.layers == ("input", "conv", "fc", "logits", "probabilities")
    assert result.types == ("", "Conv2d", "Linear", "", "")
    assert result.shapes == ("1 x 8 x 8", "2 x 8 x 8", "3", "3", "3")
    rms, relative, variance, cosine = (result.of("adversarial", it)[:, 0] for it in METRICS)
    assert rms[:4].tolist() == pytest.approx(
        [0.125, 0.125, math.sqrt(2 * 0.25**2 / 3), math.sqrt(2 * 0.25**2 / 3)]
    )
    clean, changed = math.hypot(0.25, 0.75), math.hypot(0.375, 0.625)
    assert relative[:2].tolist() == pytest.approx([0.5, math.hypot(0.125, 0.125) / clean])
    dot = 0.25 * 0.375 + 0.75 * 0.625
    assert cosine[:2].tolist() == pytest.approx([0, 1 - dot / (clean * changed)], abs=1e-7)
    # Of (m, 1 - m) the variance is (m - 0.5)^2, of the difference (0.125, -0.125) it is 0.125^2.
    by_hand = 0.125**2 / (2 * (0.25**2 + 0.125**2))
    assert variance[:2].tolist() == pytest.approx([0, by_hand])
    logits = torch.tensor([[0.5, 1.5, 0.5], [0.75, 1.25, 0.5]])
    np.testing.assert_allclose(result.logits[:2, 0], logits)
    p, q = logits.softmax(1)
    assert rms[4] == pytest.approx((p - q).square().mean().sqrt().item())


def test_with_a_denoiser_each_kind_is_what_it_says() -> None:
    """From m = 0.25 the attack adds 0.125 and the denoiser 0.25; noise keeps the mean."""
    result = examine(tiny(), attack=brighten, denoiser=add, layers=("pool", "fc"))
    assert result.kinds == ("adversarial", "undefended", "random", "clean-denoised")
    pool = result.layers.index("pool")
    moved = {kind: result.of(kind)[pool, 0] for kind in result.kinds}
    assert moved["adversarial"] == pytest.approx(0.375)
    assert moved["undefended"] == pytest.approx(0.125)
    assert moved["clean-denoised"] == pytest.approx(0.25)
    assert moved["random"] < 0.06
    assert result.of("random")[0, 0] == pytest.approx(0.125)
    np.testing.assert_allclose(
        result.pictures[[0, 1, 2, 4], 0, 0, 0], [0.25, 0.625, 0.375, 0.5], rtol=1e-6
    )
    assert set(np.unique(result.pictures[3])) == {0.125, 0.375}


@pytest.mark.parametrize("layers", ["weight", "activations", "blocks"])
def test_without_attack_and_denoiser_all_distances_are_zero(layers: str) -> None:
    result = examine(rw.demo("resnet20"), attack="none", images=12, layers=layers)
    assert result.of("adversarial").max() <= 1e-6
    assert np.abs(result.distance[0]).max() <= 1e-6
    assert (result.of("random") > 0).all()
    assert result.trajectory.shape[0] == 1


def test_the_clean_reference_does_not_pass_through_the_denoiser() -> None:
    result = examine(tiny(), attack="none", denoiser=add)
    assert_equal = np.testing.assert_array_equal
    assert_equal(result.distance[0], result.distance[result.kinds.index("clean-denoised")])
    assert result.of("clean-denoised")[0].tolist() == [0.25, 0.25]


def test_a_real_network_against_features_kept_by_hand() -> None:
    subject = rw.demo("resnet20")
    result = examine(subject, images=[3, 8], steps=2)
    attacked = rw.attack(subject[[3, 8]], steps=2)
    found, _ = find(subject.network, subject.images[:1])
    assert result.layers[1:-2] == tuple(layer.name for layer in found)
    kept: dict[str, list[Tensor]] = {"layer2.0.conv1": [], "fc": []}
    handles = [
        subject.model.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: kept[name].append(output.clone())
        )
        for name in kept
    ]
    with torch.no_grad():
        for images in (subject.images[[3, 8]], attacked.images):
            subject.network.logits(images)
    for handle in handles:
        handle.remove()
    for name, (clean, changed) in kept.items():
        place = result.layers.index(name)
        apart = (changed - clean).flatten(1)
        by_hand = {
            "rms": apart.square().mean(1).sqrt(),
            "relative": apart.norm(dim=1) / clean.flatten(1).norm(dim=1),
            "cosine": 1 - torch.cosine_similarity(clean.flatten(1), changed.flatten(1)),
        }
        for metric, expected in by_hand.items():
            np.testing.assert_allclose(
                result.of("adversarial", metric)[place], expected, rtol=1e-4, atol=1e-6
            )
    np.testing.assert_allclose(result.logits[1], attacked.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result.trajectory[0], result.logits[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result.trajectory[-1], result.logits[1], rtol=1e-4, atol=1e-4)


def test_layers_used_twice_and_in_place_are_measured_apart() -> None:
    """An in-place ReLU behind the convolution must not change what was measured at it."""
    model = Twice()
    with torch.no_grad():
        model.conv.weight.copy_(-torch.eye(2)[:, :, None, None])
        model.conv.bias.zero_()
    result = examine(Subject(model, flat_images([0.5], 2), [0]), attack=brighten)
    moved = result.of("adversarial")[:, 0]
    assert result.layers[1:3] == ("conv", "conv (2nd use)")
    assert moved[1] == pytest.approx(0.125)
    assert moved[2] == 0  # the ReLU between them gave 0 both times
    assert result.branches.tolist() == [False, False, False, True, False, False, False]


# --- control ----------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "none"])
def test_the_control_of_a_cube_is_its_corner(attack: str) -> None:
    subject = rw.demo("resnet20")
    result = examine(subject, attack=attack, images=[5], steps=2)
    clean, noisy = torch.from_numpy(result.pictures[[0, 2]])
    change = (noisy - clean).abs()
    free = (clean > 0.04) & (clean < 0.96)
    assert change[free].min().item() == pytest.approx(8 / 255, abs=1e-6)
    assert inside(clean[None], noisy[None], 8 / 255, "Linf")


@pytest.mark.parametrize("attack", ["deepfool", "pgd-l2", brighten])
def test_elsewhere_the_control_is_as_large_as_the_attack(attack: Any) -> None:
    result = examine(rw.demo("resnet20"), attack=attack, images=6, epsilon=0.25, steps=3)
    sizes = result.of("adversarial")[0], result.of("random")[0]
    np.testing.assert_allclose(sizes[1], sizes[0], rtol=0.1)
    assert (sizes[1] <= sizes[0] * (1 + 1e-6)).all()  # what is clipped makes it smaller


def test_numbers_of_an_image_do_not_depend_on_its_company() -> None:
    subject = rw.demo("resnet20")
    knobs: dict[str, Any] = {"attack": "pgd", "steps": 2}
    together = examine(subject, images=list(range(20)), **knobs)
    alone = examine(subject, images=[17], **knobs)
    np.testing.assert_allclose(
        alone.distance[:, :, :, 0], together.distance[:, :, :, 17], rtol=1e-3, atol=1e-5
    )
    other = examine(subject, images=[17], seed=1, **knobs)
    assert not np.array_equal(other.pictures[2], alone.pictures[2])


# --- what is reported -------------------------------------------------------------------------


def made(clean: list[int], attacked: list[int], control: list[int], **fields: Any) -> Propagation:
    """A result whose answers are given; the runner-up of class k is always k + 1."""
    result = examine(tiny((0.25,) * len(clean), (1,) * len(clean)), attack=brighten)
    answers = np.array([clean, attacked, control])
    logits = 2.0 * np.eye(3)[answers] + np.eye(3)[(answers + 1) % 3]
    return replace(result, logits=logits.astype(np.float32), **fields)


def aimed(result: Propagation) -> Propagation:
    """The same of an attack that wanted the third class."""
    return replace(result, knobs=Knobs({**result.knobs, "target": "grey"}))


def test_the_four_grades() -> None:
    clean = [0, 0, 0, 0, 1]
    result = made(clean, [0, 1, 2, 1, 1], [0, 0, 0, 2, 2])
    assert result.verdict == (
        "not flipped",
        "flipped to the runner-up",
        "flipped",
        "control flipped too: epsilon is simply large",
        "not flipped",
    )
    assert aimed(made(clean, [0, 1, 2, 1, 1], clean)).verdict[2] == "flipped to the target"


def test_outcomes_count_answers() -> None:
    result = made([0, 0, 0, 1], [0, 1, 2, 0], [0, 0, 1, 1], truth=np.array([0, 0, 1, 1]))
    table = result.outcomes()
    assert table.index.tolist() == ["clean", "adversarial", "random"]
    assert table["n"].tolist() == [4, 4, 4]
    assert table["accuracy"].tolist() == [0.75, 0.25, 1.0]
    assert table["flips"].tolist() == [0, 3, 1]
    confidence = math.exp(2) / (math.exp(2) + math.exp(1) + 1)
    assert table["confidence"].tolist() == pytest.approx([confidence] * 3)
    words = str(result)
    assert "3 of 4 predictions change, 1 under random noise" in words
    assert "accuracy from 75.0 % to 25.0 %" in words


def test_summary_and_ratio_by_hand() -> None:
    result = examine(tiny((0.25,) * 4, (1,) * 4), attack=brighten)
    distance = np.ones_like(result.distance)
    distance[0, 0, 1] = [2, 4, 6, 8]
    distance[1, 0, 1] = [1, 2, 2, 3]
    result = replace(result, distance=distance)
    assert result.ratio()[1] == 2.5
    low, high = result.interval()[:, 1]
    assert 1 < low < 2.5 < high < 6
    table = result.summary()
    row = table[(table.kind == "adversarial") & (table.layer == "conv") & (table.metric == "rms")]
    assert row[["n", "median", "lower", "upper", "ratio"]].to_numpy().tolist() == [
        [4, 5.0, 3.5, 6.5, 2.5]
    ]
    assert row[["low", "high"]].to_numpy().tolist() == [[low, high]]
    control = table[table.kind == "random"]
    assert (control["ratio"] == 1).all()
    assert len(table) == 2 * 4 * 5
    assert result.strongest == result.strongest_map == "conv"


def test_the_table_holds_every_distance() -> None:
    result = examine(tiny(), attack=brighten, images=[1, 0])
    table = result.to_frame()
    assert table.columns.tolist() == ["image", "kind", "layer", "order", "type", "metric", "value"]
    assert len(table) == 2 * 4 * 5 * 2
    row = table[
        (table.image == 1)
        & (table.kind == "random")
        & (table.layer == "fc")
        & (table.metric == "cosine")
    ]
    assert row["value"].tolist() == [result.of("random", "cosine")[2, 0]]
    assert row["order"].tolist() == [2]


def test_against_a_pinned_result_of_other_settings() -> None:
    weak, strong = (examine(tiny((0.45, 0.55)), epsilon=it) for it in (0.01, 0.1))
    last = strong.layers.index("logits")
    far = [times(float(it.first()[last])) for it in (weak, strong)]
    assert strong.against(weak) == (
        "Against the pin (BIM 2.55/255, 10 steps): the attack moves the logits "
        f"{far[1]} times as far as noise, not {far[0]}; it says bright, not dark."
    )
    assert weak.against(weak).endswith("; both say dark.")
    # Of another image only its factor is told, and that it is another one.
    other = examine(tiny((0.45, 0.55)), epsilon=0.01, images=[1])
    assert strong.against(other).startswith("Against the pin (image 1, BIM 2.55/255, 10 steps): ")
    assert "say" not in strong.against(other)


def test_its_sentence_says_what_was_done() -> None:
    subject = tiny((0.45, 0.55))
    assert "under FGSM 8/255:" in str(examine(subject, attack="fgsm"))
    assert "under PGD 0.5 (L2), 3 steps, towards grey:" in str(
        examine(subject, attack="pgd-l2", epsilon=0.5, steps=3, target="grey")
    )
    words = str(examine(subject, denoiser=add, knowledge="white-box", correct_only=True))
    assert "through the denoiser add (white-box)" in words
    assert "correctly classified images" in words
    assert "without the denoiser" in words
    assert "past the denoiser add (grey-box)" in str(examine(subject, denoiser=add))


# --- notes ------------------------------------------------------------------------------------


class Saturated(Brightness):
    """So sure that softmax's gradient is exactly 0."""

    def forward(self, x: Tensor) -> Tensor:
        return 1000 * super().forward(x)


class Flat(Brightness):
    """Of no slope at all."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x > 0.5) + 0 * x)


class Masked(Brightness):
    """Sees pixels in steps: no slope anywhere, but noise turns its answer."""

    def forward(self, x: Tensor) -> Tensor:
        rough = ((x * 20).round() / 20 + 0 * x).flatten(1).var(1)
        return 0 * super().forward(x) + torch.stack([rough, 1e-3 - rough, -1 - rough], 1)


def test_gradients_of_zero_are_no_robustness() -> None:
    result = examine(Subject(Flat(), flat_images([0.1, 0.2]), [1, 1]))
    (note,) = [it for it in result.notes if "exactly 0" in it]
    assert "for 2 of 2 images every gradient is exactly 0" in note
    assert "not robustness" in note


def test_a_network_that_is_sure_is_attacked_like_one_that_is_not() -> None:
    sure, unsure = (
        examine(Subject(kind(), flat_images([0.1, 0.2] * 4), [1] * 8), images=range(8))
        for kind in (Saturated, Brightness)
    )
    np.testing.assert_allclose(sure.logits, 1000 * unsure.logits, rtol=1e-5)
    assert sure.doubt == (
        "hidden: the cross-entropy of 8 of 8 images is exactly 0, and so is its slope; its "
        "logarithm was climbed instead"
    )
    assert sure.notes == (sure.doubt,)
    assert unsure.notes == ()


def test_an_attack_that_noise_beats_is_told() -> None:
    result = examine(Subject(Masked(), flat_images([0.3, 0.6]), [1, 1]), epsilon=0.1)
    assert result.accuracy("adversarial") == 1
    assert result.accuracy("random") == 0
    assert any("random noise of the same size does more harm" in note for note in result.notes)
    assert examine(tiny()).notes == ()


def test_other_notes() -> None:
    subject = tiny((0.45, 0.55))
    notes = examine(subject, denoiser=torch.round, knowledge="white-box").notes
    assert any("BPDA" in note for note in notes)
    assert examine(subject, denoiser=torch.round).notes == ()
    notes = examine(subject, target="dark", images=[0, 1]).notes
    assert notes == ("images of the class dark are left out: they are at the target already",)
    dark = subject.classes.index("dark")
    other = int((subject.labels != dark).nonzero()[0])
    assert examine(subject, target="dark", images=[other]).notes == ()  # none was asked for


# --- channels ---------------------------------------------------------------------------------


def test_channels_by_hand() -> None:
    model = Brightness()
    with torch.no_grad():
        model.conv.weight[1] = -2
    subject = Subject(model, flat_images([0.25, 0.75]), [1, 0])
    result = examine(subject, attack=brighten, images=[1])
    found = channels(subject, result, "conv")
    assert found.channel.tolist() == [1, 0]
    assert found.change.tolist() == pytest.approx([0.25, 0.125])
    assert found.clean.shape == found.adversarial.shape == found.random.shape == (2, 8, 8)
    np.testing.assert_allclose(found.clean[:, 0, 0], [1 - 2 * 0.75, 0.75])
    np.testing.assert_allclose(found.adversarial[:, 0, 0], [1 - 2 * 0.875, 0.875])
    assert found.control.tolist() == pytest.approx([0.25, 0.125])
    units = channels(subject, result, "fc")
    assert units.clean.shape == (3, 1, 1)
    assert sorted(units.channel.tolist()) == [0, 1, 2]


def test_channels_agree_with_the_distances() -> None:
    subject = rw.demo("resnet20")
    result = examine(subject, images=[4], steps=2, denoiser="median")
    for layer in ("input", "conv1", "layer2.0.downsample.0", "fc", "logits", "probabilities"):
        found = channels(subject, result, layer)
        place = result.layers.index(layer)
        rms = np.sqrt(np.mean(found.change**2)), np.sqrt(np.mean(found.control**2))
        np.testing.assert_allclose(
            rms, [result.of(kind)[place, 0] for kind in ("adversarial", "random")], rtol=1e-4
        )
        assert (np.diff(found.change) <= 0).all()


def test_channels_of_a_second_use_in_place() -> None:
    subject = Subject(Twice(), flat_images([0.5], 2), [0])
    result = examine(subject, attack=brighten, layers="activations")
    assert channels(subject, result, "relu (3rd use)").layer == "relu (3rd use)"


def test_channels_refuse_what_does_not_fit() -> None:
    subject = tiny()
    result = examine(subject, attack=brighten)
    with pytest.raises(ValueError, match=r"no such layer.*'conv9'.*layer="):
        channels(subject, result, "conv9")
    with pytest.raises(ValueError, match=r"another subject.*subject="):
        channels(tiny((0.1, 0.9)), result, "conv")


# --- bad input, and what must stay ------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"epsilon": 0}, r"epsilon must be a number above 0.*epsilon="),
        ({"epsilon": 8}, r"epsilon is more than the range.*got 8"),
        ({"attack": "jsma"}, r"no such attack: got 'jsma'.*attack=.*'simba'"),
        ({"attack": lambda m, x, y: x[:1, :, :4]}, r"keep the shape.*attack="),
        ({"attack": lambda m, x, y: x + 1}, r"left \[0, 1\].*attack="),
        ({"denoiser": lambda x: x[:, :, :4]}, r"keep the shape.*denoiser="),
        ({"layers": "conv9"}, r"layers='conv9'.*conv, relu, pool, fc"),
        ({"knowledge": "black"}, r"no such knowledge.*knowledge="),
        ({"target": "cat"}, r"no such target.*target="),
        ({"images": 0}, r"images"),
        ({"images": 10**9}, r"images is more than there are: got 1,000,000,000, there are 2\."),
        ({"seed": -1}, r"seed must be a whole number"),
        ({"steps": 0}, r"steps"),
    ],
)
def test_bad_input_is_named(knobs: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        examine(tiny(), **knobs)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"correct_only": "no"}, "correct_only must be True or False: got 'no'"),
        ({"layers": 3}, "layers must be a text: got 3"),
        ({"goal": "any"}, "has no knob 'goal'.*It is called target here"),
        ({"threat": "grey"}, "has no knob 'threat'.*It is called knowledge here"),
    ],
)
def test_knobs_of_another_kind_are_named(knobs: dict, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        examine(tiny(), **knobs)


def test_by_default_a_small_subject_is_examined_whole() -> None:
    """Nobody asked for 64: what was examined is said."""
    result = examine(tiny((0.45,) * 70, (1,) * 70))
    assert (result.knobs["images"], result.n) == (None, 64)
    assert examine(tiny()).n == 2
    assert " of 2 predictions" in str(examine(tiny()))


# --- views ------------------------------------------------------------------------------------


def test_the_picture_marks_what_its_views_say() -> None:
    result = examine(tiny((0.45,), (1,)), steps=4)

    whole, marked = Attacked.on(result.plot()), Attacked.on(result.plot(amplify=2, metric="cosine"))
    assert [it.slots[1][2].get_text()[-3:] for it in (whole, marked)] == ["× 8", "× 2"]
    assert marked.title.get_text().endswith("noise = 1 (cosine distance)")
    for step in (0, 2, 4):
        steps = Steps.on(result.plot(view="steps", step=step))
        assert steps.column.get_x() + 0.5 == step


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ({"metric": "l2"}, "no such metric: got 'l2'.*'rms', 'relative'"),
        ({"view": "ration"}, "no such view.*The nearest: ratio"),
        ({"log": 1}, "log must be True or False"),
        ({"layer": "conv9"}, "no such layer in the result: got 'conv9'.*nearest: conv"),
        ({"amplify": 0}, "amplify must be a number above 0"),
        ({"step": -1}, "step must be a whole number"),
        ({"colour": "red"}, "picture of Propagation has no knob 'colour'"),
    ],
)
def test_views_that_cannot_be_are_named(views: dict, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        examine(tiny()).plot(**views)


# --- bad subjects -----------------------------------------------------------------------------


def test_subjects_that_cannot_be_attacked_are_named() -> None:
    images = flat_images([0.2, 0.8])
    with pytest.raises(ValueError, match=r"all 2 are misclassified.*correct_only=False"):
        examine(tiny(labels=(2, 2)), correct_only=True)
    with pytest.raises(ValueError, match=r"gradients are blocked.*model="):
        examine(Subject(Blocked(), images, [1, 0]))
    with pytest.raises(ValueError, match=r"layers='activations' finds nothing"):
        examine(Subject(Functional(), images, [1, 0]), layers="activations")


def digest(subject: Subject) -> str:
    state = subject.model.state_dict()
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest()


def test_nothing_is_left_after_cancel_in_the_middle() -> None:
    subject = rw.demo("resnet20")
    before = digest(subject), torch.get_rng_state(), np.random.get_state()[1].copy()

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise rw.Cancelled

    with pytest.raises(rw.Cancelled):
        propagation(
            subject, attack="pgd", steps=2, denoiser="median", knowledge="white-box", progress=stop
        )
    assert digest(subject) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert (np.random.get_state()[1] == before[2]).all()
    assert not any(module._forward_hooks for module in subject.model.modules())
    assert not any(module.training for module in subject.model.modules())


def test_a_dask_client_gives_the_same_numbers() -> None:
    distributed = pytest.importorskip("distributed")
    subject = tiny((0.3, 0.45, 0.55, 0.7) * 5, (1, 1, 0, 0) * 5)
    knobs: dict[str, Any] = {
        "attack": "pgd",
        "steps": 2,
        "denoiser": "median",
        "knowledge": "white-box",
    }
    inline = examine(subject, **knobs)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert_same(examine(subject, executor=client, **knobs), inline)
