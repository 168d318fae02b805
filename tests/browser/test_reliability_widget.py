"""ReliabilityWidget and the generic Explorer, used as by hand in a real JupyterLab."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import (
    Lab,
    Notebook,
    button,
    drag,
    labelled,
    mark,
    picture,
    sentence,
    status,
)

# With JupyterLab's subshells for comms on and off.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("opened", ["perCommTarget", "disabled"], indirect=True),
]

# A random network whose labels are drawn from less sure answers than it gives: over-confident.
SUBJECT = """
import time
import torch
import ipywidgets
import reliab_widgets as rw

generator = torch.Generator().manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(), torch.nn.Linear(8, 4),
)
for parameter in model.parameters():
    parameter.data = torch.randn(parameter.shape, generator=generator)
model[-1].weight.data *= 2
images = torch.rand(300, 3, 1, 1, generator=generator).expand(-1, -1, 12, 12)
with torch.no_grad():
    unsure = (model(images) / 3).softmax(1)
labels = torch.multinomial(unsure, 1, generator=generator)[:, 0]
subject = rw.Subject(model, images, labels)
"""
WIDGET = """
widget = rw.widgets.ReliabilityWidget(subject)
widget
"""
SLOW = """
def slow(subject, k, progress=None):
    steps = 400 if k > 1 else 1
    for step in range(steps):
        time.sleep(0.05)
        progress(step + 1, steps)
    return f"finished {k}"

rw.Explorer(slow, subject, {"k": ipywidgets.IntSlider(1, 1, 9)})
"""
FAILING = """
def failing(subject, k):
    if k == 2:
        raise ValueError("<script>window.ran = true</script> k is 2; set k to 1")
    return f"works with {k}"

rw.Explorer(failing, subject, {"k": ipywidgets.IntSlider(1, 1, 9)})
"""
CELLS = (SUBJECT, WIDGET, SLOW, FAILING)
AT = """document.querySelector('[data-mark="handle:temperature"]').getBoundingClientRect().x"""
OF_WIDGET, OF_SLOW, OF_FAILING = 1, 2, 3


@pytest.fixture
def widget(notebook: Notebook) -> Locator:
    """The ReliabilityWidget, as at the start."""
    found = notebook.cell(OF_WIDGET).locator(".rw-explorer")
    expect(picture(found)).to_be_visible()
    button(found, "Reset").click()
    expect(sentence(found)).not_to_contain_text("ECE from")
    expect(status(found)).to_contain_text("ready")
    return found


def test_run_all_shows_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text("over-confident by")
    expect(picture(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    shot(notebook.page.locator("#main"), "page")
    shot(widget, "widget")


def test_slider_moves_picture_and_sentence(notebook: Notebook, widget: Locator) -> None:
    before = picture(widget).inner_html()
    with_fifteen = sentence(widget).inner_text()
    notebook.press_in(labelled(widget, "Bins"), "ArrowRight")
    expect(labelled(widget, "Bins").locator(".widget-readout")).to_have_text("16")
    expect(sentence(widget)).not_to_have_text(with_fifteen)
    assert picture(widget).inner_html() != before


def test_the_handle_takes_over_the_repair(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    ring, repair = mark(widget, "handle:temperature"), labelled(widget, "Repair").locator("select")
    expect(repair).to_have_value("none")
    expect(ring).to_have_attribute("aria-valuenow", "1")
    x = drag(ring, 60)
    # At once, whatever Python does.
    notebook.page.wait_for_function(f"() => Math.abs({AT} - {x}) < 4")
    notebook.page.mouse.up()
    expect(repair).to_have_value("temperature")
    expect(sentence(widget)).to_contain_text(re.compile(r"Temperature 1\.\d\d takes ECE from"))
    expect(sentence(widget)).to_contain_text("no prediction changes")
    value = float(str(ring.get_attribute("aria-valuenow")))
    # The sentence may speak of a value on the way; the handle is named by the last answer.
    expect(ring).to_have_attribute("aria-label", f"temperature T = {value:.2f}")
    assert value == float(notebook.run_new("print(widget.state()['temperature'])"))
    shot(widget, "dragged")
    ring.focus()
    for _ in range(3):
        notebook.page.keyboard.press("ArrowLeft")
    expect(ring).to_have_attribute("aria-valuenow", re.compile(rf"^{value / 10**0.03:.4f}"[:-1]))
    # Python has answered: a key that was pressed just before Reset may arrive after it.
    expect(ring).to_have_attribute("aria-label", f"temperature T = {value / 10**0.03:.2f}")
    button(widget, "Reset").click()
    expect(repair).to_have_value("none")
    expect(ring).to_have_attribute("aria-valuenow", "1")


def test_calibration_is_fitted_and_pinned_for_comparison(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "Pin").click()
    expect(button(widget, "Unpin")).to_be_visible()
    labelled(widget, "Repair").locator("select").select_option("temperature")
    expect(sentence(widget)).to_contain_text("takes ECE from")
    expect(sentence(widget)).to_contain_text("Against the pin: ")
    fitted = re.search(r"Temperature ([\d.]+) takes", sentence(widget).inner_text())
    assert fitted
    expect(picture(widget)).to_contain_text(f"images: {fitted[1]}")
    assert notebook.run_new("print(widget.state()['temperature'])") == "None"
    shot(widget, "pinned")
    button(widget, "Unpin").click()
    expect(sentence(widget)).not_to_contain_text("Against the pin")


def test_bin_is_chosen_by_mouse_and_keyboard(notebook: Notebook, widget: Locator) -> None:
    cells = notebook.page.locator(".jp-CodeCell").count()
    button(widget, "+ images of a bin").click()
    panel = widget.locator(".rw-panel:visible")
    images = panel.locator("image")
    mark(widget, "bin:14").click()
    expect(panel).to_contain_text(re.compile(r"93–100\s%: .* of 194 .*1–5 of 194"))
    told = re.compile(r"image \d+: is \d, predicted \d; confidence in \d [\d.]+\s?%")
    expect(panel.locator(".rw-picture")).to_have_attribute("aria-label", told)
    expect(images).to_have_count(5)
    notebook.page.keyboard.press("Home")
    expect(panel).to_contain_text(re.compile(r"0–7\s%: no data"))
    expect(mark(widget, "bin:0")).to_have_attribute("aria-pressed", "true")
    expect(mark(widget, "bin:0")).to_be_focused()
    expect(images.locator("visible=true")).to_have_count(0)
    for key in ("ArrowRight", "x", "b", "d", "d"):  # keys of JupyterLab cut and add cells
        notebook.page.keyboard.press(key)
    expect(mark(widget, "bin:1")).to_be_focused()
    assert notebook.page.locator(".jp-CodeCell").count() == cells
    # Reset gives the choice back to the widget: the bin that costs most.
    button(widget, "Reset").click()
    expect(mark(widget, "bin:14")).to_have_attribute("aria-pressed", "true")
    button(widget, "− images of a bin").click()


def test_an_image_is_chosen_by_mouse_and_keyboard(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "+ images of a bin").click()
    panel = widget.locator(".rw-panel:visible")
    images = panel.locator('[data-kind="image"]')
    expect(images).to_have_count(5)
    images.nth(1).click()
    expect(images.nth(1)).to_have_attribute("aria-pressed", "true")
    numbers = [it.get_attribute("data-key") for it in images.all()]
    expect(panel).to_contain_text(f"Image {numbers[1]} is ")
    notebook.page.keyboard.press("ArrowRight")
    expect(panel).to_contain_text(f"Image {numbers[2]} is ")
    expect(images.nth(2)).to_be_focused()
    shot(widget, "image-of-a-bin")
    button(widget, "− images of a bin").click()


def test_keys_of_the_notebook_do_not_reach_it_from_controls(
    notebook: Notebook, widget: Locator
) -> None:
    cells = notebook.page.locator(".jp-CodeCell").count()
    for control in (
        labelled(widget, "Bins").locator(".noUi-handle"),
        labelled(widget, "Corruption").locator("select"),
        button(widget, "Pin"),
    ):
        control.focus()
        for key in ("x", "b"):
            notebook.page.keyboard.press(key)
    assert notebook.page.locator(".jp-CodeCell").count() == cells
    handle = labelled(widget, "Bins").locator(".noUi-handle")
    expect(handle).to_have_attribute("aria-label", "Bins")


def test_a_mark_tells_its_name_at_once(widget: Locator) -> None:
    mark(widget, "bin:14").hover()
    tip = widget.locator(".rw-tip").first
    expect(tip).to_contain_text(" of 194 ")
    widget.locator(".rw-title").hover()
    expect(tip).to_be_hidden()


def test_a_long_status_gives_way_before_the_chips(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    shown = ["resnet20-overconfident", "300 images, fitted on 500 others", "shows: noise 3"]
    shown.append("cancelled: 38 of 64")
    notebook.run_new(
        f"""_ = widget.wait(60)
widget.page.show_chips({shown})
widget.runner.say("refining · 1,234 of 2,000 · 12 s left", "more")
widget.runner.stop.layout.display = ''"""
    )
    expect(button(widget, "Cancel")).to_be_visible()
    chips = widget.locator(".rw-chip")
    expect(chips).to_have_text(shown)
    shot(widget, "long-status")
    cut = "it => it.scrollWidth > it.clientWidth"
    assert [it.evaluate(cut) for it in chips.all()] == [False] * 4
    assert status(widget).evaluate(cut)
    assert not button(widget, "Cancel").evaluate(cut)
    expect(status(widget)).to_have_attribute("title", "refining · 1,234 of 2,000 · 12 s left; more")
    notebook.run_new('widget.runner.say("● ready"); widget.runner.stop.layout.display = "none"')


def test_export_writes_files(lab: Lab, widget: Locator) -> None:
    button(widget, "Export").click()
    for kind, beginning in (
        ("PNG", b"\x89PNG"),
        ("SVG", b"<svg"),
        ("CSV", b"state,bin,"),
        ("JSON", b"{"),
    ):
        button(widget, kind).click()
        link = widget.locator(f"a[download$='.{kind.lower()}']")
        expect(link).to_be_visible()
        path = lab.folder / "exports" / str(link.get_attribute("download"))
        assert path.read_bytes().startswith(beginning)


def test_cancel_keeps_the_picture_and_cells_run_meanwhile(
    notebook: Notebook, shot: Callable[[Locator, str], None]
) -> None:
    slow = notebook.cell(OF_SLOW).locator(".rw-explorer")
    expect(picture(slow)).to_have_text("finished 1")
    notebook.press_in(labelled(slow, "k"), "ArrowRight")
    expect(status(slow)).to_contain_text(re.compile(r"running · \d+ of 400 · \d+ s left"))
    assert notebook.run_new("print(6 * 7)") == "42"
    expect(status(slow)).to_contain_text("running")
    shot(slow, "running")
    button(slow, "Cancel").click()
    expect(status(slow)).to_contain_text(re.compile(r"stopped at \d+ of 400"))
    expect(picture(slow)).to_have_text("finished 1")
    expect(slow.locator(".rw-stale")).to_have_count(0)
    shot(slow, "cancelled")
    # The controls say what is shown; Resume asks again for what was asked for.
    expect(labelled(slow, "k").locator(".widget-readout")).to_have_text("1")
    expect(button(slow, "Resume")).to_be_visible()


def test_error_becomes_a_card(notebook: Notebook, shot: Callable[[Locator, str], None]) -> None:
    failing = notebook.cell(OF_FAILING).locator(".rw-explorer")
    expect(picture(failing)).to_have_text("works with 1")
    notebook.press_in(labelled(failing, "k"), "ArrowRight")
    card = failing.get_by_role("alert")
    expect(card).to_contain_text("<script>window.ran = true</script> k is 2; set k to 1")
    assert card.locator("script").count() == 0
    assert notebook.page.evaluate("() => window.ran === undefined")
    expect(picture(failing)).to_have_text("works with 1")
    shot(failing, "error")
    notebook.press_in(labelled(failing, "k"), "ArrowRight")
    expect(picture(failing)).to_have_text("works with 3")
    expect(card).to_be_hidden()
