"""Several attacks, several sizes: exact outcomes on a linear model, verdicts, pictures, files."""

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.analyses.robustness import sentences
from reliab_widgets.analyses.robustness.compute import allowed, robustness
from reliab_widgets.analyses.robustness.drawing import Curve
from reliab_widgets.analyses.robustness.result import BROKEN, UNTRIED, Robustness
from reliab_widgets.ops.attacks.verdict import TESTS, Finding
from tests.test_certificates import halfspace

SIZES = (0.02, 0.1, 0.3)


class Mean(nn.Module):
    """Two classes: dark and light, parted at a mean of one half."""

    def __init__(self, sure: float = 1.0, levels: int = 0) -> None:
        super().__init__()
        self.sure, self.levels = sure, levels

    def forward(self, images: Tensor) -> Tensor:
        if self.levels:  # no slope anywhere
            images = (images * self.levels).round() / self.levels + 0 * images
        mean = images.mean((1, 2, 3))
        return self.sure * torch.stack([1 - mean, mean], 1)


def greys(*values: float, labels: tuple[int, ...], model: nn.Module | None = None) -> Subject:
    images = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Subject(model or Mean(), images, torch.tensor(labels), name="mean")


FOUR = greys(0.3, 0.45, 0.6, 0.7, labels=(0, 0, 1, 0))
"""Parted from the boundary by 0.2, 0.05, 0.1 in every pixel; the last one is wrong."""


def measured(**knobs: object) -> Robustness:
    given = {"attacks": ("fgsm", "pgd"), "epsilons": SIZES, "images": [0, 1, 2, 3]}
    return robustness(FOUR, **{**given, "thorough": False, **knobs})


def test_each_image_breaks_at_its_own_size() -> None:
    result = measured()
    by_hand = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1]]
    for place in (0, 1):
        # 0.6 and 0.1 are no binary fractions: at exactly the distance either answer is right.
        seen = result.outcome[place].copy()
        seen[2, 2] = 0
        assert seen.tolist() == by_hand
    assert result.epsilons.tolist() == [0, *SIZES]
    np.testing.assert_array_equal(result.noise[:, 3], True)
    assert result.accuracy()[[0, 1, 3]].tolist() == [0.75, 0.75, 0]
    assert result.smallest[[0, 1, 3]].tolist() == [0.3, 0.1, 0]


def test_in_l2_the_whole_change_counts() -> None:
    """Four pixels share the length: the distances are twice as long."""
    result = measured(norm="L2", epsilons=(0.05, 0.15, 0.3, 0.5), attacks=("fgsm", "deepfool"))
    for place in (0, 1):
        broken = (result.outcome[place] == BROKEN)[:, :3]
        assert broken.argmax(0).tolist() == [4, 2, 3]  # 0.4, 0.1 and 0.2


def test_what_looks_for_the_smallest_change_needs_no_ball() -> None:
    """An L2 norm may be longer than the range of a pixel; DeepFool is handed none."""
    result = measured(norm="L2", epsilons=(0.5, 1.6), attacks=("deepfool", "cw"))
    assert result.accuracy().tolist() == [0.75, 0, 0]


def test_a_larger_change_breaks_whatever_a_smaller_one_did() -> None:
    subject = rw.demo("resnet20")[:8]
    result = robustness(subject, attacks=("fgsm", "square"), queries=20, thorough=False)
    assert (np.diff(result.outcome.astype(int), axis=1) >= 0).all()
    assert (np.diff(result.broken.astype(int), axis=0) >= 0).all()
    again = robustness(subject, attacks=("fgsm", "square"), queries=20, thorough=False)
    np.testing.assert_array_equal(result.outcome, again.outcome)
    some = robustness(
        subject[3:], attacks=("fgsm", "square"), queries=20, thorough=False, images=[0, 1]
    )
    np.testing.assert_array_equal(some.outcome, result.outcome[:, :, 3:5])
    np.testing.assert_array_equal(some.noise, result.noise[:, 3:5])


def test_two_functions_that_are_called_alike_are_refused() -> None:
    def half(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return images / 2

    def double(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return (2 * images).clamp(0, 1)

    double.__name__ = "half"
    with pytest.raises(ValueError, match=r"two attacks are called alike: got 'half'.*\.name"):
        measured(attacks=(half, double))
    assert measured(attacks=(half, half)).attacks == ("half",)
    double.name = "double"
    assert measured(attacks=(half, double)).attacks == ("half", "double")


def test_what_hides_is_named() -> None:
    values = tuple(np.linspace(0.3, 0.45, 12).tolist())
    knobs = {"attacks": ("fgsm", "bim", "pgd"), "epsilons": (0.3,), "images": 12}
    honest = robustness(greys(*values, labels=(0,) * 12), **knobs)
    assert not honest.verdict.hidden and honest.accuracy().tolist() == [1, 0]
    steps = greys(*values, labels=(0,) * 12, model=Mean(levels=4))
    hidden = robustness(steps, **knobs)
    assert hidden.accuracy()[1] > 0.5
    assert hidden.verdict.hidden
    fired = {it.name for it in hidden.verdict.tests if it.fired}
    assert {"gradients are zero", "epsilon 1 does not break all"} <= fired
    assert "hidden" in str(hidden)


@pytest.mark.parametrize("attack", ["pgd", "pgd:cross-entropy"])
def test_pgd_is_tried_harder_by_whatever_name(attack: str) -> None:
    values = tuple(np.linspace(0.3, 0.45, 12).tolist())
    found = robustness(greys(*values, labels=(0,) * 12), attacks=attack, epsilons=(0.3,))
    harder = {"more steps or restarts still help", "epsilon 1 does not break all"}
    assert harder <= {test.name for test in found.verdict.tests}
    quick = measured(attacks=attack)
    assert not harder & {test.name for test in quick.verdict.tests}


def test_it_grows_and_can_be_stopped() -> None:
    seen: list[Robustness] = []
    whole = measured(partial=seen.append)
    assert len(seen) == 1 + 2 * len(SIZES)
    assert (seen[0].outcome[:, 1:] == UNTRIED).all()  # the control comes first
    assert "come next" in seen[0].reading()
    assert (seen[1].outcome[1, 1:] == UNTRIED).all()
    assert np.isnan(seen[1].accuracy("pgd")[1])
    np.testing.assert_array_equal(seen[-1].outcome, whole.outcome)

    def stop(done: int, total: int) -> None:
        assert done <= total
        if done > 20:
            raise rw.Cancelled

    with pytest.raises(rw.Cancelled):
        measured(progress=stop)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"attacks": ("pdg",)}, r"no such attack: got 'pdg'.*nearest: pgd"),
        ({"attacks": ("pgd:loud",)}, r"no such loss: got 'loud'"),
        ({"attacks": ("simba",)}, r"bounds no change in that norm: got 'simba' with norm='Linf'"),
        ({"epsilons": (0.2, 0.1)}, r"epsilons do not rise: .*Pass epsilons=\(0\.1, 0\.2\)"),
        ({"epsilons": (-0.1, 0.1)}, r"epsilons must be a number of at least 0: got -0\.1"),
        ({"epsilons": (0.1, 8)}, r"more than the range of a pixel: got 8"),
        ({"queries": 0}, "queries must be a whole number"),
        ({"sigma": 0.1}, r"about the L2 length: got sigma=0\.1 with norm='Linf'.*norm=\"L2\""),
        ({"sigma": 0.1, "norm": "L2", "draws": 9}, r"so few draws.*Pass draws= as at least 10"),
    ],
)
def test_what_cannot_be_is_refused(knobs: dict[str, object], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        measured(**knobs)


def test_without_gradients_black_boxes_are_left() -> None:
    class Blocked(Mean):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach())

    subject = greys(0.3, 0.45, labels=(0, 0), model=Blocked())
    assert "pgd" in allowed(subject).refused and "square" not in allowed(subject).refused
    with pytest.raises(ValueError, match="gradient"):
        robustness(subject, attacks=("pgd",), epsilons=SIZES)
    result = robustness(subject, epsilons=SIZES, queries=20)
    assert result.attacks == ("square",)
    assert result.accuracy("square").tolist() == [1, 1, 0.5, 0]
    assert "gradients are blocked (something in it cuts them off" in result.notes[0]
    assert result.verdict.names == () and "no verdict" in str(result).lower()


def test_recorded_answers_cannot_be_attacked() -> None:
    with pytest.raises(ValueError, match="there are only logits"):
        allowed(Subject.from_logits(5 * np.eye(3), [0, 1, 2]))


# --- what is proved, beside it ----------------------------------------------------------------


def proved(**knobs: object) -> Robustness:
    """Three images, 1 and 0.1 from the boundary in L2, and on its wrong side."""
    subject = halfspace([1.0, 0.55, 0.2])
    how = {"attacks": ("fgsm",), "norm": "L2", "epsilons": (0.02, 0.3, 1.2), "images": [0, 1, 2]}
    return robustness(subject, thorough=False, **{**how, "sigma": 0.1, "draws": 100, **knobs})


def test_each_image_is_proved_broken_or_neither_by_hand() -> None:
    result = proved()
    by_hand = {
        "proved": [[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]],
        "unknown": [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]],
        "broken": [[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0]],
        "wrong": [[0, 0, 1]] * 4,
    }
    for name, rows in by_hand.items():
        assert [result.part(name, k).astype(int).tolist() for k in range(4)] == rows, name
    # All of a hundred copies of the first lie on one side: p is 0.001^(1 / 100).
    assert result.proved[0] == pytest.approx(0.1 * NormalDist().inv_cdf(10 ** (-3 / 100)))
    assert 0.02 < result.proved[1] < 0.1
    assert result.proved[2] == -1


def test_the_sentence_says_which_network_is_proved() -> None:
    result = proved()
    words, name = result.reading(epsilon=0.3), result.subject
    assert "0 % of the images are proved safe, 33 % are broken, 33 % were wrong before" in words
    assert "nothing is known of 33 %." in words
    assert "No proof reaches beyond 0.15." in words
    assert f"proved is of {name} smoothed by noise, broken of {name} itself." in words
    assert "lost here" not in words


class Hole(nn.Module):
    """Class 0 everywhere, but for one grey value."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0 * mean, torch.where((mean - 0.7).abs() < 1e-3, 1.0, -1.0)], 1)


def test_what_is_proved_of_the_one_network_may_be_lost_in_the_other() -> None:
    subject = greys(0.7, 0.3, labels=(0, 0), model=Hole())
    result = robustness(subject, norm="L2", sigma=0.1, draws=50, queries=5)
    assert result.part("proved", 0).tolist() == [True, True]
    assert result.part("wrong", 0).tolist() == [True, False]
    assert "1 image is proved there and lost here" in result.reading(epsilon=0.0)


def test_beside_a_proof_sizes_are_those_it_may_reach() -> None:
    result = proved(epsilons=None)
    np.testing.assert_allclose(result.epsilons, [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.6])


def test_the_proof_comes_last_and_is_kept(tmp_path: Path) -> None:
    seen: list[Robustness] = []
    result = proved(partial=seen.append)
    assert {it.certificate for it in seen} == {None}
    assert "The proof comes next." in seen[-1].reading(epsilon=0.3)
    again = rw.load(result.save(tmp_path / "proved.npz"))
    np.testing.assert_array_equal(again.proved, result.proved)
    assert str(again) == str(result)
    told = " ".join(it.get_text() for it in Curve.on(result.plot()).proof.lines)
    assert "100 draws, 99.9" in told and "abstains on 0 of 3" in told


def test_behind_a_denoiser_both_are_examined_behind_it() -> None:
    result = proved(denoiser="median")
    assert result.certificate is not None
    assert result.certificate.subject == f"{result.subject}, behind median"


def test_a_result_is_a_table_a_sentence_a_picture_and_a_file(tmp_path: Path) -> None:
    result = measured()
    frame = result.to_frame()
    assert list(frame.columns) == ["attack", "epsilon", "image", "truth", "broken"]
    assert len(frame) == 3 * 4 * 4  # two attacks and the noise
    assert "leaves 0 % of the predictions right, of 75 %" in result.reading(epsilon=0.3)
    assert "Without any change 75 %" in result.reading(epsilon=0.0)
    figure = result.plot(epsilon=0.3)
    numbers = Curve.on(figure).parts.numbers
    told = [it.get_text().replace("\u202f", " ") for it in numbers if it.get_visible()]
    assert told == ["0 %", "75 %", "25 %"]
    again = rw.load(result.save(tmp_path / "robust.npz"))
    np.testing.assert_array_equal(again.outcome, result.outcome)
    assert str(again.verdict) == str(result.verdict)
    assert "instead of" in measured(attacks=("fgsm",)).against(result, epsilon=0.3)


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("fired", [True, False])
def test_what_a_test_found_does_not_reach_its_numbers(name: str, fired: bool) -> None:
    assert len(sentences.assured(Finding(name, fired, 55, 0, 57, 0.0))) <= 34
