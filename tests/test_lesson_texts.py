"""What a lesson names in bold where a widget is used can be seen in that widget."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import ipywidgets as W
import nbformat
import pytest

import reliab_widgets as rw
from reliab_widgets.core.drawing import svg
from reliab_widgets.widgets import Workbench
from tests.test_drawing import parsed
from tests.test_explorer import parts

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
WIDGET = re.compile(r"rw\.widgets\.(\w+)\(")
BOLD = re.compile(r"\*\*(.+?)\*\*")


def sections() -> list[tuple[str, str, str]]:
    """Lesson, widget and text of each section that ends in a cell with a widget.

    A workbench that has a name stays at hand: all exercises after it speak of it.
    """
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        named = False
        for before, cell in pairwise(cells):
            if before.cell_type != "markdown":
                continue
            text = before.source.split("\n## ")[-1]
            if name := WIDGET.search(cell.source):
                found.append((path.stem, name[1], text))
            elif named and "exercise" in cell.metadata.get("tags", []):
                found.append((path.stem, "Workbench", text))
            named |= cell.source.startswith("lab = rw.widgets.Workbench(")
    return found


def seen(widget: Any) -> str:
    """Everything that can be read in a widget: labels, buttons, choices, panels, the picture."""
    widgets = list(widget.tabs.explorers.values()) if isinstance(widget, Workbench) else [widget]
    words = []
    for it in widgets:
        words += [it.question, it.about, *(one.name for one in getattr(it.page, "opened", ()))]
    for part in (*parts(widget), *(part for it in widgets for part in parts(it))):
        words += [str(getattr(part, "description", "")), str(getattr(part, "tooltip", ""))]
        if isinstance(part, W.Dropdown | W.ToggleButtons):
            words += [str(text) for text in part._options_labels]
        if isinstance(part, W.HTML):
            words.append(part.value)
    for it in widgets:
        drawn = parsed(svg(it.work.figure))
        words += [text.text or "" for text in drawn.iter() if text.text]
    return re.sub("<[^>]+>", " ", "\n".join(words)).replace("\u202f", " ")


def test_there_are_lessons_with_widgets() -> None:
    assert {name for _, name, _ in sections()} == {
        "SaliencyWidget", "ReliabilityWidget", "PropagationWidget", "PruningWidget", "Workbench",
    }  # fmt: skip


def opened(name: str) -> Any:
    """Return a widget with its first picture; a workbench with those of three tabs."""
    some = rw.demo("resnet20")[:96]
    if name == "Workbench":
        made = Workbench(some, tab="reliability")
        for word in ("saliency", "propagation", "reliability"):
            made.show(word).wait(120)
        return made
    preset = {"images": 16, "calibration_images": 20} if name == "PruningWidget" else {}
    widget = getattr(rw.widgets, name)(some, preset=preset)
    widget.wait(120)
    return widget


SLOW = pytest.mark.slow("a workbench with the first pictures of three tabs")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=SLOW if name == "Workbench" else ())
        for name in sorted({name for _, name, _ in sections()})
    ],
)
def test_what_a_lesson_names_in_bold_is_there(name: str) -> None:
    widget = opened(name)
    try:
        there = seen(widget)
        for lesson, _, text in (it for it in sections() if it[1] == name):
            for words in BOLD.findall(text):
                assert words.rstrip(".:,") in there, f"{lesson} says {words!r}: {name} has none"
    finally:
        widget.close()
