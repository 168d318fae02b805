"""What a person waits for: from the key or the click to the repaint, in a real JupyterLab."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Locator, sync_playwright

from tests.browser.lab import (
    NO_BROWSER,
    Lab,
    Notebook,
    browser,
    button,
    chromium,
    labelled,
    write_notebook,
)

from .measured import Measured

PRESSES = 40
NOTEBOOKS = 3
# Resolves after the frame that shows an element with a text, with the seconds since the last key
# or click.
WATCH = """([selector, text]) => { window.repaint = new Promise((done, fail) => {
  let begun = null;
  const begin = event => { begun = event.timeStamp; };
  for (const kind of ['keydown', 'pointerdown']) addEventListener(kind, begin, true);
  const shown = node => [node, ...(node.querySelectorAll?.(selector) ?? [])]
    .some(it => it.matches?.(selector) && it.textContent.includes(text));
  const observer = new MutationObserver(records => {
    if (begun === null || !records.some(record => [...record.addedNodes].some(shown))) return;
    observer.disconnect();
    for (const kind of ['keydown', 'pointerdown']) removeEventListener(kind, begin, true);
    requestAnimationFrame(() => setTimeout(() => done((performance.now() - begun) / 1000)));
  });
  observer.observe(document.body, {childList: true, subtree: true});
  setTimeout(() => fail(new Error(`no new ${selector} ${text} within a minute`)), 60_000);
}); }"""
PICTURE = ".rw-picture"


def measure(name: str) -> Iterator[Measured]:
    """Everything that this file measures, with the network ``name`` of the zoo."""
    with sync_playwright() as playwright, TemporaryDirectory() as scratch:
        executable = chromium(playwright)
        if executable is None:
            raise SystemExit(NO_BROWSER)
        folder = Path(scratch)
        cell = f"import reliab_widgets as rw\nrw.widgets.ReliabilityWidget(rw.demo({name!r}))"
        (folder / "notebooks").mkdir()
        with (
            browser(playwright, executable, folder / "profile") as context,
            Lab(folder / "notebooks", folder / "lab") as lab,
        ):
            first = []
            for number in range(NOTEBOOKS):
                path = lab.folder / f"{number}.ipynb"
                write_notebook(path, cell)
                notebook = Notebook(context, lab, path.name)
                first.append(repainted(notebook, notebook.run_all, PICTURE))
                if number < NOTEBOOKS - 1:
                    notebook.close()
            yield Measured("first picture after Run All, kernel started, nothing imported", first)
            yield from sliders(notebook)
            yield cancelling(notebook)
            if notebook.faults:
                raise SystemExit(f"the browser saw faults: {notebook.faults}")


def sliders(notebook: Notebook) -> Iterator[Measured]:
    """Arrow key on a slider to the repaint of the picture; every setting is a new one."""
    widget = notebook.page.locator(".rw-explorer")
    for label, what in (
        ("T", "temperature"),
        ("bins", "number of bins"),
        ("bin", "choice of a bin"),
    ):
        slider = labelled(widget, label)
        repainted(notebook, press(notebook, slider, "Home"), PICTURE)
        presses = [
            repainted(notebook, press(notebook, slider, "ArrowRight"), PICTURE)
            for _ in range(PRESSES)
        ]
        yield Measured(f"{what}: arrow key to repaint", presses)


def cancelling(notebook: Notebook) -> Measured:
    """Click on Cancel to "stopped", while images go through the network."""
    widget = notebook.page.locator(".rw-explorer")
    choices = labelled(widget, "shift").locator("select")
    clicks = []
    for option in choices.locator("option").all_inner_texts()[1:11]:
        choices.select_option(option)
        cancel = button(widget, "Cancel")
        clicks.append(repainted(notebook, cancel.click, "[role=status]", "stopped"))
    return Measured("Cancel during forward passes: click to “stopped”", clicks)


def press(notebook: Notebook, slider: Locator, key: str) -> Callable[[], None]:
    return lambda: notebook.press_in(slider, key)


def repainted(
    notebook: Notebook, act: Callable[[], object], selector: str, text: str = ""
) -> float:
    """Seconds from the last key or click of ``act`` to the frame that shows the answer."""
    notebook.page.evaluate(WATCH, [selector, text])
    act()
    return notebook.page.evaluate("() => window.repaint")
