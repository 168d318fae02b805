"""UniversalWidget: it opens small, grows before it is complete, and hands on what it fools."""

from collections.abc import Iterator
from typing import Any

import pytest

from reliab_widgets.widgets import UniversalWidget
from tests.test_universal import examined

LONG = 60
QUICK = {"source_images": 50, "images": 16, "share": 0.16}


@pytest.fixture
def widget() -> Iterator[UniversalWidget]:
    made = UniversalWidget(examined(60), preset=QUICK)
    made.wait(LONG)
    yield made
    made.close()


def test_it_opens_on_one_idea(widget: UniversalWidget) -> None:
    assert len(widget.front) <= 6
    assert "16 images it never saw" in widget.work.said
    assert "Control" in widget.work.said
    assert "shows: L2 norm" in widget.chips(widget.result)[2].text
    table = widget.table(widget.result)
    assert table is not None
    assert table.columns.tolist() == [
        "the pattern",
        "without clipping",
        "random noise",
        "its pixels shuffled",
    ]


def test_half_of_its_own_images_are_left_to_make_a_pattern_of(widget: UniversalWidget) -> None:
    offered = [count for _, count in widget.controls["images"].options]
    assert offered == [16, 30]


def test_a_source_of_others_leaves_all_to_be_measured() -> None:
    made = UniversalWidget(examined(20), source=examined(40, seed=1), preset=QUICK | {"images": 20})
    result = made.wait(LONG)
    made.close()
    assert (result.n, result.used) == (20, 40)
    assert "source=" in result.code()
    with pytest.raises(TypeError, match=r"^source has no images"):
        UniversalWidget(examined(20), source=3)


def test_it_grows_before_it_is_complete(widget: UniversalWidget) -> None:
    seen: list[int] = []
    widget.work.heard.append(lambda: seen.append(len(widget.work.result.seen)))
    widget.set(seed=5).wait(LONG)
    assert seen[-1] == 7
    assert not widget.work.shown.is_partial


def test_the_images_it_fools_are_shown_and_handed_on(widget: UniversalWidget) -> None:
    result: Any = widget.set(target=1).wait(LONG)
    fooled = result.index[result.hits()[-1]].tolist()
    (panel,) = widget.page.panels
    panel.show(result)
    assert f"{len(fooled)} of 16 measured" in panel.said.value
    (sent,) = widget.sends(result)
    assert sent.value[1] == tuple(fooled)
