"""The reliability card: one page, whole, that asks for nothing and loses nothing."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

import reliab_widgets as rw
from reliab_widgets import cards
from reliab_widgets.cards import card
from reliab_widgets.core.wording import typeset
from tests.models import Brightness


class Page(HTMLParser):
    """What a page holds: its tags with attributes, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def subject() -> rw.Subject:
    images = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = (images.mean((1, 2, 3)) > 0.5).long()
    return rw.Subject(
        Brightness(), images, labels, classes=("dark", "<b>light", "no"), name="<i>a & b"
    )


def test_every_result_has_its_picture_words_images_and_code(
    subject: rw.Subject, tmp_path: Path
) -> None:
    results = [rw.reliability(subject), rw.propagation(subject, images=4)]
    path = card(results, tmp_path / "new" / "card.html", summary="Mine.\n\nSecond <b>line.")
    page = Page(path)
    figures = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert [it["aria-label"] for it in figures] == [typeset(str(it)) for it in results]
    assert [tag for tag, _ in page.tags].count("svg") == 2
    for result in results:
        assert result.code() in page.text
        assert result.examined in page.text
    assert "30 images, nothing fitted" in page.text
    assert "4 images" in page.text
    assert "Mine." in page.text
    assert "Second <b>line." in page.text
    assert "Reliability card: <i>a & b" in page.text


def test_nothing_is_asked_for_and_nothing_of_a_user_is_markup(
    subject: rw.Subject, tmp_path: Path
) -> None:
    page = Page(card(rw.reliability(subject), tmp_path / "card.html", summary="<script>1</script>"))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "b>light", "i"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert str(value).startswith(("#", "data:"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_long_table_is_cut_and_says_so(
    subject: rw.Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = rw.reliability(subject)
    whole = Page(card(result, tmp_path / "card.html"))
    monkeypatch.setattr(cards, "MOST_ROWS", 4)
    cut = Page(card(result, tmp_path / "card.html"))
    assert "The numbers, 30 rows" in whole.text
    assert "The numbers, the first 4 of 30 rows" in cut.text
    rows = [[tag for tag, _ in page.tags].count("tr") for page in (whole, cut)]
    assert rows[0] - rows[1] == 26


@pytest.mark.parametrize(
    ("given", "path", "error", "told"),
    [
        ([], "a.html", ValueError, "a card tells of results: got none"),
        (3, "a.html", TypeError, "results are none: got int"),
        (["x"], "a.html", TypeError, "not everything is a result: got str at place 0"),
        (None, "a.pdf", ValueError, r"a card is a page: got path='.*a\.pdf'\. Pass path='.*html'"),
    ],
)
def test_what_is_no_card_is_refused(
    subject: rw.Subject, tmp_path: Path, given: Any, path: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        card(rw.reliability(subject) if given is None else given, tmp_path / path)
    assert not list(tmp_path.iterdir())


def test_a_card_that_cannot_be_written_loses_nothing(subject: rw.Subject, tmp_path: Path) -> None:
    result = rw.reliability(subject)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(
        OSError, match=r"the card cannot be written: .*file/card\.html.* Pass path="
    ):
        card(result, tmp_path / "file" / "card.html")
    assert (tmp_path / "file").read_text() == "kept"
    old = card(result, tmp_path / "card.html").read_text()
    broken = replace(result, classes=())
    object.__setattr__(broken, "answer", None)
    object.__setattr__(broken, "before", None)
    with pytest.raises(AttributeError):
        card([result, broken], tmp_path / "card.html")
    assert (tmp_path / "card.html").read_text() == old
    assert sorted(it.name for it in tmp_path.iterdir()) == ["card.html", "file"]
