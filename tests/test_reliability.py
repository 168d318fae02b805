"""Reliability: numbers worked out by hand, held-out images held out, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from scipy.stats import binom
from torch import nn
from torchmetrics.functional.classification import multiclass_calibration_error

import reliab_widgets as rw
from reliab_widgets.analyses.reliability import compute
from reliab_widgets.analyses.reliability.compute import METHODS
from reliab_widgets.core.style import MUTED
from reliab_widgets.core.subject import Subject
from reliab_widgets.ops.calibration.bins import binned, expected
from tests.test_drawing import lines_of

LN = np.log


class Pixels(nn.Module):
    """Images (3, 1, 1) whose three channels, times ten, are the logits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 10 * images.flatten(1)


def from_logits(logits: np.ndarray, labels: np.ndarray, name: str = "typed") -> Subject:
    """A Subject with these logits, which must lie between 0 and 10."""
    images = torch.tensor(logits / 10, dtype=torch.float32).view(len(logits), 3, 1, 1)
    return Subject(Pixels(), images, labels, classes=("a", "b", "c"), name=name)


def drawn(n: int, seed: int, sharpness: float = 2.0) -> Subject:
    """Labels drawn from a softmax; the model says it ``sharpness`` times as loudly."""
    generator = np.random.default_rng(seed)
    logits = generator.uniform(0, 10 / sharpness, (n, 3))
    noise = generator.gumbel(size=(n, 3))
    return from_logits(logits * sharpness, (logits + noise).argmax(1), f"drawn {seed}")


@pytest.fixture(scope="module")
def subject() -> Subject:
    return drawn(600, 0).with_validation(drawn(500, 1))


def test_by_hand() -> None:
    # Softmaxes (.8 .1 .1), (.8 .1 .1), (.4 .3 .3), (.1 .1 .8): right, wrong, right, right.
    logits = np.log([[8, 1, 1], [8, 1, 1], [4, 3, 3], [1, 1, 8]])
    result = rw.reliability(from_logits(logits, np.array([0, 1, 0, 2])), bins=2)

    # One image at .4, in (0, 1/2]; three at .8, in (1/2, 1].
    assert result.before.count.tolist() == [1, 3]
    assert result.before.accuracy == pytest.approx([1, 2 / 3])
    assert result.before.confidence == pytest.approx([0.4, 0.8], rel=1e-5)
    values = dict(zip(result.summary().index, result.metrics_after, strict=True))
    assert values["accuracy"] == 0.75
    assert values["confidence"] == pytest.approx(0.7, rel=1e-5)
    assert values["ece"] == pytest.approx(0.25 * 0.6 + 0.75 * (0.8 - 2 / 3), rel=1e-5)
    assert values["mce"] == pytest.approx(0.6, rel=1e-5)
    assert values["nll"] == pytest.approx(-(LN(0.8) + LN(0.1) + LN(0.4) + LN(0.8)) / 4, rel=1e-5)
    # Per image: sum over classes of (p - truth)^2.
    squares = [0.04 + 0.02, 0.64 + 0.81 + 0.01, 0.36 + 0.18, 0.04 + 0.02]
    assert values["brier"] == pytest.approx(np.mean(squares), rel=1e-5)


def test_one_class_by_hand() -> None:
    logits = np.log([[8, 1, 1], [8, 1, 1], [4, 3, 3], [1, 1, 8]])
    subject = from_logits(logits, np.array([0, 1, 0, 2]))
    by_name, by_index = (rw.reliability(subject, bins=2, label=label) for label in ("b", 1))
    # p("b") is .1 .1 .3 .1; only the second image is one: the gap of the one filled bin.
    assert by_name.before.count.tolist() == [4, 0]
    assert by_name.metric("ece") == pytest.approx(0.25 - 0.15, rel=1e-5)
    assert by_name.label == by_index.label == "b"
    assert by_index.metric("ece") == by_name.metric("ece")


@pytest.mark.parametrize("bins", [5, 15])
def test_ece_is_torchmetrics(subject: Subject, bins: int) -> None:
    result = rw.reliability(subject, bins=bins)
    probabilities = subject.logits.double().softmax(1)
    for name, norm in (("ece", "l1"), ("mce", "max")):
        theirs = multiclass_calibration_error(
            probabilities, subject.labels, 3, n_bins=bins, norm=norm
        )
        assert result.metric(name) == pytest.approx(float(theirs), abs=1e-6)


def test_temperature_repairs_what_was_sharpened(subject: Subject) -> None:
    result = rw.reliability(subject, method="temperature")
    assert result.calibrator.temperature == pytest.approx(2, rel=0.15)  # drawn twice as loudly
    assert result.metric("ece") < 0.5 * result.metric("ece", "before")
    assert result.metric("nll") < result.metric("nll", "before")


@pytest.mark.parametrize("method", ["temperature", "binwise", "binwise-augmented"])
def test_answers_stay(subject: Subject, method: str) -> None:
    result = rw.reliability(subject, method=method)
    assert np.array_equal(result.answer, subject.logits.argmax(1).numpy())
    assert result.metric("accuracy") == result.metric("accuracy", "before")


def test_base_rates_are_calibrated_and_useless(subject: Subject) -> None:
    result = rw.reliability(subject, method="base-rates")
    rates = np.bincount(subject.validation.labels) / len(subject.validation)
    assert result.calibrator(subject.logits[:2].numpy()) == pytest.approx(np.tile(rates, (2, 1)))
    right = float((subject.labels == int(rates.argmax())).double().mean())
    assert result.metric("accuracy") == pytest.approx(right)
    # One point only: the rate on the fit images against the rate on the reported ones.
    assert result.metric("ece") == pytest.approx(abs(rates.max() - right))


def test_given_temperature_fits_nothing(subject: Subject) -> None:
    result = rw.reliability(subject, method="temperature", temperature=2.0)
    assert result.n == len(subject)
    assert np.isnan(result.ece_fit)
    assert result.calibrator.temperature == 2.0


# Which images


def test_validation_is_fitted_and_test_reported(subject: Subject) -> None:
    result = rw.reliability(subject, method="temperature")
    assert result.n == 600
    assert result.split == "600 images, fitted on 500 others"
    given = rw.reliability(subject, method="temperature", calibration_set=drawn(500, 1))
    assert given.calibrator.temperature == result.calibrator.temperature


def test_without_validation_the_images_are_halved() -> None:
    subject = drawn(101, 3)
    first, second = (rw.reliability(subject, method="temperature", seed=s) for s in (0, 1))
    assert first.n == 51
    assert "fitted on 50" in first.split
    assert "split by seed 0" in first.split
    assert set(first.image) != set(second.image)
    # What is fitted is what is not reported: the temperature is that of the other half.
    fitted = np.setdiff1d(np.arange(101), first.image)
    alone = subject[np.unique(first.image)]
    again = rw.reliability(alone, method="temperature", calibration_set=subject[fitted])
    assert again.calibrator.temperature == pytest.approx(first.calibrator.temperature, rel=1e-6)
    assert again.metric("ece") == pytest.approx(first.metric("ece"), rel=1e-6)


def test_nothing_fitted_reports_everything() -> None:
    result = rw.reliability(drawn(101, 3))
    assert result.n == 101
    assert result.image.tolist() == list(range(101))


def test_calibration_images_are_few_and_drawn_by_seed(subject: Subject) -> None:
    results = [
        rw.reliability(subject, method="temperature", calibration_images=40, seed=seed)
        for seed in (0, 1)
    ]
    assert all("fitted on 40 others" in result.split for result in results)
    first, second = (result.calibrator.temperature for result in results)
    assert first != second


def test_fitting_on_reported_images_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match=r"share 20 of 30.*Give `calibration_set` images"):
        rw.reliability(subject[:100], calibration_set=subject[80:110], method="temperature")


def test_answers_that_change_are_not_called_unchanged(subject: Subject) -> None:
    for method, kept in (("temperature", True), ("histogram", False), ("base-rates", False)):
        result = rw.reliability(subject, method=method)
        assert ("no prediction changes" in str(result)) == kept


# Passes


def test_corruption_changes_the_reported_images_only(subject: Subject) -> None:
    clean = rw.reliability(subject, method="temperature")
    noisy = rw.reliability(subject, method="temperature", corruption="noise 5")
    assert noisy.calibrator.temperature == clean.calibrator.temperature
    assert noisy.metric("accuracy") < clean.metric("accuracy")
    again = rw.reliability(subject, method="temperature", corruption="noise 5")
    assert np.array_equal(again.confidence, noisy.confidence)


def test_progress_counts_images_and_cancel_keeps_them() -> None:
    subject = drawn(60, 5).with_validation(drawn(40, 6))
    ticks: list[tuple[int, int]] = []
    stopped: list[int] = []

    def watch(done: int, total: int) -> None:
        ticks.append((done, total))
        if 40 <= done < 100 and not stopped:
            stopped.append(done)
            raise rw.Cancelled

    with pytest.raises(rw.Cancelled):
        rw.reliability(subject, method="temperature", progress=watch)
    rw.reliability(subject, method="temperature", progress=watch)
    assert {total for _, total in ticks} == {100}
    assert ticks[-1] == (100, 100)


# What comes out


def test_summary_and_table(subject: Subject) -> None:
    result = rw.reliability(subject, method="temperature", bins=8)
    summary = result.summary()
    assert summary.columns.tolist() == ["before", "after", "low", "high", "floor"]
    assert summary.index.name == "metric"
    assert summary.floor.notna().tolist() == [name == "ece" for name in summary.index]
    assert (summary.low[["accuracy", "nll"]] < summary.after[["accuracy", "nll"]]).all()
    assert (summary.after[["accuracy", "nll"]] < summary.high[["accuracy", "nll"]]).all()
    table = result.to_frame()
    assert table.columns.tolist() == [
        *("state", "bin", "low", "high", "count"),
        *("confidence", "accuracy", "accuracy_low", "accuracy_high"),
    ]
    assert table.groupby("state")["count"].sum().tolist() == [600, 600]
    empty = table[table["count"] == 0]
    assert len(empty) >= 2  # three classes: the largest of three is never below a third
    assert empty[["confidence", "accuracy", "accuracy_low"]].isna().all().all()


def test_members_are_the_images_of_a_bin_wrong_first(subject: Subject) -> None:
    result = rw.reliability(subject, method="temperature", bins=6)
    members = [result.members(number) for number in range(6)]
    assert [len(points) for points in members] == result.after.count.tolist()
    assert sorted(np.concatenate(members)) == list(range(600))
    for points in members:
        hits, sure = result.hit[points], result.confidence[points]
        assert not (np.diff(hits.astype(int)) < 0).any()
        assert (np.diff(sure[~hits]) <= 0).all()


@pytest.mark.parametrize("label", ["top", "all", "b"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_a_sentence_and_draws(subject: Subject, method: str, label: str) -> None:
    result = rw.reliability(subject, method=method, label=label)
    assert str(result).count("\n") == 0
    assert "ECE" in str(result)
    assert f"{result.metric('ece') * 100:.1f} %" in str(result)
    result.plot()
    points = 3 * 600 if label == "all" else 600
    assert len(result.confidence) == points == result.after.count.sum()


def test_points_outside_their_boxes_are_counted() -> None:
    # 100 images that say 0.6: right 60 times is expected, 90 times is not.
    logits = np.tile(np.log([6.0, 2.0, 2.0]), (100, 1))
    for right, words in ((60, []), (90, ["◆ outside: 1 of 1 bins"])):
        result = rw.reliability(from_logits(logits, np.arange(100) >= right))
        texts = [text.get_text() for text in result.plot().findobj(Text)]
        assert [text for text in texts if "outside" in text] == words


@pytest.mark.parametrize("seed", range(20))
def test_what_is_expected_is_binomial(seed: int) -> None:
    random = np.random.default_rng(seed)
    confidence = np.where(random.random(n := 5 + 20 * seed) < 0.2, 1.0, random.random(n))
    bins = binned(confidence, random.random(n) < confidence, np.linspace(0, 1, 16))
    filled = bins.count > 0
    known = binom(bins.count[filled], bins.confidence[filled])
    for ends, share in zip(expected(bins, 0.9), (0.05, 0.95), strict=True):
        np.testing.assert_allclose(ends[filled], known.ppf(share) / bins.count[filled])
        assert np.isnan(ends[~filled]).all()


def test_over_and_under_confident_are_told_apart() -> None:
    assert "over-confident" in str(rw.reliability(drawn(400, 0, sharpness=3)))
    assert "under-confident" in str(rw.reliability(drawn(400, 0, sharpness=0.5)))


def test_a_calibration_is_fitted_on_the_answers_of_the_subject(subject: Subject) -> None:
    """The calibration set is images and labels: whose network it came with does not matter."""
    others = drawn(500, 1)
    softened = others.on(others.network.copied(lambda model: model.register_buffer("odd", None)))
    foreign = Subject(Halved(others.model), others.images, others.labels)
    expected = rw.reliability(subject, method="temperature", calibration_set=others)
    for given in (softened, foreign):
        found = rw.reliability(subject, method="temperature", calibration_set=given)
        assert found.calibrator.temperature == expected.calibrator.temperature
        bound = subject.with_validation(given)
        assert bound.validation.network is subject.network
        known = rw.reliability(bound, method="temperature")
        assert known.calibrator.temperature == expected.calibrator.temperature


class Halved(nn.Module):
    """Another network: half of the logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x) / 2


# What is refused


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"method": "platt"}, r"no such method: got 'platt'.*'temperature'"),
        ({"binning": "log"}, r"no such binning: got 'log'.*'width', 'mass'"),
        ({"bins": 0}, r"bins must be a whole number .*got 0\. Pass bins= from 1 to 100"),
        ({"bins": True}, r"bins must be a whole number.*got True"),
        ({"seed": -1}, r"seed must be.*got -1"),
        ({"interval": "0.9"}, r"interval must be a number.*got '0.9'"),
        ({"temperature": "2"}, r"temperature must be a number.*got '2'"),
        ({"calibration_images": 2.5}, r"calibration_images must be.*got 2.5"),
        ({"bins": 7.5}, r"bins must be a whole number.*got 7\.5"),
        ({"calibration_bins": 101}, r"calibration_bins must be.*got 101"),
        ({"label": "dog"}, r"no such label: got 'dog'.*'a', 'b', 'c'"),
        ({"label": 3}, r"no such label: got 3.*index from 0 to 2"),
        ({"temperature": 2.0}, r"method='temperature' only: got method='none'"),
        ({"method": "temperature", "temperature": 0}, r"must be a number above 0: got 0"),
        (
            {"method": "temperature", "temperature": float("nan")},
            r"number above 0: got nan",
        ),
        (
            {"method": "temperature", "calibration_images": 0},
            r"must be a whole number.*got 0",
        ),
        (
            {"method": "temperature", "calibration_images": 501},
            r"got 501, there are 500",
        ),
        ({"interval": 95}, r"interval must be a number above 0 and below 1: got 95"),
        ({"corruption": "fog 2"}, r"fog"),
    ],
)
def test_bad_knobs(subject: Subject, knobs: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rw.reliability(subject, **knobs)


def test_one_image_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match=r"has 1\..*calibration_set="):
        rw.reliability(drawn(1, 0), method="temperature")


@pytest.mark.parametrize("label", ["top", "all", 1])
def test_the_curve_in_parts_is_the_curve_at_once(
    subject: Subject, label: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rw.reliability(subject, label=label)
    monkeypatch.setattr(compute, "NEAR", 100)
    parts = rw.reliability(subject, label=label)
    np.testing.assert_allclose(parts.curve_nll, whole.curve_nll, rtol=1e-12)
    np.testing.assert_allclose(parts.curve_ece, whole.curve_ece, rtol=1e-12)


def test_few_images_are_not_judged() -> None:
    said = str(rw.reliability(drawn(2, 0, sharpness=1)))
    assert "n = 2: too few to judge calibration" in said
    assert "confident by" not in said


def test_a_narrow_page_has_a_picture_of_its_own(subject: Subject) -> None:
    result = rw.reliability(subject)
    wide, narrow = (result.plot(narrow=it) for it in (False, True))
    assert [72 * it for it in narrow.get_size_inches()] == [640, 384]
    texts = [{it.get_text() for it in figure.findobj(Text)} for figure in (wide, narrow)]
    shorter = {it for it in texts[1] if it.startswith(("drag", "Sharpen", "sharpen"))}
    assert texts[1] - shorter <= texts[0]
    assert len(texts[0] - texts[1]) == len(shorter) == 2


def test_no_words_lie_on_points_or_curve(subject: Subject) -> None:
    """An under-confident network has points in the upper left, a misfit T its curve above."""
    soft = rw.reliability(subject, method="temperature", temperature=8.0)
    figure = soft.plot(pinned=rw.reliability(subject), best=0.6)
    figure.draw_without_rendering()
    charts = [axes.get_window_extent() for axes in figure.axes[1:]]
    words = [text for text in figure.axes[0].texts if text.get_text()]
    assert {text.get_text()[:1] for text in words} >= {*"◆○◇▼"}
    for text in words:
        if text.get_text() not in ("no images", "this unsure"):  # stand where no image is
            assert not any(text.get_window_extent().overlaps(chart) for chart in charts)


@pytest.mark.parametrize(("corruption", "of"), [("clean", ""), ("noise 3", ", clean")])
def test_the_best_t_says_on_which_images(corruption: str, of: str) -> None:
    subject = rw.demo("resnet20")[:60]
    fitted = rw.reliability(subject, method="temperature", corruption=corruption)
    for result, start in (
        (fitted, "▼ best"),
        (rw.reliability(subject, corruption=corruption), "fit"),
    ):
        texts = [it.get_text() for it in result.plot().findobj(Text)]
        (said,) = (it for it in texts if it.startswith(start))
        assert said.startswith(f"{start} T on other{of} images")


def test_the_triangle_is_taken_too_unless_the_ring_lies_there(subject: Subject) -> None:
    result = rw.reliability(subject)
    for best, targets in ((None, 2), (1.0, 1), (2.0, 2)):
        (fit,) = result.plot(best=best).findobj(lambda it: it.get_gid() == "method:temperature")
        assert len(fit.get_paths()) == targets


def test_bins_are_told_in_per_cent_as_the_axis_counts(subject: Subject) -> None:
    result = rw.reliability(subject)
    assert result.describe(12).startswith("80–87 %: ")
    assert "; " in result.reading() and "80–87 %" not in result.reading()
    assert f" Bin {result.describe(12)}. Control: " in result.reading(bin=12)
    many = rw.reliability(subject, binning="mass", bins=60)
    told = [many.describe(number).split(":")[0] for number in range(len(many.after.count))]
    assert len({*told}) == len(told)
    ends = [it.removesuffix(" %").split("–") for it in told]
    assert all(float(low) < float(high) for low, high in ends)


def surely(count: dict[float, int]) -> Subject:
    """Images with such confidences, so many of each."""
    sure = np.repeat([*count], [*count.values()])
    rest = (1 - sure) / 2
    logits = 10 + np.log(np.stack([sure, rest, rest], 1))
    right = np.random.default_rng(0).random(len(sure)) < sure
    return from_logits(logits, np.where(right, 0, 1))


def test_the_number_of_the_last_bar_stays_beside_a_chosen_one() -> None:
    result = rw.reliability(surely({0.83: 79, 0.9: 138, 0.98: 1444}))
    for narrow in (False, True):
        figure = result.plot(bin=13, narrow=narrow)
        figure.draw_without_rendering()
        texts = {it.get_text(): it for it in figure.findobj(Text)}
        boxes = [texts[it].get_window_extent() for it in ("79", "138", "1,444")]
        for k, box in enumerate(boxes):  # a digit is lower than its line
            low = [
                it.x0 < box.x1 and box.x0 < it.x1 and abs(it.y0 - box.y0) < 8 for it in boxes[:k]
            ]
            assert not any(low)


def test_the_chosen_box_is_seen_in_a_grey_copy() -> None:
    figure = rw.reliability(surely({0.83: 79, 0.9: 138})).plot(bin=13)
    drawing = figure._drawing  # type: ignore[attr-defined]
    tint, boxes = drawing.band, drawing.boxes
    rims = [rgb for rgb in boxes.get_edgecolor() if rgb[3]]
    assert len(boxes.get_paths()) == 2
    assert len(rims) == 1

    def grey(colour: np.ndarray) -> float:
        return float(colour[:3] @ (0.299, 0.587, 0.114))

    assert grey(np.array(tint.get_facecolor())) - grey(rims[0]) > 0.4
    assert boxes.get_zorder() > tint.get_zorder()


def test_the_best_t_stands_on_the_curve(subject: Subject) -> None:
    """Filled where it was fitted on other images; hollow, before, where these have the least."""
    free = rw.reliability(subject)
    for best, full in ((None, False), (2.5, True)):
        figure = free.plot(best=best)
        drawing = figure._drawing  # type: ignore[attr-defined]
        (at,), (up,) = drawing.best.get_data()
        assert best is None or at == best
        loss = np.interp(np.log(at), np.log(free.curve_temperature), free.curve_nll)
        high = np.diff(drawing.curve_axes.get_ylim())[0]
        assert 0 < (up - loss) / high * 86 < 12  # its tip is on the curve
        assert (drawing.best.get_markerfacecolor() == MUTED) == full
        said = [it.get_text() for it in figure.findobj(Text) if it.get_text().startswith("▽")]
        assert said == ([] if full else [f"▽ least at T = {at:.1f}"])
    lowest = free.curve_temperature[free.curve_nll.argmin()]
    assert free.plot()._drawing.best.get_xdata()[0] == pytest.approx(lowest, rel=0.2)  # type: ignore[attr-defined]


def test_the_least_loss_stands_beside_infinite_ones(subject: Subject) -> None:
    free = rw.reliability(subject)
    losses, least = np.full_like(free.curve_nll, np.inf), 7
    losses[least:] = np.arange(len(losses) - least) + 1.0
    sharp = dataclasses.replace(free, curve_nll=losses)
    assert sharp.turning == free.curve_temperature[least]
    even = dataclasses.replace(free, curve_nll=np.log(free.curve_temperature / 1.7) ** 2)
    assert even.turning == pytest.approx(1.7)
    sharp.plot()


def test_a_repair_names_its_network(subject: Subject) -> None:
    for method in METHODS:
        assert subject.name in str(rw.reliability(subject, method=method))


def test_sentences_take_two_lines(subject: Subject) -> None:
    for method in METHODS:
        result = rw.reliability(subject, method=method)
        for bin in (None, result.costliest):
            assert lines_of(result.reading(bin=bin)) <= 2, result.reading(bin=bin)


def test_numbers_that_read_alike_are_no_difference() -> None:
    subject = rw.demo("resnet20")[:200]
    raw = rw.reliability(subject)
    hardly = rw.reliability(subject, method="temperature", temperature=1.00001)
    assert raw.metric("nll") != hardly.metric("nll")
    assert raw.against(hardly) == "Against the pin: no difference."
