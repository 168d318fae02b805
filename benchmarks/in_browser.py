"""What a person waits for: from the key or the click to the repaint, in a real JupyterLab."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from playwright.sync_api import BrowserContext, Locator, expect, sync_playwright

from tests.browser.lab import (
    NO_BROWSER,
    Lab,
    Notebook,
    browser,
    button,
    chromium,
    labelled,
    status,
    write_notebook,
)

from .measured import Measured

PRESSES = 40
NOTEBOOKS = 3
JOBS = 5
TURNS = 2
INNERMOST = ".rw-explorer:not(:has(.rw-explorer))"
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
PICTURE = ".rw-picture svg"


class Case(NamedTuple):
    """A widget: its sliders, and how its longest job is begun, again and again."""

    widget: str
    sliders: dict[str, str]
    job: str
    begin: Callable[[Locator], Iterator[object]]
    panels: tuple[str, ...] = ()


def measure(name: str) -> Iterator[Measured]:
    """Everything that this file measures, with the network ``name`` of the zoo."""
    with sync_playwright() as playwright, TemporaryDirectory() as scratch:
        executable = chromium(playwright)
        if executable is None:
            raise SystemExit(NO_BROWSER)
        folder = Path(scratch)
        (folder / "notebooks").mkdir()
        with (
            browser(playwright, executable, folder / "profile") as context,
            Lab(folder / "notebooks", folder / "lab") as lab,
        ):
            for case in CASES:
                made = f"rw.widgets.{case.widget}(rw.demo({name!r}), panels={case.panels!r})"
                cell = f"import reliab_widgets as rw\n{made}"
                first = []
                for number in range(NOTEBOOKS):
                    path = lab.folder / f"{case.widget}{number}.ipynb"
                    write_notebook(path, cell)
                    notebook = Notebook(context, lab, path.name)
                    first.append(repainted(notebook, notebook.run_all, PICTURE))
                    if number < NOTEBOOKS - 1:
                        notebook.close()
                yield Measured(f"{case.widget}: first picture after Run All, new kernel", first)
                widget = notebook.page.locator(".rw-explorer")
                expect(status(widget)).to_contain_text("● ready", timeout=180_000)
                for label, what in case.sliders.items():
                    yield Measured(f"{case.widget}: {what}", sliding(notebook, widget, label))
                clicks = []
                for _ in case.begin(widget):
                    cancel = button(widget, "Cancel")
                    expect(cancel).to_be_visible()
                    clicks.append(repainted(notebook, cancel.click, "[role=status]", "stopped"))
                yield Measured(f"{case.widget}: Cancel {case.job}, to “stopped”", clicks)
                if notebook.faults:
                    raise SystemExit(f"the browser saw faults: {notebook.faults}")
                notebook.close()
            yield from compared(context, lab, name)


def compared(context: BrowserContext, lab: Lab, name: str) -> Iterator[Measured]:
    """Sliders of a widget alone and in the workbench, in turns."""
    made = {
        "alone": f"ReliabilityWidget(rw.demo({name!r}))",
        "in the workbench": f"Workbench(rw.demo({name!r}), tab='reliability')",
    }
    opened = {}
    for place, call in made.items():
        path = lab.folder / f"{place}.ipynb"
        write_notebook(path, f"import reliab_widgets as rw\nrw.widgets.{call}")
        notebook = Notebook(context, lab, path.name)
        notebook.run_all()
        opened[place] = notebook, notebook.page.locator(INNERMOST)
        expect(status(opened[place][1])).to_contain_text("● ready", timeout=180_000)
    for label, what in {"handle:temperature": "temperature", "Bins": "number of bins"}.items():
        found: dict[str, list[float]] = {place: [] for place in opened}
        for _ in range(TURNS):
            for place, (notebook, widget) in opened.items():
                notebook.page.bring_to_front()  # a page behind is not painted
                found[place] += sliding(notebook, widget, label)
        for place, seconds in found.items():
            yield Measured(f"ReliabilityWidget {place}: {what}", seconds)
        alone, within = found.values()
        ratios = [one / other for one, other in zip(within, alone, strict=False)]
        yield Measured("the latter in units of the former", ratios, "")
    for notebook, _ in opened.values():
        if notebook.faults:
            raise SystemExit(f"the browser saw faults: {notebook.faults}")
        notebook.close()


def sliding(notebook: Notebook, widget: Locator, label: str) -> list[float]:
    """Arrow key on a slider to the repaint of the picture, from its start to its end."""
    page, live = notebook.page, ":" in label
    slider = widget.locator(f'.rw-picture [data-mark^="{label}"]')
    handle = slider.first if live else labelled(widget, label).locator(".noUi-handle")
    handle.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(3000)
    steps, at = [], handle.get_attribute
    most = slider.count() - 1 if label.endswith(":") else PRESSES
    most = PRESSES // 2 if label.startswith("grid:") else most  # a row of cells
    ends = not live or label.startswith("handle:")
    while len(steps) < min(most, PRESSES):
        if ends and at("aria-valuenow") == at("aria-valuemax"):
            break
        steps.append(repainted(notebook, lambda: page.keyboard.press("ArrowRight"), PICTURE))
    return steps


def corruptions(widget: Locator) -> Iterator[object]:
    """Another corruption of the images each time: all of them go through the network again."""
    choices = labelled(widget, "Corruption").locator("select")
    for option in choices.locator("option").all_inner_texts()[1:11]:
        yield choices.select_option(option)


def images(widget: Locator) -> Iterator[object]:
    """RISE with most masks, of another image each time."""
    labelled(widget, "Method").locator("select").select_option("RISE")
    button(widget, "+ all settings").click()
    labelled(widget, "Masks").locator("select").select_option("4000")
    button(widget, "− all settings").click()
    for _ in range(JOBS):
        yield button(widget, "▶").click()


def sweeps(widget: Locator) -> Iterator[object]:
    """All epsilons for another image each time."""
    button(widget, "+ ε sweep").click()
    for _ in range(JOBS):
        button(widget, "▶").click()
        expect(status(widget)).to_contain_text("● ready")
        yield button(widget, "Sweep ε").click()


def criteria(widget: Locator) -> Iterator[object]:
    """Another order of the filters each time."""
    choices = labelled(widget, "Rank filters by").locator("select")
    for option in choices.locator("option").all_inner_texts()[1:]:
        yield choices.select_option(option)


CASES = (
    Case(
        "ReliabilityWidget",
        {"handle:temperature": "temperature", "Bins": "number of bins", "bin:": "choice of a bin"},
        "forward passes",
        corruptions,
    ),
    Case(
        "SaliencyWidget",
        {
            "handle:alpha": "path",
            "handle:fraction": "deleted pixels",
            "grid:cell.1": "choice of a pixel",
        },
        "RISE",
        images,
        ("path", "deletion"),
    ),
    Case(
        "PropagationWidget", {"Size ε": "epsilon", "layer:": "choice of a layer"}, "a sweep", sweeps
    ),
    Case("PruningWidget", {"handle:level": "part removed"}, "a sweep", criteria),
)


def repainted(
    notebook: Notebook, act: Callable[[], object], selector: str, text: str = ""
) -> float:
    """Seconds from the last key or click of ``act`` to the frame that shows the answer."""
    notebook.page.evaluate(WATCH, [selector, text])
    act()
    return notebook.page.evaluate("() => window.repaint")
