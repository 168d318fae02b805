"""Ghosts and ensembles: what an attack climbs, by hand, and never what a victim answers."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets.core.network import Network
from reliab_widgets.ops.attacks.attack import Attack
from reliab_widgets.ops.attacks.balls import Cube
from reliab_widgets.ops.attacks.ghosts import Eroding, Ghosts, shortcuts
from reliab_widgets.ops.attacks.sources import Member, OfLosses, Source
from reliab_widgets.ops.attacks.task import Task

IMAGES = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1])


class Residual(nn.Module):
    """Logits are the means of twice the image, plus the image times `here`, channel by channel."""

    def __init__(self, here: bool = True) -> None:
        super().__init__()
        self.here = here
        self.conv = nn.Conv2d(2, 2, 1, bias=False)
        self.conv.weight = nn.Parameter(2 * torch.eye(2).view(2, 2, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        made = self.conv(images)
        return (made + images if self.here else made).mean((2, 3))


class Counting(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.passes = inner, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return self.inner(images)


def network(model: nn.Module) -> Network:
    return Network(model.eval(), IMAGES)


def eroded(made: Network, strength: float, seed: int = 0) -> Tensor:
    places = shortcuts(made, IMAGES[:1])
    with Eroding(strength, places, np.random.default_rng(seed)):
        return made.logits(IMAGES)


def test_each_channel_of_a_shortcut_is_multiplied_by_one_number() -> None:
    drawn = torch.from_numpy(np.random.default_rng(7).uniform(0.7, 1.3, 2)).float()
    mean = IMAGES.mean((2, 3))
    torch.testing.assert_close(eroded(network(Residual()), 0.3, 7), 2 * mean + drawn * mean)


def test_without_shortcuts_channels_are_dropped_behind_convolutions() -> None:
    made = network(Residual(here=False))
    assert shortcuts(made, IMAGES[:1]) == ()
    kept = torch.from_numpy((np.random.default_rng(3).random(2) >= 0.5) / 0.5).float()
    torch.testing.assert_close(eroded(made, 0.5, 3), 2 * kept * IMAGES.mean((2, 3)))


def test_the_shortcut_is_the_part_with_fewer_weights() -> None:
    known = {
        name: set(shortcuts(it.network, it.images[:1]))
        for name in ("resnet20", "mobilenetv2", "vgg", "densenet", "vit")
        for it in [rw.demo(name)]
    }
    assert known == {
        "resnet20": {1},
        "mobilenetv2": {0},
        "vgg": set(),
        "densenet": set(),
        "vit": {-1, 0, 1},  # tokens and their places are no shortcut
    }


def test_what_has_neither_shortcut_nor_convolution_is_refused() -> None:
    made = Network(nn.Sequential(nn.Flatten(), nn.Linear(32, 2)).eval(), IMAGES)
    words = r"^mine has nothing that ghosts erode: it has no shortcut .*\. Pass ghost=0"
    with pytest.raises(ValueError, match=words):
        shortcuts(made, IMAGES[:1], "mine")


def test_ghosts_of_strength_0_are_the_base_attack_bit_for_bit() -> None:
    made = Member(network(Residual()))
    attack = Attack("mim", 0.1, 5)
    base = attack(made.network.logits, IMAGES, LABELS)
    for ghosts in (None, Ghosts(0)):
        found = attack(Source([made], ghosts), IMAGES, LABELS)
        assert torch.equal(found.images, base.images)
        assert torch.equal(found.trajectory, base.trajectory)


def test_ghosts_are_there_only_where_a_slope_is_asked_for() -> None:
    made = network(Residual())
    hooks = [len(it._forward_hooks) for it in made.model.modules()]
    before = made.logits(IMAGES)
    source = Source([Member(made, (), shortcuts(made, IMAGES[:1]))], Ghosts(0.4))
    found = Attack("bim", 0.1, 3)(source, IMAGES, LABELS)
    assert torch.equal(made.logits(IMAGES), before)
    assert [len(it._forward_hooks) for it in made.model.modules()] == hooks
    # What an attack says of its own images is what the network itself answers.
    assert torch.equal(found.trajectory[-1], made.logits(found.images).detach())
    assert not torch.equal(found.trajectory[0], before)


def test_ghosts_take_turns_and_cost_no_pass_more() -> None:
    passes = {}
    for count in (None, 1, 2):
        made = network(Counting(Residual()))
        counting = made.model
        assert isinstance(counting, Counting)
        source = Source([Member(made, (), (1,))], Ghosts(0.3, count))
        start, begun = IMAGES.clone().requires_grad_(), counting.passes
        seen = [source(start) for _ in range(4)]
        passes[count] = counting.passes - begun
        same = [torch.equal(seen[0], it) for it in seen]
        assert same == {None: [1, 0, 0, 0], 1: [1, 1, 1, 1], 2: [1, 0, 1, 0]}[count]
    assert set(passes.values()) == {4}


def test_an_image_has_the_same_ghosts_in_any_batch() -> None:
    made = network(Residual())
    member = Member(made, (), (1,))
    attack = Attack("bim", 0.1, 4)
    whole = attack(Source([member], Ghosts(0.4)), IMAGES, LABELS).images
    alone = attack(Source([member], Ghosts(0.4)), IMAGES[2:], LABELS[2:]).images
    assert torch.equal(whole[2:], alone)


def test_an_ensemble_climbs_the_mean_of_logits_or_of_losses() -> None:
    scales = (1.0, 4.0)
    members = [Member(network(nn.Sequential(Residual(), Scaled(it)))) for it in scales]
    logits = torch.stack([it(IMAGES) for it in members]).detach()
    together = Source(members)
    assert torch.equal(together(IMAGES).detach(), logits.mean(0))
    start = IMAGES.clone().requires_grad_()
    every = [nn.functional.cross_entropy(m(start), LABELS, reduction="none") for m in members]
    (wanted,) = torch.autograd.grad(torch.stack(every).mean(0).sum(), start)
    loss = nn.functional.cross_entropy(together(start), LABELS, reduction="sum")
    (other,) = torch.autograd.grad(loss, start)
    ball = Cube(IMAGES, torch.full((3,), 0.1, dtype=torch.float64))
    assert not torch.allclose(wanted, other)
    for kind, slope in ((OfLosses, wanted), (Source, other)):
        task = Task(kind(members), LABELS, None, torch.arange(3), ball, "cross-entropy")
        answers, _, found = task.climb(IMAGES)
        torch.testing.assert_close(found, slope)
        torch.testing.assert_close(answers, logits.mean(0))


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.scale


def test_members_that_name_classes_in_another_order_are_put_in_order() -> None:
    made = network(Residual())
    assert torch.equal(Member(made, (1, 0))(IMAGES), made.logits(IMAGES)[:, [1, 0]])
