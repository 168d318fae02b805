"""PropagationWidget and its picture: what they show, remember and refuse."""

import base64
import html
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import ipywidgets as W
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses.propagation import charts, compute
from reliab_widgets.analyses.propagation import panels as own_panels
from reliab_widgets.analyses.propagation.charts import Distances, Steps
from reliab_widgets.analyses.propagation.compute import channels, propagation
from reliab_widgets.analyses.propagation.drawing import Attacked
from reliab_widgets.analyses.propagation.maps import Maps
from reliab_widgets.analyses.propagation.result import METRICS, Channels, Propagation
from reliab_widgets.analyses.propagation.sentences import described, grades, times
from reliab_widgets.analyses.propagation.widget import PropagationWidget
from reliab_widgets.core.drawing import Picture, svg
from reliab_widgets.core.knobs import Knobs
from reliab_widgets.core.style import BLUE_TINT, INK, LINES, PAPER, SIGNED
from reliab_widgets.core.wording import typeset
from reliab_widgets.ops.calibration.metrics import softmax
from reliab_widgets.ops.features.plan import Plan
from reliab_widgets.ui import running, worker
from reliab_widgets.ui.words import HIDES
from tests.models import Brightness, flat_images
from tests.test_drawing import lines_of, normal, parsed
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
        "doubt": "",
        "notes": (),
    }
    return Propagation(**values | fields)


def panel(widget: PropagationWidget, name: str) -> Any:
    """A panel, which is opened if it is not."""
    for opened, made in zip(widget.page.opened, widget.page.panels, strict=True):
        if opened.name == name:
            if not opened.is_open:
                button(widget, f"+ {name}").click()
                until(lambda: not worker.busy(widget.runner.owner))
            return made
    raise KeyError(name)


def texts(figure: Figure) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg(figure)).iter(f"{SVG}text")]


def titles(figure: Figure) -> list[str]:
    return [str(title.text) for title in ET.fromstring(svg(figure)).iter(f"{SVG}title")]


# --- the picture ----------------------------------------------------------------------------


@pytest.mark.parametrize("denoiser", [False, True])
@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("view", ["ratio", "distance", "steps"])
def test_drawn_twice_is_as_drawn_once(denoiser: bool, n: int, view: str) -> None:
    result = made_up(denoiser=denoiser, n=n, layers=9)
    options: dict[str, Any] = {"view": view, "log": False, "metric": "cosine", "layer": "logits"}
    other = made_up(denoiser=not denoiser, n=17 - n, layers=60, steps=1, seed=1)
    figure = other.plot(pinned=result, view=view, layer="input", step=0)
    result.draw(figure, pinned=other, **options)
    assert normal(svg(figure)) == normal(svg(result.plot(pinned=other, **options)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_are_embedded_pixel_by_pixel(channels: int) -> None:
    result = made_up(channels=channels)
    embedded = [
        Image.open(BytesIO(base64.b64decode(data)))
        for data in re.findall(r"data:image/png;base64,\s*([^\"]+)", svg(result.plot()))
    ]
    # What was added has large pixels: a browser would blur small ones.
    assert [image.size for image in embedded] == [(32, 32), (288, 288), (32, 32), (32, 32)]
    clean = np.asarray(embedded[0].convert("RGB")).transpose(2, 0, 1) / 255
    expected = result.pictures[0]
    if channels != 3:
        expected = np.repeat(expected.mean(0, keepdims=True), 3, axis=0)
    np.testing.assert_allclose(clean, expected, atol=0.5 / 255 + 1e-6)


def test_large_images_are_embedded_small() -> None:
    data = re.findall(r"base64,\s*([^\"]+)", svg(made_up(side=224).plot()))
    assert Image.open(BytesIO(base64.b64decode(data[0]))).size == (112, 112)


def test_an_image_is_large_and_keeps_its_shape() -> None:
    wide = np.zeros((3, 3, 8, 16), dtype=np.float32)
    image, frame, *_ = Attacked.on(made_up(pictures=wide).plot()).slots[0]
    assert image.get_extent() == [0, 150, 22 + 112.5, 22 + 37.5]
    assert (frame.get_width(), frame.get_height()) == (150, 75)


def test_the_difference_is_amplified_and_says_by_how_much() -> None:
    pictures = np.full((3, 3, 4, 4), 0.5, dtype=np.float32)
    pictures[1, :, 0] += 2 / 255
    figure = made_up(pictures=pictures).plot(amplify=16)
    assert "What was added, × 16" in texts(figure)
    assert "±2/255 = 0.008, grey 0" in texts(figure)
    image = np.asarray(Attacked.on(figure).slots[1][0].get_array())
    # 0.5 + 16 * 2 / 255 of 255 levels; four pixels are drawn as 75 each.
    assert image.shape == (300, 300, 3)
    assert image[0, 0].tolist() == [round(127.5 + 32)] * 3
    assert image[75, 0].tolist() == [128] * 3


def test_every_picture_says_its_prediction_and_whether_it_is_true() -> None:
    logits = np.log(np.array([[[8, 1, 1]], [[1, 9, 2]], [[6, 2, 2]]]) / np.array(1.0))
    slots = Attacked.on(made_up(logits=logits).plot()).slots
    said = [(mark.get_text(), words.get_text()) for *_, mark, words in slots if mark.get_text()]
    assert said == [("✓", "cat 80\u202f%"), ("✗", "dog 75\u202f%"), ("✓", "cat 60\u202f%")]


def test_one_large_factor_is_that_of_this_image_at_the_logits() -> None:
    result = made_up(n=16)
    last = result.layers.index("logits")
    ratio = result.of("adversarial")[last, 0] / result.of("random")[last, 0]
    drawn = Attacked.on(result.plot())
    assert drawn.factor.get_text() == f"{times(ratio)}×"
    start = result.of("adversarial")[0, 0] / result.of("random")[0, 0]
    assert drawn.start.get_text() == f"{times(start)}×"


def test_with_a_denoiser_there_is_one_picture_and_one_line_more() -> None:
    words = texts(made_up().plot())
    assert "Control: same-sized noise" in words
    assert not {"Behind the denoiser", "denoised", "not denoised"} & set(words)
    words = texts(made_up(denoiser=True).plot())
    assert {"Behind the denoiser", "Same-sized noise", "denoised", "not denoised"} <= set(words)


def test_a_median_is_drawn_only_of_several_images() -> None:
    assert not [word for word in texts(made_up().plot()) if "median" in word or "95" in word]
    result = made_up(n=16)
    figure = result.plot()
    assert "median of 16" in texts(figure)
    (band,) = Attacked.on(figure).course.band.get_paths()
    main = ~result.branches[:-1]
    low, high = result.interval()[:, :-1][:, main]
    count = int(main.sum())
    np.testing.assert_allclose(band.vertices[:count, 1], low, rtol=1e-6)
    np.testing.assert_allclose(band.vertices[count : 2 * count, 1], high[::-1], rtol=1e-6)


def test_at_most_three_lines_have_a_colour_and_all_differ_without_it() -> None:
    lines = Attacked.on(made_up(denoiser=True).plot(pinned=made_up())).course.lines
    styles = [(it.get_marker(), it.get_linestyle()) for it in lines.values()]
    assert len(set(styles)) == len(styles) == 5
    coloured = {it.get_color() for it in lines.values()} - {INK, LINES}
    assert len(coloured) == 3


def test_ratios_are_those_of_this_image() -> None:
    result = made_up(n=16, denoiser=True)
    lines = Attacked.on(result.plot(metric="relative")).course.lines
    main = ~result.branches[:-1]
    for kind in ("adversarial", "undefended"):
        ratio = result.of(kind, "relative")[:, 0] / result.of("random", "relative")[:, 0]
        np.testing.assert_allclose(lines[kind].get_ydata(), ratio[:-1][main], rtol=1e-6)


def test_a_layer_beside_the_main_path_is_a_hollow_mark_off_the_line() -> None:
    result = made_up(layers=9)
    course = Attacked.on(result.plot()).course
    x = course.beside["adversarial"].get_xdata()
    assert list(x) == list(course.strip.x(result.plan)[result.plan.beside])
    assert not set(x) & set(course.lines["adversarial"].get_xdata())
    assert course.beside["adversarial"].get_markerfacecolor() == PAPER


def test_distances_are_medians_with_quartiles() -> None:
    result = made_up(n=16)
    drawn = Distances.on(result.plot(view="distance")).course
    main = ~result.branches[:-1]
    medians = np.median(result.of("adversarial"), axis=1)[:-1][main]
    np.testing.assert_allclose(drawn.lines["adversarial"].get_ydata(), medians, rtol=1e-6)
    (band,) = drawn.band.get_paths()
    low, _ = np.quantile(result.of("adversarial"), (0.25, 0.75), axis=1)
    np.testing.assert_allclose(band.vertices[: main.sum(), 1], low[:-1][main], rtol=1e-6)
    assert not Distances.on(made_up().plot(view="distance")).course.band.get_paths()


def test_what_is_pointed_at_says_its_numbers() -> None:
    result = made_up(layers=5)
    figure = result.plot()
    titles_of = Attacked.on(figure).titles
    attacked, noise = result.of("adversarial")[:, 0], result.of("random")[:, 0]
    for place, layer in enumerate(result.layers[:-1]):
        title = titles_of[f"layer:{layer}"]
        assert title in titles(figure)
        assert title.startswith(f"{layer}, {described(result, layer)}: ")
        assert f"attack {attacked[place]:.3g}, noise {noise[place]:.3g}" in title
        assert f"{times(attacked[place] / noise[place])} times as far as noise" in title
    assert "layer:probabilities" not in titles_of  # it stands nowhere in the network


def test_a_chosen_layer_stands_in_a_column() -> None:
    result = made_up(layers=30)
    course = Attacked.on(result.plot(layer="stage3.1.conv")).course
    here = course.strip.x(result.plan)[result.plan.names.index("stage3.1.conv")]
    (column,) = [
        patch
        for patch in Attacked.on(result.plot(layer="stage3.1.conv")).page.patches
        if patch.get_facecolor()[:3] == to_rgb(BLUE_TINT) and patch.get_width() > 0
    ]
    assert column.get_x() + column.get_width() / 2 == pytest.approx(here)


@pytest.mark.parametrize(
    ("true", "words"),
    [
        ([3, 2, 1, 0], "The prediction changes at step 3"),
        ([3, 0.4, 2, 2], "The prediction changes at step 1"),
        ([0, 0, 0, 0], "Wrong from the start"),
        ([3, 2, 2, 1], "The prediction holds"),
    ],
)
def test_the_step_is_marked_at_which_the_prediction_changes(true: list[float], words: str) -> None:
    trajectory = np.full((4, 1, 3), 0.5)
    trajectory[:, 0, 0] = true
    trajectory[:, 0, 2] = -9
    steps = Steps.on(made_up(trajectory=trajectory).plot(view="steps"))
    assert steps.title.get_text().startswith(words)
    assert steps.crossing.get_visible() == words[-1].isdigit()
    if words[-1].isdigit():
        assert list(np.asarray(steps.crossing.get_xdata())) == [int(words[-1])] * 2
        assert steps.column.get_x() + 0.5 == int(words[-1])


def test_a_step_says_its_logits() -> None:
    result = made_up(steps=3)
    steps = Steps.on(result.plot(view="steps", step=2))
    assert steps.column.get_x() + 0.5 == 2
    true = result.trajectory[2, 0, 0]
    assert f"logit of cat {true:.3g}" in steps.titles["step:2"]
    assert f"true class, step 2: {true:.2f}" in [it.get_text() for it in steps.rows]
    assert sorted(it for it in steps.titles if it.startswith("step:")) == [
        f"step:{k}" for k in range(4)
    ]


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [(0, [0]), (1, [0, 1]), (3, [0, 1, 2, 3]), (20, [0, 2, 4]), (40, [0, 5, 10])],
)
def test_steps_are_counted_in_whole_numbers(steps: int, ticks: list[int]) -> None:
    axes = Steps.on(made_up(steps=steps).plot(view="steps")).axes
    assert axes.get_xticks().tolist()[: len(ticks)] == ticks
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]


def test_more_steps_than_a_slider_offers_are_drawn_too() -> None:
    assert len(Steps.on(made_up(steps=500).plot(view="steps")).axes.get_xticks()) <= 13


@pytest.mark.parametrize("layers", [1, 12, 60, 160])
@pytest.mark.parametrize("view", ["ratio", "distance"])
def test_words_never_overlap(layers: int, view: str) -> None:
    result = made_up(layers=layers, denoiser=True, n=16)
    figure = result.plot(view=view, pinned=made_up(layers=layers, seed=1))
    svg(figure)
    written = [it for it in figure.findobj(Text) if it.get_text().strip() and it.get_visible()]
    boxes = [it.get_window_extent() for it in written]
    hits = [
        (a.get_text(), b.get_text())
        for (a, one), (b, two) in combinations(zip(written, boxes, strict=True), 2)
        if min(one.x1, two.x1) - max(one.x0, two.x0) > 1
        and min(one.y1, two.y1) - max(one.y0, two.y0) > 4
    ]
    assert hits == []
    width = figure.bbox.width
    assert [it.get_text() for it, box in zip(written, boxes, strict=True) if box.x1 > width] == []


@pytest.mark.parametrize("denoiser", [False, True])
@pytest.mark.parametrize("view", ["ratio", "distance", "steps"])
def test_a_narrow_page_has_a_drawing_whose_words_fit(denoiser: bool, view: str) -> None:
    result = made_up(denoiser=denoiser, classes=("automobile", "ship", "horse"))
    figure = result.plot(narrow=True, view=view)
    figure.dpi = 72
    figure.draw_without_rendering()
    drawing = figure._drawing  # type: ignore[attr-defined]
    assert drawing.width == 640
    boxes = []
    for text in drawing.page.texts:
        if text.get_text() and text.get_visible():
            boxes.append(text.get_window_extent())
            assert boxes[-1].x0 >= -1, text.get_text()
            assert boxes[-1].x1 <= drawing.width + 4, text.get_text()
            assert text.get_fontsize() >= 12  # and drawn as large as it says
    for one, other in combinations(boxes, 2):
        assert not one.padded(-2).overlaps(other.padded(-2))


def test_a_pinned_result_is_drawn_at_the_layers_of_the_same_name() -> None:
    result, pinned = made_up(layers=4), made_up(layers=9, seed=1)
    line = Attacked.on(result.plot(pinned=pinned)).course.lines["pinned"]
    # stage0.2.conv stands beside the main path.
    same = ["input", "stage0.0.conv", "stage0.1.conv", "stage0.3.conv", "logits"]
    ratio = dict(zip(pinned.layers, pinned.first(), strict=True))
    np.testing.assert_allclose(line.get_ydata(), [ratio[name] for name in same], rtol=1e-6)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("view", ["distance", "ratio"])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_numbers_that_cannot_be_drawn_do_no_harm(value: float, log: bool, view: str) -> None:
    distance = made_up(n=4).distance.copy()
    options: dict[str, Any] = {"metric": "relative", "log": log, "view": view, "layer": "input"}
    for start in (0, 3):  # everywhere, then in the first layers only
        distance[:, 1] = 0.5
        distance[:, 1, : None if start == 0 else start] = value
        assert "input" in texts(made_up(n=4, distance=distance).plot(**options))


@pytest.mark.parametrize("name", [HOSTILE, "$100 and $200", r"$\nonsense$", "a_b^c"])
def test_classes_and_layers_may_have_any_name(name: str) -> None:
    result = made_up(layers=1, classes=(name, "dog", "ship"), names=(name,))
    words = " ".join(titles(result.plot(layer=name)))
    assert f"true class is {name}" in words
    assert f"{name}, convolution, 8 maps of 32 × 32: " in words


def test_the_axis_changes_in_steps_only() -> None:
    """Else a slider moves the numbers of the axis instead of the line."""
    distance = made_up().distance.copy()
    seen = set()
    for most in (21, 25, 30, 40, 49):
        distance[0, :, :-1] = np.geomspace(0.8, most, distance.shape[2] - 1)[:, None]
        distance[1] = 1.0
        axes = Attacked.on(made_up(distance=distance).plot()).course.axes
        seen.add(tuple(np.round(axes.get_ylim(), 9)))
    assert seen == {(0.5, 50.0)}


@pytest.mark.parametrize(
    ("attack", "same"), [("bim", "the size ε is the same"), ("pgd-l2", "the length is the same")]
)
def test_attack_and_noise_are_called_equal_in_what_they_are(attack: str, same: str) -> None:
    result = propagation(rw.demo("resnet20"), images=[0], attack=attack, steps=2)
    words = texts(result.plot())
    assert {"at the input (rms)", same} <= set(words)
    assert not any("its size" in it for it in words)  # it is another one, in this measure


def test_where_nothing_was_attacked_the_axis_has_noise_and_nothing() -> None:
    figure = propagation(flat(), images=[0], attack="none").plot()
    axes = Attacked.on(figure).course.axes
    assert axes.get_ylim() == pytest.approx((0, 1))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0×", "0.5×", "1×"]


def test_a_layer_is_described_in_words() -> None:
    result = propagation(rw.demo("resnet20"), images=[0], attack="none")
    assert [described(result, name) for name in ("input", "conv1", "layer3.0.downsample.0", "fc")]
    assert described(result, "conv1") == "convolution, 16 maps of 32 × 32"
    assert described(result, "layer2.0.conv2") == (
        "second convolution of stage 2, 32 maps of 16 × 16"
    )
    assert described(result, "layer3.2.conv2") == "last convolution of stage 3, 64 maps of 8 × 8"
    assert described(result, "logits") == "the logits, 10 values"


def test_colours_have_a_sign() -> None:
    less, same, more = SIGNED([0.0, 0.5, 1.0])[:, :3]
    assert less[0] > less[2]
    assert min(same) > 0.95
    assert more[2] > more[0]


def test_channels_are_drawn_on_one_scale_and_the_chosen_one_is_marked() -> None:
    maps = np.zeros((3, 12, 2, 2))
    maps[:, 4] = [[[[1, -2], [0, 0]]], [[[4, 0], [0, 0]]], [[[2, 0], [0, 0]]]][0]
    maps[1, 4, 0, 0] = 4
    change, control = np.arange(12, 0, -1.0), np.ones(12)
    seen = Channels("conv", np.arange(12), maps[0], maps[1], maps[2], change, control)
    figure = Picture()
    Maps.on(figure).show(seen, [str(k) for k in range(12)], 4, ("conv: far", "about"))
    most = np.quantile(np.abs(maps[:, 4]), 0.99)
    assert [it.get_text() for it in Maps.on(figure).scale] == [
        f"−{most:.2g}",
        "0",
        f"+{most:.2g}",
    ]
    marks = [it for it in Maps.on(figure).titles if it.startswith("channel:")]
    assert marks == [f"channel:{k}" for k in range(8)]
    assert Maps.on(figure).titles["channel:4"] == "channel 4: changed by 8 (rms), by noise 1"
    images = [np.asarray(image.get_array()) for _, (image, _), _, _ in Maps.on(figure).slots]
    assert (images[0][0, 0] != images[1][0, 0]).any()
    assert (images[0][-1, -1] == images[1][-1, -1]).all()


# --- the widget -----------------------------------------------------------------------------


def test_the_first_picture_comes_with_its_finding_and_context(widget: PropagationWidget) -> None:
    page = html.unescape(shown(widget))
    assert "<svg" in page
    # The logits at 0.4 are (0.8, 1.2, 0.5), at 0.6 the first two change places.
    sure = np.exp(1.2) / np.exp([0.8, 1.2, 0.5]).sum()
    words = f"The prediction changes to the runner-up: bright {sure:.0%} becomes dark {sure:.0%}."
    assert words.replace("%", "\u202f%") in html.unescape(widget.page.readout.value)
    chips = re.findall(r'rw-chip rw-(\w+)">([^<]*)<', html.unescape(widget.page.chips.value))
    assert chips == [
        ("fact", "tiny"),
        ("fact", "image 1 · true bright ✓"),
        ("warning", "changed: bright → dark"),
        ("shows", "shows: FGSM 51/255"),
    ]
    assert widget.page.picture.live.alt == typeset(widget.sentence(widget.result))


def test_six_controls_and_the_rest_in_panels(widget: PropagationWidget) -> None:
    assert widget.front == ("image", "attack", "epsilon", "steps", "target", "denoiser")
    assert [it.name for it in widget.page.opened] == [
        "channels",
        "attack step by step",
        "ε sweep",
        "distances",
    ]
    assert not any(it.is_open for it in widget.page.opened)
    labels = [widget.controls[name].description for name in widget.front]
    assert labels == ["image", "Attack", "Size ε", "Steps", "Goal", "Denoiser"]
    known = set(widget.front) | set(widget.fold) | set(widget.marks)
    assert set(widget.controls) == known


def test_panels_open_at_first_are_filled() -> None:
    names = ("channels", "attack step by step", "ε sweep", "distances")
    widget = PropagationWidget(flat(), preset={"attack": "fgsm"}, panels=names)
    widget.wait(LONG)
    assert all("<svg" in made.stage.live.svg for made in widget.page.panels)


def test_an_image_or_several_from_it_on() -> None:
    widget = PropagationWidget(flat(), preset={"attack": "fgsm", "image": 13})
    assert widget.result.index.tolist() == [13]
    widget.set(batch=16)
    assert widget.result.index.tolist() == [*range(13, 16), *range(13)]
    assert "16 images from 13 on" in widget.page.chips.value
    assert "of 16 predictions change" in widget.page.readout.value


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


def test_its_code_gives_the_same_numbers(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
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
    for knobs in ({"metric": "cosine"}, {"amplify": 64}, {"layer": "logits"}):
        assert widget.set(**knobs).wait(LONG) is before
        assert widget.page.picture.live.svg not in pictures
        pictures.append(widget.page.picture.live.svg)
    for name, knobs in (
        ("distances", {"log": False}),
        ("distances", {"metric": "variance"}),
        ("attack step by step", {"step": 0}),
    ):
        drawn = panel(widget, name).stage.live
        pictures.append(drawn.svg)
        assert widget.set(**knobs).wait(LONG) is before
        assert drawn.svg not in pictures


def test_the_map_of_largest_ratio_is_marked_until_one_is_chosen(
    widget: PropagationWidget,
) -> None:
    live = widget.page.picture.live
    assert widget.state()["layer"] is None
    assert live.selected == {"layer": widget.result.strongest_map}
    live.selected = {"layer": "logits"}  # as the page does on a click
    widget.wait(LONG)
    assert widget.state()["layer"] == "logits"
    widget.controls["epsilon"].value = 32 / 255
    widget.wait(LONG)
    assert live.selected == {"layer": "logits"}
    button(widget, "Reset").click()
    widget.wait(LONG)
    assert widget.state()["layer"] is None
    assert live.selected == {"layer": widget.result.strongest_map}


def test_every_layer_is_a_mark_of_the_picture(widget: PropagationWidget) -> None:
    found = re.findall(r'<g id="layer:([^"]*)">', widget.page.picture.live.svg)
    assert found == ["input", "conv", "logits"]  # the layer fc gives the logits


def test_a_layer_that_went_away_leaves_the_choice_open(widget: PropagationWidget) -> None:
    live = widget.page.picture.live
    widget.set(layer="conv").wait(LONG)
    widget.set(layers="activations").wait(LONG)
    assert live.selected == {"layer": "relu"}
    widget.set(layers="weight").wait(LONG)
    assert live.selected == {"layer": "conv"}


def test_a_layer_that_the_network_has_not_is_refused(widget: PropagationWidget) -> None:
    with pytest.raises(ValueError, match="layer cannot be 'conv9': the network has no such layer"):
        widget.set(layer="conv9")
    assert widget.set(layers="activations", layer="relu").wait(LONG)
    assert widget.page.picture.live.selected == {"layer": "relu"}


def test_channels_are_shown_by_change_with_their_numbers(widget: PropagationWidget) -> None:
    widget.set(layer="logits").wait(LONG)
    seen = channels(flat(), widget.result, "logits")
    # From 0.4 to 0.6 the logit of dark grows by 0.4, that of bright falls by as much.
    assert seen.change.tolist() == pytest.approx([0.4, 0.4, 0], abs=1e-6)
    told = Maps.on(panel(widget, "channels").figure).titles
    assert sorted(told[f"channel:{k}"].split(":")[0] for k in range(2)) == ["bright", "dark"]
    assert "changed by 0.4 (rms), by noise" in told["channel:0"]
    assert told["channel:2"].startswith("grey: changed by 0 ")
    far = Maps.on(panel(widget, "channels").figure)
    ratio = widget.result.first()[widget.result.place("logits")]
    assert far.title.get_text() == (
        f"logits: the attack moves it {times(ratio)} times as far as noise (root mean square)"
    )
    assert far.detail.get_text().startswith("the logits, 3 values. Click another layer")


def test_a_channel_is_chosen_by_its_row(widget: PropagationWidget) -> None:
    widget.set(layer="conv").wait(LONG)
    live = panel(widget, "channels").stage.live
    order = channels(flat(), widget.result, "conv").channel
    assert len(order) == 2
    for rank in (1, 0):
        live.selected = {"channel": str(rank)}
        widget.wait(LONG)
        assert f"channel {order[rank]}, one scale for the three" in live.svg
    live.selected = {"channel": "1"}
    widget.wait(LONG)
    widget.set(layer="input").wait(LONG)  # of another layer it begins anew
    assert live.selected == {"channel": "0"}


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
        ("none", {"epsilon", "steps", "target", "step_size", "restarts", "knowledge"}),
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
    assert widget.controls["epsilon"].options[:2] == (("0.05 (L2)", 0.05), ("0.1 (L2)", 0.1))
    # The step size is a length, too: auto is 2.5 epsilon / steps.
    sizes = widget.controls["step_size"].inner
    assert sizes.options[:2] == (("0.05 (L2)", 0.05), ("0.1 (L2)", 0.1))
    assert sizes.value == widget.result.step_size == 0.25
    assert widget.state()["step_size"] is None
    widget.controls["attack"].value = "fgsm"
    assert ("1/255", 1 / 255) in widget.controls["epsilon"].options
    assert ("1/255", 1 / 255) in sizes.options


# --- jobs -----------------------------------------------------------------------------------


def found_words(widget: PropagationWidget) -> str:
    """What the panel of sizes says."""
    said = panel(widget, "ε sweep").body.children[0].children[-1].value
    return str(said)


def test_smallest_epsilon_is_found_and_shown(widget: PropagationWidget) -> None:
    sizes = panel(widget, "ε sweep")
    button(widget, "Smallest ε").click()
    result = widget.wait(LONG)
    # From 0.4 to 0.5 are 0.1; searched below 0.2 in six halvings.
    assert 0.1 <= result.epsilon <= 0.1 + 0.2 / 2**6
    assert result.answers[1, 0] != result.truth[0]
    assert widget.state()["epsilon"] == result.epsilon
    words = f"The smallest ε seen to succeed is {result.epsilon * 255:.3g}/255."
    assert words == found_words(widget)
    assert f"succeed: {result.epsilon * 255:.3g}/255" in sizes.stage.live.svg
    widget.set(image=2).wait(LONG)
    assert not found_words(widget)
    widget.set(image=1).wait(LONG)
    assert words == found_words(widget)


def test_an_image_that_withstands_and_one_that_needs_no_attack(widget: PropagationWidget) -> None:
    panel(widget, "ε sweep")
    widget.set(image=3, epsilon=1 / 255).wait(LONG)
    button(widget, "Smallest ε").click()
    widget.wait(LONG)
    assert found_words(widget) == "No ε up to 51/255 is enough."
    assert widget.state()["epsilon"] == 1 / 255
    wrong = flat().with_images(flat_images([0.45]), [0])
    other = PropagationWidget(wrong, preset={"attack": "fgsm"}, panels=("ε sweep",))
    button(other, "Smallest ε").click()
    other.wait(LONG)
    assert found_words(other).startswith("No attack is needed")


@pytest.mark.parametrize("name", ["Smallest ε", "Sweep ε"])
def test_without_epsilon_there_is_nothing_to_search(widget: PropagationWidget, name: str) -> None:
    widget.set(attack="none").wait(LONG)
    assert "has no size ε to sweep" in (panel(widget, "ε sweep"), found_words(widget))[1]
    button(widget, name).click()
    widget.wait(LONG)
    assert 'role="alert"' in shown(widget)
    assert re.search("there is no (ε to sweep|epsilon to search)", shown(widget))
    assert widget.page.alert.layout.display == ""
    widget.set(attack="fgsm").wait(LONG)
    assert widget.page.alert.layout.display == "none"


def test_a_sweep_draws_its_curve_and_the_slider_computes_nothing_after(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.set(image=0).wait(LONG)  # the prediction changes above 0.05, which is 12.75/255
    sizes = panel(widget, "ε sweep")
    drawn = own_panels.Sizes.on(sizes.figure)
    assert drawn.empty.get_text() == "“Sweep ε” computes the other 12 sizes"
    assert [it.get_text() for it in drawn.coming] == [*charts.COMING]
    figure = sizes.figure  # the words are where the ring's line is not
    figure.draw_without_rendering()
    ring = drawn.here.get_window_extent()
    for text in (drawn.empty, *drawn.coming):
        box = text.get_window_extent()
        assert box.x1 < ring.x0 or box.x0 > ring.x1
    button(widget, "Sweep ε").click()
    widget.wait(LONG)
    assert found_words(widget) == "The prediction changes from 16/255 on."
    assert {it.get_text() for it in (drawn.empty, *drawn.coming)} == {""}
    monkeypatch.setattr("reliab_widgets.analyses.propagation.compute.sweep", None)
    curve = drawn.attack.get_ydata()
    stops = widget.controls["epsilon"].stops
    assert len(curve) == len(stops) == 13
    for place, epsilon in enumerate(stops):
        widget.controls["epsilon"].value = epsilon
        result = widget.wait(LONG)
        assert result.epsilon == epsilon
        sure = softmax(result.logits[1, :1])[0, result.truth[0]]
        assert curve[place] == pytest.approx(sure)
        assert sizes.stage.live.handles["epsilon"]["value"] == place


def test_the_ring_of_sizes_goes_to_those_of_the_slider(widget: PropagationWidget) -> None:
    live = panel(widget, "ε sweep").stage.live
    stops = widget.controls["epsilon"].stops
    handle = live.handles["epsilon"]
    assert (handle["least"], handle["most"], handle["step"]) == (0, len(stops) - 1, 1)
    live.dragged = {"name": "epsilon", "value": 3}
    assert widget.wait(LONG).epsilon == stops[3] == 2 / 255
    locked = PropagationWidget(flat(), lock={"epsilon": 8 / 255}, panels=("ε sweep",))
    locked.wait(LONG)
    assert locked.page.panels[2].stage.live.handles == {}


def test_reset_forgets_what_was_found(widget: PropagationWidget) -> None:
    panel(widget, "ε sweep")
    for name in ("Sweep ε", "Smallest ε"):
        button(widget, name).click()
        widget.wait(LONG)
        assert found_words(widget)
        button(widget, "Reset").click()
        widget.wait(LONG)
        assert not found_words(widget)
    drawn = own_panels.Sizes.on(panel(widget, "ε sweep").figure)
    assert np.isfinite(drawn.attack.get_ydata()).sum() == 1  # of the picture itself
    assert not len(drawn.least.get_xdata())


def test_a_sweep_is_stopped_and_resumed(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SHOW_AFTER", 0.0)
    monkeypatch.setattr(running, "EVERY", 0.0)
    panel(widget, "ε sweep")
    before = widget.page.picture.live.alt
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
    reached = re.search(r"stopped at (\d+) of 13", widget.runner.status.value)
    assert reached
    assert widget.page.picture.live.alt == before
    drawn = own_panels.Sizes.on(panel(widget, "ε sweep").figure)
    values = drawn.attack.get_ydata()
    there = np.isfinite(values).sum()  # what it has is drawn, and said to be not all
    assert there == int(reached[1]) > 1
    assert len(values) == 13  # those that are missing interrupt the line
    assert f"Stopped: {there} of 13 sizes." in found_words(widget)
    assert drawn.notes[2].get_text() == f"{13 - there} sizes not computed"
    assert drawn.unit.get_text() == "size ε of the attack, /255"
    halt[0] = -1
    counted: list[str] = []
    widget.runner.status.observe(lambda change: counted.append(change["new"]), "value")
    button(widget, "Resume").click()
    widget.wait(LONG)
    assert "from 51/255 on" in found_words(widget) or "from" in found_words(widget)
    assert len(computed) == len(set(computed)) == 12  # nothing twice, not what was there
    again = [int(it[1]) for text in counted if (it := re.search(r"running · (\d+) of", text))]
    assert again
    assert min(again) >= int(reached[1])  # what is there is not counted anew


def test_views_repaint_while_a_sweep_goes_on(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice in the picture neither computes nor cancels what is computed."""
    panel(widget, "ε sweep")
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
    assert "The prediction changes from" in found_words(widget)
    assert "× 64" in widget.page.picture.live.svg
    assert widget.page.picture.live.svg != before


@pytest.mark.parametrize("change", [{"image": 2}, {"attack": "bim"}, {"target": "dark"}])
def test_what_was_searched_is_told_of_what_it_was_searched_for(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    panel(widget, "ε sweep")
    search, at_work, go_on = own_panels.smallest_epsilon, threading.Event(), threading.Event()

    def waiting(*args: Any, **knobs: Any) -> Any:
        found = search(*args, **knobs)
        at_work.set()
        assert go_on.wait(LONG)  # the search is over, and its answer not yet told
        return found

    monkeypatch.setattr(own_panels, "smallest_epsilon", waiting)
    button(widget, "Smallest ε").click()
    assert at_work.wait(LONG)
    before = widget.state()
    widget.set(**change)
    go_on.set()
    widget.wait(LONG)
    assert not found_words(widget)
    assert widget.state()["epsilon"] == before["epsilon"]  # nobody asked it of the new ones
    widget.set(**{name: before[name] for name in change}).wait(LONG)
    assert found_words(widget) == "The smallest ε seen to succeed is 25.5/255."


@pytest.mark.parametrize("name", ["Smallest ε", "Sweep ε"])
def test_a_euclidean_epsilon_is_told_as_a_length(widget: PropagationWidget, name: str) -> None:
    panel(widget, "ε sweep")
    widget.set(attack="pgd-l2", epsilon=1.0, image=0).wait(LONG)
    button(widget, name).click()
    widget.wait(LONG)
    said = found_words(widget)
    assert re.search(r"(succeed is|changes from) 0?\.?\d+ \(L2\)", said)
    assert "/255" not in said
    labels = [label for label, _ in widget.controls["epsilon"].options]
    assert not [label for label in labels if "/" in label]


def test_after_cancel_controls_and_code_are_those_of_the_picture(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, at_work, go_on = compute.sweep, threading.Event(), threading.Event()

    def waiting(*args: Any, **how: Any) -> Any:
        at_work.set()
        assert go_on.wait(LONG)
        return sweep(*args, **how)

    monkeypatch.setattr(compute, "sweep", waiting)
    before, code = widget.state(), widget.work.code()
    widget.controls["image"].value = 3
    assert at_work.wait(LONG)
    widget.cancel()
    go_on.set()
    widget.wait(LONG)
    assert widget.state() == before
    assert widget.work.code() == code
    assert 'rw-shows">shows: FGSM 51/255' in widget.page.chips.value  # it is complete
    button(widget, "Resume").click()
    assert widget.wait(LONG).index.tolist() == [3]
    assert widget.state()["image"] == 3
    assert "cancelled" not in widget.page.chips.value


def test_a_preview_says_so(widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "REST", 0.5)
    widget.pace = 0.05
    widget.controls["attack"].value = "bim"
    said = 'rw-warning">≈ preview: BIM 51/255, 2 steps of 10'
    until(lambda: said in widget.page.chips.value)
    widget.wait(LONG)
    assert 'rw-shows">shows: BIM 51/255, 10 steps' in widget.page.chips.value


def test_the_pin_waits_for_what_a_preview_becomes(
    widget: PropagationWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "REST", 0.3)
    widget.pace = 1.0
    widget.controls["attack"].value = "bim"
    until(lambda: widget.is_preview)
    button(widget, "Pin").click()
    assert "Pinned" not in widget.page.readout.value
    widget.wait(LONG)
    assert not widget.is_preview
    assert "Against the pin (BIM 51/255, 10 steps): " in widget.page.readout.value
    assert widget.work.pinned.knobs["steps"] == 10
    widget.set(image=5).wait(LONG)  # like is compared with like: another image is named
    assert "Against the pin (image 1, BIM 51/255, 10 steps): " in widget.page.readout.value


def test_controls_show_what_auto_came_to(widget: PropagationWidget) -> None:
    widget.set(attack="bim", steps=4, epsilon=0.2).wait(LONG)
    size = widget.controls["step_size"]
    assert size.value is None
    assert size.inner.value == pytest.approx(widget.result.step_size)
    steps = panel(widget, "attack step by step").stage.live
    widget.set(step=3).wait(LONG)
    assert "step 3: " in steps.svg
    assert steps.selected == {"step": "3"}
    widget.set(steps=2).wait(LONG)  # a step that went away leaves the choice open
    assert steps.selected == {}


# --- slow motion ----------------------------------------------------------------------------


def test_slow_motion_walks_through_the_network(widget: PropagationWidget) -> None:
    player = panel(widget, "channels").player
    assert not player.play.playing
    player.widget.children[0].click()
    assert player.play.playing
    assert (player.play.min, player.play.max) == (0, 4)
    assert widget.state()["layer"] == "input"
    for place, layer in enumerate(widget.result.layers):
        player.play.value = place
        widget.wait(LONG)
        assert widget.state()["layer"] == layer
        assert f"{layer}: " in panel(widget, "channels").stage.live.svg
    button(widget, "■ Stop").click()
    assert not player.play.playing
    assert player.widget.children[0].description == "▶ Play"


def test_slow_motion_walks_over_the_steps(widget: PropagationWidget) -> None:
    widget.set(attack="bim", steps=4).wait(LONG)
    steps = panel(widget, "attack step by step")
    steps.player.widget.children[0].click()
    widget.wait(LONG)
    assert (widget.state()["step"], steps.player.play.max) == (0, 4)
    for step in (2, 4):
        steps.player.play.value = step
        widget.wait(LONG)
        assert widget.state()["step"] == step
        assert f"true class, step {step}: " in steps.stage.live.svg


def test_a_step_is_chosen_with_a_click(widget: PropagationWidget) -> None:
    widget.set(attack="bim", steps=4).wait(LONG)
    live = panel(widget, "attack step by step").stage.live
    live.selected = {"step": "1"}
    widget.wait(LONG)
    assert widget.state()["step"] == 1
    assert "true class, step 1: " in live.svg


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
    panel(widget, "ε sweep")
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
        (0, 0, 0, "any", "The prediction stays: cat "),
        (0, 1, 0, "any", "The prediction changes to the runner-up: cat "),
        (0, 2, 0, "any", "The prediction changes: cat "),
        (0, 2, 0, "ship", "The prediction changes to the target: cat "),
        (0, 1, 1, "any", "The prediction changes: cat "),
    ],
)
def test_the_sentence_has_its_grades(
    widget: PropagationWidget, clean: int, attacked: int, noisy: int, target: str, words: str
) -> None:
    logits = np.zeros((3, 1, 3))
    logits[0, 0] = (0, -1, -2)
    for row, answer in enumerate((clean, attacked, noisy)):
        logits[row, 0, answer] += 3
    sentence = widget.sentence(made_up(logits=logits, target=target))
    assert words in sentence
    assert ("Noise changes it too: ε is simply large." in sentence) == (noisy != clean)
    kept = "the noise leaves cat at " if noisy == clean else "the noise makes it dog "
    assert f"Control: {kept}" in sentence
    assert lines_of(sentence) <= 2


@pytest.mark.parametrize(
    ("attacked", "noisy", "changed", "words"),
    [
        (3.8, 0.2, True, "A whisper becomes a shout: the attack moves the logits 19 times as far"),
        (3.8, 0.2, False, "The prediction holds, although the attack moves the logits 19 times"),
        (0.3, 0.2, True, "The attack moves the logits 1.5 times as far as noise of the same size."),
        (0.1, 0.2, False, "The attack moves the logits 0.5 times as far as noise"),
        (0.1, 0.0, True, "The attack moves the logits, noise of the same size does not."),
        (0.0, 0.0, False, "The attack does not move the logits, nor does noise of the same size."),
    ],
)
def test_the_finding_comes_first(attacked: float, noisy: float, changed: bool, words: str) -> None:
    result = made_up()
    distance, logits = result.distance.copy(), np.zeros((3, 1, 3))
    distance[:, 0, 0, 0] = 0.1  # at the input the attack is as large as the noise
    distance[:, 0, result.layers.index("logits"), 0] = attacked, noisy
    logits[:, 0, 0] = 1
    logits[1, 0, 1] = 2 * changed
    assert made_up(distance=distance, logits=logits).reading().startswith(words)


def test_one_image_has_no_interval_and_many_have(widget: PropagationWidget) -> None:
    one, many = made_up(), made_up(n=16, denoiser=True)
    assert "interval" not in str(one)
    assert "In 1" not in widget.sentence(one)
    assert "95 % interval" in str(many)
    sentence = widget.sentence(many)
    flips = (many.answers[1] != many.answers[0]).sum()
    last = many.layers.index("logits")
    low, high = many.interval()[:, last]
    assert f"the factor is {times(many.ratio()[last])} ({times(low)}–{times(high)})" in sentence
    assert f"{flips} of 16 predictions change, " in sentence
    assert "without the denoiser " in sentence
    noisy = (many.answers[many.kinds.index("random") + 1] != many.answers[0]).sum()
    assert f"{noisy} under noise (control); accuracy " in sentence
    assert lines_of(widget.sentence(made_up(n=16))) <= 2


def test_grades_of_many_images_are_counted() -> None:
    result = made_up(n=16)
    flips = (result.answers[1] != result.answers[0]).sum()
    words = grades(result)
    assert words.startswith(f"Of 16 images {flips} predictions change: ")
    assert sum(map(int, re.findall(r"(\d+) (?:to|as)", words))) == flips


def test_notes_are_shown(widget: PropagationWidget) -> None:
    assert "Note: mind this." in widget.sentence(made_up(notes=("mind this",)))


def test_a_network_that_hides_has_a_chip(widget: PropagationWidget) -> None:
    told = [it for it in widget.chips(made_up(doubt="hidden: so"))[3:] if it[0] == HIDES]
    assert told == [(HIDES, "warning")]
    assert HIDES not in str(widget.chips(made_up()))


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


def test_all_parts_have_names(widget: PropagationWidget) -> None:
    for part in parts(widget):
        if isinstance(part, W.Button):
            assert part.description
            assert part.tooltip
        elif hasattr(part, "value") and not isinstance(part, W.HTML | W.IntProgress | W.Box):
            assert getattr(part, "description", "") or part.tooltip


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
    button(widget, "?").click()
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


def test_no_whisper_becomes_a_shout_that_was_loud_or_that_noise_makes_too() -> None:
    result = made_up()
    distance, logits = result.distance.copy(), np.zeros((3, 1, 3))
    distance[:, 0, result.layers.index("logits"), 0] = 3.8, 0.2
    distance[:, 0, 0, 0] = 1.0, 0.1  # ten times as large as the noise at the input already
    logits[:, 0, 0] = 1
    logits[1, 0, 1] = 2
    loud = made_up(distance=distance, logits=logits).reading()
    assert loud.startswith("The attack moves the logits 19 times")
    distance[:, 0, 0, 0] = 0.1
    logits[2, 0, 1] = 2
    noisy = made_up(distance=distance, logits=logits).reading()
    assert noisy.startswith("The attack moves the logits 19 times")
    assert "Noise changes it too" in noisy
    wrong = made_up(distance=distance, logits=np.tile([0.0, 1, 0], (3, 1, 1))).reading()
    assert wrong.startswith("The prediction was wrong before, and stays;")


def test_no_class_is_offered_that_the_image_has_already(widget: PropagationWidget) -> None:
    goal, subject = widget.controls["target"], widget.subject
    truth = int(subject.labels[widget.controls["image"].value])
    classes = {it for _, it in goal.options if isinstance(it, int)}
    assert classes == set(range(len(subject.classes))) - {truth}
    other = next(n for n, label in enumerate(subject.labels.tolist()) if label != truth)
    widget.set(image=other).wait(LONG)
    assert truth in {it for _, it in goal.options}
    assert int(subject.labels[other]) not in {it for _, it in goal.options}


def test_maps_of_channels_have_twins_for_dark_pages() -> None:
    maps = np.zeros((3, 2, 4, 4))
    maps[:, 1] = 1.0
    seen = Channels("conv", np.arange(2), *maps, np.array([1.0, 0.0]), np.zeros(2))
    figure = Picture()
    sheet = Maps.on(figure)
    sheet.show(seen, ["0", "1"], 0, ("", ""))
    for _, (light, dark), _, _ in sheet.slots:
        assert (light, dark) in sheet.twins
        nothing = [np.unique(it.get_array().reshape(-1, 3), axis=0) for it in (light, dark)]
        assert [len(it) for it in nothing] == [1, 1]
        assert nothing[0].min() > 240  # white paper
        assert nothing[1].max() < 64  # black paper
