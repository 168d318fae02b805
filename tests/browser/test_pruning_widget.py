"""PruningWidget, used as by hand in a real JupyterLab."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import (
    Notebook,
    assert_fits,
    button,
    drag,
    labelled,
    mark,
    picture,
    sentence,
    status,
)

pytestmark = pytest.mark.browser

# A random network that is right and unsure. Each pass rests for `pause` seconds.
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
    nn.Conv2d(3, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
    nn.Flatten(), nn.Linear(12, 4),
)
for parameter in model.parameters():
    fan_in = parameter[0].numel()
    parameter.data = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
images = torch.rand(80, 3, 16, 16, generator=generator)
with torch.no_grad():
    model[-1].bias -= model(images).mean(0)
    labels = model(images).argmax(1)
subject = rw.Subject(model.eval(), images, labels)
"""
WIDGET = """
widget = rw.widgets.PruningWidget(subject)
widget
"""
CELLS = (SUBJECT, WIDGET)
OF_WIDGET = 1


@pytest.fixture
def widget(notebook: Notebook) -> Locator:
    """The PruningWidget, as at the start."""
    found = notebook.cell(OF_WIDGET).locator(".rw-explorer")
    expect(picture(found)).to_be_visible()
    if button(found, "Unpin").count():
        button(found, "Unpin").click()
    button(found, "Reset").click()
    expect(mark(found, "handle:level")).to_have_attribute("aria-valuenow", "0.1")
    settled(notebook, found)
    return found


def settled(notebook: Notebook, widget: Locator) -> None:
    notebook.run_new("_ = widget.wait(60)")  # "ready" may still be that of the picture before
    expect(status(widget)).to_contain_text("ready")


def text(widget: Locator, words: str) -> Locator:
    return picture(widget).locator("text", has_text=words)


def test_run_all_shows_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text(re.compile(r"10\s% of the filters .*Control: random"))
    expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    chips = " ".join(widget.locator(".rw-chip").all_inner_texts())
    assert re.search(r"40 test images .*shows: 10\s% removed, 10 of 10 levels", chips)
    for words in ("random removal", "Who pays for it, at 10", "Where the filters went"):
        expect(text(widget, words)).to_be_visible()
    assert_fits(widget)
    shot(widget, "pruning")


def test_the_ring_goes_from_level_to_level(notebook: Notebook, widget: Locator) -> None:
    ring = mark(widget, "handle:level")
    ring.focus()
    for level in ("15", "20"):
        notebook.page.keyboard.press("ArrowRight")
        expect(ring).to_have_attribute("aria-valuenow", f"{int(level) / 100:g}")
        expect(text(widget, f"Who pays for it, at {level}")).to_be_visible()
        expect(ring).to_be_focused()
    drag(ring, 120)
    notebook.page.mouse.up()
    expect(ring).not_to_have_attribute("aria-valuenow", "0.2")
    value = float(str(ring.get_attribute("aria-valuenow")))
    assert value in (0.3, 0.4, 0.5)
    expect(text(widget, f"Who pays for it, at {value * 100:.0f}")).to_be_visible()


def test_what_is_told_of_a_mark_covers_no_control(widget: Locator) -> None:
    mark(widget, "level:0.5").hover()
    tip, drawn = widget.locator(".rw-tip").first, picture(widget)
    expect(tip).to_contain_text("random removal")
    box, within = tip.bounding_box(), drawn.bounding_box()
    assert box is not None
    assert within is not None
    assert box["y"] > within["y"] - 1
    assert box["y"] + box["height"] < within["y"] + within["height"] + 1


def test_a_share_a_class_and_a_layer_are_chosen_by_a_click(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    mark(widget, "level:0.5").click()
    expect(mark(widget, "handle:level")).to_have_attribute("aria-valuenow", "0.5")
    button(widget, "+ changed images").click()
    panel = widget.locator(".rw-panel:visible")
    mark(widget, "payer:1").click()
    expect(panel).to_contain_text(re.compile(r"50\s% removed, of 1: \d+ predictions changed"))
    mark(widget, "layer:2").click()
    expect(text(widget, "2: ")).to_contain_text("of 12 filters removed")
    options = labelled(widget, "Protect").locator("option")
    expect(options).to_have_text(["nothing", "the first layer", "2"])
    shot(widget, "chosen")
    button(widget, "− changed images").click()


def test_another_criterion_is_a_job_that_can_be_stopped(
    notebook: Notebook, widget: Locator
) -> None:
    notebook.run_new("pause = 0.05")
    labelled(widget, "Rank filters by").locator("select").select_option("weight norm")
    expect(button(widget, "Cancel")).to_be_visible()
    button(widget, "Cancel").click()
    expect(status(widget)).to_contain_text("stopped")
    expect(picture(widget)).to_be_visible()
    notebook.run_new("pause = 0.0")
    button(widget, "Resume").click()
    settled(notebook, widget)
    expect(widget.locator(".rw-shows")).to_contain_text("10 of 10 levels")


def test_a_pin_stays_behind(notebook: Notebook, widget: Locator) -> None:
    button(widget, "Pin").click()
    settled(notebook, widget)
    expect(sentence(widget)).to_contain_text("The pin is this same sweep")
    labelled(widget, "Rank filters by").locator("select").select_option("random")
    settled(notebook, widget)
    expect(sentence(widget)).to_contain_text(re.compile(r"Against the pin.*, at 10\s%"))
    expect(text(widget, "pinned")).to_be_visible()


def test_help_has_the_numbers(notebook: Notebook, widget: Locator) -> None:
    button(widget, "?").click()
    widget.get_by_text("The picture in numbers").click()
    expect(widget.locator("table").get_by_text("random removal")).to_be_visible()
    assert widget.locator("tbody tr").count() == 10
    button(widget, "?").click()
