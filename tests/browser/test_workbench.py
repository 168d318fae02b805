"""The workbench, used as by hand in a real JupyterLab: six chains, keys, files, no echo."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, Notebook, button, labelled, picture

pytestmark = pytest.mark.browser

SUBJECT = """
import torch
import reliab_widgets as rw
from ipywidgets.widgets.widget import _instances

generator = torch.Generator().manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3), torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 4),
)
for parameter in model.parameters():
    parameter.data = torch.randn(parameter.shape, generator=generator) / 3
model[-1].weight.data *= 6
model.eval()
images = torch.rand(160, 3, 1, 1, generator=generator).expand(-1, -1, 12, 12)
images = (images + 0.1 * torch.rand(160, 3, 12, 12, generator=generator)).clamp(0, 1)
with torch.no_grad():
    unsure = (model(images) / 3).softmax(1)
labels = torch.multinomial(unsure, 1, generator=generator)[:, 0]
classes = ["ant", "bee", "cow", "dog"]
whole = rw.Subject(model, images, labels, classes=classes, name="tiny")
subject = whole[:80].with_validation(whole[80:])
"""
BENCH = """
bench = rw.widgets.Workbench(subject, tab="reliability")
_ = bench.add("pruned", level=0.6)
bench
"""
CELLS = (SUBJECT, BENCH)


@pytest.fixture
def bench(notebook: Notebook) -> Locator:
    """A new workbench: the cell is run again."""
    notebook.run_again(1)
    found = notebook.cell(1).locator(".rw-bench")
    expect(picture(body(found))).to_be_visible()
    ready(found)
    return found


def body(bench: Locator) -> Locator:
    return bench.locator(".rw-body")


def ready(bench: Locator) -> None:
    """Wait until what is seen is ready."""
    expect(body(bench).locator("[role=status]").last).to_contain_text("ready")


def tab(bench: Locator, name: str) -> None:
    button(bench.locator(".rw-tabs"), name).click()
    expect(picture(body(bench))).to_be_visible()
    ready(bench)


def chip(bench: Locator, name: str) -> Locator:
    return bench.locator(".rw-variants").get_by_role("button", name=re.compile(name))


def choose(bench: Locator, name: str) -> None:
    chip(bench, name).first.click()
    expect(chip(bench, name).first).to_have_class(re.compile("rw-on|rw-warns"))


def against(bench: Locator, name: str) -> None:
    labelled(bench.locator(".rw-variants"), "against").locator("select").select_option(label=name)


def said(bench: Locator, words: str) -> None:
    expect(body(bench).locator("[aria-live=polite]")).to_contain_text(words)


def go_on(bench: Locator, words: str) -> None:
    bench.get_by_role("button", name=re.compile(words)).click()


def at_rest(notebook: Notebook) -> None:
    """Wait until the workbench has told what it found: it does in a rest of input."""
    notebook.run_new("import time; _ = bench.result; time.sleep(1)")


@pytest.mark.slow("a new workbench in a new kernel, four results and their temperatures")
def test_calibrate_prune_recalibrate(
    notebook: Notebook, bench: Locator, shot: Callable[[Locator, str], None]
) -> None:
    button(bench.locator(".rw-tabs"), "controls").click()
    repair = labelled(body(bench), "Repair").locator("select")
    repair.select_option(label="temperature")
    said(bench, "Temperature")
    go_on(bench, "^apply T")
    expect(chip(bench, "^T = ")).to_be_visible()
    first = notebook.run_new("print(round(bench.bench.temperature, 3))")
    assert float(first) > 1.5  # it is over-confident
    choose(bench, "60.% pruned")
    said(bench, "tiny, 60")
    expect(repair).to_have_value("none")  # what was applied is no repair any more
    repair.select_option(label="temperature")
    said(bench, "Temperature")
    at_rest(notebook)
    go_on(bench, "^apply T")
    notebook.run_new("_ = bench.result")
    again = notebook.run_new("print(round(bench.bench.temperature, 3))")
    assert again != first
    shot(bench, "chain1")


@pytest.mark.slow("a sweep over ten levels, and maps with three controls")
def test_prune_then_explain(bench: Locator, shot: Callable[[Locator, str], None]) -> None:
    tab(bench, "Pruning")
    expect(bench.get_by_role("button", name=re.compile("^network, 10"))).to_be_visible()
    go_on(bench, "^network, 10")
    against(bench, "tiny as given")
    tab(bench, "Saliency")
    said(bench, "Against tiny")
    said(bench, "pruned at random: the maps")
    said(bench, "untrained network")
    shot(bench, "chain2")


def test_attack_then_explain(bench: Locator, shot: Callable[[Locator, str], None]) -> None:
    tab(bench, "Propagation")
    go_on(bench, "^attacked image")
    against(bench, "clean")
    tab(bench, "Saliency")
    said(bench, "Against tiny")
    said(bench, "random signs")
    expect(bench.locator(".rw-side")).to_contain_text("before:")
    shot(bench, "chain3")


def test_attack_then_calibrate(bench: Locator, shot: Callable[[Locator, str], None]) -> None:
    choose(bench, "attacked")
    against(bench, "clean")
    said(bench, "tiny, attacked, BIM")
    said(bench, "random signs")
    shot(bench, "chain4")


def test_prune_then_attack(bench: Locator, shot: Callable[[Locator, str], None]) -> None:
    choose(bench, "pruned")
    against(bench, "tiny as given")
    tab(bench, "Propagation")
    said(bench, "Against tiny")
    shot(bench, "chain5")


@pytest.mark.slow("all four analyses one after the other")
def test_the_weakest_image_through_all_tabs(
    notebook: Notebook, bench: Locator, shot: Callable[[Locator, str], None]
) -> None:
    go_on(bench, "images of the bin")
    button(bench.locator(".rw-images"), "sort, your photo").click()
    order = labelled(bench.locator(".rw-images"), "Sort by").locator("select")
    order.select_option(label="p of the true class")
    at_rest(notebook)
    first = bench.locator(".rw-images [data-kind=image]").first
    key = first.get_attribute("data-key")
    first.click()
    expect(bench.locator(".rw-side")).to_contain_text(f"Image {key} ")
    for name in ("Saliency", "Propagation"):
        tab(bench, name)
        expect(body(bench).locator(".rw-chip").nth(1)).to_contain_text(f"image {key} ")
        shot(bench, f"chain6-{name}")
    tab(bench, "Pruning")
    assert notebook.run_new('print(bench.widget.state()["image"])') == key


def test_images_are_walked_by_keys_and_every_tab_follows(
    notebook: Notebook, bench: Locator
) -> None:
    headline = bench.locator(".rw-title").first
    expect(headline).to_have_text(re.compile("When it says 90.%, is it right 9 times in 10?"))
    tab(bench, "2 × 2")
    expect(headline).to_have_text("One model, one image, one story")
    chosen = bench.locator(".rw-images [data-kind=image][aria-pressed=true]")
    before = chosen.get_attribute("data-key")
    chosen.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(chosen).not_to_have_attribute("data-key", before or "")
    after = chosen.get_attribute("data-key")
    expect(body(bench).get_by_text(re.compile(f"image {after} ")).first).to_be_visible()
    notebook.page.keyboard.press("x")  # JupyterLab's key: cut the cell
    expect(bench).to_be_visible()


def test_controls_panels_and_code_of_an_analysis_are_folded(bench: Locator) -> None:
    pin, repair = button(body(bench), "Pin"), labelled(body(bench), "Repair")
    expect(pin).to_be_hidden()
    expect(repair).to_be_hidden()
    button(bench.locator(".rw-tabs"), "controls").click()
    expect(repair).to_be_visible()
    expect(pin).to_be_visible()
    button(body(bench), "+ numbers").click()
    button(bench.locator(".rw-tabs"), "controls").click()
    expect(pin).to_be_hidden()
    expect(button(body(bench), "×").first).to_be_visible()  # what is open stays open


def test_the_story_is_copied_saved_and_gone_back_to(
    notebook: Notebook, bench: Locator, lab: Lab
) -> None:
    choose(bench, "noise 3")
    ready(bench)
    button(bench.locator(".rw-story"), "Code").click()
    code = bench.locator(".rw-story ~ .widget-textarea textarea, textarea").last
    expect(code).to_have_value(re.compile("import reliab_widgets as rw"))
    button(bench, "Save").click()
    expect(bench.get_by_text("Written to lab.json")).to_be_visible()
    assert (lab.folder / "lab.json").exists()
    button(bench, "Card").click()
    expect(bench.get_by_text("Written to card.html")).to_be_visible()
    assert "http" not in re.sub(
        r"http://www\.w3\.org\S*", "", (lab.folder / "card.html").read_text()
    )


def test_a_photograph_is_uploaded(notebook: Notebook, bench: Locator, tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (20, 20), "teal").save(path)
    with notebook.page.expect_file_chooser() as chooser:
        button(bench.locator(".rw-images"), "sort, your photo").click()
        bench.get_by_role("button", name=re.compile("Your photo")).click()
    chooser.value.set_files(path)
    expect(bench.locator(".rw-side")).to_contain_text("Image 80 ")
    assert notebook.run_new("print(len(bench.bench.given))") == "81"


def test_a_variant_is_added_by_the_form(notebook: Notebook, bench: Locator) -> None:
    chip(bench, r"^\+ variant").nth(1).click()
    form = bench.locator(".rw-panel.rw-controls")
    labelled(form, "How").locator("select").select_option(label="corrupt")
    labelled(form, "Corruption").locator("select").select_option(label="contrast 4")
    notebook.run_new("_ = bench.result")  # the form is that of the kind that was chosen
    button(form, "Add").click()
    expect(chip(bench, "^contrast 4")).to_have_class(re.compile("rw-warns"))


@pytest.mark.slow("five workbenches")
def test_running_the_cell_again_leaves_nothing(notebook: Notebook, bench: Locator) -> None:
    def count() -> int:
        notebook.run_again(1)
        ready(notebook.cell(1).locator(".rw-bench"))
        return int(notebook.run_new("_ = bench.result\nprint(len(_instances))").splitlines()[-1])

    counts = [count() for _ in range(4)]
    assert counts[-1] <= counts[0] + 20  # the story may have a step more
