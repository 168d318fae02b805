"""Choosing an image by number, by step, and among the wrong or unsure ones."""

import pytest
import torch
from torch import nn

from reliab_widgets import Subject
from reliab_widgets.ui.picker import Picker

# The logit of class 1 is ten times the grey value less 5: 0.1 is surely dark, 0.51 hardly bright.
GREYS = [0.1, 0.9, 0.51, 0.1, 0.7, 0.2]
LABELS = [0, 1, 1, 1, 1, 0]  # image 3 is wrong, image 2 is unsure, image 4 is right at 88 %


class Grey(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = 10 * x.mean((1, 2, 3)) - 5
        return torch.stack([torch.zeros_like(z), z], 1)


@pytest.fixture
def picker() -> Picker:
    images = torch.tensor(GREYS).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Picker(Subject(Grey(), images, LABELS))


def test_it_begins_where_the_model_is_right_but_not_certain(picker: Picker) -> None:
    assert picker.value == 2  # 0 and 1 are right with 98 %, 2 with 52 %


def test_it_begins_where_the_model_is_right_and_most_certain_if_asked(picker: Picker) -> None:
    images = torch.tensor([0.02, *GREYS]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    subject = Subject(Grey(), images, [1, *LABELS])  # the surest of all is wrong
    assert Picker(subject, certain=True).value == 1


def test_steps_go_round(picker: Picker) -> None:
    picker.value = 5
    picker.step(1)
    assert picker.value == 0
    picker.step(-1)
    assert picker.value == 5


@pytest.mark.parametrize(("which", "found"), [("wrong", 3), ("unsure", 2)])
def test_a_filter_is_searched_both_ways(picker: Picker, which: str, found: int) -> None:
    picker.which.value = which
    for way in (1, -1, 0):
        picker.value = 0
        picker.step(way)
        assert picker.value == found


def test_where_nothing_is_found_the_image_stays(picker: Picker) -> None:
    picker.which.value = "wrong"
    picker.value = 3
    picker.step(1)
    assert picker.value == 3


def test_any_image_is_within_bounds_and_moves(picker: Picker) -> None:
    seen = set()
    for _ in range(40):
        picker.step(0)
        seen.add(picker.value)
    assert seen == set(range(6))


def test_numbers_out_of_range_are_brought_back(picker: Picker) -> None:
    picker.value = 99
    assert picker.value == picker.max == 5
    picker.value = -3
    assert picker.value == picker.min == 0


def test_a_given_image_cannot_be_changed_by_hand(picker: Picker) -> None:
    picker.disabled = True
    assert all(part.disabled for part in picker.children)


def test_it_keeps_to_a_narrower_range(picker: Picker) -> None:
    picker.value = 5
    picker.min, picker.max = 1, 3
    assert picker.value == 3
    seen = []
    for way in (1, 1, -1, -1, 0, 0, 0):
        picker.step(way)
        seen.append(picker.value)
    assert seen[:4] == [1, 2, 1, 3]
    assert {*seen} <= {1, 2, 3}
