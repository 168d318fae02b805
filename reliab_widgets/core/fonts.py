"""Letters that the usual font lacks: found in another font of this machine, or measured as boxes.

Names of classes may be in any script, and matplotlib's own font has no Chinese.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

# The family that has a letter, or None where no font of this machine does.
_families: dict[str, str | None] = {}


@lru_cache(maxsize=64)
def _letters(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())


def missing(words: str, font: Any) -> set[str]:
    """Return the letters that a font lacks.

    Parameters
    ----------
    words : str
        Any text.
    font : matplotlib.font_manager.FontProperties
        How it is written.

    Returns
    -------
    set of str

    Examples
    --------
    >>> from matplotlib.font_manager import FontProperties
    >>> missing("ship → 船", FontProperties("DejaVu Sans"))
    {'船'}
    """
    if words.isascii():
        return set()
    one = FontProperties(**{**_facts(font), "family": font.get_family()[:1]})
    known = _letters(findfont(one))
    return {letter for letter in words if letter.isprintable() and ord(letter) not in known}


def _facts(font: Any) -> dict[str, Any]:
    return {"style": font.get_style(), "weight": font.get_weight()}


def complete(texts: list[Text]) -> None:
    """Let other fonts of this machine write what the fonts of these texts lack."""
    lacking = [(text, missing(text.get_text(), text.get_fontproperties())) for text in texts]
    unknown = set().union(*(letters for _, letters in lacking)) - _families.keys()
    for entry in fontManager.ttflist:
        if not unknown:
            break
        if entry.name.startswith("Last Resort"):  # has a box for every letter
            continue
        try:
            font = FT2Font(entry.fname)
        except (OSError, RuntimeError):  # gone since, or made of pictures, as emoji are
            continue
        found = {letter for letter in unknown if font.get_char_index(ord(letter))}
        _families.update(dict.fromkeys(found, entry.name))
        unknown -= found
    _families.update(dict.fromkeys(unknown))
    for text, letters in lacking:
        others = [name for letter in sorted(letters) if (name := _families[letter])]
        if others:
            text.set_fontfamily([*dict.fromkeys([*text.get_fontfamily(), *others])])


def measured(words: str, font: Any) -> str:
    """Return words of about the same size, of letters that the font has: browsers find the others.

    Examples
    --------
    >>> from matplotlib.font_manager import FontProperties
    >>> measured("ship → 船", FontProperties("DejaVu Sans"))
    'ship → M'
    """
    lacking = missing(words, font)
    return "".join("M" if letter in lacking else letter for letter in words)
