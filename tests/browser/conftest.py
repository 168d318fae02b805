"""One browser and one JupyterLab for all tests; a notebook for each file of them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, sync_playwright

from tests.browser.lab import (
    KERNELS,
    NO_BROWSER,
    WINDOW,
    Lab,
    Notebook,
    browser,
    chromium,
    write_notebook,
)


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        executable = chromium(playwright)
        if executable is None:
            pytest.skip(NO_BROWSER)
        with browser(playwright, executable, tmp_path_factory.mktemp("profile")) as opened:
            yield opened


@pytest.fixture(scope="session")
def lab(context: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, context: BrowserContext, lab: Lab) -> Iterator[Notebook]:
    """The notebook of the file's ``CELLS`` after Run All."""
    lab.set(KERNELS, {"commsOverSubshells": getattr(request, "param", "perCommTarget")})
    name = f"{request.path.stem}.ipynb"
    write_notebook(lab.folder / name, *request.module.CELLS)
    notebook = Notebook(context, lab, name)
    notebook.run_all()
    assert not notebook.faults
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(opened: Notebook) -> Iterator[Notebook]:
    """The notebook, of which every test leaves no fault behind."""
    yield opened
    faults, opened.faults[:] = list(opened.faults), []
    assert not faults


@pytest.fixture(scope="session")
def shot() -> Callable[[Locator, str], None]:
    """Keep a picture of something on the page, if RELIAB_SHOTS names a folder for pictures."""
    folder = os.environ.get("RELIAB_SHOTS")

    def take(what: Locator, name: str) -> None:
        if folder:
            what.page.set_viewport_size(WINDOW | {"height": 1200})  # nothing lies under the menu
            what.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")
            what.page.set_viewport_size(WINDOW)

    return take
