"""What an attack's own run tells of a network that hides: named in all results."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from tests.test_verdict import quantised, scaled

FEW = 16


class Stepped(nn.Module):
    """The same answers, almost, in steps: the slope is 0 wherever there is one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return (self.model(x) * 1000).round() / 1000


class Drawing(Stepped):
    """Sees other noise in every pass."""

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 0.1 * torch.randn_like(x))


def changed(kind: Callable[[nn.Module], nn.Module]) -> Callable[[Subject], Subject]:
    def made(subject: Subject) -> Subject:
        given = {"mean": subject.mean, "std": subject.std, "name": kind.__name__}
        return Subject(kind(subject.model), subject.images, subject.labels, **given)

    return made


DROWNS = "the cross-entropy of"
HIDING: dict[str, tuple[Callable[[Subject], Subject], str]] = {
    "times 30": (lambda it: scaled(it, 30), DROWNS),
    "times 1000": (lambda it: scaled(it, 1000), DROWNS),
    "stepped": (changed(Stepped), "the gradient of"),
    "quantised": (quantised, "the gradient of"),
    "drawing": (changed(Drawing), "the network draws, and another draw undoes the attack on"),
}


@pytest.fixture(scope="module")
def plain() -> Subject:
    return rw.demo("resnet20")[:FEW]


@pytest.mark.parametrize("name", HIDING)
def test_what_hides_is_named_by_every_result(plain: Subject, name: str) -> None:
    change, words = HIDING[name]
    subject = change(plain)
    knobs = {"epsilon": 2 / 255, "steps": 3}
    attacked = rw.attack(subject, **knobs)
    assert words in attacked.notes[-1]
    assert attacked.notes[-1].startswith("hidden: ")
    spread = rw.propagation(subject, layers="blocks", images=FEW, **knobs)
    assert spread.doubt.startswith(f"hidden: {words}")
    assert f"Verdict: {spread.doubt}." in str(spread)
    assert spread.doubt in spread.notes
    found = rw.smallest_epsilon(subject, images=FEW, limit=2 / 255, steps=3)
    assert found.doubt.startswith(f"hidden: {words}")
    assert str(found).endswith(f"Verdict: {found.doubt}.")


@pytest.mark.parametrize("name", ["resnet20", "resnet20-robust", "vgg"])
def test_who_hides_nothing_is_not_accused(name: str) -> None:
    subject = rw.demo(name)[:FEW]
    knobs = {"epsilon": 2 / 255, "steps": 3}
    assert rw.attack(subject, **knobs).notes == subject.notes
    assert rw.propagation(subject, layers="blocks", images=FEW, **knobs).doubt == ""
    found = rw.smallest_epsilon(subject, images=FEW, limit=2 / 255, steps=3)
    assert found.doubt == ""
    assert "Verdict" not in str(found)


def test_the_number_of_a_scaled_copy_is_mended_and_what_was_climbed_is_told(plain: Subject) -> None:
    copy = scaled(plain, 30)
    knobs = {"images": range(10), "steps": 5}
    usual, mended = (rw.smallest_epsilon(it, **knobs) for it in (plain, copy))
    assert abs(np.log(mended.median / usual.median)) < np.log(1.1)
    assert mended.doubt.endswith("; its logarithm was climbed instead")
    misled = rw.smallest_epsilon(copy, **knobs, loss="cross-entropy", limit=2 / 255)
    assert misled.doubt.endswith('all the same: loss="auto" climbs its logarithm')
    assert misled.median > 2 * usual.median
    by_margin = rw.smallest_epsilon(copy, **knobs, loss="margin", limit=2 / 255)
    assert by_margin.doubt.endswith("; the margin was climbed instead")


def test_robustness_names_a_copy_that_is_scaled_or_draws(plain: Subject) -> None:
    knobs = {"attacks": ("bim",), "epsilons": (1 / 255, 2 / 255), "steps": 3, "thorough": False}
    for name, fired in (
        ("times 1000", "the cross-entropy drowns"),
        ("drawing", "another draw undoes the attack"),
    ):
        change, words = HIDING[name]
        result = rw.robustness(change(plain), images=FEW, **knobs)
        assert fired in [it.name for it in result.verdict.tests if it.fired]
        assert result.doubt == str(result.verdict)
        assert words in result.doubt
    honest = rw.robustness(plain, images=FEW, **knobs)
    assert honest.doubt == ""
    assert not {"the cross-entropy drowns", "another draw undoes the attack"} & set(
        (*honest.verdict.names, *honest.verdict.missing)
    )


def test_at_epsilon_1_nothing_may_be_left() -> None:
    class Deaf(nn.Module):
        """Answers by what no small step changes."""

        def forward(self, x: Tensor) -> Tensor:
            rough = 1 + 1e-9 * x.mean((1, 2, 3))
            return torch.stack([rough, -rough], 1)

    subject = Subject(Deaf(), torch.rand(12, 1, 4, 4), [0] * 12)
    found = rw.smallest_epsilon(subject, limit=1.0, steps=2)
    assert "12 of 12 images withstand even epsilon 1" in found.doubt


def test_a_grid_has_a_column_for_it(plain: Subject) -> None:
    copy = scaled(plain, 30)
    frame = rw.grid(
        rw.propagation,
        [plain, copy],
        attack=["fgsm"],
        images=FEW,
        layers="blocks",
        table=lambda result: result.outcomes(),
    )
    assert frame.columns.tolist()[-2:] == ["doubt", "error"]
    told = frame.groupby("subject").doubt.first()
    assert told[plain.name] == ""
    assert told[copy.name].startswith(f"hidden: {DROWNS}")


def test_a_draw_of_ones_own_is_no_success(plain: Subject) -> None:
    """Of images broken in the draw that was attacked, robustness counts those broken in another."""
    subject = changed(Drawing)(plain)
    own = rw.propagation(subject, epsilon=2 / 255, steps=3, images=FEW, layers="blocks")
    result = rw.robustness(
        subject, attacks=("bim",), epsilons=(2 / 255,), steps=3, images=FEW, thorough=False
    )
    assert result.accuracy()[1] > own.accuracy("adversarial")


def test_robustness_says_what_was_climbed_where_the_loss_drowns(plain: Subject) -> None:
    few: dict[str, Any] = {"epsilons": (8 / 255,), "images": FEW, "steps": 4, "thorough": False}
    drowned = rw.robustness(scaled(plain, 1000), attacks=("fgsm", "pgd:margin"), **few)
    assert str(drowned).endswith(
        "its logarithm was climbed instead; the margin was climbed instead."
    )
    asked = rw.robustness(scaled(plain, 1000), attacks="pgd:cross-entropy", **few)
    assert 'it was climbed all the same: "pgd" alone climbs its logarithm.' in str(asked)
    assert "climbed" not in str(rw.robustness(plain, attacks="fgsm", **few))
