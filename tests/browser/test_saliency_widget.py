"""SaliencyWidget, used as by hand in a real JupyterLab."""

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

# A small random network; a corner of each image is black.
SUBJECT = """
import torch
import reliab_widgets as rw

generator = torch.Generator().manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2),
    torch.nn.Flatten(), torch.nn.Linear(24, 3),
)
for parameter in model.parameters():
    parameter.data = torch.randn(parameter.shape, generator=generator)
images = torch.rand(20, 3, 16, 16, generator=generator)
images[:, :, :4, :4] = 0
labels = torch.randint(0, 3, (20,), generator=generator)
subject = rw.Subject(model, images, labels, classes=["cat", "dog", "horse"])
"""
WIDGET = """
widget = rw.widgets.SaliencyWidget(subject, preset={"index": 3})
widget
"""
CELLS = (SUBJECT, WIDGET)
OF_WIDGET = 1


@pytest.fixture
def widget(notebook: Notebook) -> Locator:
    """The SaliencyWidget, as at the start."""
    found = notebook.cell(OF_WIDGET).locator(".rw-explorer")
    expect(picture(found)).to_be_visible(timeout=30 * SECOND)
    button(found, "Reset").click()
    expect(ticked(found)).to_have_count(4)
    ready(found)
    return found


def ready(widget: Locator) -> None:
    """Wait until what is shown is no preview any more."""
    expect(status(widget)).to_contain_text("● ready", timeout=60 * SECOND)


def ticked(widget: Locator) -> Locator:
    return widget.locator("input[type=checkbox]:checked")


def box(widget: Locator, name: str) -> Locator:
    return widget.get_by_role("checkbox", name=name, exact=True)


def value(widget: Locator, label: str) -> Locator:
    return labelled(widget, label).locator(".widget-readout")


def said(widget: Locator, words: str | re.Pattern[str]) -> Locator:
    """The texts of the picture that read so."""
    return picture(widget).locator("text", has_text=words)


def test_run_all_shows_maps_and_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text("agree least: Spearman")
    expect(sentence(widget)).to_contain_text("exactly 0 of the credit")
    expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    for words in ("black", "white", "mean", "blur", "untr.", "ceil.", "gap"):
        expect(said(widget, re.compile(f"^{words}$")).first).to_be_visible()
    expect(picture(widget).locator("image")).to_have_count(1 + 4 + 4 + 1 + 1)  # bar and table too
    cell = picture(widget).locator("path", has=notebook.page.locator("title")).first
    expect(cell).to_contain_text(re.compile(r"row 1, col 1: black 0, white \S+, mean \S+, blur"))
    shot(notebook.page.locator("#main"), "saliency page")
    shot(widget, "saliency")


def test_it_fits_in_every_state(notebook: Notebook, widget: Locator) -> None:
    assert_fits(widget)
    button(widget, "▸ More").click()
    expect(labelled(widget, "seed")).to_be_visible()
    assert_fits(widget)
    button(widget, "◂ Back").click()
    button(widget, "Pin").click()
    expect(sentence(widget)).to_contain_text("Against the pin")
    labelled(widget, "Method").locator("select").select_option(label="RISE")
    expect(status(widget)).to_contain_text(re.compile("running|preview|refining|ready"))
    assert_fits(widget)
    expect(sentence(widget)).to_contain_text("agrees", timeout=60 * SECOND)
    assert_fits(widget)
    button(widget, "Unpin").click()
    labelled(widget, "Method").locator("select").select_option(label="gradient (no baseline)")
    expect(said(widget, "no baseline, so one map")).to_be_visible(timeout=30 * SECOND)
    assert_fits(widget)


def test_alpha_moves_by_keyboard_and_computes_nothing(notebook: Notebook, widget: Locator) -> None:
    expect(value(widget, "α")).to_have_text("1.00")
    held = notebook.run_new("print(len(widget.work.cache._memory))")
    notebook.press_in(labelled(widget, "α"), "Home")
    expect(said(widget, "α = 0.00")).to_be_visible()
    expect(said(widget, re.compile("^so far$"))).to_have_count(4)
    notebook.page.keyboard.press("ArrowRight")
    expect(value(widget, "α")).to_have_text("0.06")
    expect(said(widget, "α = 0.06")).to_be_visible()
    expect(picture(widget).locator("image")).to_have_count(11 + 4)  # the images between
    expect(status(widget)).to_contain_text("● ready")
    assert notebook.run_new("print(len(widget.work.cache._memory))") == held


def test_alpha_plays_when_asked(notebook: Notebook, widget: Locator) -> None:
    button(widget, "Play").focus()
    notebook.page.keyboard.press("Space")
    expect(button(widget, "Stop")).to_be_visible()
    expect(value(widget, "α")).not_to_have_text("1.00")
    expect(value(widget, "α")).to_have_text("1.00", timeout=30 * SECOND)
    expect(button(widget, "Play")).to_be_visible()


def test_a_baseline_is_exchanged_by_keyboard(notebook: Notebook, widget: Locator) -> None:
    expect(box(widget, "uniform")).to_be_disabled()  # four is all
    box(widget, "blur").focus()
    notebook.page.keyboard.press("Space")
    expect(ticked(widget)).to_have_count(3)
    expect(said(widget, re.compile("^blur$"))).to_have_count(0)
    expect(box(widget, "uniform")).to_be_enabled()
    box(widget, "uniform").focus()
    notebook.page.keyboard.press("Space")
    expect(said(widget, re.compile("^uniform$"))).to_be_visible()
    ready(widget)
    assert notebook.run_new("print(widget.result.baselines[-1])") == "uniform"


def test_picked_colour_gets_no_credit(notebook: Notebook, widget: Locator) -> None:
    box(widget, "blur").click()
    expect(ticked(widget)).to_have_count(3)
    box(widget, "picked colour").click()
    expect(said(widget, re.compile("^#[0-9a-f]{6}$"))).to_be_visible()
    ready(widget)
    code = "r = widget.result; b = abs(r.images[0] - r.baseline_images[0, 3]).max(0) == 0\n"
    assert notebook.run_new(f"{code}print(b.any(), abs(r.maps[0, 3][b]).sum())") == "True 0.0"


def test_fill_and_deleted_share_only_redraw(notebook: Notebook, widget: Locator) -> None:
    labelled(widget, "Fill").locator("select").select_option("white")
    expect(said(widget, re.compile("^fill white; falls first: "))).to_be_visible()
    notebook.press_in(labelled(widget, "deleted"), "End")
    expect(said(widget, re.compile(r"^50\s%$"))).to_be_visible()
    expect(said(widget, re.compile(r"^┄ \d\.\d\d$"))).to_be_visible()


def test_image_and_cell_are_chosen_by_keyboard(notebook: Notebook, widget: Locator) -> None:
    button(widget, "▶").focus()
    notebook.page.keyboard.press("Enter")
    expect(said(widget, re.compile("^image 4$"))).to_be_visible()
    ready(widget)
    notebook.press_in(labelled(widget, "row"), "Home")
    notebook.press_in(labelled(widget, "col"), "Home")
    told = widget.locator("[role=img][title^='row 1, col 1']")
    expect(told).to_have_attribute("aria-label", re.compile("black 0, white .+, mean .+, blur"))


def test_what_was_pinned_is_outlined(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "Pin").click()
    expect(sentence(widget)).to_contain_text("Against the pin: no difference")
    labelled(widget, "Class").locator("select").select_option(index=2)
    expect(sentence(widget)).not_to_contain_text("no difference")
    ready(widget)
    shot(widget, "saliency pinned")
    button(widget, "Unpin").click()
    expect(sentence(widget)).not_to_contain_text("Against the pin")
