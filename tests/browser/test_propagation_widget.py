"""PropagationWidget, used as by hand in a real JupyterLab."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import (
    Notebook,
    assert_fits,
    button,
    labelled,
    mark,
    picture,
    sentence,
    status,
)

pytestmark = pytest.mark.browser

# A random network that is right and unsure: the attack leads away at some epsilon in the middle.
# Each pass rests for `pause` seconds.
SUBJECT = """
import time
import torch
from torch import nn
import reliab_widgets as rw

generator = torch.Generator().manual_seed(0)
pause = 0.0


class Resting(nn.Sequential):
    def forward(self, x):
        time.sleep(pause)
        return super().forward(x)


model = Resting(
    nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
    nn.Flatten(), nn.Linear(8, 4),
)
for parameter in model.parameters():
    fan_in = parameter[0].numel()
    parameter.data = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
images = torch.rand(40, 3, 20, 20, generator=generator)
with torch.no_grad():
    model[-1].bias -= model(images).mean(0)
    labels = model(images).argmax(1)
subject = rw.Subject(model, images, labels)
"""
WIDGET = """
widget = rw.widgets.PropagationWidget(subject)
widget
"""
CELLS = (SUBJECT, WIDGET)
OF_WIDGET = 1
LARGE = """widget => [...widget.querySelector('.rw-picture svg').querySelectorAll('image')]
  .map(it => it.getBoundingClientRect()).every(it => Math.min(it.width, it.height) > 148)"""


@pytest.fixture
def widget(notebook: Notebook) -> Locator:
    """The PropagationWidget, as at the start, with its panels closed."""
    found = notebook.cell(OF_WIDGET).locator(".rw-explorer")
    expect(main_picture(found)).to_be_visible()
    if button(found, "Unpin").count():
        button(found, "Unpin").click()
    for close in found.get_by_role("button", name=re.compile("^− ")).all():
        close.click()
    button(found, "Reset").click()
    expect(labelled(found, "Size ε").locator(".widget-readout")).to_have_text("8/255")
    settled(found)
    return found


def main_picture(widget: Locator) -> Locator:
    """The picture of the widget; open panels have others."""
    return picture(widget).first


def settled(widget: Locator) -> None:
    expect(status(widget)).to_contain_text("ready")


def choose(widget: Locator, label: str, option: str) -> None:
    labelled(widget, label).locator("select").first.select_option(option)


def opened(widget: Locator, name: str) -> Locator:
    """A panel, opened alone."""
    button(widget, f"+ {name}").click()
    found = widget.locator(".rw-panel:visible")
    expect(found.locator("svg").first).to_be_visible()
    return found


def test_run_all_shows_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text("noise of the same size")
    expect(main_picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    chips = widget.locator(".rw-chip").all_inner_texts()
    assert re.fullmatch(r"image \d+ · true \d ✓", chips[1])
    assert re.fullmatch(r"(stays: \d|changed: \d → \d)", chips[2])
    assert chips[3] == "shows: BIM 8/255, 10 steps"
    images = main_picture(widget).locator("image")
    expect(images).to_have_count(4)
    # The page may be laying itself out still, and the picture be replaced by a better one.
    notebook.page.wait_for_function(LARGE, arg=widget.element_handle())
    for name in ("Clean", "What was added, × 8", "Attacked", "Control: same-sized noise"):
        expect(main_picture(widget).get_by_text(name, exact=True)).to_be_visible()
    assert_fits(widget)
    shot(notebook.page.locator("#main"), "propagation-page")
    shot(widget, "propagation")


def test_epsilon_moves_picture_and_sentence(notebook: Notebook, widget: Locator) -> None:
    slider = labelled(widget, "Size ε")
    value, before = slider.locator(".widget-readout"), sentence(widget).inner_text()
    drawn = main_picture(widget).inner_html()
    notebook.press_in(slider, "ArrowRight")
    expect(value).to_have_text("12/255")
    expect(sentence(widget)).not_to_have_text(before)
    assert main_picture(widget).inner_html() != drawn
    # Its number is no field: what were typed there would be forgotten.
    expect(value).to_have_attribute("contenteditable", "false")
    notebook.press_in(slider, "End")
    expect(value).to_have_text("32/255")
    expect(value).to_have_attribute("contenteditable", "false")
    expect(main_picture(widget)).to_contain_text("±32/255")
    notebook.press_in(slider, "Home")
    expect(value).to_have_text("0.5/255")
    expect(main_picture(widget)).to_contain_text("±0.5/255")
    expect(sentence(widget)).to_contain_text("The prediction stays")
    settled(widget)
    assert widget.get_by_role("alert").locator("visible=true").count() == 0


def test_layer_and_channel_are_chosen_by_mouse_and_keyboard(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    panel = opened(widget, "channels")
    network = main_picture(widget)
    network.locator('[data-mark="layer:2"]').click()
    expect(panel).to_contain_text("2: the attack moves it")
    expect(network.locator('[data-mark="layer:2"]')).to_have_attribute("aria-pressed", "true")
    notebook.page.keyboard.press("ArrowLeft")
    expect(panel).to_contain_text("0: the attack moves it")
    expect(network.locator('[data-mark="layer:0"]')).to_be_focused()
    notebook.page.keyboard.press("ArrowLeft")
    expect(panel).to_contain_text("input: the attack moves it")
    expect(panel).to_contain_text("the image itself")
    network.locator('[data-mark="layer:2"]').click()
    rows = panel.locator("[data-kind=channel]")
    expect(rows).to_have_count(8)
    first = str(panel.get_by_text(re.compile("one scale for the three")).text_content())
    rows.nth(3).click()
    expect(rows.nth(3)).to_have_attribute("aria-pressed", "true")
    expect(panel.get_by_text(re.compile("one scale for the three"))).not_to_have_text(first)
    maps = panel.locator("image")
    box = maps.first.bounding_box()
    assert box is not None
    assert box["width"] > 144
    shot(widget, "propagation-channels")


def test_a_step_is_clicked_and_played(
    widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    panel = opened(widget, "attack step by step")
    expect(panel.locator("[data-kind=step]")).to_have_count(11)
    mark(panel, "step:3").click()
    expect(panel).to_contain_text("true class, step 3")
    shot(widget, "propagation-steps")
    button(panel, "▶ Play").click()
    expect(panel).to_contain_text(re.compile("true class, step [5-9]"))
    button(panel, "■ Stop").click()
    expect(button(panel, "▶ Play")).to_be_visible()


def test_it_fits_in_every_state(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "Pin").click()
    choose(widget, "Denoiser", "median")
    expect(sentence(widget)).to_contain_text("Against the pin (BIM 8/255, 10 steps): ")
    expect(main_picture(widget).locator("image")).to_have_count(5)
    settled(widget)
    shot(widget, "propagation-denoised")
    button(widget, "+ all settings").click()
    choose(widget, "Images", "16")
    expect(sentence(widget)).to_contain_text("of 16 predictions change")
    expect(main_picture(widget)).to_contain_text("median of 16")
    button(widget, "− all settings").click()
    button(widget, "+ distances").click()
    choose(widget, "Distance", "cosine distance")
    expect(main_picture(widget)).to_contain_text("noise = 1 (cosine distance)")
    settled(widget)
    assert widget.evaluate("it => it.scrollWidth") <= 880
    shot(widget, "propagation-distances")


def test_sweep_draws_a_curve_and_its_ring_is_dragged(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    panel = opened(widget, "ε sweep")
    button(panel, "Smallest ε").click()
    expect(panel).to_contain_text(re.compile(r"smallest ε seen to succeed is [\d.]+/255"))
    found = re.search(r"succeed is ([\d.]+/255)", panel.inner_text())
    assert found
    value = labelled(widget, "Size ε").locator(".widget-readout")
    expect(value).to_have_text(found[1])
    assert value.evaluate("it => it.scrollWidth <= it.clientWidth")
    button(panel, "Sweep ε").click()
    expect(panel).to_contain_text(re.compile(r"The prediction changes from [\d.]+/255 on"))
    settled(widget)
    shot(widget, "propagation-sweep")
    ring = mark(panel, "handle:epsilon")
    ring.focus()
    for key, text in (("End", "32/255"), ("Home", "0.5/255")):
        notebook.page.keyboard.press(key)
        expect(value).to_have_text(text)
    button(widget, "Reset").click()
    expect(panel).not_to_contain_text("changes from")
    expect(panel).not_to_contain_text("smallest ε seen")


def test_while_it_runs_the_subject_stays_readable_and_the_sentence_is_muted(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    colour = "it => getComputedStyle(it).color"
    ready, muted = (
        it.evaluate(colour)
        for it in (
            sentence(widget).locator("b"),
            labelled(widget, "Size ε").locator(".widget-label"),
        )
    )
    assert ready != muted
    notebook.run_new("_ = widget.set(image=23)")  # another test may have swept the first image
    settled(widget)
    notebook.run_new("pause = 0.05")
    opened(widget, "ε sweep")
    button(widget, "Sweep ε").click()
    expect(status(widget)).to_contain_text(re.compile(r"running · .* left"))
    cut = "it => it.scrollWidth > it.clientWidth"
    chips = widget.locator(".rw-chip").all()
    assert [it.inner_text() for it in chips[:2] if it.evaluate(cut)] == []
    expect(widget.locator(".rw-stale")).to_be_visible()
    assert sentence(widget).locator("b").evaluate(colour) == muted
    assert sentence(widget).evaluate(colour) == muted
    shot(widget, "propagation-running")
    button(widget, "Cancel").click()
    expect(status(widget)).to_contain_text("stopped")
    assert sentence(widget).locator("b").evaluate(colour) == ready
    notebook.run_new("pause = 0.0")


def test_cancel_keeps_the_picture_and_resume_goes_on(notebook: Notebook, widget: Locator) -> None:
    panel = opened(widget, "ε sweep")
    button(widget, "+ all settings").click()
    choose(widget, "Images", "16")
    button(widget, "− all settings").click()
    expect(sentence(widget)).to_contain_text("of 16 predictions")
    settled(widget)
    notebook.run_new("pause = 0.03")
    before = sentence(widget).inner_text()
    button(panel, "Sweep ε").click()
    expect(status(widget)).to_contain_text(re.compile(r"running · [1-9]\d* of 1[23]"))
    button(widget, "Cancel").click()
    expect(status(widget)).to_contain_text(re.compile(r"stopped at \d+ of 1[23]"))
    expect(sentence(widget)).to_have_text(before)
    expect(widget.locator(".rw-stale")).to_have_count(0)
    notebook.run_new("pause = 0.0")
    button(widget, "Resume").click()
    expect(panel).to_contain_text(re.compile(r"Half of the predictions change|at none of"))
