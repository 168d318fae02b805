"""What the picture of a pruning analysis shows, and what its widget computes."""

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure

import reliab_widgets as rw
from reliab_widgets import Pruning, Subject
from reliab_widgets.analyses.pruning import panels
from reliab_widgets.analyses.pruning.widget import PruningWidget
from reliab_widgets.core.drawing import svg
from tests.test_drawing import SVG, parsed
from tests.test_explorer import button, until
from tests.test_pruning import varied


@pytest.fixture(scope="module")
def subject() -> Subject:
    whole = varied(60)
    return whole[:40].with_validation(whole[40:])


@pytest.fixture(scope="module")
def result(subject: Subject) -> Pruning:
    return rw.pruning(subject, levels=(0.15, 0.3, 0.6))


@pytest.fixture
def make(subject: Subject) -> Iterator[Callable[..., PruningWidget]]:
    made: list[PruningWidget] = []

    def one(**options: Any) -> PruningWidget:
        made.append(PruningWidget(subject, **options))
        return made[-1]

    yield one
    for widget in made:
        widget.close()


@pytest.fixture
def widget(make: Callable[..., PruningWidget]) -> PruningWidget:
    made = make()
    made.wait(60)
    return made


def images(page: Any) -> list[str]:
    """The pictures in a piece of HTML, in order."""
    return re.findall(r'src="([^"]*)"', page.value)


def titles(result: Pruning, **view: Any) -> list[str]:
    figure = result.plot(**view)
    return [
        str(element.text).replace("\u202f", " ")
        for element in parsed(svg(figure)).iter(f"{SVG}title")
    ]


def texts(result: Pruning, **view: Any) -> list[str]:
    return written(result.plot(**view))


def written(figure: Figure) -> list[str]:
    return [
        str(element.text).replace("\u202f", " ")
        for element in parsed(svg(figure)).iter(f"{SVG}text")
    ]


# --- the picture ------------------------------------------------------------------------------


def test_picture_has_the_numbers_of_the_level(result: Pruning) -> None:
    for place, level in enumerate(result.levels):
        written = texts(result, level=float(level), temperature="refitted")
        assert f"accuracy {result.accuracy[0, place] * 100:.1f} %" in written
        assert f"worst class {result.worst[0, place] * 100:.1f} %" in written
        ece = result.calibration["ece refitted"][0, place]
        assert f"ECE {ece * 100:.1f} %" in written
        random = result.accuracy[1:, place].mean()
        assert f"random removal {random * 100:.1f} %" in written


def test_marks_say_what_they_are(result: Pruning) -> None:
    said = titles(result, level=0.3)
    gone = result.left[0, 0] - result.left[0, 2]
    for number, name in enumerate(result.layers):
        assert any(
            words.startswith(f"{name}: {gone[number]} of {result.left[0, 0, number]} filters")
            for words in said
        )
    for name in result.classes:
        assert any(words.startswith(f"{name}: ") and "after" in words for words in said)


def test_a_pin_is_a_ghost(subject: Subject, result: Pruning) -> None:
    other = rw.pruning(subject, levels=(0.3,), criterion="weight")
    assert "pinned" in texts(result, pinned=other)
    assert "pinned" not in texts(result)
    assert other.against(result).startswith("Against the pin, at 30%: ")


def test_the_same_figure_follows_the_level(result: Pruning) -> None:
    figure = result.plot()
    result.draw(figure, level=0.15)
    first = written(figure)
    result.draw(figure, level=0.6)
    assert written(figure) != first
    result.draw(figure, level=0.15)
    assert written(figure) == first


def test_an_image_is_told_of_where_confidences_are(result: Pruning) -> None:
    index = int(result.index[3])
    words = f"at 30%; image {index}: says "
    sure = result.probabilities(2, "old")[3]
    assert f"{words}{result.classes[sure.argmax()]} {sure.max():.0%}" in titles(
        result, level=0.3, image=index
    )
    assert not any("; image " in said for said in titles(result, level=0.3, image=10**6))


# --- the widget -------------------------------------------------------------------------------


def test_levels_are_instant_once_they_are_computed(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(widget, "analysis", computed)
    result = widget.result
    for level in (0.0, 0.2, 0.8):
        widget.controls["level"].value = level
        assert widget.wait(60) is result
        place = result.at(level)
        assert (
            f"accuracy {result.accuracy[0, place] * 100:.1f} %"
            in widget.page.picture.live.svg.replace("\u202f", " ")
        )
        said = re.sub("<[^>]+>", "", widget.page.readout.value).replace("\u202f", " ")
        assert result.reading(level=level) in html.unescape(said)
    for temperature in ("raw", "refitted"):
        widget.controls["temperature"].value = temperature
        widget.wait(60)
        ece = result.calibration[f"ece {temperature}"][0, -1]
        assert f"ECE {ece * 100:.1f} %" in widget.page.picture.live.svg.replace("\u202f", " ")
    assert widget.set(level=0.1).result is result


def test_controls_stand_where_they_stood(widget: PruningWidget) -> None:
    controls = widget.controls
    front = ("level", "criterion", "temperature", "protect", "image")
    side = [controls[name] for name in front]
    assert list(widget.page.side.children[:5]) == side
    assert [it.description for it in side] == ["remove", "criterion", "T", "protect", "image"]
    assert widget.page.side.children[5].description == "flips"
    fold = ("scope", "images", "calibration_images", "rounds", "finetune", "seed")
    folded = widget.page.folded.children
    assert list(folded[:6]) == [controls[name] for name in fold]
    assert [it.description for it in folded] == [
        "part of", "reported", "ranked on", "rounds", "fine-tune", "seed", "Trail", "Notes",
        "◀ ▶ in",
    ]  # fmt: skip
    assert dict(controls["temperature"].options) == {
        "of the whole": "old",
        "fitted again": "refitted",
        "none": "raw",
    }
    assert list(dict(controls["criterion"].options)) == [
        "Taylor (batches)", "Taylor (images)", "Taylor, 2nd order", "weight norm", "batch norm",
        "random", "single weights",
    ]  # fmt: skip


def test_result_is_that_of_its_code(widget: PruningWidget, subject: Subject) -> None:
    names = {"rw": rw, "subject": subject}
    source = re.sub(r"(?m)^(import|subject).*$", "", widget.code())
    exec(source, names)
    again = names["result"]
    assert isinstance(again, Pruning)
    np.testing.assert_array_equal(again.logits, widget.result.logits)


def test_cancel_keeps_the_points(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    paused, go_on = threading.Event(), threading.Event()
    shown = PruningWidget.shown

    def pause(self: PruningWidget, result: Pruning) -> None:
        shown(self, result)
        asked.append(len(result.levels))
        if len(asked) == 3:
            paused.set()
            go_on.wait(60)

    monkeypatch.setattr(PruningWidget, "shown", pause)
    made = make()
    assert paused.wait(60)
    made.cancel()
    go_on.set()
    until(lambda: "stopped" in made.runner.status.value)
    assert made.work.result.levels.shape == (4,)
    assert "removed" in made.page.readout.value
    # The slider says 10 %, the picture what is there.
    assert "picture: level 0.05" in made.page.chips.value
    button(made, "Resume").click()
    assert made.wait(60).levels.shape == (11,)
    assert asked[:3] == [2, 3, 4]
    assert asked[3] == 5  # not from the start
    assert "picture:" not in made.page.chips.value


def test_flips_and_explanations_are_shown(widget: PruningWidget) -> None:
    result = widget.set(level=0.8).result
    flips, explained = below(widget)
    count = int(result.flipped[0, -1].sum())
    assert count > 0
    assert f"{count} of {result.n} flip" in flips.value
    assert explained.value.count("<img") == 5  # image, three maps, colours
    menu = widget.page.side.children[5]
    options = [index for _, index in menu.options]
    assert options == [-1, *result.index[result.flipped[0, -1]]]
    menu.value = options[-1]
    assert widget.wait(60) is result
    assert widget.controls["image"].value == options[-1]
    assert f"image {options[-1]} is " in widget.page.chips.value
    assert f"image {options[-1]}" in explained.value
    assert "untrained" in explained.value
    widget.set(level=0.0).wait()
    assert "no prediction changes" in flips.value
    assert "ρ 1.00" in explained.value


def below(widget: PruningWidget) -> tuple[Any, Any]:
    """The images that flip, and the explanation."""
    (row,) = widget.page.detail.children
    flips, explained = row.children
    return flips, explained


def test_networks_are_cut_and_explained_on_the_worker(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    explanation = panels.explanation

    def noted(*args: Any) -> np.ndarray:
        threads.append(threading.current_thread().name)
        return explanation(*args)

    monkeypatch.setattr(panels, "explanation", noted)
    made = make()
    made.wait(60)
    made.controls["level"].value = 0.3
    made.controls["image"].value = 7
    made.wait(60)
    assert len(threads) >= 5
    assert set(threads) == {"reliab_widgets"}
    count = len(threads)
    made.controls["level"].value = 0.3
    made.set(level=0.1, image=7).wait(60)
    made.set(level=0.3).wait(60)
    assert len(threads) == count + 1  # of 10 % only: the others are known


def test_the_untrained_map_is_that_of_the_results_seed(widget: PruningWidget) -> None:
    before = images(below(widget)[1])
    fixed = widget.set(level=0.0).result.knobs["seed"]
    widget.set(seed=1).wait(60)
    after = images(below(widget)[1])
    assert fixed == 0
    # The image, the whole network and the colours are as they were.
    assert [one == other for one, other in zip(before, after, strict=True)][::2] == [True] * 3
    assert before[3] != after[3]
    widget.set(seed=0).wait(60)
    assert images(below(widget)[1])[3] == before[3]


def test_the_explanation_is_that_of_what_is_shown(
    make: Callable[..., PruningWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another seed is being computed, the untrained network is that of the picture."""
    seeds: list[int] = []
    untrained = panels.untrained
    monkeypatch.setattr(
        panels, "untrained", lambda it, seed: (seeds.append(seed), untrained(it, seed))[1]
    )
    made = make()
    made.wait(60)
    with made.settings.quiet():
        made.controls["seed"].value = 5  # moved, but not yet computed
    made.controls["image"].value = 9
    made.wait(60)
    assert set(seeds) == {0}
    assert "picture: seed 0" in made.page.chips.value


def test_a_flat_map_has_no_correlation(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = widget.subject.images.shape[2:]
    monkeypatch.setattr(panels, "explanation", lambda *_: np.zeros(side))
    widget.set(level=0.3).wait(60)
    explained = below(widget)[1].value
    assert "ρ –" in explained
    assert "flat: no pixel changes what is left" in explained
    assert "nan" not in explained


def test_single_weights_have_no_smaller_network(widget: PruningWidget) -> None:
    result = widget.set(criterion="magnitude", level=0.5).result
    assert below(widget)[1].value == ""
    assert any("neither smaller nor faster" in chip for chip in widget.chips(result))


def test_help_has_the_sweep_in_numbers(widget: PruningWidget) -> None:
    button(widget, "Help").click()
    for words in ("random removal", "worst class", "80%", f"{widget.result.accuracy[0, 3]:.3g}"):
        assert words in widget.page.help.value


def test_a_pin_is_compared_at_the_level_of_the_slider(widget: PruningWidget) -> None:
    pinned = widget.result
    button(widget, "Pin").click()
    widget.set(criterion="random", level=0.2).wait(60)
    said = widget.result.against(pinned, level=0.2)
    assert said.startswith("Against the pin, at 20%: ")
    assert said in widget.page.readout.value
    widget.controls["level"].value = 0.5
    widget.wait(60)
    assert "Against the pin, at 50%: " in widget.page.readout.value


def test_a_folder_of_results_serves_the_widget(
    make: Callable[..., PruningWidget], tmp_path: Path
) -> None:
    first = make(cache=rw.Cache(tmp_path))
    before = first.set(level=0.3).result
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["pruning"]
    explained = below(first)[1].value
    second = make(cache=rw.Cache(tmp_path))
    after = second.set(level=0.3).result
    assert after is not before
    np.testing.assert_array_equal(after.logits, before.logits)
    assert explained.count("<img") == 5
    assert below(second)[1].value == explained
    assert second.page.card.layout.display == "none"
    assert second.code() == first.code()


def test_what_is_exported_names_the_analysis_and_all_its_knobs(
    widget: PruningWidget, tmp_path: Path
) -> None:
    told = json.loads(widget.set(level=0.2).export("json", tmp_path).read_text())
    assert told["analysis"] == "pruning"
    assert told["knobs"]["levels"] == list(widget.result.knobs["levels"])
    assert (told["knobs"]["level"], told["knobs"]["temperature"]) == (0.2, "old")
    assert told["finding"]


def test_training_images_are_part_of_the_question(subject: Subject, tmp_path: Path) -> None:
    cache, whole = rw.Cache(tmp_path), varied(200)
    results = []
    for train in (whole[60:130], whole[130:]):
        made = PruningWidget(subject, train=train, cache=cache, preset={"finetune": 20})
        try:
            results.append(made.wait(60))
            assert results[-1].knobs["train"] == "tiny"
        finally:
            made.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert (results[0].logits[0, 1:] != results[1].logits[0, 1:]).any()
    # From the file: numbers, but no network that was trained.
    made = PruningWidget(
        subject, train=whole[130:], cache=rw.Cache(tmp_path), preset={"finetune": 20}
    )
    try:
        np.testing.assert_array_equal(made.wait(60).logits, results[1].logits)
        assert "not kept in a file" in below(made)[1].value
        assert made.page.card.layout.display == "none"
    finally:
        made.close()


def test_close_leaves_nothing(subject: Subject) -> None:
    before = set(_instances)
    made = PruningWidget(subject)
    made.wait(60)
    made.close()
    assert set(_instances) == before


def test_training_images_bring_their_knob(subject: Subject) -> None:
    whole = varied(200)
    plain = PruningWidget(subject)
    tuned = PruningWidget(subject, train=whole[60:])
    try:
        assert len(plain.controls["finetune"].options) == 1
        result = tuned.set(finetune=20, level=0.2).result
        assert result.knobs["finetune"] == 20
    finally:
        plain.close()
        tuned.close()
    with pytest.raises(TypeError, match="train is not a Subject: got int"):
        PruningWidget(subject, train=5)


def test_there_are_no_more_images_than_there_are(widget: PruningWidget) -> None:
    for knob in ({"image": 40}, {"image": -1}, {"images": 10**9}):
        with pytest.raises(ValueError, match=next(iter(knob))):
            widget.set(**knob)
    assert widget.controls["image"].max == 39


@pytest.mark.parametrize("count", [21, 80])
def test_without_validation_half_is_offered(count: int) -> None:
    made = PruningWidget(varied(count))
    try:
        assert made.wait(60).n == made.controls["images"].value == count // 2
        assert dict(made.controls["images"].options) == {f"{count // 2} images": count // 2}
    finally:
        made.close()


def test_an_explorer_needs_no_controls(subject: Subject) -> None:
    made = rw.Explorer(rw.pruning, subject)
    try:
        assert made.wait(60).levels.shape == (11,)
        assert {"criterion", "scope", "rounds", "temperature", "image"} <= set(made.controls)
    finally:
        made.close()
