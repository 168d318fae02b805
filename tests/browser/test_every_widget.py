"""What all widgets do in a real JupyterLab: they fit, and can be read, redone and kept."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import (
    ROOT,
    Lab,
    Notebook,
    assert_fits,
    button,
    picture,
    sentence,
    status,
)

pytestmark = pytest.mark.browser

SUBJECT = """
from ipywidgets.widgets.widget import _instances
import reliab_widgets as rw

subject = rw.demo("resnet20")[:96]
"""
# What is ready when a widget is shown is kept in the notebook.
WIDGET = """
{name} = rw.widgets.{name}(subject, preset={preset})
{name}.wait(120)
{name}
"""
PRESETS: dict[str, dict[str, Any]] = {
    "SaliencyWidget": {"method": "occlusion"},
    "ReliabilityWidget": {"method": "histogram"},
    "PropagationWidget": {"attack": "mim", "denoiser": "median"},
    "PruningWidget": {"criterion": "weight", "images": 32, "calibration_images": 20},
    "LandscapeWidget": {"plane": "random", "points": 11, "steps": 3, "restarts": 1},
    "RobustnessWidget": {"attacks": ("fgsm",), "norm": "L2", "images": 64},
    "TransferWidget": {"attack": "fgsm", "ghost": 0.1},
}
NAMES = list(PRESETS)
SLIDERS = {
    "ReliabilityWidget": "Bins",
    "PropagationWidget": "Size ε",
    "PruningWidget": "share removed",
    "LandscapeWidget": "drag: line at",
    "RobustnessWidget": "size:",
    "TransferWidget": "size:",
}
OTHERS: dict[str, dict[str, Any]] = {
    "ReliabilityWidget": {"bins": 9},
    "PropagationWidget": {"epsilon": 2 / 255},
    "PruningWidget": {"criterion": "random"},
}
CELLS = (
    SUBJECT,
    *(WIDGET.format(name=name, preset=preset) for name, preset in PRESETS.items()),
)
# Run by a new Python, without a display, above the copied code.
PLANNED = """
from reliab_widgets.core import network
from reliab_widgets.core.batching import Plan

network.probe = lambda *_: {plan}
"""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def widget(notebook: Notebook, name: str) -> Locator:
    found = notebook.cell(1 + NAMES.index(name)).locator(".rw-explorer")
    expect(picture(found)).to_be_visible()
    notebook.run_new(f"_ = {name}.wait(120)")
    expect(status(found)).to_contain_text("ready")
    return found


@pytest.mark.slow("the first waits until four widgets are ready, with a real network")
def test_picture_is_its_sentence_and_fits(
    widget: Locator, name: str, shot: Callable[[Locator, str], None]
) -> None:
    assert len(sentence(widget).inner_text()) > 40
    expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    assert_fits(widget)
    shot(widget, name)


@pytest.mark.parametrize("name", SLIDERS, indirect=True)
def test_ends_of_its_slider_are_as_good_as_the_middle(
    notebook: Notebook, widget: Locator, name: str, shot: Callable[[Locator, str], None]
) -> None:
    slider = widget.get_by_role("slider", name=re.compile(rf"^{re.escape(SLIDERS[name])}"))
    finding, drawn = sentence(widget).inner_text(), picture(widget).text_content()
    value = str(slider.get_attribute("aria-valuenow"))
    size = widget.evaluate(SIZE)
    ends = set()
    for key in ("Home", "End"):
        slider.focus()
        notebook.page.keyboard.press(key)
        notebook.run_new(f"_ = {name}.wait(120)")
        expect(status(widget)).to_contain_text("ready")
        expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
        assert re.findall(r"\b(?:nan|inf|None)\b", str(widget.text_content())) == []
        assert_fits(widget)
        assert widget.get_by_role("alert").locator("visible=true").count() == 0
        assert widget.evaluate(SIZE) == size
        assert widget.evaluate(OVERLAID) == []
        ends.add(slider.get_attribute("aria-valuenow"))
        shot(widget, f"{name} {key}")
    assert len(ends) == 2
    button(widget, "Reset").click()
    expect(slider).to_have_attribute("aria-valuenow", value)
    expect(sentence(widget)).to_have_text(finding)
    expect(picture(widget)).to_have_text(drawn or "")


def test_text_is_readable_in_both_themes(
    notebook: Notebook, widget: Locator, name: str, shot: Callable[[Locator, str], None]
) -> None:
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    sizes = []
    for theme, light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        notebook.page.evaluate(change, theme)
        expect(notebook.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
        shot(widget, f"{name} {theme}")
        sizes.append(widget.evaluate(SIZE))
        texts = widget.evaluate(TEXTS)
        assert len(texts) > 40
        assert [it for it in texts if it["contrast"] < 4.5] == []
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", OTHERS, indirect=True)
def test_what_is_told_of_a_pin_has_its_place(
    notebook: Notebook, widget: Locator, name: str, shot: Callable[[Locator, str], None]
) -> None:
    size = widget.evaluate(SIZE)
    button(widget, "Pin").click()
    notebook.run_new(f"_ = {name}.set(**{OTHERS[name]}).wait(120)")
    expect(status(widget)).to_contain_text("ready")
    more = sentence(widget).locator(".rw-more")
    expect(more).to_contain_text("Against the pin")
    expect(more).to_have_attribute("title", more.text_content() or "")
    assert widget.evaluate(SIZE) == size
    assert_fits(widget)
    assert sentence(widget).evaluate("it => it.getBoundingClientRect().width") <= size[0]
    shot(widget, f"{name} pinned")
    button(widget, "Reset").click()
    notebook.run_new(f"_ = {name}.wait(120)")
    expect(more).to_have_count(0)


def test_settings_do_not_lie_over_each_other(
    widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "+ all settings").click()
    assert widget.evaluate(OVERLAID) == []
    shot(widget, "settings")
    button(widget, "− all settings").click()


def test_copied_code_gives_the_same_numbers_in_a_new_process(
    notebook: Notebook, widget: Locator, name: str, lab: Lab, tmp_path: Path
) -> None:
    button(widget, "Code").click()
    code = widget.locator("textarea:visible").last
    expect(code).to_have_value(re.compile(r"rw\.demo\(.*result = rw\.", re.DOTALL))
    # Which batches are quick is found out by the clock, and other batches round in another way.
    plan = notebook.run_new("print(subject.plan)")
    script = PLANNED.format(plan=plan) + code.input_value()
    button(widget, "Code").click()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for display in ("DISPLAY", "MPLBACKEND"):
        environment.pop(display, None)
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=environment)
    word = name.removesuffix("Widget").lower()
    assert (tmp_path / f"{word}.svg").read_text().rstrip().endswith("</svg>")
    notebook.run_new(f"{name}.result.to_frame().to_csv('shown.csv', index=False)")
    redone, shown = pd.read_csv(tmp_path / f"{word}.csv"), pd.read_csv(lab.folder / "shown.csv")
    pd.testing.assert_frame_equal(redone, shown, rtol=1e-6, atol=1e-6)
    assert len(redone) > 20


def test_cell_run_twice_leaves_one_widget(notebook: Notebook, widget: Locator, name: str) -> None:
    notebook.run_again(1 + NAMES.index(name))
    expect(picture(widget)).to_be_visible()
    living = f"print([type(it).__name__ for it in _instances.values()].count('{name}'))"
    assert notebook.run_new(living) == "1"


def test_saved_notebook_has_the_picture_and_wakes_up(lab: Lab, notebook: Notebook) -> None:
    widgets = [notebook.cell(1 + number).locator(".rw-explorer") for number in range(len(NAMES))]
    findings = [sentence(widget).inner_text() for widget in widgets]
    # As Ctrl+S does, but known to have ended: a page that is loaded before shows an older file.
    notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")
    saved = json.loads((lab.folder / "test_every_widget.ipynb").read_text())
    # Readers without a kernel see the picture and its sentence.
    for cell, finding in zip(saved["cells"][1:], findings, strict=False):
        static = cell["outputs"][1]["data"]
        assert base64.b64decode(static["image/png"]).startswith(b"\x89PNG")
        assert "".join(static["text/plain"]) == finding
    assert "widgets" not in saved["metadata"]
    copies = notebook.page.locator("figure img[src^='data:image/png']")
    expect(copies).to_have_count(len(NAMES))
    assert not any(copy.is_visible() for copy in copies.all())  # here they live

    outputs = [notebook.cell(1 + number) for number in range(len(NAMES))]
    for _ in range(5):
        notebook.page.reload()
        notebook.wait_for_kernel()
        # The front end of ipywidgets gives up a widget that it did not find in 2 s, also where a
        # busy page took these for itself: then the copy stands there, until the next load.
        given_up = [output.get_by_text("model not found") for output in outputs]
        for widget, output, gone in zip(widgets, outputs, given_up, strict=True):
            expect(picture(widget).or_(gone)).to_be_visible()
            expect(output.locator("figure img")).to_be_visible(visible=gone.is_visible())
        if not any(gone.is_visible() for gone in given_up):
            break
        notebook.faults[:] = [it for it in notebook.faults if "widget model not found" not in it]
    for widget, finding in zip(widgets, findings, strict=True):
        expect(picture(widget)).to_be_visible()
        expect(sentence(widget)).to_have_text(finding)
        button(widget, "Pin").click()
        expect(button(widget, "Unpin")).to_be_visible()


# What one can click, and what stands beside it, is apart from everything else.
OVERLAID = """widget => {
  const kinds = 'select, input, .widget-toggle-button, .widget-readout, .noUi-handle';
  const parts = [...widget.querySelectorAll(`.rw-controls :is(${kinds})`)]
    .filter(it => it.checkVisibility());
  const boxes = parts.map(it => it.getBoundingClientRect());
  const over = (a, b) => a.left < b.right + 2 && b.left < a.right + 2
    && a.top < b.bottom && b.top < a.bottom;
  return parts.flatMap((one, k) => parts.slice(0, k)
    .filter((it, j) => !it.closest('.widget-toggle-buttons') && over(boxes[k], boxes[j]))
    .map(it => `${it.outerHTML.slice(0, 80)} | ${one.outerHTML.slice(0, 80)}`));
}"""
SIZE = "it => (box => [box.width, box.height])(it.getBoundingClientRect())"
# Every text that is shown in the widget, with its contrast (WCAG 2.2) to what is painted behind.
TEXTS = """widget => {
  const light = rgb => rgb.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const own = element => [...element.childNodes].some(
    node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  return [...widget.querySelectorAll('*')]
    .filter(element => own(element) && element.checkVisibility({visibilityProperty: true})
      && !['STYLE', 'TITLE', 'OPTION'].includes(element.tagName.toUpperCase()))
    .map(element => {
      const style = getComputedStyle(element);
      const colour = element instanceof SVGElement ? style.fill : style.color;
      const [low, high] = [light(rgb(colour)), light(behind(element))].sort((a, b) => a - b);
      return {text: element.textContent.trim().slice(0, 40), colour,
              contrast: (high + 0.05) / (low + 0.05)};
    });
}"""
