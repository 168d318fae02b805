"""Kinds of knobs: what they take, in which form, and what they say to everything else."""

import inspect
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reliab_widgets as rw
from reliab_widgets.core.analysis import checked
from reliab_widgets.core.knobs import (
    Auto,
    Choice,
    ClassOf,
    Flag,
    Images,
    Knobs,
    Own,
    Place,
    Positions,
    Real,
    Seed,
    Several,
    Text,
    Whole,
    declared,
)

CLASSES = SimpleNamespace(classes=("dog", "cat", "cat"))
TEN = range(10)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        (Whole(1, 9), 3, 3),
        (Whole(1, 9), np.int64(3), 3),
        (Whole(1, 9), torch.tensor(3), 3),
        (Real(above=0), 2, 2.0),
        (Real(above=0), np.float32(0.5), 0.5),
        (Flag(), np.True_, True),
        (Choice(("a", "b")), np.str_("a"), "a"),
        (Choice((1, 2)), 2, 2),
        (ClassOf(("top",)), "top", "top"),
        (ClassOf(("top",)), "cat", 1),
        (ClassOf(("top",)), np.int8(2), 2),
        (Several(Whole(1, 9)), [1, 2], (1, 2)),
        (Several(Whole(1, 9), alone=True), 3, (3,)),
        (Several(Whole(1, 9)), np.array([1, 2]), (1, 2)),
        (Auto(Whole(1, 9)), None, None),
        (Auto(Whole(1, 9)), 4, 4),
        (Images(), 3, 3),
        (Images(), [3, -1], (3, 9)),
        (Images(), torch.tensor([2]), (2,)),
        (Positions(), -1, (9,)),
        (Positions(), np.arange(2), (0, 1)),
        (Text(), "fc", "fc"),
        (Place(), "here", Path("here")),
        (Own("a function"), len, len),
    ],
)
def test_values_come_in_one_form(kind: Any, value: Any, form: Any) -> None:
    about = CLASSES if isinstance(kind, ClassOf) else TEN
    found = kind.check("knob", value, about)
    assert found == form
    assert type(found) is type(form)
    assert kind.check("knob", found, about) == form  # the normal form is a fixed point


WRONG = [True, -1, 2.5, float("nan"), "two", None, [], {"a": 1}, b"x", object(), np.array([[1.5]])]


@pytest.mark.parametrize(
    "kind",
    [
        Whole(1, 9),
        Real(above=0, most=1),
        Flag(),
        Choice(("a", "b")),
        ClassOf(("top",)),
        Several(Whole(1, 9), least=1),
        Auto(Choice(("a",))),
        Images(),
        Positions(),
        Text(),
        Place(),
        Own("a function"),
    ],
)
def test_everything_else_is_refused_in_three_parts(kind: Any) -> None:
    about = CLASSES if isinstance(kind, ClassOf) else TEN
    refused = 0
    for value in WRONG:
        try:
            kind.check("knob", value, about)
        except (TypeError, ValueError, IndexError) as error:
            refused += 1
            happened, _, rest = str(error).partition(": ")
            assert happened
            assert "got " in rest
            assert "knob" in str(error)
            assert str(error).endswith(".")
    assert refused >= len(WRONG) - 3


@given(st.integers(-(2**70), 2**70))
def test_a_whole_number_is_in_its_range_or_refused(number: int) -> None:
    kind = Whole(-5, 1000)
    if -5 <= number <= 1000:
        assert kind.check("k", number, None) == number
    else:
        with pytest.raises(ValueError, match=r"Pass k= from -5 to 1,000"):
            kind.check("k", number, None)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_in_its_interval_or_refused(number: float) -> None:
    kind = Real(above=0, most=1)
    if 0 < number <= 1:
        assert kind.check("k", number, None) == number
    else:
        with pytest.raises(ValueError, match="k must be a number above 0 and at most 1"):
            kind.check("k", number, None)


def test_facts_may_depend_on_the_subject() -> None:
    kind = Whole(1, len, "there are no more images")
    assert kind.check("n", 10, TEN) == 10
    with pytest.raises(ValueError, match="from 1 to 10: there are no more images"):
        kind.check("n", 11, TEN)


def test_renamed_and_misspelt_names_are_led_home() -> None:
    with pytest.raises(TypeError, match="It is called calibration_set here"):
        rw.reliability(rw.demo("resnet20")[:4], fit=None)
    with pytest.raises(TypeError, match="The nearest: temperature"):
        rw.reliability(rw.demo("resnet20")[:4], temprature=1)


def test_a_class_is_written_by_its_name_where_that_is_its_own() -> None:
    kind = ClassOf()
    assert [kind.text("label", k, CLASSES) for k in range(3)] == ["'dog'", "'cat'", "2"]


def test_keywords_of_ours_are_all_declared_and_those_of_users_may_be() -> None:
    def mine(subject: Any, *, k: Annotated[int, Whole(1, 9)] = 2, text: str = "") -> None: ...

    assert list(declared(mine)) == ["k"]
    with pytest.raises(TypeError, match="text of mine has none"):
        declared(mine, complete=True)


def test_an_annotation_that_cannot_be_evaluated_does_not_vanish() -> None:
    def mine(subject: Any, *, k: "Annotated[int, Wohle(1, 9)]" = 2) -> None: ...  # noqa: F821

    with pytest.raises(TypeError, match=r"cannot be evaluated: mine\(k: .*Wohle"):
        declared(mine)


def test_people_read_plain_signatures() -> None:
    @checked
    def mine(*, k: Annotated[int, Whole(1, 9)] = 2, seed: Seed = 0) -> int:
        """Say so."""
        return k

    assert str(inspect.signature(mine)) == "(*, k: int = 2, seed: int = 0) -> int"
    assert mine.__doc__ == "Say so."
    for word in rw.analyses.ANALYSES:
        assert "Whole" not in str(inspect.signature(getattr(rw, word)))


def test_knobs_of_a_result_are_read_only_travel_and_name_what_is_missing() -> None:
    knobs = Knobs({"bins": 15, "label": "cat"})
    assert pickle.loads(pickle.dumps(knobs)) == knobs
    assert hash(knobs) == hash(Knobs({"bins": 15, "label": "cat"}))
    with pytest.raises(TypeError):
        knobs["bins"] = 3  # type: ignore[index]
    with pytest.raises(KeyError, match="The nearest: bins"):
        knobs["bin"]


def test_a_result_carries_every_knob_seed_included(tmp_path: Path) -> None:
    result = rw.reliability(rw.demo("resnet20")[:20], label=3, bins=np.int64(5))
    assert result.knobs["seed"] == 0
    assert result.knobs["label"] == "cat"
    assert set(result.knobs) == set(rw.reliability.knobs)  # type: ignore[attr-defined]
    assert rw.load(result.save(tmp_path / "r.npz")).knobs == result.knobs  # type: ignore[attr-defined]
