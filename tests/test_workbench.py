"""One selection for all analyses: variants, links, chains, story, file, photograph."""

import io
import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ipywidgets as W
import pandas as pd
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image
from scipy.stats import spearmanr
from torch import nn

import reliab_widgets as rw
from reliab_widgets.analyses import ANALYSES
from reliab_widgets.ui import worker
from reliab_widgets.ui.words import Chip
from reliab_widgets.widgets import Workbench
from reliab_widgets.workbench import steps
from reliab_widgets.workbench.bench import CLEAN, GIVEN, Bench, View
from reliab_widgets.workbench.story import Step, Story
from reliab_widgets.workbench.variants import KINDS, Variant, variant

CHEAP = {
    "saliency": {"steps": 8, "baselines": ("black", "white"), "first": "black", "second": "white"},
    "propagation": {"steps": 3},
    "pruning": {"images": 40, "calibration_images": 50},
    "reliability": {},
    "landscape": {"points": 11, "steps": 2, "restarts": 1},
    "robustness": {"attacks": ("fgsm",), "images": 16},
    "transfer": {"attack": "fgsm", "images": 16},
    "universal": {"source_images": 50, "images": 16},
}


@pytest.fixture(scope="module")
def subject() -> rw.Subject:
    """Forty images, as the widgets of a lesson would have two thousand."""
    whole = rw.demo("resnet20")
    return whole[:40].with_validation(whole.validation[:60])


@pytest.fixture
def bench(subject: rw.Subject) -> Iterator[Workbench]:
    made = Workbench(subject, tab="reliability")
    yield made
    made.close()


def ready(made: Workbench, tab: str = "", **settings: Any) -> Any:
    """Open a tab with cheap settings and wait until everything has come to rest."""
    word = tab or made.tabs.tab
    known = made.tabs.explorer(word)
    known.settings.assign({**CHEAP[word], **settings})
    made.show(word)
    known.refresh()
    rest(made)
    return known.result


def rest(made: Workbench) -> None:
    deadline = time.monotonic() + 120
    quiet = 0
    while quiet < 3:
        assert time.monotonic() < deadline
        busy = [it for it in made.tabs.explorers.values() if worker.waits(it.runner.owner)]
        quiet = 0 if busy or not worker.wait(id(made), 60) else quiet + 1
        for explorer in made.tabs.explorers.values():
            worker.wait(explorer.runner.owner, 60)
        time.sleep(0.05)


# --- variants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", KINDS)
def test_a_variant_is_a_recipe_that_json_can_hold(word: str, subject: rw.Subject) -> None:
    made = variant(word, {}, subject) if word == "untrained" else None
    made = made or variant(word, KINDS[word].asked, subject)
    again = json.loads(json.dumps(made.plain()))
    assert variant(again["word"], again["knobs"], subject) == made
    assert made.name
    seen = made(subject[:8], [1]) if KINDS[word].single else made(subject[:8])
    assert len(seen) == 8


@pytest.mark.parametrize(
    ("word", "knobs", "said"),
    [
        ("pruning", {}, "no such variant"),
        ("pruned", {"level": 2}, "level"),
        ("pruned", {"levels": 0.1}, "levels"),
        ("attack", {"attack": "bom"}, "attack"),
        ("denoised", {"denoiser": "magic"}, "denoiser"),
    ],
)
def test_a_wrong_recipe_is_refused(
    word: str, knobs: dict[str, Any], said: str, subject: rw.Subject
) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        variant(word, knobs, subject)


def test_the_control_of_a_change_has_its_size() -> None:
    attacked = Variant("attack", {"attack": "pgd", "epsilon": 4 / 255, "seed": 3})
    assert attacked.control == Variant("noisy", {"epsilon": 4 / 255, "seed": 3})
    pruned = Variant("pruned", {"level": 0.2})
    assert pruned.control.knobs == {"level": 0.2, "criterion": "random"}
    assert pruned.control.control is None
    assert Variant("untrained").control is None
    assert Variant("attack", {"attack": "pgd-l2", "epsilon": 0.5}).control is None


# --- the bench ----------------------------------------------------------------------------------


def test_network_images_and_temperature_go_together(subject: rw.Subject) -> None:
    bench = Bench(subject)
    bench.select(model="untrained", image="noise 3", temperature=2.0)
    seen = bench.subject()
    by_hand = rw.corrupted(subject, "noise 3").on(rw.untrained(subject).network)
    torch.testing.assert_close(seen.logits, by_hand.logits / 2)
    again = eval(seen.code, {"rw": rw})
    torch.testing.assert_close(again.logits, seen.logits)


def test_only_the_image_that_is_looked_at_is_attacked(subject: rw.Subject) -> None:
    bench = Bench(subject)
    bench.select(image="attacked, BIM 8/255", index=5)
    one, every = bench.subject(index=5), bench.subject()
    changed = (one.images != subject.images).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [5]
    assert (every.images != subject.images).flatten(1).any(1).all()
    torch.testing.assert_close(every.images[5], one.images[5])


def test_one_network_is_kept_and_what_is_not_looked_at_is_let_go(subject: rw.Subject) -> None:
    bench = Bench(subject)
    made = [bench.subject(View(name)).network for name in ("untrained", "10 % pruned")]
    assert bench.subject(View("10 % pruned")).network is made[1]
    assert bench.subject(View("untrained")).network is not made[0]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"model": "best"}, "no such variant"),
        ({"image": "untrained"}, "no such variant"),
        ({"against": "dark"}, "no such variant"),
        ({"index": 40}, "there are 40 images"),
        ({"index": "first"}, "index chooses no images"),
        ({"target": "zebra"}, "no such target"),
        ({"temperature": 0}, "temperature must be"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(
    chosen: dict[str, Any], said: str, subject: rw.Subject
) -> None:
    bench = Bench(subject)
    before = bench.state()
    with pytest.raises((TypeError, ValueError, IndexError), match=said):
        bench.select(**chosen)
    assert bench.state() == before


def test_nothing_is_shown_behind_itself(subject: rw.Subject) -> None:
    bench = Bench(subject)
    bench.select(image="noise 3", against=CLEAN)
    assert bench.against == CLEAN
    bench.select(image=CLEAN)
    assert bench.against == ""


# --- links --------------------------------------------------------------------------------------


def test_what_is_chosen_in_one_widget_is_chosen_in_all(bench: Workbench) -> None:
    ready(bench, "saliency")
    ready(bench, "propagation")
    bench.select(index=7)
    rest(bench)
    assert bench.tabs.explorers["propagation"].state()["image"] == 7
    assert bench.show("saliency").state()["index"] == 7  # it follows when it is seen again
    bench.tabs.explorers["saliency"].set(index=3)
    assert bench.bench.index == 3
    rest(bench)
    assert bench.result.index.tolist() == [3]


def test_no_widget_answers_its_own_echo(bench: Workbench) -> None:
    ready(bench, "saliency")
    ready(bench, "propagation")
    told: list[Any] = []
    bench.bench.observe(lambda change: told.append(change["new"]), "index")
    bench.tabs.explorers["propagation"].controls["image"].value = 9
    rest(bench)
    assert told == [9]
    assert bench.bench.index == 9


def test_two_workbenches_do_not_mix(bench: Workbench, subject: rw.Subject) -> None:
    other = Workbench(subject, tab="propagation")
    try:
        ready(bench, "propagation")
        bench.select(index=4, model="untrained")
        rest(bench)
        assert other.bench.index != 4
        assert other.bench.model == GIVEN
        assert other.result.subject == "resnet20"
    finally:
        other.close()


def test_a_detached_widget_has_its_own_image_but_the_network_of_all(bench: Workbench) -> None:
    ready(bench, "propagation")
    widget = bench.tabs.explorers["propagation"]
    bench.link(widget, follows=False)
    before = widget.state()["image"]
    bench.select(index=before + 1, model="untrained")
    rest(bench)
    assert widget.state()["image"] == before
    assert widget.result.subject == "resnet20, untrained"
    bench.link(widget)
    rest(bench)
    assert widget.state()["image"] == before + 1


def test_a_widget_of_another_cell_can_be_linked(bench: Workbench, subject: rw.Subject) -> None:
    widget = rw.widgets.PropagationWidget(subject, preset={"steps": 2})
    try:
        bench.link(widget)
        bench.select(index=6, model="untrained")
        assert widget.result.subject == "resnet20, untrained"
        assert widget.result.index.tolist() == [6]
        widget.controls["image"].value = 8
        assert bench.bench.index == 8
    finally:
        widget.close()


def test_what_nobody_sees_is_not_computed(bench: Workbench) -> None:
    ready(bench, "propagation")
    hidden = bench.tabs.explorers["propagation"]
    bench.show("reliability")
    before = hidden.work.result
    bench.select(model="untrained")
    rest(bench)
    assert hidden.work.result is before
    bench.show("propagation")
    assert bench.result.subject == "resnet20, untrained"


def test_a_widget_follows_variants_that_it_makes_itself_by_its_settings(bench: Workbench) -> None:
    name = bench.add("attack", attack="fgsm", epsilon=2 / 255)
    bench.select(image=name)
    result = ready(bench, "propagation")
    assert result.subject == "resnet20"  # not an attack on what is attacked already
    assert result.knobs["attack"] == "fgsm"
    bench.select(image="noise 3")
    bench.show("reliability")
    assert bench.result.knobs["corruption"] == "noise 3"
    bench.select(image=CLEAN)
    assert bench.result.knobs["corruption"] == "clean"


def test_every_analysis_joins_by_what_its_widget_says(subject: rw.Subject) -> None:
    for name in ANALYSES.values():
        widget = getattr(rw.widgets, f"{name}Widget")
        assert "seed" in widget.shares
        assert set(widget.shares) <= {"index", "target", "seed"}
        assert set(widget.makes) <= set(KINDS)


# --- variants that cannot be made ---------------------------------------------------------------


def test_a_variant_that_cannot_be_made_is_greyed_with_the_reason(bench: Workbench) -> None:
    ready(bench)
    name = bench.add("pruned", level=0.5, protect=("no such layer",))
    bench.select(model=name)
    rest(bench)
    assert bench.bench.model == GIVEN
    assert "no such layer" in bench.bench.unmade[name]
    chip = next(it for it in buttons(bench.chips) if it.description == name)
    assert chip.disabled
    assert "no such layer" in chip.tooltip
    assert bench.result.subject == "resnet20"


def test_analyses_that_the_network_cannot_have_are_greyed() -> None:
    class Blocked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.detach().flatten(1))

    subject = rw.Subject(Blocked(), torch.rand(8, 3, 2, 2), torch.arange(8) % 3)
    made = Workbench(subject, tab="reliability")
    try:
        ready(made)
        worker.wait(id(made.tabs), 60)
        greyed = {it.description: it.tooltip for it in buttons(made.tabs) if it.disabled}
        assert "Pruning" in greyed
        assert "Reliability" not in greyed
    finally:
        made.close()


def test_logits_without_a_network_have_a_workbench_too() -> None:
    subject = rw.Subject.from_logits(
        torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), [0, 1, 2] * 10
    )
    made = Workbench(subject, tab="reliability")
    try:
        assert ready(made).n == 30
        assert made.bench.named("model") == [GIVEN]
        with pytest.raises(ValueError, match="no network"):
            made.photograph(b"")
    finally:
        made.close()


def buttons(box: W.Widget) -> list[W.Button]:
    if isinstance(box, W.Button):
        return [box]
    return [it for child in getattr(box, "children", ()) for it in buttons(child)]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda it: it.select(images=3), TypeError),
        (lambda it: it.show("saliancy"), ValueError),
        (lambda it: it.go_on_with("the moon"), ValueError),
        (lambda it: it.add("pruned", level="much"), (TypeError, ValueError)),
    ],
)
def test_what_a_workbench_cannot_do_is_said(
    bench: Workbench, act: Callable[[Workbench], Any], error: Any
) -> None:
    with pytest.raises(error, match=r"[Cc]hoose|Pass|Use"):
        act(bench)


# --- six chains, by code ------------------------------------------------------------------------


def test_calibrate_prune_recalibrate(bench: Workbench, subject: rw.Subject) -> None:
    first = ready(bench, "reliability", method="temperature")
    t = first.calibrator.temperature
    bench.go_on_with(f"apply T = {t:.2f}")
    assert bench.bench.temperature == pytest.approx(t)
    bench.tabs.explorers["reliability"].set(method="none")
    bench.select(model=bench.add("pruned", level=0.1, calibration_images=50))
    stale = bench.result
    again = ready(bench, "reliability", method="temperature")
    factor = again.calibrator.temperature
    by_hand = rw.pruned(subject, 0.1, calibration_images=50)
    told = rw.reliability(by_hand, method="temperature", temperature=t)
    assert stale.metric("ece") == pytest.approx(told.metric("ece"), abs=1e-6)
    best = rw.reliability(by_hand, method="temperature")
    assert t * factor == pytest.approx(best.calibrator.temperature, rel=0.01)
    bench.go_on_with(f"apply T = {factor:.2f}")
    assert bench.bench.temperature == pytest.approx(t * factor)


def test_what_is_applied_is_no_repair_any_more(bench: Workbench, subject: rw.Subject) -> None:
    raw = bench.bench.probabilities()
    ready(bench, "reliability", method="temperature", temperature=0.5)
    bench.go_on_with("apply T = 0.50")
    rest(bench)
    assert bench.widget.state()["method"] == "none"
    by_hand = rw.reliability(subject, method="temperature", temperature=0.5)
    assert bench.result.metric("ece") == pytest.approx(by_hand.metric("ece"), abs=1e-6)
    assert not [it for it in bench.sendable if "apply" in it]
    assert bench.bench.probabilities(before=True) == pytest.approx(raw)
    assert bench.bench.probabilities().max() > raw.max()


def test_fit_t_answers_when_t_was_set_by_hand(bench: Workbench) -> None:
    ready(bench, "reliability", method="temperature", temperature=0.5)
    bench.widget.page.choose("method", "temperature")
    rest(bench)
    assert bench.widget.state()["temperature"] is None
    assert bench.result.calibrator.temperature != 0.5


@pytest.mark.slow("a sweep over ten levels, and maps with three controls")
def test_prune_then_explain_with_the_untrained_control(
    bench: Workbench, subject: rw.Subject
) -> None:
    ready(bench, "pruning", level=0.1)
    bench.go_on_with("network, 10 % pruned")
    bench.select(index=2, against=GIVEN)
    result = ready(bench, "saliency", target="true")
    knobs = {"index": 2, "target": "true", "steps": 8, "baselines": ("black", "white")}
    thin = rw.saliency(rw.pruned(subject, 0.1, calibration_images=50), **knobs)
    torch.testing.assert_close(torch.tensor(result.maps), torch.tensor(thin.maps))
    whole, control = bench.widget.work.shown.others
    assert whole.subject == "resnet20, as given"
    assert control.subject == "resnet20, 10 % pruned at random"
    assert result.untrained.shape[1] > 0
    assert "Against resnet20" in bench.widget.work.said


@pytest.mark.slow("maps of three variants of an image")
def test_attack_then_explain(bench: Workbench, subject: rw.Subject) -> None:
    ready(bench, "propagation")
    bench.select(index=3)
    rest(bench)
    bench.go_on_with("attacked image")
    bench.select(against=CLEAN)
    result = ready(bench, "saliency", steps=64)
    assert bench.widget.state()["score"] == "logit"  # as a probability it is 0, and noise
    knobs = {"target": "true", "score": "logit", "steps": 64, "baselines": ("black", "white")}
    attacked = rw.attack(subject, steps=3, images=[3])
    by_hand = rw.saliency(attacked, index=3, **knobs)
    torch.testing.assert_close(torch.tensor(result.maps), torch.tensor(by_hand.maps))
    clean = rw.saliency(subject, index=3, **knobs)
    noisy = rw.saliency(rw.noisy(subject, images=[3]), index=3, **knobs)
    for told, expected in zip(bench.widget.work.shown.others, (clean, noisy), strict=True):
        torch.testing.assert_close(torch.tensor(told.maps), torch.tensor(expected.maps))
    like = [
        spearmanr(it.maps[0, 0].ravel(), clean.maps[0, 0].ravel())[0] for it in (by_hand, noisy)
    ]
    said = bench.widget.work.said
    assert said.startswith("Against resnet20, clean: the maps ")
    told = [float(it.replace("−", "-")) for it in re.findall(r"\(ρ = (\S+)\)", said)[:2]]
    assert told == [pytest.approx(it, abs=0.0051) for it in like]
    assert "Control, random signs 8/255: the maps " in said
    assert bench.widget.views()["versus"] == "behind"
    assert bench.widget.state()["target"] == "true"
    bench.select(against="")
    rest(bench)
    assert bench.widget.views()["versus"] == "baseline"
    assert bench.widget.state()["target"] != "true"  # as it was before


def test_one_attacked_image_is_not_taken_for_all_of_them(subject: rw.Subject) -> None:
    """The first image has the number 0, which Python holds equal to False."""
    bench = Bench(subject)
    bench.select(image=bench.add(Variant("attack", {"attack": "fgsm"})))
    alone, every = (bench.subject(index=index).images for index in (0, None))
    changed = [int((it != subject.images).flatten(1).any(1).sum()) for it in (alone, every)]
    assert changed == [1, len(subject)]


def test_attack_then_calibrate(bench: Workbench, subject: rw.Subject) -> None:
    bench.select(image=bench.add("attack", attack="fgsm", epsilon=2 / 255), against=CLEAN)
    result = ready(bench, "reliability")
    (shows,) = [it.text for it in bench.widget.chips(result) if isinstance(it, Chip)]
    assert shows == "shows: attacked, FGSM 2/255, no repair"
    by_hand = rw.reliability(rw.attack(subject, attack="fgsm", epsilon=2 / 255))
    assert result.metric("ece") == by_hand.metric("ece")
    clean, noisy = bench.widget.work.shown.others
    assert clean.metric("accuracy") >= result.metric("accuracy")
    assert noisy.metric("accuracy") >= result.metric("accuracy")


@pytest.mark.slow("a pruned network, and three attacks through the layers")
def test_prune_then_attack_with_the_dense_path_behind(
    bench: Workbench, subject: rw.Subject
) -> None:
    bench.select(
        model=bench.add("pruned", level=0.1, calibration_images=50), against=GIVEN, index=3
    )
    result = ready(bench, "propagation")
    thin = rw.pruned(subject, 0.1, calibration_images=50)
    by_hand = rw.propagation(thin, images=(3,), steps=3)
    assert result.ratio("rms") == pytest.approx(by_hand.ratio("rms"), rel=1e-5)
    dense = rw.propagation(subject, images=(3,), steps=3)
    assert bench.widget.work.shown.others[0].ratio("rms") == pytest.approx(dense.ratio("rms"))


@pytest.mark.slow("all four analyses one after the other")
def test_the_weakest_image_goes_through_all_tabs(bench: Workbench) -> None:
    ready(bench, "reliability")
    worker.wait(id(bench.strip), 60)
    label = next(it for it in bench.sendable if "of the bin" in it)
    bench.go_on_with(label)
    bench.strip.sort.value = "p of the true class"
    p = bench.bench.everything()
    labels = bench.bench.given.labels.numpy()
    weakest = min(bench.strip.images, key=lambda it: p[it, labels[it]])
    assert bench.strip.images[0] == weakest
    bench.select(index=bench.strip.images[0])
    assert ready(bench, "saliency").index.tolist() == [weakest]
    assert ready(bench, "propagation").index.tolist() == [weakest]
    ready(bench, "pruning")
    assert bench.widget.state()["image"] == weakest


# --- the strip ----------------------------------------------------------------------------------


def test_images_are_filtered_and_sorted(bench: Workbench) -> None:
    ready(bench)
    worker.wait(id(bench.strip), 60)
    p, labels = bench.bench.everything(), bench.bench.given.labels.numpy()
    bench.strip.which.value = "wrong"
    assert bench.strip.images == [k for k in range(40) if p[k].argmax() != labels[k]]
    bench.strip.which.value = 3
    assert {labels[k] for k in bench.strip.images} == {3}
    bench.strip.which.value = "all"
    bench.strip.sort.value = "confidence"
    sure = p.max(1)[bench.strip.images]
    assert (sure[1:] >= sure[:-1]).all()
    bench.select(model="untrained")
    worker.wait(id(bench.strip), 60)
    bench.strip.which.value = "flipped"
    now = bench.bench.everything()
    assert bench.strip.images
    assert all(now[k].argmax() != p[k].argmax() for k in bench.strip.images)


def test_a_click_on_an_image_chooses_it(bench: Workbench) -> None:
    ready(bench)
    bench.strip.stage.live.selected = {"image": "5"}
    assert bench.bench.index == 5
    assert 'id="image:5"' in bench.strip.stage.live.svg


def test_no_text_of_a_user_is_markup(subject: rw.Subject) -> None:
    names = ["<b>cat</b>", *subject.classes[1:]]
    few = rw.Subject(subject.model, subject.images, subject.labels, mean=subject.mean,
                     std=subject.std, classes=names, name="<i>net</i>")  # fmt: skip
    made = Workbench(few, tab="reliability")
    try:
        ready(made)
        worker.wait(id(made.strip), 60)
        html = "".join(it.value for it in htmls(made)) + made.strip.stage.live.svg
        assert "<b>cat" not in html
        assert "<i>net" not in html
    finally:
        made.close()


def htmls(box: W.Widget) -> list[W.HTML]:
    if isinstance(box, W.HTML):
        return [box]
    return [it for child in getattr(box, "children", ()) for it in htmls(child)]


# --- chosen at first ----------------------------------------------------------------------------


def test_the_address_of_a_page_sets_a_workbench(
    subject: rw.Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {
        "tab": "reliability",
        "model": "10 % pruned",
        "index": -1,
        "target": "cat",
        "bins": 10,
        "label": "all",
    }
    ending = rw.widgets.address(wanted)
    monkeypatch.setenv("QUERY_STRING", f"{ending[1:]}&voila-theme=dark")
    assert rw.widgets.asked() == wanted
    made = Workbench(subject, preset=rw.widgets.asked())
    assert made.bench.state()["model"] == "10 % pruned"
    assert (made.bench.index, made.bench.target) == (39, subject.classes.index("cat"))
    assert (made.tabs.tab, made.widget.state()["bins"]) == ("reliability", 10)
    made.close()


@pytest.mark.parametrize("value", [3, 0.25, True, None, (1, 2), "3", "cat", "true", "", "a b & ü%"])
def test_a_value_in_an_address_stays_what_it_is(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUERY_STRING", rw.widgets.address({"knob": value})[1:])
    (read,) = rw.widgets.asked().values()
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ({"index": 99}, "there are 40 images"),
        ({"tab": "best"}, "no such tab"),
        ({"model": "best"}, "no such variant"),
        ({"tab": "reliability", "bims": 3}, "no knob 'bims'"),
        ("reliability", "preset is not a dict"),
    ],
)
def test_a_preset_that_cannot_be_is_refused_and_leaves_nothing(
    subject: rw.Subject, preset: Any, said: str
) -> None:
    before = len(_instances)
    with pytest.raises((TypeError, ValueError, IndexError), match=said):
        Workbench(subject, tab="reliability", preset=preset)
    assert len(_instances) == before


# --- photograph, story, file --------------------------------------------------------------------


def test_a_photograph_goes_through_the_analyses(bench: Workbench, tmp_path: Any) -> None:
    ready(bench)
    path = tmp_path / "cat.png"
    Image.new("RGB", (80, 60), "orange").save(path)
    bench.photograph(path, "cat")
    rest(bench)
    assert len(bench.bench.given) == 41
    assert bench.bench.index == 40
    assert ready(bench, "saliency").index.tolist() == [40]
    assert ready(bench, "propagation").index.tolist() == [40]
    assert ready(bench, "reliability").n == 41
    bench.select(image="attacked, BIM 8/255")
    assert ready(bench, "saliency").answer.shape == (1,)


def test_nobody_says_that_a_class_is_true_which_nobody_knows(
    bench: Workbench, tmp_path: Any
) -> None:
    path = tmp_path / "rocket.png"
    Image.new("RGB", (8, 8), "red").save(path)
    ready(bench)
    bench.photograph(path)
    rest(bench)
    assert "true class not known" in bench._page.side.value
    assert not re.search("[✓✗]", bench._page.side.value)
    assert "true class not known" in bench.strip.stage.live.svg
    assert "its true class is not known" in bench.story.steps[-1].sentence
    ready(bench, "propagation")
    assert "class not known" in bench.widget.page.chips.value
    bench.photograph(path, "truck")  # once more: it is told its class
    rest(bench)
    assert len(bench.bench.given) == 41
    assert "true truck" in bench._page.side.value


def test_a_photograph_is_saved_and_loaded_by_its_file(
    bench: Workbench, subject: rw.Subject, tmp_path: Any
) -> None:
    path = tmp_path / "cat.png"
    Image.new("RGB", (8, 8), "orange").save(path)
    ready(bench)
    bench.photograph(path, "cat")
    rest(bench)
    file = bench.save(tmp_path / "lab.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Workbench.load(file, subject)
    torch.testing.assert_close(again.bench.given.images, bench.bench.given.images)
    assert again.bench.index == 40 and again.bench.given.true_class(40) == "cat"
    again.close()
    path.unlink()
    with pytest.warns(UserWarning, match=r"photograph of the file is not at hand: .*cat\.png"):
        without = Workbench.load(file, subject)
    assert len(without.bench.given) == 40
    without.close()


def test_a_network_of_other_classes_is_no_variant(subject: rw.Subject) -> None:
    bench = Workbench(subject, models={"other": rw.demo("fashion")}, tab="reliability")
    bench.select(model="other")
    rest(bench)
    assert "class 0 is 'T-shirt', not 'airplane'" in bench.bench.unmade["other"]
    bench.close()


def test_four_are_seen_at_once_those_that_were_opened_last(bench: Workbench) -> None:
    bench.show("2 × 2")
    assert bench.tabs.shown == list(ANALYSES)[:4]
    last = list(ANALYSES)[-1]
    bench.show(last)
    bench.show("2 × 2")
    assert bench.tabs.shown[-1] == last and len(bench.tabs.shown) == 4


def test_recipes_of_the_same_words_are_told_apart(subject: rw.Subject) -> None:
    bench = Bench(subject)
    assert bench.add(Variant("pruned", {"level": 0.1})) == "10 % pruned"
    told = bench.add(Variant("pruned", {"level": 0.1, "seed": 3}))
    assert told == "10 % pruned, seed 3"
    assert bench.add(Variant("pruned", {"level": 0.1, "seed": 3})) == told


def test_an_upload_is_kept_beside_the_notebook(
    bench: Workbench, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    (upload,) = (it for it in every(bench) if isinstance(it, W.FileUpload))
    (label,) = (it for it in every(bench) if "true class" in (getattr(it, "tooltip", "") or ""))
    label.value = 2
    given = {
        "name": "../../evil.png",
        "type": "image/png",
        "size": 1,
        "last_modified": datetime.now(UTC),
    }
    upload.set_trait("value", ({**given, "content": memoryview(stream.getvalue())},))
    assert (tmp_path / "photos" / "evil.png").exists()
    assert len(bench.bench.given) == 41
    assert int(bench.bench.given.labels[40]) == 2
    label.value = 5  # chosen afterwards
    assert len(bench.bench.given) == 41
    assert int(bench.bench.given.labels[40]) == 5
    other = (tmp_path / "photos" / "mine.png", b"a file of the user's own")
    other[0].write_bytes(other[1])
    upload.set_trait(
        "value", ({**given, "name": "mine.png", "content": memoryview(stream.getvalue())},)
    )
    assert other[0].read_bytes() == other[1]
    assert (tmp_path / "photos" / "mine-2.png").exists()


def every(box: W.Widget) -> list[W.Widget]:
    return [box, *(it for child in getattr(box, "children", ()) for it in every(child))]


def test_a_step_that_was_saved_is_the_same_step() -> None:
    story = Story()
    settings = {"baselines": ("black", "white"), "protect": (), "cell": (3, 4), "steps": 8}
    story.add(Step("saliency", "a", "A.", {"index": 3, "settings": settings}, "code"))
    assert Story.read(json.loads(json.dumps(story.plain()))) == story.steps


def test_a_slider_leaves_one_step() -> None:
    story = Story()
    for number in range(5):
        story.add(Step("saliency", f"step {number}", f"Step {number}."))
    story.add(Step("chosen", "image 3", "Image 3."))
    story.add(Step("saliency", "last", "Last."))
    assert [it.text for it in story.steps] == ["step 4", "image 3", "last"]


def test_the_story_says_which_step_one_is_at() -> None:
    told: list[int] = []
    story = Story(lambda: told.append(story.here))
    first, second = Step("chosen", "image 3", "Image 3."), Step("saliency", "map", "A map.")
    for step in (first, second, first, first, second):
        story.add(step)
    assert [it.text for it in story.steps] == ["image 3", "map"]
    assert told == [0, 1, 0, 1]


@pytest.mark.slow("three analyses, and all their numbers again in a fresh process")
def test_the_story_gives_its_numbers_again_in_a_fresh_process(
    bench: Workbench, tmp_path: Path
) -> None:
    bench.select(index=2)
    ready(bench, "reliability")
    bench.select(image="attacked, BIM 8/255", against=CLEAN)
    ready(bench, "saliency")
    bench.select(image=CLEAN, model="untrained", against="")
    ready(bench, "propagation")
    kinds = [it.kind for it in bench.story.steps]
    assert {"chosen", "reliability", "saliency", "propagation"} <= set(kinds)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", bench.code()], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(rw.__file__).parents[1])},
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    for number, step in enumerate(bench.story.steps, 1):
        if step.kind != "chosen":  # the picture and its numbers
            svg, csv = (tmp_path / f"{number}_{step.kind}.{it}" for it in ("svg", "csv"))
            assert svg.read_bytes().startswith(b"<?xml") and len(pd.read_csv(csv))
    told = done.stdout.splitlines()
    said = " ".join(told)
    for step in bench.story.steps:
        if step.kind == "chosen":
            continue
        first = step.sentence.partition(". ")[0]
        assert first in said, (first, told)
    assert sum(line.startswith("Against ") for line in told) >= 2  # behind, and the control


def test_a_step_of_the_story_is_gone_back_to(bench: Workbench) -> None:
    bench.select(index=2)
    ready(bench, "reliability", bins=7)
    bench.select(index=9, image="noise 3")
    ready(bench, "propagation")
    step = next(it for it in bench.story.steps if it.kind == "reliability")
    (steps,) = (it for it in every(bench) if getattr(it, "tooltip", "") == "Go back to any step")
    steps.value = bench.story.steps.index(step) + 1
    rest(bench)
    assert (bench.bench.index, bench.bench.image, bench.tabs.tab) == (2, CLEAN, "reliability")
    assert bench.widget.state()["bins"] == 7


def test_everything_but_weights_and_images_comes_back(
    bench: Workbench, subject: rw.Subject, tmp_path: Any
) -> None:
    name = bench.add("attack", attack="fgsm", epsilon=1 / 255)
    bench.select(index=4, image=name, temperature=1.5, against=CLEAN)
    ready(bench, "reliability", bins=9)
    bench.strip.put("mine", (1, 2, 3))
    path = bench.save(tmp_path / "new" / "lab.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Workbench.load(path, subject)
    try:
        assert again.bench.state() == bench.bench.state()
        assert again.tabs.tab == "reliability"
        assert again.widget.state() == bench.widget.state()
        assert again.strip.sets == {"mine": (1, 2, 3)}
        assert [it.sentence for it in again.story.steps][:1] == [bench.story.steps[0].sentence]
        assert again.result.metric("ece") == bench.result.metric("ece")
    finally:
        again.close()


def test_the_settings_of_one_widget_come_back_too(subject: rw.Subject, tmp_path: Any) -> None:
    widget = rw.widgets.PropagationWidget(subject, preset={"steps": 2, "image": 6})
    path = widget.export("json", tmp_path)
    widget.close()
    made = Workbench.load(path, subject)
    try:
        assert made.tabs.tab == "propagation"
        assert made.widget.state()["steps"] == 2
        assert made.bench.index == 6
        assert made.result.index.tolist() == [6]
    finally:
        made.close()


def test_other_images_are_named(bench: Workbench, subject: rw.Subject, tmp_path: Any) -> None:
    path = bench.save(tmp_path / "lab.json")
    with pytest.warns(UserWarning, match="another network or of other images") as told:
        Workbench.load(path, subject[:30]).close()
    assert subject.fingerprint[:8] in str(told[0].message)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "damaged"),
        ("[1, 2]", "something else"),
        ('{"cells": []}', "something else"),
        ('{"format": "another tool"}', "something else"),
        ('{"format": "reliab_widgets workbench"}', "damaged"),
        ('{"analysis": "cooking", "settings": {}}', "damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore:the file is of another network")
def test_a_damaged_or_foreign_file_is_refused(
    content: str | None, said: str, subject: rw.Subject, tmp_path: Any
) -> None:
    path = tmp_path / "lab.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=said):
        Workbench.load(path, subject)


def test_a_card_of_all_that_was_found(bench: Workbench, tmp_path: Any) -> None:
    empty = Workbench(bench.bench.given, tab="pruning")
    empty.widget.cancel()
    empty.close()
    with pytest.raises(ValueError, match="nothing to tell"):
        empty.card(tmp_path / "card.html")
    ready(bench, "reliability")
    page = bench.card(tmp_path / "card.html").read_text()
    assert "resnet20 says of image 0" in page
    with pytest.raises(OSError, match="cannot be written"):
        bench.card("/proc/no/card.html")


def test_another_checkpoint_stands_on_a_chip(subject: rw.Subject) -> None:
    robust = rw.demo("resnet20-robust")
    made = Workbench(subject, models={"robust": robust}, tab="reliability")
    try:
        made.select(model="robust", against=GIVEN)
        result = ready(made)
        told = rw.reliability(subject.on(robust.network))
        assert result.metric("accuracy") == told.metric("accuracy")
    finally:
        made.close()


def test_a_network_with_other_layers_can_be_looked_at_by_all(subject: rw.Subject) -> None:
    made = Workbench(subject, models={"mobile": rw.demo("mobilenet")}, tab="propagation")
    try:
        ready(made, "propagation", layer="layer3.2.conv2")
        ready(made, "saliency", layer="layer3.2", method="gradcam")
        made.select(model="mobile")
        assert ready(made, "propagation").subject == "resnet20, mobile"
        assert ready(made, "saliency", method="gradcam").subject == "resnet20, mobile"
    finally:
        made.close()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"models": [1]}, TypeError),
        ({"models": {"x": 3}}, TypeError),
        ({"tab": "cooking"}, ValueError),
    ],
)
def test_a_workbench_that_cannot_be_made_says_why(
    given: dict[str, Any], error: type[Exception], subject: rw.Subject
) -> None:
    with pytest.raises(error):
        Workbench(subject, **given)
    with pytest.raises(TypeError, match="not a Subject"):
        Workbench(subject.model)


def test_making_it_many_times_leaks_nothing(subject: rw.Subject) -> None:
    counts = []
    for _ in range(5):
        made = Workbench(subject[:4], tab="reliability")
        assert made.result.n == 4
        made.close()
        worker.wait(id(made), 60)
        counts.append(len(_instances))
    assert counts[-1] == counts[1]


def test_a_closed_workbench_lets_go_of_what_it_made(subject: rw.Subject) -> None:
    """A notebook keeps what its cells showed: what was closed must not be heavy."""
    made = Workbench(subject, preset={"tab": "reliability", "model": "untrained"})
    explorer, result = made.widget, made.result
    made.close()
    assert not explorer.work.figure.axes
    assert explorer.work.cache.has(explorer.analysis, explorer.subject, **explorer.knobs()) is False
    assert not made.bench._networks
    assert result.n == len(subject)  # what a user holds stays


def test_going_back_adds_no_step(bench: Workbench) -> None:
    for index in (1, 2, 1, 2):
        bench.select(index=index)
        rest(bench)
        ready(bench, "reliability")
    kinds = [step.text for step in bench.story.steps]
    assert len(kinds) == len(set(kinds))


def test_a_control_of_a_comparison_is_no_chip(bench: Workbench) -> None:
    before = dict(bench.bench.variants)
    bench.select(model="10 % pruned", against=GIVEN)
    rest(bench)
    assert len(bench.widget.work.shown.others) == 2
    assert bench.bench.variants == before


def test_a_network_that_takes_no_such_images_says_what_it_takes(subject: rw.Subject) -> None:
    grey = rw.Subject(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)),
        torch.rand(3, 1, 32, 32), [0, 1, 2], name="grey",
    )  # fmt: skip
    with pytest.raises(ValueError, match="the model wants 1 channel, the images have 3"):
        subject.on(grey.network)
    made = Workbench(subject, models={"grey": grey}, tab="reliability")
    made.select(model="grey")
    rest(made)
    assert "wants 1 channel" in made.bench.unmade["grey"]
    made.close()


def test_a_widget_on_its_own_looks_at_its_own_attacked_image(
    bench: Workbench, subject: rw.Subject
) -> None:
    bench.select(image="attacked, BIM 8/255", index=2)
    ready(bench, "saliency")
    bench.tabs._linked.value = False
    assert bench.tabs._linked.description == "on its own"
    result = bench.widget.set(index=7).result
    seen = bench.widget.subject.images
    assert (seen != subject.images).flatten(1).any(1).nonzero().flatten().tolist() == [7]
    assert result.index.tolist() == [7] and bench.bench.index == 2
    assert steps.found("saliency", bench.widget, bench.bench).text.startswith(
        "saliency of image 7: "
    )


def test_a_step_names_an_image_where_it_is_of_one(bench: Workbench) -> None:
    ready(bench, "propagation")
    bench.select(index=3)
    rest(bench)
    assert steps.found("propagation", bench.widget, bench.bench).text.startswith(
        "propagation of image 3: "
    )
    assert bench.widget.set(batch=16).result.n == 16
    assert steps.found("propagation", bench.widget, bench.bench).text.startswith("propagation: ")


@pytest.mark.slow("a whole sweep, stopped and gone on with")
def test_whoever_is_seen_waits_for_nobody_else(bench: Workbench) -> None:
    """A sweep of a tab that was left rests, and goes on when the tab is opened again."""
    sweep = bench.show("pruning").set(images=40, calibration_images=50)
    owner = sweep.runner.owner
    end = time.monotonic() + 60
    while not worker.busy(owner) and time.monotonic() < end:
        time.sleep(0.01)
    bench.show("reliability")
    assert worker.wait(owner, 20)  # what runs stops at the next network
    assert bench.result.n == len(bench.bench.given)
    known = sweep.work.result
    assert known is None or len(known.levels) < 10
    bench.show("pruning")
    assert len(bench.result.levels) == 10


def test_against_something_that_is_the_question(bench: Workbench) -> None:
    """The headline is the question of the picture that is there, not of one to come."""

    def asked(words: str) -> None:
        deadline = time.monotonic() + 60
        while words not in bench._page._title.value:
            assert time.monotonic() < deadline, bench._page._title.value
            time.sleep(0.01)

    asked("is it right 9 times in 10")
    bench.select(model="untrained", against=GIVEN)
    asked("What changes against “as given”?")
    bench.select(against="")
    asked("is it right 9 times in 10")
    # Propagation attacks the clean image itself: nothing is shown behind.
    bench.select(model=GIVEN, image="attacked, BIM 8/255", against=CLEAN)
    asked("What changes against “clean”?")
    bench.show("propagation")
    asked("Same-sized noise")


def test_nothing_of_an_earlier_choice_is_offered(bench: Workbench) -> None:
    ready(bench, "reliability")
    bin = next(it for it in bench.sendable if "of the bin" in it)
    worker.cancel(id(bench.widget))
    bench.select(model="untrained")
    assert bench.sendable == []  # the picture is still that of the network as it was
    ready(bench, "reliability")
    assert any("of the bin" in it for it in bench.sendable)
    with pytest.raises(ValueError, match="does not offer that"):
        bench.select(model="10 % pruned").go_on_with(bin)
