"""RobustnessWidget, used as by hand in a real JupyterLab."""

import re
import time
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

# Parted at a mean of one half; each pass rests for `pause` seconds.
SUBJECT = """
import time
import torch
from torch import nn
import reliab_widgets as rw

pause = 0.0


class Mean(nn.Module):
    def forward(self, x):
        time.sleep(pause)
        mean = x.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)


means = torch.linspace(0.44, 0.58, 48)
images = means.view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
labels = (means > 0.51).long()
subject = rw.Subject(Mean(), images, labels, classes=("dark", "light"), name="mean")
"""
WIDGET = """
widget = rw.widgets.RobustnessWidget(subject, preset={"attacks": ("fgsm",)})
widget
"""
CELLS = (SUBJECT, WIDGET)
OF_WIDGET = 1


@pytest.fixture
def widget(notebook: Notebook) -> Locator:
    """The RobustnessWidget, as at the start."""
    found = notebook.cell(OF_WIDGET).locator(".rw-explorer")
    expect(picture(found)).to_be_visible()
    button(found, "Reset").click()
    settled(notebook, found)
    return found


def settled(notebook: Notebook, widget: Locator) -> None:
    notebook.run_new("_ = widget.wait(60)")  # "ready" may still be that of the picture before
    expect(status(widget)).to_contain_text("ready")


def test_run_all_shows_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text(re.compile(r"FGSM leaves .*Control: random noise"))
    expect(widget.locator(".rw-verdict")).to_contain_text("nothing hidden found")
    assert_fits(widget)
    shot(widget, "robustness")


def test_the_ring_is_dragged_from_size_to_size(notebook: Notebook, widget: Locator) -> None:
    ring = mark(widget, "handle:epsilon")
    ring.focus()
    notebook.page.keyboard.press("Home")
    expect(sentence(widget)).to_contain_text("Without any change")
    notebook.page.keyboard.press("ArrowRight")
    expect(sentence(widget)).to_contain_text("0.5/255")
    drag(ring, 200)
    notebook.page.mouse.up()
    expect(sentence(widget)).not_to_contain_text("0.5/255")
    value = float(str(ring.get_attribute("aria-valuenow"))) * 255
    assert round(value, 3) in (4, 8)
    expect(sentence(widget)).to_contain_text(f"{value:.3g}/255")


def test_a_click_shows_the_images_that_broke_there(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "+ images that broke here").click()
    panel = widget.locator(".rw-panel:visible")
    mark(widget, f"epsilon:{8 / 255:.6g}").click(position={"x": 20, "y": 60})
    expect(panel).to_contain_text(re.compile(r"broken at 8/255: \d+ images"))
    panel.locator("[data-mark^='image:']").nth(1).click()
    expect(panel).to_contain_text(re.compile(r"Image \d+, (dark|light)\. FGSM: broken at"))
    mark(widget, "part:wrong").click()
    expect(panel).to_contain_text("wrong without any change at 8/255")
    shot(widget, "images")
    button(widget, "− images that broke here").click()


def test_cancel_answers_soon_and_the_curve_stays(notebook: Notebook, widget: Locator) -> None:
    notebook.run_new("pause = 0.03")
    labelled(widget, "Attack").locator("select").select_option("BIM")
    expect(button(widget, "Cancel")).to_be_visible()
    button(widget, "Cancel").click()
    begun = time.monotonic()
    expect(status(widget)).to_contain_text("stopped")
    assert time.monotonic() - begun < 3  # 0.3 s on a machine that does nothing else
    expect(picture(widget)).to_be_visible()
    expect(sentence(widget)).to_contain_text("right")
    notebook.run_new("pause = 0.0")
    button(widget, "Resume").click()
    settled(notebook, widget)
    expect(widget.locator(".rw-shows")).to_contain_text("BIM")


def test_a_proof_stands_beside_the_attack(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    labelled(widget, "Noise σ of the proof").locator("select").select_option("0.12")
    settled(notebook, widget)
    expect(sentence(widget)).to_contain_text("smoothed by noise, broken of mean itself")
    texts = picture(widget).locator("text")
    expect(texts.filter(has_text="Proved of the smoothed network")).to_be_visible()
    assert_fits(widget)
    shot(widget, "proved")
