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
from tests.test_drawing import parsed
from tests.test_explorer import parts

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
WIDGET = re.compile(r"rw\.widgets\.(\w+)\(")
BOLD = re.compile(r"\*\*(.+?)\*\*")


def sections() -> list[tuple[str, str, str]]:
    """Lesson, widget and text of each section that ends in a cell with a widget."""
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        for before, cell in pairwise(cells):
            if (name := WIDGET.search(cell.source)) and before.cell_type == "markdown":
                found.append((path.stem, name[1], before.source.split("\n## ")[-1]))
    return found


def seen(widget: Any) -> str:
    """Everything that can be read in a widget: labels, buttons, choices, panels, the picture."""
    words = [widget.question, widget.about, *(it.name for it in getattr(widget.page, "opened", ()))]
    for part in parts(widget):
        words += [str(getattr(part, "description", "")), str(getattr(part, "tooltip", ""))]
        if isinstance(part, W.Dropdown | W.ToggleButtons):
            words += [str(text) for text in part._options_labels]
        if isinstance(part, W.HTML):
            words.append(part.value)
    drawn = parsed(svg(widget.work.figure))
    words += [text.text or "" for text in drawn.iter() if text.text]
    return re.sub("<[^>]+>", " ", "\n".join(words)).replace("\u202f", " ")


def test_there_are_lessons_with_widgets() -> None:
    assert {name for _, name, _ in sections()} == {
        "SaliencyWidget", "ReliabilityWidget", "PropagationWidget", "PruningWidget",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted({name for _, name, _ in sections()}))
def test_what_a_lesson_names_in_bold_is_there(name: str) -> None:
    preset = {"images": 48, "calibration_images": 50} if name == "PruningWidget" else {}
    widget = getattr(rw.widgets, name)(rw.demo("resnet20")[:96], preset=preset)
    try:
        widget.wait(120)
        there = seen(widget)
        for lesson, _, text in (it for it in sections() if it[1] == name):
            for words in BOLD.findall(text):
                assert words.rstrip(".:,") in there, f"{lesson} says {words!r}: {name} has none"
    finally:
        widget.close()
