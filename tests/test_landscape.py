"""Landscapes: surfaces on planes, the largest divergence found, slices of weights."""

import copy
import math
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses.landscape.compute import landscape
from reliab_widgets.analyses.landscape.result import Landscape
from reliab_widgets.core.engine import Cancelled, pulsing
from reliab_widgets.core.result import load
from reliab_widgets.ops.attacks import divergence
from reliab_widgets.ops.landscape.planes import random_signs, spanned
from reliab_widgets.ops.landscape.weights import slice_of
from reliab_widgets.ops.statistics.resampling import interval_of_mean
from tests.test_result import assert_same

QUICK: dict[str, Any] = {"points": 11, "steps": 3, "restarts": 1}


class TwoClasses(nn.Module):
    """Logits (w . x, -w . x) with w = (1, 2, -1, 0) of a 2 x 2 image: all by hand."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2, bias=False)
        with torch.no_grad():
            row = scale * torch.tensor([1.0, 2.0, -1.0, 0.0])
            self.fc.weight.copy_(torch.stack([row, -row]))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


def two_classes(scale: float = 1.0) -> Subject:
    images = torch.tensor([[0.5, 0.3, 0.4, 0.5], [0.4, 0.5, 0.6, 0.3], [0.3, 0.3, 0.8, 0.5]])
    return Subject(TwoClasses(scale), images.view(3, 1, 2, 2), [0, 0, 0], name="by hand")


def some(name: str = "resnet20", n: int = 16) -> Subject:
    whole = rw.demo(name)
    return whole[:n].with_validation(whole.validation[:200])


def climbed(subject: Subject, **how: Any) -> np.ndarray:
    """The largest divergences of all images of a subject."""
    usual = {"epsilon": 2 / 255, "steps": 20, "restarts": 1, "seed": 0}
    found = divergence.ascended(
        subject.network.logits, subject.images, subject.positions, **(usual | how)
    )
    return found.largest.numpy()


# --- by hand --------------------------------------------------------------------------------------


def test_the_surface_of_a_linear_model_is_computed_by_hand() -> None:
    result = landscape(two_classes(), plane="gradient", reach=0.1, points=11, steps=2)
    # S = 2 w . x = 1.4; its gradient has the signs of w, and the loss climbs against them. The
    # direction is (-1, -1, 1, 0), along which w . x falls by 4 for each 1.
    expected = 2 * (0.5 + 0.6 - 0.4 - 4 * result.axis)
    middle = result.middle
    np.testing.assert_allclose(result.margin[0, middle], expected, atol=1e-5)
    np.testing.assert_allclose(result.loss[0, middle], np.log1p(np.exp(-expected)), atol=1e-5)
    assert result.axis[[0, -1]].tolist() == pytest.approx([-0.1, 0.1])
    assert result.clamped.max() == 0


def test_the_boundary_along_the_gradient_is_where_it_is_by_hand() -> None:
    result = landscape(two_classes(), reach=0.2, points=11, steps=2)
    assert result.crossing(0, 0) == pytest.approx(0.7 / 4, abs=1e-4)


def test_the_largest_divergence_of_a_linear_model_is_that_of_a_corner() -> None:
    subject, epsilon = two_classes(), 0.05
    before, moved = 1.4, 2 * 4 * epsilon  # S, and by how much a corner of the ball moves it

    def bernoulli(s: float) -> tuple[float, float]:
        p = 1 / (1 + math.exp(-s))
        return p, 1 - p

    p = bernoulli(before)
    by_hand = max(
        sum(a * math.log(a / b) for a, b in zip(p, bernoulli(before + it), strict=True))
        for it in (-moved, moved)
    )
    found = climbed(subject[:1], epsilon=epsilon, restarts=6)
    assert found[0] == pytest.approx(by_hand, rel=1e-4)
    search = divergence.searched(
        subject.network.logits, subject.images[:1], torch.tensor([0]), epsilon=epsilon, passes=60,
        seed=0,
    )  # fmt: skip
    assert search.largest[0].item() == pytest.approx(by_hand, rel=1e-4)  # 16 corners: all seen


def test_pixels_end_at_black_and_white_and_it_is_told() -> None:
    result = landscape(two_classes(), reach=0.9, **QUICK)
    # On the axis of the gradient: three numbers of four, since the last has none.
    assert result.clamped[0, result.middle].max() == 0.75
    assert result.clamped[0, result.middle, result.middle] == 0
    assert "no pixel leaves 0–255" in " ".join(result.notes)


# --- the surface ----------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", ["gradient", "random", "attacks", "images"])
def test_the_zero_level_of_the_decision_surface_is_where_the_prediction_changes(plane: str) -> None:
    result = landscape(some(), plane=plane, index=3, **QUICK)
    assert ((result.margin > 0) == (result.right == 1)).all()
    assert result.right.min() == 0  # the boundary is on the plane
    middle = result.middle
    np.testing.assert_allclose(result.margin[0, middle, middle], result.margin[1, middle, middle])


def test_a_coarse_grid_is_a_part_of_the_fine_one() -> None:
    seen: list[Landscape] = []
    result = landscape(some(), points=21, steps=2, restarts=1, partial=seen.append)
    assert [len(it.axis) for it in seen] == [11, 11]
    assert not np.isfinite(seen[0].own).any()
    assert np.isfinite(seen[1].own).all()
    np.testing.assert_array_equal(seen[0].margin, result.margin[:, ::2, ::2])
    assert str(seen[0])  # it can be told and drawn while it grows
    seen[0].plot()


def test_the_second_direction_is_orthogonal_and_both_have_unit_length() -> None:
    image = some().images[0]
    plane = spanned(image, random_signs(image, 0, 0, 0), random_signs(image, 0, 0, 1), "signs")
    assert abs((plane.first * plane.second).sum().item()) < 1e-2
    assert plane.first.abs().max() == plane.second.abs().max() == 1
    assert plane.stretch()[[0, 90]].tolist() == pytest.approx([1, 1])
    assert 1.3 < plane.stretch()[45] < 1.5


def test_a_line_is_read_off_the_grid_and_its_length_is_what_a_pixel_moves() -> None:
    result = landscape(some(), **QUICK)
    length, values = result.along(result.margin[0], 0, 0)
    np.testing.assert_allclose(
        np.interp(result.axis, length, values), result.margin[0, 5], atol=0.3
    )
    length, values = result.along(result.margin[0], 45, 0)
    assert values[-1] == pytest.approx(result.margin[0, -1, -1], abs=1e-4)
    assert length[-1] == pytest.approx(2 * result.reach, rel=0.05)


def test_the_path_is_that_of_the_attack() -> None:
    subject = some()
    result = landscape(subject, index=3, epsilon=4 / 255, **QUICK)
    assert result.path.shape == (4, 2)
    assert result.path[0].tolist() == [0, 0]
    assert result.held[:2].tolist() == pytest.approx([1, 1], abs=0.02)  # one step along the sign
    attacked = rw.attack(subject, epsilon=4 / 255, steps=3, images=[3])
    logits = attacked.predict(attacked.images[3:4])[0]
    true = int(subject.labels[3])
    rival = np.delete(logits.numpy(), true).max()
    assert result.path_margin[-1] == pytest.approx(float(logits[true]) - rival, abs=1e-3)


def test_the_control_is_flat_where_the_gradient_is_steep() -> None:
    result = landscape(some(), index=3, points=21, steps=2, restarts=1)
    assert result.crossing(0, 0) < 3 / 255
    assert result.nearest(1) > 4 * result.crossing(0, 0)


# --- the divergence -------------------------------------------------------------------------------


def test_a_divergence_is_never_negative_and_zero_for_the_same() -> None:
    logits = 100 * torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    same = logits.log_softmax(1)
    assert (divergence.divergence(same, same) == 0).all()
    assert (divergence.divergence(same, same.roll(1, 0)) >= 0).all()


def test_at_the_image_itself_the_divergence_has_no_slope() -> None:
    subject = some(n=2)
    pixels = subject.images.clone().requires_grad_()
    before = subject.network.logits(subject.images).log_softmax(1)
    value = divergence.divergence(before, subject.network.logits(pixels).log_softmax(1))
    (slope,) = torch.autograd.grad(value.sum(), pixels)
    assert slope.abs().max() < 1e-4  # so ascents begin elsewhere


def test_more_restarts_never_find_less() -> None:
    subject = some(n=8)
    found = [climbed(subject, restarts=it, steps=5) for it in (1, 2, 3)]
    assert (found[1] >= found[0]).all()
    assert (found[2] >= found[1]).all()


def test_a_larger_ball_never_holds_less() -> None:
    subject = some(n=6)
    found = np.stack([climbed(subject, epsilon=it / 255, restarts=2) for it in (1, 2, 4, 8)])
    assert (np.diff(found, axis=0) >= 0).all()


def test_twenty_steps_are_enough() -> None:
    subject = some(n=8)
    one, twenty, forty = (climbed(subject, steps=it, restarts=2).mean() for it in (1, 20, 40))
    assert twenty >= one
    assert twenty == pytest.approx(forty, rel=0.03)


def test_the_calibrated_form_does_not_see_the_scale_of_the_logits_and_the_raw_one_does() -> None:
    subject = some(n=8)
    doubled = subject.on(subject.network.divided(0.5), name="doubled")
    plain, scaled = (landscape(it, images=8, epsilon=2 / 255, **QUICK) for it in (subject, doubled))
    assert scaled.temperature == pytest.approx(2 * plain.temperature, rel=1e-3)
    assert scaled.mean("calibrated") == pytest.approx(plain.mean("calibrated"), rel=0.02)
    assert scaled.mean("ascent") > 1.3 * plain.mean("ascent")


def test_logits_times_thirty_hide_nothing_from_the_ascent() -> None:
    subject = some(n=4)
    hidden = subject.on(subject.network.divided(1 / 30), name="scaled")
    found = landscape(hidden, images=4, epsilon=4 / 255, **QUICK)
    assert (found.of("ascent") > 30).all()
    assert not any("exactly 0" in note for note in found.notes)


def test_the_robust_twin_is_less_steep() -> None:
    """Issue 19: adversarially trained, lower at equal epsilon, with intervals apart."""
    plain, robust = (
        landscape(some(name, 16), images=16, epsilon=2 / 255, points=11, steps=5, restarts=1)
        for name in ("resnet20", "resnet20-robust")
    )
    assert robust.interval()[1] < plain.interval()[0]
    assert robust.interval("search")[1] < plain.interval("search")[0]


def test_ascent_finds_more_than_its_controls() -> None:
    result = landscape(some(), images=8, epsilon=2 / 255, **QUICK)
    means = [result.mean(kind) for kind in ("ascent", "search", "noise")]
    assert means == sorted(means, reverse=True)


def test_the_mean_comes_first_and_is_then_inverted() -> None:
    result = landscape(some(), images=8, epsilon=2 / 255, **QUICK)
    values = result.of("ascent")
    assert result.rigidity() == pytest.approx(1 / values.mean())
    assert result.rigidity() < (1 / values).mean()
    assert result.interval() == interval_of_mean(values)
    low, high = result.interval()
    assert low < result.mean() < high
    assert len(result.divergences()) == 8
    assert "lower bound" in str(result)


# --- weights --------------------------------------------------------------------------------------


def test_directions_of_weights_are_as_long_as_each_filter_and_leave_norms_and_biases() -> None:
    network = some(n=2).network
    plane = slice_of(network, 0, 0)
    for name, weight in network.model.named_parameters():
        if weight.ndim > 1:
            for direction in (plane.first[name], plane.second[name]):
                lengths = (it.flatten(1).norm(dim=1) for it in (direction, weight))
                torch.testing.assert_close(*lengths)
        else:
            assert name not in plane.first


def test_the_loss_over_weights_is_that_of_the_network_in_the_middle() -> None:
    subject = some(n=12)
    before = {name: it.clone() for name, it in subject.model.state_dict().items()}
    result = landscape(subject, space="weights", images=8, points=11, seed=1)
    assert all(torch.equal(it, before[name]) for name, it in subject.model.state_dict().items())
    few = subject[result.index.tolist()]
    loss = nn.functional.cross_entropy(few.logits, few.labels).item()
    middle = result.middle
    assert result.loss[0, middle, middle] == pytest.approx(loss, abs=1e-5)
    right = (few.logits.argmax(1) == few.labels).float().mean().item()
    assert result.right[1, middle, middle] == pytest.approx(right)
    assert result.loss[0].max() > 2 * loss
    assert result.examined == "8 images"
    assert "loss goes from" in str(result)
    result.plot()


def test_scaling_a_filter_with_the_norm_behind_it_changes_no_slice() -> None:
    """What filters are normalised for: the same network, written with other weights."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ).eval()
    images = torch.rand(6, 1, 4, 4)
    large = copy.deepcopy(model)
    with torch.no_grad():
        large[0].weight *= 7
        large[0].bias *= 7
        large[1].running_var.copy_(49 * model[1].running_var + 48 * model[1].eps)
    results = [
        landscape(Subject(it, images, [0, 1, 2, 0, 1, 2], name="x"), space="weights", points=11)
        for it in (model, large)
    ]
    np.testing.assert_allclose(results[0].loss, results[1].loss, rtol=1e-3, atol=1e-4)


# --- what cannot be -------------------------------------------------------------------------------


def test_two_equal_images_span_no_plane() -> None:
    subject = some()
    twice = subject[[0, 1, 0]]
    with pytest.raises(
        ValueError, match=r"^two equal images span no plane: got image 0 and .*\. P"
    ):
        landscape(twice, plane="images", toward=2)
    with pytest.raises(ValueError, match=r"^two equal images .* Pass toward= another image"):
        landscape(subject, plane="images", toward=0)
    with pytest.raises(ValueError, match=r"^plane='images' needs another image: the subject has"):
        landscape(subject[:1], plane="images")
    with pytest.raises(ValueError, match=r"^toward goes with plane='images' only"):
        landscape(subject, toward=1)


def test_too_few_images_have_no_interval_and_it_is_said() -> None:
    result = landscape(some(), images=3, **QUICK)
    assert np.isnan(result.interval()).all()
    assert any(note.startswith("3 images are too few for an interval") for note in result.notes)
    assert "nan" not in str(result) + result.reading()


class Blocking(TwoClasses):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


def test_without_gradients_random_search_is_left_and_it_is_said() -> None:
    subject = Subject(Blocking(), two_classes().images, [0, 0, 0], name="blocking")
    with pytest.raises(ValueError, match=r"gradients are blocked .* plane='random'"):
        landscape(subject)
    result = landscape(subject, plane="random", **QUICK)
    assert np.isnan(result.own[:2]).all()
    assert result.own[2] >= result.own[3] > 0
    assert len(result.path) == 0
    assert any("gradients are blocked: no ascent" in note for note in result.notes)
    assert "random search alone" in str(result)
    result.plot()


def test_without_validation_images_there_is_no_calibrated_form_and_it_is_said() -> None:
    result = landscape(two_classes(), **QUICK)
    assert np.isnan(result.temperature)
    assert np.isnan(result.own[1])
    assert any("no calibrated form" in note for note in result.notes)


class Flat(TwoClasses):
    """Answers that no small change reaches."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.round())


def test_gradients_of_zero_are_no_robustness_and_it_is_said() -> None:
    subject = Subject(Flat(), two_classes().images, [0, 0, 0], name="flat")
    result = landscape(subject, index=1, points=11)
    said = " ".join(result.notes)
    assert "every gradient is exactly 0 here" in said
    assert "masked gradients" in said
    assert result.own[2] > 0  # a pixel of 0.5 is rounded up by any step


def test_it_stops_within_a_step() -> None:
    """Cancel reaches ascent, search, attack and slices between two passes."""
    subject = some(n=16)

    class Stop(Exception):
        pass

    for knobs in (
        {"images": 16, "points": 11, "steps": 200},
        {"space": "weights", "images": 16},
    ):
        begun: list[float] = []

        def check(begun: list[float] = begun) -> None:
            if begun and time.monotonic() > begun[0]:
                begun.append(time.monotonic())
                raise Cancelled

        timer = threading.Timer(1.0, lambda b=begun: b.append(time.monotonic()))
        timer.start()
        with pulsing(check), pytest.raises(Cancelled):
            landscape(subject, **knobs)
        assert begun[1] - begun[0] < 0.3


def test_saved_and_computed_again_it_is_the_same(tmp_path: Any) -> None:
    result = landscape(some(), images=2, **QUICK)
    assert_same(load(result.save(tmp_path / "r.npz")), result)
    assert_same(landscape(some(), images=2, **QUICK), result)


def test_a_pinned_one_is_compared() -> None:
    plain, robust = (landscape(some(it), **QUICK) for it in ("resnet20", "resnet20-robust"))
    said = robust.against(plain)
    assert said.startswith("Against resnet20: the prediction changes")
    assert "the largest divergence found is" in said
    robust.plot(pinned=plain, angle=30, surface="loss", narrow=True)
