"""What the picture of a pruning analysis shows, and what its widget computes."""

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure
from matplotlib.path import Path as Way
from matplotlib.text import Text

import reliab_widgets as rw
from reliab_widgets import Pruning, Subject
from reliab_widgets.analyses.pruning import panels
from reliab_widgets.analyses.pruning import widget as widget_module
from reliab_widgets.analyses.pruning.charts import Confidences
from reliab_widgets.analyses.pruning.widget import PruningWidget
from reliab_widgets.core.drawing import handles, svg
from reliab_widgets.ui.words import HIDES
from tests.test_drawing import SVG, lines_of, parsed
from tests.test_explorer import button, until
from tests.test_pruning import varied


@pytest.fixture(scope="module")
def subject() -> Subject:
    whole = varied(60)
    return whole[:40].with_validation(whole[40:])


@pytest.fixture(scope="module")
def result(subject: Subject) -> Pruning:
    return rw.pruning(subject, levels=(0.15, 0.3, 0.6))


@pytest.fixture
def make(subject: Subject) -> Iterator[Callable[..., PruningWidget]]:
    made: list[PruningWidget] = []

    def one(**options: Any) -> PruningWidget:
        made.append(PruningWidget(subject, **options))
        return made[-1]

    yield one
    for widget in made:
        widget.close()


@pytest.fixture
def widget(make: Callable[..., PruningWidget]) -> PruningWidget:
    made = make()
    made.wait(60)
    return made


def images(page: Any) -> list[str]:
    """The pictures in a piece of HTML, in order."""
    return re.findall(r'src="([^"]*)"', page.value)


def titles(result: Pruning, **view: Any) -> list[str]:
    figure = result.plot(**view)
    return [
        str(element.text).replace("\u202f", " ")
        for element in parsed(svg(figure)).iter(f"{SVG}title")
    ]


def texts(result: Pruning, **view: Any) -> list[str]:
    return written(result.plot(**view))


def written(figure: Figure) -> list[str]:
    return [
        str(element.text).replace("\u202f", " ")
        for element in parsed(svg(figure)).iter(f"{SVG}text")
    ]


# --- the picture ------------------------------------------------------------------------------


def test_picture_has_the_numbers_of_the_level(result: Pruning) -> None:
    for place, level in enumerate(result.levels):
        written = texts(result, level=float(level))
        assert f"at {level * 100:.0f} % removed" in written
        assert f"{result.accuracy[0, place] * 100:.0f} %" in written
        if result.hurts(place):
            loser = result.loser(place)
            assert result.classes[loser] in written
            others = len(result.losers(place)) - 1
            assert (f"and {others} more lose most" if others else "loses most") in written
        if place:
            assert f"{result.accuracy[1:, place].mean() * 100:.0f} %" in written
            drawn = result.accuracy[1:, place] * 100
            assert f"{drawn.min():.0f}–{drawn.max():.0f} % in 5 draws" in written


def test_where_no_class_loses_nobody_is_named_as_the_loser(result: Pruning) -> None:
    last = len(result.levels) - 1
    logits = result.logits.copy()
    logits[0, last] = logits[0, 0]  # the pruned network says what the whole one says
    same = replace(result, logits=logits)
    for name in ("knobs", "subject"):
        object.__setattr__(same, name, getattr(result, name))
    assert not same.hurts(last)
    written = texts(same, level=float(result.levels[last]))
    assert not [words for words in written if "most" in words and "lose" in words]
    assert "random removal" in written


def test_marks_say_what_they_are(result: Pruning) -> None:
    said = titles(result, level=0.3)
    gone = result.left[0, 0] - result.left[0, 2]
    for number, name in enumerate(result.layers):
        assert any(
            words.startswith(f"{name}: {gone[number]} of {result.left[0, 0, number]} filters")
            for words in said
        )
    for name in result.classes:
        assert any(words.startswith(f"{name}, ") and "after" in words for words in said)


def test_levels_classes_and_layers_can_be_chosen(result: Pruning) -> None:
    drawn = svg(result.plot(level=0.3))
    for level in result.levels:
        assert f'id="level:{level:.6g}"' in drawn
    for number in range(len(result.classes)):
        assert f'id="payer:{number}"' in drawn
    for name in result.layers[:-1]:
        assert f'id="layer:{name}"' in drawn
    (handle,) = handles(result.plot(level=0.3)).values()
    assert handle["stops"] == result.levels.tolist()
    assert handle["value"] == pytest.approx(0.3)


def test_the_class_that_loses_most_is_that_of_the_largest_drop(result: Pruning) -> None:
    for place in range(1, len(result.levels)):
        change = result.class_accuracy[0, place] - result.class_accuracy[0, 0]
        assert change[result.loser(place)] == np.nanmin(change)


def test_the_finding_says_what_is_hidden_only_where_something_is(result: Pruning) -> None:
    for level in result.levels[1:]:
        place = result.at(level)
        said = result.reading(level=float(level))
        change = (result.class_accuracy[0, place] - result.class_accuracy[0, 0]) * 100
        average = (result.accuracy[0, place] - result.accuracy[0, 0]) * 100
        hidden = np.nanmin(change) <= 2 * average - 5 and not (average > -1 and change.min() > -5)
        assert said.startswith("The average hides who pays") == hidden
        changed = result.flipped[0, place].sum()
        assert said.endswith(f". {changed} of {result.n} predictions change.")
        assert lines_of(said) <= 2
        assert f"instead of {result.accuracy[0, place] * 100:.1f} %" in said
    assert result.reading(level=0.0).startswith("Nothing is removed: ")


def test_a_sweep_begins_with_the_whole_network_then_ten_per_cent(subject: Subject) -> None:
    grown: list[list[float]] = []
    levels = (0.02, 0.1, 0.2, 0.4, 0.8)
    rw.pruning(subject, levels=levels, partial=lambda it: grown.append(it.levels.tolist()))
    assert grown[0] == [0.0]
    assert grown[1] == [0.0, 0.1]
    assert grown[2:4] == [[0.0, 0.1], [0.0, 0.1, 0.8]]


def test_a_level_that_is_not_computed_yet_keeps_its_ring(subject: Subject) -> None:
    grown: list[Pruning] = []
    rw.pruning(subject, levels=(0.15, 0.3, 0.6), partial=grown.append)
    whole = grown[0]
    assert whole.waits_for(0.3)
    figure = whole.plot(level=0.3)
    assert handles(figure)["level"]["value"] == pytest.approx(0.3)
    assert handles(figure)["level"]["stops"] == [0.0, 0.15, 0.3, 0.6]
    words = set(written(figure))
    assert {"at 30 % removed", "comes next; evaluated", "so far: 1 of 4 levels"} <= words
    assert {"Each class before removal", "this level comes next"} <= words
    said = "Next 30 % of the filters are removed and the images evaluated again: 1 of 4 levels"
    assert said in whole.reading(level=0.3)
    assert whole.against(whole, level=0.3) == ""
    with pytest.raises(ValueError, match=r"level 0\.5 was not computed"):
        whole.plot(level=0.5)


def test_bars_of_layers_have_one_scale(result: Pruning) -> None:
    """What a bar is high says what its layer lost, at every level."""
    for narrow in (False, True):
        figure = result.plot(level=0.15, narrow=narrow)
        names = result.plan.names
        for place, level in enumerate(result.levels):
            result.draw(figure, level=float(level), narrow=narrow)
            bars = figure._drawing.bars.get_paths()
            lost = 1 - result.left[0, place] / result.left[0, 0]
            shares = [lost[result.layers.index(name)] for name in names]
            heights = [24 * share for share in shares if share > 0]
            found = [np.ptp(bar.vertices[:, 1]) for bar in bars]
            np.testing.assert_allclose(found, heights)


def test_a_narrow_page_has_a_picture_of_its_own(result: Pruning) -> None:
    wide, narrow = (result.plot(level=0.3, narrow=it) for it in (False, True))
    assert [72 * it for it in narrow.get_size_inches()] == [640, 582]
    some = ("bar: ", "0", "20", "40", "60")
    kept = [[it for it in written(f) if not it.startswith(some)] for f in (wide, narrow)]
    assert set(kept[0]) == set(kept[1])


def test_a_pin_is_a_ghost(subject: Subject, result: Pruning) -> None:
    other = rw.pruning(subject, levels=(0.3,), criterion="weight")
    assert "pinned" in texts(result, pinned=other)
    assert "pinned" not in texts(result)
    assert other.against(result).startswith("Against the pin (criterion taylor), at 30 %: ")


def test_a_pin_says_what_differs_at_the_level_of_the_ring(
    subject: Subject, result: Pruning
) -> None:
    other = rw.pruning(subject, levels=(0.15, 0.3, 0.6), criterion="weight")
    for place, level in enumerate(result.levels):
        said = other.against(result, level=float(level))
        mine, pinned = (it.accuracy[0, place] * 100 for it in (other, result))
        assert said.startswith(f"Against the pin (criterion taylor), at {level * 100:.0f} %: ")
        assert f"{mine:.1f} %" in said
        assert mine == pinned or f"{mine:.1f} % instead of {pinned:.1f} %" in said
        differ = (other.logits[0, place].argmax(1) != result.logits[0, place].argmax(1)).sum()
        assert f"; {differ} of 40 predictions differ." in said
    assert "this same sweep" in result.against(result, level=0.3)


def test_only_levels_that_are_neighbours_are_joined(subject: Subject) -> None:
    grown: list[Pruning] = []
    rw.pruning(subject, levels=(0.1, 0.2, 0.4, 0.8), partial=grown.append)
    (some,) = [it for it in grown if it.levels.tolist() == [0.0, 0.1, 0.8]]
    drawing: Any = some.plot(level=0.1)._drawing  # type: ignore[attr-defined]
    for line in (drawing.accuracy, drawing.random):
        assert np.isnan(line.get_ydata()).tolist() == [False, False, True, True, False]
        np.testing.assert_array_equal(line.get_xdata(), some.asked)
    assert [np.ptp(it.vertices[:, 0]) for it in drawing.band.get_paths()] == [0.1, 0.0]


def test_lines_have_their_names_beside_them(result: Pruning) -> None:
    place = 3
    drawing: Any = result.plot(level=0.6)._drawing  # type: ignore[attr-defined]
    names = [text.get_text() for text in drawing.called]
    assert names == ["all images", "random", result.classes[result.loser(place)]]
    boxes = [(*text.get_position(), 7.4 * len(text.get_text()) / 2) for text in drawing.called]
    for k, (x, y, half) in enumerate(boxes):
        for a, b, other in boxes[:k]:
            assert abs(y - b) > 12 or abs(x - a) > half + other


def test_names_of_lines_lie_neither_on_lines_nor_on_that_of_the_ring(result: Pruning) -> None:
    """The ring goes over the whole chart: a name that it comes to makes way."""
    plain: Any = result.plot(level=0.6)._drawing  # type: ignore[attr-defined]
    _, top, _, high = plain.curve
    right = round((1 - (plain.called[0].get_position()[1] - top) / high) * result.n)
    logits = np.zeros_like(result.logits)
    answers = np.where(
        np.arange(result.n) < right, result.truth, (result.truth + 1) % len(result.classes)
    )
    logits[:, :, np.arange(result.n), answers] = 1
    pinned = replace(result, logits=logits)  # a level line through a name
    for name in ("knobs", "subject"):
        object.__setattr__(pinned, name, getattr(result, name))
    for narrow, ghost in ((False, None), (True, None), (False, pinned)):
        for level in result.levels:
            figure = result.plot(level=float(level), narrow=narrow, pinned=ghost)
            figure.draw_without_rendering()
            drawing: Any = figure._drawing  # type: ignore[attr-defined]
            lines = [drawing.accuracy, drawing.random, drawing.loser, drawing.ghost]
            drawn = [
                (it.get_transform(), it.get_xydata())
                for it in lines
                if it.get_visible() and len(it.get_xdata())
            ]
            drawn.append((drawing.axes.get_xaxis_transform(), [(level, 0), (level, 1)]))
            for text in filter(Text.get_visible, drawing.called):
                box = text.get_window_extent()
                for transform, corners in drawn:
                    way = transform.transform(np.asarray(corners, float))
                    assert not Way(way).intersects_bbox(box, filled=False)
            assert drawing.called[0].get_visible()


def test_a_class_that_is_chosen_shows_its_curve_and_its_numbers(result: Pruning) -> None:
    for payer, name in enumerate(result.classes):
        drawing: Any = result.plot(level=0.3, payer=payer)._drawing  # type: ignore[attr-defined]
        curve = result.class_accuracy[0, :, payer]
        np.testing.assert_array_equal(drawing.loser.get_ydata(), curve)
        assert drawing.called[2].get_text() == name
        said = result.reading(level=0.3, payer=payer).replace("\u202f", " ")
        count = (result.truth == payer).sum()
        assert f" {name}, {count} test images: {curve[0] * 100:.0f} % right before, " in said
        assert f"{curve[2] * 100:.0f} % after (" in said
        assert "95 % interval " in said
        assert lines_of(said) <= 2


def test_the_control_says_of_how_many_draws_it_is(subject: Subject) -> None:
    grown: list[Pruning] = []
    rw.pruning(subject, levels=(0.3,), partial=grown.append)
    one, all_five = grown[1], rw.pruning(subject, levels=(0.3,))
    for result, words in ((one, "(1 draw so far)"), (all_five, "(mean of 5 draws)")):
        assert words in result.reading(level=0.3)
        assert words in " ".join(titles(result, level=0.3))
    assert any("1 random draw\u00a0" in it for it in texts(one, level=0.3))
    assert any("5 random draws\u00a0" in it for it in texts(all_five, level=0.3))


def test_the_same_figure_follows_the_level(result: Pruning) -> None:
    figure = result.plot()
    result.draw(figure, level=0.15)
    first = written(figure)
    result.draw(figure, level=0.6)
    assert written(figure) != first
    result.draw(figure, level=0.15)
    assert written(figure) == first


def test_an_image_is_told_of_where_confidences_are(result: Pruning) -> None:
    index = int(result.index[3])
    sure = result.probabilities(2, "old")[3]
    told = f"image {index}: says {result.classes[sure.argmax()]} {sure.max() * 100:.0f} %"

    def said(image: int) -> list[str]:
        figure = Figure()
        Confidences.on(figure).show(result, 2, "old", image)
        return [str(it.text) for it in parsed(svg(figure)).iter(f"{SVG}title")]

    assert f"30 % removed; {told}" in said(index)
    assert not any("; image " in words for words in said(10**6))


# --- the widget -------------------------------------------------------------------------------


def readout(widget: PruningWidget) -> str:
    """The sentence, as it is read."""
    plain = html.unescape(re.sub("<[^>]+>", "", widget.page.readout.value))
    return plain.replace("\u202f", " ")


def opened(widget: PruningWidget, name: str) -> Any:
    """A panel that is open, and has been filled."""
    (place,) = [k for k, it in enumerate(widget.page.opened) if it.name == name]
    if not widget.page.opened[place].is_open:
        widget.page.opened[place].toggle()
    widget.wait(60)
    return widget.page.panels[place]


def test_levels_are_instant_once_they_are_computed(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(widget, "analysis", computed)
    result = widget.result
    for level in (0.0, 0.2, 0.5):
        widget.page.drag("level", level)
        assert widget.wait(60) is result
        assert result.reading(level=level) in readout(widget)
        assert f"shows: {level * 100:.0f} % removed" in widget.page.chips.value.replace(
            "\u202f", " "
        )
    panel = opened(widget, "calibration")
    for temperature in ("raw", "refitted"):
        widget.controls["temperature"].value = temperature
        widget.wait(60)
        ece = result.calibration[f"ece {temperature}"][0, -1]
        assert f"{ece * 100:.1f} %" in panel.body.value.replace("\u202f", " ")
    assert widget.set(level=0.1).result is result


def test_a_widget_opens_with_five_controls_and_a_ring(widget: PruningWidget) -> None:
    controls = widget.controls
    front = ("criterion", "scope", "protect", "finetune", "temperature")
    (row,) = [it for it in widget.children if "rw-controls" in it._dom_classes]
    assert list(row.children) == [controls[name] for name in front]
    assert [it.description for it in row.children] == [
        "Rank filters by", "Remove a share of", "Protect", "Fine-tune", "Temperature",
    ]  # fmt: skip
    folded = widget.page.settings.box.children[1].children
    fold = ("image", "images", "calibration_images", "rounds", "seed")
    assert list(folded[:5]) == [controls[name] for name in fold]
    assert list(dict(controls["criterion"].options)) == [
        "Taylor", "Taylor, per image", "Taylor, 2nd order", "weight norm", "batch norm scale",
        "random", "single weights",
    ]  # fmt: skip
    assert not any(it.is_open for it in widget.page.opened)


def test_a_ring_between_two_levels_shows_the_nearest(widget: PruningWidget) -> None:
    widget.page.drag("level", 0.17)
    result = widget.wait(60)
    assert widget.views()["level"] == pytest.approx(0.15)
    assert widget.page.picture.live.handles["level"]["value"] == pytest.approx(0.15)
    assert result.reading(level=0.15) in readout(widget)


def test_the_axis_ends_where_nothing_is_left_to_lose(widget: PruningWidget) -> None:
    """Half of it is of what is lost first; single weights are lost later."""
    for criterion, most in (("taylor", 0.5), ("magnitude", 0.95)):
        widget.set(criterion=criterion).wait(60)
        handle = widget.page.picture.live.handles["level"]
        assert (handle["high"], handle["stops"][-1]) == (most, most)
        stops = np.array(handle["stops"])
        assert (stops <= most / 2).sum() >= len(stops) / 2 or criterion == "magnitude"


def test_a_layer_that_is_chosen_can_be_protected(widget: PruningWidget) -> None:
    layer = widget.result.layers[1]
    widget.page.choose("layer", layer)
    widget.wait(60)
    assert dict(widget.controls["protect"].options)[layer] == (layer,)
    assert widget.controls["protect"].value == ()  # nothing is computed for a click
    result = widget.set(protect=(layer,)).result
    assert (result.left[0, :, 1] == result.left[0, 0, 1]).all()


def test_a_class_that_is_chosen_shows_its_images(widget: PruningWidget) -> None:
    result = widget.set(level=0.5).result
    panel = opened(widget, "changed images")
    payer = result.loser(result.at(0.5))
    widget.page.choose("payer", str(payer))
    widget.wait(60)
    mine = result.flipped[0, -1] & (result.truth == payer)
    said = panel.said.value.replace("\u202f", " ")
    assert f"of {result.classes[payer]}: {mine.sum()} predictions changed" in said
    drawn = panel.gallery.live.svg
    shown = [int(it) for it in re.findall(r'id="image:(\d+)"', drawn)]
    assert len(shown) == min(5, mine.sum())
    assert set(shown) <= set(result.index[mine])
    panel.gallery._chosen("image", str(shown[-1]))
    assert widget.wait(60) is result
    assert widget.controls["image"].value == shown[-1]
    button(widget, "all classes").click()
    widget.wait(60)
    assert widget.state()["payer"] is None
    assert f"of all classes: {result.flipped[0, -1].sum()} predictions" in panel.said.value


def test_result_is_that_of_its_code(
    widget: PruningWidget, subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"rw": rw, "subject": subject}
    source = re.sub(r"(?m)^(import|subject).*$", "", widget.code())
    exec(source, names)
    again = names["result"]
    assert isinstance(again, Pruning)
    np.testing.assert_array_equal(again.logits, widget.result.logits)


def test_cancel_keeps_the_points(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    paused, go_on = threading.Event(), threading.Event()
    shown = PruningWidget.shown

    def pause(self: PruningWidget, result: Pruning) -> None:
        shown(self, result)
        asked.append(len(result.levels))
        if len(asked) == 4:
            paused.set()
            go_on.wait(60)

    monkeypatch.setattr(PruningWidget, "shown", pause)
    made = make()
    assert paused.wait(60)
    made.cancel()
    go_on.set()
    until(lambda: "stopped" in made.runner.status.value)
    until(lambda: "rw-warning" in made.page.chips.value)
    assert made.work.result.levels.shape == (3,)
    chips = made.page.chips.value.replace("\u202f", " ")
    assert "cancelled: shows 10 % removed, 3 of 10 levels" in chips
    button(made, "Resume").click()
    assert made.wait(60).levels.shape == (10,)
    assert asked[:4] == [1, 2, 2, 3]
    assert asked[4:6] == [3, 4]  # it goes on, not from the start
    assert "shows: 10 % removed, 10 of 10 levels" in made.page.chips.value.replace("\u202f", " ")


def held(monkeypatch: pytest.MonkeyPatch, at: int) -> tuple[threading.Event, threading.Event]:
    """Let a sweep pause when so many pieces of it have been seen."""
    paused, go_on = threading.Event(), threading.Event()
    missing, seen = PruningWidget.missing, []

    def pause(self: PruningWidget, result: Pruning) -> float | None:
        seen.append(result)
        if len(seen) == at:
            paused.set()
            go_on.wait(60)
        return missing(self, result)

    monkeypatch.setattr(PruningWidget, "missing", pause)
    return paused, go_on


def ring(widget: PruningWidget) -> float:
    return round(widget.page.picture.live.handles["level"]["value"], 6)


def test_another_setting_keeps_the_level(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = widget.set(level=0.4).result
    paused, go_on = held(monkeypatch, 1)
    widget.controls["criterion"].value = "weight"
    assert paused.wait(60)  # the whole network is measured, nothing else
    assert widget.work.result is before
    assert ring(widget) == 0.4
    widget.cancel()
    go_on.set()
    until(lambda: "stopped" in widget.runner.status.value)
    assert widget.state()["criterion"] == "taylor"
    assert widget.work.result is before
    assert ring(widget) == 0.4
    chips = widget.page.chips.value.replace("\u202f", " ")
    assert "shows: 40 % removed, 10 of 10 levels" in chips  # a complete picture
    assert "cancelled" not in chips
    paused, go_on = held(monkeypatch, 2)
    button(widget, "Resume").click()
    assert paused.wait(60)
    go_on.set()
    assert widget.wait(60).criterion == "weight"
    assert (ring(widget), widget.state()["level"]) == (0.4, 0.4)


def test_the_level_of_the_ring_is_computed_first(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, go_on = held(monkeypatch, 2)
    made = make(preset={"level": 0.3})
    assert paused.wait(60)
    assert ring(made) == 0.3
    assert "shows: the whole network, 1 of 10 levels" in made.page.chips.value
    made.cancel()
    go_on.set()
    until(lambda: "stopped" in made.runner.status.value)
    assert made.work.result.levels.tolist() == [0.0, 0.3]
    assert (ring(made), made.state()["level"]) == (0.3, 0.3)
    made.page.drag("level", 0.5)
    made.wait(60)
    assert ring(made) == 0.5
    assert "Next 50 % of the filters are removed" in readout(made)
    button(made, "Resume").click()
    assert made.wait(60).levels.shape == (10,)


def test_large_images_are_seen_by_a_few_first(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = varied(60)
    subject = whole[:40].with_validation(whole[40:])
    monkeypatch.setattr(widget_module, "LARGE", 4)
    monkeypatch.setattr(widget_module, "FEW", 8)
    shown: list[tuple[int, list[float], str]] = []
    settled = PruningWidget.shown

    def note(self: PruningWidget, result: Pruning) -> None:
        settled(self, result)
        shown.append((result.n, result.levels.tolist(), self.page.chips.value))

    monkeypatch.setattr(PruningWidget, "shown", note)
    made = PruningWidget(subject)
    try:
        assert made.wait(60).n == 40
        few, many = ([it for it in shown if it[0] == n] for n in (8, 40))
        assert shown == few + many
        assert few[-1][1] == [0.0, 0.1]
        assert all("≈ preview: 8 of 40 test images" in it[2] for it in few)
        # It stays until the level of the ring is there.
        assert many[0][1] == [0.0, 0.1]
        assert "preview" not in many[0][2]
    finally:
        made.close()


def test_changed_images_and_explanations_are_shown(widget: PruningWidget) -> None:
    result = widget.set(level=0.5).result
    changed, explained = (opened(widget, it) for it in ("changed images", "explanations"))
    count = int(result.flipped[0, -1].sum())
    assert count > 0
    assert f"{count} predictions changed" in changed.said.value
    assert explained.body.value.count("<img") == 4  # image, three maps
    image = int(result.index[result.flipped[0, -1]][-1])
    widget.set(image=image).wait()
    widget.wait(60)
    assert f"image {image}" in explained.body.value
    assert "untrained" in explained.body.value
    widget.set(level=0.0).wait()
    assert "0 predictions changed" in changed.said.value
    assert "ρ = 1.00" in explained.body.value


def test_networks_are_cut_and_explained_on_the_worker(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    explanation = panels.explanation

    def noted(*args: Any) -> np.ndarray:
        threads.append(threading.current_thread().name)
        return explanation(*args)

    monkeypatch.setattr(panels, "explanation", noted)
    made = make()
    opened(made, "explanations")
    made.controls["level"].value = 0.3
    made.controls["image"].value = 7
    made.wait(60)
    assert len(threads) >= 5
    assert set(threads) == {"reliab_widgets"}
    count = len(threads)
    made.controls["level"].value = 0.3
    made.set(level=0.1, image=7).wait(60)
    made.set(level=0.3).wait(60)
    assert len(threads) == count + 1  # of 10 % only: the others are known


def test_the_untrained_map_is_that_of_the_results_seed(widget: PruningWidget) -> None:
    panel = opened(widget, "explanations")
    before = images(panel.body)
    fixed = widget.set(level=0.0).result.knobs["seed"]
    widget.set(seed=1).wait(60)
    after = images(panel.body)
    assert fixed == 0
    # The image and the maps of both networks are as they were: nothing is removed.
    assert [one == other for one, other in zip(before, after, strict=True)] == [True] * 3 + [False]
    widget.set(seed=0).wait(60)
    assert images(panel.body)[3] == before[3]


def test_the_explanation_is_that_of_what_is_shown(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another seed is being computed, the untrained network is that of the picture."""
    seeds: list[int] = []
    untrained = panels.untrained
    monkeypatch.setattr(
        panels, "untrained", lambda it, seed: (seeds.append(seed), untrained(it, seed))[1]
    )
    made = make()
    opened(made, "explanations")
    with made.settings.quiet():
        made.controls["seed"].value = 5  # moved, but not yet computed
    made.controls["image"].value = 9
    made.wait(60)
    assert set(seeds) == {0}
    assert "rw-warning" in made.page.chips.value  # not what the controls say


def test_a_flat_map_has_no_correlation(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = widget.subject.images.shape[2:]
    monkeypatch.setattr(panels, "explanation", lambda *_: np.zeros(side))
    widget.set(level=0.3).wait(60)
    explained = opened(widget, "explanations").body.value
    assert "flat, no ρ" in explained
    assert "flat: no pixel changes what is left" in explained
    assert "nan" not in explained


def test_single_weights_have_no_smaller_network(widget: PruningWidget) -> None:
    result = widget.set(criterion="magnitude", level=0.5).result
    assert "there is no smaller network" in opened(widget, "explanations").body.value
    assert "neither smaller nor faster" in widget.sentence(result)


def test_help_has_the_sweep_in_numbers(widget: PruningWidget) -> None:
    button(widget, "?").click()
    for words in ("random removal", "worst class", "50 %", f"{widget.result.accuracy[0, 3]:.3g}"):
        assert words in widget.page.help.value


def test_a_pin_is_compared_at_the_level_of_the_slider(widget: PruningWidget) -> None:
    pinned = widget.result
    button(widget, "Pin").click()
    widget.set(criterion="random", level=0.2).wait(60)
    said = widget.result.against(pinned, level=0.2)
    assert said.startswith("Against the pin (criterion taylor), at 20 %: ")
    assert said in readout(widget)
    widget.controls["level"].value = 0.5
    widget.wait(60)
    assert "Against the pin (criterion taylor), at 50 %: " in readout(widget)


def test_a_folder_of_results_serves_the_widget(
    make: Callable[..., PruningWidget], tmp_path: Path
) -> None:
    first = make(cache=rw.Cache(tmp_path))
    before = first.set(level=0.3).result
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["pruning"]
    explained = opened(first, "explanations").body.value
    second = make(cache=rw.Cache(tmp_path))
    after = second.set(level=0.3).result
    assert after is not before
    np.testing.assert_array_equal(after.logits, before.logits)
    assert explained.count("<img") == 4
    assert opened(second, "explanations").body.value == explained
    assert second.page.alert.layout.display == "none"
    assert second.code() == first.code()


def test_what_is_exported_names_the_analysis_and_all_its_knobs(
    widget: PruningWidget, tmp_path: Path
) -> None:
    told = json.loads(widget.set(level=0.2).export("json", tmp_path).read_text())
    assert told["analysis"] == "pruning"
    assert told["knobs"]["levels"] == list(widget.result.knobs["levels"])
    assert (told["knobs"]["level"], told["knobs"]["temperature"]) == (0.2, "old")
    assert told["finding"]


def test_training_images_are_part_of_the_question(subject: Subject, tmp_path: Path) -> None:
    cache, whole = rw.Cache(tmp_path), varied(200)
    results = []
    for train in (whole[60:130], whole[130:]):
        made = PruningWidget(subject, train=train, cache=cache, preset={"finetune": 20})
        try:
            results.append(made.wait(60))
            assert results[-1].knobs["train"] == "tiny"
        finally:
            made.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert (results[0].logits[0, 1:] != results[1].logits[0, 1:]).any()
    # From the file: numbers, but no network that was trained.
    made = PruningWidget(
        subject, train=whole[130:], cache=rw.Cache(tmp_path), preset={"finetune": 20}
    )
    try:
        np.testing.assert_array_equal(made.wait(60).logits, results[1].logits)
        assert "not kept in a file" in opened(made, "explanations").body.value
        assert made.page.alert.layout.display == "none"
    finally:
        made.close()


def test_close_leaves_nothing(subject: Subject) -> None:
    before = set(_instances)
    made = PruningWidget(subject)
    made.wait(60)
    made.close()
    assert set(_instances) == before


def test_training_images_bring_their_knob(subject: Subject) -> None:
    whole = varied(200)
    plain = PruningWidget(subject)
    tuned = PruningWidget(subject, train=whole[60:])
    try:
        assert len(plain.controls["finetune"].options) == 1
        result = tuned.set(finetune=20, level=0.2).result
        assert result.knobs["finetune"] == 20
    finally:
        plain.close()
        tuned.close()
    with pytest.raises(TypeError, match="train is not a Subject: got int"):
        PruningWidget(subject, train=5)


def test_there_are_no_more_images_than_there_are(widget: PruningWidget) -> None:
    for knob in ({"image": 40}, {"image": -1}, {"images": 10**9}):
        with pytest.raises(ValueError, match=next(iter(knob))):
            widget.set(**knob)
    assert widget.controls["image"].max == 39


@pytest.mark.parametrize("count", [21, 80])
def test_without_validation_half_is_offered(count: int) -> None:
    made = PruningWidget(varied(count))
    try:
        assert made.wait(60).n == made.controls["images"].value == count // 2
        assert dict(made.controls["images"].options) == {f"{count // 2} images": count // 2}
    finally:
        made.close()


def test_an_explorer_needs_no_controls(subject: Subject) -> None:
    made = rw.Explorer(rw.pruning, subject)
    try:
        assert made.wait(60).levels.shape == (10,)
        assert {"criterion", "scope", "rounds", "temperature", "image"} <= set(made.controls)
    finally:
        made.close()


def test_a_network_that_hides_has_a_chip_and_a_note(widget: PruningWidget) -> None:
    plain = widget.result
    assert HIDES not in str(widget.chips(plain))
    doubted = replace(plain, doubts=("hidden: so", *plain.doubts[1:]))
    assert (HIDES, "warning") in widget.chips(doubted)
    assert "Note: the whole network: hidden: so." in widget.sentence(doubted)
