"""Logits alone, without the network that gave them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import reliab_widgets as rw

GENERATOR = np.random.default_rng(0)


def made(n: int, classes: int = 4, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too large by a factor of three."""
    logits = GENERATOR.normal(size=(n, classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([GENERATOR.choice(classes, p=row) for row in shares])
    return scale * logits, labels


LOGITS, LABELS = made(400)
OTHERS = made(600)


def test_numbers_are_those_of_the_network() -> None:
    demo = rw.demo("resnet20")[:300]
    validation = demo.validation
    assert validation is not None
    recorded = rw.Subject.from_logits(
        demo.logits,
        demo.labels.numpy(),
        classes=demo.classes,
        validation=(validation.logits.numpy(), validation.labels),
    )
    for method in ("none", "temperature", "binwise", "histogram", "isotonic", "base-rates"):
        known, found = (rw.reliability(it, method=method) for it in (demo, recorded))
        assert found.summary().equals(known.summary())
        assert found.split == known.split
    assert recorded.classes == demo.classes


def test_a_temperature_is_found() -> None:
    subject = rw.Subject.from_logits(LOGITS, LABELS, validation=OTHERS)
    result = rw.reliability(subject, method="temperature")
    assert result.n_fitted == 600
    assert result.calibrator.temperature == pytest.approx(3, rel=0.1)


def test_without_validation_the_logits_are_divided() -> None:
    # Rows that are equal belong to other pictures.
    subject = rw.Subject.from_logits(np.tile([[9.0, 0.0]], (10, 1)), [0, 1] * 5)
    result = rw.reliability(subject, method="temperature")
    assert (result.n, result.n_fitted) == (5, 5)
    assert "more than once" not in result.split


def test_a_calibration_set_is_a_pair_or_another_subject() -> None:
    subject = rw.Subject.from_logits(LOGITS, LABELS)
    pair = rw.reliability(subject, calibration_set=OTHERS, method="temperature")
    other = rw.Subject.from_logits(*OTHERS)
    same = rw.reliability(subject, calibration_set=other, method="temperature")
    assert pair.summary().equals(same.summary())
    with pytest.raises(ValueError, match=r"no answers to these images.*logits only"):
        rw.reliability(subject, calibration_set=rw.demo("resnet20"), method="temperature")


def test_parts_and_others_have_fingerprints_of_their_own() -> None:
    subject = rw.Subject.from_logits(LOGITS, LABELS)
    assert subject.fingerprint == rw.Subject.from_logits(torch.tensor(LOGITS), LABELS).fingerprint
    assert subject.fingerprint != rw.Subject.from_logits(LOGITS + 1, LABELS).fingerprint
    assert subject[:5].fingerprint != subject[5:10].fingerprint
    assert (subject[[3, 1]].logits == subject.logits[[3, 1]]).all()


LACKING: dict[str, Callable[[rw.Subject], object]] = {
    "propagation": rw.propagation,
    "saliency": rw.saliency,
    "pruning": rw.pruning,
    "universal": rw.universal,
    "attack": rw.attack,
    "transfer": rw.transfer,
    "oracle": rw.oracle,
    "untrained": rw.untrained,
    "smallest_epsilon": rw.smallest_epsilon,
    "certify": rw.certify,
    "defences": rw.defences,
    "predict": lambda subject: subject.predict(subject.images),
    "model": lambda subject: subject.model,
    "corruption": lambda subject: rw.reliability(subject, corruption="noise 3"),
    "copies": lambda subject: rw.reliability(subject, method="binwise-augmented"),
    "images": lambda subject: subject.with_images(torch.zeros(2, 3, 8, 8), [0, 1]),
}


@pytest.mark.parametrize("call", LACKING.values(), ids=LACKING)
def test_what_needs_a_network_says_so(call: Callable[[rw.Subject], object]) -> None:
    subject = rw.Subject.from_logits(LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"^there are only logits: .*rw\.Subject\(model, images"):
        call(subject)


WRONG = {
    "probabilities": (np.full((4, 2), 0.5), [0, 1, 0, 1], r"are probabilities.*np\.log"),
    "one column": (np.zeros((4, 1)), [0, 1, 0, 1], r"must be a table.*one logit z"),
    "NaN": ([[0.0, np.nan], [1.0, 2.0]], [0, 1], r"for 1 of the 2 images given: image 0"),
    "text": ([["a", "b"]], [0], r"cannot be made one table"),
    "too few labels": (np.zeros((4, 2)), [0], r"got 1 labels and 4 images"),
    "labels of others": (np.eye(3) * 9, [0, 1, 3], r"the model has 3 classes"),
}


@pytest.mark.parametrize(("logits", "labels", "words"), WRONG.values(), ids=WRONG)
def test_what_are_no_logits_is_refused(logits: object, labels: object, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        rw.Subject.from_logits(logits, labels)


def test_validation_is_a_pair() -> None:
    with pytest.raises(TypeError, match=r"validation is not a pair.*\(logits, labels\)"):
        rw.Subject.from_logits(LOGITS, LABELS, validation=LOGITS)


def test_result_and_code_are_kept(tmp_path: Path) -> None:
    subject = rw.Subject.from_logits(LOGITS, LABELS, name="mine", validation=OTHERS)
    result = rw.reliability(subject, method="temperature")
    result.save(tmp_path / "result.npz")
    assert rw.load(tmp_path / "result.npz").summary().equals(result.summary())
    names = {"logits": LOGITS, "labels": LABELS, "validation": OTHERS}
    exec(result.code(), names)
    assert names["result"].summary().equals(result.summary())


def test_the_widget_works_whole() -> None:
    subject = rw.Subject.from_logits(LOGITS, LABELS, validation=OTHERS)
    widget = rw.widgets.ReliabilityWidget(subject)
    widget.wait(30)
    widget.set(method="temperature", bins=10, calibration_images=300).wait(30)
    assert widget.result.n_fitted == 300
    assert [*widget.controls["corruption"].options] == [("none", "clean")]
    widget.close()


def test_its_report_says_what_it_lacks() -> None:
    subject = rw.Subject.from_logits(np.eye(3, dtype=np.float32) * 4, [0, 1, 2])
    report = subject.report()
    works = {word: not allowed.impossible for word, allowed in report.analyses.items()}
    assert works == dict.fromkeys(works, False) | {"reliability": True}
    assert "✗ pruning: there are only logits: this needs the network" in str(report)
    assert "batches" not in str(report)
