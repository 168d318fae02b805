"""Every public function x every parameter x eight kinds of wrong values: an error that helps.

A value that is not refused has a meaning, and stands in ``MEANS``.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import reliab_widgets as rw
from reliab_widgets.analyses import ANALYSES
from tests.models import Brightness
from tests.test_contract import subject

WRONG: dict[str, Any] = {
    "bool": True,
    "negative": -1,
    "fraction": 2.5,
    "nan": float("nan"),
    "huge": 10**9,
    "text": "no such thing",
    "object": object(),
    "dict": {"a": 1},
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{word: getattr(rw, word) for word in ANALYSES},
    **{
        name: getattr(rw, name)
        for name in ("attack", "smallest_epsilon", "defences", "certify", "oracle", "untrained")
    },
    "demo": rw.demo,
    "grid": rw.grid,
    "from_dataset": rw.Subject.from_dataset,
    "sweep": rw.sweep,
    "load": rw.load,
    "denoiser": rw.zoo.denoiser,
    "Subject": rw.Subject,
    "Cache": rw.Cache,
}
SUBJECT = subject(24)
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
FIRST: dict[str, tuple[Any, ...]] = {
    "demo": (),
    "grid": (rw.reliability, SUBJECT),
    "from_dataset": (Brightness(), TensorDataset(IMAGES, torch.arange(6) % 3)),
    "sweep": (lambda subject, item: item, SUBJECT, [1]),
    "load": (),
    "denoiser": (),
    "defences": (SUBJECT[:4],),  # a whole run of them takes a while
    "Subject": (Brightness(), IMAGES, [0, 1, 2, 0, 1, 2]),
    "Cache": (None,),
}

# What is accepted, and what it means.
MEANS: dict[tuple[str, str], str] = {
    ("*", "progress: bool"): "True shows a bar",
    ("*", "name: text"): "any text is a name",
    ("*", "step_size: fraction"): "in pixel units, larger than the ball is as good as one step",
    ("*", "step_size: huge"): "the same",
    ("*", "temperature: fraction"): "a temperature",
    ("*", "temperature: huge"): "all classes alike",
    ("*", "noise: fraction"): "a standard deviation",
    ("*", "noise: huge"): "the same",
    ("*", "sigma: fraction"): "a standard deviation",
    ("*", "seed: huge"): "a seed",
    ("*", "index: negative"): "the last image",
    ("attack", "images: negative"): "the last image",
    ("robustness", "thorough: bool"): "whether it attacks once more",
    ("universal", "epsilon: fraction"): "an L2 norm",
    ("*", "correct_only: bool"): "only images that are classified correctly",
    ("saliency", "untrained: bool"): "with the control",
    ("from_dataset", "n: huge"): "all there are, with a note",
    ("grid", "cache: text"): "a folder, which is made",
    ("grid", "timeout: fraction"): "seconds",
    ("Cache", "folder: text"): "a folder, which is made",
    ("Cache", "keep: huge"): "a gigabyte",
    ("grid", "lists: any"): "knobs of the analysis",
    ("sweep", "subject: any"): "whatever the function takes",
    ("sweep", "items: dict"): "its keys",
    ("sweep", "items: text"): "its letters",
}


def cases() -> list[tuple[str, str, str]]:
    found = []
    for name, fn in FUNCTIONS.items():
        for parameter in inspect.signature(fn).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            found += [(name, parameter.name, kind) for kind in WRONG]
    return found


class Accepted(Exception):
    pass


def accepted(*_: Any) -> None:
    """Progress that ends work as soon as it begins: what begins was accepted."""
    raise Accepted


def call(name: str, parameter: str, value: Any) -> None:
    fn = FUNCTIONS[name]
    parameters = list(inspect.signature(fn).parameters)
    first = dict(zip(parameters, FIRST.get(name, (SUBJECT,)), strict=False))
    if "progress" in parameters and parameter not in ("executor", "progress"):
        first["progress"] = accepted
    first[parameter] = value
    positional = inspect.signature(fn).parameters
    args = [
        first.pop(p)
        for p in parameters
        if p in first and positional[p].kind is not positional[p].KEYWORD_ONLY
    ]
    fn(*args, **first)


def helps(error: BaseException, parameter: str) -> bool:
    """Whether a message says what happened, what was seen, and how to fix it, by name."""
    text = str(error)
    three = re.match(r"(?s).+?(: | was |, but |; ).+?\. .+\.?$", text) is not None
    return three and (parameter in text or parameter.removesuffix("s") in text)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_values_are_refused_with_help_or_have_a_meaning(name: str) -> None:
    raw, silent = {}, []
    for function, parameter, kind in cases():
        if function != name:
            continue
        try:
            call(name, parameter, WRONG[kind])
        except (TypeError, ValueError, IndexError, FileNotFoundError) as error:
            if not helps(error, parameter):
                raw[parameter, kind] = f"{type(error).__name__}: {error}"
            continue
        except Accepted:
            pass
        except Exception as error:
            raw[parameter, kind] = f"{type(error).__name__}: {error}"
            continue
        keys = [(who, f"{parameter}: {what}") for who in (name, "*") for what in (kind, "any")]
        if not any(key in MEANS for key in keys):
            silent.append(f"{parameter}: {kind}")
    assert not raw
    assert not silent
