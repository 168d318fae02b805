"""What pixels are replaced by, and which of them: baselines and masks."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from reliab_widgets import Subject
from reliab_widgets.ops.attribution.baselines import BASELINES, baseline, baselines, several
from reliab_widgets.ops.attribution.perturbation import count_windows, phi, rise_masks, windows
from tests.models import Brightness, flat_images

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(6, 3, 10, 12, generator=GENERATOR)


def coloured(images: torch.Tensor = IMAGES, **options: Any) -> Subject:
    return Subject(Brightness(3), images, [0] * len(images), **options)


# --- phi and masks --------------------------------------------------------------------------------


def test_all_of_the_image_and_none_of_it_are_exact() -> None:
    image, other = IMAGES[0], IMAGES[1]
    ones = torch.ones(1, 10, 12)
    assert torch.equal(phi(image, ones, other), image)
    assert torch.equal(phi(image, 0 * ones, other), other)
    half = phi(image, ones / 2, other)
    torch.testing.assert_close(half, (image + other) / 2)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 12), st.integers(2, 12))
def test_windows_that_touch_remove_every_pixel(
    window: int, stride: int, height: int, width: int
) -> None:
    window, stride = min(window, height, width), min(stride, window, height, width)
    removed = 1 - windows((height, width), window, stride)
    assert removed.sum(0).min() >= 1
    assert set(removed.unique().tolist()) <= {0.0, 1.0}
    assert len(removed) == count_windows((height, width), window, stride)
    some = np.arange(len(removed))[::2]
    assert torch.equal(windows((height, width), window, stride, some), 1 - removed[::2])
    # No window is larger than asked for, and none lies outside.
    assert removed.sum((1, 2, 3)).min() >= 1
    assert removed.sum((1, 2, 3)).max() == window**2


def test_windows_by_hand() -> None:
    masks = windows((3, 3), window=2, stride=2)
    # Two places each way; those at the edge are cut.
    assert masks.shape == (4, 1, 3, 3)
    assert (1 - masks).sum((1, 2, 3)).tolist() == [4, 2, 2, 1]
    assert masks[3, 0].tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 0]]


def test_rise_masks_do_not_depend_on_which_are_asked_for() -> None:
    every = rise_masks((10, 12), 50, 4, seed=3)
    some = rise_masks((10, 12), 50, 4, seed=3, chosen=np.array([49, 0, 7]))
    assert torch.equal(some, every[[49, 0, 7]])
    assert not torch.equal(every, rise_masks((10, 12), 50, 4, seed=4))


def test_rise_masks_keep_half_and_are_smooth() -> None:
    masks = rise_masks((32, 32), 4000, 4, seed=0)
    assert masks.min() >= 0
    assert masks.max() <= 1
    # A value is a mean of at most four cells of variance 1/4: 4,000 of them leave an error of 1 %.
    assert (masks.mean(0) - 0.5).abs().max() < 0.04
    # Neighbours differ by less than a cell's edge would make them differ.
    assert masks.diff(dim=-1).abs().max() <= 1 / 8 + 1e-6
    far = np.corrcoef(masks[:, 0, 0, 0], masks[:, 0, 31, 31])[0, 1]
    near = np.corrcoef(masks[:, 0, 0, 0], masks[:, 0, 0, 1])[0, 1]
    assert abs(far) < 0.06
    assert near > 0.9


# --- baselines ------------------------------------------------------------------------------------


def test_every_name_gives_an_image_in_pixel_units() -> None:
    subject = coloured().with_validation(coloured(1 - IMAGES))
    for name in (*BASELINES[:-1], "training:4", "color:0.1,0.2,0.3", "blur:0.3", "noise:0.1"):
        made = baseline(name, subject)(subject.images[2], 2)
        assert made.shape == ((4 if name == "training:4" else 1), 3, 10, 12), name
        assert made.min() >= 0
        assert made.max() <= 1


def test_colours_by_hand() -> None:
    subject, image = coloured(), IMAGES[0]
    assert baseline("black", subject)(image, 0).unique().tolist() == [0]
    assert baseline("white", subject)(image, 0).unique().tolist() == [1]
    picked = baseline("color:0.25,0.5,1", subject)(image, 0)[0]
    assert picked[:, 4, 5].tolist() == [0.25, 0.5, 1]
    own = baseline("image-mean", subject)(image, 0)[0]
    torch.testing.assert_close(own[:, 0, 0], image.mean((1, 2)))
    assert own.std((1, 2)).max() < 1e-6
    far = baseline("max-distance", subject)(image, 0)[0]
    assert ((far - image).abs() >= 0.5).all()
    assert far.unique().tolist() == [0, 1]


def test_the_mean_is_that_of_training_where_it_is_known() -> None:
    def first(subject: Subject) -> list[float]:
        return baseline("mean", subject)(IMAGES[0], 0)[0, :, 0, 0].tolist()

    normalised = coloured(mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    assert first(normalised) == pytest.approx([0.1, 0.2, 0.3])
    alone = coloured()
    assert first(alone) == pytest.approx(IMAGES.mean((0, 2, 3)).tolist())
    both = alone.with_validation(coloured(IMAGES / 2))
    assert first(both) == pytest.approx((IMAGES / 2).mean((0, 2, 3)).tolist())


def test_blur_is_scipys() -> None:
    made = baseline("blur:0.2", coloured())(IMAGES[0], 0)[0].numpy()
    expected = gaussian_filter(
        IMAGES[0].numpy().astype(float), (0, 2.0, 2.4), mode="nearest", truncate=4
    )
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_noise_belongs_to_the_image_and_the_seed() -> None:
    subject = coloured()
    for name in ("noise", "uniform"):
        one = baseline(name, subject, seed=1)
        assert torch.equal(one(IMAGES[0], 4), one(IMAGES[0], 4))
        assert not torch.equal(one(IMAGES[0], 4), one(IMAGES[0], 5))
        assert not torch.equal(one(IMAGES[0], 4), baseline(name, subject, 2)(IMAGES[0], 4))
    large = torch.full((3, 64, 64), 0.5)
    quiet = baseline("noise:0.05", subject)(large, 0)
    assert quiet.std().item() == pytest.approx(0.05, rel=0.03)
    assert baseline("uniform", subject)(large, 0).std().item() == pytest.approx(12**-0.5, rel=0.03)


def test_training_images_come_from_the_validation_split() -> None:
    validation = coloured(1 - IMAGES)
    made = baseline("training:3", coloured().with_validation(validation), seed=2)
    assert made.draws == 3
    for image in made(IMAGES[0], 0):
        assert any(torch.equal(image, other) for other in validation.images)
    alone = baseline("training:6", coloured())
    assert torch.equal(alone(IMAGES[0], 0), IMAGES)


def test_arrays_colours_and_images_can_be_given() -> None:
    subject = coloured()
    for image in (IMAGES[3], IMAGES[3][None], IMAGES[3].numpy(), IMAGES[3].tolist()):
        torch.testing.assert_close(baseline(image, subject)(IMAGES[0], 0)[0], IMAGES[3])
    for colour in ([0.1, 0.2, 0.3], np.array([0.1, 0.2, 0.3])):
        assert baseline(colour, subject)(IMAGES[0], 0)[0, :, 9, 9].tolist() == pytest.approx(
            [0.1, 0.2, 0.3]
        )
    assert baseline(0.5, subject)(IMAGES[0], 0).unique().tolist() == [0.5]


def test_several_baselines_have_names_of_their_own() -> None:
    made = baselines(["black", IMAGES[0], "white", IMAGES[1]], coloured())
    assert [one.name for one in made] == ["black", "tensor 1", "white", "tensor 2"]
    assert [one.name for one in baselines(IMAGES[0], coloured())] == ["tensor"]
    assert several((0.1, 0.2, 0.3)) == [(0.1, 0.2, 0.3)]


GREY = Subject(Brightness(), flat_images([0.2, 0.4]), [0, 1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("purple", r"no baseline of that name: got 'purple'. Choose baseline= from 'black'"),
        ("black:3", r"no baseline of that name: got 'black:3'"),
        ("blur:0", r"the number after 'blur' must be greater than 0: got 'blur:0'.*'blur:0.1'"),
        ("noise:much", r"the number after 'noise' must be greater than 0"),
        ("training:2.5", r"'training' takes a whole number of images: got 'training:2.5'"),
        ("training:3", r"asks for too many images: got 3, there are 2.*'training:2'"),
        ("color:0.1,0.2,0.3", r"a colour needs 1 number from 0 to 1.*'color:0.5'"),
        ("color:2", r"a colour needs 1 number from 0 to 1"),
        ("color:red", r"a colour needs 1 number"),
        (torch.zeros(1, 4, 4), r"another shape.*got 1 x 4 x 4, the images are 1 x 8 x 8. Resize"),
        (torch.zeros(3, 8, 8), r"another shape.*Pass 1 x 8 x 8 values in baseline="),
        (torch.full((1, 8, 8), 255.0), r"another range.*got values from 255 to 255.*pixel units"),
        (torch.full((1, 8, 8), -2.0), r"another range.*not normalised"),
        (torch.full((1, 8, 8), float("nan")), r"another range"),
    ],
)
def test_what_is_no_baseline_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        baseline(given, GREY)


def test_what_cannot_be_an_array_is_refused() -> None:
    with pytest.raises(TypeError, match="a baseline cannot be made an array: got Linear"):
        baseline(nn.Linear(1, 1), GREY)


def test_none_and_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="a baseline is given twice: got 'black' more than once"):
        baselines(("black", "white", "black"), GREY)
    with pytest.raises(ValueError, match="baselines has too few or too many: got 0"):
        baselines((), GREY)
