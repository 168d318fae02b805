import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reliab_widgets.core.result import load
from reliab_widgets.ops.calibration import bins as cut
from reliab_widgets.ops.calibration import calibrators as rep
from reliab_widgets.ops.calibration import metrics as cal

WIDTH = {"bins": 15, "binning": "width"}


def generated(n, seed, overconfidence=lambda margin: 1.0, boost=5.0, classes=10):
    """Logits whose labels follow ``softmax(logits / overconfidence(margin))`` exactly."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=(n, classes))
    z[np.arange(n), rng.integers(classes, size=n)] += boost
    p = cal.softmax(z)
    labels = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1)
    ordered = np.sort(z, axis=1)
    return z * overconfidence(ordered[:, -1:] - ordered[:, -2:-1]), labels


def growing(margin):
    """Over-confidence from 1.2 to 2.8, growing with the margin of the winner."""
    return 1.2 + 1.6 * np.clip(margin / 6, 0, 1)


def uniform(margin):
    return 2.0


def top_ece(calibrator, logits, labels):
    confidence, hit = cal.pairs(calibrator(logits), labels, "top")
    return cal.ece(confidence, hit, cut.edges(confidence, **WIDTH))


# Bins


def test_bins_are_half_open_and_the_first_holds_zero():
    edges = np.array([0.0, 0.5, 1.0])
    bins = cut.binned(np.array([0.0, 0.5, 0.625, 1.0]), np.array([0, 1, 1, 1]), edges)
    assert bins.count.tolist() == [2, 2]
    assert bins.accuracy.tolist() == [0.5, 1.0]
    assert bins.confidence.tolist() == [0.25, 0.8125]


def test_empty_bins_remain_with_count_zero_and_nan():
    bins = cut.binned(np.array([0.9]), np.array([True]), np.linspace(0, 1, 4))
    assert bins.count.tolist() == [0, 0, 1]
    for column in (bins.confidence, bins.accuracy, bins.accuracy_low, bins.accuracy_high):
        assert np.isnan(column).tolist() == [True, True, False]


@pytest.mark.parametrize(("hits", "n"), [(7, 8), (0, 5), (5, 5), (40, 42)])
@pytest.mark.parametrize("interval", [0.9, 0.95, 0.99])
def test_wilson_interval_is_scipys(hits, n, interval):
    from scipy.stats import binomtest

    hit = np.arange(n) < hits
    bins = cut.binned(np.full(n, 0.9), hit, np.array([0.0, 1.0]), interval)
    expected = binomtest(hits, n).proportion_ci(interval, method="wilson")
    assert bins.accuracy_low[0] == pytest.approx(expected.low, abs=1e-12)
    assert bins.accuracy_high[0] == pytest.approx(expected.high, abs=1e-12)


def test_wilson_interval_of_seven_in_eight_by_hand():
    # z = 1.96: centre (0.875 + 3.8416 / 16) / (1 + 3.8416 / 8) = 0.7533; half width 0.2242
    bins = cut.binned(np.full(8, 0.9), np.arange(8) < 7, np.array([0.0, 1.0]))
    assert bins.accuracy_low[0] == pytest.approx(0.5291, abs=2e-4)
    assert bins.accuracy_high[0] == pytest.approx(0.9776, abs=2e-4)


def test_equal_mass_bins_hold_equal_counts():
    confidence = np.random.default_rng(0).random(150)
    bins = cut.binned(confidence, confidence > 0.5, cut.edges(confidence, 15, "mass"))
    assert bins.count.tolist() == [10] * 15


def test_ties_share_an_equal_mass_bin_and_edges_stay_increasing():
    confidence = np.array([0.2, 0.4, 0.6, 0.8] + [1.0] * 12)
    edges = cut.edges(confidence, 8, "mass")
    assert edges.tolist() == [0.0, 0.4, 0.8, 1.0]
    assert cut.binned(confidence, confidence > 0, edges).count.tolist() == [2, 2, 12]
    assert cut.edges(np.zeros(9), 3, "mass").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("bins", "binning"), [(0, "width"), (15, "quantile")])
def test_bins_that_cannot_be(bins, binning):
    with pytest.raises(
        ValueError, match=rf"got bin(s|ning)=.*Pass .*`bin{'s' if not bins else ''}"
    ):
        cut.edges(np.array([0.5]), bins, binning)


# Metrics by hand


PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.0, 0.9], [0.6, 0.3, 0.1]])
LABELS = np.array([0, 2, 2, 0])


def metrics(label, bins=2, binning="width"):
    values = cal.measure(PROBABILITIES, LABELS, label, bins=bins, binning=binning)
    return dict(zip(cal.METRICS, values.tolist(), strict=True))


def test_top_label_metrics_by_hand():
    # Confidences .7 .5 .9 .6, right except the second, which alone is in (0, 1/2].
    found = metrics("top")
    assert found["accuracy"] == 0.75
    assert found["confidence"] == pytest.approx(0.675)
    assert found["ece"] == pytest.approx((0.5 + 0.8) / 4)
    assert found["mce"] == pytest.approx(0.5)
    # Two by two: (.5, .6) with one hit, (.7, .9) with two.
    assert found["ace"] == pytest.approx((0.1 + 0.4) / 4)
    assert found["nll"] == pytest.approx(-np.log([0.7, 0.3, 0.9, 0.6]).mean())
    assert found["brier"] == pytest.approx((0.14 + 0.78 + 0.02 + 0.26) / 4)


def test_one_class_against_the_rest_by_hand():
    # p of class 0: .7 .2 .1 .6, true for the first and the last.
    found = metrics(0)
    assert found["accuracy"] == 1.0
    assert found["confidence"] == pytest.approx(0.4)
    assert found["ece"] == pytest.approx((0.3 + 0.7) / 4)
    assert found["mce"] == pytest.approx(0.35)
    assert found["ace"] == found["ece"]
    assert found["nll"] == pytest.approx(-np.log([0.7, 0.8, 0.9, 0.6]).mean())
    assert found["brier"] == pytest.approx((0.09 + 0.04 + 0.01 + 0.16) / 4)


@pytest.mark.parametrize("binning", cut.BINNINGS)
def test_classwise_errors_are_means_over_the_classes(binning):
    found = metrics("all", binning=binning)
    each = [metrics(k, binning=binning) for k in range(3)]
    for name in ("ece", "mce", "ace", "smece"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in each]), rel=2e-3)
    for name in ("accuracy", "nll", "brier", "confidence"):
        assert found[name] == metrics("top")[name]


def test_pairs_of_all_classes_and_of_one():
    confidence, hit = cal.pairs(PROBABILITIES, LABELS, "all")
    assert confidence.tolist() == PROBABILITIES.ravel().tolist()
    assert hit.tolist() == np.eye(3, dtype=bool)[LABELS].ravel().tolist()
    confidence, hit = cal.pairs(PROBABILITIES, LABELS, 2)
    assert confidence.tolist() == [0.1, 0.3, 0.9, 0.1]
    assert hit.tolist() == [False, True, True, False]


@pytest.mark.parametrize("label", ["bottom", 3, -1])
def test_a_label_that_cannot_be(label):
    with pytest.raises(ValueError, match=r"got label=.*Pass `label` = .* from 0 to 2"):
        cal.pairs(PROBABILITIES, LABELS, label)


@pytest.mark.parametrize("binning", cut.BINNINGS)
@pytest.mark.parametrize("label", ["top", 4])
def test_measure_agrees_with_the_single_metrics(binning, label):
    logits, labels = generated(500, 0, uniform)
    p = cal.softmax(logits)
    confidence, hit = cal.pairs(p, labels, label)
    found = dict(
        zip(cal.METRICS, cal.measure(p, labels, label, bins=15, binning=binning), strict=True)
    )
    edges = cut.edges(confidence, 15, binning)
    assert found["ece"] == pytest.approx(cal.ece(confidence, hit, edges), abs=1e-12)
    assert found["mce"] == pytest.approx(cal.mce(confidence, hit, edges), abs=1e-12)
    mass = cut.edges(confidence, 15, "mass")
    assert found["ace"] == pytest.approx(cal.ece(confidence, hit, mass), abs=1e-12)
    assert found["smece"] == pytest.approx(cal.smece(confidence, hit), abs=1e-12)
    if label == "top":
        assert found["nll"] == pytest.approx(cal.nll(p, labels), abs=1e-12)
        assert found["brier"] == pytest.approx(cal.brier(p, labels), abs=1e-12)


# Second opinions


@pytest.fixture(scope="module")
def random_logits():
    rng = np.random.default_rng(3)
    return 3 * rng.normal(size=(10_000, 10)), rng.integers(10, size=10_000)


def test_ece_and_mce_agree_with_torchmetrics(random_logits):
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, labels = random_logits
    p = cal.softmax(logits)
    confidence, hit = cal.pairs(p, labels, "top")
    edges = cut.edges(confidence, **WIDTH)
    for norm, ours in (("l1", cal.ece), ("max", cal.mce)):
        theirs = multiclass_calibration_error(
            torch.from_numpy(p), torch.from_numpy(labels), 10, n_bins=15, norm=norm
        )
        assert ours(confidence, hit, edges) == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:independent is deprecated:DeprecationWarning")  # pyro's own
def test_ece_mce_and_temperature_agree_with_netcal():
    from netcal.metrics import ECE, MCE
    from netcal.scaling import TemperatureScaling

    logits, labels = generated(10_000, 0, uniform)
    p = cal.softmax(logits)
    confidence, hit = cal.pairs(p, labels, "top")
    edges = cut.edges(confidence, **WIDTH)
    assert cal.ece(confidence, hit, edges) == pytest.approx(ECE(15).measure(p, labels), abs=1e-6)
    assert cal.mce(confidence, hit, edges) == pytest.approx(MCE(15).measure(p, labels), abs=1e-6)
    theirs = TemperatureScaling()
    theirs.fit(p, labels)
    ours = rep.fit_temperature(logits, labels).temperature
    assert ours == pytest.approx(1 / theirs.temperature.item(), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_temperature_agrees_with_scikit_learn(seed):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        """Answers with the logits it is handed."""

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def decision_function(self, X):
            return X

        def predict(self, X):
            return X.argmax(axis=1)

    logits, labels = generated(2_000, seed, growing)
    given_logits = FrozenEstimator(Given().fit(logits, labels))
    theirs = CalibratedClassifierCV(given_logits, method="temperature").fit(logits, labels)
    (single,) = theirs.calibrated_classifiers_
    ours = rep.fit_temperature(logits, labels)
    assert ours.temperature == pytest.approx(1 / single.calibrators[0].beta_, abs=1e-3)
    np.testing.assert_allclose(ours(logits), theirs.predict_proba(logits), atol=1e-3)


def test_nll_and_brier_agree_with_scikit_learn():
    from sklearn.metrics import brier_score_loss, log_loss

    logits, labels = generated(1_000, 1, uniform)
    p = cal.softmax(logits)
    assert cal.nll(p, labels) == pytest.approx(log_loss(labels, p), abs=1e-12)
    theirs = brier_score_loss(labels, p, labels=range(10), scale_by_half=False)
    assert cal.brier(p, labels) == pytest.approx(theirs, abs=1e-12)
    found = dict(zip(cal.METRICS, cal.measure(p, labels, 2, **WIDTH), strict=True))
    assert found["nll"] == pytest.approx(log_loss(labels == 2, p[:, 2]), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(labels == 2, p[:, 2]), abs=1e-12)


def test_an_impossible_event_costs_36_nats():
    assert cal.nll(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(52 * np.log(2))


def smece_by_its_definition(confidence, hit):
    """Bisect for the width at which the integral of the smoothed gap equals the width."""
    t = (np.arange(1000) + 0.5) / 1000

    def error(width):
        kernel = np.zeros((t.size, confidence.size))
        for image in range(-3, 4):
            for mirrored in (confidence, -confidence):
                kernel += np.exp(-0.5 * ((t[:, None] - mirrored - 2 * image) / width) ** 2)
        kernel /= width * np.sqrt(2 * np.pi)
        return np.abs(kernel @ (hit - confidence)).mean() / confidence.size

    low, high = 1e-3, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if error(middle) < middle else (middle, high)
    return high


@pytest.mark.parametrize("overconfidence", [1.0, 2.0, 4.0, 0.3])
def test_smooth_ece_is_the_fixed_point_of_its_definition(overconfidence):
    logits, labels = generated(300, 5, lambda margin: overconfidence)
    confidence, hit = cal.pairs(cal.softmax(logits), labels, "top")
    expected = smece_by_its_definition(confidence, hit)
    assert cal.smece(confidence, hit) == pytest.approx(expected, abs=5e-4)


def test_smooth_ece_agrees_with_relplot():
    # Confidences stay away from 0 and 1: there relplot's grid, which ends in a node, counts half.
    from relplot import smECE

    rng = np.random.default_rng(0)
    for power in (1.0, 1.5, 3.0):
        confidence = 0.1 + 0.8 * rng.random(4_000)
        hit = rng.random(4_000) < confidence**power
        theirs = smECE(confidence, hit.astype(float))
        assert cal.smece(confidence, hit) == pytest.approx(theirs, abs=2e-3)


def test_smooth_ece_of_one_sided_error_is_the_plain_gap():
    # All gaps have one sign, so smoothing cancels nothing, whatever the width.
    assert cal.smece(np.full(10, 0.8), np.zeros(10)) == pytest.approx(0.8, abs=1e-9)


# Bootstrap and floor


@pytest.mark.parametrize("binning", cut.BINNINGS)
@pytest.mark.parametrize("label", ["top", "all", 1])
def test_bootstrap_is_direct_resampling(label, binning):
    n, draws, seed = 80, 60, 7
    logits, labels = generated(n, 2, uniform, boost=2.0, classes=3)
    p = cal.softmax(logits)
    confidence, hit = (x.reshape(n, -1) for x in cal.pairs(p, labels, label))
    own = [cut.edges(c, 5, binning) for c in confidence.T]
    mass = [cut.edges(c, 5, "mass") for c in confidence.T]
    direct = []
    for rows in np.random.default_rng(seed).integers(n, size=(draws, n)):
        columns = list(zip(confidence[rows].T, hit[rows].T, own, mass, strict=True))
        single = isinstance(label, int)
        of_p = np.stack([1 - p[rows, 1], p[rows, 1]], axis=1) if single else p[rows]
        of_labels = (labels[rows] == 1).astype(int) if single else labels[rows]
        direct.append(
            [
                (of_p.argmax(1) == of_labels).mean(),
                np.mean([cal.ece(c, h, e) for c, h, e, _ in columns]),
                np.mean([cal.mce(c, h, e) for c, h, e, _ in columns]),
                np.mean([cal.ece(c, h, m) for c, h, _, m in columns]),
                np.mean([cal.smece(c, h) for c, h, _, _ in columns]),
                cal.nll(of_p, of_labels),
                cal.brier(of_p, of_labels) / (2 if single else 1),
                of_p[:, 1].mean() if single else of_p.max(1).mean(),
            ]
        )
    found = cal.bootstrap(
        p, labels, label, bins=5, binning=binning, interval=0.8, seed=seed, draws=draws
    )
    direct = np.array(direct)
    errors = [cal.METRICS.index(name) for name in ("ece", "mce", "ace", "smece")]
    value = cal.measure(p, labels, label, bins=5, binning=binning)
    direct[:, errors] += (value - direct.mean(axis=0))[errors]
    expected = np.quantile(direct, [0.1, 0.9], axis=0).clip(min=0)
    smooth = cal.METRICS.index("smece")
    np.testing.assert_allclose(
        np.delete(found, smooth, 1), np.delete(expected, smooth, 1), atol=1e-12
    )
    np.testing.assert_allclose(np.array(found)[:, smooth], expected[:, smooth], rtol=5e-3)


def test_interval_holds_the_value_even_of_a_calibrated_model():
    for seed in range(10):
        logits, labels = generated(500, seed)
        p = cal.softmax(logits)
        low, high = cal.bootstrap(p, labels, "top", **WIDTH, interval=0.95, seed=0)
        value = cal.measure(p, labels, "top", **WIDTH)
        assert (low <= value).all()
        assert (value <= high).all()


def test_bootstrap_interval_of_accuracy_is_the_normal_one_and_seeded():
    logits, labels = generated(2_000, 4)
    p = cal.softmax(logits)
    one, again, other = (
        np.array(cal.bootstrap(p, labels, "top", **WIDTH, interval=0.95, seed=s)) for s in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()
    accuracy = (p.argmax(1) == labels).mean()
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 2_000)
    assert one[:, 0] == pytest.approx([accuracy - half, accuracy + half], abs=0.2 * half)


def test_floor_is_the_mean_over_outcomes_drawn_from_the_probabilities():
    p = cal.softmax(generated(300, 8, classes=4, boost=2.0)[0])
    rng = np.random.default_rng(1)
    drawn = {"top": [], "all": [], 2: []}
    for _ in range(400):
        labels = (p.cumsum(1) < rng.random((300, 1))).sum(1).clip(max=3)
        for label, values in drawn.items():
            values.append(cal.measure(p, labels, label, **WIDTH)[1])
    for label, values in drawn.items():
        found = cal.ece_floor(p, label, **WIDTH, seed=0)
        assert found == pytest.approx(np.mean(values), rel=0.06)


def test_floor_of_one_bin_by_hand():
    # Ten coins in one bin: the mean of |heads - 5| is 5 C(10, 5) / 2^10 = 1.2305.
    p = np.full((10, 2), 0.5)
    found = cal.ece_floor(p, "top", bins=1, binning="width", seed=0, draws=20_000)
    assert found == pytest.approx(0.12305, abs=2e-3)


@pytest.mark.parametrize(
    ("n", "percent"), [(500, 2.3), (1_000, 1.8), (2_000, 1.2), (5_000, 0.77), (10_000, 0.56)]
)
def test_floor_of_a_calibrated_model_that_is_right_92_times_in_100(n, percent):
    p = cal.softmax(generated(n, 0, boost=6.4)[0])
    assert p.max(axis=1).mean() == pytest.approx(0.92, abs=0.015)
    assert 100 * cal.ece_floor(p, "top", **WIDTH, seed=0) == pytest.approx(percent, rel=0.2)


# Calibrators


def fitted(n=400, seed=0):
    logits, labels = generated(n, seed, uniform)
    return [
        rep.Uncalibrated(),
        rep.fit_temperature(logits, labels),
        rep.fit_binwise(logits, labels),
        rep.fit_histogram(logits, labels),
        rep.fit_isotonic(logits, labels),
        rep.fit_base_rates(logits, labels),
    ]


CALIBRATORS = fitted()
SCALINGS = [
    rep.Uncalibrated(),
    rep.Temperature(0.05),
    rep.Temperature(3.0),
    rep.Temperature(20.0),
    rep.BinwiseTemperature(np.array([0, 0.3, 0.6, 0.999, 1]), np.array([3.0, 0.2, 10.0, 1.7])),
]
EXTREME = st.one_of(
    st.floats(-1e308, 1e308),
    st.sampled_from([0.0, 1.0, np.nextafter(1.0, 2), 5e-324, -5e-324, 1e-17, 1e308, -1e308, 750.0]),
)


def names(value):
    return type(value).__name__


@pytest.mark.parametrize("calibrator", SCALINGS, ids=names)
@given(logits=arrays(np.float64, (7, 4), elements=EXTREME))
@settings(max_examples=200, deadline=None)
def test_scaling_never_changes_an_answer(calibrator, logits):
    p = calibrator(logits)
    assert p.argmax(axis=1).tolist() == logits.argmax(axis=1).tolist()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=names)
@given(logits=arrays(np.float64, (5, 10), elements=st.floats(-60, 60)))
@settings(max_examples=50, deadline=None)
def test_calibrated_rows_sum_to_one(calibrator, logits):
    p = calibrator(logits)
    assert p.shape == (5, 10)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=names)
def test_a_calibrator_does_not_depend_on_the_batch(calibrator):
    logits, _ = generated(50, 9, uniform)
    rows = np.concatenate([calibrator(logits[i : i + 1]) for i in range(50)])
    assert (calibrator(logits) == rows).all()
    assert calibrator(logits[:0]).shape == (0, 10)
    assert calibrator(logits.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=names)
def test_a_saved_calibrator_answers_the_same(calibrator, tmp_path):
    logits, _ = generated(50, 9, uniform)
    again = load(calibrator.save(tmp_path / "calibrator.npz"))
    assert type(again) is type(calibrator)
    assert again.notes == calibrator.notes
    assert (again(logits) == calibrator(logits)).all()


@pytest.mark.parametrize("calibrator", CALIBRATORS[1:], ids=names)
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((3, 7)), r"logits of 10 classes; got 7 columns\. Pass logits of the model"),
        (
            np.zeros(10),
            r"must be a matrix.*; got shape \(10,\)\. For one image pass `logits\[None\]`",
        ),
        (np.full((2, 10), np.nan), r"must be finite; got NaN .* in 2 of 2 rows.*Check the model"),
        (np.full((2, 10), -np.inf), r"must be finite; got .* leave them out of `logits`"),
    ],
)
def test_a_calibrator_refuses_what_it_cannot_map(calibrator, logits, message):
    with pytest.raises(ValueError, match=message):
        calibrator(logits)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_must_be_above_zero(temperature):
    with pytest.raises(ValueError, match=r"above 0; got .*Pass `temperature=1.0`"):
        rep.Temperature(temperature)


@pytest.mark.parametrize(
    "fit", [rep.fit_temperature, rep.fit_binwise, rep.fit_histogram, rep.fit_isotonic]
)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"one label for each; got 3 rows .* shape \(2,\)\. Pass `labels`"),
        ([0, 1, 2], r"indices from 0 to 1; got int64 from 0 to 2\. Check `labels`"),
        ([0.0, 1.0, 1.0], r"indices from 0 to 1; got float64"),
    ],
)
def test_a_fit_refuses_labels_that_do_not_belong(fit, labels, message):
    with pytest.raises(ValueError, match=message):
        fit(np.zeros((3, 2)), np.array(labels))
    with pytest.raises(ValueError, match="got 0 rows"):
        fit(np.zeros((0, 2)), np.array([], dtype=int))


# Temperature


def test_temperature_by_hand():
    # Says 90 %, is right 3 times of 4: log(9) / T = log(3), T = 2.
    logits = np.log([[0.9, 0.1]] * 4)
    fit = rep.fit_temperature(logits, np.array([0, 0, 0, 1]))
    assert fit.temperature == pytest.approx(2, abs=1e-5)
    assert fit.notes == ()
    np.testing.assert_allclose(fit(logits)[:, 0], 0.75, atol=1e-6)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
def test_temperature_that_made_the_labels_is_found(true):
    logits, labels = generated(20_000, 0, lambda m: true, boost=2.0)
    assert rep.fit_temperature(logits, labels).temperature == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_all_right_runs_to_the_lower_limit_and_says_so(scale):
    logits = scale * np.eye(3)[np.arange(300) % 3]
    fit = rep.fit_temperature(logits, np.arange(300) % 3)
    assert fit.temperature == 0.05
    assert fit.notes == (
        "the temperature runs to its lower limit 0.05: 300 of 300 right, there is no "
        "over-confidence to learn from; fit on more images",
    )


def test_all_wrong_runs_to_the_upper_limit_and_says_so():
    fit = rep.fit_temperature(np.eye(3), np.array([1, 2, 0]))
    assert fit.temperature == 2000
    (note,) = fit.notes
    assert note.startswith("the temperature runs to its upper limit 2000: 0 of 3 right")


@pytest.mark.parametrize("factor", [0.1, 30, 1000])
def test_temperature_of_multiplied_logits_is_multiplied(factor):
    logits, labels = generated(2_000, 0, lambda m: 1.3)
    plain = rep.fit_temperature(logits, labels).temperature
    fit = rep.fit_temperature(factor * logits, labels)
    assert fit.temperature == pytest.approx(factor * plain, rel=1e-8)
    assert fit.notes == ()


def test_tiny_logits_run_to_the_lower_limit_though_some_are_wrong():
    logits, labels = generated(500, 0)
    fit = rep.fit_temperature(logits / 100, labels)
    assert fit.temperature == 0.05
    assert "scale them up" in fit.notes[0]


# Bin-wise temperature: the acceptance checks of Ji et al.'s method


def test_equal_bin_temperatures_are_one_temperature_to_the_last_bit():
    logits, labels = generated(2_000, 0, growing)
    common = rep.fit_temperature(logits, labels)
    edges = rep.fit_binwise(logits, labels).edges
    same = rep.BinwiseTemperature(edges, np.full(len(edges) - 1, common.temperature))
    assert (same(logits) == common(logits)).all()


@pytest.mark.parametrize("seed", range(5))
def test_binwise_repairs_what_depends_on_confidence(seed):
    fit_logits, fit_labels = generated(5_000, seed, growing)
    logits, labels = generated(10_000, 100 + seed, growing)
    one = top_ece(rep.fit_temperature(fit_logits, fit_labels), logits, labels)
    many = top_ece(rep.fit_binwise(fit_logits, fit_labels), logits, labels)
    raw = top_ece(rep.Uncalibrated(), logits, labels)
    assert one < raw
    assert many <= 0.6 * one


@pytest.mark.parametrize("seed", range(5))
def test_binwise_costs_little_where_one_temperature_is_right(seed):
    fit_logits, fit_labels = generated(5_000, seed, uniform)
    logits, labels = generated(10_000, 100 + seed, uniform)
    one = top_ece(rep.fit_temperature(fit_logits, fit_labels), logits, labels)
    many = top_ece(rep.fit_binwise(fit_logits, fit_labels), logits, labels)
    assert many <= one + 0.005


@pytest.mark.parametrize("overconfidence", [uniform, growing])
def test_binwise_likelihood_on_its_own_images_is_no_worse(overconfidence):
    logits, labels = generated(3_000, 1, overconfidence)
    one = cal.nll(rep.fit_temperature(logits, labels)(logits), labels)
    many = cal.nll(rep.fit_binwise(logits, labels)(logits), labels)
    assert many <= one + 1e-12


def test_binwise_edges_hold_equal_counts_below_the_last_bin():
    logits, labels = generated(3_000, 0)
    edges = rep.fit_binwise(logits, labels, bins=10).edges
    assert edges.shape == (11,)
    assert edges[[0, -2, -1]].tolist() == [0.0, 0.999, 1.0]
    confidence = cal.softmax(logits).max(axis=1)
    low = confidence[confidence < 0.999]
    counts = np.diff([(low < edge).sum() for edge in edges[:-1]])
    assert counts.max() - counts.min() <= 1


def test_binwise_bins_are_half_open_on_the_left_and_the_last_holds_its_end():
    split = rep.BinwiseTemperature(np.array([0, 0.75, 0.999, 1]), np.array([1.0, 2.0, 4.0]))
    at_the_edge = np.array([[np.log(3.0), 0.0]])
    assert cal.softmax(at_the_edge).max() == 0.75
    assert split(at_the_edge).max() == rep.Temperature(2.0)(at_the_edge).max()
    saturated = np.array([[800.0, 0.0]])
    assert cal.softmax(saturated).max() == 1.0
    assert (split(saturated) == rep.Temperature(4.0)(saturated)).all()


def test_small_bins_take_the_common_temperature_and_say_so():
    logits, labels = generated(100, 0, uniform)
    common = rep.fit_temperature(logits, labels)
    split = rep.fit_binwise(logits, labels)
    index = np.searchsorted(split.edges[1:-1], cal.softmax(logits).max(1), side="right")
    small = np.bincount(index, minlength=10) < 30
    assert small.sum() >= 8
    assert (split.temperatures[small] == common.temperature).all()
    assert split.notes[0].startswith(f"{small.sum()} of 10 bins (confidence 0 to ")
    assert "fewer than 30 samples" in split.notes[0]


def test_bins_without_an_error_are_clipped_and_named():
    logits = np.log(np.repeat([[0.9, 0.1], [0.6, 0.4]], 60, axis=0))
    labels = np.where(np.arange(120) < 60, 0, np.arange(120) % 2)
    split = rep.fit_binwise(logits, labels, bins=3)
    assert split.temperatures[1] == 0.2
    assert any(
        "1 of 3 bins (confidence 0.9 to 0.999): all samples are right" in note
        for note in split.notes
    )
    assert split.temperatures[0] == 10  # half of them wrong at 60 %: no temperature is high enough
    assert any("limit of [0.2, 10]" in note for note in split.notes)


def test_ties_leave_fewer_bins():
    logits, labels = np.log(np.tile([[0.9, 0.1]], (100, 1))), (np.arange(100) % 4 == 0).astype(int)
    split = rep.fit_binwise(logits, labels, bins=10)
    assert len(split.edges) == 4
    assert split(logits)[0].tolist() == pytest.approx([0.75, 0.25], abs=1e-5)


def test_binwise_needs_two_bins():
    with pytest.raises(ValueError, match=r"got bins=1\. Pass `bins=10`"):
        rep.fit_binwise(np.zeros((3, 2)), np.array([0, 1, 1]), bins=1)


# Histogram, isotonic, base rates


def test_histogram_by_hand():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.3, 0.7]])
    fit = rep.fit_histogram(np.log(p), np.array([0, 0, 1, 0]), bins=2)
    assert fit.edges.tolist() == [0.0, 0.5, 1.0]
    assert fit.values.tolist() == pytest.approx(np.array([[1, 2 / 3], [1 / 3, 0]]))
    found = fit(np.log([[0.6, 0.4], [0.4, 0.6]]))
    assert found.tolist() == pytest.approx(np.array([[2 / 3, 1 / 3], [1, 0]]))


def test_histogram_passes_what_it_never_saw_and_rows_of_zeros():
    logits = np.log([[0.95, 0.05]])
    unseen = rep.fit_histogram(logits, np.array([0]), bins=10)
    np.testing.assert_allclose(unseen(np.log([[0.45, 0.55]])), [[0.45, 0.55]], atol=1e-12)
    half = rep.HistogramBinning(np.array([0, 0.5, 1]), np.array([[np.nan, 0.9], [0.3, 0.6]]))
    np.testing.assert_allclose(half(np.log([[0.2, 0.8]])), [[0.25, 0.75]], atol=1e-12)
    zeros = rep.HistogramBinning(np.array([0.0, 1.0]), np.zeros((2, 1)))
    np.testing.assert_allclose(zeros(np.log([[0.3, 0.7]])), [[0.3, 0.7]], atol=1e-12)


def test_isotonic_agrees_with_scikit_learn():
    from sklearn.isotonic import IsotonicRegression

    fit_logits, fit_labels = generated(600, 0, uniform)
    logits, _ = generated(300, 1, uniform)
    p, q = cal.softmax(fit_logits), cal.softmax(logits)
    columns = [
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        .fit(p[:, k], fit_labels == k)
        .predict(q[:, k])
        for k in range(10)
    ]
    expected = np.stack(columns, axis=1)
    total = expected.sum(axis=1, keepdims=True)
    assert (total > 0).all()
    found = rep.fit_isotonic(fit_logits, fit_labels)(logits)
    np.testing.assert_allclose(found, expected / total, atol=1e-12)


def test_isotonic_keeps_rows_that_sum_to_zero():
    nothing = rep.Isotonic(np.array([[0.5], [0.5]]), np.zeros((2, 1)))
    np.testing.assert_allclose(nothing(np.log([[0.3, 0.7]])), [[0.3, 0.7]], atol=1e-12)


def test_base_rates_ignore_the_image_and_are_calibrated_on_their_own_labels():
    logits, labels = generated(1_000, 0)
    constant = rep.fit_base_rates(logits, labels)
    assert (constant(logits) == np.bincount(labels) / 1_000).all()
    assert top_ece(constant, logits, labels) == pytest.approx(0, abs=1e-12)


# Properties


CONFIDENCES = arrays(np.float64, 40, elements=st.floats(0, 1))
HITS = arrays(np.bool_, 40)


@pytest.mark.parametrize("binning", cut.BINNINGS)
@given(confidence=CONFIDENCES, hit=HITS, bins=st.integers(1, 50))
@settings(deadline=None)
def test_errors_lie_between_zero_and_one_in_order(binning, confidence, hit, bins):
    edges = cut.edges(confidence, bins, binning)
    assert (np.diff(edges) > 0).all()
    assert cut.binned(confidence, hit, edges).count.sum() == 40
    ece, mce = cal.ece(confidence, hit, edges), cal.mce(confidence, hit, edges)
    assert abs((hit - confidence).mean()) - 1e-12 <= ece <= mce + 1e-12 <= 1 + 2e-12


@given(confidence=CONFIDENCES, hit=HITS)
@settings(deadline=None)
def test_smooth_ece_lies_between_bias_and_one(confidence, hit):
    value = cal.smece(confidence, hit)
    # A width near that of a grid cell leaves ripples of up to 1 %.
    low, high = abs((hit - confidence).mean()), np.abs(hit - confidence).mean()
    assert low - 1e-9 <= value <= 1.01 * high + 1e-9


@given(order=st.permutations(range(30)), label=st.sampled_from(["top", "all", 0]))
@settings(deadline=None, max_examples=30)
def test_the_order_of_images_does_not_matter(order, label):
    logits, labels = generated(30, 0, uniform, classes=3)
    p = cal.softmax(logits)
    one = cal.measure(p, labels, label, **WIDTH)
    other = cal.measure(p[order], labels[order], label, **WIDTH)
    np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("label", ["top", "all", 1])
def test_what_is_drawn_in_parts_is_what_is_drawn_at_once(label, monkeypatch):
    rng = np.random.default_rng(0)
    p = cal.softmax(rng.normal(size=(101, 4)))
    how = {"bins": 7, "binning": "mass", "seed": 3, "draws": 31}

    def drawn():
        labels = np.arange(101) % 4
        intervals = cal.bootstrap(p, labels, label, interval=0.9, **how)
        return *intervals, cal.ece_floor(p, label, **how)

    whole = drawn()
    monkeypatch.setattr(cal, "AT_ONCE", 250)  # 2 of 31 resamples, or outcomes of 8 of 101
    for part, of_whole in zip(drawn(), whole, strict=True):
        np.testing.assert_allclose(part, of_whole, rtol=1e-10)
