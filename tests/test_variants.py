"""What a Subject can become: each function gives one more Subject and says how it was made."""

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import reliab_widgets as rw
from reliab_widgets.ops.networks.untrained import has_signal


@pytest.fixture(scope="module")
def subject() -> rw.Subject:
    return rw.demo("resnet20")


def tiny(n: int = 6, side: int = 4) -> rw.Subject:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * side**2, 3))
    images = torch.rand(n, 3, side, side)
    return rw.Subject(model, images, torch.arange(n) % 3, classes=["a", "b", "c"], name="tiny")


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


MADE = {
    "pruned": lambda it: rw.pruned(it, 0.25, criterion="weight"),
    "denoised": lambda it: rw.denoised(it, "median"),
    "untrained": lambda it: rw.untrained(it, seed=3),
    "calibrated": lambda it: rw.calibrated(it, 1.7),
    "attack": lambda it: rw.attack(it, attack="fgsm", epsilon=0.1, images=[1]),
    "noisy": lambda it: rw.noisy(it, epsilon=0.1, images=[1], seed=2),
    "corrupted": lambda it: rw.corrupted(it, "noise 2", seed=4),
}


@pytest.mark.parametrize("word", MADE)
def test_the_code_of_a_variant_makes_it_again(word):
    made = MADE[word](tiny())
    known = {"rw": rw, "model": tiny().model, "images": tiny().images, "labels": tiny().labels}
    again = eval(made.code, known | {"classes": ["a", "b", "c"]})
    torch.testing.assert_close(again.logits, made.logits)
    assert again.fingerprint == made.fingerprint
    assert again.name == made.name


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(MADE, 2)))
def test_variants_of_variants_can_be_made(first, second):
    before = tiny()
    seen = before.logits.clone()
    made = MADE[second](MADE[first](before))
    assert made.logits.isfinite().all()
    assert made.labels.tolist() == before.labels.tolist()
    assert made.fingerprint != before.fingerprint
    assert torch.equal(before.on(before.network.copied()).logits, seen)


def test_a_pruned_network_is_the_one_that_the_analysis_measures(subject):
    result = rw.pruning(subject, levels=(0.2,), images=64, calibration_images=100, seed=1)
    made = rw.pruned(subject, 0.2, calibration_images=100, seed=1)
    torch.testing.assert_close(made[:40].logits, result.variant(0.2)[:40].logits)


def test_what_was_ranked_on_is_said_where_there_is_no_validation_split():
    assert "flatters" not in " ".join(rw.pruned(tiny(), 0.25, criterion="weight").notes)
    assert "ranked on" in rw.pruned(tiny(), 0.25, criterion="weight").notes[-1]


def test_a_denoiser_stands_before_the_network():
    def grey(images):
        return images.mean(1, keepdim=True).expand_as(images)

    subject = tiny()
    made = rw.denoised(subject, grey)
    torch.testing.assert_close(made.logits, subject.predict(grey(subject.images)))
    with pytest.raises(ValueError, match="no denoiser"):
        rw.denoised(subject, "none")


def test_two_denoisers_are_passed_in_the_order_in_which_they_were_put_there():
    subject = tiny()
    lighter = rw.denoised(subject, lambda it: (it + 0.2).clamp(0, 1))
    made = rw.denoised(lighter, lambda it: it * 0.5)
    expected = subject.predict((subject.images * 0.5 + 0.2).clamp(0, 1))
    torch.testing.assert_close(made.logits, expected)


def test_functions_of_one_name_are_told_apart():
    def made(factor, by=None):
        return rw.denoised(tiny(), (lambda it: it * factor) if by is None else by)

    marks = [made(0.5), made(0.25), made(0, lambda it: it * 0.5), made(0, lambda it: it * 0.25)]
    assert len({it.fingerprint for it in marks}) == 4
    assert made(0.5).fingerprint == made(0.5).fingerprint


def test_an_attack_goes_through_the_denoiser():
    made = rw.denoised(tiny(), nn.AvgPool2d(3, 1, 1))
    pixels = made.images[:1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(made.predict(pixels)[:, 0].sum(), pixels)
    assert slope.abs().sum() > 0
    blocked = rw.denoised(tiny(), torch.round)  # the identity's gradient stands for it
    assert rw.attack(blocked, attack="fgsm", epsilon=0.1).logits.isfinite().all()


def test_a_temperature_divides_the_logits_and_is_fitted_on_other_images(subject):
    made = rw.calibrated(subject[:50], 2.0)
    torch.testing.assert_close(made.logits, subject[:50].logits / 2)
    twice = rw.calibrated(made, 1.5)
    torch.testing.assert_close(twice.logits, subject[:50].logits / 3)
    fitted = rw.reliability(subject, method="temperature").calibrator.temperature
    assert rw.calibrated(subject).network.temperature == pytest.approx(fitted)
    with pytest.raises(ValueError, match=r"no temperature can be fitted.*Pass temperature="):
        rw.calibrated(tiny())


def test_recorded_logits_are_calibrated_too():
    recorded = rw.Subject.from_logits([[2.0, 0.0], [0.0, 4.0]], [0, 1])
    assert rw.calibrated(recorded, 2.0).logits.tolist() == [[1.0, 0.0], [0.0, 2.0]]


def test_only_the_images_that_are_named_are_attacked():
    subject = tiny()
    attacked = rw.attack(subject, attack="fgsm", epsilon=0.1, images=[4, 1])
    changed = (attacked.images != subject.images).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, False, True, False]
    every = rw.attack(subject, attack="fgsm", epsilon=0.1)
    assert torch.equal(attacked.images[[1, 4]], every.images[[1, 4]])


def test_noise_has_the_size_that_was_asked_for():
    subject = tiny()
    noise = rw.noisy(subject, epsilon=0.125).images - subject.images
    inside = (subject.images > 0.125) & (subject.images < 0.875)
    assert noise[inside].abs().unique().numpy() == pytest.approx(0.125, abs=1e-6)
    few = rw.noisy(subject, epsilon=0.125, images=[2]).images[2]
    assert torch.equal(few, subject.images[2] + noise[2])


def test_corrupted_images_are_those_that_reliability_looks_at(subject):
    few = subject[:100]
    told = rw.reliability(few, corruption="noise 3", seed=5)
    made = rw.reliability(rw.corrupted(few, "noise 3", seed=5))
    assert made.metric("accuracy") == told.metric("accuracy")
    assert made.metric("nll") == pytest.approx(told.metric("nll"), rel=1e-5)


def test_a_photograph_is_the_last_image():
    subject = tiny()
    seen = subject.logits.clone()
    blue = Image.new("RGB", (64, 32), (0, 0, 255))
    made = rw.photographed(subject, png(blue), label="b")
    assert len(made) == 7
    assert made.labels[6] == 1
    assert made.images[6, :, 0, 0].tolist() == [0.0, 0.0, 1.0]
    torch.testing.assert_close(made.logits[:6], seen)
    torch.testing.assert_close(made.logits[6:], subject.predict(made.images[6:]))
    assert "64 x 32" in " ".join(made.notes)
    unknown = rw.photographed(subject, png(blue))
    assert unknown.labels[6] == made.logits[6].argmax()
    assert "not known" in unknown.notes[-1]


def test_a_photograph_is_turned_cut_and_its_clear_parts_are_white(tmp_path):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert rw.photographed(tiny(), png(clear)).images[6].min() == 1
    picture = np.zeros((4, 12, 3), np.uint8)
    picture[:, 4:8] = 255  # only the middle is kept
    assert rw.photographed(tiny(), png(Image.fromarray(picture))).images[6].min() > 0.9
    path = tmp_path / "cat.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    upright = np.zeros((64, 64), np.uint8)
    upright[:32] = 255
    Image.fromarray(upright).save(path, exif=exif, quality=95)
    made = rw.photographed(tiny(), path)
    assert made.images[6, 0, 0].max() < 0.2
    assert made.images[6, 0, 3].min() > 0.8
    assert str(path) in made.code


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (b"", "photo cannot be read"),
        (b"not a picture", "photo cannot be read"),
        ("missing.png", "photo is not there: missing.png is not in "),
        (3, "photo is no picture"),
    ],
)
def test_what_is_no_photograph_is_refused(photo, said):
    with pytest.raises((TypeError, ValueError), match=said):
        rw.photographed(tiny(), photo)


def test_an_untrained_network_behind_a_denoiser_has_a_signal(subject):
    assert has_signal(rw.untrained(rw.denoised(subject[:20], "guided")))
