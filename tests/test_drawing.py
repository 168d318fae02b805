"""Figures come out as SVG and PNG, without pyplot and without a trace on the figure."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.textpath import text_to_path

import reliab_widgets as rw
from reliab_widgets import reliability
from reliab_widgets.analyses import ANALYSES
from reliab_widgets.analyses.reliability.result import Reliability
from reliab_widgets.core import fonts
from reliab_widgets.core.drawing import LOCK, Drawing, Picture, png, readable, svg
from reliab_widgets.core.style import INK
from tests.test_contract import subject

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<img src="x" onerror=alert(1)>&id="fill'
PNG = b"\x89PNG\r\n\x1a\n"


def made_font(path: Path, letter: str, name: str) -> None:
    """Write a font that has one letter."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for place in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(place)
    pen.closePath()
    glyphs = {it: pen.glyph() for it in (".notdef", "letter")}
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(list(glyphs))
    font.setupCharacterMap({ord(letter): "letter"})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


class Bars(Drawing):
    size = (4.0, 2.0)
    made = 0

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        type(self).made += 1
        axes = figure.add_axes((0.1, 0.2, 0.8, 0.7))
        axes.set(xlim=(0, 3), ylim=(0, 9))
        axes.set_facecolor("none")
        axes.tick_params(colors=INK)
        self.title = axes.set_title("", color=INK)
        self.bars = list(axes.bar([0, 1, 2], [0, 0, 0], hatch="//"))
        axes.plot([0, 3], [0, 9], marker="o")

    def show(self, heights: list[float], words: str) -> None:
        self.title.set_text(words)
        for bar, height in zip(self.bars, heights, strict=True):
            bar.set_height(height)
            self.hover(bar, f"{words} {height}")


def drawn(words: str = "words") -> Figure:
    figure = Picture()
    Bars.on(figure).show([1, 2, 3], words)
    return figure


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)


def lines_of(sentence: str, width: int = 868) -> int:
    """Return how many lines a page of 880 needs for it, its beginning bold, in a wide font."""
    first, *_ = sentence.partition(". ")
    bold, lines, x = len(first.split()), 1, 0.0
    for k, word in enumerate(sentence.replace(" %", "\u202f%").split(" ")):
        font = font_manager.FontProperties(size=13, weight="bold" if k < bold else "normal")
        wide = text_to_path.get_text_width_height_descent(f"{word} ", font, ismath=False)[0]
        x += wide
        if x > width + 4:
            lines, x = lines + 1, wide
    return lines


def normal(text: str) -> str:
    """An SVG with its ids numbered in the order in which they appear."""
    order: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        return match[1] + order.setdefault(match[2], f"id{len(order)}")

    return re.sub(r'(\bid="|url\(#|href="#)([^")]+)', rename, text)


# --- SVG ------------------------------------------------------------------------------------


def test_marks_carry_their_titles() -> None:
    root = parsed(svg(drawn("heights"), "p"))
    titles = [
        (group.get("id"), group[0].text)
        for group in root.iter(f"{SVG}g")
        if len(group) and group[0].tag == f"{SVG}title"
    ]
    assert [words for _, words in titles] == ["heights 1", "heights 2", "heights 3"]
    assert len({name for name, _ in titles}) == 3


def test_every_id_and_every_use_of_it_has_the_prefix() -> None:
    text = svg(drawn(), "one")
    root = parsed(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) > 10
    # Nothing refers to a mark, whose name is what a widget is told.
    assert all(str(name).startswith(("one-", "mark")) for name in ids)
    uses = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)
    assert {a or b for a, b in uses} <= set(ids)
    assert any(a for a, _ in uses)  # the hatch and the clip path
    assert any(b for _, b in uses)  # the markers


def test_the_pages_ink_is_used_only_when_themed() -> None:
    figure = drawn(f"ink is {INK}")
    paper, themed = svg(figure), svg(figure, themed=True)
    assert "--rw-ink" not in paper
    assert "--rw-ink" in themed
    root = parsed(themed)
    texts = list(root.iter(f"{SVG}text"))
    assert all("var(--rw-ink, " in element.get("style", "") for element in texts)
    assert f"ink is {INK}" in [element.text for element in texts]  # what is said stays
    assert "fill: #ffffff" in paper[:600]  # a file has paper, a page shows through
    assert "fill: #ffffff" not in themed[:600]


def test_hostile_words_stay_words() -> None:
    text = svg(drawn(HOSTILE), "p", themed=True)
    root = parsed(text)
    assert HOSTILE in [element.text for element in root.iter(f"{SVG}text")]
    assert f"{HOSTILE} 2" in [element.text for element in root.iter(f"{SVG}title")]
    assert "<img" not in text


def test_text_is_text_and_no_style_leaks_into_the_page() -> None:
    root = parsed(svg(drawn("findable"), themed=True))
    assert "findable" in [element.text for element in root.iter(f"{SVG}text")]
    assert not list(root.iter(f"{SVG}style"))
    assert not list(root.iter(f"{SVG}script"))
    assert "stroke-linejoin: round" in root.get("style", "")


@pytest.mark.parametrize("themed", [True, False])
def test_the_figure_is_left_as_it_was(themed: bool) -> None:
    figure = Figure(dpi=123)
    figure.add_subplot().plot([1, 2])
    figure.patch.set_alpha(0.3)
    canvas = FigureCanvasAgg(figure)
    size = tuple(figure.get_size_inches())
    svg(figure, themed=themed)
    png(figure, 77)
    assert figure.dpi == 123
    assert figure.patch.get_alpha() == 0.3
    assert figure.canvas is canvas
    assert tuple(figure.get_size_inches()) == size


def test_the_figure_is_left_as_it_was_when_drawing_fails() -> None:
    figure = Figure(dpi=123)
    figure.text(0.5, 0.5, r"$\nonsense$")
    for draw in (svg, png):
        with pytest.raises(ValueError, match="nonsense"):
            draw(figure)
        assert figure.dpi == 123
    assert figure.patch.get_alpha() is None


# --- drawn once, moved after ----------------------------------------------------------------


def test_artists_are_made_once_and_moved_after() -> None:
    Bars.made = 0
    figure = Picture()
    Bars.on(figure).show([3, 1, 2], "before")
    Bars.on(figure).show([1, 2, 3], "words")
    assert Bars.made == 1
    assert normal(svg(figure)) == normal(svg(drawn()))


def test_another_kind_of_drawing_or_a_cleared_figure_begins_anew() -> None:
    class Other(Bars):
        pass

    figure = drawn()
    assert type(Other.on(figure)) is Other
    assert len(figure.axes) == 1
    Bars.on(figure)
    figure.clear()
    Bars.on(figure).show([1, 2, 3], "words")
    assert normal(svg(figure)) == normal(svg(drawn()))


def test_reliability_drawn_twice_is_as_drawn_once() -> None:
    examined = subject()
    one = reliability(examined, method="temperature", bins=20, label="bright")
    two = reliability(examined, bins=6)
    figure = one.plot()
    one.draw(figure, pinned=two, bin=3)
    two.draw(figure)
    assert normal(svg(figure)) == normal(svg(two.plot()))
    two.draw(figure, pinned=one, bin=2)
    one.draw(figure)
    assert normal(svg(figure)) == normal(svg(one.plot()))


STRANGE = (
    "$100 and $200 {0} {name} %s",
    r"$\frac{$ <img src=x onerror=alert(1)>&",
    "čáp\x00\x07\x1b[0m\t\r\n\ud800\ufffe\x85b",
)


@pytest.mark.parametrize("name", [HOSTILE, *STRANGE, "9" * 10_000, "a_b^c"], ids=ascii)
def test_a_class_may_have_any_name(name: str) -> None:
    examined = subject(classes=("dark", name, "grey"))
    result = reliability(examined, label=name)
    assert isinstance(result, Reliability)
    words = " ".join(str(text.text) for text in parsed(svg(result.plot())).iter(f"{SVG}text"))
    assert name[:3] in words
    assert "\n" not in words
    assert result._repr_png_()[0].startswith(PNG)


SMALL: dict[str, dict[str, Any]] = {
    "saliency": {"images": 1, "steps": 2, "points": 3},
    "propagation": {"images": 2, "attack": "fgsm"},
    "pruning": {"images": 9, "levels": (0.5,), "explain": 1},
    "reliability": {"label": "9" * 10_000},
    "landscape": {"points": 11, "steps": 2, "restarts": 1},
    "universal": {"source_images": 5, "images": 9},
    "robustness": {"attacks": ("fgsm",), "norm": "L2", "sigma": 0.1, "draws": 20, "images": 9},
    "transfer": {"attack": "fgsm", "ghost": 0.2, "images": 9},
}


@pytest.mark.parametrize("word", ANALYSES)
def test_every_picture_draws_whatever_the_classes_are_called(word: str, tmp_path: Path) -> None:
    for last in STRANGE:
        examined = subject(30, classes=(STRANGE[2], last + "!", "9" * 10_000))
        result = getattr(rw, word)(examined, **SMALL[word])
        figure = result.plot()
        result.draw(figure, pinned=result)
        parsed(svg(figure, "p", themed=True))
        assert png(figure).startswith(PNG)
        assert len(result.to_frame()) > 0
        assert str(rw.load(result.save(tmp_path / "r.npz"))) == str(result)


def test_what_is_too_long_is_cut_where_it_is_drawn() -> None:
    figure = Picture()
    figure.text(0, 0, "x" * 999)
    figure.text(0, 0, "first\nsecond")
    readable(figure)
    assert [len(text.get_text()) for text in figure.texts] == [200, 12]


def test_letters_that_the_usual_font_lacks_are_written_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cats.ttf"
    made_font(path, "猫", "Cats")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    monkeypatch.setattr(fonts, "_families", {})
    font_manager.fontManager.addfont(path)
    figure = Picture()
    cat, dog = figure.text(0, 0, "猫"), figure.text(0, 0.5, "狗")
    readable(figure)
    assert "Cats" in cat.get_fontfamily()
    assert "Cats" not in dog.get_fontfamily()
    dog.remove()
    assert png(figure).startswith(PNG)  # a letter that no font has would be a warning


def test_letters_that_no_font_has_are_left_to_the_browser() -> None:
    figure = Picture()
    figure.text(0, 0, "狗 🐶 हिन्दी")
    readable(figure)
    assert "狗 🐶 हिन्दी" in svg(figure)  # and no warning that they are missing


# --- PNG ------------------------------------------------------------------------------------


def test_png_is_a_png_of_the_size_asked_for() -> None:
    from io import BytesIO

    from PIL import Image

    content = png(drawn(), 50)
    assert content.startswith(PNG)
    assert Image.open(BytesIO(content)).size == (200, 100)
    assert drawn()._repr_png_()[0].startswith(PNG)


# --- nothing global -------------------------------------------------------------------------


def test_settings_of_matplotlib_stay_and_those_of_the_user_do_no_harm() -> None:
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.id": "mine", "savefig.dpi": 30}):
        before = matplotlib.rcParams.copy()
        text = svg(drawn("findable"), themed=True)
        png(drawn())
        assert matplotlib.rcParams == before
    assert "findable" in [element.text for element in parsed(text).iter(f"{SVG}text")]


def test_whoever_draws_holds_the_lock() -> None:
    free: list[bool] = []

    def is_free() -> bool:
        if LOCK.acquire(blocking=False):
            LOCK.release()
            return True
        return False

    class Watched(Figure):
        def draw(self, renderer: Any) -> None:
            with ThreadPoolExecutor(1) as executor:
                free.append(executor.submit(is_free).result())
            super().draw(renderer)

    svg(Watched())
    png(Watched())
    assert free == [False, False]


def test_many_threads_may_draw() -> None:
    expected = normal(svg(drawn()))
    with ThreadPoolExecutor(4) as executor:
        texts = list(executor.map(lambda _: svg(drawn(), "p"), range(16)))
        pictures = list(executor.map(lambda _: png(drawn(), 40), range(8)))
    assert {normal(text) for text in texts} == {expected}
    assert len(set(pictures)) == 1


def test_no_pyplot_is_imported() -> None:
    code = (
        "import sys, reliab_widgets.analyses.reliability.drawing\n"
        "from reliab_widgets.core import drawing\n"
        "figure = drawing.Picture()\n"
        "figure.add_subplot().plot([1, 2])\n"
        "drawing.svg(figure), drawing.png(figure)\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
