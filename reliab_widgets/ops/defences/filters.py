"""Denoisers that nothing has to be trained for."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, pad

from ...core.randomness import draw
from ..corruptions.severities import blur_matrix


class Median(nn.Module):
    """Median of each pixel's 3 x 3 neighbourhood, channel by channel; edges are mirrored."""

    def forward(self, x: Tensor) -> Tensor:
        """Filter images ``(N, C, H, W)``."""
        around = pad(x, (1, 1, 1, 1), mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1)
        return around.flatten(-2).median(-1).values


class Gaussian(nn.Module):
    """Blur with a Gaussian of 0.5 pixels; edges are repeated."""

    sigma = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Filter images ``(N, C, H, W)``."""
        height, width = (blur_matrix(size, self.sigma).to(x) for size in x.shape[-2:])
        return height @ x @ width.T


class Jpeg(nn.Module):
    """Compress as JPEG of quality 75 and decompress; it has no gradient.

    Dziugaite et al. 2016, "A study of the effect of JPG compression on adversarial images",
    arXiv 1608.00853.
    """

    quality = 75

    def forward(self, x: Tensor) -> Tensor:
        """Filter images ``(N, C, H, W)``; other than three channels are compressed one by one."""
        n, channels, height, width = x.shape
        planes = (
            x.detach().cpu() if channels == 3 else x.detach().cpu().reshape(-1, 1, height, width)
        )
        pixels = (planes.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        done = np.stack([self._through(image) for image in pixels])
        filtered = torch.from_numpy(done).permute(0, 3, 1, 2).reshape(n, channels, height, width)
        return (filtered.float() / 255).to(x)

    def _through(self, pixels: np.ndarray) -> np.ndarray:
        stream = io.BytesIO()
        image = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
        image.save(stream, "JPEG", quality=self.quality, subsampling=0)
        with Image.open(stream) as back:
            return np.asarray(back).reshape(pixels.shape)


class Bits(nn.Module):
    """Keep 4 bits of each channel: 16 values; its gradient is zero wherever it exists.

    Xu et al. 2018, "Feature squeezing", arXiv 1704.01155.
    """

    bits = 4

    def forward(self, x: Tensor) -> Tensor:
        """Filter images ``(N, C, H, W)``."""
        steps = 2**self.bits - 1
        return (x * steps).round() / steps


class TotalVariation(nn.Module):
    """The image that is near ``x`` and has little total variation, all channels taken together.

    Minimises ``|u - x|^2 / 2 + 0.05 TV(u)`` by Chambolle's dual projection: Chambolle 2004, "An
    algorithm for total variation minimization and applications".
    """

    weight, rounds = 0.05, 50

    def forward(self, x: Tensor) -> Tensor:
        """Filter images ``(N, C, H, W)``."""
        step = 1 / 4  # the largest for which the projection converges in two dimensions
        dual = x.new_zeros(2, *x.shape)
        for _ in range(self.rounds):
            slope = _gradient(_divergence(dual) - x / self.weight)
            # Clamped, because the root has no derivative at 0, where an image is even.
            squared = slope.square().sum((0, 2), keepdim=True)
            length = squared.clamp_min(torch.finfo(x.dtype).tiny).sqrt()
            dual = (dual + step * slope) / (1 + step * length)
        return (x - self.weight * _divergence(dual)).clamp(0, 1)


class Resize(nn.Module):
    """Shrink each image by up to an eighth and put it somewhere on black; drawn for every pass.

    After Xie et al. 2018, "Mitigating adversarial effects through randomization", arXiv 1711.01991,
    who enlarge instead: the images here keep their size, which not every network could do without.
    """

    least, draws = 7 / 8, True

    def forward(self, x: Tensor) -> Tensor:
        """Filter images ``(N, C, H, W)``."""
        generator = torch.Generator().manual_seed(draw())
        drawn = torch.rand(len(x), 3, 1, generator=generator, dtype=torch.float32).to(x)
        scale = self.least + (1 - self.least) * drawn[:, :1]
        shift = (1 - scale) * (2 * drawn[:, 1:] - 1)  # of the centre, the image is 2 wide
        sides = torch.eye(2, dtype=x.dtype, device=x.device).expand(len(x), 2, 2)
        where = torch.cat([sides, -shift], 2) / scale
        grid = affine_grid(where, list(x.shape), align_corners=False)
        return grid_sample(x, grid, align_corners=False).clamp(0, 1)


def _gradient(u: Tensor) -> Tensor:
    """Forward differences down and to the right, 0 at the far edge."""
    return torch.stack([pad(u.diff(dim=-2), (0, 0, 0, 1)), pad(u.diff(dim=-1), (0, 1, 0, 0))])


def _divergence(p: Tensor) -> Tensor:
    """Undo `_gradient` in the sense of its negative adjoint."""
    down, right = p[0, ..., :-1, :], p[1, ..., :-1]
    return (
        pad(down, (0, 0, 0, 1))
        - pad(down, (0, 0, 1, 0))
        + pad(right, (0, 1, 0, 0))
        - pad(right, (1, 0, 0, 0))
    )


FILTERS: dict[str, Callable[[], nn.Module]] = {
    "median": Median,
    "gaussian": Gaussian,
    "jpeg": Jpeg,
    "bits": Bits,
    "tv": TotalVariation,
    "resize": Resize,
}
