"""PropagationWidget and its picture: what they show, remember and refuse."""

import base64
import html
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import ipywidgets as W
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from reliab_widgets import Subject
from reliab_widgets.analyses.propagation import compute
from reliab_widgets.analyses.propagation.compute import channels, propagation
from reliab_widgets.analyses.propagation.drawing import Layers
from reliab_widgets.analyses.propagation.result import METRICS, Propagation
from reliab_widgets.analyses.propagation.widget import PropagationWidget
from reliab_widgets.core.drawing import Picture, svg
from reliab_widgets.core.knobs import Knobs
from reliab_widgets.core.wording import typeset
from reliab_widgets.ops.features.plan import Plan
from reliab_widgets.ui import running, worker
from reliab_widgets.ui.panels import epsilon as epsilon_panel
from reliab_widgets.ui.thumbnails import coloured
from tests.models import Brightness, flat_images
from tests.test_drawing import normal, parsed
from tests.test_explorer import HOSTILE, LONG, assert_harmless, button, parts, shown, until
from tests.test_result import assert_same

SVG = "{http://www.w3.org/2000/svg}"
CLASSES = ("dark", "bright", "grey")
# Grey levels of flat images; the answer of `Brightness` changes at 0.5.
LEVELS = (0.45, 0.40, 0.30, 0.10, 0.55, 0.60, 0.70, 0.90)


def flat(classes: tuple[str, ...] = CLASSES, copies: int = 2) -> Subject:
    """Bright images are class 0, dark ones class 1: what `Brightness` says of them."""
    images = flat_images(list(LEVELS) * copies)
    labels = [int(level < 0.5) for level in LEVELS] * copies
    made = Subject(Brightness(), images, labels, classes=classes, name="tiny")
    return made.with_images(images, code="flat()")


@pytest.fixture(autouse=True)
def everything_is_closed() -> Iterator[None]:
    before = set(_instances)
    yield
    for widget in [w for key, w in list(_instances.items()) if key not in before]:
        if isinstance(widget, PropagationWidget):
            widget.close()
    for key in [key for key in list(_instances) if key not in before]:
        W.Widget.close(_instances[key])


@pytest.fixture
def widget() -> PropagationWidget:
    # The probe's time depends on the machine; what it decides has tests of its own.
    made = PropagationWidget(flat(), preset={"image": 1, "attack": "fgsm", "epsilon": 0.2})
    made.wait(LONG)
    return made


def row(names: tuple[str, ...], beside: np.ndarray) -> Plan:
    """A plan of layers in a row, some of which stand beside it."""
    place = np.cumsum(~beside) + 0.5 * beside
    sizes = np.tile((8, 32, 32), (len(names), 1))
    return Plan(names, sizes, place, beside, np.zeros((0, 2), dtype=int))


def made_up(
    *,
    layers: int = 20,
    n: int = 1,
    denoiser: bool = False,
    steps: int = 6,
    channels: int = 3,
    side: int = 32,
    classes: tuple[str, ...] = ("cat", "dog", "ship"),
    seed: int = 0,
    names: tuple[str, ...] | None = None,
    target: str = "any",
    **fields: Any,
) -> Propagation:
    """A result with the shapes of a real one and numbers drawn by chance."""
    generator = np.random.default_rng(seed)
    kinds = ("adversarial", "undefended", "random", "clean-denoised")
    kinds = kinds if denoiser else ("adversarial", "random")
    names = names or tuple(f"stage{k // 4}.{k % 4}.conv" for k in range(layers))
    names = ("input", *names, "logits", "probabilities")
    values: dict[str, Any] = {
        "subject": "made up",
        "fingerprint": "0" * 64,
        "source": "",
        "classes": classes,
        "knobs": Knobs(
            {
                "attack": "bim",
                "epsilon": 8 / 255,
                "steps": steps,
                "target": target,
                "denoiser": "median" if denoiser else "none",
                "knowledge": "grey-box",
                "correct_only": False,
            }
        ),
        "norm": "Linf",
        "step_size": 1 / 255,
        "index": np.arange(7, 7 + n),
        "truth": np.zeros(n, dtype=int),
        "kinds": kinds,
        "layers": names,
        "types": ("", *["Conv2d"] * layers, "", ""),
        "shapes": ("3 x 32 x 32", *["8 x 32 x 32"] * layers, "3", "3"),
        "plan": row(names[1:-2], np.arange(1, layers + 1) % 7 == 3),
        "distance": generator.random((len(kinds), len(METRICS), layers + 3, n)).astype(np.float32),
        "logits": generator.normal(size=(1 + len(kinds), n, len(classes))),
        "trajectory": generator.normal(size=(steps + 1, n, len(classes))),
        "pictures": generator.random((1 + len(kinds), channels, side, side)).astype(np.float32),
        "notes": (),
    }
    return Propagation(**values | fields)


OVER = ("layers", "steps")


def parts_of(widget: PropagationWidget, kind: type) -> Any:
    """The only part of this class."""
    (found,) = [part for part in parts(widget) if type(part) is kind]
    return found


def slider(widget: PropagationWidget, name: str) -> Any:
    (found,) = [part for part in parts(widget) if getattr(part, "description", "") == name]
    return found


def maps(widget: PropagationWidget) -> str:
    """The page below the sliders of layer and channel."""
    (found,) = [
        part.value
        for part in parts(widget)
        if isinstance(part, W.HTML) and "rw-strip" in part.value and "<style>" not in part.value
    ]
    return str(found)


def visible(widget: PropagationWidget, wanted: W.Widget) -> bool:
    """Whether neither a part nor what holds it is hidden."""

    def within(part: W.Widget) -> bool:
        if part.layout.display == "none":
            return False
        return part is wanted or any(map(within, getattr(part, "children", ())))

    return within(widget)


def drawn(result: Propagation, **options: Any) -> Figure:
    figure = Picture()
    Layers.on(figure).show(result, **options)
    return figure


def texts(figure: Figure) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg(figure)).iter(f"{SVG}text")]


def titles(figure: Figure) -> list[str]:
    return [str(title.text) for title in ET.fromstring(svg(figure)).iter(f"{SVG}title")]


# --- the picture ----------------------------------------------------------------------------


@pytest.mark.parametrize("denoiser", [False, True])
@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("view", ["distance", "ratio"])
@pytest.mark.parametrize("log", [False, True])
def test_drawn_twice_is_as_drawn_once(denoiser: bool, n: int, view: str, log: bool) -> None:
    result = made_up(denoiser=denoiser, n=n, layers=9)
    options: dict[str, Any] = {"view": view, "log": log, "metric": "cosine", "layer": "logits"}
    other = made_up(denoiser=not denoiser, n=17 - n, layers=60, steps=1, seed=1)
    figure = drawn(other, pinned=result, log=not log, layer="input", step=0)
    Layers.on(figure).show(result, other, **options)
    assert normal(svg(figure)) == normal(svg(drawn(result, pinned=other, **options)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_are_embedded_pixel_by_pixel(channels: int) -> None:
    result = made_up(channels=channels)
    embedded = [
        Image.open(BytesIO(base64.b64decode(data)))
        for data in re.findall(r"data:image/png;base64,\s*([^\"]+)", svg(drawn(result)))
    ]
    assert [image.size for image in embedded] == [(32, 32)] * 4
    clean = np.asarray(embedded[0].convert("RGB")).transpose(2, 0, 1) / 255
    expected = result.pictures[0]
    if channels != 3:
        expected = np.repeat(expected.mean(0, keepdims=True), 3, axis=0)
    np.testing.assert_allclose(clean, expected, atol=0.5 / 255 + 1e-6)


def test_large_images_are_embedded_small() -> None:
    data = re.findall(r"base64,\s*([^\"]+)", svg(drawn(made_up(side=224))))
    assert Image.open(BytesIO(base64.b64decode(data[0]))).size == (112, 112)


def test_an_image_keeps_its_shape() -> None:
    wide = np.zeros((3, 3, 8, 16), dtype=np.float32)
    _, image, frame, *_ = Layers.on(drawn(made_up(pictures=wide))).slots[0]
    assert image.get_extent() == [0, 1, 0.75, 0.25]
    assert (frame.get_width(), frame.get_height()) == (1, 0.5)


def test_the_difference_is_amplified_and_says_by_how_much() -> None:
    pictures = np.full((3, 3, 4, 4), 0.5, dtype=np.float32)
    pictures[1, :, 0] += 2 / 255
    figure = drawn(made_up(pictures=pictures), amplify=16)
    assert "difference ×16" in texts(figure)
    assert "±2/255" in texts(figure)
    image = Layers.on(figure).slots[1][1].get_array()
    assert image is not None
    # 0.5 + 16 * 2 / 255 of 255 levels.
    assert np.asarray(image)[0, 0].tolist() == [round(127.5 + 32)] * 3
    assert np.asarray(image)[1, 0].tolist() == [128] * 3


def test_every_picture_says_its_answer_and_whether_it_is_true() -> None:
    logits = np.log(np.array([[[8, 1, 1]], [[1, 9, 2]], [[6, 2, 2]]]) / np.array(1.0))
    words = texts(drawn(made_up(logits=logits)))
    said = [words[words.index(mark) + 1] for mark in ("✓ cat", "✗ dog")]
    assert said == ["80 %", "75 %"]
    assert words.count("✓ cat") == 2


def test_with_a_denoiser_there_is_one_picture_more() -> None:
    assert "denoised" not in texts(drawn(made_up()))
    words = texts(drawn(made_up(denoiser=True)))
    # As a picture and as a curve.
    assert words.count("denoised") == words.count("adversarial") == 2


def test_what_is_pointed_at_says_its_numbers() -> None:
    result = made_up(layers=5, steps=3)
    said = titles(drawn(result))
    attacked, noise = result.of("adversarial")[:, 0], result.of("random")[:, 0]
    for place, layer in enumerate(result.layers):
        (title,) = [it for it in said if it.startswith(f"{layer},") or it.startswith(f"{layer} (")]
        assert f"adversarial {attacked[place]:.3g}, random {noise[place]:.3g}" in title
        assert f"{attacked[place] / noise[place]:.3g} times random" in title
        assert ("(shortcut or branch)" in title) == result.branches[place]
    true = result.trajectory[2, 0, 0]
    assert [f"logit of cat {true:.3g}" in it for it in said if "step 2:" in it] == [True]
    assert len([it for it in said if it.startswith("step ")]) == 4


@pytest.mark.parametrize(
    ("true", "words"),
    [
        ([3, 2, 1, 0], "Lost at step 3"),
        ([3, 0.4, 2, 2], "Lost at step 1"),
        ([0, 0, 0, 0], "Wrong from the start"),
        ([3, 2, 2, 1], "The answer holds"),
    ],
)
def test_the_step_is_marked_at_which_the_answer_is_lost(true: list[float], words: str) -> None:
    trajectory = np.full((4, 1, 3), 0.5)
    trajectory[:, 0, 0] = true
    trajectory[:, 0, 2] = -9
    figure = drawn(made_up(trajectory=trajectory))
    assert words in texts(figure)
    crossing = Layers.on(figure).crossing
    assert crossing.get_visible() == words.startswith("Lost")
    if words.startswith("Lost"):
        assert list(np.asarray(crossing.get_xdata())) == [int(words[-1])] * 2


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [(0, [0]), (1, [0, 1]), (3, [0, 1, 2, 3]), (10, [0, 5, 10]), (40, [0, 10, 20, 30, 40])],
)
def test_steps_are_counted_in_whole_numbers(steps: int, ticks: list[int]) -> None:
    axes = Layers.on(drawn(made_up(steps=steps))).steps_axes
    assert axes.get_xticks().tolist() == ticks
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]


def test_more_steps_than_a_slider_offers_are_drawn_too() -> None:
    assert len(Layers.on(drawn(made_up(steps=500))).steps_axes.get_xticks()) <= 6


def test_a_layer_is_marked_with_its_numbers() -> None:
    result = made_up(layers=30)
    figure = drawn(result, layer="stage3.1.conv")
    place = result.layers.index("stage3.1.conv")
    band = Layers.on(figure).band
    assert band.get_visible()
    assert band.get_x() + band.get_width() / 2 == place
    attacked, noise = result.of("adversarial")[place, 0], result.of("random")[place, 0]
    expected = f"stage3.1.conv: {attacked:.3g}, random {noise:.3g}, ratio {attacked / noise:.3g}"
    assert expected in texts(figure)
    assert not Layers.on(drawn(result)).band.get_visible()


@pytest.mark.parametrize("layers", [1, 12, 60, 160])
def test_names_of_layers_never_overlap(layers: int) -> None:
    figure = drawn(made_up(layers=layers), layer=f"stage{(layers - 1) // 8}.0.conv")
    axes = Layers.on(figure).axes
    svg(figure)
    boxes = sorted(
        (label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()),
        key=lambda box: box.x0,
    )
    assert len(boxes) >= 4
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert {"input", "logits"} & {label.get_text() for label in axes.get_xticklabels()}


def test_ratios_are_those_of_the_result() -> None:
    result = made_up(n=16, denoiser=True)
    figure = drawn(result, view="ratio", metric="relative")
    lines = Layers.on(figure).lines
    np.testing.assert_allclose(
        lines["adversarial"].get_ydata(), result.ratio("relative"), rtol=1e-6
    )
    np.testing.assert_allclose(
        lines["undefended"].get_ydata(), result.ratio("relative", "undefended"), rtol=1e-6
    )
    assert set(lines["random"].get_ydata()) == {1.0}


def test_the_band_holds_the_middle_half_of_the_images() -> None:
    result = made_up(n=16)
    (band,) = Layers.on(drawn(result)).spread["adversarial"].get_paths()
    low, high = np.quantile(result.of("adversarial"), (0.25, 0.75), axis=1)
    count = len(result.layers)
    np.testing.assert_allclose(band.vertices[:count, 1], low, rtol=1e-6)
    np.testing.assert_allclose(band.vertices[count : 2 * count, 1], high[::-1], rtol=1e-6)
    assert not Layers.on(drawn(made_up())).spread["adversarial"].get_paths()


def test_a_pinned_result_is_drawn_at_the_layers_of_the_same_name() -> None:
    result, pinned = made_up(layers=4), made_up(layers=9, seed=1)
    line = Layers.on(drawn(result, pinned=pinned)).lines["pinned"]
    same = ["input", "stage0.0.conv", "stage0.1.conv", "stage0.2.conv", "stage0.3.conv"]
    same += ["logits", "probabilities"]
    assert list(line.get_xdata()) == [result.layers.index(name) for name in same]
    attacked = pinned.of("adversarial")[:, 0]
    expected = [attacked[pinned.layers.index(name)] for name in same]
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("view", ["distance", "ratio"])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_numbers_that_cannot_be_drawn_do_no_harm(value: float, log: bool, view: str) -> None:
    distance = made_up(n=4).distance.copy()
    options: dict[str, Any] = {"metric": "relative", "log": log, "view": view, "layer": "input"}
    for start in (0, 3):  # everywhere, then in the first layers only
        distance[:, 1] = 0.5
        distance[:, 1, : None if start == 0 else start] = value
        assert "input" in texts(drawn(made_up(n=4, distance=distance), **options))


@pytest.mark.parametrize("name", [HOSTILE, "$100 and $200", r"$\nonsense$", "a_b^c"])
def test_classes_and_layers_may_have_any_name(name: str) -> None:
    result = made_up(layers=1, classes=(name, "dog", "ship"), names=(name,))
    words = " ".join(titles(drawn(result, layer=name)))
    assert f"true class {name}" in words
    assert f"{name}, Conv2d" in words


def test_every_series_differs_without_colour() -> None:
    lines = Layers.on(drawn(made_up(denoiser=True), pinned=made_up())).lines
    styles = [(line.get_marker(), line.get_linestyle()) for line in lines.values()]
    assert len(set(styles)) == len(styles) == 5
    assert len({marker for marker, _ in styles}) == 5


# --- the widget -----------------------------------------------------------------------------


def test_the_first_picture_comes_with_its_verdict_and_context(widget: PropagationWidget) -> None:
    page = html.unescape(shown(widget))
    assert "<svg" in page
    # The logits at 0.4 are (0.8, 1.2, 0.5), at 0.6 the first two change places.
    sure = np.exp(1.2) / np.exp([0.8, 1.2, 0.5]).sum()
    assert f"Flipped to the runner-up (bright {sure:.0%} → dark {sure:.0%}).".replace(
        "%", "\u202f%"
    ) in html.unescape(widget.page.readout.value)
    chips = re.findall(r'rw-chip rw-fact">([^<]*)<', html.unescape(widget.page.chips.value))
    assert chips[:4] == [
        "tiny",
        "image 1",
        typeset(f"is bright, says bright {sure * 100:.1f} %"),
        "fgsm 51/255",
    ]
    assert widget.page.picture.live.alt == typeset(widget.sentence(widget.result))


def test_an_image_or_several_from_it_on() -> None:
    widget = PropagationWidget(flat(), preset={"attack": "fgsm", "image": 13})
    assert widget.result.index.tolist() == [13]
    widget.set(batch=16)
    assert widget.result.index.tolist() == [*range(13, 16), *range(13)]
    assert "16 images from 13 on" in widget.page.chips.value
    assert "of 16 answers change" in widget.page.readout.value


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        (
            {"denoiser": "median", "knowledge": "white-box"},
            {"denoiser": "median", "knowledge": "white-box"},
        ),
        ({"step_size": 1 / 255}, {"step_size": 1 / 255}),
        ({"step_size": None, "denoiser": None}, {"step_size": None, "denoiser": "none"}),
        ({"target": "grey", "seed": 3, "restarts": 2}, {"target": 2, "seed": 3, "restarts": 2}),
        ({"layers": "activations"}, {"layers": "activations"}),
    ],
)
def test_controls_are_the_knobs_of_the_analysis(
    widget: PropagationWidget, knobs: dict[str, Any], expected: dict[str, Any]
) -> None:
    widget.set(attack="pgd", **knobs)
    asked = widget.knobs()
    assert expected.items() <= asked.items()
    assert_same(widget.wait(LONG), propagation(flat(), **asked))


def test_its_code_gives_the_same_numbers(widget: PropagationWidget) -> None:
    widget.set(attack="mim", steps=3, batch=16, metric="cosine").wait(LONG)
    names: dict[str, Any] = {"flat": flat}
    exec(widget.code(), names)
    assert_same(names["result"], widget.result)


def test_what_only_changes_the_picture_computes_nothing(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = widget.result
    monkeypatch.setattr("reliab_widgets.analyses.propagation.compute.sweep", None)
    pictures = [widget.page.picture.live.svg]
    for knobs in (
        {"metric": "cosine"},
        {"view": "ratio"},
        {"log": False},
        {"amplify": 64},
        {"layer": "logits"},
        {"step": 0},
    ):
        assert widget.set(**knobs).wait(LONG) is before
        assert widget.page.picture.live.svg not in pictures
        pictures.append(widget.page.picture.live.svg)


def test_the_map_of_largest_ratio_is_marked_until_one_is_chosen(
    widget: PropagationWidget,
) -> None:
    control = widget.controls["layer"]
    assert widget.state()["layer"] is None
    assert control.inner.options == ("input", "conv", "fc", "logits", "probabilities")
    assert control.inner.value == widget.result.strongest_map
    control.inner.value = "fc"
    widget.wait(LONG)
    assert widget.state()["layer"] == "fc"
    assert "fc: " in widget.page.picture.live.svg
    widget.controls["epsilon"].value = 32 / 255
    widget.wait(LONG)
    assert control.inner.value == "fc"
    button(widget, "Reset").click()
    widget.wait(LONG)
    assert widget.state()["layer"] is None
    assert control.inner.value == widget.result.strongest_map
    control.inner.value = "fc"
    control.box.value = True
    widget.wait(LONG)
    assert control.inner.value == widget.result.strongest_map


def test_a_layer_that_went_away_leaves_the_choice_open(widget: PropagationWidget) -> None:
    widget.set(layer="conv").wait(LONG)
    widget.set(layers="activations").wait(LONG)
    assert widget.controls["layer"].inner.options == ("input", "relu", "logits", "probabilities")
    assert widget.controls["layer"].inner.value == "relu"
    widget.set(layers="weight").wait(LONG)
    assert widget.controls["layer"].inner.value == "conv"


def test_a_layer_that_the_network_has_not_is_refused(widget: PropagationWidget) -> None:
    with pytest.raises(ValueError, match="layer cannot be 'conv9': the network has no such layer"):
        widget.set(layer="conv9")
    assert widget.set(layers="activations", layer="relu").wait(LONG)
    assert widget.controls["layer"].inner.value == "relu"


def test_channels_are_shown_by_change_with_their_numbers(widget: PropagationWidget) -> None:
    widget.set(layer="logits").wait(LONG)
    seen = channels(flat(), widget.result, "logits")
    # From 0.4 to 0.6 the logit of dark grows by 0.4, that of bright falls by as much.
    assert seen.change.tolist() == pytest.approx([0.4, 0.4, 0], abs=1e-6)
    figures = re.findall(
        r'<figure title="([^"]*)".*?<figcaption>([^<]*(?:<br>[^<]*)?)<', maps(widget)
    )
    captions = [caption for _, caption in figures]
    assert captions[:3] == ["clean", "adversarial", "difference"]
    assert captions[3:5] == ["0.8 to 1.2", "-0.4 to 0.4"]
    assert sorted(captions[5:7]) == ["bright<br>−33 %", "dark<br>+50 %"]
    assert captions[7].startswith("grey")
    assert "changed by 0.4 (rms), by random noise" in figures[5][0]


def test_a_channel_is_chosen_by_rank(widget: PropagationWidget) -> None:
    widget.set(layer="conv").wait(LONG)
    first = maps(widget)
    channel = slider(widget, "channel")
    assert channel.max == 2
    channel.value = 2
    assert maps(widget) != first
    number = channels(flat(), widget.result, "conv").channel[1]
    assert f"image 1, conv, #{number}, clean" in maps(widget)


def test_less_is_orange_and_more_is_blue() -> None:
    less, same, more = coloured(np.array([[-2.0, 0.0, 2.0]]), -2, 2, signed=True)[:, 0].T
    assert less[0] > less[2]
    assert same.tolist() == [1, 1, 1]
    assert more[2] > more[0]
    assert coloured(np.zeros((2, 2)), 0, 0).shape == (3, 2, 2)


# --- epsilon --------------------------------------------------------------------------------


def test_any_epsilon_becomes_one_of_the_slider(widget: PropagationWidget) -> None:
    slider = widget.controls["epsilon"]
    assert ("51/255", 0.2) in slider.options
    assert [label for label, _ in slider.options[:3]] == ["0.5/255", "1/255", "1.5/255"]
    widget.set(epsilon=0.0123).wait(LONG)
    assert widget.result.epsilon == 0.0123
    assert widget.state()["epsilon"] == 0.0123
    values = [value for _, value in slider.options]
    assert values == sorted(values)
    assert len(values) == 13
    for wrong in (0, -1, "many"):
        with pytest.raises(ValueError, match="epsilon must be a number above 0"):
            widget.set(epsilon=wrong)
    assert widget.state()["epsilon"] == 0.0123


def test_a_teacher_narrows_epsilon() -> None:
    widget = PropagationWidget(flat(), lock={"epsilon": (1 / 255, 4 / 255)})
    labels = [label for label, _ in widget.controls["epsilon"].options]
    assert labels == ["1/255", "1.5/255", "2/255", "3/255", "4/255"]
    assert widget.wait(LONG).epsilon == 4 / 255
    assert widget.set(epsilon=2.5 / 255, attack="pgd").wait(LONG).epsilon == 2.5 / 255
    assert not widget.controls["epsilon"].disabled
    with pytest.raises(ValueError, match=r"epsilon cannot be 0\.03: it is out of range"):
        widget.set(epsilon=0.03)
    held = PropagationWidget(flat(), lock={"attack": "fgsm", "steps": 3})
    held.set(epsilon=1 / 255).wait(LONG)
    assert held.controls["attack"].disabled
    assert held.controls["steps"].disabled


@pytest.mark.parametrize(
    ("attack", "unused"),
    [
        ("bim", {"restarts", "knowledge"}),
        ("fgsm", {"steps", "step_size", "restarts", "knowledge"}),
        ("pgd-l2", {"knowledge"}),
        ("deepfool", {"epsilon", "step_size", "restarts", "knowledge"}),
        ("none", {"epsilon", "steps", "target", "step_size", "restarts", "knowledge", "step"}),
    ],
)
def test_knobs_an_attack_has_not_are_locked(
    widget: PropagationWidget, attack: str, unused: set[str]
) -> None:
    widget.controls["attack"].value = attack
    assert widget.wait(LONG).attack == attack
    assert {name for name, it in widget.controls.items() if it.disabled} == unused
    widget.set(attack="pgd", denoiser="median").wait(LONG)
    assert not any(control.disabled for control in widget.controls.values())


def test_a_euclidean_ball_has_sizes_of_its_own(widget: PropagationWidget) -> None:
    widget.set(attack="pgd-l2", epsilon=1.0).wait(LONG)
    assert widget.result.epsilon == 1.0
    assert widget.controls["epsilon"].options[:2] == (("0.05", 0.05), ("0.1", 0.1))
    # The step size is a length, too: auto is 2.5 epsilon / steps.
    sizes = widget.controls["step_size"].inner
    assert sizes.options[:2] == (("0.05", 0.05), ("0.1", 0.1))
    assert sizes.value == widget.result.step_size == 0.25
    assert widget.state()["step_size"] is None
    widget.controls["attack"].value = "fgsm"
    assert ("1/255", 1 / 255) in widget.controls["epsilon"].options
    assert ("1/255", 1 / 255) in sizes.options


# --- jobs -----------------------------------------------------------------------------------


def test_smallest_epsilon_is_found_and_shown(widget: PropagationWidget) -> None:
    button(widget, "Smallest ε").click()
    result = widget.wait(LONG)
    # From 0.4 to 0.5 are 0.1; searched below 0.2 in six halvings.
    assert 0.1 <= result.epsilon <= 0.1 + 0.2 / 2**6
    assert result.answers[1, 0] != result.truth[0]
    assert widget.state()["epsilon"] == result.epsilon
    words = f"The smallest epsilon seen to succeed is {result.epsilon * 255:.3g}/255."
    assert words in widget.page.readout.value
    widget.set(image=2).wait(LONG)
    assert "smallest epsilon" not in widget.page.readout.value
    widget.set(image=1).wait(LONG)
    assert words in widget.page.readout.value


def test_an_image_that_withstands_and_one_that_needs_no_attack(widget: PropagationWidget) -> None:
    widget.set(image=3, epsilon=1 / 255).wait(LONG)
    button(widget, "Smallest ε").click()
    widget.wait(LONG)
    assert "No epsilon up to 51/255 is enough." in widget.page.readout.value
    assert widget.state()["epsilon"] == 1 / 255
    wrong = flat().with_images(flat_images([0.45]), [0])
    other = PropagationWidget(wrong, preset={"attack": "fgsm"})
    button(other, "Smallest ε").click()
    other.wait(LONG)
    assert "No attack is needed" in other.page.readout.value


@pytest.mark.parametrize("name", ["Smallest ε", "Sweep ε"])
def test_without_epsilon_there_is_nothing_to_search(widget: PropagationWidget, name: str) -> None:
    widget.set(attack="none").wait(LONG)
    button(widget, name).click()
    widget.wait(LONG)
    assert "there is no epsilon to s" in shown(widget)
    assert 'role="alert"' in shown(widget)
    widget.set(attack="fgsm").wait(LONG)
    assert 'role="alert"' not in shown(widget)


def test_after_a_sweep_the_slider_computes_nothing(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.set(image=0).wait(LONG)  # lost above 0.05, which is 12.75/255
    button(widget, "Sweep ε").click()
    widget.wait(LONG)
    assert "The answer is lost from 16/255 on (sweep of 13 epsilons)." in widget.page.readout.value
    monkeypatch.setattr("reliab_widgets.analyses.propagation.compute.sweep", None)
    for _, epsilon in widget.controls["epsilon"].options:
        widget.controls["epsilon"].value = epsilon
        assert widget.wait(LONG).epsilon == epsilon


def test_a_sweep_is_stopped_and_resumed(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SHOW_AFTER", 0.0)
    before = widget.page.picture.live.svg
    computed: list[float] = []
    halt = [5]
    sweep = compute.sweep

    def watched(fn: Any, case: compute.Case, items: Any, **how: Any) -> Any:
        if len(computed) == halt[0]:
            widget.cancel()
        made = sweep(fn, case, items, **how)
        computed.append(case.opponent.attack.epsilon)
        return made

    monkeypatch.setattr(compute, "sweep", watched)
    button(widget, "Sweep ε").click()
    widget.wait(LONG)
    assert "stopped at 4 of 13" in widget.runner.status.value  # where it was last seen
    assert widget.page.picture.live.svg == before
    assert "sweep" not in widget.page.readout.value
    halt[0] = -1
    button(widget, "Resume").click()
    widget.wait(LONG)
    assert "sweep of 13 epsilons" in widget.page.readout.value
    assert len(computed) == len(set(computed)) == 12  # nothing twice, not what was there


def test_views_repaint_while_a_sweep_goes_on(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slider of the picture neither computes nor cancels what is computed."""
    sweep, at_work, go_on = compute.sweep, threading.Event(), threading.Event()

    def waiting(*args: Any, **how: Any) -> Any:
        at_work.set()
        assert go_on.wait(LONG)
        return sweep(*args, **how)

    monkeypatch.setattr(compute, "sweep", waiting)
    before = widget.page.picture.live.svg
    button(widget, "Sweep ε").click()
    assert at_work.wait(LONG)
    widget.controls["amplify"].value = 64
    widget.controls["metric"].value = "cosine"
    monkeypatch.setattr(worker, "PATIENCE", 0.0)
    go_on.set()
    widget.wait(LONG)
    assert "sweep of 13 epsilons" in widget.page.readout.value
    assert "×64" in widget.page.picture.live.svg
    assert widget.page.picture.live.svg != before


@pytest.mark.parametrize("change", [{"image": 2}, {"attack": "bim"}, {"target": "dark"}])
def test_what_was_searched_is_told_of_what_it_was_searched_for(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    search, at_work, go_on = epsilon_panel.smallest_epsilon, threading.Event(), threading.Event()

    def waiting(*args: Any, **knobs: Any) -> Any:
        found = search(*args, **knobs)
        at_work.set()
        assert go_on.wait(LONG)  # the search is over, and its answer not yet told
        return found

    monkeypatch.setattr(epsilon_panel, "smallest_epsilon", waiting)
    button(widget, "Smallest ε").click()
    assert at_work.wait(LONG)
    before = widget.state()
    widget.set(**change)
    go_on.set()
    widget.wait(LONG)
    assert "smallest epsilon" not in widget.page.readout.value
    assert widget.state()["epsilon"] == before["epsilon"]  # nobody asked it of the new ones
    widget.set(**{name: before[name] for name in change}).wait(LONG)
    assert "The smallest epsilon seen to succeed is 25.5/255." in widget.page.readout.value


@pytest.mark.parametrize("name", ["Smallest ε", "Sweep ε"])
def test_a_euclidean_epsilon_is_told_as_a_length(widget: PropagationWidget, name: str) -> None:
    widget.set(attack="pgd-l2", epsilon=1.0, image=0).wait(LONG)
    button(widget, name).click()
    widget.wait(LONG)
    said = widget.page.readout.value
    assert re.search(r"(succeed is|lost from) 0?\.?\d+ \(L2\)", said)
    assert "/255" not in said
    labels = [label for label, _ in widget.controls["epsilon"].options]
    assert not [label for label in labels if "/" in label]


def test_after_cancel_a_chip_says_what_the_picture_shows(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, at_work, go_on = compute.sweep, threading.Event(), threading.Event()

    def waiting(*args: Any, **how: Any) -> Any:
        at_work.set()
        assert go_on.wait(LONG)
        return sweep(*args, **how)

    monkeypatch.setattr(compute, "sweep", waiting)
    widget.controls["image"].value = 3
    assert at_work.wait(LONG)
    widget.cancel()
    go_on.set()
    widget.wait(LONG)
    assert "picture: image 1" in widget.page.chips.value
    widget.controls["image"].value = 1
    widget.wait(LONG)
    assert "picture:" not in widget.page.chips.value


def test_the_pin_waits_for_what_a_preview_becomes(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "REST", 0.3)
    widget.pace = 1.0
    widget.controls["attack"].value = "bim"
    until(lambda: widget.is_preview)
    button(widget, "Pin").click()
    assert "Against the pin" not in widget.page.readout.value
    widget.wait(LONG)
    assert not widget.is_preview
    assert "Against the pin: no difference." in widget.page.readout.value
    assert widget.work.pinned.knobs["steps"] == 10


def test_controls_show_what_auto_came_to(widget: PropagationWidget) -> None:
    widget.set(attack="bim", steps=4, epsilon=0.2).wait(LONG)
    step, size = widget.controls["step"], widget.controls["step_size"]
    assert (step.value, size.value) == (None, None)
    assert step.inner.value == 4
    assert size.inner.value == pytest.approx(widget.result.step_size)
    widget.set(step=3).wait(LONG)
    assert "Step 3: " in widget.page.picture.live.svg
    widget.set(steps=2).wait(LONG)  # a step that went away leaves the choice open
    assert "Step 3: " not in widget.page.picture.live.svg
    assert "picture: step auto" in widget.page.chips.value


# --- slow motion ----------------------------------------------------------------------------


def test_slow_motion_walks_over_the_layers_when_told(widget: PropagationWidget) -> None:
    play = parts_of(widget, W.Play)
    assert not play.playing
    button(widget, "▶ Play").click()
    assert play.playing
    assert (play.min, play.max) == (0, 4)
    assert widget.controls["layer"].value == "input"
    for place, layer in enumerate(widget.result.layers):
        play.value = place
        widget.wait(LONG)
        assert widget.controls["layer"].value == layer
        assert f"{layer}: " in widget.page.picture.live.svg
    button(widget, "■ Stop").click()
    assert not play.playing
    assert button(widget, "▶ Play")


def test_slow_motion_walks_over_the_steps(widget: PropagationWidget) -> None:
    widget.set(attack="bim", steps=4).wait(LONG)
    step = widget.controls["step"]
    assert step.value is None
    assert (step.inner.value, step.inner.max) == (4, 4)
    over = next(part for part in parts(widget) if getattr(part, "options", ()) == OVER)
    over.value = "steps"
    button(widget, "▶ Play").click()
    widget.wait(LONG)
    assert step.value == 0
    play = parts_of(widget, W.Play)
    play.value = 2
    widget.wait(LONG)
    assert step.value == 2
    assert "Step 2: " in widget.page.picture.live.svg
    play.value = 4
    widget.wait(LONG)
    assert step.value is None
    assert "Step 4: " not in widget.page.picture.live.svg


# --- preview --------------------------------------------------------------------------------


def test_a_slow_attack_is_shown_with_fewer_steps_first(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.pace = 0.04
    monkeypatch.setattr(running, "REST", 0.0)
    steps: list[int] = []
    monkeypatch.setattr(widget, "shown", lambda result: steps.append(result.knobs["steps"]))
    assert widget.set(attack="bim", steps=9).wait(LONG).knobs["steps"] == 9
    assert steps == [2, 9]
    widget.set(epsilon=1 / 255, steps=2).wait(LONG)
    assert steps == [2, 9, 2]
    widget.set(batch=16, steps=5).wait(LONG)  # long anyway, with progress
    assert steps == [2, 9, 2, 5]


def test_no_preview_of_what_a_sweep_has_computed(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.pace = 1e-9
    widget.set(attack="bim").wait(LONG)
    button(widget, "Sweep ε").click()
    widget.wait(LONG)
    widget.pace = 1.0
    widget.controls["epsilon"].value = 2 / 255
    assert widget.wait(LONG).knobs["steps"] == 10
    assert not widget.is_preview


# --- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clean", "attacked", "noisy", "target", "words"),
    [
        (0, 0, 0, "any", "Not flipped (cat "),
        (0, 1, 0, "any", "Flipped to the runner-up (cat "),
        (0, 2, 0, "any", "Flipped (cat "),
        (0, 2, 0, "ship", "Flipped to the target (cat "),
        (0, 1, 1, "any", "Control flipped too: epsilon is simply large (cat "),
    ],
)
def test_the_verdict_has_its_grades(
    widget: PropagationWidget, clean: int, attacked: int, noisy: int, target: str, words: str
) -> None:
    logits = np.zeros((3, 1, 3))
    logits[0, 0] = (0, -1, -2)
    for row, answer in enumerate((clean, attacked, noisy)):
        logits[row, 0, answer] += 3
    sentence = widget.sentence(made_up(logits=logits, target=target))
    assert sentence.startswith(words)
    kept = "Random noise keeps the answer." if noisy == clean else "Random noise makes it dog."
    assert kept in sentence


def test_a_sentence_for_many_images_counts_them(widget: PropagationWidget) -> None:
    result = made_up(n=16, denoiser=True)
    sentence = widget.sentence(result)
    flips = (result.answers[1] != result.answers[0]).sum()
    assert sentence.startswith(f"{flips} of 16 answers change (")
    counted = re.findall(r"(\d+) (?:to|as)", sentence)
    assert sum(map(int, counted)) == flips
    assert "without the denoiser)" in sentence


def test_notes_are_shown(widget: PropagationWidget) -> None:
    assert "mind this" in widget.chips(made_up(notes=("mind this",)))


def test_everything_from_outside_is_escaped() -> None:
    subject = flat(classes=("dark", HOSTILE, "grey"))
    subject = subject.with_images(subject.images, name=HOSTILE, code="flat()")
    widget = PropagationWidget(subject, preset={"attack": "fgsm", "image": 1, "layer": "logits"})
    widget.wait(LONG)
    button(widget, "Pin").click()
    widget.wait(LONG)
    page = shown(widget)
    assert html.escape(HOSTILE) in page
    assert_harmless(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))
    assert "<img src=x" not in page


def test_a_network_that_blocks_gradients_is_told_of() -> None:
    class Blocked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Brightness()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return self.inner(x)

    blocked = Subject(Blocked(), flat_images(list(LEVELS)), [0] * len(LEVELS))
    widget = PropagationWidget(blocked)
    with pytest.raises(ValueError, match="gradients are blocked"):
        widget.wait(LONG)
    assert "gradients are blocked" in shown(widget)


# --- parts ----------------------------------------------------------------------------------


def test_at_most_six_knobs_are_unfolded_and_all_parts_have_names(
    widget: PropagationWidget,
) -> None:
    visible = [
        part
        for part in widget.page.side.children
        if part.layout.display != "none" and part in widget.controls.values()
    ]
    assert len(visible) == 6
    for part in parts(widget):
        if isinstance(part, W.Button):
            assert part.description
            assert part.tooltip
        elif hasattr(part, "value") and not isinstance(part, W.HTML | W.IntProgress | W.Box):
            assert getattr(part, "description", "") or part.tooltip


def test_more_takes_the_place_of_the_channels(widget: PropagationWidget) -> None:
    channel = slider(widget, "channel")
    assert visible(widget, channel)
    assert widget.page.folded.layout.display == "none"
    button(widget, "▸ More").click()
    assert widget.page.folded.layout.display == ""
    assert not visible(widget, channel)
    button(widget, "▾ More").click()
    assert widget.page.folded.layout.display == "none"
    assert visible(widget, channel)


def test_close_leaves_nothing() -> None:
    make: Callable[[], PropagationWidget] = lambda: PropagationWidget(flat())  # noqa: E731
    make().close()
    before = set(_instances)
    widget = make()
    widget.wait(LONG)
    widget.close()
    until(lambda: set(_instances) == before)


def test_images_are_exported_as_an_array(widget: PropagationWidget, tmp_path: Path) -> None:
    pictures = np.load(widget.export("npy", tmp_path))
    np.testing.assert_array_equal(pictures, widget.result.pictures)
    assert pictures.shape == (3, 1, 8, 8)


def test_help_has_the_picture_in_numbers(widget: PropagationWidget) -> None:
    assert "<table" not in widget.page.help.value
    button(widget, "Help").click()
    result = widget.result
    read = parsed(re.sub(r"(?s).*(<table.*?</table>).*", r"\1", widget.page.help.value))
    rows = [[cell.text for cell in row] for row in read.iter("tr")]
    assert rows[0][1:] == ["adversarial", "random", "ratio"]
    assert [row[0] for row in rows[1:]] == list(result.layers)
    attacked = np.median(result.of("adversarial"), axis=1)
    assert [row[1] for row in rows[1:]] == [f"{value:.3g}" for value in attacked]
    widget.controls["metric"].value = "cosine"
    widget.wait(LONG)
    assert f"{np.median(result.of('adversarial', 'cosine')[-1]):.3g}" in widget.page.help.value


def test_maps_say_the_mean_of_each_part(widget: PropagationWidget) -> None:
    widget.set(layer="input")
    widget.wait(LONG)
    result = widget.result
    found = re.findall(r'<i title="([^"]*), clean: ([-\d.e]+)">', maps(widget))
    assert len(found) == 64
    np.testing.assert_allclose(
        [float(mean) for _, mean in found], result.pictures[0, 0].ravel(), 1e-2
    )
