"""What every analysis promises, whatever it computes."""

import gc
import inspect
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses import ANALYSES
from reliab_widgets.core.knobs import Auto, Choice, Knobs, declared
from reliab_widgets.core.result import Record, Result
from tests.models import Brightness, flat_images
from tests.test_pruning import varied
from tests.test_result import assert_same

ROOT = Path(__file__).parents[1]

# Settings under which an analysis has the most to do: everything is used, in several passes.
BUSY: dict[str, dict[str, Any]] = {
    "saliency": {"images": 20, "method": "rise", "masks": 30, "baselines": ("black", "noise")},
    "propagation": {"attack": "pgd", "steps": 3, "denoiser": "median", "knowledge": "white-box"},
    "pruning": {"levels": (0.2, 0.5), "images": 60, "explain": 2, "attacked": 4},
    "landscape": {"plane": "images", "points": 21, "steps": 2, "restarts": 2, "images": 12},
    "robustness": {
        "attacks": ("fgsm", "pgd", "simba"),
        "norm": "L2",
        "epsilons": (0.2, 0.8),
        "steps": 3,
        "queries": 10,
        "sigma": 0.1,
        "draws": 20,
        "denoiser": "median",
        "images": 20,
    },
    "transfer": {
        "attack": "pgd-l2",
        "epsilons": (0.2, 0.8),
        "steps": 3,
        "ghost": 0.3,
        "ghosts": 2,
        "images": 20,
    },
    "universal": {"norm": "Linf", "share": 0.1, "source_images": 30, "passes": 2, "images": 20},
    "reliability": {
        "method": "binwise-augmented",
        "corruption": "noise 2",
        "label": "all",
        "bins": 5,
    },
}


def subject(n: int = 240, classes: tuple[str, ...] = ("dark", "bright", "grey")) -> Subject:
    """Flat images under a network that is unsure of them; labels follow its own probabilities."""
    generator = torch.Generator().manual_seed(0)
    images = flat_images(torch.rand(n, generator=generator).tolist())
    with torch.no_grad():
        probabilities = Brightness()(images).softmax(1)
    labels = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
    made = Subject(Brightness(), images, labels, classes=classes, name="tiny")
    return made.with_images(images, code="subject()")


def test_every_analysis_has_busy_settings_and_lines_for_editors() -> None:
    """Add a row to BUSY above, and the lines for editors to both indexes."""
    assert set(BUSY) == set(ANALYSES)
    folder = ROOT / "reliab_widgets"
    for index, names in {
        "analyses/__init__.py": [*ANALYSES, *ANALYSES.values()],
        "widgets.py": [f"{name}Widget" for name in ANALYSES.values()],
    }.items():
        text = (folder / index).read_text(encoding="utf-8")
        assert [name for name in names if f" {name} as {name}\n" not in text] == []


@pytest.fixture(params=ANALYSES, scope="module")
def word(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def analysis(word: str) -> Callable[..., Result]:
    return getattr(rw, word)


@pytest.fixture(scope="module")
def result(word: str, analysis: Callable[..., Result]) -> Result:
    return analysis(subject(), **BUSY[word])


def test_one_word_names_it_all(word: str, analysis: Callable[..., Result], result: Result) -> None:
    assert analysis.__name__ == word
    assert type(result) is getattr(rw, ANALYSES[word])
    assert issubclass(getattr(rw.widgets, f"{ANALYSES[word]}Widget"), rw.Explorer)


def test_it_has_a_place_on_the_card(result: Result, tmp_path: Path) -> None:
    assert re.search(r"image \d|\d images|\d reported", result.examined)
    page = rw.card(result, tmp_path / "card.html").read_text()
    assert result.examined in page


@pytest.mark.parametrize("given", [Brightness(), None, "resnet20"])
@pytest.mark.parametrize(
    "name",
    [*ANALYSES, "attack", "smallest_epsilon", "defences", "certify", "untrained", "oracle"],
)
def test_what_is_no_subject_is_refused(name: str, given: Any) -> None:
    seen = type(given).__name__
    with pytest.raises(TypeError, match=f"^subject is not a Subject: got {seen}. Pass subject=rw"):
        getattr(rw, name)(given)


@pytest.mark.parametrize(
    ("name", "knob"),
    [
        ("reliability", "calibration_set"),
        ("pruning", "calibration_set"),
        ("pruning", "train"),
    ],
)
def test_what_is_no_subject_to_fit_on_is_refused(name: str, knob: str) -> None:
    with pytest.raises(TypeError, match=f"^{knob} is not a Subject: got Tensor. Pass {knob}=rw"):
        getattr(rw, name)(subject(), **{knob: subject().images})


def test_a_widget_of_no_subject_is_refused(word: str) -> None:
    before = set(_instances)
    with pytest.raises(TypeError, match=r"^subject is not a Subject: got Brightness"):
        getattr(rw.widgets, f"{ANALYSES[word]}Widget")(Brightness())
    assert set(_instances) == before


def test_knobs_are_keywords_with_defaults(analysis: Callable[..., Result]) -> None:
    first, *knobs = inspect.signature(analysis).parameters.values()
    assert first.default is first.empty
    for knob in knobs:
        assert knob.kind is knob.KEYWORD_ONLY
        assert knob.default is not knob.empty
    names = [knob.name for knob in knobs]
    handed = [name for name in ("executor", "progress", "partial") if name in names]
    assert names[-len(handed) :] == handed
    assert handed[:2] == ["executor", "progress"]


def words_of(fn: Callable[..., Any]) -> dict[str, str]:
    """The entries under "Parameters" in a docstring: names, and what is said of them."""
    text = inspect.getdoc(fn) or ""
    body = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in body.splitlines():
        if not line.startswith(" "):
            names = [name.strip() for name in line.split(" : ")[0].split(",")]
            found |= dict.fromkeys(names, line)
        else:
            for name in names:
                found[name] += line
    return found


@pytest.mark.parametrize(
    "fn",
    [
        *(getattr(rw, word) for word in ANALYSES),
        *(getattr(rw, ANALYSES[word]).draw for word in ANALYSES),
        rw.attack,
        rw.smallest_epsilon,
        rw.defences,
        rw.certify,
        rw.oracle,
        rw.untrained,
        rw.grid,
        rw.demo,
        rw.Subject.from_dataset,
    ],
    ids=lambda fn: fn.__qualname__,
)
def test_the_docstring_says_what_is_declared(fn: Callable[..., Any]) -> None:
    said = words_of(fn)
    parameters = [
        name.lstrip("*") for name in inspect.signature(fn).parameters if name not in ("self", "cls")
    ]
    assert sorted(name.lstrip("*") for name in said) == sorted(parameters)
    for knob in declared(inspect.unwrap(fn)).values():
        kind = knob.kind.kind if isinstance(knob.kind, Auto) else knob.kind
        if isinstance(kind, Choice) and isinstance(kind.values, tuple) and len(kind.values) < 12:
            missing = [v for v in kind.values if str(v) not in said[knob.name]]
            assert not missing or re.search("As for|One ", said[knob.name])
        if isinstance(knob.kind, Auto):
            assert re.search("optional|As for|As `|None", said[knob.name]), knob.name


def test_views_are_no_knobs(word: str, analysis: Callable[..., Result]) -> None:
    assert not set(getattr(rw, ANALYSES[word]).views) & set(inspect.signature(analysis).parameters)


def test_results_are_frozen_and_hold_no_tensor(result: Result) -> None:
    def look_into(value: Any) -> None:
        assert not isinstance(value, torch.Tensor | nn.Module | Subject)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable
        elif isinstance(value, tuple):
            for item in value:
                look_into(item)
        elif isinstance(value, Knobs):
            look_into(tuple(value.values()))
        elif isinstance(value, Record):
            for field in fields(value):
                look_into(getattr(value, field.name))
                with pytest.raises(FrozenInstanceError):
                    setattr(value, field.name, None)
        else:
            assert value is None or isinstance(value, bool | int | float | str)

    look_into(result)


def test_saved_and_loaded_is_identical(result: Result, tmp_path: Path) -> None:
    loaded = rw.load(result.save(tmp_path / "result.npz"))
    assert_same(loaded, result)
    assert str(loaded) == str(result)


def test_the_table_is_tidy(result: Result) -> None:
    table = result.to_frame()
    assert len(table) > 0
    assert table.columns.is_unique
    assert table.index.tolist() == list(range(len(table)))
    # One value in a cell, no arrays or lists.
    assert all(np.isscalar(cell) for name in table for cell in table[name])


def test_the_figure_needs_no_pyplot(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert result.plot().axes
    assert result._repr_png_()[0].startswith(b"\x89PNG")


def test_its_sentence_is_one_line_with_numbers(result: Result) -> None:
    sentence = str(result)
    assert sentence == repr(result)
    assert "\n" not in sentence
    assert any(letter.isdigit() for letter in sentence)
    assert result.subject in sentence
    assert "nan" not in sentence


def test_threads_and_repetition_change_no_number(
    word: str, analysis: Callable[..., Result], result: Result
) -> None:
    with ThreadPoolExecutor(4) as executor:
        assert_same(analysis(subject(), executor=executor, **BUSY[word]), result)


def test_subject_hooks_and_randomness_are_untouched(
    word: str, analysis: Callable[..., Result]
) -> None:
    examined = subject()
    hook = examined.model.fc.register_forward_hook(lambda *_: None)
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in examined.model.modules()]
    weights = {name: value.clone() for name, value in examined.model.state_dict().items()}
    images, labels = examined.images.clone(), examined.labels.clone()
    modes = [module.training for module in examined.model.modules()]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
    analysis(examined, **BUSY[word])
    hook_counts = [
        (len(m._forward_hooks), len(m._forward_pre_hooks)) for m in examined.model.modules()
    ]
    hook.remove()
    assert hook_counts == hooks
    assert [module.training for module in examined.model.modules()] == modes
    for name, value in examined.model.state_dict().items():
        assert torch.equal(value, weights[name])
    assert all(parameter.grad is None for parameter in examined.model.parameters())
    assert torch.equal(examined.images, images)
    assert torch.equal(examined.labels, labels)
    assert torch.equal(torch.get_rng_state(), torch_state)
    for before, after in zip(numpy_state, np.random.get_state(), strict=True):
        np.testing.assert_array_equal(before, after)


AGAIN: dict[str, tuple[str, dict[str, Any]]] = {
    word: (word, BUSY.get(word, {})) for word in ANALYSES
} | {
    "attribution": ("saliency", {"images": 4, "steps": 4}),
    "second order": ("pruning", {"criterion": "taylor-so", "levels": (0.2,), "images": 60}),
    "attack": ("attack", {"attack": "pgd", "steps": 3}),
    "smallest epsilon": ("smallest_epsilon", {"images": 4, "steps": 3}),
    "defences": ("defences", {"images": 4, "steps": 1}),
    "certificate": ("certify", {"images": 4, "draws": 20}),
    "oracle": ("oracle", {}),
}


@pytest.mark.parametrize(("name", "knobs"), AGAIN.values(), ids=AGAIN)
def test_nothing_is_left_in_memory_and_no_ring_waits_for_the_collector(
    name: str, knobs: dict[str, Any]
) -> None:
    examined = varied(120)  # a network deep enough for graphs of autograd
    left = []
    try:
        for _ in range(3):  # what is worth keeping is kept by the first
            getattr(rw, name)(examined, **knobs)
            if not left:
                gc.collect()
                gc.disable()
            kinds = [type(it) for it in gc.get_objects()]
            left.append(sum(issubclass(kind, torch.Tensor | nn.Module) for kind in kinds))
    finally:
        gc.enable()
    assert left == left[:1] * 3


def test_ticks_begin_at_zero_and_reach_the_total(
    word: str, analysis: Callable[..., Result]
) -> None:
    ticks: list[tuple[int, int]] = []
    analysis(subject(), progress=lambda *tick: ticks.append(tick), **BUSY[word])
    done, totals = [done for done, _ in ticks], {total for _, total in ticks}
    assert len(totals) == 1
    assert done[0] == 0
    assert done == sorted(done)
    assert done[-1] == totals.pop() > 0


def test_it_stops_when_told_and_goes_on_later(
    word: str, analysis: Callable[..., Result], result: Result
) -> None:
    examined = subject()
    ticks: list[int] = []

    def stop(done: int, total: int) -> None:
        ticks.append(done)
        if done:
            raise rw.Cancelled

    with pytest.raises(rw.Cancelled):
        analysis(examined, progress=stop, **BUSY[word])
    assert all(done == 0 for done in ticks[:-1])
    assert_same(analysis(examined, **BUSY[word]), result)


def test_its_code_gives_the_same_numbers(
    word: str, analysis: Callable[..., Result], result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    import reliab_widgets

    names: dict[str, Any] = {}
    # The text names the subject as it came into being; here that is a function of this file.
    assert "subject = subject()" in result.code()
    names["subject"] = subject
    exec(result.code(), names)
    assert names["rw"] is reliab_widgets
    assert_same(names["result"], result)
