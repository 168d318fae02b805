"""PropagationWidget, used as by hand in a real JupyterLab."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import (
    SECOND,
    Notebook,
    assert_fits,
    button,
    labelled,
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


@pytest.fixture
def widget(notebook: Notebook) -> Locator:
    """The PropagationWidget, as at the start."""
    found = notebook.cell(OF_WIDGET).locator(".rw-explorer")
    expect(picture(found)).to_be_visible()
    for undo in ("Unpin", "▾ More"):
        if button(found, undo).count():
            button(found, undo).click()
    button(found, "Reset").click()
    expect(labelled(found, "ε").locator(".widget-readout")).to_have_text("8/255")
    settled(found)
    return found


def settled(widget: Locator) -> None:
    expect(status(widget)).to_contain_text("ready", timeout=30 * SECOND)


def choose(widget: Locator, label: str, option: str) -> None:
    labelled(widget, label).locator("select").select_option(option)


def test_run_all_shows_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text(re.compile(r"^(Flipped|Control flipped|Not flipped)"))
    expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    chips = widget.locator(".rw-chip").all_inner_texts()
    assert re.fullmatch(r"image \d+", chips[1])
    assert re.fullmatch(r"is (\d), says \1 [\d.]+\s%", chips[2])
    assert chips[3] == "bim 8/255, 10 steps"
    assert picture(widget).locator("image").count() == 4
    for name in ("clean", "difference ×8", "adversarial", "random noise"):
        expect(picture(widget).get_by_text(name, exact=True).first).to_be_visible()
    assert_fits(widget)
    shot(notebook.page.locator("#main"), "propagation-page")
    shot(widget, "propagation")


def test_epsilon_moves_picture_and_sentence(notebook: Notebook, widget: Locator) -> None:
    slider = labelled(widget, "ε")
    value, before = slider.locator(".widget-readout"), sentence(widget).inner_text()
    drawn = picture(widget).inner_html()
    notebook.press_in(slider, "ArrowRight")
    expect(value).to_have_text("12/255")
    expect(sentence(widget)).not_to_have_text(before)
    assert picture(widget).inner_html() != drawn
    notebook.press_in(slider, "End")
    expect(value).to_have_text("32/255")
    expect(picture(widget)).to_contain_text("±32/255")
    notebook.press_in(slider, "Home")
    expect(value).to_have_text("0.5/255")
    expect(picture(widget)).to_contain_text("±0.5/255")
    expect(sentence(widget)).to_contain_text("Not flipped")
    settled(widget)
    assert widget.get_by_role("alert").count() == 0


def test_layer_and_channel_are_chosen_by_keyboard(notebook: Notebook, widget: Locator) -> None:
    layer, figures = labelled(widget, "layer"), widget.locator("figure")
    notebook.press_in(layer, "Home")
    expect(picture(widget)).to_contain_text(re.compile(r"input: 0\.0\d+, random 0\.0\d+"))
    expect(figures.first).to_have_attribute("title", re.compile("input, (red|green|blue), clean"))
    notebook.page.keyboard.press("ArrowRight")
    expect(picture(widget)).to_contain_text(re.compile(r"0: [\d.e-]+, random"))
    expect(figures.first).to_have_attribute("title", re.compile(r", 0, #\d, clean"))
    first = figures.first.get_attribute("title")
    notebook.press_in(labelled(widget, "channel"), "ArrowRight")
    expect(figures.first).not_to_have_attribute("title", str(first))
    expect(figures.nth(5)).to_have_attribute("title", re.compile("changed by .* by random noise"))


def test_it_fits_in_every_state(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "Pin").click()
    choose(widget, "denoiser", "median")
    expect(sentence(widget)).to_contain_text("Against the pin: ")
    expect(picture(widget).locator("image")).to_have_count(5, timeout=30 * SECOND)
    settled(widget)
    assert_fits(widget)
    shot(widget, "propagation-denoised")
    button(widget, "▸ More").click()
    choose(widget, "images", "16")
    choose(widget, "view", "ratio")
    choose(widget, "axis", "linear")
    expect(sentence(widget)).to_contain_text("of 16 answers change", timeout=30 * SECOND)
    expect(picture(widget)).to_contain_text("times random noise")
    settled(widget)
    shot(widget, "propagation-more")
    assert_fits(widget)
    button(widget, "▾ More").click()
    assert_fits(widget)
    shot(widget, "propagation-batch")


def test_smallest_epsilon_then_sweep(notebook: Notebook, widget: Locator) -> None:
    button(widget, "Smallest ε").click()
    expect(sentence(widget)).to_contain_text(
        re.compile(r"smallest epsilon seen to succeed is [\d.]+/255"), timeout=30 * SECOND
    )
    found = re.search(r"succeed is ([\d.]+/255)", sentence(widget).inner_text())
    assert found
    expect(labelled(widget, "ε").locator(".widget-readout")).to_have_text(found[1])
    expect(sentence(widget)).to_contain_text(re.compile("^(Flipped|Control flipped)"))
    button(widget, "Sweep ε").click()
    expect(sentence(widget)).to_contain_text(
        re.compile(r"lost from [\d.]+/255 on \(sweep of 13 epsilons\)"), timeout=60 * SECOND
    )
    settled(widget)


def test_cancel_keeps_the_picture_and_resume_goes_on(notebook: Notebook, widget: Locator) -> None:
    button(widget, "▸ More").click()
    choose(widget, "images", "16")
    button(widget, "▾ More").click()
    expect(sentence(widget)).to_contain_text("of 16 answers", timeout=30 * SECOND)
    settled(widget)
    notebook.run_new("pause = 0.03")
    before = sentence(widget).inner_text()
    button(widget, "Sweep ε").click()
    expect(status(widget)).to_contain_text(
        re.compile(r"running · [1-9]\d* of 1[23]"), timeout=30 * SECOND
    )
    assert_fits(widget)
    button(widget, "Cancel").click()
    expect(status(widget)).to_contain_text(
        re.compile(r"stopped at \d+ of 1[23]; nothing is lost"), timeout=2 * SECOND
    )
    expect(sentence(widget)).to_have_text(before)
    expect(widget.locator(".rw-stale")).to_have_count(0)
    notebook.run_new("pause = 0.0")
    button(widget, "Resume").click()
    expect(sentence(widget)).to_contain_text(
        re.compile(r"sweep of 1[23] epsilons"), timeout=90 * SECOND
    )


def test_slow_motion_starts_and_stops(notebook: Notebook, widget: Locator) -> None:
    shown = widget.locator("figure").first
    notebook.press_in(labelled(widget, "layer"), "Home")
    expect(shown).to_have_attribute("title", re.compile(", input, "))
    button(widget, "▶ Play").click()
    expect(shown).to_have_attribute("title", re.compile(", 0, "))
    button(widget, "■ Stop").click()
    expect(button(widget, "▶ Play")).to_be_visible()
    # Begun again it goes to the end and stops there by itself.
    button(widget, "▶ Play").click()
    expect(shown).to_have_attribute("title", re.compile(", probabilities, "), timeout=30 * SECOND)
    expect(button(widget, "▶ Play")).to_be_visible()
