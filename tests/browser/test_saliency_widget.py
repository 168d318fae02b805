"""SaliencyWidget, used as by hand in a real JupyterLab."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import (
    WINDOW,
    Notebook,
    assert_fits,
    button,
    labelled,
    mark,
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
    expect(stage(found)).to_be_visible()
    button(found, "Reset").click()
    expect(chosen(found, "“Nothing” 2")).to_have_text("white")
    ready(found)
    return found


def ready(widget: Locator) -> None:
    """Wait until what is shown is no preview any more."""
    expect(status(widget)).to_contain_text("● ready")
    expect(widget.locator(".rw-chip.rw-shows")).to_be_visible()


def stage(widget: Locator) -> Locator:
    """The picture above the panels."""
    return widget.locator(".rw-stage .rw-picture").locator("visible=true")


def chosen(widget: Locator, label: str) -> Locator:
    return labelled(widget, label).locator("select option:checked")


def choose(widget: Locator, label: str, option: str) -> None:
    labelled(widget, label).locator("select").first.select_option(label=option)


def said(widget: Locator, words: str | re.Pattern[str]) -> Locator:
    """The texts of the picture that read so."""
    return stage(widget).locator("text", has_text=words)


@pytest.fixture
def opened_panel(widget: Locator) -> Iterator[Callable[[str], Locator]]:
    """Open a panel by its name; it is closed afterwards."""
    names = []

    def opening(name: str) -> Locator:
        button(widget, f"+ {name}").click()
        names.append(name)
        return widget.locator(".rw-panel:visible")

    yield opening
    for name in names:
        button(widget, f"− {name}").click()


def test_run_all_shows_two_maps_and_a_finding(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    expect(sentence(widget)).to_contain_text(re.compile(r"^The two maps .*\(ρ = "))
    expect(sentence(widget)).to_contain_text("Controls: an untrained network")
    expect(stage(widget)).to_have_attribute("aria-label", sentence(widget).inner_text())
    for words in ("Compared with black", "Compared with white", "this pixel", "half the steps"):
        expect(said(widget, words).first).to_be_visible()
    # Image, two maps with swatch and bar; maps and bars once more for a dark page.
    expect(stage(widget).locator("image")).to_have_count(1 + 2 * (1 + 2 + 2))
    expect(stage(widget).locator("image:visible")).to_have_count(1 + 2 * 3)
    assert_fits(widget)
    shot(notebook.page.locator("#main"), "saliency page")
    shot(widget, "saliency")


def test_it_fits_in_every_state(notebook: Notebook, widget: Locator) -> None:
    button(widget, "Pin").click()
    expect(sentence(widget)).to_contain_text(re.compile(r"Against the pin.*: no difference"))
    choose(widget, "Method", "RISE")
    expect(status(widget)).to_contain_text(re.compile("running|preview|refining|ready"))
    assert_fits(widget)
    expect(sentence(widget)).to_contain_text("agrees")
    assert_fits(widget)
    button(widget, "Unpin").click()
    choose(widget, "Method", "gradient")
    expect(said(widget, "with no “nothing”:")).to_be_visible()
    expect(labelled(widget, "“Nothing” 1").locator("select")).to_be_disabled()
    assert_fits(widget)


def test_a_pixel_is_chosen_by_mouse_and_keyboard(notebook: Notebook, widget: Locator) -> None:
    held = notebook.run_new("print(len(widget.work.cache._memory))")
    image, second = mark(widget, "grid:cell.0"), mark(widget, "grid:cell.2")
    box = second.bounding_box()
    assert box
    side = box["width"] / 16
    second.click(position={"x": 4.5 * side, "y": 6.5 * side})
    told = notebook.run_new(
        "from reliab_widgets.analyses.saliency.values import number\n"
        "print(*(number(float(it)) for it in widget.result.maps[0, :2, 6, 4]))"
    )
    for number in told.split():
        expect(said(widget, f"{number} ").first).to_be_visible()
    for place in range(3):
        grid = mark(widget, f"grid:cell.{place}")
        expect(grid).to_have_attribute("aria-label", re.compile("^row 7, column 5: black "))
        at, ring = grid.bounding_box(), mark(widget, f"ring:cell.{place}").bounding_box()
        assert at and ring
        assert ring["x"] + ring["width"] / 2 - at["x"] == pytest.approx(4.5 * side, abs=1)
        assert ring["y"] + ring["height"] / 2 - at["y"] == pytest.approx(6.5 * side, abs=1)
    image.focus()
    for key in ("ArrowRight", "ArrowDown"):
        notebook.page.keyboard.press(key)
    expect(image).to_have_attribute("aria-label", re.compile("^row 8, column 6: black "))
    expect(image).to_be_focused()
    assert notebook.run_new("print(widget.state()['cell'])") == "(8, 6)"
    image.hover(position={"x": 0.5 * side, "y": 0.5 * side})
    expect(widget.locator(".rw-stage .rw-tip")).to_contain_text("row 1, column 1: black 0, white ")
    assert notebook.run_new("print(len(widget.work.cache._memory))") == held


def test_what_is_told_of_a_pixel_covers_no_heading(widget: Locator) -> None:
    tip = widget.locator(".rw-stage .rw-tip")
    for place in range(3):
        grid = mark(widget, f"grid:cell.{place}")
        grid.hover(position={"x": 20 + place, "y": 4})
        expect(tip).to_contain_text("row 1, ")
        box, at = tip.bounding_box(), grid.bounding_box()
        assert box and at
        assert box["y"] >= at["y"]  # headings stand above


def test_the_ring_moves_at_once(notebook: Notebook, widget: Locator) -> None:
    """The page moves it; it does not wait for the kernel, which sleeps."""
    ring, grid = mark(widget, "ring:cell.1"), mark(widget, "grid:cell.1")
    grid.focus()
    notebook.page.keyboard.press("Home")
    expect(grid).to_have_attribute("aria-label", re.compile("column 1: "))
    expect(ring).to_have_attribute("transform", "translate(0,0)")  # drawn anew
    expect(status(widget)).to_contain_text("● ready")
    before = ring.bounding_box()
    assert before
    where = (
        "document.querySelector('.rw-stage [data-mark=\"ring:cell.1\"]').getBoundingClientRect().x"
    )
    notebook.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({code: 'import time; time.sleep(2)'}) && null"
    )
    notebook.page.keyboard.press("ArrowRight")
    moved = notebook.page.evaluate(f"() => {where}")
    assert moved > before["x"] + 5
    expect(grid).to_have_attribute("aria-label", re.compile("column 2: "))


def test_the_untrained_network_is_shown_from_the_ruler(notebook: Notebook, widget: Locator) -> None:
    mark(widget, "versus:untrained").click()
    expect(said(widget, "The same, untrained")).to_be_visible()
    expect(sentence(widget)).to_contain_text("the trained and the untrained network")
    notebook.page.keyboard.press("ArrowDown")
    notebook.page.keyboard.press("ArrowUp")
    mark(widget, "versus:baseline").click()
    expect(said(widget, "Compared with white")).to_be_visible()


def test_a_cell_of_the_table_shows_its_pair(
    widget: Locator, opened_panel: Callable[[str], Locator]
) -> None:
    panel = opened_panel("agreement")
    panel.locator('[data-mark="pair:2,3"]').click()
    expect(said(widget, "Compared with mean")).to_be_visible()
    expect(chosen(widget, "“Nothing” 2")).to_have_text("blur")
    expect(panel.locator('[data-mark="pair:2,3"]')).to_have_attribute("aria-pressed", "true")


def test_alpha_is_dragged_and_computes_nothing(
    notebook: Notebook, widget: Locator, opened_panel: Callable[[str], Locator]
) -> None:
    panel = opened_panel("path")
    held = notebook.run_new("print(len(widget.work.cache._memory))")
    handle = panel.locator('[data-mark="handle:alpha"]')
    handle.focus()
    notebook.page.keyboard.press("Home")
    expect(panel.locator("text", has_text="at α = 0.00")).to_be_visible()
    notebook.page.keyboard.press("ArrowRight")
    expect(panel.locator("text", has_text="at α = 0.06")).to_be_visible()
    expect(sentence(widget)).to_contain_text("At α = 0.06")
    expect(widget.locator(".rw-chip.rw-warning")).to_contain_text("α = 0.06")
    assert notebook.run_new("print(len(widget.work.cache._memory))") == held
    button(widget, "Play").click()
    expect(button(widget, "Stop")).to_be_visible()
    expect(panel.locator("text", has_text="at α = 1.00")).to_be_visible()
    expect(button(widget, "Play")).to_be_visible()


def test_fill_and_deleted_share_only_redraw(
    notebook: Notebook, widget: Locator, opened_panel: Callable[[str], Locator]
) -> None:
    panel = opened_panel("deletion")
    panel.locator("select").select_option("white")
    expect(panel.locator("text", has_text="falls first:")).to_be_visible()
    panel.locator('[data-mark="handle:fraction"]').focus()
    notebook.page.keyboard.press("End")
    expect(panel.locator("text", has_text=re.compile(r"at 50\s% replaced"))).to_be_visible()
    assert notebook.run_new("print(widget.state()['fraction'], widget.state()['fill'])") == (
        "0.5 white"
    )


def test_another_nothing_is_computed_and_its_colour_gets_no_credit(
    notebook: Notebook, widget: Locator
) -> None:
    choose(widget, "“Nothing” 2", "picked colour")
    expect(said(widget, re.compile("^Compared with #[0-9a-f]{6}$"))).to_be_visible()
    ready(widget)
    code = "r = widget.result; b = abs(r.images[0] - r.baseline_images[0, 3]).max(0) == 0\n"
    assert notebook.run_new(f"{code}print(b.any(), abs(r.maps[0, 3][b]).sum())") == "True 0.0"


def test_maps_that_do_not_add_up_are_not_compared(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    notebook.run_new("_ = widget.set(steps=1).wait(60)")
    expect(widget.locator(".rw-chip.rw-warning")).to_contain_text("take more steps")
    expect(said(widget, "Not told:")).to_be_visible()
    expect(said(widget, "half the steps")).to_have_count(0)
    expect(said(widget, re.compile("^not told, gap ")).first).to_be_visible()
    assert_fits(widget)
    shot(widget, "saliency gap")


def test_a_narrow_page_is_laid_out_anew(notebook: Notebook, widget: Locator) -> None:
    svg = stage(widget).locator("svg")
    expect(svg).to_have_attribute("viewBox", "0 0 880 284")
    notebook.page.set_viewport_size(WINDOW | {"width": 860})
    expect(svg).to_have_attribute("viewBox", "0 0 640 368")
    expect(mark(widget, "versus:untrained")).to_be_visible()
    notebook.page.set_viewport_size(WINDOW)
    expect(svg).to_have_attribute("viewBox", "0 0 880 284")


def test_the_next_image_by_keyboard(notebook: Notebook, widget: Locator) -> None:
    button(widget, "▶").focus()
    notebook.page.keyboard.press("Enter")
    expect(widget.locator(".rw-chip", has_text="image 4 of 20")).to_be_visible()
    ready(widget)


def test_what_was_pinned_is_outlined(
    notebook: Notebook, widget: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(widget, "Pin").click()
    expect(sentence(widget)).to_contain_text(re.compile(r"Against the pin.*: no difference"))
    expect(said(widget, re.compile("^pinned"))).to_be_visible()
    labelled(widget, "Explain").locator("select").select_option(index=2)
    expect(sentence(widget)).to_contain_text("nothing to compare")
    ready(widget)
    shot(widget, "saliency pinned")
    button(widget, "Unpin").click()
    expect(sentence(widget)).not_to_contain_text("Against the pin")
