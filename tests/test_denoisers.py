"""The denoisers: what the filters do by hand and by others' libraries, what the U-Nets promise."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter
from skimage.restoration import denoise_tv_chambolle

from reliab_widgets import zoo
from reliab_widgets.ops.defences.filters import (
    FILTERS,
    Bits,
    Gaussian,
    Jpeg,
    Median,
    TotalVariation,
)
from reliab_widgets.zoo.architectures import UNet


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return zoo.demo("resnet20", n=8).images


@pytest.fixture(scope="module")
def noisy(images: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + 0.05 * noise).clamp(0, 1)


@pytest.mark.parametrize("name", zoo.denoisers())
def test_every_denoiser_keeps_shape_and_range(name: str, noisy: torch.Tensor) -> None:
    before = noisy.clone()
    with torch.no_grad():
        clean = zoo.denoiser(name)(noisy)
    assert clean.shape == noisy.shape
    assert clean.dtype == torch.float32
    assert clean.min() >= 0
    assert clean.max() <= 1
    assert not torch.equal(clean, noisy)
    assert torch.equal(noisy, before)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(2, 1, 5, 7), (1, 3, 4, 4), (1, 4, 6, 3)])
def test_filters_take_other_sizes_and_channels(name: str, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    assert zoo.denoiser(name)(x).shape == shape


@pytest.mark.parametrize("name", ["median", "gaussian", "tv"])
def test_even_images_stay(name: str) -> None:
    even = torch.full((1, 3, 8, 8), 0.4)
    torch.testing.assert_close(zoo.denoiser(name)(even), even)


def test_median_by_hand() -> None:
    x = torch.tensor([[0.1, 0.9, 0.3], [0.2, 0.8, 0.4], [0.7, 0.5, 0.6]]).view(1, 1, 3, 3)
    # All nine in the middle; at the corner, mirrored: 0.8 0.2 0.8 / 0.9 0.1 0.9 / 0.8 0.2 0.8.
    filtered = Median()(x)[0, 0]
    assert filtered[1, 1] == pytest.approx(0.5)
    assert filtered[0, 0] == pytest.approx(0.8)


def test_median_and_blur_are_those_of_scipy(noisy: torch.Tensor) -> None:
    x = noisy.numpy()
    median = median_filter(x, size=(1, 1, 3, 3), mode="mirror")
    np.testing.assert_array_equal(Median()(noisy).numpy(), median)
    blurred = gaussian_filter(x, sigma=(0, 0, 0.5, 0.5), mode="nearest", truncate=4)
    np.testing.assert_allclose(Gaussian()(noisy).numpy(), blurred, atol=1e-6)


def test_bits_by_hand() -> None:
    x = torch.tensor([0.0, 0.03, 0.04, 0.5, 1.0]).view(1, 1, 1, 5)
    steps = [0, 0, 1 / 15, 8 / 15, 1]  # 0.5 lies between 7/15 and 8/15; torch rounds 7.5 to even
    torch.testing.assert_close(Bits()(x).flatten(), torch.tensor(steps))


def test_jpeg_is_a_jpeg_of_its_quality(images: torch.Tensor) -> None:
    pixels = (images[0] * 255).round().byte().permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=75, subsampling=0)
    expected = np.asarray(Image.open(stream))
    assert np.array_equal((Jpeg()(images[:1])[0] * 255).round().permute(1, 2, 0), expected)


def test_total_variation_comes_to_the_minimum_of_scikit_image(noisy: torch.Tensor) -> None:
    patient = TotalVariation()
    patient.rounds = 2000
    grey = noisy[:2].double().mean(1, keepdim=True)  # theirs weighs every channel by itself
    for x, exact, quick in zip(grey, patient(grey), TotalVariation()(grey), strict=True):
        theirs = denoise_tv_chambolle(x[0].numpy(), weight=0.05, eps=1e-14, max_num_iter=4000)
        np.testing.assert_allclose(exact[0].numpy(), theirs, atol=5e-4)
        assert np.abs(quick[0].numpy() - theirs).mean() < 0.1 * np.abs(x[0].numpy() - theirs).mean()


def test_what_is_even_has_a_slope() -> None:
    even = torch.full((1, 3, 8, 8), 0.4, requires_grad=True)
    for name in ("median", "gaussian", "tv", "resize"):
        (slope,) = torch.autograd.grad(zoo.denoiser(name)(even).sum(), even)
        assert slope.isfinite().all()
        assert slope.any()


def test_total_variation_lowers_what_it_minimises(noisy: torch.Tensor) -> None:
    def energy(u: torch.Tensor) -> torch.Tensor:
        down = torch.nn.functional.pad(u.diff(dim=-2), (0, 0, 0, 1))
        right = torch.nn.functional.pad(u.diff(dim=-1), (0, 1, 0, 0))
        length = (down.square() + right.square()).sum(1).sqrt()
        return (u - noisy).square().sum((1, 2, 3)) / 2 + 0.05 * length.sum((1, 2))

    best = TotalVariation()(noisy)
    assert (energy(best) < energy(noisy)).all()
    # A minimum: small steps in any direction lead upwards, but for what 20 rounds leave undone.
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        step = 0.02 * torch.randn(best.shape, generator=generator)
        assert (energy(best) < energy(best + step)).all()


@pytest.mark.parametrize("name", ["median", "gaussian", "tv", "bits", "jpeg"])
def test_filters_take_noise_away(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    even = torch.full((1, 3, 32, 32), 8 / 15)  # one of the values that 4 bits have
    rough = (even + 0.01 * torch.randn(even.shape, generator=generator)).clamp(0, 1)
    after = zoo.denoiser(name)(rough)
    assert after.std() < rough.std()


def test_untrained_u_net_changes_nothing(noisy: torch.Tensor) -> None:
    torch.testing.assert_close(UNet().eval()(noisy), noisy)


def test_misspelt_denoiser_lists_the_nearest_first() -> None:
    with pytest.raises(
        ValueError, match=r"no such denoiser: got 'medium'.*nearest: median.*'bits', 'tv'"
    ):
        zoo.denoiser("medium")


def test_a_denoiser_is_the_same_object_every_time() -> None:
    assert zoo.denoiser("median") is zoo.denoiser("median")
    assert not zoo.denoiser("median").training
