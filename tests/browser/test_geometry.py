"""Where things lie in a picture: pure functions of the page, asked without a page."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.lab import ROOT

pytestmark = pytest.mark.browser

SOURCE = (ROOT / "reliab_widgets" / "ui" / "web" / "geometry.js").read_text()
CALL = """async ([source, name, given]) => {
  const found = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
  return found[name](...given) ?? null;
}"""
GRID = {"rows": 4, "columns": 8}
BOX = {"x": 100, "y": 50, "width": 80, "height": 40}


@pytest.fixture(scope="module")
def ask(context: BrowserContext) -> Iterator[Callable[..., Any]]:
    page = context.new_page()
    yield lambda name, *given: page.evaluate(CALL, [SOURCE, name, list(given)])
    page.close()


@pytest.mark.parametrize(
    ("x", "y", "cell"),
    [(100, 50, [0, 0]), (109.9, 59.9, [0, 0]), (110, 60, [1, 1]), (179, 89, [3, 7]),
     (180, 90, [3, 7]), (0, 500, [3, 0])],
)  # fmt: skip
def test_a_point_lies_in_a_cell(ask: Any, x: float, y: float, cell: list[int]) -> None:
    assert ask("cellAt", GRID, BOX, {"x": x, "y": y}) == cell


@pytest.mark.parametrize(
    ("key", "cell"),
    [("ArrowRight", [1, 7]), ("ArrowLeft", [1, 6]), ("ArrowUp", [0, 7]), ("ArrowDown", [2, 7]),
     ("Home", [1, 0]), ("End", [1, 7]), ("x", None), ("Enter", None)],
)  # fmt: skip
def test_a_key_leads_to_a_cell(ask: Any, key: str, cell: list[int] | None) -> None:
    assert ask("cellByKey", GRID, [1, 7], key) == cell
