"""RobustnessWidget: a curve that grows, a ring for the size, images that broke, proofs."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import reliab_widgets as rw
from reliab_widgets.analyses.robustness import sentences
from reliab_widgets.analyses.robustness.panels import RAN
from reliab_widgets.analyses.robustness.widget import RobustnessWidget
from reliab_widgets.ops.attacks.verdict import TESTS
from reliab_widgets.ui.words import Chip
from tests.test_robustness import Mean, greys

LONG = 60
SOME = tuple(torch.linspace(0.42, 0.495, 12).tolist())
QUICK = {"attacks": ("fgsm",)}


def twelve(name: str = "mean", **model: Any) -> rw.Subject:
    made = greys(*SOME, labels=(0,) * 12, model=Mean(**model))
    return made.with_images(made.images, name=name)


@pytest.fixture
def widget() -> Iterator[RobustnessWidget]:
    made = RobustnessWidget(twelve(), preset=QUICK)
    made.wait(LONG)
    yield made
    made.close()


def panel(widget: RobustnessWidget, name: str) -> Any:
    (found,) = (it for it in widget.page.panels if it.name == name)
    found.show(widget.work.result)
    return found


def test_it_opens_on_one_idea(widget: RobustnessWidget) -> None:
    assert len(widget.front) <= 6
    assert "FGSM leaves" in widget.work.said
    assert "Control: random noise of the same size" in widget.work.said
    texts = [getattr(chip, "text", chip) for chip in widget.chips(widget.result)]
    assert texts[:3] == ["mean", "12 images", "shows: FGSM, L∞"]
    assert not widget.state()["thorough"]


def test_the_ring_goes_from_size_to_size_and_computes_nothing(widget: RobustnessWidget) -> None:
    before, said = widget.result, widget.work.said
    widget.page.drag("epsilon", 16 / 255)  # as a browser tells it
    widget.wait(LONG)
    assert widget.result is before
    assert widget.work.said != said
    assert "16/255" in widget.work.said
    assert widget.chosen(before)["epsilon"] == f"{16 / 255:.6g}"


def test_the_images_that_broke_at_the_size_are_shown_and_tell_their_story(
    widget: RobustnessWidget,
) -> None:
    widget.page.choose("epsilon", f"{16 / 255:.6g}")
    result = widget.wait(LONG)
    broken = panel(widget, "images that broke here")
    count = int(result.part("broken", 6).sum())
    assert f"broken at 16/255: {count} images" in broken.said.value
    image = int(result.index[result.part("broken", 6)][0])
    broken.choose(str(image))
    widget.wait(LONG)
    panel(widget, "images that broke here")
    assert f"Image {image}, 0. FGSM: broken at" in broken._story.value
    (sent,) = widget.sends(result)
    assert sent.kind == "images"
    assert len(sent.value[1]) == count
    widget.page.choose("part", "unknown")
    widget.wait(LONG)
    panel(widget, "images that broke here")
    assert f"still right at 16/255: {12 - count} images" in broken.said.value


def test_strongest_of_all_tests_itself(widget: RobustnessWidget) -> None:
    widget.controls["attacks"].value = None  # as by hand
    widget.set(steps=3, queries=10)
    result = widget.wait(LONG)
    assert widget.controls["attacks"].label == "Strongest of all"
    assert widget.state()["thorough"]
    assert len(result.attacks) == 5 and len(result.verdict.names) == 8
    chips = widget.chips(result)
    assert chips[-1] == Chip("verdict: nothing hidden found (8 tests)", "verdict")
    table = panel(widget, "verdict").body.value
    assert table.count("<tr>") == 1 + 8
    bars = panel(widget, "attacks")
    assert "APGD on the margin" in bars.stage.live.svg or bars.stage is not None
    bars.choose("attack", "pgd")
    widget.wait(LONG)
    assert widget.views()["attack"] == "pgd"
    widget.controls["attacks"].value = ("pgd",)
    assert not widget.state()["thorough"]


def test_no_more_images_are_offered_than_there_are() -> None:
    made = RobustnessWidget(twelve(), preset={"attacks": ("fgsm",)})
    made.subject = twelve()[:5]
    made.examined()
    assert [count for _, count in made.controls["images"].options] == [5]
    made.close()


def test_what_hides_is_a_warning() -> None:
    made = RobustnessWidget(twelve(levels=4), preset={"attacks": ("pgd",), "steps": 2})
    chip = made.chips(made.wait(LONG))[-1]
    assert chip.kind == "warning" and chip.text.startswith("verdict: hidden (")
    made.close()


def test_a_proof_is_in_l2_and_another_norm_takes_it_away(widget: RobustnessWidget) -> None:
    widget.set(sigma=0.12, draws=100)
    result = widget.wait(LONG)
    assert result.norm == "L2" and result.certificate is not None
    assert "smoothed by noise" in widget.work.said
    assert [it for it in widget.table(result).columns if "proved" in it]
    widget.set(norm="Linf")
    assert widget.state()["sigma"] is None
    assert widget.controls["sigma"].label == "no proof"
    assert widget.wait(LONG).certificate is None


def test_an_attack_that_a_norm_has_not_gives_way(widget: RobustnessWidget) -> None:
    widget.set(attacks=("square",), queries=10)
    widget.controls["norm"].value = "L2"
    assert widget.state()["attacks"] == ("pgd",)
    offered = [value for _, value in widget.controls["attacks"].options]
    assert ("simba",) in offered and ("square",) not in offered


def test_without_gradients_only_black_boxes_are_offered() -> None:
    class Blocked(Mean):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach())

    subject = greys(*SOME, labels=(0,) * 12, model=Blocked())
    made = RobustnessWidget(subject, preset={"queries": 10})
    offered = [value for _, value in made.controls["attacks"].options]
    assert offered == [("square",), None]
    made.set(attacks=None)
    assert "Note: gradients are blocked" in made.sentence(made.wait(LONG))
    made.close()


def test_an_attack_of_the_users_is_called_by_its_name() -> None:
    def darker(model: Any, images: Tensor, labels: Tensor) -> Tensor:
        return (images + 0.05).clamp(0, 1)

    made = RobustnessWidget(twelve(), preset={"attacks": (darker,)})
    made.wait(LONG)
    assert "darker leaves" in made.work.said
    assert made.controls["attacks"].label == "darker"
    made.close()


def test_cancelled_the_curve_that_is_there_stays() -> None:
    made = RobustnessWidget(twelve(), preset=QUICK)
    made.wait(LONG)

    def stop() -> None:
        if made.work.result.attacks == ("bim",) and made.work.shown.is_partial:
            made.cancel()

    made.work.heard.append(stop)
    made.set(attacks=("bim",), steps=40)
    made.wait(LONG)
    assert made.work.result.attacks == ("bim",)
    assert made.work.result.accuracy()[0] == 1
    assert "cancelled: shows BIM" in made.page.chips.value
    made.close()


def test_another_network_stands_behind() -> None:
    made = RobustnessWidget(twelve(), preset=QUICK, against=twelve("other", sure=2.0))
    made.wait(LONG)
    assert "Against other: " in made.work.said
    made.close()


def test_every_test_of_the_verdict_has_its_words() -> None:
    assert set(TESTS) == set(RAN) == set(sentences.ASSURED)
