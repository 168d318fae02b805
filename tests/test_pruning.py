"""The sweep over levels: what is reported, what it stands for, and what is refused."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reliab_widgets as rw
from reliab_widgets import Pruning, Subject
from reliab_widgets.analyses.pruning import sentences
from reliab_widgets.ops.pruning.measures import ATTACKS
from reliab_widgets.ops.pruning.structure import cut, structure
from tests.test_pruning_units import Chain, Residual, random_subject


def varied(n: int) -> Subject:
    """A network that gives different answers, most of them right."""
    model = Chain()
    blank = random_subject(model, n=n, seed=1)
    with torch.no_grad():
        model.fc.bias.copy_(20 * (model.fc.bias - blank.logits.mean(0)))
        model.fc.weight.mul_(20)
    made = Subject(model, blank.images, blank.labels)
    answers = made.logits.argmax(1)
    labels = torch.where(torch.arange(n) % 5 == 0, blank.labels, answers)
    return Subject(model, blank.images, labels, name="tiny")


@pytest.fixture(scope="module")
def subject() -> Subject:
    whole = varied(60)
    return whole[:40].with_validation(whole[40:])


@pytest.fixture(scope="module")
def result(subject: Subject) -> Pruning:
    return rw.pruning(
        subject,
        levels=(0.15, 0.3, 0.6),
        images=30,
        calibration_images=20,
        explain=2,
        attacked=4,
        timed=1,
    )


def test_logits_are_those_of_the_smaller_networks(subject: Subject, result: Pruning) -> None:
    some = subject[result.index]
    assert torch.equal(some.logits, torch.from_numpy(result.logits[0, 0].copy()))
    found = structure(subject)
    for place, level in enumerate(result.levels):
        smaller = cut(some, found, result.removed[0, place])
        np.testing.assert_array_equal(smaller.logits, result.logits[0, place])
        variant = result.variant(float(level))
        np.testing.assert_array_equal(variant[result.index].logits, result.logits[0, place])
        assert sum(p.numel() for p in variant.model.parameters()) == result.parameters[0, place]
    assert result.model(0.6).conv1.out_channels == result.left[0, -1, 0]


def test_levels_are_what_was_removed(result: Pruning) -> None:
    assert result.levels.tolist() == [0, 0.15, 0.3, 0.6]
    assert result.removed.sum(-1).tolist() == [[0, 1, 2, 4]] * 6  # of 7 filters
    # One out of the other, and the lowest scores first.
    for series in result.removed:
        assert (series[1:] >= series[:-1]).all()
    highest = result.removed[0, -1]
    for group in (0, 1):
        scores, gone = result.scores[result.group == group], highest[result.group == group]
        assert scores[gone].max(initial=-1) < scores[~gone].min()
    assert len({tuple(series[-1]) for series in result.removed[1:]}) > 1


def test_levels_are_parts_of_what_the_layers_lose() -> None:
    # In a residual network one unit may be a filter of several layers.
    result = rw.pruning(rw.demo("resnet20")[:8], levels=(0.1,), images=4, calibration_images=8)
    gone = result.left[:, 0] - result.left[:, 1]
    can = [result.layers.index(name) for group in result.groups for name in group]
    assert result.total == 784 == result.left[0, 0, can].sum()
    assert (gone[:, can].sum(1) <= 78.4).all() and (gone[:, can].sum(1) > 78.4 - 7).all()


def test_masked_and_smaller_networks_are_one(result: Pruning) -> None:
    assert result.gap[0] == 0
    assert (result.gap < 1e-5).all()
    assert (result.seconds_cut > 0).all()
    assert (result.seconds_masked > 0).all()


def test_figures_by_hand(result: Pruning) -> None:
    answers = result.logits.argmax(-1)
    np.testing.assert_array_equal(result.accuracy, (answers == result.truth).mean(-1))
    np.testing.assert_array_equal(result.flipped, answers != answers[0, 0])
    by_class = [(answers[0, 2][result.truth == k] == k).mean() for k in np.unique(result.truth)]
    assert result.worst[0, 2] == pytest.approx(min(by_class))
    table = result.flips(0.6)
    assert len(table) == result.flipped[0, -1].sum() > 0
    assert (table["before"] != table["after"]).all()


def test_each_temperature_is_used_where_it_belongs(subject: Subject, result: Pruning) -> None:
    assert subject.validation is not None
    found = structure(subject)
    rows = np.sort(np.random.default_rng(0).permutation(20))
    fitted = cut(subject.validation[rows], found, result.removed[0, 3])
    from reliab_widgets.ops.calibration.calibrators import fit_temperature

    labels = fitted.labels.numpy()
    expected = fit_temperature(fitted.logits.double().numpy(), labels).temperature
    assert result.temperatures[0, 3] == pytest.approx(expected)
    logits = torch.from_numpy(result.logits[0, 3].astype(np.float64))
    for name, divisor in (
        ("raw", 1),
        ("old", result.temperatures[0, 0]),
        ("refitted", result.temperatures[0, 3]),
    ):
        np.testing.assert_allclose(
            result.probabilities(3, name), (logits / divisor).softmax(1), atol=1e-12
        )


def test_table_has_every_figure(result: Pruning) -> None:
    table = result.to_frame()
    assert table.columns.tolist() == [
        "criterion", "level", "round", "class", "metric", "value", "low", "high",
    ]  # fmt: skip
    assert set(table["criterion"]) == {"taylor", "random"}
    own = table[(table["criterion"] == "taylor") & (table["class"] == "all")]
    values = own[own["level"] == 0.6].set_index("metric")["value"]
    assert values["accuracy"] == result.accuracy[0, 3]
    assert values["parameters"] == result.parameters[0, 3]
    assert {f"{name} {epsilon}/255" for name, epsilon in ATTACKS} <= set(values.index)
    bounded = table.dropna()
    assert (bounded["low"] <= bounded["value"] + 1e-9).all()
    assert (bounded["value"] <= bounded["high"] + 1e-9).all()
    random = table[(table["criterion"] == "random") & (table["metric"] == "accuracy")]
    one = random[(random["level"] == 0.3) & (random["class"] == "all")].iloc[0]
    drawn = result.accuracy[1:, 2]
    assert (one["value"], one["low"], one["high"]) == (drawn.mean(), drawn.min(), drawn.max())


def test_drift_is_that_of_the_explained_class(result: Pruning) -> None:
    assert result.drift.shape == (4, 2)
    np.testing.assert_allclose(result.drift[0], 1)
    assert (np.abs(result.drift) <= 1 + 1e-9).all()
    assert (np.abs(result.drift_untrained) < 1).all()


def test_importance_stands_beside_the_oracle(subject: Subject, result: Pruning) -> None:
    truth = rw.oracle(subject[:8])
    table = result.importance(truth)
    assert table.columns.tolist() == ["layer", "filter", "group", "score", "oracle"]
    np.testing.assert_array_equal(table["oracle"], truth.by_batch)
    with pytest.raises(ValueError, match=r"another network: it has units of first, .* among the 7"):
        result.importance(rw.oracle(random_subject(Residual())))
    some = rw.oracle(subject[:8], layers=["conv2"], units=2, seed=1)
    sampled = result.importance(some)
    assert (sampled["oracle"].notna() & (sampled["layer"] == "conv2")).sum() == 2
    both = sampled["oracle"].notna()
    np.testing.assert_allclose(sampled["oracle"][both], table["oracle"][both])


GROWING: dict[str, Any] = {"levels": (0.15, 0.3, 0.6), "images": 30, "calibration_images": 20}


class Watch:
    """Counts the networks that are measured, and stops after so many."""

    def __init__(self, most: int = 10**9) -> None:
        self.most, self.done, self.total = most, [0], 0

    def __call__(self, done: int, total: int) -> None:
        self.done.append(done)
        self.total = total
        if done == self.most:
            raise rw.Cancelled

    @property
    def measured(self) -> int:
        """Those that took a tick of their own; known ones are passed at once."""
        return int((np.diff(self.done) == 1).sum())


def test_curve_grows(subject: Subject) -> None:
    grown: list[Pruning] = []
    last = rw.pruning(subject, partial=grown.append, **GROWING)
    levels = [result.levels.tolist() for result in (*grown, last)]
    assert levels == [[0], [0, 0.15], [0, 0.15], [0, 0.15, 0.6], [0, 0.15, 0.3, 0.6]]
    # The first level is there with one random removal, before it is with all.
    assert [len(result.logits) - 1 for result in (*grown, last)] == [5, 1, 5, 5, 5]
    assert grown[0].reading().startswith("Nothing is removed yet (1 of 4 levels are computed): ")
    for result in grown:
        assert (result.fingerprint, result.source) == (last.fingerprint, last.source)
        assert result.knobs == last.knobs
        place = last.at(highest := float(result.levels[-1]))
        some = slice(len(result.logits))
        np.testing.assert_array_equal(result.logits[:, -1], last.logits[some, place])
        assert result.variant(highest).fingerprint == last.variant(highest).fingerprint


def test_the_level_that_is_wanted_comes_next(subject: Subject) -> None:
    grown: list[list[float]] = []

    def wanting(result: Pruning) -> float:
        grown.append(result.levels.tolist())
        return 0.3

    last = rw.pruning(subject, partial=wanting, **GROWING)
    assert grown == [[0], [0, 0.3], [0, 0.3], [0, 0.15, 0.3]]
    np.testing.assert_array_equal(last.logits, rw.pruning(subject, **GROWING).logits)


def test_progress_begins_with_what_an_earlier_run_has_done(subject: Subject) -> None:
    stopped, resumed = Watch(9), Watch()
    with pytest.raises(rw.Cancelled):
        rw.pruning(subject, progress=stopped, **GROWING)
    rw.pruning(subject, progress=resumed, **GROWING)
    assert resumed.done[1] == stopped.done[-1] == 9  # Watch itself begins with 0


def test_classes_that_lose_equally_are_all_named(result: Pruning) -> None:
    names, last = result.classes, len(result.levels) - 1
    logits = result.logits.copy()
    logits[0, last] = -1.0
    logits[0, last, np.arange(result.n), (result.truth + 1) % len(names)] = 1.0  # all are wrong
    logits[0, 0] = -1.0
    logits[0, 0, np.arange(result.n), result.truth] = 1.0  # all were right
    equal = replace(result, logits=logits)
    for name in ("knobs", "subject"):
        object.__setattr__(equal, name, getattr(result, name))
    assert equal.losers(last) == list(range(len(names)))
    assert equal.reading(level=0.6).startswith(
        "60 % of the filters cost 100.0 points of accuracy on average, and 100 points for every "
        "class. "
    )
    assert ", 1 and 2 −100.0 points" in sentences.of_level(equal, 0.6)
    logits[0, last, result.truth == 0] = logits[0, 0, result.truth == 0]  # but one
    two = replace(result, logits=logits)
    for name in ("knobs", "subject"):
        object.__setattr__(two, name, getattr(result, name))
    assert two.losers(last) == [1, 2]
    assert "100 points for 1 and 2, which lose most" in two.reading(level=0.6)


def test_what_was_measured_before_cancel_is_not_measured_again(subject: Subject) -> None:
    stopped, resumed, fresh = Watch(9), Watch(), Watch()
    with pytest.raises(rw.Cancelled):
        rw.pruning(subject, progress=stopped, **GROWING)
    assert stopped.total == 19
    assert stopped.measured == 9  # the whole one, six at the first level, two at the second
    again = subject[:]  # another Subject of the same fingerprint
    result = rw.pruning(again, progress=resumed, **GROWING)
    assert resumed.done[-1] == 19
    assert resumed.measured <= 19 - 8
    last = rw.pruning(subject, progress=fresh, **GROWING)  # what is finished is not kept
    assert fresh.measured == 19
    np.testing.assert_array_equal(result.logits, last.logits)
    np.testing.assert_array_equal(result.temperatures, last.temperatures)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"images": 29}, {"calibration_images": 19}, {"criterion": "weight"}]
)
def test_other_settings_know_nothing_of_what_was_measured(
    subject: Subject, change: dict[str, Any]
) -> None:
    with pytest.raises(rw.Cancelled):
        rw.pruning(subject, progress=Watch(9), **GROWING)
    watch = Watch()
    rw.pruning(subject, progress=watch, **GROWING | change)
    assert watch.measured == 19
    watch = Watch()
    rw.pruning(subject, progress=watch, **GROWING)
    assert watch.measured < 19


def test_two_threads_share_nothing_half_measured(subject: Subject) -> None:
    with pytest.raises(rw.Cancelled):
        rw.pruning(subject, progress=Watch(9), **GROWING)
    found: list[Pruning] = []
    both = [
        threading.Thread(target=lambda: found.append(rw.pruning(subject, **GROWING)))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    expected = rw.pruning(subject, **GROWING)
    assert len(found) == 2
    for result in found:
        np.testing.assert_array_equal(result.logits, expected.logits)


def test_rounds_rank_again() -> None:
    whole = random_subject(Chain(), n=60, seed=1)
    subject = whole[:40].with_validation(whole[40:])
    once = rw.pruning(subject, levels=(0.3, 0.6), images=30)
    twice = rw.pruning(subject, levels=(0.3, 0.6), rounds=2, images=30)
    np.testing.assert_array_equal(once.removed[:, 1], twice.removed[:, 1])
    assert twice.removed.sum(-1).tolist() == once.removed.sum(-1).tolist()
    # By hand: what the network without the first two is worth, decides about the next two.
    from reliab_widgets.ops.pruning import removal
    from reliab_widgets.ops.pruning.importance import importance

    found, first = structure(subject), twice.removed[0, 1]
    assert subject.validation is not None
    left = cut(subject.validation, found, first)
    scores = np.full(7, -np.inf)
    scores[~first] = importance(left, structure(left), "taylor")
    expected = removal.remove(found, scores, 0.6, "filters", np.ones(7, dtype=bool))
    np.testing.assert_array_equal(twice.removed[0, 2], expected)


def test_fine_tuning_gives_back_and_keeps_its_networks(tmp_path: Path) -> None:
    whole = random_subject(Chain(), n=260, seed=1)
    labels = (whole.images.mean((1, 2, 3)) * 30).long() % 3
    whole = whole.with_images(whole.images, labels)
    subject = whole[:40].with_validation(whole[40:60])
    train = whole[60:]
    plain = rw.pruning(subject, levels=(0.3,), images=30)
    tuned = rw.pruning(subject, levels=(0.3,), images=30, train=train, finetune=60)
    loss = [one.calibration["nll raw"][0, 1] for one in (plain, tuned)]
    assert loss[1] < loss[0]
    np.testing.assert_array_equal(plain.removed, tuned.removed)
    np.testing.assert_array_equal(tuned.variant(0.3)[tuned.index].logits, tuned.logits[0, 1])
    loaded = Pruning.load(tuned.save(tmp_path / "tuned.npz"))
    assert tuned.has_networks
    assert not loaded.has_networks
    with pytest.raises(ValueError, match="weights of fine-tuned networks are not kept in a file"):
        loaded.variant(0.3, subject)
    with pytest.raises(ValueError, match="train"):
        rw.pruning(subject, train=whole[30:90], finetune=5)
    with pytest.raises(ValueError, match="train and finetune go together"):
        rw.pruning(subject, finetune=5)


def test_single_weights(subject: Subject) -> None:
    result = rw.pruning(subject, criterion="magnitude", levels=(0.25, 0.5), images=30)
    sizes = np.array([54, 108, 12])
    assert result.left[0, 0].tolist() == [54, 108, 12]
    for place, level in ((1, 0.25), (2, 0.5)):
        assert sizes.sum() - result.left[0, place].sum() == int(level * sizes.sum())
        assert result.parameters[0, place] == result.parameters[0, 0] - int(level * sizes.sum())
    assert (result.multiply_adds == result.multiply_adds[0, 0]).all()
    with pytest.raises(ValueError, match="single weights were removed"):
        result.variant(0.5)
    with pytest.raises(ValueError, match="single weights are removed once"):
        rw.pruning(subject, criterion="magnitude", rounds=2)


def test_arithmetic_can_be_the_measure(subject: Subject) -> None:
    result = rw.pruning(subject, scope="flops", levels=(0.3,), images=30)
    assert (result.multiply_adds[:, 1] <= 0.7 * result.multiply_adds[0, 0]).all()


def test_what_cannot_be_reached_is_said(subject: Subject) -> None:
    result = rw.pruning(subject, levels=(0.9,), images=30)
    assert result.removed[0, 1].sum() == 5
    assert result.notes == (
        "at 90% only 71% could be removed: every layer keeps a filter, and protected ones keep all",
    )


def test_without_validation_half_is_ranked_on() -> None:
    subject = random_subject(Chain(), n=21)
    result = rw.pruning(subject, levels=(0.3,))
    order = np.random.default_rng(0).permutation(21)
    assert result.index.tolist() == sorted(order[10:].tolist())
    assert (
        result.split == "11 reported, ranked and fitted on 10 of the other half (split by seed 0)"
    )


def test_a_saved_result_has_no_network(subject: Subject, result: Pruning, tmp_path: Path) -> None:
    loaded = Pruning.load(result.save(tmp_path / "pruning.npz"))
    with pytest.raises(ValueError, match="has numbers only, no network"):
        loaded.model(0.3)
    again = loaded.variant(0.3, subject)
    assert torch.equal(again.logits, result.variant(0.3).logits)
    with pytest.raises(ValueError, match="not the one that was examined"):
        loaded.variant(0.3, subject[:5])


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"levels": (1.0,)}, "levels must be a number of at least 0 and below 1: got 1.0"),
        ({"levels": ()}, "levels has too few or too many: got 0"),
        ({"levels": (-0.1,)}, "got -0.1"),
        ({"levels": (float("nan"),)}, "got nan"),
        ({"scope": "weights"}, "scope"),
        ({"criterion": "tailor"}, "criterion"),
        ({"rounds": 0}, "rounds"),
        ({"protect": ("conv9",)}, "got 'conv9'"),
        ({"images": 0}, "images"),
        ({"images": 10**9}, "images is more than there are: got 1,000,000,000, there are 40"),
        ({"calibration_images": 10**9}, "calibration_images= from 1 to 20: there are no more"),
        ({"explain": 10**9}, "explain= from 0 to 40"),
        ({"attacked": 10**9}, "attacked= from 0 to 40"),
        ({"explain": 31, "images": 30}, "explain= from 0 to 30: so many are reported"),
        ({"attacked": 31, "images": 30}, "attacked= from 0 to 30: so many are reported"),
        ({"protect": "first"}, r"Pass protect=\('first',\)"),
        ({"protect": 3}, "protect is not a sequence: got 3"),
        ({"protect": (3,)}, "protect must be a text: got 3"),
        ({"seed": -1}, "seed"),
        ({"explain": True}, "explain must be a whole number in its range: got True"),
        ({"calibration_images": 2.5}, "got 2.5"),
    ],
)
def test_wrong_settings_are_explained(subject: Subject, knobs: dict, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        rw.pruning(subject, **knobs)


def test_half_of_the_images_is_all_that_can_be_reported() -> None:
    subject = random_subject(Chain(), n=21)
    with pytest.raises(ValueError, match="images= from 1 to 11: there are no more"):
        rw.pruning(subject, images=12)
    with pytest.raises(ValueError, match="calibration_images= from 1 to 10"):
        rw.pruning(subject, calibration_images=11)
    with pytest.raises(IndexError, match="there are 11 images"):
        rw.pruning(subject, images=[12])
    assert rw.pruning(subject, images=[0, 10], levels=0.3).n == 2


def test_calibration_images_are_answered_by_the_network_that_is_examined(
    subject: Subject,
) -> None:
    assert subject.validation is not None
    other = random_subject(Chain(), n=3, seed=9)
    foreign = Subject(other.model, subject.validation.images, subject.validation.labels)
    own, given = (
        rw.pruning(subject, levels=(0.3,), images=30, calibration_set=one)
        for one in (subject.validation, foreign)
    )
    np.testing.assert_array_equal(own.temperatures, given.temperatures)
    np.testing.assert_array_equal(own.scores, given.scores)


def test_levels_have_one_form(subject: Subject) -> None:
    result = rw.pruning(subject, levels=[0.3, 0, 0.15, 0.3], images=30)
    assert result.knobs["levels"] == (0.15, 0.3)
    assert "levels=(0.15, 0.3)" in result.code()
    assert result.levels.tolist() == [0, 0.15, 0.3]
    assert rw.pruning(subject, levels=0, images=30).levels.tolist() == [0]


def test_knobs_are_told_and_not_repeated(subject: Subject, result: Pruning) -> None:
    def mine(subject: Subject) -> dict[str, np.ndarray]:
        return {"conv1": np.arange(3.0), "conv2": np.arange(4.0)}

    own = rw.pruning(subject, levels=(0.3,), images=30, criterion=mine, protect=["last"])
    assert own.criterion == own.knobs["criterion"] == "mine"
    assert own.knobs["protect"] == ("last",)
    assert "criterion=criterion" in own.code()
    assert result.knobs["attacked"] == 4
    assert result.knobs["calibration_set"] is None


def test_ranking_on_reported_images_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="`calibration_set`"):
        rw.pruning(subject, calibration_set=subject[:10])
    with pytest.raises(TypeError, match="It is called calibration_set here"):
        rw.pruning(subject, fit=subject[:10])


def test_levels_that_were_not_computed(result: Pruning) -> None:
    with pytest.raises(ValueError, match=r"there are 0, 0.15, 0.3, 0.6"):
        result.flips(0.5)


def test_sentences(result: Pruning) -> None:
    assert "points" in sentences.of_level(result, 0.3)
    assert f"random removal {result.accuracy[1:, 2].mean() * 100:.1f} %" in sentences.of_level(
        result, 0.3
    )
    told = float(result.levels[result.telling])
    same = "The pin is this same sweep: change a setting to compare with it."
    assert result.against(result) == same
    assert result.reading() == result.reading(level=told)
    assert "Control: random removal leaves " in result.reading(level=0.3)
    assert result.reading(level=0.0).startswith("Nothing is removed: ")


def test_a_pin_is_compared_at_the_chosen_level(subject: Subject, result: Pruning) -> None:
    other = rw.pruning(subject, criterion="random", levels=(0.15, 0.6), images=30)
    mine, pinned = (f"{one.accuracy[0, one.at(0.15)] * 100:.1f} %" for one in (result, other))
    said = result.against(other, level=0.15)
    assert said.startswith("Against the pin (criterion random, calibration images by default), at ")
    assert (
        f"the same accuracy, {mine}" if mine == pinned else f"{mine} instead of {pinned}"
    ) in said
    differ = (result.logits[0, 1].argmax(1) != other.logits[0, 1].argmax(1)).sum()
    assert said.endswith(f"; {differ} of 30 predictions differ.")
    assert result.against(other, level=0.3) == "Against the pin: it has no 30 %."
    told = result.levels[result.telling] * 100
    shared = f"at {told:.0f} %: " if told in (15, 60) else f"it has no {told:.0f} %."
    assert shared in result.against(other)


def test_views_are_checked(result: Pruning) -> None:
    for views, words in (
        ({"level": 0.5}, "level 0.5 was not computed"),
        ({"level": 1.0}, "level must be a number"),
        ({"temperature": "older"}, "The nearest: old"),
        ({"image": -1}, "image must be a whole number"),
    ):
        with pytest.raises(ValueError, match=words):
            result.plot(**views)
    with pytest.raises(TypeError, match="has no knob 'levels'"):
        result.plot(levels=0.3)


def test_where_nothing_is_known_nothing_is_lost(subject: Subject) -> None:
    truth = (subject.logits.argmax(1) + 1) % len(subject.classes)
    wrong = subject.replaced(labels=truth)
    result = rw.pruning(wrong, levels=(0.5,), images=40, calibration_images=20)
    assert result.accuracy[0, 0] == 0
    assert result.reading(level=0.5).startswith(
        "There is nothing to lose: the whole network is right on 0.0 % of the images, guessing"
    )


def test_classes_without_images_are_in_no_sentence(subject: Subject) -> None:
    one = [int(k) for k in np.flatnonzero(subject.labels.numpy() == int(subject.labels.max()))[:3]]
    result = rw.pruning(subject, levels=(0.3, 0.6), images=one)
    for level in result.levels:
        assert "nan" not in result.reading(level=float(level))
