import numpy as np
import pytest
import torch

from reliab_widgets.ops.corruptions.moves import FLIP_AND_SHIFTS, Move
from reliab_widgets.ops.corruptions.severities import Corruption, corruption, names

IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
INDICES = torch.arange(6)


@pytest.mark.parametrize("name", names()[1:])
def test_corruptions_keep_shape_range_and_input(name):
    before = IMAGES.clone()
    corrupted = corruption(name)(IMAGES, INDICES)
    assert corrupted.shape == IMAGES.shape
    assert corrupted.dtype == IMAGES.dtype
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    assert not torch.equal(corrupted, IMAGES)
    assert torch.equal(IMAGES, before)


def test_names_and_what_they_stand_for():
    assert len(names()) == len(set(names())) == 16
    assert corruption("clean") is None
    assert corruption("noise 3", seed=4) == Corruption("noise", 3, 4)
    assert len({corruption(name) for name in names()}) == 16


@pytest.mark.parametrize("name", ["noise", "noise 6", "noise 0", "fog 1", ""])
def test_an_unknown_corruption_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=r"got .*Choose `corruption` from: 'clean', .*'blur 5'"):
        corruption(name)


def test_a_severity_that_cannot_be():
    with pytest.raises(ValueError, match="got 'blur 9'"):
        Corruption("blur", 9)


@pytest.mark.parametrize(
    ("severity", "std"), [(1, 0.04), (2, 0.06), (3, 0.08), (4, 0.09), (5, 0.10)]
)
def test_noise_has_the_standard_deviation_of_its_severity(severity, std):
    grey = torch.full((40, 3, 32, 32), 0.5)
    noise = Corruption("noise", severity)(grey, torch.arange(40)) - grey
    assert noise.std().item() == pytest.approx(std, rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=5 * std / np.sqrt(noise.numel()))


def test_noise_depends_on_seed_and_index_alone():
    whole = Corruption("noise", 2, seed=5)(IMAGES, INDICES)
    for rows in ([3], [4, 1], [5, 0, 2]):
        part = Corruption("noise", 2, seed=5)(IMAGES[rows], INDICES[rows])
        assert torch.equal(part, whole[rows])
    assert not torch.equal(Corruption("noise", 2, seed=6)(IMAGES, INDICES), whole)
    assert not torch.equal(Corruption("noise", 2, seed=5)(IMAGES, INDICES + 1), whole)


def test_noise_leaves_the_users_random_state_alone():
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    Corruption("noise", 1)(IMAGES, INDICES)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numbers).all()


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.4), (2, 0.6), (3, 0.7), (4, 0.8), (5, 1.0)])
@pytest.mark.parametrize("size", [(32, 32), (7, 20), (2, 3)])
def test_blur_is_scipys_gaussian_filter(severity, sigma, size):
    from scipy.ndimage import gaussian_filter

    images = IMAGES[..., : size[0], : size[1]]
    expected = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="nearest")
    found = Corruption("blur", severity)(images, INDICES)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_contrast_by_hand():
    images = torch.tensor([[[[0.2, 0.4]], [[0.0, 1.0]]]])
    found = Corruption("contrast", 2)(images, torch.tensor([0]))
    torch.testing.assert_close(found, torch.tensor([[[[0.25, 0.35]], [[0.25, 0.75]]]]))


@pytest.mark.parametrize(
    ("severity", "factor"), [(1, 0.75), (2, 0.5), (3, 0.4), (4, 0.3), (5, 0.15)]
)
def test_contrast_keeps_means_and_scales_deviations(severity, factor):
    found = Corruption("contrast", severity)(IMAGES, INDICES)
    mean = IMAGES.mean((2, 3))
    torch.testing.assert_close(found.mean((2, 3)), mean)
    torch.testing.assert_close(found.std((2, 3)), factor * IMAGES.std((2, 3)))


def test_flip_and_shifts_are_a_mirror_image_and_four_moves_of_two_pixels():
    ramp = torch.arange(25.0).reshape(1, 1, 5, 5) / 24
    mirrored, down, up, right, left = (move(ramp, torch.tensor([0])) for move in FLIP_AND_SHIFTS)
    assert torch.equal(mirrored, ramp.flip(3))
    assert torch.equal(down[..., 2:, :], ramp[..., :3, :])
    assert torch.equal(up[..., :3, :], ramp[..., 2:, :])
    assert torch.equal(right[..., 2:], ramp[..., :3])
    assert torch.equal(left[..., :3], ramp[..., 2:])
    # What comes in repeats the edge.
    assert torch.equal(down[..., :2, :], ramp[..., :1, :].expand(-1, -1, 2, -1))
    assert torch.equal(left[..., 3:], ramp[..., 4:].expand(-1, -1, -1, 2))


def test_augmentations_are_hashable_and_differ():
    assert len(set(FLIP_AND_SHIFTS)) == 5
    assert Move(right=2) in FLIP_AND_SHIFTS
