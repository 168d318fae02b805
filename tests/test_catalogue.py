"""The catalogue of attacks: one table, and what each of its newer methods must do by hand."""

import math
import warnings
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.core.engine import Cancelled, pulsing
from reliab_widgets.core.randomness import drawing
from reliab_widgets.ops.attacks import apgd, objective
from reliab_widgets.ops.attacks.adversary import Seen
from reliab_widgets.ops.attacks.attack import Attack, Attacked
from reliab_widgets.ops.attacks.catalogue import METHODS, those
from tests.models import Blocked, RefusesGradients, flat_images
from tests.test_attacks import WEIGHT, inside, linear, pixels

QUERIES = those(lambda it: it.counts == "query")
CLIMBERS = those(lambda it: it.loss and it.gradients)
DRAWN = (*those(lambda it: it.starts), *QUERIES)  # what is drawn for an image is its own


def some(count: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 2, 2, generator=generator) * 0.8 + 0.1
    return images, linear(images).argmax(1)


def resnet(count: int) -> tuple[Seen, Tensor, Tensor]:
    subject = rw.demo("resnet20")[:count]
    return Seen(subject.network), subject.images, subject.labels


# --- the table --------------------------------------------------------------------------------


def test_widgets_offer_what_they_did_in_its_order() -> None:
    offered = ("bim", "fgsm", "mim", "pgd", "pgd-l2", "deepfool", "none")
    assert those(lambda it: it.live) == offered == tuple(METHODS)[: len(offered)]
    assert list(rw.attack.knobs["attack"].kind.values) == list(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_leaves_the_generators_alone(method: str) -> None:
    images, labels = some()
    given, torch_state = images.clone(), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    attacked = Attack(method, 0.9, steps=30)(linear, images, labels)
    assert torch.equal(images, given)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert torch.equal(attacked.trajectory[0].argmax(1), labels) or METHODS[method].starts
    torch.testing.assert_close(attacked.trajectory[-1], linear(attacked.images))
    assert torch.equal(attacked.success, linear(attacked.images).argmax(1) != labels)
    assert bool((attacked.queries > 0).any()) == (method in (*QUERIES, "boundary"))
    if method != "none":
        assert attacked.success.double().mean() >= 0.6


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_it_can_be_stopped_between_any_two_passes(method: str) -> None:
    images, labels = some(2)
    passes = 0

    def model(images: Tensor) -> Tensor:
        nonlocal passes
        passes += 1
        return linear(images) * torch.tensor([1.0, 0.0, 0.0]) + torch.tensor([50.0, 0.0, 0.0])

    def check() -> None:
        nonlocal beats
        beats += 1
        if beats > allowed:
            raise Cancelled

    beats, allowed = 0, 3 if METHODS[method].counts else 0
    with pulsing(check), pytest.raises(Cancelled):
        Attack(method, 0.01, 60, restarts=9)(model, images, labels * 0)
    assert passes <= 2 * allowed + 3


@pytest.mark.parametrize("method", DRAWN)
def test_company_changes_nothing_and_seeds_reproduce(method: str) -> None:
    images, labels = some(5)
    indices = torch.tensor([7, 3, 9, 1, 0])
    attack = Attack(method, 0.05, 25)
    together = attack(linear, images, labels, indices)
    alone = [
        attack(linear, images[i : i + 1], labels[i : i + 1], indices[i : i + 1]) for i in range(5)
    ]
    torch.testing.assert_close(
        together.images, torch.cat([it.images for it in alone]), rtol=0, atol=1e-6
    )
    assert torch.equal(together.queries, torch.cat([it.queries for it in alone]))
    assert torch.equal(attack(linear, images, labels, indices).images, together.images)


@pytest.mark.parametrize("method", DRAWN)
def test_another_seed_draws_anew(method: str) -> None:
    def model(images: Tensor) -> Tensor:  # no attack gets anywhere, so each shows where it looked
        seen.append(images.detach().clone())
        return linear(images) * 0.01 + torch.tensor([9.0, 0.0, 0.0])

    ways = []
    for seed in (0, 0, 1):
        seen: list[Tensor] = []
        images = torch.full((1, 1, 2, 2), 0.5)
        Attack(method, 0.05, 25, seed=seed)(model, images, torch.tensor([0]))
        ways.append(torch.stack([it for it in seen if it.shape == images.shape]))
    assert torch.equal(ways[0], ways[1])
    assert not torch.equal(ways[0], ways[2])


# --- losses -----------------------------------------------------------------------------------


def test_the_margin_by_hand() -> None:
    logits, label = torch.tensor([[3.0, 1.0, -1.0, -2.0]]), torch.tensor([0])
    assert objective.margin(logits, label, None).item() == pytest.approx(-(3 - 1) / (3 - -1))
    # Where another class leads, it is above 0: 2 / (3 - (-1)) for the label 1.
    assert objective.margin(logits, label + 1, None).item() == pytest.approx(2 / 4)
    # With a target, down from the largest to the mean of third and fourth.
    aimed = objective.margin(logits, label, torch.tensor([2])).item()
    assert aimed == pytest.approx(-(3 - -1) / (3 - -1.5))
    # Too few classes for a spread of which no end is in the difference.
    two, three = logits[:, :2], logits[:, :3]
    assert objective.margin(two, label, None).item() == -2
    assert objective.margin(three, label, torch.tensor([2])).item() == -4
    assert objective.margin(torch.zeros(1, 5), label, None).item() == 0  # no spread


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.floats(0.01, 1000), st.booleans(), st.integers(0, 99))
def test_the_margin_knows_neither_scale_nor_offset(
    classes: int, factor: float, aimed: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (4,), generator=generator)
    target = (labels + 1) % classes if aimed else None
    usual = objective.margin(logits, labels, target)
    moved = objective.margin(factor * logits + 5, labels, target)
    few = classes < (4 if aimed else 3)
    torch.testing.assert_close(moved, factor * usual if few else usual)
    assert torch.equal(usual > 0, objective.succeeded(logits, labels, target))


@pytest.mark.parametrize("method", CLIMBERS)
@pytest.mark.parametrize("factor", [30, 1000])
def test_with_the_margin_larger_logits_are_attacked_alike(method: str, factor: float) -> None:
    """Of three classes, where the cross-entropy's slope turns with the scale."""
    images, labels = some(6)
    usual, other = (
        Attack(method, 8 / 255, loss="margin")(lambda x, by=by: by * linear(x), images, labels)
        for by in (1, factor)
    )
    torch.testing.assert_close(other.images, usual.images, rtol=0, atol=5e-4)


def test_the_plain_cross_entropy_drowns_and_the_others_do_not() -> None:
    images, labels = some(6)
    blind = {
        loss: Attack("bim", 8 / 255, loss=loss)(lambda x: 1e4 * linear(x), images, labels).blind
        for loss in ("auto", "cross-entropy", "margin")
    }
    assert not blind["auto"].any() and not blind["margin"].any()
    assert blind["cross-entropy"].float().mean() > 0.5


def test_the_loss_is_a_knob_of_users() -> None:
    demo = rw.demo("resnet20")[:4]

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = demo.model

        def forward(self, x: Tensor) -> Tensor:
            return 1000 * self.inner(x)

    copy = Subject(Scaled(), demo.images, demo.labels, mean=demo.mean, std=demo.std)
    left = {}
    for loss in ("auto", "cross-entropy", "margin"):
        attacked = rw.attack(copy, attack="pgd", loss=loss, steps=4)
        assert f"loss={loss!r}" in attacked.code
        left[loss] = (attacked.logits.argmax(1) == attacked.labels).sum().item()
    assert left["cross-entropy"] > 1 > left["margin"] == left["auto"]
    sizes = [rw.smallest_epsilon(it, loss="margin", steps=4).median for it in (demo, copy)]
    assert abs(math.log(sizes[1] / sizes[0])) < math.log(1.1)


# --- APGD -------------------------------------------------------------------------------------


def test_checkpoints_are_those_of_the_paper() -> None:
    assert apgd.checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert apgd.checkpoints(10)[:3] == [3, 5, 6]


def test_it_halves_its_steps_where_the_loss_goes_to_and_fro() -> None:
    """The highest point is at a mean of 0.61; steps of one length would jump over it for ever."""

    def model(images: Tensor) -> Tensor:
        gap = (images.mean((1, 2, 3)) - 0.61).abs()
        return torch.stack([torch.ones_like(gap), 0.9 - gap], 1)  # it never succeeds

    image, label = pixels(0.5, 0.5, 0.5, 0.5), torch.tensor([0])
    off = {}
    for method in ("apgd", "pgd"):
        found = Attack(method, 0.25, 40, 0.1 if method == "pgd" else None)(model, image, label)
        off[method] = abs(found.images.mean().item() - 0.61)
    assert off["apgd"] < 0.005 < off["pgd"]


def test_it_gives_the_best_it_passed() -> None:
    """Its rows never fall: each is that of the best image so far."""
    model, images, labels = resnet(16)
    attacked = Attack("apgd", 0.5 / 255, 10)(model, images, labels)
    odds = [objective.odds(it, labels) for it in attacked.trajectory]
    kept = ~attacked.success
    assert all((after[kept] >= before[kept]).all() for before, after in pairwise(odds))
    assert attacked.trajectory.shape == (11, 16, 10)


@pytest.mark.parametrize("method", ["apgd", "apgd-l2"])
def test_it_is_at_least_as_strong_as_pgd(method: str) -> None:
    model, images, labels = resnet(32)
    epsilon = 0.5 / 255 if method == "apgd" else 0.05
    wins = {
        name: Attack(name, epsilon, 20)(model, images, labels).success.sum().item()
        for name in (method, method.replace("apgd", "pgd"))
    }
    assert 5 < wins[method.replace("apgd", "pgd")] <= wins[method] < 32


def test_class_by_class_it_finds_what_one_way_does_not() -> None:
    model, images, labels = resnet(8)
    one, every = (
        Attack(name, 0.5 / 255, 10, loss="margin")(model, images, labels)
        for name in ("apgd", "apgd-targeted")
    )
    assert every.success.sum() >= one.success.sum()
    assert inside(images, every.images, 0.5 / 255, "Linf")
    assert torch.equal(every.success, model(every.images).argmax(1) != labels)


def test_a_target_is_reached_and_restarts_help() -> None:
    model, images, labels = resnet(8)
    attacked = Attack("apgd", 8 / 255, 20, target=3, loss="margin")(model, images, labels)
    assert (attacked.trajectory[-1].argmax(1) == 3).all()
    one, five = (
        Attack("apgd", 0.5 / 255, 5, restarts=n)(model, images, labels).success for n in (1, 5)
    )
    assert (five | ~one).all()


# --- queries ----------------------------------------------------------------------------------


def firm(images: Tensor) -> Tensor:
    """So sure of class 0 that nothing changes it; yet the logits say where to go."""
    return linear(images) + torch.tensor([50.0, 0.0, 0.0])


def test_squares_reach_the_corner_of_a_linear_model() -> None:
    image, label = pixels(0.5, 0.4, 0.6, 0.5), torch.tensor([0])
    # Away from class 0 towards class 1 or 2, whichever its corner brings nearer.
    ends = [firm(image + 0.125 * (WEIGHT[k] - WEIGHT[0]).sign().view_as(image))[0] for k in (1, 2)]
    nearest = max((it[1:].max() - it[0]).item() for it in ends)
    attacked = Attack("square", 0.125, 400)(firm, image, label)
    last = attacked.trajectory[-1, 0]
    assert (last[1:].max() - last[0]).item() == pytest.approx(nearest, abs=1e-5)
    free = (WEIGHT[1] - WEIGHT[0] != 0) & (WEIGHT[2] - WEIGHT[0] != 0)
    assert (attacked.images - image).flatten()[free].abs().tolist() == [0.125] * int(free.sum())


def test_pixels_go_one_by_one_and_never_too_far() -> None:
    image, label = torch.full((1, 1, 8, 8), 0.5), torch.tensor([0])
    slope = torch.randn(64, generator=torch.Generator().manual_seed(1))

    def model(images: Tensor) -> Tensor:
        rise = images.flatten(1) @ slope
        return torch.stack([torch.full_like(rise, 99), rise], 1)

    for steps in (1, 9, 64, 200):
        attacked = Attack("simba", 0.5, steps)(model, image, label)
        change = (attacked.images - image).flatten()
        moved = change != 0
        stride = 0.5 / math.sqrt(min(steps, 64))
        assert attacked.queries.item() == steps
        # Each goes up or else down, so two queries are enough for one; all go uphill.
        assert moved.sum() >= min(steps // 2, 64)
        assert (change[moved].sign() == slope[moved].sign()).all()
        assert change.norm().item() <= 0.5 * (1 + 1e-6)
        if steps <= 64:
            torch.testing.assert_close(change[moved].abs(), torch.full_like(change[moved], stride))


def test_an_estimated_slope_leads_where_the_slope_does() -> None:
    image, label = pixels(0.5, 0.4, 0.6, 0.5), torch.tensor([0])
    attacked = Attack("nes", 0.125, 210)(firm, image, label)
    gradient = Attack("bim", 0.125, 10)(firm, image, label)
    rise = [(it.trajectory[-1, 0, 1:].max() - it.trajectory[-1, 0, 0]).item() for it in
            (attacked, gradient)]  # fmt: skip
    assert rise[0] == pytest.approx(rise[1], abs=0.05)
    assert attacked.queries.item() == 210  # ten steps of 20 answers and one to look


@pytest.mark.parametrize("method", QUERIES)
def test_every_query_is_counted_and_no_more_are_asked(method: str) -> None:
    asked = 0

    def model(images: Tensor) -> Tensor:
        nonlocal asked
        asked += len(images)
        return firm(images)

    image = pixels(0.5, 0.4, 0.6, 0.5)
    for steps in (1, 2, 3, 50, 100):
        asked = 0
        attacked = Attack(method, 0.125, steps)(model, image, torch.tensor([0]))
        assert attacked.queries.item() == asked - 1 <= steps  # one for the clean image
    wrong = Attack(method, 0.125, 50)(model, image, torch.tensor([1]))
    assert wrong.queries.item() == 0
    assert torch.equal(wrong.images, image)


@pytest.mark.parametrize("method", QUERIES)
def test_whoever_is_led_away_is_asked_no_more(method: str) -> None:
    images, labels = some(8, seed=2)
    attacked = Attack(method, 0.4, 300)(linear, images, labels)
    assert attacked.success.any()
    assert (attacked.queries[attacked.success] < 300).all()
    assert len(attacked.queries[attacked.success].unique()) > 1


@pytest.mark.parametrize("method", [*QUERIES, "boundary"])
@pytest.mark.parametrize("model", [Blocked(), RefusesGradients()])
def test_black_boxes_need_no_gradients(method: str, model: nn.Module) -> None:
    subject = Subject(model, flat_images([0.45, 0.55]), [1, 0])
    attacked = rw.attack(subject, attack=method, epsilon=0.2, steps=60)
    assert attacked.logits.argmax(1).tolist() != [1, 0] or method == "simba"


def test_squares_find_more_with_more_queries() -> None:
    model, images, labels = resnet(8)
    few, many = (
        Attack("square", 2 / 255, steps)(model, images, labels).success for steps in (5, 150)
    )
    assert many.sum() > few.sum()


# --- the smallest change ----------------------------------------------------------------------


@pytest.mark.parametrize("target", ["any", 2])
@pytest.mark.parametrize("factor", [1.0, 30.0, 1000.0])
def test_carlini_wagner_finds_a_linear_models_distance(target: str | int, factor: float) -> None:
    image, label = pixels(0.5, 0.45, 0.55, 0.4), torch.tensor([0])
    # With a target, the third class must not be in between.
    offset = torch.tensor([1 / 8, 0 if target == "any" else -0.5, 0])
    logits = (linear(image) + offset)[0]
    assert logits.argmax() == 0
    ways = {k: ((logits[0] - logits[k]) / (WEIGHT[0] - WEIGHT[k]).norm()).item() for k in (1, 2)}
    exact = min(ways.values()) if target == "any" else ways[2]
    attack = Attack("cw", steps=100, target=target)
    attacked = attack(lambda x: factor * (linear(x) + offset), image, label)
    assert attacked.success.item()
    assert exact <= (attacked.images - image).norm().item() <= 1.03 * exact


def test_what_is_wrong_already_stays() -> None:
    images, labels = some(3)
    attacked = Attack("cw", steps=5)(linear, images, (labels + 1) % 3)
    assert torch.equal(attacked.images, images)


# --- networks that draw -----------------------------------------------------------------------


class Dropping(nn.Module):
    """A linear model of 64 pixels that never sees half of them, others in every pass."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linear = nn.Linear(64, 2, bias=False)
        self.linear.weight.data = torch.randn(2, 64, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(nn.functional.dropout(x.flatten(1), 0.5, training=True))


def dropping() -> Subject:
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    net = Dropping()
    return Subject(net, images, net.linear(images.flatten(1)).argmax(1), mean=[0.5], std=[1.0])


def test_another_draw_is_another_answer_and_the_first_comes_again() -> None:
    subject = dropping()
    usual = subject.network.logits(subject.images)
    with drawing(3):
        other = subject.network.logits(subject.images)
        assert torch.equal(other, subject.network.logits(subject.images))
    assert not torch.equal(other, usual)
    assert torch.equal(subject.network.logits(subject.images), usual)


def test_over_many_draws_the_mean_slope_leads_further() -> None:
    subject = dropping()
    share = {}
    for method in ("pgd", "eot-pgd"):
        attacked = rw.attack(subject, attack=method, epsilon=0.06, steps=20)
        fooled = []
        for number in range(1000, 1040):  # none that the attack has seen
            with drawing(number), torch.no_grad():
                answers = subject.network.logits(attacked.images).argmax(1)
            fooled.append((answers != subject.labels).double().mean().item())
        share[method] = np.mean(fooled)
    assert share["eot-pgd"] > share["pgd"] + 0.1


def test_of_a_network_that_does_not_draw_it_is_pgd() -> None:
    images, labels = some(4)
    one, other = (Attack(name, 0.1, 7)(linear, images, labels) for name in ("pgd", "eot-pgd"))
    torch.testing.assert_close(one.images, other.images, rtol=0, atol=1e-6)


# --- attacks of others ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def foolbox() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox

    return foolbox


def test_an_attack_of_foolbox_plugs_in(foolbox: ModuleType) -> None:
    subject = rw.demo("resnet20")[:16]
    theirs = foolbox.attacks.LinfPGD(abs_stepsize=0.5 / 255, steps=3)
    state = torch.get_rng_state()
    one, two = (rw.attack(subject, attack=theirs, epsilon=1 / 255) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.name == "resnet20, LinfProjectedGradientDescentAttack 1/255"
    assert torch.equal(one.images, two.images)
    assert inside(subject.images, one.images, 1 / 255, "Linf")
    assert not torch.equal(one.images, subject.images)
    found = rw.smallest_epsilon(bright := subject[:4], attack=theirs)
    ours = rw.smallest_epsilon(bright, attack="pgd", steps=3)
    assert found.norm == "Linf"
    np.testing.assert_allclose(found.epsilon, ours.epsilon, rtol=0.6)


def test_of_foolbox_those_for_the_smallest_change_have_no_ball(foolbox: ModuleType) -> None:
    model, images, labels = resnet(4)
    attack = Attack(foolbox.attacks.L2DeepFoolAttack(steps=20))
    assert attack.norm == ""
    assert attack(model, images, labels).success.all()
    aimed = Attack(foolbox.attacks.LinfPGD().repeat(2), 8 / 255, target=3)
    assert aimed.norm == "Linf"
    assert (aimed(model, images, labels).trajectory[-1].argmax(1) == 3).all()


def test_carlini_wagner_goes_no_further_than_foolbox_and_deepfool(foolbox: ModuleType) -> None:
    model, images, labels = resnet(3)
    ours = Attack("cw", steps=40)(model, images, labels)
    deepfool = Attack("deepfool", steps=50)(model, images, labels)
    outside = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    peer = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=5, steps=40, initial_const=1)
    _, theirs, _ = peer(outside, images, labels, epsilons=None)
    assert ours.success.all()
    sizes = [
        (it - images).flatten(1).norm(dim=1).median().item()
        for it in (ours.images, theirs, deepfool.images)
    ]
    assert sizes[0] <= 1.02 * min(sizes[1:])


def test_the_boundary_attack_walks_towards_the_image(foolbox: ModuleType) -> None:
    slope = torch.randn(64, generator=torch.Generator().manual_seed(1))

    def model(images: Tensor) -> Tensor:
        rise = (images - 0.5).flatten(1) @ slope
        return torch.stack([torch.full_like(rise, 0.5), rise], 1)

    images, labels = torch.full((2, 1, 8, 8), 0.5), torch.tensor([0, 0])
    near, far = (Attack("boundary", steps=n)(model, images, labels) for n in (400, 5))
    sizes = [(it.images - images).flatten(1).norm(dim=1) for it in (near, far)]
    assert near.success.all() and far.success.all()
    assert (sizes[0] < sizes[1]).all()
    assert (near.queries > far.queries).all()


def test_where_no_noise_is_answered_wrongly_the_image_stays(foolbox: ModuleType) -> None:
    image = pixels(0.5, 0.4, 0.6, 0.5)
    attacked = Attack("boundary", steps=5)(firm, image, torch.tensor([0]))
    assert not attacked.success.any()
    assert torch.equal(attacked.images, image)
    assert attacked.queries.item() == 100


def test_without_foolbox_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "foolbox", None)
    subject = Subject(Blocked(), flat_images([0.45]), [1])
    with pytest.raises(ModuleNotFoundError, match=r"attack of foolbox.*pip install foolbox"):
        rw.attack(subject, attack="boundary")
    assert len(rw.attack(subject, attack="square", steps=3)) == 1


def test_it_is_the_ball_that_smallest_epsilon_needs() -> None:
    subject = rw.demo("resnet20")[:4]
    found = rw.smallest_epsilon(subject, attack="square", steps=20)
    assert (found.norm, found.attack) == ("Linf", "square")
    with pytest.raises(ValueError, match=r"no epsilon to search: got 'cw'.*'bim', 'fgsm'"):
        rw.smallest_epsilon(subject, attack="cw")


def test_a_path_of_queries_has_a_beginning_and_an_end() -> None:
    subject = rw.demo("resnet20")
    result = rw.propagation(subject, images=2, attack="square", steps=40)
    assert len(result.trajectory) == 2
    assert math.isnan(result.step_size)
    assert "Square 8/255, 40 queries" in str(result)
    assert isinstance(Attack("apgd", 8 / 255)(linear, *some(2)), Attacked)
