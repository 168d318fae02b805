"""What the picture of a saliency analysis shows, and what its widget computes and what it draws."""

import base64
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as W
import numpy as np
import pytest
import torch
import traitlets
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from reliab_widgets import Explorer, Subject
from reliab_widgets.analyses.saliency.compute import saliency
from reliab_widgets.analyses.saliency.drawing import SIDE, STEP, TOP, Maps
from reliab_widgets.analyses.saliency.marks import HEIGHT, WIDTH, number
from reliab_widgets.analyses.saliency.result import Saliency
from reliab_widgets.analyses.saliency.widget import PICKED, SaliencyWidget
from reliab_widgets.core.drawing import svg
from reliab_widgets.core.knobs import Knobs
from reliab_widgets.core.pixels import edges, in_cells, outline
from reliab_widgets.ops.attribution.palette import hex_code, palette
from reliab_widgets.ops.statistics.agreement import MEASURES
from reliab_widgets.ui.choices import Choices
from tests.test_drawing import HOSTILE, PNG, SVG, normal, parsed
from tests.test_explorer import LONG, assert_harmless, button, parts, shown, until
from tests.test_result import assert_same

NAMES = ("black", "white", "mean", "blur")
SIZE = 16


def made_up(
    baselines: tuple[str, ...] = NAMES,
    method: str = "ig",
    n: int = 1,
    score: str = "probability",
    **changed: Any,
) -> Saliency:
    """A result of round numbers: map b is (b + 1) times a ramp from -1 to 1, untrained maps are 0.

    All paths are straight from 0 to 0.5 in four steps, so that at alpha = 1/2 every map has half
    of its values.
    """
    count, given = len(baselines), baselines != ("none",)
    ramp = np.linspace(-1, 1, SIZE * SIZE).reshape(SIZE, SIZE)
    maps = np.stack([(b + 1) * ramp for b in range(count)])
    generator = np.random.default_rng(0)
    levels = np.linspace(0, 1, count)[:, None, None, None] * np.ones((3, SIZE, SIZE))
    agreement = np.full((len(MEASURES), n, 2 * count, 2 * count), 0.25)
    agreement[:, :, :count, count:] = -0.01
    agreement[:, :, range(2 * count), range(2 * count)] = 1.0
    fills = ("black", "white", "mean", "blur", *["own"] * given)
    morf = np.linspace(1, 0, 5) * np.ones((n, count + 1, len(fills), 1))
    for b in range(count):  # under fill f, map f falls first; random orders fall last
        morf[:, b, b % len(fills), 1:4] = 0.1
    morf[:, -1, :, 1:4] = 0.9
    walks = method == "ig"
    alphas = np.linspace(0, 1, 5)
    values: dict[str, Any] = {
        "subject": "made up",
        "fingerprint": "0",
        "source": "",
        "knobs": Knobs({"method": method, "score": score, "sign": "signed"}),
        "classes": ("cat", "dog", "horse"),
        "layer": "",
        "window": 4,
        "stride": 2,
        "index": np.arange(7, 7 + n),
        "truth": np.zeros(n, int),
        "answer": np.zeros(n, int),
        "target": np.zeros(n, int),
        "images": generator.random((n, 3, SIZE, SIZE), dtype=np.float32),
        "baselines": baselines,
        "baseline_images": np.broadcast_to(levels, (n, *levels.shape)).astype(np.float32),
        "hyper": ("4 steps",),
        "hyper_maps": np.broadcast_to(maps, (n, 1, *maps.shape)).astype(np.float32),
        "untrained": np.zeros((n, count, SIZE, SIZE)),
        "probabilities": np.tile([0.7, 0.2, 0.1], (n, 1)),
        "neutrality": np.full((n, count, 3), 1 / 3 if given else np.nan),
        "scores_clean": np.full(n, 0.5),
        "scores_baseline": np.zeros((n, count)),
        "path": np.tile(alphas / 2, (n, count, 1))[..., : 5 * walks],
        "credit": np.tile(alphas / 2, (n, count, 1))[..., : 5 * walks],
        "path_maps": (alphas[:, None, None] * ramp * np.ones((count, 1, 1, 1)))[:, : 5 * walks],
        "path_scale": np.arange(1.0, count + 1),
        "gap": np.full((n, count), 0.01 if walks else np.nan),
        "fills": fills,
        "fractions": np.linspace(0, 1, 5),
        "morf": morf,
        "lerf": morf[..., ::-1],
        "compared": (*baselines, *(f"{name}, untrained" for name in baselines)),
        "agreement": agreement,
        "convergence_size": np.array([8, 16, 32]),
        "convergence": np.full((n, count, 3), 0.9),
        "notes": (),
    }
    return Saliency(**(values | changed))


def texts(figure: Figure, **options: Any) -> list[str]:
    found = parsed(svg(figure, **options)).iter(f"{SVG}text")
    return [str(element.text).replace("\u202f", " ") for element in found]


def titles(figure: Figure) -> list[str]:
    return [str(element.text) for element in parsed(svg(figure)).iter(f"{SVG}title")]


def drawn(result: Saliency, pinned: Saliency | None = None, **view: Any) -> Figure:
    figure = result.plot()
    result.draw(figure, pinned=pinned, **view)
    return figure


def pictures(figure: Figure) -> list[tuple[float, np.ndarray]]:
    """The left edge (pixels of the widget) and the pixels of each image of the size of a map."""
    found = []
    for element in parsed(svg(figure)).iter(f"{SVG}image"):
        uri = str(element.get("{http://www.w3.org/1999/xlink}href"))
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        place = [float(v) for v in re.findall(r"-?[\d.]+", str(element.get("transform")))]
        if pixels.shape[:2] == (SIZE, SIZE):
            found.append((place[4] / 0.72, pixels[..., :3]))
    return found


# --- the picture ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (made_up(), made_up(("black",), n=3)),
        (made_up(("none",), "gradient"), made_up()),
        (made_up(method="rise"), made_up(("white", "blur"), score="log-odds")),
    ],
    ids=["fewer", "with baseline again", "path again"],
)
def test_drawn_twice_is_as_drawn_once(first: Saliency, second: Saliency) -> None:
    figure = drawn(first, made_up(), alpha=0.5, polarity="magnitude", scale="map", fill="white")
    second.draw(figure)
    assert normal(svg(figure)) == normal(svg(second.plot()))
    first.draw(figure)
    assert normal(svg(figure)) == normal(svg(first.plot()))


def test_image_and_maps_stand_side_by_side_in_their_own_pixels() -> None:
    result = made_up()
    found = pictures(result.plot())
    assert [round(left) for left, _ in found] == [2 + STEP * k for k in range(5)]
    expected = (result.images[0] * 255).round().transpose(1, 2, 0)
    np.testing.assert_array_equal(found[0][1], expected)


def test_blue_supports_orange_opposes_and_white_is_nothing() -> None:
    values = np.zeros((SIZE, SIZE))
    values[0, 0], values[0, 1] = 2.0, -2.0
    result = made_up(("black",), hyper_maps=values[None, None, None])
    (_, _), (_, pixels) = pictures(drawn(result, clip=100))
    assert (pixels[1:] == 255).all()
    red, _, blue = pixels[0, 0].astype(int)
    assert blue > red + 50
    red, _, blue = pixels[0, 1].astype(int)
    assert red > blue + 50
    positive, negative = (
        pictures(drawn(result, polarity=it))[1][1] for it in ("positive", "negative")
    )
    assert (positive[0, 1] == 255).all()
    assert (positive[0, 0] == pixels[0, 0]).all()
    assert (negative[0, 0] == 255).all()
    magnitude = pictures(drawn(result, polarity="magnitude"))[1][1]
    assert (magnitude[0, 0] == magnitude[0, 1]).all()


def test_maps_share_one_scale_unless_each_has_its_own() -> None:
    result = made_up()  # the last map is four times the first
    shared = [pixels for _, pixels in pictures(drawn(result, clip=100))[1:]]
    own = [pixels for _, pixels in pictures(drawn(result, clip=100, scale="map"))[1:]]
    assert (own[0] == own[3]).all()
    assert (shared[0] != shared[3]).any()
    assert (shared[3] == own[3]).all()
    words = texts(drawn(result, clip=100))
    assert {"+4.0", "supports", "−4.0", "one scale", "clip 100 %"} <= set(words)
    words = texts(drawn(result, clip=100, scale="map"))
    assert {"black ±1.0", "blur ±4.0", "own scales"} <= set(words)


def test_colours_end_at_the_percentile_asked_for() -> None:
    result = made_up(("black",))
    limit = float(np.percentile(np.abs(result.maps), 90))
    assert number(limit) in texts(drawn(result, clip=90))
    assert limit < 0.95


def test_alpha_moves_maps_and_cursor() -> None:
    result = made_up()
    half = drawn(result, alpha=0.5, clip=100)
    assert "│ α = 0.50" in texts(half)
    assert texts(half).count("so far") == 4
    assert texts(half).count("+0.25") == 4
    assert "gap" not in texts(half)
    assert Maps.on(half).charts.here.get_xdata()[0] == 0.5
    # On the scale of the whole, half of twice the ramp is the ramp.
    _, *maps = pictures(half)
    _, *finals = pictures(drawn(result, clip=100))
    np.testing.assert_array_equal(maps[1][1], finals[0][1])
    np.testing.assert_array_equal(maps[3][1], finals[1][1])


def test_the_image_between_is_shown_on_the_way_only() -> None:
    result = made_up(("black",))
    assert not Maps.on(drawn(result)).between[0].get_visible()
    between = Maps.on(drawn(result, alpha=0.25)).between[0]
    assert between.get_visible()
    pixels = np.asarray(between.get_array())
    assert (pixels[0] == pixels[0, 0]).all()  # a frame
    expected = (0.25 * result.images[0] * 255).round().transpose(1, 2, 0)
    np.testing.assert_array_equal(pixels[1:-1:2, 1:-1:2], expected)  # each pixel twice


def test_gap_and_neutrality_stand_below_each_map() -> None:
    words = texts(made_up().plot())
    assert words.count("2.0 %") == 4  # 0.01 of 0.5
    assert words.count("cat 33 %") == 4
    assert words.count("1.10 of 1.10") == 4  # ln 3
    assert {"✓ cat 70 %", "is explained", "baseline alone:"} <= set(words)
    assert any("sum of the map 0.510" in title for title in titles(made_up().plot()))
    other = made_up(target=np.array([1]), truth=np.array([2]))
    assert {"✗ cat 70 %", "explained: dog"} <= set(texts(other.plot()))


def test_the_table_has_the_untrained_network_apart_and_the_ceiling() -> None:
    words = texts(made_up().plot())
    assert words.count(".25") == 12
    assert words.count("1") == 4 + 1  # and the end of the axis of alpha
    assert words.count("−.01") == 4
    assert words.count(".90") == 4
    assert {"untr.", "ceil.", "untrained network, noise ceiling"} <= set(words)
    said = [title for title in titles(made_up().plot()) if title.startswith("black and ")]
    assert len(said) == 5
    assert said[1] == (
        "black and white: Spearman signed +0.25, magnitudes +0.25, top 10 % shared 25 %, SSIM 0.25"
    )
    assert "the untrained network: Spearman signed -0.01" in said[4]


@pytest.mark.parametrize(("fill", "mark"), list(zip(NAMES, "●▲■◆", strict=True)))
def test_the_fill_decides_which_map_falls_first(fill: str, mark: str) -> None:
    words = texts(drawn(made_up(), fill=fill, fraction=0.25))
    assert f"fill {fill}; falls first: {mark}" in words
    assert f"{mark} 0.10" in words
    assert "┄ 0.90" in words
    assert "25 %" in words


def test_random_orders_are_drawn_dotted_and_may_win() -> None:
    result = made_up()
    line = Maps.on(result.plot()).charts.random
    np.testing.assert_array_equal(line.get_ydata(), result.morf[0, -1, 2])
    assert line.get_linestyle() == ":"
    morf = result.morf.copy()
    morf[:, -1] = 0
    assert "fill mean; falls first: ┄" in texts(drawn(made_up(morf=morf)))


def test_methods_without_a_baseline_collapse_to_one_map_and_say_so() -> None:
    result = made_up(("none",), "gradient", convergence_size=np.zeros(0, int),
                     convergence=np.zeros((1, 1, 0)))  # fmt: skip
    figure = drawn(result, fill="own", alpha=0.5)
    assert len(pictures(figure)) == 2
    words = texts(figure)
    assert {"gradient compares with nothing:", "no baseline, so one map"} <= set(words)
    assert "untrained network" in words
    assert "ceil." not in words  # the same map each time
    assert "gradient walks no path" in words
    assert "baseline alone:" not in words
    assert "fill black; falls first: ●" in words  # there is no own one
    assert "nan" not in " ".join(words)


def test_methods_that_draw_show_how_two_draws_agree() -> None:
    figure = made_up(method="rise").plot()
    words = texts(figure)
    assert {"two draws agree (Spearman)", "8", "32"} <= set(words)
    np.testing.assert_allclose(Maps.on(figure).charts.lines[0][2].get_ydata(), 0.9)


def test_the_credit_of_a_cell_is_told_wherever_it_is_pointed_at() -> None:
    result = made_up(("black", "white"))
    said = [title for title in titles(result.plot()) if title.startswith("row ")]
    assert len(said) == 64
    corner = float(result.maps[0, 0, :2, :2].sum())
    assert said[0] == f"row 1, col 1: black {number(corner)}, white {number(2 * corner)}"
    halves = [title for title in titles(drawn(result, alpha=0.5)) if title.startswith("row ")]
    assert halves[0] == f"row 1, col 1: black {number(corner / 2)}, white {number(corner)}"
    # One area over the image and both maps.
    root = parsed(svg(result.plot()))
    (path,) = [p for p in root.iter(f"{SVG}path") if len(p) and p[0].text == said[0]]
    assert str(path.get("d")).count("M") == 3
    x, y = (float(v) for v in re.findall(r"[\d.]+", str(path.get("d")))[:2])
    assert (x, y) == pytest.approx((2 * 0.72, TOP * 0.72), abs=0.06)


def test_points_of_both_curves_say_their_numbers() -> None:
    said = titles(made_up(("black",)).plot())
    assert "α = 0.50: black 0.250, credit +0.250" in said
    assert "25 % deleted: black 0.750, random order 0.900" in said


def test_the_chosen_cell_is_marked_on_every_map() -> None:
    result, figure = made_up(("black", "white")), Figure()
    result.draw(figure, cell=(8, 1))
    drawing = Maps.on(figure)
    marks = [mark for mark in drawing.chosen if mark.get_visible()]
    assert len(marks) == 3
    assert [mark.get_x() for mark in marks] == [2, 2 + STEP, 2 + 2 * STEP]
    assert marks[0].get_y() == pytest.approx(TOP + SIDE * 7 / 8)
    result.draw(figure)
    assert not any(mark.get_visible() for mark in drawing.chosen)


def test_a_preview_is_marked_as_one() -> None:
    result = made_up()
    assert "≈ image 7" in texts(drawn(result, preview=True))
    assert "image 7" in texts(drawn(result))
    assert result.reading(preview=True) == f"≈ {result.reading()}"


def test_a_pin_of_the_same_image_is_outlined_and_of_another_not() -> None:
    result = made_up(("white", "noise"))
    for pinned, outlined in (
        (made_up(), True),
        (made_up(index=np.array([8])), False),
        (made_up(score="logit"), False),
        (made_up(target=np.array([1])), False),
    ):
        drawing = Maps.on(drawn(result, pinned))
        assert bool(len(drawing.ghosts[0].get_segments())) == outlined
        assert bool(len(drawing.charts.pinned[0][0].get_xdata())) == outlined
        assert bool(len(drawing.charts.pinned[1][0].get_xdata())) == outlined
        assert not len(drawing.ghosts[1].get_segments())  # noise was not pinned


@pytest.mark.parametrize("name", [HOSTILE, "$100 and $200", r"$\nonsense$", "a_b^c", "čáp\n"])
def test_a_class_may_have_any_name(name: str) -> None:
    result = made_up(classes=(name, "dog", "horse"))
    said = " ".join(texts(result.plot()))
    assert name.strip()[:9] in said
    assert result._repr_png_()[0].startswith(PNG)


def test_series_differ_without_colour() -> None:
    drawing = Maps.on(made_up().plot())
    for lines in (drawing.charts.lines[0], drawing.charts.lines[1], drawing.samples):
        assert len({str(line.get_marker()) for line in lines}) == 4
        assert len({str(line._dash_pattern) for line in lines}) == 4
    assert [line.get_color() for line in drawing.charts.lines[0]] == [
        line.get_color() for line in drawing.samples
    ]


@pytest.mark.parametrize("size", [(1, 5, 5), (3, 8, 20), (5, 32, 24)])
def test_images_of_any_size_fit(size: tuple[int, int, int]) -> None:
    channels, height, width = size
    ramp = np.linspace(-1, 1, height * width, dtype=np.float32).reshape(height, width)
    result = made_up(
        ("black", "white"),
        images=np.full((1, *size), 0.5, np.float32),
        baseline_images=np.zeros((1, 2, *size), np.float32),
        hyper_maps=np.stack([ramp, ramp])[None, None],
        untrained=np.zeros((1, 2, height, width)),
        path_maps=np.zeros((2, 5, height, width), np.float16),
    )
    figure = drawn(result, alpha=0.5)
    drawing = Maps.on(figure)
    left, right, bottom, top = drawing.maps[0].get_extent()
    assert max(right - left, bottom - top) == pytest.approx(SIDE)
    assert (right - left) / (bottom - top) == pytest.approx(width / height)
    cells = len([title for title in titles(figure) if title.startswith("row ")])
    assert cells == min(8, height) * min(8, width)
    assert channels


def test_no_text_leaves_the_picture() -> None:
    long = made_up(
        ("image-mean", "max-distance", "color:0.1,0.2,0.3", "expected"),
        classes=("a class with a very long name",) * 3,
        score="log-odds",
        target=np.array([1]),
        n=1,
    )
    for view in ({}, {"scale": "map"}, {"alpha": 0.5, "fill": "white"}):
        figure = drawn(long, **view)
        figure.dpi = 100
        figure.draw_without_rendering()
        for text in Maps.on(figure).canvas.axes.texts:
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                assert box.x0 >= -1, text.get_text()
                assert box.x1 <= WIDTH + 1, text.get_text()
                assert box.y0 >= -1, text.get_text()
                assert box.y1 <= HEIGHT + 1, text.get_text()


# --- what it stands on ----------------------------------------------------------------------


def test_cells_of_the_grid_add_up_to_the_map() -> None:
    maps = np.random.default_rng(0).random((2, 20, 13))
    cells = in_cells(maps)
    assert cells.shape == (2, 8, 8)
    np.testing.assert_allclose(cells.sum((1, 2)), maps.sum((1, 2)))
    rows, columns = edges(20), edges(13)
    expected = maps[1, rows[3] : rows[4], columns[6] : columns[7]].sum()
    assert cells[1, 3, 6] == pytest.approx(expected)


def test_an_outline_goes_round_what_is_inside() -> None:
    inside = np.zeros((4, 4), bool)
    inside[1:3, 1:3] = True
    lines = outline(inside)
    assert len(lines) == 8
    assert lines.min() == 1
    assert lines.max() == 3


def test_a_palette_is_made_of_colours_of_the_image() -> None:
    image = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    image[:, :10] = np.array([0.2, 0.4, 0.6], np.float32)[:, None, None]
    found = palette(image)
    assert len(found) == 6
    assert sum(share for _, share in found) == pytest.approx(1)
    assert found[0][0] == "color:0.2,0.4,0.6"
    assert found[0][1] > 0.6
    pixels = {tuple(pixel) for pixel in image.reshape(3, -1).T}
    for name, _ in found:
        values = torch.tensor([float(v) for v in name.removeprefix("color:").split(",")])
        assert tuple(values.numpy()) in pixels
    assert palette(image) == found
    assert len(palette(np.zeros((1, 4, 4), np.float32))) == 1


# --- the control for baselines --------------------------------------------------------------


def test_one_to_four_are_ticked() -> None:
    choices = Choices("fruit", "abcdef", "ab", most=3)
    boxes = {part.description: part for part in choices.children[1].children}
    seen: list[tuple[str, ...]] = []
    choices.observe(lambda change: seen.append(change["new"]), "value")
    boxes["e"].value = True
    assert choices.value == ("a", "b", "e")
    assert [name for name, box in boxes.items() if box.disabled] == ["c", "d", "f"]
    boxes["a"].value = boxes["b"].value = False
    assert not any(box.disabled for box in boxes.values())
    boxes["e"].value = False  # the last one stays
    assert choices.value == ("e",)
    assert boxes["e"].value
    choices.value = ["c", "a"]
    assert choices.value == ("a", "c")
    assert [name for name, box in boxes.items() if box.value] == ["a", "c"]
    assert seen == [("a", "b", "e"), ("b", "e"), ("e",), ("a", "c")]
    for bad in ([], ["z"], list("abcd")):
        with pytest.raises(traitlets.TraitError):
            choices.value = bad
    choices.disabled = True
    assert all(box.disabled for box in boxes.values())
    for part in [choices, *boxes.values()]:
        part.close()


# --- the widget -----------------------------------------------------------------------------


def textured() -> Subject:
    """Six images with black corners, under a small random network."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 3),
    )  # fmt: skip
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    images = torch.rand(6, 3, SIZE, SIZE, generator=generator)
    images[:, :, :4, :4] = 0
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    made = Subject(model, images, labels, classes=("cat", "dog", HOSTILE), name="small")
    return made.with_images(images, code="subject()")


SUBJECT = textured()
QUICK = {"index": 1, "steps": 16}


@pytest.fixture(autouse=True)
def everything_is_closed() -> Iterator[None]:
    before = set(_instances)
    yield
    for widget in [w for key, w in list(_instances.items()) if key not in before]:
        if isinstance(widget, Explorer):
            widget.close()
    for key in [key for key in list(_instances) if key not in before]:
        _instances[key].close()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SaliencyWidget]:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", 0.01)

    def made(**options: Any) -> SaliencyWidget:
        widget = SaliencyWidget(SUBJECT, **{"preset": QUICK} | options)
        widget.wait(LONG)
        return widget

    return made


@pytest.fixture
def widget(make: Callable[..., SaliencyWidget]) -> SaliencyWidget:
    return make()


def test_the_first_picture_has_all_its_parts(widget: SaliencyWidget) -> None:
    page = shown(widget)
    assert "<svg" in page
    assert "image 1" in widget.page.chips.value
    assert "predicted" in widget.page.chips.value
    assert "agree least: Spearman" in widget.page.readout.value
    assert "of the credit." in widget.page.readout.value  # the blind spot
    assert "ready" in widget.runner.status.value
    assert widget.result.baselines == NAMES
    assert_same(widget.result, saliency(SUBJECT, **QUICK))


def test_at_most_six_controls_are_unfolded(widget: SaliencyWidget) -> None:
    rows = [part for part in widget.page.swapped.children if part.layout.display != "none"]
    # Image, method, baselines, class, alpha, and fill with its fraction.
    assert len(rows) == 7
    assert widget.page.folded.layout.display == "none"
    button(widget, "▸ More").click()
    assert widget.page.swapped.layout.display == "none"
    button(widget, "◂ Back").click()
    assert widget.page.swapped.layout.display != "none"


@pytest.mark.parametrize(
    "view",
    [
        {"alpha": 0.5},
        {"polarity": "magnitude"},
        {"scale": "map"},
        {"clip": 92.5},
        {"fill": "white"},
        {"fraction": 0.3},
        {"cell": (1, 8)},
    ],
    ids=str,
)
def test_view_knobs_only_redraw(widget: SaliencyWidget, view: dict[str, Any]) -> None:
    before, result, page = len(widget.work.cache._memory), widget.result, shown(widget)
    assert widget.set(**view).wait(LONG) is result
    assert len(widget.work.cache._memory) == before
    assert shown(widget) != page


def test_a_preview_of_few_steps_comes_first_and_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    painted: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    class Watched(SaliencyWidget):
        def shown(self, result: Any) -> None:
            super().shown(result)
            painted.append((result.hyper, result.fills))

    widget = Watched(SUBJECT, preset=QUICK | {"fill": "white"})
    until(lambda: "≈ preview" in widget.runner.status.value)
    assert painted == [(("8 steps",), ("white",))]
    assert "≈ image 1" in widget.page.picture.live.svg
    assert 'aria-live="polite"><b>≈ ' in widget.page.readout.value
    widget.cancel()


def test_a_preview_of_a_large_image_has_no_controls_yet() -> None:
    images = torch.rand(2, 3, 72, 96, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    model(images)
    subject = Subject(model.eval(), images, [0, 1])
    widget = SaliencyWidget(subject, preset={"window": 9})
    knobs = widget.knobs()
    rough = saliency(subject, **widget.preview(knobs | {"method": "occlusion"}))
    assert (rough.hyper, rough.fills) == (("window 24, stride 24",), ())
    assert not rough.untrained.size
    assert "an untrained network follows" in rough.reading(preview=True)
    assert "no untrained network was asked for" in rough.reading()
    rough = saliency(subject, **widget.preview(knobs))
    assert rough.hyper == ("2 steps",)
    figure = Figure()
    rough.draw(figure, preview=True)
    assert len(widget.wait(LONG).fills) == 1  # the full one


def test_baselines_are_said_by_name_number_and_colour(widget: SaliencyWidget) -> None:
    widget.set(baselines=(PICKED, "blur", "black"), blur=20, colour=0)
    result = widget.wait(LONG)
    colour = palette(SUBJECT.images[1].numpy())[0][0]
    assert result.baselines == ("black", "blur:0.2", colour)
    pixels = SUBJECT.images[1].numpy() - result.baseline_images[0, 2]
    same = (pixels == 0).all(0)
    assert same.any()
    assert not result.maps[0, 2][same].any()  # blind to its own colour, exactly
    assert hex_code(colour) in shown(widget)
    assert "color:" not in widget.page.readout.value
    assert widget.set(blur=10).knobs()["baselines"][1] == "blur"
    with pytest.raises(ValueError, match="baselines has too few or too many: got 0"):
        widget.set(baselines=())


def test_the_blind_spot_is_of_the_baseline_that_most_pixels_have() -> None:
    images = np.full((1, 3, SIZE, SIZE), 0.5, np.float32)
    images[:, :, :4] = 1.0
    result = made_up(images=images)  # grey levels 0, 1/3, 2/3, 1
    assert result.blindest == 3
    assert result.reading().endswith(result.blind_spot(3))
    assert made_up(("none",), "gradient").blindest is None


@pytest.mark.parametrize("method", ["gradient", "occlusion", "rise", "gradcam", "smoothgrad"])
def test_every_method_shows_its_own_settings(
    make: Callable[..., SaliencyWidget], method: str
) -> None:
    widget = make(preset=QUICK | {"method": method, "masks": 100, "fill": "own"})
    own = {"occlusion": {"window", "stride"}, "rise": {"masks", "grid"}, "gradcam": {"layer"},
           "smoothgrad": {"steps", "noise"}, "gradient": set()}[method]  # fmt: skip
    names = {"steps", "noise", "window", "stride", "masks", "grid", "layer"}
    assert {n for n in names if widget.controls[n].layout.display != "none"} == own
    assert "<svg" in shown(widget)
    assert widget.result.method == method
    if not widget.result.has_baseline:
        assert "compares with nothing" in shown(widget)


def test_none_is_what_the_analysis_chooses_itself(widget: SaliencyWidget) -> None:
    for name in ("window", "stride", "layer", "images"):
        assert widget.state()[name] is None
    assert widget.set(window=2, stride=1).state()["window"] == 2
    assert widget.set(window=None, stride=None).state()["window"] is None
    result = widget.set(method="occlusion", baselines=("white",)).wait(LONG)
    assert (result.window, result.stride) == (SIZE // 4, SIZE // 8)
    assert widget.controls["window"].value is None
    assert widget.controls["window"].inner.value == SIZE // 4
    assert widget.controls["stride"].inner.value == SIZE // 8
    result = widget.set(method="gradcam").wait(LONG)
    assert widget.controls["layer"].inner.value == result.layer == "1"
    widget.controls["window"].inner.value = 3  # by hand
    assert widget.state()["window"] == 3


def test_many_images_are_averaged_as_a_job(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(preset={"steps": 8, "baselines": ("black",)})
    assert widget.controls["images"].inner.options == (("6", 6),)  # there are but six images
    result = widget.set(images=3).wait(LONG)
    assert len(result.index) == 3
    assert "3 images" in widget.page.chips.value
    assert "n = 3" in shown(widget)


def test_classes_are_offered_by_probability(widget: SaliencyWidget) -> None:
    p = widget.result.probabilities[0]
    classes = [value for _, value in widget.controls["target"].options[3:]]
    assert classes == np.argsort(-p).tolist()
    least = classes[-1]
    assert widget.set(target=SUBJECT.classes[least]).wait(LONG).target[0] == least
    assert widget.controls["target"].value == least
    widget.set(index=2).wait(LONG)
    assert widget.controls["target"].value == least


def test_a_cell_is_chosen_and_told_for_every_baseline(widget: SaliencyWidget) -> None:
    chooser = widget.controls["cell"]
    chooser.row.value, chooser.column.value = 8, 2
    assert widget.state()["cell"] == (8, 2)
    result = widget.wait(LONG)
    credit = in_cells(result.maps[0])[:, 7, 1]
    for name, value in zip(NAMES, credit, strict=True):
        assert f"{name} {number(value)}" in widget.credit.told.value
    assert_harmless(widget.credit.told.value)
    widget.set(alpha=0.0).wait(LONG)
    assert "row 8, col 2: black 0, white 0, mean 0, blur 0" in widget.credit.told.value


def test_alpha_plays_only_when_asked(widget: SaliencyWidget) -> None:
    assert not widget.player.play.playing
    button(widget, "Play").click()
    assert widget.player.play.playing
    assert widget.state()["alpha"] == 0.0  # from the beginning
    widget.player.play.value = 4  # as the browser does
    assert widget.state()["alpha"] == 0.25
    widget.controls["alpha"].value = 0.75  # by hand
    assert not widget.player.play.playing
    assert widget.player.play.value == 12
    button(widget, "Play").click()
    button(widget, "Stop").click()
    assert not widget.player.play.playing


def test_alpha_rests_where_there_is_no_path(widget: SaliencyWidget) -> None:
    play = button(widget, "Play")
    play.click()
    for method, walks in (("occlusion", False), ("ig", True)):
        widget.set(method=method).wait(LONG)
        assert (widget.controls["alpha"].disabled, play.disabled) == (not walks, not walks)
        assert not widget.player.play.playing


def test_its_code_gives_the_same_numbers(
    widget: SaliencyWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.set(method="occlusion", baselines=("white", PICKED), target="dog", fill="own").wait(LONG)
    names: dict[str, Any] = {"subject": textured}
    exec(widget.code(), names)
    assert_same(names["result"], widget.result)


def test_teachers_preset_hide_and_lock(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(
        preset=QUICK | {"alpha": 0.5, "baselines": ("black", "uniform")},
        hide=["fill", "steps"],
        lock={"method": "ig", "baselines": ("black", "uniform"), "index": 1, "alpha": 0.5},
    )
    widget.wait(LONG)
    assert widget.controls["alpha"].disabled
    assert widget.state()["alpha"] == 0.5
    assert widget.controls["steps"].layout.display == "none"
    assert widget.controls["fill"].layout.display == "none"
    assert all(box.disabled for box in widget.controls["baselines"].children[1].children)
    button(widget, "Reset").click()
    assert widget.state()["alpha"] == 0.5


def test_the_trail_keeps_settings_but_not_every_alpha(widget: SaliencyWidget) -> None:
    for alpha in (0.25, 0.5):
        widget.set(alpha=alpha).wait(LONG)
    widget.set(polarity="magnitude").wait(LONG)
    assert [label for label, _ in widget.page.trail.options] == ["as at the start"]
    widget.set(seed=1, alpha=1.0, polarity="signed").wait(LONG)
    assert [label for label, _ in widget.page.trail.options] == ["seed 1", "as at the start"]


def test_a_view_cancels_no_job_and_is_shown_while_it_runs(
    make: Callable[..., SaliencyWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = make(preset=QUICK)
    begun, go_on = threading.Event(), threading.Event()
    whole = widget.work.compute

    def slow(progress: Any, knobs: dict[str, Any]) -> Any:
        begun.set()
        ended = time.monotonic() + LONG
        while not go_on.is_set() and time.monotonic() < ended:
            progress(1, 2)
            time.sleep(0.01)
        return whole(progress, knobs)

    monkeypatch.setattr(widget.work, "compute", slow)
    widget.controls["images"].value = 6
    assert begun.wait(LONG)
    time.sleep(1.2)  # longer than a job may go on when something newer waits
    widget.controls["fraction"].value = 0.3
    until(lambda: "30\u202f%" in re.findall(r">([^<]*)</text>", widget.page.picture.live.svg))
    go_on.set()
    assert len(widget.wait(LONG).index) == 6
    assert "30\u202f%" in re.findall(r">([^<]*)</text>", widget.page.picture.live.svg)


def test_a_pin_is_compared_with_no_preview(
    make: Callable[..., SaliencyWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = make()
    button(widget, "Pin").click()
    until(lambda: "Against the pin" in widget.page.readout.value)
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    widget.set(seed=1)
    until(lambda: "≈ preview" in widget.runner.status.value)
    widget.controls["clip"].value = 92.5  # painted again, still a preview
    until(lambda: "clip 92.5\u202f%" in widget.page.picture.live.svg)
    assert "Against the pin" not in widget.page.readout.value
    widget.cancel()


def test_what_is_not_said_yet_is_told_under_help(make: Callable[..., SaliencyWidget]) -> None:
    widget = make()
    button(widget, "Help").click()
    assert "mean is (" in widget.page.help.value
    assert "Blue supports" in widget.page.help.value


def test_pin_and_export(widget: SaliencyWidget, tmp_path: Any) -> None:
    button(widget, "Pin").click()
    widget.set(steps=8).wait(LONG)
    assert "Against the pin" in widget.page.readout.value
    for kind, beginning in (
        ("png", PNG),
        ("svg", b"<svg"),
        ("csv", b"image,method"),
        ("json", b"{"),
    ):
        assert widget.export(kind, tmp_path).read_bytes().startswith(beginning)


def test_close_leaves_nothing(make: Callable[..., SaliencyWidget]) -> None:
    make().close()  # what is made once per process is made
    before = set(_instances)
    widget = make()
    assert len(_instances) > len(before) + 100
    widget.close()
    assert set(_instances) == before


def test_an_error_is_a_card_that_names_the_fix(make: Callable[..., SaliencyWidget]) -> None:
    blocked = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 3))
    subject = Subject(blocked, SUBJECT.images, SUBJECT.labels)
    widget = SaliencyWidget(subject, preset={"steps": 8})
    widget.wait(LONG)
    widget.set(method="gradcam")
    with pytest.raises(ValueError, match="needs a layer with a spatial map"):
        widget.wait(LONG)
    assert 'role="alert"' in shown(widget)
    assert "<svg" in shown(widget)
    widget.set(method="ig").wait(LONG)
    assert 'role="alert"' not in shown(widget)


def test_everything_from_outside_is_escaped(widget: SaliencyWidget) -> None:
    widget.set(index=2, target=HOSTILE).wait(LONG)
    page = shown(widget)
    assert_harmless(page)
    assert "<img" not in widget.page.picture.live.svg


def test_every_control_has_a_name(widget: SaliencyWidget) -> None:
    for part in parts(widget):
        if hasattr(part, "value") and not isinstance(part, W.HTML | W.IntProgress | W.Box):
            assert part.description or part.tooltip, part
    assert widget.page.picture.live.alt
