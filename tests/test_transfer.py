"""What is made on one network, shown to another: shares by hand, and what cannot meet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets.analyses.transfer.compute import Item, changed, setup
from reliab_widgets.core.wording import percent
from tests.models import flat_images
from tests.test_result import assert_same

MEANS = (0.40, 0.44, 0.47, 0.49, 0.53, 0.56)
LABELS = (0, 0, 0, 0, 1, 1)
CLASSES = ("dark", "bright")


class Threshold(nn.Module):
    """Bright, class 1, is what has a mean above a threshold; `sign` -1 says the opposite."""

    def __init__(self, at: float = 0.5, sign: float = 1.0, flipped: bool = False) -> None:
        super().__init__()
        self.at, self.sign, self.flipped = at, sign, flipped
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.conv.weight = nn.Parameter(torch.ones(1, 1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        over = self.sign * 8 * (self.conv(images).mean((1, 2, 3)) - self.at)
        pair = torch.stack([-over, over], 1)
        return pair.flip(1) if self.flipped else pair


def net(name: str, *, classes: Any = CLASSES, labels: Any = LABELS, **model: Any) -> rw.Subject:
    images = flat_images(list(MEANS))
    made = rw.Subject(Threshold(**model).eval(), images, list(labels), classes=classes, name=name)
    return made.replaced(code=f"{name}()")


def tried(*others: rw.Subject, **knobs: Any) -> rw.Transfer:
    few: dict[str, Any] = {"attack": "fgsm", "epsilons": (0.02, 0.05)}
    found = rw.transfer(net("half"), others=others, **(few | knobs))
    assert isinstance(found, rw.Transfer)
    return found


# --- by hand ------------------------------------------------------------------------------------


def test_shares_are_those_of_the_images_that_a_victim_gets_right() -> None:
    found = tried(net("low", at=0.45))
    # "low" takes 0.47 and 0.49 for bright: it is right of four.
    assert found.right.sum(1).tolist() == [6, 4]
    # Away from their labels: by 0.02, 0.49 becomes 0.51; by 0.05, 0.47 becomes 0.52, 0.53 0.48.
    small, large = found.share("alone", 0), found.share("alone", 1)
    np.testing.assert_allclose(small[:, 0], 1 / 6)
    np.testing.assert_allclose(small[:, 1], 1 / 4)  # 0.44 becomes 0.46
    np.testing.assert_allclose(large[:, 0], 3 / 6)
    np.testing.assert_allclose(large[0, 0], large[1, 0])
    led = found.fooled()[0, 1, 0]
    assert [MEANS[k] for k in np.flatnonzero(led)] == [0.47, 0.49, 0.53]
    assert found.share("noise", 1)[0] == 0  # random signs leave the mean nearly where it is


def test_what_is_made_on_the_opposite_leads_back() -> None:
    found = tried(net("odd", sign=-1.0))
    assert found.right.sum(1).tolist() == [6, 0]
    share = found.share("alone", 1)
    assert share[0, 0] == 0.5
    assert share[1, 0] == 0  # towards what it is already
    assert np.isnan(share[:, 1]).all()  # nobody knows where no image was right
    assert "nan" not in str(found)
    assert found.means("alone", 1) == (0.5, 0.0)


def test_classes_in_another_order_are_matched_by_name() -> None:
    found = tried(net("flipped", flipped=True, classes=CLASSES[::-1]), net("plain"))
    assert (found.clean[1] == found.clean[2]).all()
    share = found.share("alone", 1)
    assert (share == share[0, 0]).all()


def test_an_ensemble_leaves_its_victim_out_and_is_at_home_with_all_others() -> None:
    found = tried(net("a", at=0.46), net("b", at=0.52), ensemble="logits", ghost=0.3)
    assert found.kinds == ("alone", "ghosts", "ensemble", "ensemble of ghosts")
    assert found.home("ensemble").tolist() == (~np.eye(3, dtype=bool)).tolist()
    assert found.sources[6:9] == ("all but half", "all but a", "all but b")
    assert found.answers.shape == (4, 3, 2, 3, 6)


def test_with_a_target_only_that_answer_counts() -> None:
    found = tried(net("low", at=0.45), target="bright")
    assert found.target == 1
    assert found.truth.tolist() == [0, 0, 0, 0]  # what is bright already is left out
    assert found.share("alone", 1)[0, 0] == 2 / 4
    assert "lead to bright" in str(found)


def test_a_difference_is_over_the_same_images() -> None:
    found = tried(net("odd", sign=-1.0))
    apart, low, high = found.difference("half", "odd", "half")
    assert apart == 0.5
    assert np.isnan([low, high]).all()  # six images are too few
    with pytest.raises(ValueError, match=r"^there is no such source: got 'old'\. The nearest: odd"):
        found.difference("old", "half", "half")
    with pytest.raises(ValueError, match=r"^there is no such victim: got .nobody"):
        found.difference("half", "half", "nobody")


def test_twin_networks_differ_by_nothing_and_the_interval_is_closed() -> None:
    images, labels = flat_images([0.4, 0.49] * 8), [0] * 16
    made = net("one").with_images(images, labels)
    found = rw.transfer(made, others=net("two"), attack="fgsm", epsilons=(0.02,))
    assert found.difference("one", "two", "two") == (0, 0, 0)
    assert found.gain("alone", 0) == (0, 0, 0)
    assert found.share("alone", 0)[0, 1] == 0.5


def test_another_that_fools_it_more_than_its_own_attack_is_a_doubt() -> None:
    class Misled(Threshold):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images - 2 * (images - images.detach()))  # a slope turned round

    images, labels = flat_images([0.47, 0.48] * 8), [0] * 16
    hides = rw.Subject(Misled(), images, labels, classes=CLASSES, name="hides")
    plain = net("plain").with_images(images, labels)
    found = rw.transfer(hides, others=plain, attack="bim", epsilons=(0.1,))
    assert found.doubt == "hidden: what is made on plain fools hides more than its own attack"
    assert not tried(net("low", at=0.45)).doubt


# --- the images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ["fgsm", "mim", "pgd-l2", "square"])
@pytest.mark.parametrize("kind", ["alone", "ghosts", "ensemble"])
def test_no_change_leaves_its_ball(attack: str, kind: str) -> None:
    others = (net("a", at=0.46), net("b", at=0.52))
    ghost = 0.0 if attack == "square" else 0.3
    made = setup(
        net("half"),
        others=others,
        attack=attack,
        epsilon=0.05,
        steps=3,
        target="any",
        ensemble="losses",
        ghost=ghost,
        ghosts=None,
        seed=0,
    )
    images = changed(made, Item(kind, 1, 0.05, (0, 3, 5)))
    away = (images - made.subject.images[[0, 3, 5]]).double()
    size = away.flatten(1).norm(dim=1) if "l2" in attack else away.abs().flatten(1).amax(1)
    assert (size <= 0.05).all() and size.max() > 0.04
    assert images.min() >= 0 and images.max() <= 1


def test_no_victim_is_ever_eroded_and_strength_0_is_the_attack_itself() -> None:
    half, other = net("half"), net("low", at=0.45)
    before = [it.network.logits(it.images) for it in (half, other)]
    eroded = rw.transfer(half, others=other, attack="mim", epsilons=(0.05,), ghost=0.5)
    for it, logits in zip((half, other), before, strict=True):
        assert torch.equal(it.network.logits(it.images), logits)
    plain = rw.transfer(half, others=other, attack="mim", epsilons=(0.05,))
    np.testing.assert_array_equal(eroded.answers[0], plain.answers[0])
    np.testing.assert_array_equal(eroded.clean, plain.clean)
    attacked = rw.attack(half, attack="mim", epsilon=0.05)
    np.testing.assert_array_equal(plain.answers[0, 0, 0, 0], attacked.logits.argmax(1))


def test_the_same_in_one_go_and_in_threads() -> None:
    with ThreadPoolExecutor(3) as executor:
        several = tried(net("low", at=0.45), ghost=0.3, executor=executor)
    assert_same(several, tried(net("low", at=0.45), ghost=0.3))


# --- who cannot meet ----------------------------------------------------------------------------


class Blocked(Threshold):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.detach())


def blocked(name: str) -> rw.Subject:
    return rw.Subject(Blocked(), flat_images(list(MEANS)), LABELS, classes=CLASSES, name=name)


def larger() -> rw.Subject:
    images = flat_images(list(MEANS), size=9)
    return rw.Subject(Threshold(), images, LABELS, classes=CLASSES, name="larger")


def recorded() -> rw.Subject:
    return rw.Subject.from_logits(np.eye(2)[list(LABELS)] * 3, LABELS, classes=CLASSES)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "other classes": (
        lambda: tried(net("cats", classes=("cat", "dog"))),
        r"^cats has other classes: class 0 is 'cat', not 'dark'\. Pass others= with networks for ",
    ),
    "another size": (
        lambda: tried(larger()),
        r"^larger is for images of another size: 1 x 9 x 9, .* are 1 x 8 x 8\. Pass others= with",
    ),
    "one network": (lambda: tried(), r"^others has too few or too many: got 0\. Pass 1 to 9 of"),
    "a name": (
        lambda: rw.transfer(net("half"), others=["vgg"]),  # type: ignore[list-item]
        r"^others is not a Subject: got str\. Pass others=rw\.Subject\(model, images, labels\)",
    ),
    "the same name": (
        lambda: tried(net("half", at=0.4)),
        r"^two of the networks are called alike: got 'half'\. Pass others= that are called other",
    ),
    "no gradients": (
        lambda: tried(blocked("wall")),
        r"^the gradients of wall are blocked: .*\. Leave it out of others=, or pass attack=\"squ",
    ),
    "no gradients at home": (
        lambda: rw.transfer(blocked("wall"), others=net("half")),
        r"^gradients are blocked inside Blocked\.forward: .* attack=\"square\" asks for answers",
    ),
    "recorded": (
        lambda: tried(recorded()),
        r"is no network to attack: it has recorded logits only\. Leave it out of others=",
    ),
    "an ensemble of one": (
        lambda: tried(net("low"), ensemble="logits"),
        r"^an ensemble needs two networks beside its victim: got 1 beside half\. Pass two or more",
    ),
    "ghosts without slopes": (
        lambda: tried(net("low"), attack="square", ghost=0.1),
        r"^ghosts act where slopes are asked for: got ghost=0\.1 with attack='square'\. Pass ghost",
    ),
    "no ball": (
        lambda: tried(net("low"), attack="deepfool"),
        r"^there is no such attack: got 'deepfool'\.",
    ),
    "no such class": (lambda: tried(net("low"), target="cat"), r"target.*got 'cat'.*bright"),
    "a huge size": (
        lambda: tried(net("low"), epsilons=(2,)),
        r"^epsilon is more than the range of a",
    ),
}


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_meet_is_refused_with_help(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_without_gradients_what_asks_for_answers_works() -> None:
    found = tried(blocked("wall"), attack="square", steps=5)
    assert found.networks == ("half", "wall")


def test_by_default_it_is_tried_behind_a_median_filter() -> None:
    found = rw.transfer(net("half"), attack="fgsm", epsilons=(0.05,))
    assert found.networks == ("half", "half, behind median")
    assert found.notes and "median" in found.notes[0]


# --- what is said -------------------------------------------------------------------------------


def test_the_finding_has_its_control_and_what_works_at_home() -> None:
    found = tried(net("low", at=0.45))
    words = str(found)
    assert words.startswith("half: Changes of 12.8/255 made on one network fool ")
    control = percent(float(found.share("noise", 1).mean()), 0)
    assert "50 % of the images elsewhere, of 50 % at home" in words
    assert f"Control: random noise of the same size, {control} (6 images)." in words
    pair = found.reading(cell=(1, 0), epsilon=0.02)
    assert pair == (
        "Made on low, changes of 5.1/255 fool half on 17 % of the 6 images that it gets right, and "
        "on 17 % where they are made on half itself. Control: random noise of the same size, 0 %."
    )
    weak = tried(net("low", at=0.45), epsilons=(0.001,))
    assert "at home the attack is weak" in str(weak)


def test_the_table_has_a_row_for_each_source_size_victim_and_image() -> None:
    found = tried(net("low", at=0.45))
    table = found.to_frame()
    assert len(table) == (1 + 2) * 2 * 2 * 6  # noise and two sources
    share = table[table.fooled & (table.victim == "half")].groupby(["source", "epsilon"]).size()
    assert share["half", 0.05] == 3


def test_the_picture_says_every_number_and_marks_who_is_at_home() -> None:
    found = tried(net("low", at=0.45))
    for views in ({}, {"narrow": True}, {"epsilon": 0.02, "cell": (1, 1)}):
        figure = found.plot(pinned=found, **views)
        titles = figure._drawing.titles  # type: ignore[attr-defined]
        assert len([it for it in titles if it.startswith("cell:")]) == 4
        assert "(white-box)" in titles["cell:0,0"] and "(white-box)" not in titles["cell:0,1"]
        assert "handle:epsilon" in titles
    with pytest.raises(ValueError, match="there is no such kind: got 'ghosts'"):
        found.plot(kind="ghosts")


def test_a_picture_shrinks_again_for_fewer_networks() -> None:
    many = tried(*(net(f"n{k}", at=0.4 + k / 100) for k in range(5)))
    figure = many.plot()
    few = tried(net("low", at=0.45))
    few.draw(figure)
    drawing = figure._drawing  # type: ignore[attr-defined]
    assert sum(it.number.get_visible() for it in drawing.cells) == 2 * 3
    assert sum(it.get_visible() for it in drawing.rows) == 3
