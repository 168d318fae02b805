"""Defences beside each other: by hand on a linear network, and on a real one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject, zoo
from reliab_widgets.core.randomness import drawing
from reliab_widgets.ops.defences.beside import ATTACKERS, REFUSED, RIGHT, WRONG, Defences
from tests.test_adversary import bright


def outcome(found: Defences, defence: str) -> dict[str, list[int]]:
    rows = found.outcome[found.defences.index(defence)]
    return dict(zip(ATTACKERS, rows.tolist(), strict=True))


def test_who_knows_a_defence_goes_on_where_who_does_not_stops() -> None:
    """An image is bright above 0.5; behind `invert` below, and the other way leads nowhere."""

    def invert(images: Tensor) -> Tensor:
        return 1 - images

    found = rw.defences(bright([0.42, 0.2], [0, 0]), tried=("none", invert), epsilon=0.1, steps=3)
    assert found.defences == ("none", "invert")
    assert outcome(found, "none") == {it: [WRONG, WRONG] for it in ATTACKERS}
    assert outcome(found, "invert") == {
        "nobody": [RIGHT, RIGHT],
        "noise": [RIGHT, RIGHT],
        "grey-box": [RIGHT, RIGHT],
        "adaptive": [WRONG, RIGHT],
    }


def test_a_twin_is_attacked_by_what_the_other_network_shows() -> None:
    class Reversed(nn.Module):
        """Its slopes lead elsewhere, its answers are always right."""

        def forward(self, x: Tensor) -> Tensor:
            mean = x.mean((1, 2, 3))
            return torch.stack([9 - mean, mean - 9, mean - 99], 1)

    subject = bright([0.53, 0.52])
    twin = Subject(Reversed(), subject.images, subject.labels, name="sturdy")
    found = rw.defences(subject, tried="none", twin=twin, epsilon=0.1, steps=2)
    assert found.defences == ("none", "sturdy")
    assert outcome(found, "none")["grey-box"] == [WRONG, WRONG]
    assert outcome(found, "sturdy")["adaptive"] == [RIGHT, RIGHT]
    assert "Most is left of sturdy" in str(found)


def test_on_a_real_network_knowing_is_never_weaker(tmp_path: Path) -> None:
    subject = rw.demo("resnet20")
    tried = ("none", "resize", "smoothing", "refusal")
    found = rw.defences(subject, tried=tried, epsilon=2 / 255, steps=2, images=8)
    right = found.summary()
    assert right.index.tolist() == list(tried)
    assert (right["adaptive"] <= right["grey-box"]).all()
    assert (right.loc["none", "grey-box"] == right.loc["none", "adaptive"]).all()
    refused = found.outcome == REFUSED
    assert not refused[:3].any()
    frame = found.to_frame()
    assert len(frame) == 4 * 4
    np.testing.assert_allclose(frame[["right", "wrong", "refused"]].sum(axis=1), 1)
    assert "does not know the defence → who does: none " in str(found)
    loaded = rw.load(found.save(tmp_path / "defences.npz"))
    assert str(loaded) == str(found)


def test_a_detector_refuses_few_clean_images() -> None:
    subject = rw.demo("resnet20")
    found = rw.defences(subject, tried="refusal", epsilon=1 / 255, steps=1, images=40)
    assert (found.outcome[0, 0] == REFUSED).mean() <= 0.15  # 5 %, but for chance


def test_resizing_shrinks_moves_and_draws_anew() -> None:
    white = torch.ones(64, 3, 32, 32)
    resize = zoo.denoiser("resize")
    first = resize(white)
    assert torch.equal(first, resize(white))
    with drawing(1):
        assert not torch.equal(first, resize(white))
    area = first[:, 0].mean((1, 2))
    assert area.min() > (7 / 8) ** 2 - 0.01
    assert area.max() <= 1 + 1e-6
    assert area.std() > 0.03
    # What is left out is black, and on either side alike.
    ramp = torch.arange(32).float()
    centre = (first[:, 0].mean(1) * ramp).sum(1) / first[:, 0].mean(1).sum(1)
    assert abs(centre.mean() - 15.5) < 0.3
    assert centre.std() > 0.3
    inner = first[:, :, 8:24, 8:24]
    torch.testing.assert_close(inner, torch.ones_like(inner))


def test_defences_that_are_called_alike_are_refused() -> None:
    def darken(images: Tensor) -> Tensor:
        return images / 3

    from tests.test_adversary import darken as other

    with pytest.raises(ValueError, match=r"two defences are called alike: got 'darken'"):
        rw.defences(bright([0.3]), tried=(darken, other))
    with pytest.raises(ValueError, match=r"no such defence: got 'refuse'.*nearest: refusal"):
        rw.defences(bright([0.3]), tried=("refuse",))
