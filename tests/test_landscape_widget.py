"""LandscapeWidget: the line turns live, the grid grows, the space decides what can be moved."""

from collections.abc import Iterator
from typing import Any

import pytest

import reliab_widgets as rw
from reliab_widgets.widgets import LandscapeWidget
from tests.test_landscape import some

LONG = 60
QUICK = {"points": 11, "steps": 2, "restarts": 1}


@pytest.fixture
def widget() -> Iterator[LandscapeWidget]:
    made = LandscapeWidget(some(n=12), preset=QUICK)
    made.wait(LONG)
    yield made
    made.close()


def test_it_opens_on_one_idea(widget: LandscapeWidget) -> None:
    assert len(widget.front or ()) <= 6
    assert "largest divergence found" in widget.work.said.lower()
    assert "lower bound" in widget.work.said
    assert [chip.text for chip in widget.chips(widget.result)[2:]] == ["shows: 11 × 11 points"]


def test_turning_the_line_computes_nothing(widget: LandscapeWidget) -> None:
    before, said = widget.result, widget.work.said
    widget.page.drag("angle", 45.0)  # as a browser tells it
    widget.wait(LONG)
    assert widget.state()["angle"] == 45
    assert widget.page.alert.layout.display == "none"
    assert widget.result is before
    assert widget.work.result.reading(**widget.views()) != said


def test_among_weights_the_loss_is_seen_and_nothing_of_images_is_moved(
    widget: LandscapeWidget,
) -> None:
    widget.set(space="weights", images=4)
    result = widget.wait(LONG)
    assert widget.state()["surface"] == "loss"
    assert widget.controls["plane"].disabled
    assert widget.controls["epsilon"].disabled
    assert result.n == 4
    assert "loss goes from" in widget.work.said
    widget.set(space="input")
    assert widget.state()["surface"] == "decision"
    assert not widget.controls["plane"].disabled


def test_the_grid_grows_before_it_is_complete() -> None:
    seen: list[Any] = []
    made = LandscapeWidget(some(n=4), preset=QUICK | {"points": 21})
    made.work.heard.append(lambda: seen.append((len(made.work.result.axis), made.work.shown)))
    made.wait(LONG)
    made.set(index=2).wait(LONG)
    made.close()
    mine = [count for count, shown in seen if shown.result.image == 2]
    assert mine[0] == 11
    assert mine[-1] == 21
    assert not made.work.shown.is_partial


def test_the_steepest_images_lead_to_their_surroundings(widget: LandscapeWidget) -> None:
    widget.set(images=3)
    result = widget.wait(LONG)
    (panel,) = widget.page.panels
    panel.show(result)
    assert "Largest divergence found within ±8/255" in panel.said.value
    assert "1–3 of 3" in panel.said.value
    wanted = next(int(it) for it in result.index if it != result.image)
    panel.choose(str(wanted))
    assert widget.wait(LONG).image == wanted


def test_another_network_stands_behind() -> None:
    made = LandscapeWidget(some(n=4), preset=QUICK, against=rw.demo("resnet20-robust"))
    made.wait(LONG)
    assert "Against resnet20-robust: the prediction changes" in made.work.said
    made.close()
