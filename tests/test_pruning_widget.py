"""What the picture of a pruning analysis shows, and what its widget computes."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure

import reliab_widgets as rw
from reliab_widgets import Pruning, Subject
from reliab_widgets.analyses.pruning import widget as module
from reliab_widgets.analyses.pruning.widget import PruningWidget
from reliab_widgets.drawing import svg
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
def widget(subject: Subject) -> Iterator[PruningWidget]:
    made = PruningWidget(subject)
    made.wait(60)
    yield made
    made.close()


def titles(result: Pruning, **view: object) -> list[str]:
    figure = result.plot()
    result.draw(figure, **view)
    return [str(element.text) for element in parsed(svg(figure)).iter(f"{SVG}title")]


def texts(result: Pruning, **view: object) -> list[str]:
    figure = result.plot()
    result.draw(figure, **view)
    return written(figure)


def written(figure: Figure) -> list[str]:
    return [str(element.text) for element in parsed(svg(figure)).iter(f"{SVG}text")]


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


# --- the widget -------------------------------------------------------------------------------


def test_levels_are_instant_once_they_are_computed(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "growing", computed)
    result = widget.result
    for level in (0.0, 0.2, 0.8):
        widget.controls["level"].value = level
        place = result.at(level)
        assert f"accuracy {result.accuracy[0, place] * 100:.1f} %" in widget._picture.value
    for temperature in ("raw", "refitted"):
        widget.controls["temperature"].value = temperature
        ece = result.calibration[f"ece {temperature}"][0, -1]
        assert f"ECE {ece * 100:.1f} %" in widget._picture.value
    assert widget.set(level=0.1).result is result


def test_result_is_that_of_its_code(widget: PruningWidget, subject: Subject) -> None:
    names = {"rw": rw, "subject": subject}
    source = re.sub(r"(?m)^(import|subject).*$", "", widget.code())
    exec(source, names)
    again = names["result"]
    assert isinstance(again, Pruning)
    np.testing.assert_array_equal(again.logits, widget.result.logits)


def test_cancel_keeps_the_points(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[int] = []

    def slowly(*args: object, **knobs: object) -> Iterator[Pruning]:
        for number, result in enumerate(grown(*args, **knobs)):
            reached.append(number)
            yield result
            if number == 2 and len(reached) == 3:
                made.cancel()

    grown = module.growing
    monkeypatch.setattr(module, "growing", slowly)
    made = PruningWidget(subject)
    try:
        until(lambda: "stopped" in made._status.value)
        assert made._result is not None
        assert made._result.levels.shape == (4,)
        assert "data-" not in made._readout.value and "removed" in made._readout.value
        button(made, "Resume").click()
        assert made.wait(60).levels.shape == (11,)
    finally:
        made.close()


def test_flips_and_explanations_are_shown(widget: PruningWidget) -> None:
    widget.set(level=0.8)
    result = widget.result
    flips = int(result.flipped[0, -1].sum())
    assert flips > 0
    assert f"{flips} of {result.n} flip" in widget._flips.value
    assert widget._explained.value.count("<img") == 5  # image, three maps, colours
    options = [index for _, index in widget._flip.options]
    assert options == [-1, *result.index[result.flipped[0, -1]]]
    widget._flip.value = options[-1]
    assert widget.controls["image"].value == options[-1]
    assert f"image {options[-1]} is " in widget._chips.value
    assert "untrained" in widget._explained.value
    widget.set(level=0.0).wait()
    assert "no answer is another one" in widget._flips.value
    assert "ρ 1.00" in widget._explained.value


def test_a_flat_map_has_no_correlation(
    widget: PruningWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = widget.subject.images.shape[2:]
    monkeypatch.setattr(module, "explanation", lambda *_: np.zeros(side))
    widget.set(level=0.3).wait(60)
    assert "ρ –" in widget._explained.value
    assert "flat: no pixel changes what is left" in widget._explained.value
    assert "nan" not in widget._explained.value


def test_single_weights_have_no_smaller_network(widget: PruningWidget) -> None:
    result = widget.set(criterion="magnitude", level=0.5).result
    assert widget._explained.value == ""
    assert any("neither smaller nor faster" in chip for chip in widget.chips(result))


def test_help_has_the_sweep_in_numbers(widget: PruningWidget) -> None:
    button(widget, "Help").click()
    for words in ("random removal", "worst class", "80%", f"{widget.result.accuracy[0, 3]:.3g}"):
        assert words in widget._help.value


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
        assert result.finetune == 20
    finally:
        plain.close()
        tuned.close()
