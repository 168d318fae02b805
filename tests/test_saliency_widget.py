"""What the picture of a saliency analysis shows, and what its widget computes and what it draws."""

import base64
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ipywidgets as W
import numpy as np
import pytest
import torch
import traitlets
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure
from matplotlib.path import Path as Line
from PIL import Image
from torch import nn

from reliab_widgets import Explorer, Subject
from reliab_widgets.analyses.saliency.charts import DeletionCurves, Way
from reliab_widgets.analyses.saliency.compute import saliency
from reliab_widgets.analyses.saliency.drawing import SIDE, TOP, Maps, Narrow
from reliab_widgets.analyses.saliency.panels import Deletion, Drawn, Path
from reliab_widgets.analyses.saliency.result import Saliency
from reliab_widgets.analyses.saliency.table import Agreement
from reliab_widgets.analyses.saliency.values import number
from reliab_widgets.analyses.saliency.widget import PICKED, SaliencyWidget
from reliab_widgets.core.drawing import png, svg
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
    """The left edge (pixels of the page) and the pixels of each image of the size of a map."""
    found = []
    for element in parsed(svg(figure)).iter(f"{SVG}image"):
        uri = str(element.get("{http://www.w3.org/1999/xlink}href"))
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        place = [float(v) for v in re.findall(r"-?[\d.]+", str(element.get("transform")))]
        if pixels.shape[:2] == (SIZE, SIZE) and place[0] * SIZE > SIDE / 2:  # no swatch
            found.append((place[4], pixels[..., :3]))
    return found


def is_pale(pixels: np.ndarray) -> bool:
    return bool(np.abs(pixels.astype(int) - (0xF7, 0xF7, 0xF5)).max() <= 1)


def off(result: Saliency, *shares: float) -> Saliency:
    """The same with gaps that are such shares of the change, by baseline."""
    due = np.abs(result.scores_clean[:, None] - result.scores_baseline)
    gap = np.zeros_like(due)
    gap[:, : len(shares)] = np.array(shares) * due[:, : len(shares)]
    return replace(result, gap=gap)


# --- the picture ----------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["maps", "agreement", "deletion", "path"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (made_up(), made_up(("black",), n=3)),
        (made_up(("none",), "gradient"), made_up()),
        (made_up(method="rise"), made_up(("white", "blur"), score="log-odds")),
        (off(made_up(), 0.5, 0.5, 0.5, 0.5), made_up()),
    ],
    ids=["fewer", "with baseline again", "path again", "told again"],
)
def test_drawn_twice_is_as_drawn_once(first: Saliency, second: Saliency, part: str) -> None:
    figure = drawn(first, made_up(), part=part, alpha=0.5, polarity="magnitude", fill="white")
    for result in (second, first):
        result.draw(figure, part=part)
        assert normal(svg(figure)) == normal(svg(result.plot(part=part)))


def test_image_and_two_maps_stand_side_by_side_in_their_own_pixels() -> None:
    result = made_up()
    found = pictures(result.plot())
    assert [round(left) for left, _ in found] == list(Maps.lefts)
    expected = (result.images[0] * 255).round().transpose(1, 2, 0)
    np.testing.assert_array_equal(found[0][1], expected)
    assert {"Compared with black", "Compared with white"} <= set(texts(result.plot()))
    other = drawn(result, pair=(3, 1))
    assert {"Compared with blur", "Compared with white"} <= set(texts(other))


def test_blue_supports_orange_opposes_and_nothing_is_pale() -> None:
    values = np.zeros((SIZE, SIZE))
    values[0, 0], values[0, 1] = 2.0, -2.0
    result = made_up(("black",), hyper_maps=values[None, None, None])
    (_, _), (_, pixels) = pictures(drawn(result, clip=100))
    assert is_pale(pixels[1:])
    assert tuple(pixels[0, 0]) == (0x0B, 0x45, 0x95)
    assert tuple(pixels[0, 1]) == (0xD4, 0x74, 0x2A)
    positive, negative = (
        pictures(drawn(result, polarity=it))[1][1] for it in ("positive", "negative")
    )
    assert (positive[0, 1] == pixels[1, 1]).all()
    assert (positive[0, 0] == pixels[0, 0]).all()
    assert (negative[0, 0] == pixels[1, 1]).all()
    magnitude = pictures(drawn(result, polarity="magnitude"))[1][1]
    assert (magnitude[0, 0] == magnitude[0, 1]).all()


def test_what_opposes_beyond_a_third_of_the_scale_carries_a_dot() -> None:
    values = np.zeros((SIZE, SIZE))
    values[3, 5], values[4, 5], values[5, 5] = -3.0, -0.99, 3.0
    result = made_up(("black",), hyper_maps=values[None, None, None])
    (_, column, _) = Maps.on(drawn(result, clip=100)).columns
    corners = column.dots.patch.get_path().vertices
    side = SIDE / SIZE
    np.testing.assert_allclose(corners.mean(0)[0], Maps.lefts[1] + 5.5 * side, atol=side / 5)
    assert corners[:, 1].min() == pytest.approx(TOP + 3.4 * side)  # a fifth of the side
    assert corners[:, 1].max() == pytest.approx(TOP + 3.6 * side)
    assert len(corners) == 5
    (_, column, _) = Maps.on(drawn(result, clip=100, polarity="magnitude")).columns
    assert not column.dots.patch.get_visible()


def test_a_dark_page_gets_maps_of_its_own() -> None:
    figure = made_up(("black", "white")).plot()
    plain, themed = svg(figure), svg(figure, themed=True)
    for number_ in range(2, 6):  # two maps and their bars; the image stands in the first column
        assert f"rw-light-{number_}" in themed
        assert f"rw-dark-{number_}" in themed
        assert f"rw-dark-{number_}" not in plain
    assert normal(svg(figure)) == normal(plain)
    assert png(figure).startswith(PNG)


def test_each_map_has_its_own_scale_unless_they_share_one() -> None:
    result = made_up()  # the last map is four times the first
    own = [pixels for _, pixels in pictures(drawn(result, clip=100, pair=(0, 3)))[1:]]
    figure = drawn(result, clip=100, pair=(0, 3), scale="shared")
    shared = [pixels for _, pixels in pictures(figure)[1:]]
    assert (own[0] == own[1]).all()
    assert (shared[0] != shared[1]).any()
    assert (shared[1] == own[1]).all()
    assert texts(figure).count("+4.00 supports") == 2
    words = texts(drawn(result, clip=100, pair=(0, 3)))
    assert {"· opposes −1.00", "+1.00 supports", "+4.00 supports"} <= set(words)


def test_colours_end_at_the_percentile_asked_for() -> None:
    result = made_up(("black",))
    limit = float(np.percentile(np.abs(result.maps), 90))
    assert f"{number(limit)} supports" in texts(drawn(result, clip=90))
    assert limit < 0.95


def test_alpha_moves_maps_and_what_is_said_of_them() -> None:
    result = made_up()
    half = drawn(result, alpha=0.5, clip=100)
    # Half of the map on the scale of the whole.
    _, *maps = pictures(half)
    _, *finals = pictures(drawn(result, clip=100))
    assert (maps[0][1] != finals[0][1]).any()
    ramp = np.linspace(-0.5, 0.5, SIZE * SIZE).reshape(SIZE, SIZE)
    expected = pictures(drawn(made_up(hyper_maps=np.stack([ramp] * 4)[None, None],
                                      path_maps=np.zeros((4, 5, SIZE, SIZE))),
                              clip=100, scale="map"))  # fmt: skip
    assert (expected[1][1] == finals[0][1]).all()
    words = texts(half)
    assert "1.00" in words  # ρ of two ramps so far, not the 0.25 of the whole maps
    assert "0.25" not in words
    assert "half the steps" not in words  # controls are of the whole way
    assert "0.25" in texts(drawn(result))
    said = result.reading(alpha=0.5)
    assert said.startswith(
        "At α = 0.50 on the way from “nothing” to the image the two maps hold 50 % and 50 % of "
        "the change in p(cat). So far ρ = 1.00."
    )
    assert "none" not in said
    assert "So far" not in result.reading(alpha=0.0)


def test_maps_that_are_empty_say_why() -> None:
    result = made_up()
    for alpha, told in ((0.0, 2), (0.01, 2), (0.25, 0), (1.0, 0)):  # 0.01 is nearest to step 0
        words = texts(drawn(result, alpha=alpha))
        assert words.count("At α = 0 nothing has been") == told
        assert ("Nothing to compare" in words) == bool(told)
    assert "Nothing to compare" not in texts(drawn(result, alpha=0.0, versus="untrained"))


def test_the_ruler_has_the_pair_and_its_controls() -> None:
    figure = made_up().plot()
    words = texts(figure)
    assert {"Do the two maps agree?", "same", "unrelated", "opposite"} <= set(words)
    assert {"0.25", "black and white", "−0.01", "untrained net", "0.90", "half the steps"} <= set(
        words
    )
    assert "Spearman’s ρ over 256 pixels" in words
    ruler = Maps.on(figure).ruler
    low, high = ruler.line.get_ydata()
    assert ruler.dot.get_ydata()[0] == pytest.approx(low + (1 + 0.25) / 2 * (high - low))
    lying = Narrow.on(drawn(made_up(), narrow=True)).ruler
    left, right = lying.line.get_xdata()
    assert lying.dot.get_xdata()[0] == pytest.approx(left + (1 + 0.25) / 2 * (right - left))
    said = [title for title in titles(figure) if title.startswith("black and white")]
    assert said == [
        "black and white: ρ = 0.25, of magnitudes 0.25, top 10 % shared 40.0 %, SSIM 0.25"
    ]
    many = texts(made_up(n=3).plot())
    assert "3 images, mean; □ control" in many
    assert {"drawn twice"} <= set(texts(made_up(method="rise").plot()))


def test_a_control_can_be_looked_at() -> None:
    untrained = np.zeros((1, 4, SIZE, SIZE))
    untrained[0, 0, 0, 0] = 1.0
    result = made_up(untrained=untrained)
    figure = drawn(result, versus="untrained", clip=100)
    words = texts(figure)
    assert {"The same, untrained", "Compared with black", "0.25", "−0.01"} <= set(words)
    (_, _), (_, _), (_, pixels) = pictures(figure)
    assert tuple(pixels[0, 0]) == (0x0B, 0x45, 0x95)
    assert is_pale(pixels[1:])
    said = result.reading(versus="untrained")
    assert said.startswith(
        "The maps of the trained and the untrained network are unrelated (ρ = −0.01)."
    )
    marks = [g.get("id") for g in parsed(svg(figure)).iter(f"{SVG}g")]
    assert {"versus:baseline", "versus:untrained"} <= set(marks)


@pytest.mark.parametrize(
    ("gaps", "preview", "way"),
    [
        ((0.93, 0.9), True, "Follows with the full map."),
        ((0.21, 0.0), False, "Take more steps (all settings)."),
    ],
)
def test_nothing_is_derived_from_maps_that_do_not_add_up(
    gaps: tuple[float, float], preview: bool, way: str
) -> None:
    result = off(made_up(), *gaps)
    figure = drawn(result, preview=preview)
    words = texts(figure)
    told = " and ".join(f"{gap * 100:.0f} %" for gap in gaps)
    assert {"Not told:", "the maps do not add up,", f"gap {told}.", way} <= set(words)
    assert not {"0.25", "half the steps", "untrained net", "same", "opposite"} & set(words)
    assert f"not told, gap {gaps[0] * 100:.0f} %" in words
    assert len(pictures(figure)) == 3  # the maps themselves are drawn
    cell = Maps.on(figure).grids["cell"].texts[0]
    assert "black not told" in cell
    assert ("white not told" in cell) == (gaps[1] > 0.2)
    # Maps that are complete are told.
    assert "0.25" in texts(drawn(result, pair=(2, 3)))
    table = texts(drawn(result, part="agreement"))
    rest = 1 + (0 if gaps[1] > 0.2 else 2)
    assert table.count("+0.25") == rest
    assert table.count("gap") == (6 - rest) + 2 * sum(gap > 0.2 for gap in gaps)
    curves = texts(drawn(result, part="deletion"))
    assert "black map" not in curves
    assert {"mean map", "blur map", "random order"} <= set(curves)
    none = texts(drawn(off(made_up(), 1, 1, 1, 1), part="deletion"))
    assert "Not told: the maps do not add up." in none
    assert "random order" not in none


def test_the_credit_of_a_pixel_stands_below_both_maps() -> None:
    result = made_up(("black", "white"))
    words = texts(drawn(result, cell=(1, 2)))
    value = float(result.maps[0, 0, 0, 1])
    assert {f"{number(value)} opposes cat", f"{number(2 * value)} opposes cat"} <= set(words)
    assert "this pixel" in words
    grid = Maps.on(drawn(result, cell=(16, 16))).grids["cell"]
    assert (grid.rows, grid.columns, grid.row, grid.column) == (16, 16, 15, 15)
    assert grid.texts[-1] == "row 16, column 16: black +1.00, white +2.00"
    half = Maps.on(drawn(result, alpha=0.5)).grids["cell"]
    assert half.texts[-1] == "row 16, column 16: black +0.50, white +1.00"


def test_the_ring_begins_where_the_maps_disagree_most() -> None:
    maps = np.zeros((2, SIZE, SIZE))
    maps[0, 2, 3], maps[1, 2, 3] = -1.0, 0.5
    maps[0, 7, 7], maps[1, 7, 7] = 1.0, 1.0
    result = made_up(("black", "white"), hyper_maps=maps[None, None])
    drawing = Maps.on(result.plot())
    assert (drawing.grids["cell"].row, drawing.grids["cell"].column) == (2, 3)
    side = SIDE / SIZE
    for left, ring in zip(Maps.lefts, drawing.rings, strict=True):
        assert ring.get_x() + ring.get_width() / 2 == pytest.approx(left + 3.5 * side)
        assert ring.get_y() + ring.get_height() / 2 == pytest.approx(TOP + 2.5 * side)
    one = Maps.on(drawn(made_up(("black",))))
    assert [ring.get_visible() for ring in one.rings] == [True, True, False]


def test_cells_of_a_large_image_can_be_hit() -> None:
    maps = np.ones((1, 1, 1, 224, 112))
    result = made_up(
        ("black",),
        images=np.zeros((1, 3, 224, 112), np.float32),
        baseline_images=np.zeros((1, 1, 3, 224, 112), np.float32),
        hyper_maps=maps,
        untrained=np.zeros((1, 1, 224, 112)),
        path_maps=np.zeros((1, 5, 224, 112)),
    )
    figure = drawn(result, cell=(32, 1))
    grid = Maps.on(figure).grids["cell"]
    assert (grid.rows, grid.columns) == (32, 32)
    assert grid.texts[0] == "row 1, column 1: black +28.0"  # 7 x 4 pixels
    assert "this cell" in texts(figure)


def test_the_triangle_has_every_pair_and_the_controls_apart() -> None:
    figure = drawn(made_up(), part="agreement", pair=(2, 1))
    words = texts(figure)
    assert words.count("+0.25") == 6
    assert words.count("−0.01") == 4
    assert words.count("0.90") == 4
    assert {"untrained", "half steps"} <= set(words)
    said = [title for title in titles(figure) if title.startswith("black and white")]
    assert said == [
        "black and white: ρ = 0.25, of magnitudes 0.25, top 10 % shared 40.0 %, SSIM 0.25"
    ]
    marks = {g.get("id") for g in parsed(svg(figure)).iter(f"{SVG}g")}
    assert {"pair:0,1", "pair:2,3", "pair:0,untrained"} <= marks
    drawing = Agreement.on(figure)
    box = drawing.cells[2, 1][0]
    assert (drawing.chosen.get_x(), drawing.chosen.get_y()) == (box.get_x(), box.get_y())
    bare = made_up(untrained=np.zeros((1, 0, SIZE, SIZE)), compared=NAMES,
                   agreement=made_up().agreement[:, :, :4, :4])  # fmt: skip
    assert "untrained" not in texts(drawn(bare, part="agreement"))


@pytest.mark.parametrize("fill", NAMES)
def test_the_fill_decides_which_map_falls_first(fill: str) -> None:
    figure = drawn(made_up(), part="deletion", fill=fill, fraction=0.25)
    words = texts(figure)
    assert DeletionCurves.on(figure).notes[-1].get_text() == f"{fill} map"
    assert "at 25 % replaced" in words
    rows = [it[0].get_text() for it in DeletionCurves.on(figure).rows]
    assert rows == ["0.90", "0.75", "0.75", "0.75", "0.10"]
    names = [it[1].get_text() for it in DeletionCurves.on(figure).rows]
    assert (names[0], names[-1]) == ("random order", f"{fill} map")


def test_random_orders_are_drawn_dotted_and_may_win() -> None:
    result = made_up()
    drawing = DeletionCurves.on(drawn(result, part="deletion"))
    np.testing.assert_array_equal(drawing.random.get_ydata(), result.morf[0, -1, 2])
    assert drawing.handles["fraction"].value == 0.1
    assert drawing.handles["fraction"].high == 0.5
    morf = result.morf.copy()
    morf[:, -1] = 0
    won = DeletionCurves.on(drawn(made_up(morf=morf), part="deletion"))
    assert won.notes[-1].get_text() == "random order"
    assert DeletionCurves.on(drawn(result, part="deletion", fraction=0.7)).handles[
        "fraction"
    ].high == 1.0  # fmt: skip


def test_methods_without_a_baseline_have_one_map_and_say_so() -> None:
    result = made_up(("none",), "gradcam", convergence_size=np.zeros(0, int),
                     convergence=np.zeros((1, 1, 0)))  # fmt: skip
    figure = drawn(result, fill="own", alpha=0.5)
    assert len(pictures(figure)) == 2
    words = texts(figure)
    assert {"By Grad-CAM", "Grad-CAM compares", "with no “nothing”:", "one map."} <= set(words)
    assert "untrained net" in words
    assert "drawn twice" not in words  # the same map each time
    assert "Grad-CAM walks no path" in texts(drawn(result, part="path"))
    assert "Grad-CAM map" in texts(drawn(result, part="deletion", fill="own"))
    for part in ("maps", "agreement", "deletion", "path"):
        assert "nan" not in " ".join(texts(drawn(result, part=part)))


def test_the_path_has_the_images_between_and_a_handle() -> None:
    result = made_up()
    figure = drawn(result, part="path", alpha=0.25, pair=(1, 3))
    drawing = Way.on(figure)
    assert drawing.cut.get_xdata()[0] == 0.25
    assert drawing.handles["alpha"].value == 0.25
    np.testing.assert_array_equal(drawing.curves[0].get_ydata(), result.path[0, 1])
    grey = result.baseline_images[0, 1]
    expected = ((grey + 0.25 * (result.images[0] - grey)) * 255).round().transpose(1, 2, 0)
    np.testing.assert_array_equal(np.asarray(drawing.between[0].get_array()), expected)
    assert {"at α = 0.25", "from white", "from blur", "+0.12"} <= set(texts(figure))


def test_curves_of_the_path_have_their_names_beside_them() -> None:
    """Each curve says from which “nothing” it comes; the ring's line comes to none of them."""
    alphas = np.linspace(0, 1, 17)
    powers = np.stack([alphas**it for it in (0.15, 0.5, 1.5, 6)])[None]
    result = made_up(path=powers, credit=powers)
    for alpha in (0, 0.25, 0.5, 1):
        figure = drawn(result, part="path", alpha=alpha, pair=(0, 3))
        figure.draw_without_rendering()
        drawing = Way.on(figure)
        names = [it for it in drawing.called if it.get_text()]
        assert {it.get_text() for it in names} == {"black", "white", "mean", "blur"}
        bold = {it.get_text() for it in names if it.get_fontweight() == "bold"}
        assert bold == {"black", "blur"}
        lines = [*drawing.curves, *drawing.others, drawing.cut]
        drawn_at = [it.get_transform().transform(it.get_xydata()) for it in lines]
        for text in names:
            box = text.get_window_extent()
            assert not any(
                Line(it).intersects_bbox(box, filled=False) for it in drawn_at if len(it)
            )


def test_methods_that_draw_show_how_two_draws_agree() -> None:
    figure = drawn(made_up(method="rise"), part="path")
    assert {"ρ of two draws", "8", "32"} <= set(texts(figure))
    np.testing.assert_allclose(Way.on(figure).curves[0].get_ydata(), 0.9)
    assert not Way.on(figure).handles


def test_a_pin_of_the_same_image_is_outlined_and_of_another_not() -> None:
    result = made_up(("white", "noise"))
    for pinned, outlined in (
        (made_up(), True),
        (made_up(index=np.array([8])), False),
        (made_up(score="logit"), False),
        (made_up(target=np.array([1])), False),
    ):
        _, first, second = Maps.on(drawn(result, pinned)).columns
        assert first.ghost.patch.get_visible() == outlined
        assert not second.ghost.patch.get_visible()  # noise was not pinned
        curves = DeletionCurves.on(drawn(result, pinned, part="deletion")).pinned
        assert bool(len(curves[0].get_xdata())) == outlined
        assert not len(curves[1].get_xdata())
    assert "pinned" in texts(drawn(made_up(), made_up()))
    assert "pinned" not in texts(drawn(made_up(), off(made_up(), 0.5)))


def test_a_map_stands_between_the_one_behind_and_its_control() -> None:
    def result(sign: float, subject: str) -> Saliency:
        ramp = np.linspace(-1, 1, SIZE * SIZE).reshape(SIZE, SIZE)
        ramp[0, 0] = 1.0  # of the first and the third, and -1 of the second
        maps = np.stack([sign * ramp, ramp])[None, None].astype(np.float32)
        return made_up(("black", "white"), subject=subject, hyper_maps=maps, score="logit")

    behind, now, control = (
        result(1.0, "net"), result(-1.0, "net, attacked"), result(1.0, "net, signs"),
    )  # fmt: skip
    figure = now.plot(pinned=behind, control=control, versus="behind", clip=100)
    (zero, first), (_, second), (_, third) = pictures(figure)
    assert zero < SIDE / 2  # where the image would be
    assert (first == third).all()
    assert (first != second).any()
    words = texts(figure)
    assert {"net", "attacked", "Control: signs", "Like that of net?", "−1.00", "1.00"} <= set(words)
    assert "The image" not in words
    assert {"ρ over 256 pixels, 1 image", "in logit of cat, from black"} <= set(words)
    (grid,) = Maps.on(figure).grids.values()
    assert grid.texts[0] == "row 1, column 1: net +1.00, attacked −1.00, signs +1.00"
    assert (
        now.against(behind, versus="behind")
        == "Against net: the maps contradict each other (ρ = −1.00)."
    )
    assert now.reading(versus="behind").startswith(
        "The maps explain the logit of cat, compared with black. Controls: an untrained net"
    )


@pytest.mark.parametrize(
    "behind",
    [
        None,
        made_up(index=np.array([8])),
        made_up(target=np.array([1])),
        made_up(score="logit"),
        made_up(("noise",)),
    ],
)
def test_without_a_map_to_stand_beside_there_are_two_nothings(behind: Saliency | None) -> None:
    words = texts(drawn(made_up(), behind, versus="behind", control=made_up()))
    assert {"The image", "Compared with black", "Compared with white"} <= set(words)


def test_the_ring_on_the_ruler_shows_the_map_behind() -> None:
    def marks(behind: Saliency) -> set[str | None]:
        return {g.get("id") for g in parsed(svg(drawn(made_up(), behind))).iter(f"{SVG}g")}

    assert "versus:behind" in marks(made_up(subject="other"))
    assert "versus:behind" not in marks(made_up(("noise", "blur")))


@pytest.mark.parametrize("name", [HOSTILE, "$100 and $200", r"$\nonsense$", "a_b^c", "čáp\n"])
def test_a_class_may_have_any_name(name: str) -> None:
    result = made_up(classes=(name, "dog", "horse"))
    said = " ".join(texts(result.plot()))
    assert name.strip()[:9] in said
    assert result._repr_png_()[0].startswith(PNG)


def test_series_differ_without_colour() -> None:
    for drawing in (
        DeletionCurves.on(made_up().plot(part="deletion")),
        Way.on(made_up().plot(part="path")),
    ):
        first, second = drawing.curves
        assert str(first._dash_pattern) != str(second._dash_pattern)
        assert drawing.others[0].get_linewidth() < first.get_linewidth()
    deletion = DeletionCurves.on(made_up().plot(part="deletion"))
    assert str(deletion.random._dash_pattern) != str(deletion.curves[1]._dash_pattern)
    assert deletion.square.get_marker() != deletion.points[0].get_marker()
    assert len({it.get_markerfacecolor() for it in deletion.points}) == 2


@pytest.mark.parametrize("size", [(1, 5, 5), (3, 8, 20), (5, 40, 24)])
def test_images_of_any_size_fit(size: tuple[int, int, int]) -> None:
    _, height, width = size
    ramp = np.linspace(-1, 1, height * width, dtype=np.float32).reshape(height, width)
    result = made_up(
        ("black", "white"),
        images=np.full((1, *size), 0.5, np.float32),
        baseline_images=np.zeros((1, 2, *size), np.float32),
        hyper_maps=np.stack([ramp, ramp])[None, None],
        untrained=np.zeros((1, 2, height, width)),
        path_maps=np.zeros((2, 5, height, width), np.float16),
    )
    drawing = Maps.on(drawn(result, alpha=0.5))
    left, right, bottom, top = drawing.columns[1].map.light.get_extent()
    assert max(right - left, bottom - top) == pytest.approx(SIDE)
    assert (right - left) / (bottom - top) == pytest.approx(width / height)
    grid = drawing.grids["cell"]
    assert (grid.rows, grid.columns) == (min(32, height), min(32, width))
    assert len(grid.texts) == grid.rows * grid.columns
    for part in ("agreement", "deletion", "path"):
        assert png(result.plot(part=part)).startswith(PNG)


def test_no_text_leaves_the_picture() -> None:
    long = made_up(
        ("image-mean", "max-distance", "color:0.1,0.2,0.3", "expected"),
        classes=("a class with a very long name",) * 3,
        score="log-odds",
        target=np.array([1]),
        n=1,
    )
    views: list[dict[str, Any]] = [
        {}, {"pair": (1, 2)}, {"alpha": 0.5}, {"versus": "untrained"}, {"part": "agreement"},
        {"part": "deletion", "fill": "white"}, {"part": "path"}, {"narrow": True},
        {"narrow": True, "versus": "untrained"},
    ]  # fmt: skip
    for result in (long, off(long, 0.9, 0.9, 0.9), off(long, 0.9)):
        for view in views:
            figure = drawn(result, **view)
            figure.dpi = 72
            figure.draw_without_rendering()
            drawing = figure._drawing  # type: ignore[attr-defined]
            for text in drawing.page.texts:
                if text.get_text() and text.get_visible():
                    box = text.get_window_extent()
                    assert box.x0 >= -1, text.get_text()
                    assert box.x1 <= drawing.width + 4, text.get_text()
                    assert box.y0 >= -2, text.get_text()
                    assert box.y1 <= drawing.height + 1, text.get_text()


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
    for words in ("image 1 of 6 · true dog ", "shows: clean image, 16 steps"):
        assert words in widget.page.chips.value
    assert "The two maps" in widget.page.readout.value
    assert 'rw-muted">Controls: an untrained network' in widget.page.readout.value
    assert "ready" in widget.runner.status.value
    assert widget.result.baselines == NAMES
    assert_same(widget.result, saliency(SUBJECT, **QUICK))


def test_it_opens_on_six_controls_and_no_panel(widget: SaliencyWidget) -> None:
    (front,) = (part for part in widget.children if "rw-controls" in part._dom_classes)
    assert [part.description for part in front.children] == [
        "image", "Explain", "Method", "“Nothing” 1", "“Nothing” 2", "Colour scale",
    ]  # fmt: skip
    assert all(part.layout.display != "none" for part in front.children)
    names = [it.name for it in (*widget.page.opened, widget.page.settings)]
    assert names == ["agreement", "deletion", "path", "colours", "numbers", "all settings"]
    assert not any(it.is_open for it in (*widget.page.opened, widget.page.settings))
    # Every knob of the analysis but the ones that a result of one method and image does not need.
    known = set(widget.analysis.knobs) | set(widget.view_knobs)
    without = {"sign", "hyper", "fills", "points", "untrained", "part", "pair", "preview",
               "narrow"}  # fmt: skip
    assert known - set(widget.controls) == without


def test_every_panel_shows_the_result(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(panels=("agreement", "deletion", "path", "colours", "numbers"))
    page = shown(widget)
    for words in ("Click a cell to show that pair", "replaced, most credited first", "from black",
                  "Colours end at the 99\u202f% percentile", "on “nothing” alone"):  # fmt: skip
        assert words in page, words
    assert widget.result.blind_spot(widget.result.blindest).replace(" %", "\u202f%") in page
    assert_harmless(page)
    for kind in (Drawn, Deletion, Path):
        assert any(isinstance(it, kind) for it in widget.page.panels)


def test_a_cell_of_the_table_shows_its_pair(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(panels=("agreement",))
    held = len(widget.work.cache._memory)
    (panel,) = (it for it in widget.page.panels if it.name == "agreement")
    panel.stage.live.selected = {"pair": "2,3"}  # as the page does
    widget.wait(LONG)
    assert (widget.state()["first"], widget.state()["second"]) == ("mean", "blur")
    assert "Compared with mean" in widget.page.picture.live.svg
    assert len(widget.work.cache._memory) == held
    panel.stage.live.selected = {"pair": "1,untrained"}
    widget.wait(LONG)
    assert (widget.state()["first"], widget.state()["versus"]) == ("white", "untrained")
    assert "The same, untrained" in widget.page.picture.live.svg
    assert "untrained network beside" in widget.page.chips.value
    widget.set(second="black").wait(LONG)
    assert widget.state()["versus"] == "baseline"


def test_what_is_shown_is_computed_and_two_maps_are_two(widget: SaliencyWidget) -> None:
    result = widget.set(second="uniform").wait(LONG)
    assert widget.state()["baselines"] == ("black", "white", "mean", "uniform")
    assert widget.views()["pair"] == (0, 3)
    assert result.baselines[3] == "uniform"
    widget.set(first="uniform").wait(LONG)  # the other one gives way
    assert widget.state()["second"] != "uniform"
    widget.set(baselines=("mean", "noise")).wait(LONG)
    assert (widget.state()["first"], widget.state()["second"]) == ("mean", "noise")
    widget.set(baselines=("white",)).wait(LONG)
    assert widget.state()["first"] == "white"
    assert "choose another one" in widget.page.picture.live.svg
    assert "One map, against white" in widget.page.readout.value


@pytest.mark.parametrize(
    "view",
    [
        {"alpha": 0.5},
        {"polarity": "magnitude"},
        {"scale": "shared"},
        {"clip": 92.5},
        {"fill": "white"},
        {"fraction": 0.3},
        {"cell": (1, 8)},
        {"versus": "untrained"},
        {"first": "mean"},
    ],
    ids=str,
)
def test_view_knobs_only_redraw(make: Callable[..., SaliencyWidget], view: dict[str, Any]) -> None:
    widget = make(panels=("deletion", "path"))
    before, result, page = len(widget.work.cache._memory), widget.result, shown(widget)
    assert widget.set(**view).wait(LONG) is result
    assert len(widget.work.cache._memory) == before
    assert shown(widget) != page


def test_a_preview_of_few_steps_comes_first_and_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    painted: list[tuple[tuple[str, ...], ...]] = []

    class Watched(SaliencyWidget):
        def shown(self, result: Any) -> None:
            super().shown(result)
            painted.append((result.hyper, result.fills, result.baselines))

    widget = Watched(SUBJECT, preset=QUICK | {"fill": "white", "steps": 64})
    until(lambda: "≈ preview" in widget.runner.status.value)
    assert painted == [(("32 steps",), (), ("black", "white"))]
    gap = np.nanmax(widget.work.result.gaps[:2])
    chip = f'rw-warning">≈ preview: 32 steps, gap {gap * 100:.0f}\u202f%<'
    assert chip in widget.page.chips.value
    assert "rw-shows" not in widget.page.chips.value
    widget.cancel()
    knobs = widget.knobs()
    button(widget, "+ deletion").click()
    assert widget.preview(knobs)["fills"] == ("white",)


def test_maps_that_do_not_add_up_are_warned_of(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(preset={"index": 1, "steps": 1})
    gaps = widget.result.gaps
    assert widget.result.incomplete(0, 1), gaps
    assert ": take more steps" in widget.page.chips.value
    assert "rw-warning" in widget.page.chips.value
    assert "Not told:" in widget.page.picture.live.svg
    assert "add up: " in widget.page.readout.value
    assert "Spearman" not in widget.page.picture.live.svg


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
    knobs = widget.set(first="mean", second="black").knobs()  # of four only the two that are shown
    assert widget.preview(knobs)["baselines"] == ("mean", "black")
    knobs = widget.set(first="black", second="white").knobs()
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
    assert result.blind_spot(3).startswith("With blur, the ")
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
    baseline = widget.result.has_baseline
    assert ("with no “nothing”:" in widget.page.picture.live.svg) == (not baseline)
    for name in ("first", "second", "baselines"):
        assert widget.controls[name].disabled == (not baseline)
    assert ("compares with no “nothing”" in widget.controls["first"].tooltip) == (not baseline)


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
    assert "3 images, mean" in shown(widget)


def test_classes_are_offered_by_probability(widget: SaliencyWidget) -> None:
    p = widget.result.probabilities[0]
    classes = [value for _, value in widget.controls["target"].options[3:]]
    assert classes == np.argsort(-p).tolist()
    least = classes[-1]
    assert widget.set(target=SUBJECT.classes[least]).wait(LONG).target[0] == least
    assert widget.controls["target"].value == least
    widget.set(index=2).wait(LONG)
    assert widget.controls["target"].value == least


def test_a_pixel_is_chosen_in_the_picture_and_told_in_both_maps(widget: SaliencyWidget) -> None:
    result, held = widget.result, len(widget.work.cache._memory)
    live = widget.page.picture.live
    row, column = (int(it) for it in live.selected["cell"].split(","))
    first, second = (values / np.abs(values).max() for values in result.maps[0, :2])
    assert (-first * second).argmax() == row * SIZE + column
    live.selected = {**live.selected, "cell": "7,1"}  # as the page does
    widget.wait(LONG)
    until(lambda: live.grids["cell"]["row"] == 7)
    assert widget.state()["cell"] == (8, 2)
    said = re.findall(r">([^<]*) (?:supports|opposes)[^<]*</text>", live.svg)
    for value in result.maps[0, :2, 7, 1]:
        assert number(float(value)) in said
    told = live.grids["cell"]["texts"][7 * SIZE + 1]
    assert told == "row 8, column 2: " + ", ".join(
        f"{name} {number(float(value))}"
        for name, value in zip(NAMES[:2], result.maps[0, :2, 7, 1], strict=True)
    )
    assert len(widget.work.cache._memory) == held
    button(widget, "Reset").click()
    widget.wait(LONG)
    assert live.selected["cell"] == f"{row},{column}"


def test_the_control_on_the_ruler_is_shown(widget: SaliencyWidget) -> None:
    live = widget.page.picture.live
    assert live.selected["versus"] == "baseline"
    live.selected = {**live.selected, "versus": "untrained"}
    until(lambda: "The same, untrained" in live.svg)
    assert widget.state()["versus"] == "untrained"
    live.selected = {**live.selected, "versus": "baseline"}
    until(lambda: "Compared with white" in live.svg)


def test_the_deletion_handle_sets_the_share(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(panels=("deletion",))
    (panel,) = (it for it in widget.page.panels if it.name == "deletion")
    assert panel.stage.live.handles["fraction"]["value"] == 0.1
    panel.stage.live.dragged = {"name": "fraction", "value": 0.25}
    until(lambda: "at 25\u202f% replaced" in panel.stage.live.svg)
    assert widget.state()["fraction"] == 0.25


def player(widget: SaliencyWidget) -> Any:
    (path,) = (it for it in widget.page.panels if isinstance(it, Path))
    return path.player


def test_alpha_plays_only_when_asked(widget: SaliencyWidget) -> None:
    play = player(widget).play
    assert not play.playing
    button(widget, "Play").click()
    assert play.playing
    assert widget.state()["alpha"] == 0.0  # from the beginning
    play.value = 4  # as the browser does
    assert widget.state()["alpha"] == 0.25
    widget.controls["alpha"].value = 0.75  # by hand
    assert not play.playing
    assert play.value == 12
    button(widget, "Play").click()
    button(widget, "Stop").click()
    assert not play.playing


def test_closing_the_path_shows_the_whole_maps_again(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(panels=("path",))
    widget.set(alpha=0.5).wait(LONG)
    assert 'rw-warning">not the whole map: α = 0.50<' in widget.page.chips.value
    button(widget, "− path").click()
    widget.wait(LONG)
    assert widget.state()["alpha"] == 1.0
    assert "α" not in widget.page.chips.value
    given = make(panels=("path",), lock={"alpha": 0.5})
    button(given, "− path").click()
    given.wait(LONG)
    assert given.state()["alpha"] == 0.5
    assert "not the whole map" in given.page.chips.value


def test_alpha_rests_where_there_is_no_path(make: Callable[..., SaliencyWidget]) -> None:
    widget = make(panels=("path",))
    play = button(widget, "Play")
    play.click()
    (panel,) = (it for it in widget.page.panels if isinstance(it, Path))
    for method, walks in (("occlusion", False), ("ig", True)):
        widget.set(method=method).wait(LONG)
        assert (widget.controls["alpha"].disabled, play.disabled) == (not walks, not walks)
        assert ("walks no path" in play.tooltip) == (not walks)
        assert bool(panel.stage.live.handles) == walks
        assert not player(widget).play.playing


def test_its_code_gives_the_same_numbers(
    widget: SaliencyWidget, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    widget.set(method="occlusion", baselines=("white", PICKED), target="dog", fill="own").wait(LONG)
    names: dict[str, Any] = {"subject": textured}
    # Which batches are quick is found out by the clock, and other batches round in another way.
    plan = widget.subject.plan
    monkeypatch.setattr("reliab_widgets.core.network.probe", lambda *_: plan)
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
    assert [it for _, it in widget.controls["first"].options] == ["black", "uniform"]
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
    widget.controls["polarity"].value = "magnitude"
    until(lambda: "either way" in widget.page.picture.live.svg)
    go_on.set()
    assert len(widget.wait(LONG).index) == 6
    assert "either way" in widget.page.picture.live.svg


def test_a_pin_is_compared_with_no_preview(
    make: Callable[..., SaliencyWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = make()
    button(widget, "Pin").click()
    until(lambda: "Against the pin" in widget.page.readout.value)
    monkeypatch.setattr("reliab_widgets.ui.running.REST", LONG)
    widget.set(seed=1)
    until(lambda: "≈ preview" in widget.runner.status.value)
    widget.controls["polarity"].value = "magnitude"  # painted again, still a preview
    until(lambda: "either way" in widget.page.picture.live.svg)
    assert "Against the pin" not in widget.page.readout.value
    widget.cancel()


def test_what_is_not_said_yet_is_told_under_help(make: Callable[..., SaliencyWidget]) -> None:
    widget = make()
    button(widget, "?").click()
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
    assert widget.page.alert.layout.display != "none"
    assert "<svg" in shown(widget)
    widget.set(method="ig").wait(LONG)
    assert widget.page.alert.layout.display == "none"


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


@pytest.mark.parametrize(
    ("method", "words"),
    [("ig", "colour: credit in p(cat)"), ("rise", "colour: credit for p(cat), relative")],
)
def test_only_what_adds_up_has_the_unit_of_the_score(method: str, words: str) -> None:
    assert words in texts(made_up(method=method).plot())
