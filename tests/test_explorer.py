"""The generic widget, driven from Python: what it shows, remembers, refuses, and leaves behind."""

import base64
import functools
import inspect
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any

import ipywidgets as W
import numpy as np
import pandas as pd
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure

import reliab_widgets as rw
from reliab_widgets import Cache, Explorer
from reliab_widgets.analyses import ANALYSES
from reliab_widgets.core.knobs import Auto, Choice, Real, Whole
from reliab_widgets.core.result import Result
from reliab_widgets.core.wording import typeset
from reliab_widgets.ui import picture, words, worker
from reliab_widgets.ui.picture import LivePicture
from reliab_widgets.ui.thumbnails import thumbnail
from reliab_widgets.widgets import ReliabilityWidget
from tests.test_contract import subject
from tests.test_result import assert_same

LONG = 60
HOSTILE = "\"'><img src=x onerror=alert(1)>"
SUBJECT = subject()


@pytest.fixture(autouse=True)
def everything_is_closed() -> Iterator[None]:
    before = set(_instances)
    yield
    for widget in [w for key, w in list(_instances.items()) if key not in before]:
        if isinstance(widget, Explorer):
            widget.close()
    for key in [key for key in list(_instances) if key not in before]:
        W.Widget.close(_instances[key])


@pytest.fixture
def widget() -> ReliabilityWidget:
    made = ReliabilityWidget(SUBJECT)
    made.wait(LONG)
    return made


class Squares:
    """An analysis that counts its calls."""

    __name__ = "squares"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, subject: Any, k: int = 2) -> int:
        self.calls.append(k)
        return k * k


class Gated:
    """An analysis that ticks until it is let through, for ``k`` above 1."""

    __name__ = "gated"

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, subject: Any, k: int = 1, progress: Any = None) -> str:
        if k > 1:
            self.begun.set()
            while not self.open.wait(0.005):
                progress(3, 8)
        return f"finished {k}"


def slider(**options: Any) -> W.IntSlider:
    return W.IntSlider(2, 1, 9, **options)


def squares() -> tuple[Explorer, Squares]:
    analysis = Squares()
    explorer = Explorer(analysis, SUBJECT, {"k": slider()})
    assert explorer.wait(LONG) == 4
    return explorer, analysis


def parts(root: W.Widget) -> Iterator[W.Widget]:
    yield root
    for child in getattr(root, "children", ()):
        yield from parts(child)


def button(explorer: Explorer, text: str) -> W.Button:
    (found,) = [
        part for part in parts(explorer) if isinstance(part, W.Button) and part.description == text
    ]
    return found


def shown(explorer: Explorer) -> str:
    """All HTML on the widget that is not hidden."""
    visible = [part for part in parts(explorer) if part.layout.display != "none"]
    texts = [part.value for part in visible if isinstance(part, W.HTML)]
    return "\n".join([*texts, *(part.svg for part in visible if isinstance(part, LivePicture))])


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


class Tags(HTMLParser):
    """What a browser would make of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(text: str) -> None:
    for tag, attributes in Tags(text).found:
        assert tag not in ("script", "iframe", "object")
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/png;base64,")


# --- pictures -------------------------------------------------------------------------------


def test_the_first_picture_comes_by_itself(widget: ReliabilityWidget) -> None:
    result = widget.result
    page = shown(widget)
    assert "<svg" in page
    assert widget.page.picture.live.alt == typeset(str(result))
    said = re.sub("<[^>]+>", "", widget.page.readout.value)
    assert words.html.unescape(said) == widget.page.picture.live.alt
    assert "ready" in widget.runner.status.value
    assert result.subject in widget.page.chips.value


def test_a_control_gives_a_new_result_and_going_back_costs_nothing() -> None:
    explorer, analysis = squares()
    explorer.controls["k"].value = 5
    assert explorer.wait(LONG) == 25
    assert "25" in shown(explorer)
    explorer.controls["k"].value = 2
    assert explorer.wait(LONG) == 4
    assert analysis.calls == [2, 5]


def test_of_many_quick_moves_the_last_is_shown() -> None:
    calls: list[int] = []
    gate, begun = threading.Event(), threading.Event()

    def analysis(subject: Any, k: int) -> int:
        calls.append(k)
        begun.set()
        gate.wait(LONG)
        return k

    explorer = Explorer(analysis, SUBJECT, {"k": W.IntSlider(0, 0, 99)})
    assert begun.wait(LONG)
    for k in range(1, 13):
        explorer.controls["k"].value = k
    gate.set()
    assert explorer.wait(LONG) == 12
    assert calls == [0, 12]
    assert "<pre>12</pre>" in shown(explorer)


def test_widgets_may_share_what_they_remember() -> None:
    analysis, cache = Squares(), Cache()
    for _ in range(2):
        Explorer(analysis, SUBJECT, {"k": slider()}, cache=cache).wait(LONG)
    assert analysis.calls == [2]


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (0.25, "<pre>0.25</pre>"),
        (HOSTILE, f"<pre>{words.html.escape(HOSTILE)}</pre>"),
        (pd.DataFrame({"a": [1], "b": [HOSTILE]}), "<table"),
    ],
    ids=["number", "text", "table"],
)
def test_own_functions_may_return_anything(returned: Any, expected: str) -> None:
    explorer = Explorer(lambda subject: returned, SUBJECT, {})
    assert explorer.wait(LONG) is returned
    assert expected in shown(explorer)
    assert_harmless(shown(explorer))


def test_own_functions_may_return_a_figure() -> None:
    def analysis(subject: Any, k: int) -> Figure:
        figure = Figure()
        figure.add_subplot().set_title(f"k is {k}")
        return figure

    explorer = Explorer(analysis, SUBJECT, {"k": slider()})
    explorer.wait(LONG)
    assert "k is 2</text>" in shown(explorer)
    explorer.set(k=3).wait(LONG)
    assert "k is 3</text>" in shown(explorer)


def test_progress_and_executor_are_given_to_whom_takes_them() -> None:
    given: list[Any] = []

    def takes(subject: Any, executor: Any = None, progress: Any = None) -> int:
        given.extend([executor, callable(progress)])
        return 1

    Explorer(takes, SUBJECT, {}, executor="E").wait(LONG)
    assert given == ["E", True]
    assert Explorer(lambda subject: 1, SUBJECT, {}, executor="E").wait(LONG) == 1


# --- errors ---------------------------------------------------------------------------------


def test_an_error_is_a_card_and_the_last_picture_stays(capfd: pytest.CaptureFixture[str]) -> None:
    def analysis(subject: Any, k: int) -> str:
        if k == 7:
            raise RuntimeError(f"seven {HOSTILE}")
        return f"result {k}"

    explorer = Explorer(analysis, SUBJECT, {"k": slider()})
    explorer.wait(LONG)
    explorer.controls["k"].value = 7
    with pytest.raises(RuntimeError, match="seven"):
        explorer.wait(LONG)
    page = shown(explorer)
    assert 'role="alert"' in page
    assert f"RuntimeError: seven {words.html.escape(HOSTILE)}" in page
    assert "<pre>result 2</pre>" in page
    assert "Traceback" in page
    assert_harmless(page)
    assert explorer.state() == {"k": 7}
    explorer.set(k=3).wait(LONG)
    assert 'role="alert"' not in shown(explorer)
    assert "<pre>result 3</pre>" in shown(explorer)
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_first_picture_is_shown_too() -> None:
    def analysis(subject: Any) -> None:
        raise ValueError("what happened; what was seen; how to fix it")

    explorer = Explorer(analysis, SUBJECT, {})
    with pytest.raises(ValueError, match="what happened"):
        explorer.wait(LONG)
    assert "✖</b> what happened; what was seen; how to fix it" in shown(explorer)


def test_an_error_of_a_button_is_a_card() -> None:
    explorer, _ = squares()
    button(explorer, "Export").click()
    buttons = [it for it in explorer.page.files.children if isinstance(it, W.Button)]
    offered = [it.description for it in buttons if it.layout.display != "none"]
    assert offered == ["JSON"]  # a number is neither picture nor table
    button(explorer, "CSV").click()
    assert "no CSV can be written: the analysis returned a int" in shown(explorer)


# --- progress and cancel --------------------------------------------------------------------


def test_long_work_shows_how_far_it_is_and_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.SHOW_AFTER", 0.0)
    analysis = Gated()
    explorer = Explorer(analysis, SUBJECT, {"k": slider()}, preset={"k": 1})
    assert explorer.wait(LONG) == "finished 1"
    explorer.controls["k"].value = 4
    until(lambda: "running · 3 of 8" in explorer.runner.status.value)
    assert (explorer.runner.bar.value, explorer.runner.bar.max) == (3, 8)
    assert explorer.runner.stop.layout.display == ""
    assert "finished 1" in shown(explorer)
    button(explorer, "Cancel").click()
    assert explorer.wait(LONG) == "finished 1"
    assert "stopped at 3 of 8" in explorer.runner.status.value
    assert "finished 1" in shown(explorer)
    assert explorer.state() == {"k": 1}  # the controls say what is shown
    assert "cancelled" in explorer.page.chips.value
    assert 'role="alert"' not in shown(explorer)
    analysis.open.set()
    assert explorer.runner.stop.layout.display == ""
    button(explorer, "Resume").click()
    assert explorer.wait(LONG) == "finished 4"
    assert explorer.state() == {"k": 4}
    assert "cancelled" not in explorer.page.chips.value
    assert explorer.runner.stop.layout.display == "none"


def test_what_cannot_be_watched_is_not_shown_after_cancel() -> None:
    gate, begun = threading.Event(), threading.Event()

    def analysis(subject: Any, k: int) -> int:
        if k == 5:
            begun.set()
            gate.wait(LONG)
        return k * 111

    explorer = Explorer(analysis, SUBJECT, {"k": slider()})
    explorer.wait(LONG)
    explorer.controls["k"].value = 5
    assert begun.wait(LONG)
    explorer.cancel()
    gate.set()
    assert explorer.wait(LONG) == 222
    assert "222" in shown(explorer)
    assert explorer.set(k=5).wait(LONG) == 555


def test_waiting_has_an_end() -> None:
    analysis = Gated()
    explorer = Explorer(analysis, SUBJECT, {"k": slider()})
    with pytest.raises(TimeoutError, match=r"still running after 0\.01 s. Wait longer"):
        explorer.wait(0.01)
    analysis.open.set()
    assert explorer.wait(LONG) == "finished 2"


# --- settings -------------------------------------------------------------------------------


def two_knobs(**options: Any) -> Explorer:
    def analysis(subject: Any, k: int, kind: str) -> str:
        return f"{kind} {k}"

    controls = {"k": slider(), "kind": W.Dropdown(options=[("one", "1"), ("two", "2")])}
    return Explorer(analysis, SUBJECT, controls, **options)


def test_several_knobs_are_set_at_once() -> None:
    explorer = two_knobs()
    assert explorer.state() == {"k": 2, "kind": "1"}
    assert explorer.set(k=7, kind="2") is explorer
    assert explorer.state() == {"k": 7, "kind": "2"}
    assert explorer.result == "2 7"


@pytest.mark.parametrize(
    ("knobs", "error", "said"),
    [
        ({"k": 3, "q": 1}, TypeError, r"this widget has no knob 'q': it has k, kind\. Pass one"),
        ({"kind": "2", "k": 10}, ValueError, r"k cannot be 10: .* It takes 1 to 9\."),
        ({"kind": "2", "k": "many"}, ValueError, r"k cannot be 'many': .* It takes 1 to 9\."),
        ({"k": 3, "kind": "3"}, ValueError, r"kind cannot be '3': .* It takes one of '1', '2'\."),
        ({"k": 3, "kind": "two"}, ValueError, "kind cannot be 'two'"),
    ],
)
def test_what_cannot_be_set_leaves_all_knobs(
    knobs: dict[str, Any], error: type[Exception], said: str
) -> None:
    explorer = two_knobs()
    explorer.wait(LONG)
    with pytest.raises(error, match=said):
        explorer.set(**knobs)
    assert explorer.state() == {"k": 2, "kind": "1"}
    assert explorer.wait(LONG) == "1 2"
    assert explorer.set(k=4).wait(LONG) == "1 4"  # controls answer as before


def test_reset_returns_to_the_preset() -> None:
    explorer = two_knobs(preset={"k": 6})
    assert explorer.wait(LONG) == "1 6"
    explorer.set(k=1, kind="2").wait(LONG)
    button(explorer, "Reset").click()
    assert explorer.wait(LONG) == "1 6"
    assert explorer.state() == {"k": 6, "kind": "1"}


def test_teachers_hide_and_lock() -> None:
    explorer = two_knobs(hide=["kind"], lock={"k": (3, 5)}, show_code=False)
    control = explorer.controls["k"]
    assert (control.min, control.max, control.value) == (3, 5, 3)
    assert explorer.controls["kind"].layout.display == "none"
    assert explorer.wait(LONG) == "1 3"
    with pytest.raises(ValueError, match=r"k cannot be 6: .* It takes 3 to 5\."):
        explorer.set(k=6)
    texts = [part.description for part in parts(explorer) if isinstance(part, W.Button)]
    assert "Code" not in texts
    held = two_knobs(lock={"kind": "2"})
    assert held.controls["kind"].disabled
    assert held.wait(LONG) == "2 2"


@pytest.mark.parametrize("option", [{"preset": {"q": 1}}, {"hide": ["q"]}, {"lock": {"q": 1}}])
def test_unknown_knobs_of_teachers_are_named_and_nothing_is_left(option: dict[str, Any]) -> None:
    before = set(_instances)
    with pytest.raises(TypeError, match="this widget has no such knob: got 'q'"):
        two_knobs(**option)
    left = [_instances[key] for key in set(_instances) - before]
    assert all(not isinstance(widget, Explorer) for widget in left)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("kind", r"got kind=\. Pass preset=\{'kind': \.\.\.\}\."),
        ("lok", r"got lok=\. Use preset, "),
    ],
)
def test_what_is_no_option_says_how_a_knob_is_set(option: str, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        two_knobs(**{option: "2"})


def test_a_logarithmic_slider_is_locked_in_the_units_of_its_value() -> None:
    widget = ReliabilityWidget(SUBJECT, lock={"temperature": (0.5, 2.0)})
    assert widget.set(temperature=2.0).wait(LONG).calibrator.temperature == 2.0
    with pytest.raises(ValueError, match=r"temperature cannot be 2\.5: .* It takes 0\.5 to 2"):
        widget.set(temperature=2.5)


def test_the_trail_leads_back() -> None:
    explorer, analysis = squares()
    for k in (3, 4, 3):
        explorer.set(k=k).wait(LONG)
    options = dict(explorer.page.trail.options)
    assert list(options) == ["k 3", "k 4", "as at the start"]
    explorer.page.trail.value = options["as at the start"]
    assert explorer.wait(LONG) == 4
    assert explorer.state() == {"k": 2}
    assert analysis.calls == [2, 3, 4]


# --- knobs that carry a kind ----------------------------------------------------------------


class Grey(Result):
    """A result whose picture has a view."""

    def __init__(self, k: int) -> None:
        super().__init__()
        object.__setattr__(self, "k", k)

    def draw(
        self,
        figure: Any,
        *,
        pinned: Any = None,
        tone: Annotated[str, Choice(("dark", "light"))] = "dark",
    ) -> None:
        figure.clear()
        ghost = "" if pinned is None else f" against {pinned.k}"
        figure.add_subplot().set_title(f"{tone} {self.k}{ghost}")

    def against(self, pinned: Any, **views: Any) -> str:
        return f"{self.k - pinned.k} more, {views['tone']}"

    def __str__(self) -> str:
        return f"It is {self.k}."


CALLS: list[dict[str, Any]] = []
GATE = threading.Event()


def grey(
    subject: Any,
    *,
    k: Annotated[int, Whole(1, 9, slider=(2, 5))] = 2,
    kind: Annotated[str, Choice(("one", "two"))] = "one",
    few: Annotated[int | None, Auto(Whole(1, 3))] = None,
    progress: Any = None,
) -> Grey:
    """An analysis of the user's own, declared as ours are."""
    CALLS.append({"k": k, "kind": kind, "few": few})
    while kind == "two" and not GATE.wait(0.005):
        progress(1, 2)
    return Grey(k)


@pytest.fixture
def tones() -> Explorer:
    CALLS.clear()
    GATE.clear()
    explorer = Explorer(grey, SUBJECT)
    explorer.wait(LONG)
    return explorer


def test_own_functions_with_kinds_need_no_controls(tones: Explorer) -> None:
    assert tones.state() == {"k": 2, "kind": "one", "few": None, "tone": "dark"}
    assert (tones.controls["k"].min, tones.controls["k"].max) == (2, 5)
    assert "dark 2</text>" in shown(tones)
    with pytest.raises(ValueError, match=r"k must be a whole number.*got 10\. Pass k= from 1 to 9"):
        tones.set(k=10)
    assert tones.set(k=9).wait(LONG).k == 9  # legal, though the slider offers less
    assert tones.controls["k"].max == 9
    assert tones.set(few=2).wait(LONG) is not None
    assert CALLS[-1]["few"] == 2


def test_a_view_repaints_and_neither_computes_nor_cancels(tones: Explorer) -> None:
    tones.controls["kind"].value = "two"
    until(lambda: len(CALLS) == 2)
    tones.controls["tone"].value = "light"
    until(lambda: "light 2</text>" in shown(tones))
    assert "stopped" not in tones.runner.status.value
    GATE.set()
    assert tones.wait(LONG).k == 2
    assert len(CALLS) == 2
    tones.set(tone="dark").wait(LONG)
    assert "dark 2</text>" in shown(tones)
    assert len(CALLS) == 2


def test_a_chip_says_what_the_picture_shows_where_the_controls_say_otherwise(
    tones: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.SHOW_AFTER", 0.0)
    assert "picture:" not in tones.page.chips.value
    tones.set(k=4, kind="two")
    until(lambda: "picture: k 2, kind one" in tones.page.chips.value)
    tones.cancel()
    tones.wait(LONG)
    assert (tones.state()["k"], tones.state()["kind"]) == (2, "one")
    assert "cancelled" in tones.page.chips.value
    tones.set(k=2, kind="one").wait(LONG)
    assert "cancelled" not in tones.page.chips.value


def test_a_bin_that_is_gone_is_the_worst_one_again_and_no_chip_says_otherwise(
    widget: ReliabilityWidget,
) -> None:
    assert widget.set(bin=14).wait(LONG) is not None
    for bins in (3, 15, 50):
        result = widget.set(bins=bins).wait(LONG)
        assert widget.state()["bin"] is None
        assert "picture:" not in widget.page.chips.value
        assert widget.page.picture.live.selected["bin"] == str(result.costliest)


def test_a_value_by_hand_leads_back_to_the_one_that_auto_had_shown() -> None:
    kind = Auto(Real(above=0, log=True, slider=(0.1, 10, 0.005)))

    def scaled(subject: Any, *, size: Annotated[float | None, kind] = None) -> float:
        return 1.0 if size is None else size

    explorer = Explorer(scaled, SUBJECT)
    for value in (1.0116, 1.0):
        explorer.controls["size"].inner.value = value  # as the front end sets it
        assert explorer.wait(LONG) == value


# --- marks and handles ----------------------------------------------------------------------


def test_a_click_on_a_mark_chooses_it_and_computes_nothing(widget: ReliabilityWidget) -> None:
    result, live = widget.result, widget.page.picture.live
    assert 'id="bin:5"' in live.svg
    live.selected = {"bin": "5"}  # as the front end sets it
    assert widget.wait(LONG) is result
    assert widget.state()["bin"] == 5
    button(widget, "Reset").click()
    widget.wait(LONG)
    assert widget.state()["bin"] is None
    assert live.selected == {"bin": str(widget.result.costliest)}


def test_a_handle_sets_its_knob_and_stands_where_it_was_put(widget: ReliabilityWidget) -> None:
    live = widget.page.picture.live
    for value in (1.5, 0.7):
        live.dragged = {"name": "temperature", "value": value}
        assert widget.wait(LONG).calibrator.temperature == value
        assert live.handles["temperature"]["value"] == value
        assert widget.state()["method"] == "temperature"
    widget.set(method="histogram").wait(LONG)
    assert widget.state()["temperature"] is None


def test_what_is_locked_cannot_be_chosen_or_dragged() -> None:
    widget = ReliabilityWidget(SUBJECT, lock={"bin": 3, "temperature": 2.0})
    widget.wait(LONG)
    live = widget.page.picture.live
    live.selected = {"bin": "5"}
    live.dragged = {"name": "temperature", "value": 1.5}
    widget.wait(LONG)
    assert (widget.state()["bin"], widget.state()["temperature"]) == (3, 2.0)
    assert live.handles == {}
    assert live.selected["bin"] == "3"


def test_a_handle_keeps_within_the_bounds_of_a_lock() -> None:
    widget = ReliabilityWidget(SUBJECT, lock={"temperature": (0.8, 2.0)})
    widget.wait(LONG)
    handle = widget.page.picture.live.handles["temperature"]
    assert (handle["least"], handle["most"]) == (0.8, 2.0)


def test_a_page_that_cannot_load_the_picture_gets_it_as_it_is(
    widget: ReliabilityWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "PATIENCE", 0.01)
    stage = widget.page.picture
    assert "<svg" not in stage.plain.value
    stage.displayed()
    until(lambda: "pip install anywidget" in stage.plain.value)
    assert "<svg" in stage.plain.value
    assert stage.live.layout.display == "none"
    widget.set(bins=7).wait(LONG)
    assert "pip install anywidget" in stage.plain.value
    stage.live.alive = True  # it was slow
    assert (stage.live.layout.display, stage.plain.layout.display) == ("", "none")


# --- panels ---------------------------------------------------------------------------------


def test_panels_open_as_asked_for_and_are_filled_when_opened() -> None:
    widget = ReliabilityWidget(SUBJECT, panels=("numbers",))
    widget.wait(LONG)
    assert "Brier score" in shown(widget)
    members, numbers, *_ = widget.page.opened
    assert (members.is_open, numbers.is_open) == (False, True)
    button(widget, "+ images of a bin").click()
    widget.wait(LONG)
    drawn = widget.page.panels[0].gallery.live
    assert drawn.svg.count("<image") == 5
    assert "confidence in" in drawn.alt
    # An image is chosen like a mark, with what the network says of it below.
    result = widget.result
    image = str(result.image[result.members(result.costliest)[1]])
    assert f'id="image:{image}"' in drawn.svg
    drawn.selected = {"image": image}
    widget.wait(LONG)
    assert drawn.selected == {"image": image}
    sure = SUBJECT.logits[int(image)].double().softmax(0)
    best = SUBJECT.classes[int(sure.argmax())]
    said = shown(widget).replace("\u202f", " ")
    assert (
        f"Image {image} is {SUBJECT.classes[SUBJECT.labels[int(image)]]}. The network says" in said
    )
    assert f"{best} {100 * float(sure.max()):.1f} %" in said
    button(widget, "− images of a bin").click()
    assert not members.is_open


def test_of_all_classes_a_confidence_is_that_of_its_own_class() -> None:
    widget = ReliabilityWidget(SUBJECT, preset={"label": "all"}, panels=("images of a bin",))
    result = widget.wait(LONG)
    drawn = widget.page.panels[0].gallery.live
    first = int(result.members(result.costliest)[0])
    said = result.classes[first % len(result.classes)]
    sure = f"{100 * result.confidence[first]:.1f}\u202f%"
    assert f"confidence in {said} {sure}" in drawn.alt


def test_the_t_of_other_images_is_taken_by_a_click() -> None:
    widget = ReliabilityWidget(SUBJECT)
    widget.wait(LONG)
    assert 'id="method:temperature"' in widget.page.picture.live.svg
    widget.page.choose("method", "temperature")
    result = widget.wait(LONG)
    assert result.n_fitted > 0
    assert widget.controls["method"].value == "temperature"
    fitted = rw.reliability(SUBJECT, method="temperature").calibrator
    assert result.calibrator.temperature == fitted.temperature


def test_corruptions_are_measured_when_asked_for() -> None:
    widget = ReliabilityWidget(SUBJECT, panels=("corruptions",))
    widget.wait(LONG)
    table = widget.page.opened[-1].box.children[1].children[1]
    assert "<table" not in table.value
    button(widget, "Measure").click()
    widget.wait(LONG)
    assert table.value.count("<tr>") == 1 + len(widget.controls["corruption"].options) > 10
    clean = rw.reliability(SUBJECT)
    share = typeset(f"{clean.metric('accuracy') * 100:.1f} %")
    assert f"<td>clean</td><td>{share}</td>" in table.value
    assert widget.state() == widget.start


def test_rows_of_corruptions_follow_the_settings() -> None:
    widget = ReliabilityWidget(SUBJECT, panels=("corruptions",))
    widget.wait(LONG)
    begin, table = widget.page.opened[-1].box.children[1].children
    begin.click()
    widget.wait(LONG)
    assert (begin.description, table.value[:19]) == ("Measure", "measured: 16 of 16 ")
    widget.set(temperature=2.0).wait(LONG)
    softer = rw.reliability(SUBJECT, method="temperature", temperature=2.0, corruption="noise 1")
    share = typeset(f"{softer.metric('ece') * 100:.1f} %")
    assert table.value.startswith("measured: 16 of 16 · 240 images, T = 2.00 set by hand")
    assert f"<td>{share}</td>" in table.value.split("noise 1")[1].split("</tr>")[0]


def test_measuring_corruptions_can_be_stopped_and_goes_on() -> None:
    widget = ReliabilityWidget(SUBJECT, panels=("corruptions",))
    widget.wait(LONG)
    begin, table = widget.page.opened[-1].box.children[1].children
    before = table.value
    begin.click()
    begin.click()
    widget.wait(LONG)
    assert begin.description == "Measure"
    assert table.value.startswith("stopped: ")
    assert table.value.count("<tr>") < 16
    assert before != table.value
    begin.click()
    widget.wait(LONG)
    assert table.value.startswith("measured: 16 of 16 ")


@pytest.mark.parametrize("panels", ["numbers", 3, ("nambers",)])
def test_panels_that_are_not_there_are_refused(panels: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"panel.*: got .*\. (Pass|Use)"):
        ReliabilityWidget(SUBJECT, panels=panels)


def test_an_error_can_be_put_away(widget: ReliabilityWidget) -> None:
    widget.page.show_error(ValueError("no"))
    assert widget.page.alert.layout.display != "none"
    button(widget, "Dismiss").click()
    assert widget.page.alert.layout.display == "none"


def test_a_lock_wins_over_a_preset_and_holds() -> None:
    explorer = Explorer(grey, SUBJECT, preset={"k": 5, "kind": "one"}, lock={"k": 3})
    assert explorer.wait(LONG).k == 3
    with pytest.raises(ValueError, match="k cannot be 4: it is locked"):
        explorer.set(k=4)
    button(explorer, "Reset").click()
    assert explorer.wait(LONG).k == 3


def test_reset_lets_the_pin_go(tones: Explorer) -> None:
    button(tones, "Pin").click()
    tones.set(k=5).wait(LONG)
    assert "against 2" in shown(tones)
    assert "3 more, dark" in tones.page.readout.value
    tones.set(tone="light").wait(LONG)
    assert "3 more, light" in tones.page.readout.value
    button(tones, "Reset").click()
    tones.wait(LONG)
    assert "against" not in shown(tones)
    assert button(tones, "Pin")


class Rough(Explorer):
    def preview(self, knobs: dict[str, Any]) -> dict[str, Any]:
        return knobs | {"k": 1}


def test_a_pin_never_holds_or_compares_a_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    explorer = Rough(grey, SUBJECT)
    until(lambda: explorer.is_preview)
    explorer.work.pin()
    assert explorer.work.pinned is None
    monkeypatch.setattr("reliab_widgets.ui.running.REST", 0.0)
    explorer.set(k=3)
    until(lambda: explorer.work.pinned is not None)
    assert explorer.work.pinned.k == 3
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    explorer.wait(LONG)
    explorer.set(k=5)
    until(lambda: explorer.is_preview and "It is 1" in explorer.page.readout.value)
    assert "more" not in explorer.page.readout.value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": 5}, "preset is not a dict: got 5. Pass preset="),
        ({"lock": [1]}, "lock is not a dict"),
        ({"hide": "k"}, "hide is not a sequence: got 'k'"),
        ({"cache": "folder"}, r"cache is no Cache: got 'folder'. Pass cache=rw.Cache\(folder\)"),
    ],
)
def test_options_of_the_wrong_kind_say_how_to_give_them(options: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Explorer(grey, SUBJECT, **options)


@pytest.mark.parametrize("kind", ["exe", "", 5, None])
def test_a_file_that_cannot_be_written_is_named(tones: Explorer, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"no such file can be written: got .*'png', 'svg'"):
        tones.export(kind)


@pytest.mark.parametrize("analysis", [lambda subject: 3, functools.partial(grey, k=3)])
def test_code_of_what_has_no_name_is_python(analysis: Any) -> None:
    explorer = Explorer(analysis, SUBJECT, {})
    explorer.wait(LONG)
    compile(explorer.code(), "code", "exec")
    assert "<lambda>" not in explorer.code()


# --- pin, code, export ----------------------------------------------------------------------


def test_a_pinned_result_is_compared_with(widget: ReliabilityWidget) -> None:
    pinned = widget.result
    button(widget, "Pin").click()
    widget.set(method="temperature").wait(LONG)
    sentence = widget.result.against(pinned)
    assert len(sentence) > 20
    told = words.html.escape(typeset(sentence))
    # It has a line of its own: what does not fit there is told by its title.
    assert f'<span class="rw-more" title="{told}">{told}</span>' in widget.page.readout.value
    assert widget.page.picture.live.alt.endswith(f" {typeset(sentence)}")
    button(widget, "Unpin").click()
    widget.wait(LONG)
    assert "Against the pin" not in widget.page.readout.value


def test_its_code_gives_the_same_numbers(
    widget: ReliabilityWidget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    widget.set(method="temperature", bins=7, corruption="noise 1").wait(LONG)
    button(widget, "Code").click()
    assert widget.page.code.layout.display != "none"
    names: dict[str, Any] = {"subject": subject}
    exec(widget.page.code.value, names)
    assert_same(names["result"], widget.result)
    table = pd.read_csv(tmp_path / "reliability.csv")
    pd.testing.assert_frame_equal(table, widget.result.to_frame(), check_dtype=False)
    assert (tmp_path / "reliability.svg").read_text().rstrip().endswith("</svg>")
    widget.set(bins=9).wait(LONG)  # an open box follows what is shown
    assert widget.page.code.value == widget.work.code()
    assert "bins=9" in widget.page.code.value
    button(widget, "Code").click()
    assert widget.page.code.layout.display == "none"


def test_code_of_own_functions_runs() -> None:
    explorer, analysis = squares()
    explorer.set(k=8).wait(LONG)
    names: dict[str, Any] = {"subject": subject, "squares": analysis}
    exec(explorer.code(), names)
    assert names["result"] == 64


def test_export_writes_four_kinds_of_files(
    widget: ReliabilityWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    widget.page.notes.value = "mine"
    for kind in ("PNG", "SVG", "CSV", "JSON"):
        button(widget, kind).click()
        assert "Written to exports" in widget.page.saved.value
        assert_harmless(widget.page.saved.value)
    files = {path.suffix: path.read_bytes() for path in (tmp_path / "exports").iterdir()}
    assert files[".png"].startswith(b"\x89PNG")
    assert files[".svg"].startswith(b"<svg")
    assert b"var(--rw-" not in files[".svg"]
    table = pd.read_csv(next((tmp_path / "exports").glob("*.csv")))
    assert len(table) == len(widget.result.to_frame())
    passport = json.loads(files[".json"])
    assert passport["notes"] == "mine"
    assert passport["knobs"] == {**widget.result.knobs, **widget.views()}
    assert passport["fingerprint"] == SUBJECT.fingerprint
    assert passport["finding"] == str(widget.result)


@pytest.mark.parametrize("name", ANALYSES.values())
def test_exported_settings_are_a_preset(tmp_path: Path, name: str) -> None:
    kind = getattr(rw.widgets, f"{name}Widget")
    widget = kind(SUBJECT)
    handled = {"Saliency": {"baselines": ("white", "mean"), "steps": 5, "clip": 95.0},
               "Reliability": {"temperature": 1.5, "bins": 4},
               "Propagation": {"epsilon": 4 / 255, "steps": 2, "metric": "cosine"},
               "Pruning": {"criterion": "random", "images": 20, "seed": 3},
               "Landscape": {"plane": "random", "points": 11, "angle": 45},
               "Robustness": {"attacks": ("fgsm",), "norm": "L2"},
               "Transfer": {"attack": "fgsm", "ghost": 0.1, "cell": (1, 0)},
               "Universal": {"norm": "Linf", "share": 0.04}}[name]  # fmt: skip
    widget.set(**{knob: value for knob, value in handled.items() if knob in widget.controls})
    widget.wait(LONG)
    path = widget.export("json", tmp_path)
    again = kind(SUBJECT, preset=path)
    assert again.state() == widget.state()
    assert again.start == widget.state()
    assert_same(again.wait(LONG), widget.result)


def test_a_view_that_is_none_is_refused_before_the_first_picture() -> None:
    with pytest.raises(ValueError, match="there is no such metric: got 'max'"):
        rw.widgets.PropagationWidget(SUBJECT, preset={"metric": "max"})
    with pytest.raises(TypeError, match="got 'often'"):
        rw.widgets.PropagationWidget(SUBJECT, preset={"log": "often"})


def test_settings_of_something_else_are_told(tmp_path: Path, widget: ReliabilityWidget) -> None:
    path = widget.set(bins=4).export("json", tmp_path)
    with pytest.warns(UserWarning, match=r"another network or of other images: got .* not tiny"):
        other = ReliabilityWidget(SUBJECT[:50], preset=str(path))
    assert other.state()["bins"] == 4
    with pytest.raises(ValueError, match="got settings of reliability for saliency"):
        rw.widgets.SaliencyWidget(SUBJECT, preset=path)
    with pytest.raises(ValueError, match=r"no file that can be read: got 'nowhere\.json'"):
        ReliabilityWidget(SUBJECT, preset="nowhere.json")
    for text in ("", "[]", '{"settings": 3}', "{}"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"preset has no settings: got .*\. Pass preset="):
            ReliabilityWidget(SUBJECT, preset=path)


def test_other_settings_go_to_another_file(tmp_path: Path, widget: ReliabilityWidget) -> None:
    first = widget.export("json", tmp_path)
    assert widget.export("json", tmp_path) == first
    assert widget.set(bins=4).export("json", tmp_path) != first


def test_figures_of_own_functions_can_be_exported(tmp_path: Path) -> None:
    explorer = Explorer(lambda subject: Figure(), SUBJECT, {})
    assert explorer.export("png", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert explorer.export("svg", tmp_path).read_bytes().startswith(b"<svg")
    with pytest.raises(ValueError, match="no CSV can be written"):
        explorer.export("csv", tmp_path)


# --- life cycle -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: ReliabilityWidget(SUBJECT), lambda: two_knobs()])
def test_close_leaves_nothing(make: Callable[[], Explorer]) -> None:
    make().close()  # what is made once per process is made
    before = set(_instances)
    explorer = make()
    explorer.wait(LONG)
    assert len(_instances) > len(before) + 20
    explorer.close()
    explorer.close()
    assert set(_instances) == before


def test_closing_stops_the_work_and_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE", 0.01)
    analysis = Gated()
    explorer = Explorer(analysis, SUBJECT, {"k": slider()})
    assert analysis.begun.wait(LONG)
    explorer.close()
    explorer.refresh()
    until(lambda: not [t for t in threading.enumerate() if t.name == "reliab_widgets"])


class Shell:
    """As much of IPython as tells which cell runs."""

    def __init__(self, cell: str | None, run: str) -> None:
        metadata = {} if cell is None else {"cellId": cell}
        self.message = {"metadata": metadata, "header": {"msg_id": run}}

    def get_parent(self) -> Any:
        return self.message


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None, str], None]:
    def run(cell: str | None, number: str) -> None:
        shell = Shell(cell, number)
        monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)

    return run


def test_python_ends_quietly_with_a_widget_open() -> None:
    code = (
        "import torch, reliab_widgets as rw\n"
        "model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))\n"
        "subject = rw.Subject(model, torch.rand(9, 3, 2, 2), torch.arange(9) % 3)\n"
        "widget = rw.widgets.ReliabilityWidget(subject)\n"
        "widget.wait(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_running_a_cell_again_closes_what_it_made(running: Callable[..., None]) -> None:
    running("cell one", "run 1")
    first, twin = two_knobs(), two_knobs()
    running("cell two", "run 2")
    other = two_knobs()
    running(None, "run 3")
    homeless = two_knobs()
    assert first.comm is not None
    running("cell one", "run 4")
    again = two_knobs()
    assert first.comm is None
    assert twin.comm is None
    assert all(open_.comm is not None for open_ in (other, homeless, again))


def test_running_a_cell_many_times_leaks_nothing(running: Callable[..., None]) -> None:
    sizes = []
    for number in range(4):
        running("cell", f"run {number}")
        two_knobs().wait(LONG)
        sizes.append(len(_instances))
    assert len(set(sizes)) == 1


def test_a_slider_made_elsewhere_survives(running: Callable[..., None]) -> None:
    shared = slider()
    for number in range(2):
        running("cell", f"run {number}")
        explorer = Explorer(Squares(), SUBJECT, {"k": shared})
    assert shared.comm is not None
    assert shared.layout.comm is not None
    shared.value = 7
    assert explorer.wait(LONG) == 49


# --- display --------------------------------------------------------------------------------


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a cell puts out, in order; what is brought up to date later comes behind."""
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(InteractiveShell.instance(), "display_pub", publisher)
    monkeypatch.setattr("reliab_widgets.ui.static.REST", 0.0)
    yield publisher.outputs
    InteractiveShell.clear_instance()


def test_a_reader_without_a_kernel_sees_picture_and_sentence(
    widget: ReliabilityWidget, outputs: list[dict[str, Any]]
) -> None:
    widget.wait(LONG)
    display(widget)
    live, copy = (it["data"] for it in outputs)
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert "text/html" not in live
    assert base64.b64decode(copy["image/png"]).startswith(b"\x89PNG")
    words_of = typeset(widget.sentence(widget.result))
    assert f'alt="{words.html.escape(words_of)}"' in copy["text/html"]
    assert copy["text/plain"] == words_of
    # Where the widget lives, its copy is not seen.
    (name,) = re.findall(r'<figure class="(rw-\w+)">', copy["text/html"])
    assert f".{name}, " in widget.page.title.value


def test_the_copy_becomes_what_is_shown_last(outputs: list[dict[str, Any]]) -> None:
    go_on = threading.Event()

    def waits(subject: rw.Subject, k: int) -> str:
        assert k == 1 or go_on.wait(LONG)
        return f"result {k}"

    explorer = Explorer(waits, SUBJECT, {"k": W.IntSlider(1, 1, 9)})
    explorer.wait(LONG)
    explorer.controls["k"].value = 2
    display(explorer)  # waits for no more than a first picture
    assert outputs[1]["data"] == {"text/plain": "result 1"}
    go_on.set()
    until(lambda: len(outputs) == 3)
    assert outputs[2]["data"] == {"text/plain": "result 2"}
    assert outputs[2]["update"]
    assert outputs[2]["transient"] == outputs[1]["transient"]


def test_a_copy_is_not_made_of_what_is_not_shown(outputs: list[dict[str, Any]]) -> None:
    explorer = Explorer(Squares(), SUBJECT, {"k": slider()})
    explorer.set(k=3).wait(LONG)
    time.sleep(0.05)
    assert outputs == []


def test_showing_a_widget_in_error_does_not_raise(outputs: list[dict[str, Any]]) -> None:
    display(Explorer(lambda subject: 1 / 0, SUBJECT, {}))
    assert "application/vnd.jupyter.widget-view+json" in outputs[0]["data"]
    assert outputs[1]["data"] == {"text/plain": "There is no picture yet."}


@pytest.mark.parametrize("word", ANALYSES)
def test_every_control_has_a_name_and_is_a_knob(word: str) -> None:
    widget = getattr(rw.widgets, f"{ANALYSES[word]}Widget")(SUBJECT)
    for part in parts(widget):
        if (
            isinstance(part, W.DOMWidget)
            and hasattr(part, "value")
            and not isinstance(part, W.HTML | W.IntProgress)
        ):
            assert part.description or part.tooltip, part
        if isinstance(part, W.Button):
            assert part.description
            assert part.tooltip
    parameters = inspect.signature(getattr(rw, word)).parameters
    knobs = widget.knobs()
    assert set(knobs) <= set(parameters)
    lists = [part for part in parts(widget) if isinstance(part, W.Dropdown)]
    assert all(part.label for part in lists), "a list shows nothing"
    result = widget.wait(LONG)
    while getattr(widget, "is_preview", False):
        time.sleep(0.05)
        result = widget.wait(LONG)
    assert_same(getattr(rw, word)(SUBJECT, **knobs), result)
    visible = [c for n, c in widget.controls.items() if n not in ("calibration_images", "interval")]
    assert all(it.description for it in visible if isinstance(it, W.Widget))


def test_everything_from_outside_is_escaped() -> None:
    hostile = subject(classes=("dark", HOSTILE, "grey"))
    hostile = hostile.with_images(hostile.images, name=HOSTILE, code="subject()")
    widget = ReliabilityWidget(hostile, preset={"label": HOSTILE, "bins": 4})
    widget.wait(LONG)
    button(widget, "Pin").click()
    for number in range(4):
        widget.set(bin=number)
        widget.wait(LONG)
        page = shown(widget)
        assert words.html.escape(HOSTILE) in page
        assert_harmless(page)
    assert_harmless(thumbnail(np.zeros((3, 4, 4)), HOSTILE, f'"{HOSTILE}'))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_kind_have_thumbnails(channels: int) -> None:
    ((_, _), (tag, attributes), *_) = Tags(thumbnail(np.ones((channels, 4, 4)), "a\nb", "t")).found
    assert tag == "img"
    assert attributes["alt"] == "t"


# --- another network behind -----------------------------------------------------------------


def test_another_network_is_shown_behind_on_the_same_images() -> None:
    other = rw.Subject(
        SUBJECT.network.copied(lambda model: model.fc.bias.add_(0.5)).model.eval(),
        SUBJECT.images[:3],
        SUBJECT.labels[:3],
        name="other net",
    )
    widget = ReliabilityWidget(SUBJECT, against=other)
    result = widget.wait(LONG)
    ghost = widget.work.ghost
    assert (result.subject, ghost.subject) == (SUBJECT.name, "other net")
    assert ghost.n == result.n == len(SUBJECT)  # the images of the first, not its three
    assert ghost.knobs == result.knobs
    assert f"Against other net: {result.against(ghost).partition(': ')[2]}" in html_text(widget)
    assert "◇ other net" in widget.page.picture.live.svg
    widget.set(bins=7).wait(LONG)
    assert widget.work.ghost.knobs["bins"] == 7
    # What is pinned by hand stands instead of it.
    button(widget, "Pin").click()
    widget.wait(LONG)
    assert "Against the pin" in html_text(widget)
    assert "◇ pinned" in widget.page.picture.live.svg


def html_text(widget: Any) -> str:
    return words.html.unescape(re.sub("<[^>]+>", "", widget.page.readout.value)).replace(
        "\u202f", " "
    )


@pytest.mark.parametrize(
    ("against", "kind", "said"),
    [
        (3, TypeError, "against is not a Subject: got int"),
        (rw.demo("resnet20")[:4], ValueError, "only networks with the same classes are compared"),
    ],
)
def test_what_cannot_stand_behind_is_refused(
    against: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        ReliabilityWidget(SUBJECT, against=against)
