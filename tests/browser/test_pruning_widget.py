"""PruningWidget, used as by hand in a real JupyterLab."""

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
    expect(labelled(found, "remove").locator(".widget-readout")).to_have_text("10%")
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
    expect(sentence(widget)).to_contain_text(
        re.compile(r"^10% removed: accuracy [+−][\d.]+ points")
    )
    expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    chips = widget.locator(".rw-chip").all_inner_texts()
    assert re.fullmatch(r"image \d+ is (\d), says \1 [\d.]+\s%", chips[1])
    assert "reported, ranked and fitted on" in chips[2]
    for words in ("random removal", "worst class", "really removed, per layer"):
        expect(text(widget, words)).to_be_visible()
    assert_fits(widget)
    shot(widget, "pruning")


def test_the_slider_moves_picture_and_sentence(notebook: Notebook, widget: Locator) -> None:
    handle = labelled(widget, "remove").get_by_role("slider")
    handle.focus()
    for level in ("15%", "20%"):
        notebook.page.keyboard.press("ArrowRight")
        expect(labelled(widget, "remove").locator(".widget-readout")).to_have_text(level)
        expect(sentence(widget)).to_contain_text(re.compile(rf"^{level} removed"))
        expect(text(widget, f"points, per class, at {level}")).to_be_visible()


def test_another_criterion_is_a_job_that_can_be_stopped(
    notebook: Notebook, widget: Locator
) -> None:
    notebook.run_new("pause = 0.05")
    labelled(widget, "criterion").locator("select").select_option("weight norm")
    expect(button(widget, "Cancel")).to_be_visible(timeout=10 * SECOND)
    button(widget, "Cancel").click()
    expect(status(widget)).to_contain_text("stopped", timeout=10 * SECOND)
    expect(picture(widget)).to_be_visible()
    notebook.run_new("pause = 0.0")
    button(widget, "Resume").click()
    settled(notebook, widget)
    expect(text(widget, "weight: who pays?")).to_be_visible()


def test_a_pin_stays_behind(notebook: Notebook, widget: Locator) -> None:
    button(widget, "Pin").click()
    settled(notebook, widget)
    expect(sentence(widget)).to_contain_text("Against the pin, at 10%: no difference.")
    labelled(widget, "criterion").locator("select").select_option("random")
    settled(notebook, widget)
    expect(sentence(widget)).to_contain_text(re.compile("Against the pin, at 10%"))
    expect(text(widget, "pinned")).to_be_visible()


def test_help_has_the_numbers(notebook: Notebook, widget: Locator) -> None:
    button(widget, "Help").click()
    widget.get_by_text("The picture in numbers").click()
    expect(widget.locator("table").get_by_text("random removal")).to_be_visible()
    assert widget.locator("tbody tr").count() == 11
    button(widget, "Help").click()
