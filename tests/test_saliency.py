"""The saliency analysis: what it puts together, says and refuses."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from torch import nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses.saliency.compute import saliency
from reliab_widgets.analyses.saliency.result import FILLS, Saliency
from reliab_widgets.analyses.saliency.sentences import word
from reliab_widgets.core.drawing import svg
from reliab_widgets.ops.attribution.methods import Method
from reliab_widgets.ops.networks.untrained import untrained
from reliab_widgets.ops.statistics.agreement import MEASURES
from tests.models import Blocked, Brightness, Counting, flat_images
from tests.test_drawing import lines_of
from tests.test_result import assert_same

QUICK: dict[str, Any] = {"steps": 4, "points": 3, "fills": ("mean", "own"), "masks": 40}
TINY: dict[str, Any] = {"steps": 2, "points": 2}


@pytest.fixture(scope="module")
def subject() -> Subject:
    return rw.demo("resnet20")


@pytest.fixture(scope="module")
def result(subject: Subject) -> Saliency:
    return saliency(subject, index=[3, 8, 12], steps=8, points=5, hyper={"steps": (4, 8)})


def textured() -> Subject:
    """Images with some pixels of exactly black, under a network that looks at brightness."""
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    images[:, :, :2] = 0
    return Subject(Brightness(), images, [0, 1, 2, 0, 1, 2], classes=("dark", "bright", "grey"))


# --- the numbers ----------------------------------------------------------------------------------


def test_what_is_explained_is_fixed_on_the_clean_image(subject: Subject, result: Saliency) -> None:
    chosen = [3, 8, 12]
    logits = subject[chosen].logits
    assert result.index.tolist() == chosen
    assert result.truth.tolist() == subject.labels[chosen].tolist()
    assert result.answer.tolist() == result.target.tolist() == logits.argmax(1).tolist()
    p = logits.softmax(1).numpy()
    np.testing.assert_allclose(result.probabilities, p, atol=1e-6)
    np.testing.assert_allclose(result.scores_clean, p.max(1), atol=1e-6)
    np.testing.assert_array_equal(result.images, subject.images[chosen].numpy())


def test_baselines_are_described_by_what_the_network_says_of_them(
    subject: Subject, result: Saliency
) -> None:
    assert result.baselines == ("black", "white", "mean", "blur")
    assert not result.baseline_images[:, 0].any()
    assert (result.baseline_images[:, 1] == 1).all()
    np.testing.assert_allclose(result.baseline_images[2, 2, :, 5, 5], subject.mean, atol=1e-6)
    p = subject.predict(torch.tensor(result.baseline_images[1])).softmax(1).numpy()
    np.testing.assert_allclose(result.neutrality[1], p, atol=1e-6)
    np.testing.assert_allclose(result.scores_baseline[1], p[:, result.target[1]], atol=1e-6)
    np.testing.assert_allclose(result.top_probability[1], p.max(1), atol=1e-6)
    np.testing.assert_allclose(result.entropy[1], -(p * np.log(p)).sum(1), atol=1e-5)


def test_maps_agree_with_the_path_and_its_ends(result: Saliency) -> None:
    n, count, steps = result.path.shape
    assert (n, count, steps) == (3, 4, 9)
    np.testing.assert_allclose(result.path[:, :, 0], result.scores_baseline, atol=1e-6)
    np.testing.assert_allclose(result.path[:, :, -1], result.scores_clean[:, None] * [[1] * 4])
    sums = result.maps.sum((2, 3), dtype=float)
    np.testing.assert_allclose(result.credit[:, :, -1], sums, atol=1e-5)
    expected = sums - (result.scores_clean[:, None] - result.scores_baseline)
    np.testing.assert_allclose(result.gap, expected, atol=1e-6)
    assert result.path_maps.dtype == np.float16
    for baseline in range(4):
        largest = float(result.path_scale[baseline])
        np.testing.assert_allclose(
            result.accumulated(baseline, 8), result.maps[0, baseline], atol=1e-3 * largest
        )
        assert result.accumulated(baseline, 3).sum() == pytest.approx(
            result.credit[0, baseline, 3], abs=0.2 * largest
        )
        assert not result.accumulated(baseline, 0).any()


def test_maps_so_far_are_interpolated_where_the_path_is_long() -> None:
    made = saliency(textured(), steps=40, fills="black", points=2, score="logit")
    assert made.path.shape[-1] == 41
    assert made.path_maps.shape[1] == 33
    for step in (0, 1, 17, 39, 40):
        sums = [made.accumulated(b, step).sum() for b in range(4)]
        np.testing.assert_allclose(sums, made.credit[0, :, step], atol=4e-3)


def test_other_settings_and_the_control_stand_beside_the_chosen_ones(
    subject: Subject, result: Saliency
) -> None:
    # 8 steps are the chosen ones: they are not repeated.
    assert result.hyper == ("8 steps", "4 steps")
    assert result.hyper_maps.shape == (3, 2, 4, 32, 32)
    fewer = saliency(subject, index=8, **QUICK)
    np.testing.assert_allclose(fewer.maps[0], result.hyper_maps[1, 1], atol=1e-6)
    control = saliency(untrained(subject), index=8, **QUICK | {"target": int(result.target[1])})
    np.testing.assert_allclose(fewer.untrained, control.maps, atol=1e-7)
    assert result.compared[::4] == ("black", "black, 4 steps", "black, untrained")


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "occlusion", "rise"])
def test_the_control_is_the_same_analysis_of_the_untrained_network(method: str) -> None:
    options = {**QUICK, "method": method, "target": "bright", "score": "logit", "index": 3}
    made = saliency(textured(), seed=5, **options)
    control = saliency(untrained(textured(), seed=5), seed=5, **options)
    np.testing.assert_array_equal(made.untrained, control.maps)
    assert made.untrained.any()


def test_agreement_is_that_of_the_maps(result: Saliency) -> None:
    assert result.agreement.shape == (4, 3, 12, 12)
    pages = np.concatenate([result.hyper_maps, result.untrained[:, None]], axis=1)
    pages = pages.reshape(3, 12, -1)
    expected = np.mean([spearmanr(pages[i, 1], pages[i, 7]).statistic for i in range(3)])
    assert result.agree()[1, 7] == pytest.approx(expected)
    assert result.agreements().loc["white", "blur, 4 steps"] == pytest.approx(expected)
    absolute = [spearmanr(np.abs(pages[i, 2]), np.abs(pages[i, 10])).statistic for i in range(3)]
    assert result.control("absolute")[2] == pytest.approx(np.mean(absolute))
    a, b, value = result.lowest() or (0, 0, 0.0)
    assert value == result.between_baselines()[a, b] == result.between_baselines().min()


def test_convergence_of_the_path_is_half_the_steps_with_all(result: Saliency) -> None:
    assert result.convergence_size.tolist() == [2, 4]
    expected = [
        spearmanr(result.hyper_maps[i, 0, 1].ravel(), result.hyper_maps[i, 1, 1].ravel()).statistic
        for i in range(3)
    ]
    np.testing.assert_allclose(result.convergence[:, 1, 1], expected, atol=1e-4)
    assert result.ceiling()[1] == pytest.approx(np.mean(expected), abs=1e-4)


# --- deletion -------------------------------------------------------------------------------------


def test_curves_begin_at_the_image_and_end_at_the_fill(result: Saliency) -> None:
    assert result.fills == ("black", "white", "mean", "blur", "own")
    assert result.morf.shape == result.lerf.shape == (3, 5, 5, 5)
    for curves in (result.morf, result.lerf):
        for baseline in range(5):
            for fill in range(5):
                first, last = curves[:, baseline, fill, [0, -1]].T
                np.testing.assert_allclose(first, result.scores_clean, atol=1e-6)
                which = baseline if fill == 4 else fill
                if which < 4:
                    np.testing.assert_allclose(last, result.scores_baseline[:, which], atol=1e-6)
        # Filled with its own baseline, and with the same one by name.
        for baseline in range(4):
            np.testing.assert_allclose(
                curves[:, baseline, 4], curves[:, baseline, baseline], atol=1e-6
            )


def test_random_orders_do_not_care_which_end_comes_first(subject: Subject) -> None:
    made = saliency(subject, images=16, baselines="mean", steps=4, points=5, fills="mean")
    gap = (made.areas("morf") - made.areas("lerf"))[:, -1, 0]
    assert abs(gap.mean()) < 2 * gap.std(ddof=1) / np.sqrt(len(gap))
    # The map's own order does care.
    assert (made.areas("lerf") - made.areas("morf"))[:, 0, 0].mean() > 3 * abs(gap.mean())


def test_areas_winners_and_rankings_by_hand(result: Saliency) -> None:
    morf = np.zeros((2, 4, 2, 3))  # 2 images, 3 baselines and random, 2 fills, 3 points
    morf[:, :, :, 0] = 1
    morf[0, :, 0, 1] = [0.1, 0.2, 0.3, 0.9]
    morf[0, :, 1, 1] = [0.3, 0.1, 0.2, 0.9]
    morf[1, :, 0, 1] = [0.3, 0.1, 0.2, 0.9]
    morf[1, :, 1, 1] = [0.1, 0.2, 0.3, 0.9]
    made = replace(
        result,
        baselines=("a", "b", "c"),
        fills=("p", "q"),
        fractions=np.array([0, 0.5, 1.0]),
        morf=morf,
        lerf=morf[:, [2, 1, 0, 3]],
    )
    assert made.areas()[0, :, 0].tolist() == pytest.approx([0.3, 0.35, 0.4, 0.7])
    assert made.wins().tolist() == [[1, 1, 0], [1, 1, 0]]
    # Least relevant first, the largest area wins: the curves are those of c, b, a.
    assert made.wins("lerf").tolist() == [[1, 0, 1], [1, 0, 1]]
    tau = kendalltau([1, 2, 3], [3, 1, 2]).statistic
    assert made.fill_disagreement()[0, 1] == pytest.approx(tau)


def test_magnitudes_order_pixels_differently() -> None:
    examined = textured()
    options = {"baselines": "white", "fills": "white", "points": 9, "score": "logit"}
    signed = saliency(examined, target="dark", **options)
    magnitude = saliency(examined, target="dark", sign="magnitude", **options)
    np.testing.assert_array_equal(signed.maps, magnitude.maps)
    # The logit of "dark" is 2 m: against white all credit is negative, so the orders are opposite.
    np.testing.assert_allclose(signed.morf[0, 0], magnitude.lerf[0, 0], atol=1e-6)
    assert signed.areas()[0, 0, 0] < magnitude.areas()[0, 0, 0]


# --- many images, anywhere ------------------------------------------------------------------------


def test_many_images_are_the_single_ones() -> None:
    examined = textured()
    many = saliency(examined, index=[4, 1], method="occlusion", **QUICK)
    for place, index in enumerate((4, 1)):
        one = saliency(examined, index=index, method="occlusion", **QUICK)
        for name in ("hyper_maps", "untrained", "morf", "lerf", "neutrality", "probabilities"):
            np.testing.assert_allclose(
                getattr(many, name)[place], getattr(one, name)[0], atol=1e-6, err_msg=name
            )


def test_drawn_images_are_drawn_by_the_seed() -> None:
    examined = textured()
    drawn = [
        saliency(examined, images=3, seed=seed, method="gradient", fills="black", points=2).index
        for seed in (0, 0, 1, 2, 3)
    ]
    assert drawn[0].tolist() == drawn[1].tolist() == sorted(set(drawn[0].tolist()))
    assert len({tuple(it) for it in drawn}) > 1


@pytest.mark.parametrize("method", ["ig", "smoothgrad", "expected-gradients", "occlusion", "rise"])
def test_threads_change_no_number(method: str) -> None:
    examined = textured()
    options = {**QUICK, "index": [0, 5], "method": method, "baselines": ("black", "training:3")}
    alone = saliency(examined, **options)
    with ThreadPoolExecutor(3) as executor:
        assert_same(saliency(examined, executor=executor, **options), alone)


@pytest.mark.parametrize("method", ["ig", "rise", "gradcam"])
def test_work_travels_to_other_processes(method: str) -> None:
    class Elsewhere(ThreadPoolExecutor):
        """Sends everything through pickle, as processes do."""

        def map(self, fn: Any, *items: Any, **options: Any) -> Any:  # type: ignore[override]
            def run(*texts: bytes) -> Any:
                subject, item = map(pickle.loads, texts)
                return pickle.loads(pickle.dumps(fn(subject, item)))

            packed = [[pickle.dumps(it) for it in column] for column in items]
            return super().map(run, *packed, **options)

    options = {**QUICK, "method": method, "baselines": ("blur", "training:2")}
    with Elsewhere(1) as executor:
        there = saliency(textured(), executor=executor, **options)
    here = saliency(textured(), **options)
    # A network elsewhere may be found to work best in other batches: last digits may differ.
    for name in ("hyper_maps", "untrained", "path_maps", "morf", "lerf"):
        np.testing.assert_allclose(
            getattr(there, name), getattr(here, name), rtol=1e-3, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("ig", {"steps": 2}),
        ("rise", {"masks": 8}),
        ("occlusion", {"window": 112, "stride": 112}),
        ("gradcam", {}),
    ],
)
def test_items_of_work_are_indices(method: str, options: dict[str, Any]) -> None:
    sizes: list[int] = []

    class Weighed(ThreadPoolExecutor):
        """Weighs what would travel with each call."""

        def map(self, fn: Any, shared: Any, items: Any) -> Any:  # type: ignore[override]
            sizes.extend(len(pickle.dumps(item)) for item in items)
            assert all(one is shared[0] for one in shared)
            return super().map(fn, shared, items)

    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    convolution = nn.Sequential(
        nn.Conv2d(3, 2, 7, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    examined = Subject(convolution, images, [0, 1])
    bases = ("training:2", "blur", images[1])
    with Weighed(1) as executor:
        saliency(
            examined, index=[0, 1], method=method, baselines=bases, fills=("mean", "own"),
            points=3, executor=executor, **options,
        )  # fmt: skip
    assert len(sizes) >= 8
    assert max(sizes) < 500  # an image of this size has 600,000 bytes


def test_progress_counts_to_a_constant_total_and_stops_at_any_point() -> None:
    examined = textured()
    ticks: list[tuple[int, int]] = []
    saliency(examined, index=[0, 1], progress=lambda *tick: ticks.append(tick), **QUICK)
    done, totals = zip(*ticks, strict=True)
    assert len(set(totals)) == 1
    assert done[0] == 0
    assert list(done) == sorted(done)
    assert done[-1] == totals[0]

    for last in range(1, totals[0]):

        def stop(done: int, total: int, last: int = last) -> None:
            if done >= last:
                raise rw.Cancelled

        with pytest.raises(rw.Cancelled):
            saliency(examined, index=[0, 1], progress=stop, **QUICK)
    for module in examined.model.modules():
        assert not module._forward_hooks


def test_it_comes_back_from_a_file(result: Saliency, tmp_path: Path) -> None:
    loaded = rw.load(result.save(tmp_path / "saliency.npz"))
    assert_same(loaded, result)
    assert str(loaded) == str(result)


# --- methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "gradcam"])
def test_a_method_without_baseline_gives_one_map_and_says_so(method: str) -> None:
    made = saliency(textured(), method=method, points=3, steps=3)
    assert made.baselines == ("none",)
    assert not made.has_baseline
    assert made.maps.shape == (1, 1, 8, 8)
    assert made.fills == ("black", "white", "mean", "blur")
    assert any("no baseline" in note for note in made.notes)
    assert made.blind_spot(0) == f"{method} has no baseline."
    assert made.lowest() is None
    for numbers in (made.gap, made.neutrality, made.entropy, made.scores_baseline):
        assert np.isnan(numbers).all()
    assert "nan" not in str(made)


def test_gradcam_says_which_layer_it_took() -> None:
    made = saliency(textured(), method="gradcam", points=2, hyper={"layer": ("relu", "conv")})
    assert made.layer == "relu"
    assert made.knobs["layer"] is None
    assert made.hyper == ("layer relu", "layer conv")
    assert "hyper={'layer': ('relu', 'conv')},\n" in made.code()


def test_occlusion_says_which_window_and_stride_it_took() -> None:
    made = saliency(textured(), method="occlusion", points=2)
    assert (made.window, made.stride) == (2, 1)
    assert (made.knobs["window"], made.knobs["stride"]) == (None, None)
    assert made.hyper == ("window 2, stride 1",)


def test_the_gradient_needs_no_more_than_the_image() -> None:
    examined = Subject(Brightness(), flat_images([0.25, 0.75]), [0, 1], classes=list("abc"))
    made = saliency(examined, index=1, method="gradient", target="a", score="logit", points=2)
    # The logit is twice the mean of 64 pixels.
    np.testing.assert_allclose(made.maps, 2 / 64, rtol=1e-6)
    assert "map of the untrained network with none: constant, no control" in made.notes
    assert np.isnan(made.control()).all()
    assert "constant" in str(made)
    assert "nan" not in str(made)


def test_scores_and_targets_are_those_asked_for() -> None:
    examined = textured()
    logits = examined.logits[2]
    made = saliency(examined, index=1, target="true", score="logit", **QUICK)
    assert made.target.tolist() == [1]
    assert made.scores_clean[0] == pytest.approx(examined.logits[1, 1].item())
    second = int(logits.argsort()[-2])
    made = saliency(examined, index=2, target="runner-up", score="log-odds", **QUICK)
    assert made.target.tolist() == [second]
    p = logits.double().softmax(0)[second].item()
    assert made.scores_clean[0] == pytest.approx(np.log(p / (1 - p)), rel=1e-5)


def test_a_network_that_blocks_gradients_can_still_be_masked() -> None:
    images = textured().images
    examined = Subject(Blocked(), images, [0] * len(images))
    made = saliency(examined, method="occlusion", **QUICK)
    np.testing.assert_allclose(made.maps, saliency(textured(), method="occlusion", **QUICK).maps)
    with pytest.raises(ValueError, match=r"gradients are blocked inside Blocked\.forward"):
        saliency(examined, **QUICK)


# --- words ----------------------------------------------------------------------------------------


def test_blind_spots_by_hand() -> None:
    made = saliency(textured(), baselines=("black", "white"), **QUICK)
    # Two of eight rows are black.
    assert made.blind_spot(0) == "With black, the 25 % black pixels get exactly 0 of the credit."
    maps = np.zeros((1, 1, 2, 4, 4))
    maps[..., 0, 0], maps[..., 1, 1] = 3, 1
    images = np.full((1, 1, 4, 4), 0.5)
    images[..., 0, 0] = 0.04
    bases = np.zeros((1, 2, 1, 4, 4))
    other = replace(made, hyper_maps=maps, images=images, baseline_images=bases)
    assert (
        other.blind_spot(0) == "With black, the 6.2 % nearly black pixels get 75 % of the credit."
    )
    images = images.copy()
    images[..., 2:, :] = 0
    other = replace(other, images=images)
    assert other.blind_spot(0) == (
        "With black, the 50 % black pixels get exactly 0 of the credit, the 56 % nearly black ones "
        "75 %."
    )
    other = replace(other, images=images + 0.9)
    assert other.blind_spot(0) == "With black, no pixel has the baseline's colour."
    other = replace(other, hyper_maps=0 * maps)
    assert other.blind_spot(1) == "With white, no pixel gets any credit."


def test_the_sentence_has_the_finding_and_its_controls(result: Saliency) -> None:
    whole = replace(result, gap=0 * result.gap)
    a, b, value = whole.lowest() or (0, 0, 0.0)
    sentence = str(whole)
    assert sentence.startswith("resnet20, 3 images: integrated gradients (8 steps). Over 3 images")
    assert f"the maps against {whole.baselines[a]} and {whole.baselines[b]}" in sentence.lower()
    assert f"(ρ = {value:z.2f}".replace("-", "−") in sentence
    assert "They share" not in sentence  # a mean of overlaps is no count of pixels
    control = whole.control()[[a, b]]
    furthest = control[np.abs(control).argmax()]
    assert (
        f"an untrained network's map is unrelated ({furthest:z.2f})".replace("-", "−") in sentence
    )
    again = whole.ceiling()[[a, b]].min()
    assert f"maps of half the steps agree ({again:.2f})." in sentence
    assert "The maps add up within 0.0 % and 0.0 %." in sentence


def test_maps_that_do_not_add_up_are_not_compared(result: Saliency) -> None:
    due = np.abs(result.scores_clean[:, None] - result.scores_baseline).mean(0)
    np.testing.assert_allclose(result.gaps, np.abs(result.gap).mean(0) / due)
    for shares, said in (
        ([0.19, 0.1, 0.0, 0.0], "ρ = "),
        ([0.21, 0.1, 0.0, 0.0], "The map against black does not add up: its sum misses the change "
         "in the probability of the explained classes by 21 %, and ρ needs more steps."),
        ([0.93, 0.9, 0.0, 0.0], "The two maps do not add up: their sums miss the change in the "
         "probability of the explained classes by 93 % and 90 %, and ρ needs more steps."),
    ):  # fmt: skip
        changed = replace(result, gap=np.tile(np.array(shares) * due, (3, 1)))
        words = changed.reading()
        assert said in words
        assert ("ρ = " in words) == (said == "ρ = ")
        assert changed.incomplete(0, 1) == (shares[0] > 0.2)
        assert not changed.incomplete(2, 3)
    assert "ρ follows with the full map" in changed.reading(preview=True)
    assert "ρ = " in changed.reading(pair=(2, 3))
    assert "for maps do not add up" in changed.against(changed)


def test_pins_of_something_else_are_not_compared_with() -> None:
    asked = {"method": "gradient", "fills": (), "untrained": False}
    few = rw.demo("resnet20")[:2]
    one = rw.saliency(few, index=0, target=0, **asked)
    for other, what in (
        (rw.saliency(few, index=1, target=0, **asked), "other images"),
        (rw.saliency(few, index=0, target=1, **asked), "another class"),
        (rw.saliency(few, index=0, target=0, score="logit", **asked), "explains the logit"),
    ):
        words = one.against(other)
        assert "nothing to compare" in words
        assert what in words


def test_a_single_image_is_named() -> None:
    made = saliency(textured(), index=4, method="rise", target="bright", **QUICK)
    p = made.probabilities[0, 1]
    assert str(made).startswith(
        f"Brightness, image 4 (bright), explaining bright at {p * 100:.1f} %: "
        "RISE (40 masks, grid 4). "
    )
    assert "the same drawn twice gives" in str(made)


def test_its_code_names_what_it_cannot_write() -> None:
    def mine(model: Any, images: Any, target: int, baseline: Any) -> Any:
        return images - baseline

    made = saliency(textured(), method=mine, baselines=("black", textured().images[1]), **QUICK)
    assert made.method == "mine"
    assert "method=method,\n" in made.code()
    assert "baselines=('black', baseline),\n" in made.code()
    assert made.knobs["method"] == "mine"
    assert made.knobs["baselines"] == ("black", "tensor")
    np.testing.assert_allclose(made.maps[0, 1], (made.images - textured().images[1].numpy())[0, 0])


def test_the_table_holds_every_value(result: Saliency) -> None:
    table = result.to_frame()
    assert table.columns.tolist() == [
        "image", "method", "hyper", "baseline", "row", "col", "value",
    ]  # fmt: skip
    assert len(table) == 3 * 3 * 4 * 32 * 32
    chosen = table.query("image == 8 and hyper == '4 steps' and baseline == 'mean'")
    np.testing.assert_array_equal(
        chosen["value"].to_numpy().reshape(32, 32), result.hyper_maps[1, 1, 2]
    )
    one = table.query("method == 'ig, untrained' and image == 12 and baseline == 'white'")
    assert one.query("row == 3 and col == 5")["value"].item() == result.untrained[2, 1, 3, 5]


def test_the_summary_has_a_row_for_each_baseline(result: Saliency) -> None:
    table = result.summary()
    assert table.index.tolist() == list(result.baselines)
    assert table.loc["blur", "entropy"] == pytest.approx(result.entropy[:, 3].mean())
    assert table.loc["white", "morf, blur"] == pytest.approx(result.areas()[:, 1, 3].mean())
    assert table.loc["mean", "untrained, absolute"] == result.control("absolute")[2]


def test_a_pin_is_compared_map_by_map(result: Saliency) -> None:
    examined = textured()
    one = saliency(examined, method="occlusion", **QUICK)
    other = saliency(examined, method="rise", **QUICK)
    assert one.against(one) == "Against the pin: no difference."
    said = one.against(other)
    value = spearmanr(one.maps[0, 1].ravel(), other.maps[0, 1].ravel()).statistic
    assert f"the maps against white {word(value)} ({value:.2f})".replace("-", "−") in said
    # A pin is of two maps: others that were computed with them were not seen.
    four = replace(result, gap=0 * result.gap)
    kept = four.kept(pair=(2, 0))
    assert kept.baselines == ("mean", "black")
    assert kept.between_baselines()[0, 1] == four.between_baselines()[2, 0]
    np.testing.assert_array_equal(kept.maps[0, 1], four.maps[0, 0])
    np.testing.assert_array_equal(kept.control(), four.control()[[2, 0]])
    mine, its = four.between_baselines()[0, 1], four.between_baselines()[2, 0]
    said = f"Against the pin (mean and black): ρ = {mine:.2f} instead of {its:.2f}."
    assert four.against(kept) == said.replace("-", "−")
    assert "(mean and black, RISE)" in one.against(
        saliency(examined, method="rise", baselines=("black", "mean"), **QUICK).only(1, 0)
    )
    bare = saliency(examined, method="gradient", **QUICK)
    assert "nothing to compare, it has other “nothings”" in bare.against(one)


def test_one_scale_of_words_is_said_of_maps_and_of_controls(result: Saliency) -> None:
    total = result.agreement.shape[-1]
    whole = replace(result, gap=0 * result.gap, convergence=1 + 0 * result.convergence)
    for value, plural, single in (
        (0.71, "agree", "agrees"),
        (0.69, "agree only in part", "agrees only in part"),
        (0.21, "agree only in part", "agrees only in part"),
        (0.19, "are unrelated", "is unrelated"),
        (-0.19, "are unrelated", "is unrelated"),
        (-0.21, "contradict each other", "contradicts it"),
    ):
        agreement = np.full_like(result.agreement, value)
        agreement[..., np.arange(total), np.arange(total)] = 1
        agreed = replace(whole, agreement=agreement)
        said = f"({value:.2f})".replace("-", "−")
        rho = f"(ρ = {said[1:]}"
        assert f"The two maps {plural} {rho}" in agreed.reading()
        assert f"an untrained network's map {single} {said}" in agreed.reading()
        assert f"the untrained network {plural} {rho}" in agreed.reading(versus="untrained")
        assert lines_of(agreed.reading()) <= 2


def test_notes_say_where_a_mean_is_from(subject: Subject) -> None:
    made = saliency(textured(), baselines=("mean", "training:2"), **QUICK)
    assert any(note.startswith("mean is (0.4") and "6 images" in note for note in made.notes)
    assert any("an image may be its own baseline" in note for note in made.notes)
    made = saliency(subject, baselines="mean", **QUICK)
    assert (
        "mean is (0.49, 0.48, 0.45), from the mean= that images are normalised with" in made.notes
    )


def test_a_map_of_zeros_is_noted_where_others_are_not() -> None:
    # A flat image is its own blur and its own mean.
    examined = Subject(Brightness(), flat_images([0.25, 0.75]), [0, 1])
    made = saliency(examined, baselines=("black", "image-mean"), **QUICK)
    assert "the map with image-mean: zero everywhere" in made.notes
    assert np.isnan(made.agree()[0, 1])
    assert "nan" not in str(made)


# --- what is refused ------------------------------------------------------------------------------


def test_a_map_of_zeros_alone_is_refused() -> None:
    examined = Subject(Brightness(), flat_images([0.25, 0.75]), [0, 1])
    with pytest.raises(ValueError, match=r"zero everywhere: .*Choose baselines= that differ"):
        saliency(examined, baselines="image-mean", **QUICK)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.zeros_(model[1].weight)
    constant = Subject(model, flat_images([0.25, 0.75]), [0, 1])
    with pytest.raises(ValueError, match=r"map of image 1 is zero everywhere: .*score='log-odds'"):
        saliency(constant, index=1, **QUICK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"index": [0, 1], "images": 2},
            r"images are chosen twice: got index=\[0, 1\] and images=2",
        ),
        (
            {"images": 7},
            r"images must be a whole number in its range: got 7. Pass images= from 1 to 6",
        ),
        ({"score": "logits"}, r"no such score: got 'logits'. The nearest: logit"),
        ({"sign": "absolute"}, r"no such sign: got 'absolute'. Choose sign= from 'signed'"),
        ({"points": 1}, r"points must be a whole number .*got 1. Pass points= from 2 to 65"),
        ({"seed": -1}, r"seed must be a whole number in its range: got -1"),
        (
            {"target": "zebra"},
            r"no such target: got 'zebra'. Choose target= from 'predicted', 'true', 'runner-up'",
        ),
        ({"target": 3}, r"no such target: got 3. .*, or pass an index from 0 to 2"),
        ({"baselines": ()}, r"baselines has too few or too many: got 0. Pass at least 1 of them"),
        ({"baselines": "pink"}, r"no baseline of that name: got 'pink'. Choose baselines= from"),
        ({"baselines": ("black",) * 2}, r"given twice: got 'black' .* Leave one .* of baselines="),
        ({"baselines": torch.zeros(1, 4, 4)}, r"a baseline has another shape than the images"),
        ({"baselines": torch.full((1, 8, 8), 9.0)}, r"a baseline has another range"),
        ({"fills": ("own", "own")}, r"given twice: got 'own' more than once"),
        ({"fills": "pink"}, r"no baseline of that name: got 'pink'"),
        ({"fills": "own", "method": "gradient"}, r"a method without baseline has no own one"),
        ({"layer": "fc", "method": "gradcam"}, r"Grad-CAM needs a layer with a spatial map"),
    ],
)
def test_knobs_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        saliency(textured(), **options)


def test_an_image_that_is_not_there_is_refused() -> None:
    words = r"a position in index is out of range: got 6, there are 6 images"
    with pytest.raises(IndexError, match=words):
        saliency(textured(), index=6)


def test_measures_are_named_in_the_order_of_the_array(result: Saliency) -> None:
    for place, measure in enumerate(MEASURES):
        np.testing.assert_allclose(result.agree(measure), result.agreement[place].mean(0))


# --- knobs and views ------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [(3, 6), (16, 1)])
def test_defaults_fit_small_images(side: tuple[int, int]) -> None:
    images = torch.rand(2, 1, *side, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3))
    for method in ("ig", "rise", "occlusion"):
        made = saliency(Subject(model, images, [0, 1]), method=method, score="logit")
        assert made.maps.shape == (1, 4, *side)


def test_knobs_come_in_one_form() -> None:
    examined = textured()
    one = saliency(examined, index=[-1], target=1, baselines="black", fills=["white"], **TINY)
    other = saliency(examined, index=5, target="bright", baselines=["black"], fills="white", **TINY)
    assert one.knobs == other.knobs
    assert one.knobs["target"] == "bright"
    assert one.knobs["index"] == (5,)
    assert one.knobs["baselines"] == ("black",)
    grey = saliency(examined, baselines=0.5, **TINY)
    assert grey.knobs["baselines"] == ((0.5,),)
    assert grey.baselines == ("tensor",)
    named: dict[str, Any] = {"subject": examined}
    code = grey.code().split("\n", 3)[3]
    exec(f"import reliab_widgets as rw\n{code}", named)
    assert_same(named["result"], grey)


@pytest.mark.parametrize(
    "asked",
    [{"hyper": {"steps": (2, 3)}}, {"baselines": ("blur:0.2", (0.5,))}, {"layer": "conv"}],
    ids=str,
)
def test_a_result_with_any_knob_can_be_kept_and_asked_again(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    made = saliency(textured(), **TINY | asked)
    assert_same(rw.load(made.save(tmp_path / "made.npz")), made)
    cache = rw.Cache()
    assert cache(saliency, textured(), **TINY | asked) is cache(
        saliency, textured(), **TINY | asked
    )


def test_views_are_no_knobs_and_are_checked() -> None:
    made = saliency(textured(), **TINY)
    assert set(made.views) == {
        "part", "pair", "versus", "polarity", "scale", "clip", "alpha", "fill", "fraction", "cell",
        "preview", "narrow",
    }  # fmt: skip
    assert not set(made.views) & set(made.knobs)
    for view, words in (
        ({"polarity": "absolute"}, r"no such polarity: got 'absolute'. Choose polarity= from"),
        ({"alpha": 1.5}, r"alpha must be a number of at least 0 and at most 1: got 1.5"),
        ({"fill": "pink"}, r"no such fill: got 'pink'"),
        ({"cell": (0, 1)}, r"cell must be a whole number in its range: got 0"),
        ({"pair": (0, 4)}, r"pair must be a whole number in its range: got 4"),
        ({"part": "curves"}, r"no such part: got 'curves'"),
    ):
        with pytest.raises(ValueError, match=words):
            made.plot(**view)


def test_the_untrained_network_has_a_seed() -> None:
    with pytest.raises(ValueError, match=r"seed must be a whole number in its range: got -1"):
        untrained(textured(), seed=-1)
    assert "seed=7)" in untrained(textured(), 7).code


# --- what is asked for, and no more ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["gradient", "ig", "occlusion", "gradcam"])
def test_control_and_deletion_can_be_left_out(
    subject: Subject, method: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"method": method, "steps": 4, "points": 3, "score": "logit"}
    whole = saliency(subject, fills="mean", **options)
    bare = saliency(subject, fills=(), untrained=False, **options)
    np.testing.assert_array_equal(bare.hyper_maps, whole.hyper_maps)
    assert bare.untrained.shape[1] == 0 and bare.fills == () and bare.morf.shape[2] == 0
    assert bare.compared == whole.compared[: -len(bare.baselines)]
    assert np.isnan(bare.control()).all()
    assert "no untrained network was asked for" in str(replace(bare, gap=0 * bare.gap))
    assert not any(name.startswith(("morf", "lerf")) for name in bare.summary())
    again = rw.load(bare.save(tmp_path / "bare.npz"))
    for result in (bare, again):
        assert "untrained" not in svg(result.plot()) + svg(result.plot(part="agreement"))
        assert "No deletion was computed" in svg(result.plot(part="deletion"))
    assert set(bare.to_frame()["method"]) == {method}


def test_it_costs_what_was_asked_for() -> None:
    subject = Subject(Counting(), torch.rand(4, 1, 8, 8), [0, 1, 2, 0])
    options: dict[str, Any] = {"window": 4, "stride": 4, "score": "logit", "baselines": "black"}
    options |= {"method": "occlusion", "fills": (), "untrained": False}
    saliency(subject, **options)  # how many images a pass takes is found out
    subject.model.batches.clear()
    saliency(subject, **options)
    # The image and its baseline, then four windows: the image is in none of their passes.
    assert sum(subject.model.batches) == 2 + 4


def test_large_images_get_few_fills_and_points() -> None:
    def size(side: int) -> tuple[Any, ...]:
        images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
        subject = Subject(Brightness(), images, [0, 1], classes=("dark", "bright", "grey"))
        made = saliency(subject, steps=2, baselines="black", score="logit", untrained=False)
        return made.fills, len(made.fractions)

    assert size(64) == (FILLS, 17)
    assert size(65) == (("mean",), 9)
    assert size(2) == (FILLS, 5)


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("ig", "8 steps"),
        ("smoothgrad", "8 samples"),
        ("expected-gradients", "8 samples"),
        ("rise", "50 masks"),
    ],
)
def test_settings_name_what_was_counted(name: str, counted: str) -> None:
    assert Method(name, steps=8, masks=50).words.split(",")[0] == counted
