"""TransferWidget: numbers that are clicked, a ring that computes nothing, images that travel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import reliab_widgets as rw
from reliab_widgets.analyses.transfer.widget import TransferWidget
from tests.test_transfer import net

LONG = 60


@pytest.fixture
def widget() -> Iterator[TransferWidget]:
    others = [net("low", at=0.45), net("high", at=0.52)]
    made = TransferWidget(net("half"), others, preset={"attack": "fgsm"})
    made.wait(LONG)
    yield made
    made.close()


def panel(widget: TransferWidget) -> Any:
    (found,) = (it for it in widget.page.panels if it.name == "images of this pair")
    found.show(widget.work.result)
    return found


def test_it_opens_on_one_idea(widget: TransferWidget) -> None:
    assert len(widget.front) <= 6
    assert "at home" in widget.work.said and "Control: random noise" in widget.work.said
    texts = [getattr(chip, "text", chip) for chip in widget.chips(widget.result)]
    assert texts == ["half", "6 images", "shows: FGSM, 3 networks"]
    assert widget.table(widget.result).shape == (4, 3)
    assert widget.controls["kind"].disabled and not widget.controls["ensemble"].disabled


def test_a_click_on_a_number_and_the_ring_compute_nothing(widget: TransferWidget) -> None:
    before = widget.result
    widget.page.choose("cell", "1,0")
    widget.page.drag("epsilon", 4 / 255)  # as a browser tells it
    assert widget.wait(LONG) is before
    assert "Made on low, changes of 4/255 fool half on" in widget.work.said
    assert widget.chosen(before) == {"cell": "1,0", "epsilon": f"{4 / 255:.6g}"}
    assert "cell=(1, 0)" in widget.code()


def test_the_images_of_a_pair_are_shown_as_they_are_and_changed(widget: TransferWidget) -> None:
    widget.page.choose("cell", "1,0")
    result = widget.wait(LONG)
    shown = panel(widget)
    led = result.fooled()[1, 2, 0]
    assert f"Made on low, shown to half: {led.sum()} of 6 images fooled" in shown.said.value
    first = int(result.index[led][0])
    made = shown._changed(result, np.array([0]), 2, "alone", (1, 0))[0]
    assert made.title == f"half: {result.classes[result.answers[0, 1, 2, 0, 0]]}"
    away = torch.from_numpy(made.image) - widget.subject.images[int(result.index[0])]
    assert 0.99 * 8 / 255 < away.abs().max() <= 8 / 255
    (sent,) = widget.sends(result)
    assert sent.kind == "images" and sent.value[1][0] == first


def test_what_is_asked_for_is_seen(widget: TransferWidget) -> None:
    widget.set(ghost=0.1)
    assert widget.wait(LONG).kinds == ("alone", "ghosts")
    assert widget.views()["kind"] == "ghosts"
    panel(widget)
    widget.set(ensemble="losses")
    assert widget.wait(LONG).kinds[-1] == "ensemble of ghosts"
    assert widget.views()["kind"] == "ensemble"
    panel(widget)
    widget.controls["attack"].value = "square"  # as by hand
    widget.set(steps=2)
    assert widget.wait(LONG).kinds == ("alone", "ensemble")
    assert widget.controls["ghost"].disabled


def test_alone_it_is_tried_behind_a_median_filter_and_needs_no_ensemble() -> None:
    made = TransferWidget(net("half"), preset={"attack": "fgsm"})
    assert made.wait(LONG).networks == ("half", "half, behind median")
    assert made.controls["ensemble"].disabled
    assert "Note: no other network was named" in made.sentence(made.result)
    made.close()


def test_others_are_looked_at_before_anything_is_made() -> None:
    with pytest.raises(TypeError, match=r"^others is not a Subject: got str"):
        TransferWidget(net("half"), ["vgg"])  # type: ignore[list-item]


def test_it_follows_the_network_of_a_workbench() -> None:
    bench = rw.widgets.Workbench(net("half"), tab="transfer")
    found = bench.show("transfer").wait(LONG)
    assert found.networks[0] == "half"
    bench.close()
