"""Universal perturbations: what the pattern must be, what its controls are, what is counted."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reliab_widgets.ops.attacks.universal import grown, length, like, shuffled

SIGNS = torch.tensor([1.0, -1, -1, 1, 1, 1, -1, 1, -1]).view(1, 3, 3)


class Linear(nn.Module):
    """Two classes: the second is answered where the sum of pixels times SIGNS is above 0."""

    def forward(self, images: Tensor) -> Tensor:
        slope = (images * SIGNS).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(slope), slope], 1)


def at(margins: Tensor) -> Tensor:
    """Images that `Linear` answers by these logits."""
    return 0.5 + (margins.view(-1, 1, 1, 1) - 0.5) * SIGNS / 9  # the signs sum to 1


def below(most: float, n: int = 32) -> Tensor:
    """Images answered by the first class, by margins from nearly 0 up to ``most``."""
    return at(-torch.linspace(most / n, most, n))


@pytest.mark.parametrize(("norm", "radius"), [("Linf", 0.1), ("L2", 0.3)])
def test_of_a_linear_network_it_is_the_pattern_known_by_hand(norm: str, radius: float) -> None:
    """All must go up: the best pattern is the sign of the weights, in both norms."""
    reach = 9 * radius if norm == "Linf" else 3 * radius  # what a whole pattern adds to the margin
    images = below(0.95 * reach)
    answers = Linear()(images).argmax(1)
    assert not answers.any()
    *_, pattern = grown(Linear(), images, answers, norm=norm, radius=radius, passes=9)
    assert torch.equal(pattern.sign(), SIGNS)
    assert torch.allclose(pattern.abs(), pattern.abs()[0, 0, 0])
    assert 0.95 * radius <= length(pattern, norm) <= radius * (1 + 1e-6)
    assert Linear()(images + pattern).argmax(1).all()


@pytest.mark.parametrize(("norm", "radius"), [("Linf", 0.02), ("L2", 0.1)])
def test_it_never_leaves_its_ball(norm: str, radius: float) -> None:
    """Half of the images are further away than any pattern of that size leads."""
    images = below(2 * (9 * radius if norm == "Linf" else 3 * radius))
    answers = Linear()(images).argmax(1)
    sizes = [
        length(it, norm)
        for it in grown(Linear(), images, answers, norm=norm, radius=radius, passes=9)
    ]
    assert len(sizes) == 9 * len(images)
    assert 0.99 * radius < sizes[-1]
    assert max(sizes) <= radius * (1 + 1e-6)


def test_with_a_target_all_are_led_to_it() -> None:
    images = at(torch.linspace(-0.5, 0.5, 32))
    answers = Linear()(images).argmax(1)
    assert sorted(answers.tolist()) == [0] * 16 + [1] * 16
    given: dict[str, Any] = {"norm": "Linf", "radius": 0.1, "passes": 5}
    for target in (0, 1):
        *_, pattern = grown(Linear(), images, answers, target=target, **given)
        assert (Linear()(images + pattern).argmax(1) == target).all()


def test_an_image_takes_two_passes_at_most() -> None:
    passes: list[int] = []

    def model(images: Tensor) -> Tensor:
        passes.append(len(images))
        return Linear()(images)

    images = below(0.9)
    answers = Linear()(images).argmax(1)
    list(grown(model, images, answers, norm="Linf", radius=0.1, passes=3))
    assert set(passes) == {1}
    assert len(passes) <= 2 * 3 * len(images)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_controls_have_the_norm_of_the_pattern(norm: str) -> None:
    pattern = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    for control in (like(pattern, norm), shuffled(pattern)):
        assert length(control, norm) == pytest.approx(length(pattern, norm), rel=1e-6)
        assert not torch.equal(control, pattern)


def test_a_shuffled_copy_has_the_same_pixels() -> None:
    pattern = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    mine, other = (sorted(it.flatten(1).T.tolist()) for it in (pattern, shuffled(pattern)))
    assert mine == other


def test_its_seed_repeats_it_and_another_does_not() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 5)).eval()
    images = torch.rand(30, 3, 3, 3)
    answers = model(images).argmax(1)

    def last(seed: int) -> Tensor:
        *_, pattern = grown(model, images, answers, norm="L2", radius=0.3, seed=seed)
        return pattern

    assert torch.equal(last(0), last(0))
    assert not torch.equal(last(0), last(1))
    assert torch.equal(like(last(0), "L2", 3), like(last(0), "L2", 3))
    assert not torch.equal(shuffled(last(0), 3), shuffled(last(0), 4))
