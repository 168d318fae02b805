"""Subject: what it keeps, what it leaves alone, what it refuses and in which words."""

import copy
import pickle
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from reliab_widgets.core import network
from reliab_widgets.core.batching import Plan
from reliab_widgets.core.copies import twin
from reliab_widgets.core.engine import Cancelled
from reliab_widgets.core.subject import Subject
from tests import models
from tests.models import Brightness, Counting, brightness_logits, flat_images

MEANS = [0.0, 0.25, 0.5, 0.75, 1.0, 0.1, 0.2]
LABELS = [0, 1, 2, 0, 1, 2, 0]


@pytest.fixture
def batch_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plan is for two images a pass, and the probe makes no passes of its own."""
    monkeypatch.setattr(network, "probe", lambda *_: Plan(2))


def make(model: nn.Module | None = None, **options: Any) -> Subject:
    options = {"images": flat_images(MEANS), "labels": LABELS, "device": "cpu"} | options
    return Subject(Brightness() if model is None else model, **options)


# --- what it keeps ----------------------------------------------------------------------------


def test_logits_are_those_computed_by_hand() -> None:
    subject = make()
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    assert subject.logits.dtype == torch.float32
    assert subject.logits is subject.logits


def test_normalisation_belongs_to_the_subject() -> None:
    subject = make(
        images=flat_images(MEANS, 3), model=Brightness(3), mean=(0.1, 0.2, 0.3), std=[0.5] * 3
    )
    # the model sees m' = (m - 0.2) / 0.5; relu(1 - m') and relu(m') as weights say
    seen = [(m - 0.2) / 0.5 for m in MEANS]
    expected = [[2 * max(0, m), 2 * max(0, 1 - m), 0.5] for m in seen]
    torch.testing.assert_close(subject.logits, torch.tensor(expected), atol=1e-5, rtol=1e-5)
    assert subject.mean == (0.1, 0.2, 0.3)
    assert subject.std == (0.5, 0.5, 0.5)
    assert float(subject.images.max()) == 1.0


def test_one_number_normalises_all_channels() -> None:
    subject = make(images=flat_images(MEANS, 3), model=Brightness(3), mean=0.5, std=1)
    assert (subject.mean, subject.std) == ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))


def test_attributes() -> None:
    subject = make(classes=["dark", "bright", "grey"], name="net")
    assert subject.images.shape == (7, 1, 8, 8)
    assert subject.images.dtype == torch.float32
    assert subject.labels.tolist() == LABELS
    assert subject.labels.dtype == torch.int64
    assert subject.classes == ("dark", "bright", "grey")
    assert (subject.name, subject.validation, subject.mean, subject.std) == (
        "net",
        None,
        None,
        None,
    )
    assert subject.device == torch.device("cpu")
    assert subject.notes == ()
    assert len(subject) == 7
    assert repr(subject) == "Subject('net': 7 images of 1 x 8 x 8, 3 classes, on cpu)"
    assert make().classes == ("0", "1", "2")
    assert make().name == "Brightness"


@pytest.mark.parametrize(
    "given",
    [
        flat_images(MEANS).double(),
        flat_images(MEANS).numpy(),
        flat_images(MEANS).half().numpy().astype(np.float64),
        list(flat_images(MEANS)),
        flat_images(MEANS).numpy().tolist(),
        flat_images(MEANS).permute(0, 2, 3, 1).numpy().transpose(0, 3, 1, 2),  # not contiguous
        flat_images(MEANS).requires_grad_(),
        flat_images(MEANS) * (1 + 5e-5),  # float rounding of an earlier step
    ],
)
def test_images_of_many_kinds(given: object) -> None:
    subject = make(images=given)
    torch.testing.assert_close(subject.images, flat_images(MEANS), atol=1e-3, rtol=0)
    assert subject.images.max() <= 1
    assert subject.images.is_contiguous() and not subject.images.requires_grad


@pytest.mark.parametrize(
    "given",
    [
        tuple(LABELS),
        np.array(LABELS, dtype=np.uint8),
        torch.tensor(LABELS, dtype=torch.int32),
        [torch.tensor(label) for label in LABELS],
    ],
)
def test_labels_of_many_kinds(given: object) -> None:
    labels = make(labels=given).labels
    assert labels.dtype == torch.int64 and labels.tolist() == LABELS


def test_uint8_is_scaled_and_said() -> None:
    pixels = np.array([0, 51, 255], dtype=np.uint8).reshape(3, 1, 1, 1)
    subject = make(images=pixels, labels=[0, 1, 2])
    torch.testing.assert_close(subject.images.flatten(), torch.tensor([0.0, 0.2, 1.0]))
    assert "uint8 images were scaled from 0-255 to 0-1" in subject.notes


def test_rebinding_is_refused() -> None:
    subject = make()
    with pytest.raises(AttributeError, match=r"frozen: 'images' cannot be set.*with_images"):
        subject.images = flat_images([0.5])
    with pytest.raises(AttributeError, match="frozen: 'model' cannot be set"):
        subject.model = Brightness()
    with pytest.raises(AttributeError, match="frozen: 'anything'"):
        subject.anything = 1
    with pytest.raises(AttributeError, match="frozen: 'labels' cannot be deleted"):
        del subject.labels


# --- what it leaves alone ---------------------------------------------------------------------


def state(model: nn.Module) -> dict[str, Any]:
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "training": [module.training for module in model.modules()],
        "hooks": [list(module._forward_hooks) for module in model.modules()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
    }


def test_the_users_things_are_untouched() -> None:
    model, images, labels = Brightness().train(), flat_images(MEANS), torch.tensor(LABELS)
    model.fc.weight.grad = torch.ones(3, 2)
    calls: list[int] = []
    model.conv.register_forward_hook(lambda *_: calls.append(1))
    before, pictures, numbers = state(model), images.clone(), labels.clone()
    python, arrays, tensors = (
        random.getstate(),
        np.random.get_state()[1].copy(),
        torch.get_rng_state(),
    )

    subject = make(model, images=images, labels=labels)
    subject.logits, subject.report(), subject.fingerprint, subject[2:].logits
    subject.predict(images[:2].requires_grad_()).sum().backward()

    after = state(model)
    torch.testing.assert_close(after.pop("weights"), before.pop("weights"), rtol=0, atol=0)
    assert after.pop("gradients")[2] is before.pop("gradients")[2]
    assert after == before
    assert torch.equal(images.detach(), pictures) and torch.equal(labels, numbers)
    assert random.getstate() == python
    assert (np.random.get_state()[1] == arrays).all()
    assert torch.equal(torch.get_rng_state(), tensors)


def test_later_changes_do_not_reach_it() -> None:
    model, images, labels = Brightness(), flat_images(MEANS), torch.tensor(LABELS)
    subject = make(model, images=images, labels=labels)
    with torch.no_grad():
        model.fc.weight.zero_()
    images.zero_(), labels.zero_()
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    assert subject.labels.tolist() == LABELS


def test_the_copy_is_frozen() -> None:
    model = Brightness().train()
    model.fc.weight.grad = torch.ones(3, 2)
    subject = make(model)
    assert subject.model is not model
    assert not any(module.training for module in subject.model.modules())
    assert not any(parameter.requires_grad for parameter in subject.model.parameters())
    assert all(parameter.grad is None for parameter in subject.model.parameters())
    assert "the model was in train mode; the copy is evaluated in eval mode" in subject.notes


def test_grad_mode_of_the_caller_is_neither_used_nor_changed() -> None:
    subject = make()
    assert not subject.predict(subject.images).requires_grad
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert not subject.predict(subject.images.clone().requires_grad_()).requires_grad
    with torch.inference_mode():
        logits, predicted = make().logits, subject.predict(subject.images)
        built = make()
    assert not logits.is_inference() and not predicted.is_inference()
    scale = torch.ones(1, requires_grad=True)
    assert not make(output=lambda y: y * scale).logits.requires_grad
    assert built.predict(flat_images([0.5]).requires_grad_()).requires_grad


def test_a_model_that_works_in_place_does_not_reach_the_pictures() -> None:
    subject = make(models.InPlace())
    torch.testing.assert_close(subject.logits, brightness_logits([m / 2 for m in MEANS]))
    assert torch.equal(subject.images, flat_images(MEANS))
    image = flat_images([0.5]).requires_grad_()
    assert subject.predict(image).requires_grad
    assert torch.equal(image.detach(), flat_images([0.5]))


def test_wrappers_inside_are_taken_off() -> None:
    model = Brightness()
    model.conv = torch.compile(model.conv, backend="eager")  # type: ignore[assignment]
    model.fc = nn.DataParallel(torch.compile(model.fc, backend="eager"))  # type: ignore[assignment]
    subject = make(model)
    assert [type(module) for module in subject.model.children()] == [
        nn.Conv2d,
        nn.ReLU,
        nn.AdaptiveAvgPool2d,
        nn.Linear,
    ]
    assert type(model.fc) is nn.DataParallel  # the user's own is left as it is
    assert subject.notes[0] == (
        "taken off, the layers inside are used: torch.compile of conv, DataParallel of fc, "
        "torch.compile of fc"
    )
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))


def test_wrappers_are_taken_off() -> None:
    compiled = torch.compile(Brightness())
    subject = make(nn.DataParallel(compiled))
    assert type(subject.model) is Brightness
    assert subject.notes[:2] == (
        "DataParallel was taken off: the network inside is used",
        "torch.compile was taken off: the network inside is used",
    )
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))


def test_a_pruned_model_is_copied() -> None:
    model = Brightness()
    prune.ln_structured(model.fc, "weight", amount=1, n=1, dim=1)  # its weight is no leaf now
    subject = make(model)
    with torch.no_grad():
        torch.testing.assert_close(subject.logits, model(flat_images(MEANS)))
    assert any("forward hook" in note for note in subject.notes)


def test_weights_of_another_precision_are_said() -> None:
    subject = make(Brightness().double())
    assert "weights of float64 are evaluated in float32" in subject.notes
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))


# --- kinds of output --------------------------------------------------------------------------


def test_dict_output_is_picked_and_said() -> None:
    subject = make(models.DictOutput())
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    assert any("output is a dict; 'logits' is used" in note for note in subject.notes)


def test_tuple_output_is_picked_where_only_one_part_fits() -> None:
    subject = make(models.TupleOutput())
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    assert any("output is a tuple; 1 is used" in note for note in subject.notes)


@pytest.mark.parametrize("output", ["auxiliary", 1, -1, lambda answer: answer["auxiliary"]])
def test_output_picks(output: Any) -> None:
    torch.testing.assert_close(
        make(models.TwoTables(), output=output).logits, -brightness_logits(MEANS)
    )


def test_output_picks_from_a_named_tuple() -> None:
    for output in (None, "scores", 0):
        logits = make(models.NamedOutput(), output=output).logits
        torch.testing.assert_close(logits, brightness_logits(MEANS))


def test_output_may_be_a_function_of_a_tensor() -> None:
    logits = make(models.Maps(), output=lambda y: y.mean((2, 3))).logits
    torch.testing.assert_close(logits, torch.tensor(MEANS)[:, None].expand(-1, 3))
    table = make(models.Squeezed(), output=lambda y: y.reshape(-1, 3)).logits
    torch.testing.assert_close(table, brightness_logits(MEANS))


def test_softmax_gives_log_probabilities() -> None:
    subject = make(models.Softmax())
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS).log_softmax(1))
    assert any("ends in softmax: log-probabilities are used" in note for note in subject.notes)
    assert subject.report().output == "probabilities"


def test_softmax_that_underflows_stays_finite() -> None:
    images = flat_images([0.0, 1.0])
    model = nn.Sequential(Brightness(), nn.Linear(3, 2), nn.Softmax(1)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[400.0, 0.0, 0.0], [0.0, 400.0, 0.0]]))
    assert make(model, images=images, labels=[0, 1]).logits.isfinite().all()


def test_one_logit_gives_two_columns() -> None:
    subject = make(models.OneLogit(), labels=[0, 1, 1, 0, 1, 0, 0])
    expected = torch.tensor([[0, 2 * m - 1] for m in MEANS])
    torch.testing.assert_close(subject.logits, expected)
    assert subject.classes == ("0", "1")
    assert any("one logit z: two columns (0, z)" in note for note in subject.notes)


def test_one_probability_gives_its_logit() -> None:
    subject = make(models.OneProbability(), labels=[0, 1, 1, 0, 1, 0, 0])
    expected = torch.tensor([[0, 2 * m - 1] for m in MEANS])
    torch.testing.assert_close(subject.logits, expected, atol=1e-5, rtol=1e-5)
    assert any("two columns (0, logit p)" in note for note in subject.notes)


def test_several_sigmoids_are_undone() -> None:
    subject = make(models.ManySigmoids())
    assert any("logit p is used" in note for note in subject.notes)
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    same = make(models.ManySigmoids(), output=torch.logit)
    torch.testing.assert_close(same.logits, subject.logits)


def test_a_model_that_draws_is_said_and_does_not_advance_the_users_generator() -> None:
    model = models.AlwaysDropout()
    before = torch.get_rng_state()
    subject = make(model)
    first = subject.predict(subject.images)
    assert torch.equal(subject.predict(subject.images), first)
    assert torch.equal(subject[:2].logits, subject.logits[:2])
    assert torch.equal(torch.get_rng_state(), before)
    assert any("draws random numbers" in note for note in subject.notes)
    assert any("two passes of the same image differ" in note for note in subject.notes)


def test_a_model_that_remembers_is_said() -> None:
    assert any(
        "two passes of the same image differ" in note for note in make(models.Remembers()).notes
    )
    assert not any("differ" in note for note in make().notes)


# --- predict ----------------------------------------------------------------------------------


def test_predict_is_differentiable() -> None:
    subject = make(mean=0.5, std=0.25)
    images = flat_images([0.6]).requires_grad_()
    # seen m' = (m - 0.5) / 0.25; logit 0 = 2 m', so d/dm = 8, spread over 64 pixels
    (gradient,) = torch.autograd.grad(subject.predict(images)[0, 0], images)
    torch.testing.assert_close(gradient, torch.full((1, 1, 8, 8), 8 / 64))


def test_predict_does_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).eval()
    images = torch.rand(23, 3, 8, 8)
    subject = make(model, images=images, labels=[0] * 23)
    with torch.no_grad():
        expected = model(images)
    for plan in (Plan(1), Plan(4, True), Plan(7, False, 2), Plan(64, True)):
        subject.network._plans[3, 8, 8] = plan
        torch.testing.assert_close(subject.predict(images), expected, atol=1e-5, rtol=1e-5)


def test_predict_takes_other_sizes_and_no_image() -> None:
    subject = make()
    torch.testing.assert_close(
        subject.predict(flat_images([0.3, 0.4], size=5)), brightness_logits([0.3, 0.4])
    )
    assert subject.predict(subject.images[:0]).shape == (0, 3)


def test_predict_refuses_in_words() -> None:
    subject = make()
    with pytest.raises(ValueError, match=r"float tensors.*uint8.*subject.images"):
        subject.predict(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"float tensors.*\(1, 8, 8\)"):
        subject.predict(subject.images[0])
    with pytest.raises(ValueError, match=r"float tensors.*got ndarray"):
        subject.predict(subject.images.numpy())
    with pytest.raises(ValueError, match=r"wants 1 channel, the images have 3.*'conv'"):
        subject.predict(flat_images([0.5], 3))
    with pytest.raises(ValueError, match=r"number of channels.*got 3, mean= has 1"):
        make(mean=0.5, std=0.5).predict(flat_images([0.5], 3))


@pytest.mark.parametrize("model", [models.Blocked(), models.RefusesGradients()])
def test_blocked_gradients(model: nn.Module) -> None:
    subject = make(model)
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    with pytest.raises(ValueError, match=r"gradients are blocked inside \w+\.forward.*model="):
        subject.predict(flat_images([0.5]).requires_grad_())
    assert not subject.report().gradients


def test_threads_give_the_same_numbers(batch_of_two: None) -> None:
    subject = make()
    with ThreadPoolExecutor(4) as pool:
        for logits in pool.map(lambda _: subject.predict(subject.images), range(40)):
            torch.testing.assert_close(logits, brightness_logits(MEANS))


def test_out_of_memory_halves_the_batch_and_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "probe", lambda *_: Plan(7))
    monkeypatch.setattr(models.Hungry, "most", 7)  # while the Subject is made
    subject = make(models.Hungry())
    monkeypatch.setattr(models.Hungry, "most", 2)
    subject.model.batches.clear()
    torch.testing.assert_close(subject.logits, brightness_logits(MEANS))
    assert subject.report().batch == 1  # 7, 3, 1
    subject.model.batches.clear()
    subject.predict(subject.images[:3])
    assert subject.model.batches == [1, 1, 1]


def test_a_model_that_refuses_channels_last_is_planned_without() -> None:
    model, images = models.Views(3), flat_images(MEANS, 3)
    subject = make(model, images=images)
    assert subject.report().memory_format == "contiguous"
    with torch.no_grad():
        torch.testing.assert_close(subject.logits, model(images))
        with pytest.raises(RuntimeError, match="view size is not compatible"):
            model(images.contiguous(memory_format=torch.channels_last))


# --- evaluate: the same pass is never made twice ----------------------------------------------


def images_seen(subject: Subject) -> int:
    return sum(subject.model.batches)


@pytest.fixture
def counted(batch_of_two: None) -> Subject:
    subject = make(Counting())
    subject.network.plan((1, 8, 8))
    subject.model.batches.clear()
    return subject


def test_logits_are_computed_once(counted: Subject) -> None:
    assert counted.logits is counted.evaluate()
    assert counted.model.batches == [2, 2, 2, 1]


def test_slices_know_what_the_whole_knew(counted: Subject) -> None:
    logits = counted.logits
    counted.model.batches.clear()
    for key in (
        slice(2, 5),
        slice(None, None, -1),
        3,
        [6, 0],
        np.array([1, 1]),
        torch.tensor(LABELS) == 1,
    ):
        part = counted[key]
        assert torch.equal(
            part.logits, logits[key if not isinstance(key, slice) else range(7)[key]].view(-1, 3)
        )
        assert torch.equal(part[:1].logits, part.logits[:1])
    assert counted.model.batches == []


def test_validation_shares_the_logits(counted: Subject) -> None:
    relative = counted.with_validation(counted.with_images(counted.images[1:3] / 3, [0, 1]))
    assert counted.logits is relative.logits
    assert images_seen(counted) == 7


def test_cancelled_work_is_kept_and_gone_on_with(counted: Subject) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        counted.evaluate(progress=stop)
    assert counted.model.batches == [2, 2]
    part = counted[1:6]
    ticks: list[tuple[int, int]] = []
    counted.evaluate(progress=lambda *tick: ticks.append(tick))
    assert counted.model.batches == [2, 2, 2, 1]
    assert ticks == [(4, 7), (6, 7), (7, 7)]
    torch.testing.assert_close(counted.logits, brightness_logits(MEANS))

    counted.model.batches.clear()  # three of the part's five were known when it was cut
    torch.testing.assert_close(part.logits, brightness_logits(MEANS[1:6]))
    assert images_seen(counted) == 2


def test_failed_work_is_kept_too(counted: Subject) -> None:
    fail = [True]

    def transform(images: Tensor, indices: Tensor) -> Tensor:
        if fail[0] and 4 in indices:
            raise ZeroDivisionError
        return images

    with pytest.raises(ZeroDivisionError):
        counted.evaluate(transform)
    fail.clear(), fail.append(False)
    torch.testing.assert_close(counted.evaluate(transform), brightness_logits(MEANS))
    assert counted.model.batches == [2, 2, 2, 1]


def test_progress_counts_images_and_reaches_the_total(counted: Subject) -> None:
    ticks: list[tuple[int, int]] = []
    counted.evaluate(progress=lambda *tick: ticks.append(tick))
    assert ticks == [(0, 7), (2, 7), (4, 7), (6, 7), (7, 7)]
    ticks.clear()
    counted.evaluate(progress=lambda *tick: ticks.append(tick))
    assert ticks == [(7, 7)]


def test_two_threads_make_each_pass_once(counted: Subject) -> None:
    start = threading.Barrier(4)

    def evaluate(_: int) -> Tensor:
        start.wait(10)
        return counted.evaluate()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(evaluate, range(4)))
    assert images_seen(counted) == 7
    assert all(result is results[0] for result in results)


def test_who_waits_for_another_thread_can_be_cancelled(counted: Subject) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def transform(images: Tensor, indices: Tensor) -> Tensor:
        inside.set()
        go_on.wait(10)
        return images

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(counted.evaluate, transform)
        inside.wait(10)
        with pytest.raises(Cancelled):
            counted.evaluate(transform, progress=stop)
        go_on.set()
        torch.testing.assert_close(first.result(10), brightness_logits(MEANS))


@dataclass(frozen=True)
class Brighter:
    """Adds a little to each image, by its index."""

    step: float

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        return images.mul_(0).add_(self.step * indices.view(-1, 1, 1, 1))


def test_transforms_are_evaluated_once_each(counted: Subject) -> None:
    first = counted.evaluate(Brighter(0.1))
    torch.testing.assert_close(first, brightness_logits([0.1 * i for i in range(7)]))
    assert counted.evaluate(Brighter(0.1)) is first
    assert images_seen(counted) == 7
    counted.evaluate(Brighter(0.05))
    assert images_seen(counted) == 14
    assert torch.equal(counted.images, flat_images(MEANS)), "the transform got a copy"


def test_transforms_get_the_index_an_image_has_in_the_whole() -> None:
    whole = make()
    expected = whole.evaluate(Brighter(0.1))
    part = make()[4:][[2, 0]]
    torch.testing.assert_close(part.evaluate(Brighter(0.1)), expected[[6, 4]])


def test_transforms_that_cannot_work() -> None:
    with pytest.raises(TypeError, match=r"transform cannot be hashed.*list.*frozen dataclass"):
        make().evaluate([1])
    with pytest.raises(
        ValueError, match=r"keep the shape.*\(2, 1, 8, 8\).*\(2, 1, 4, 4\).*transform="
    ):
        make()[:2].evaluate(lambda images, indices: images[..., :4, :4])
    with pytest.raises(ValueError, match=r"keep the shape.*NoneType.*transform="):
        make().evaluate(lambda images, indices: None)


EXECUTORS = [
    lambda: ThreadPoolExecutor(3),
    lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")),
]


@pytest.mark.parametrize("executor", EXECUTORS, ids=["threads", "processes"])
def test_any_executor_gives_the_same_numbers(
    executor: Callable[[], Any], batch_of_two: None
) -> None:
    with executor() as pool:
        logits = make().evaluate(Brighter(0.1), executor=pool)
    torch.testing.assert_close(logits, brightness_logits([0.1 * i for i in range(7)]))


def test_nan_in_the_output_is_counted() -> None:
    dim = [0.1] * 5
    subject = make(models.BrightIsNaN(), images=flat_images([*dim, 0.95, 1.0]))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"output holds NaN.*2 of the 7 images.*model="):
            subject.evaluate()
    assert subject[:5].logits.isfinite().all()


# --- relatives --------------------------------------------------------------------------------


def test_with_images_shares_the_network() -> None:
    subject = make(mean=0.5, std=0.5, classes=["a", "b", "c"])
    other = subject.with_images(flat_images([0.5, 1.0], size=4), [2, 1], name="other")
    assert other.model is subject.model
    assert (other.name, other.classes, other.mean) == ("other", subject.classes, subject.mean)
    assert other.labels.tolist() == [2, 1]
    assert other.images.shape == (2, 1, 4, 4)
    assert other.code == f"{subject.code}.with_images(images, labels, name='other')"
    assert subject.with_images(subject.images, code="rw.demo('x')").code == "rw.demo('x')"
    assert subject.with_images(subject.images * 0).labels.tolist() == LABELS
    torch.testing.assert_close(other.logits, other.predict(other.images))


def test_with_images_checks_like_the_first() -> None:
    subject = make()
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\]"):
        subject.with_images(flat_images([2.0]), [0])
    with pytest.raises(ValueError, match=r"labels must be as many.*7 labels and 1 images"):
        subject.with_images(flat_images([0.5]))
    with pytest.raises(ValueError, match=r"labels are out of range.*3 classes \(0-2\).*contain 3"):
        subject.with_images(flat_images([0.5]), [3])
    with pytest.raises(ValueError, match="wants 1 channel, the images have 3"):
        subject.with_images(flat_images([0.5], 3), [0])
    with pytest.raises(ValueError, match="does not take images of 12 x 12"):
        make(models.Views()).with_images(flat_images([0.5], size=12), [0])


def test_with_validation() -> None:
    subject = make()
    assert subject.validation is None
    other = subject[:4].with_validation(subject[4:])
    assert len(other) == 4 and len(other.validation) == 3
    assert len(other[:2].validation) == 3
    assert other.with_images(other.images, other.labels).validation is None
    assert other.code == f"{subject.code}[:4].with_validation({subject.code}[4:])"
    assert subject[:4].with_validation(subject[4:], code="rw.demo()").code == "rw.demo()"
    with pytest.raises(ValueError, match=r"share 2 of 3.*Give `validation` images that are not"):
        subject[:6].with_validation(subject[4:])
    with pytest.raises(TypeError, match=r"validation is not a Subject: got Tensor"):
        subject.with_validation(subject.images)
    with pytest.raises(ValueError, match=r"other classes.*2 and 3"):
        subject.with_validation(make(models.OneLogit(), labels=[0] * 7))


@pytest.mark.parametrize(
    ("key", "expected", "shown"),
    [
        (2, [2], "[2]"),
        (-1, [6], "[-1]"),
        (np.int64(3), [3], "[3]"),
        (slice(2, 4), [2, 3], "[2:4]"),
        (slice(None, None, 3), [0, 3, 6], "[::3]"),
        (slice(None, 2, -2), [6, 4], "[:2:-2]"),
        ([5, 1], [5, 1], "[[5, 1]]"),
        ([-1, 0], [6, 0], "[[6, 0]]"),
        (np.array([4, 4]), [4, 4], "[[4, 4]]"),
        (np.broadcast_to(4, 2), [4, 4], "[[4, 4]]"),  # read-only, like the arrays of results
        (torch.tensor([0, 6]), [0, 6], "[[0, 6]]"),
        (torch.tensor(LABELS) == 0, [0, 3, 6], "[[0, 3, 6]]"),
        ([True] + [False] * 6, [0], "[[0]]"),
    ],
)
def test_indexing(key: Any, expected: list[int], shown: str) -> None:
    subject = make()
    part = subject[key]
    assert torch.equal(part.images, subject.images[expected])
    assert part.labels.tolist() == [LABELS[i] for i in expected]
    assert part.code == subject.code + shown
    torch.testing.assert_close(part.logits, brightness_logits([MEANS[i] for i in expected]))


def test_indexing_with_many_indices_names_them() -> None:
    assert make()[[0] * 21].code.endswith("[indices]")
    assert make()[[0] * 20].code.endswith("0]]")


def test_indexing_refuses_in_words() -> None:
    subject = make()
    for key in (7, -8, [0, 7]):
        with pytest.raises(IndexError, match=r"out of range.*7 images \(0-6\)"):
            subject[key]
    for key in (slice(3, 3), [], torch.zeros(7, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"no image is chosen.*at least one"):
            subject[key]
    for key in ([0.5], [True, False], [[0, 1]], "all", ["a"]):
        with pytest.raises(TypeError, match=r"cannot be chosen.*for 7 images.*mask"):
            subject[key]


def test_iteration_gives_single_images() -> None:
    assert [len(one) for one in make()] == [1] * 7


# --- identity ---------------------------------------------------------------------------------


def test_fingerprint_is_that_of_the_content() -> None:
    options = {"mean": 0.5, "std": 0.5, "classes": ["a", "b", "c"]}
    first = make(**options)
    assert len(first.fingerprint) == 64
    assert first.fingerprint == make(**options).fingerprint == first[:].fingerprint
    assert first.fingerprint == make(name="other", **options).fingerprint
    assert (
        first[:3].fingerprint
        == make(images=flat_images(MEANS[:3]), labels=LABELS[:3], **options).fingerprint
    )
    assert pickle.loads(pickle.dumps(first)).fingerprint == first.fingerprint


def test_fingerprint_tells_everything_apart() -> None:
    changed = Brightness()
    with torch.no_grad():
        changed.fc.bias[0] += 1e-6
    images = flat_images(MEANS)
    images[0, 0, 0, 0] += 1e-6
    subject = make()
    others = [
        make(changed),
        make(nn.Sequential(Brightness())),
        make(images=images),
        make(labels=[1, *LABELS[1:]]),
        make(mean=0.5, std=0.5),
        make(mean=0.5, std=0.25),
        make(classes=["a", "b", "c"]),
        make(output=lambda y: y),
        make(output=lambda y: y + 1),
        subject[:3],
        subject[[1, 0]],
        subject[3:],
        make(images=flat_images(MEANS[3:]), labels=LABELS[3:]),
    ]
    prints = [subject.fingerprint, *(other.fingerprint for other in others)]
    assert len(set(prints)) == len(prints)


def test_fingerprint_is_that_of_values_not_of_memory() -> None:
    model = Brightness().to(memory_format=torch.channels_last)
    assert make(model).fingerprint == make().fingerprint
    subject = make()
    before = subject.fingerprint
    subject.logits, subject.report()
    assert subject[:].fingerprint == before


def test_pickling() -> None:
    subject = make(mean=0.5, std=0.5, classes=["a", "b", "c"])
    subject = subject.with_validation(subject.with_images(subject.images[1:3] / 3, [0, 1]))
    logits = subject.logits
    back = pickle.loads(pickle.dumps(subject))
    assert torch.equal(back._evaluations[None].logits(), logits), "what is known travels"
    torch.testing.assert_close(back.evaluate(Brighter(0.1)), subject.evaluate(Brighter(0.1)))
    assert (back.name, back.classes, back.mean, back.code) == (
        subject.name,
        subject.classes,
        subject.mean,
        subject.code,
    )
    assert len(back.validation) == 2
    assert len(copy.deepcopy(subject)) == 7


def test_a_slice_does_not_drag_all_images_into_a_pickle() -> None:
    subject = make(images=flat_images([0.5] * 500), labels=[0] * 500)
    assert len(pickle.dumps(subject[:2])) < len(pickle.dumps(subject)) / 20


def test_code_is_one_line_that_python_reads() -> None:
    subject = make(mean=(0.5,), std=(0.25,), classes=["a", "b", "c"], output=lambda y: y)
    expected = (
        "rw.Subject(model, images, labels, mean=(0.5,), std=(0.25,), classes=('a', 'b', 'c'), "
        "device='cpu', output=output)"
    )
    assert subject.code == expected
    assert (
        Subject(Brightness(), flat_images(MEANS), LABELS).code
        == "rw.Subject(model, images, labels)"
    )
    for each in (
        subject[2:4],
        subject.with_images(subject.images),
        subject[:2].with_validation(subject[2:]),
    ):
        compile(each.code, "code", "eval")


def test_code_makes_the_same_subject() -> None:
    names = {"model": Brightness(), "images": flat_images(MEANS), "labels": LABELS}

    class rw:
        Subject = Subject

    subject = make(names["model"], mean=0.5, std=0.25, name="it's")[2:5][[1, 0]]
    again = eval(subject.code, {"rw": rw, **names})
    assert (again.fingerprint, again.name) == (subject.fingerprint, subject.name)


# --- the report -------------------------------------------------------------------------------


def test_report(batch_of_two: None) -> None:
    report = make().report()
    assert report.gradients
    assert report.output == "logits"
    layers = {word: it.layers for word, it in report.analyses.items()}
    assert layers == {
        "saliency": ("relu",),
        "reliability": (),
        "propagation": ("conv", "fc"),
        "pruning": ("conv",),
        "landscape": (),
        "robustness": (),
        "transfer": (),
        "universal": (),
    }
    assert report.analyses["pruning"].refused == {"fc": "its outputs are the answer"}
    assert report.parameters == 4 + 9  # 2 filters of 1 weight and 1 bias; 3 x 2 weights, 3 biases
    assert (report.batch, report.threads, report.memory_format) == (2, 1, "contiguous")
    assert 0 < report.memory_budget <= 300_000_000
    lines = str(report).splitlines()
    assert lines[:3] == ["✓ gradients", "✓ logits", "✓ saliency: relu"]
    assert "✓ propagation: 2 layers, conv to fc" in lines
    assert "13 parameters; batches of 2, contiguous, 1 thread" in lines[-1]


def test_report_gives_reasons() -> None:
    class Blind(models.Softmax):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    text = str(make(Blind()).report())
    assert "✗ gradients: something in it cuts them off" in text
    assert "✓ logits: made from probabilities" in text
    assert "without ig, gradient, input-x-gradient and 5 more: gradients are blocked" in text
    assert "✗ pruning: gradients are blocked inside Blind.forward" in text
    assert "    without attacks: gradients are blocked" in text
    assert "note: the model was in train mode" in text
    assert "note: the model ends in softmax" in text


def test_depthwise_filters_cannot_be_removed_alone() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(144, 3)
    )
    allowed = make(model.eval()).report().analyses["pruning"]
    assert allowed.layers == ("0", "1")  # the second loses its filters with the first


# --- device -----------------------------------------------------------------------------------


def test_cuda_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1", torch.device("cuda")):
        with pytest.raises(
            ValueError, match=r'CUDA is not available.*torch sees no GPU.*device="auto"'
        ):
            make(device=device)
    assert make(device="auto").device == torch.device("cpu")


def test_unknown_device() -> None:
    with pytest.raises(ValueError, match=r"device cannot be used.*'toaster'.*device=\"auto\""):
        make(device="toaster")


# --- bad input: what happened, what was seen, how to fix it -----------------------------------

GOOD = flat_images(MEANS)
BAD_IMAGES = [
    (GOOD[0], ValueError, r"N x C x H x W.*3 dimensions, \(1, 8, 8\).*images\[None\]"),
    (
        GOOD[0].permute(1, 2, 0).numpy(),
        ValueError,
        r"N x C x H x W.*\(8, 8, 1\).*transpose\(2, 0, 1\)\[None\]",
    ),
    (GOOD[:, 0], ValueError, r"N x C x H x W.*\(7, 8, 8\).*images\[:, None\]"),
    (GOOD.permute(0, 2, 3, 1), ValueError, r"H x W x C.*\(7, 8, 8, 1\).*permute\(0, 3, 1, 2\)"),
    (GOOD[:0], ValueError, r"images is empty.*\(0, 1, 8, 8\).*at least one"),
    (GOOD * 255, ValueError, r"lie in \[0, 1\].*0 to 255.*images / 255"),
    (GOOD * 2 - 1, ValueError, r"lie in \[0, 1\].*-1 to 1.*\(images \+ 1\) / 2"),
    (
        (GOOD - 0.485) / 0.229,
        ValueError,
        r"lie in \[0, 1\].*-2.118 to 2.249.*Normalize.*mean= and std=",
    ),
    (GOOD + 3e-4, ValueError, r"lie in \[0, 1\].*0.0003 to 1"),
    (
        GOOD.masked_fill(GOOD == 0.5, float("nan")),
        ValueError,
        r"NaN.*1 of 7 images, first at 2.*isfinite",
    ),
    (
        GOOD.masked_fill(GOOD == 1.0, float("inf")),
        ValueError,
        r"infinity.*1 of 7 images, first at 4",
    ),
    (
        (GOOD * 255).long(),
        TypeError,
        r"neither uint8, uint16 nor floats.*int64 from 0 to 255.*images / 255",
    ),
    ([GOOD[0], GOOD[1, :, :4]], TypeError, r"cannot be made one array.*list.*of one size"),
    (TensorDataset(GOOD), TypeError, r"a data set.*TensorDataset.*\.from_dataset"),
    ("pictures.png", TypeError, r"cannot be made one array.*str"),
]


@pytest.mark.parametrize(("images", "kind", "words"), BAD_IMAGES)
def test_bad_images(images: object, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"(?s){words}"):
        make(images=images)


BAD_LABELS = [
    (LABELS[:5], ValueError, r"as many as the images.*5 labels and 7 images.*labels="),
    (
        [0, 1, 2, 0, 1, 2, 12],
        ValueError,
        r"out of range.*3 classes \(0-2\), labels contain 12.*labels=",
    ),
    ([0, 1, 2, 0, 1, 2, -1], ValueError, r"out of range.*labels contain -1"),
    ([1, 2, 3, 1, 2, 3, 3], ValueError, r"out of range.*labels contain 3.*labels - 1"),
    (torch.tensor(LABELS).float(), TypeError, r"whole numbers.*float32.*labels.long\(\)"),
    ([0.5] * 7, TypeError, r"whole numbers.*float64.*regression"),
    (torch.eye(3)[LABELS], ValueError, r"class numbers.*\(7, 3\).*argmax\(1\)"),
    (np.array(LABELS)[:, None], ValueError, r"one number per image.*\(7, 1\).*flatten\(\)"),
    (3, ValueError, r"one number per image.*shape \(\).*labels=\[label\]"),
    (["cat"] * 7, TypeError, r"class numbers.*classes.index"),
    ([[0], [1, 2]], ValueError, r"not one array.*one class number per image"),
]


@pytest.mark.parametrize(("labels", "kind", "words"), BAD_LABELS)
def test_bad_labels(labels: object, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"labels .*{words}"):
        make(labels=labels)


BAD_OPTIONS = [
    (
        {"classes": ["a", "b"]},
        ValueError,
        r"one name per class.*got 2 names, the model has 3.*classes=",
    ),
    ({"classes": "abc"}, ValueError, r"one name per class.*'abc'.*classes="),
    ({"mean": 0.5}, ValueError, r"go together.*only mean=.*std="),
    ({"std": 0.5}, ValueError, r"go together.*only std=.*mean="),
    (
        {"mean": (0.5,) * 3, "std": (0.5,) * 3},
        ValueError,
        r"mean.*per channel.*1 channels.*mean= with 1",
    ),
    (
        {"mean": (0.5,), "std": (0.5, 0.5)},
        ValueError,
        r"std.*per channel.*\(0.5, 0.5\).*std= with 1",
    ),
    ({"mean": 0.5, "std": 0}, ValueError, r"std cannot be used.*\(0.0,\).*above 0"),
    ({"mean": float("nan"), "std": 1}, ValueError, r"mean cannot be used.*nan"),
    ({"mean": 123.7, "std": 58.4}, ValueError, r"mean must be in pixel units.*123.7.*255"),
    ({"output": 1.5}, TypeError, r"output cannot pick.*float.*output="),
    ({"output": "logits"}, ValueError, r"not part.*'logits'.*one Tensor.*Leave output= away"),
    ({"model": lambda x: x}, TypeError, r"not a torch.nn.Module.*function.*model="),
    (
        {"model": models.Uncopyable()},
        ValueError,
        r"cannot be copied.*RuntimeError: holds a lock\. Pass model=",
    ),
    (
        {"model": models.Broken()},
        ValueError,
        r"failed on an image.*1 x 8 x 8 gave KeyError.*no such layer.*model=",
    ),
    (
        {"model": models.TwoTables()},
        ValueError,
        r"not clear.*'main' \(1 x 3\), 'auxiliary' \(1 x 3\).*output='main'",
    ),
    ({"model": models.TwoTables(), "output": "x"}, ValueError, r"not part.*'x'.*'main'.*output="),
    (
        {"model": models.TupleOutput(), "output": 5},
        ValueError,
        r"not part.*output=5.*0 \(1 x 1 x 8 x 8\)",
    ),
    (
        {"model": models.Maps()},
        ValueError,
        r"must be logits.*\(1, 3, 8, 8\).*output=lambda y: y.mean\(\(2, 3\)\)",
    ),
    (
        {"model": models.Squeezed()},
        ValueError,
        r"must be logits.*\(3,\).*output=lambda y: y\.reshape\(-1, 3\)",
    ),
    ({"model": models.NotATensor()}, ValueError, r"not a tensor.*ndarray.*output="),
    (
        {"model": models.BrightIsNaN(), "images": flat_images([1.0, 0.0] * 3 + [0.0])},
        ValueError,
        r"output holds NaN.*2 of the 4 images tried.*model=",
    ),
    (
        {"images": flat_images(MEANS, 3)},
        ValueError,
        r"wants 1 channel, the images have 3.*'conv' has in_channels=1.*3 x 8 x 8.*mean\(1,",
    ),
    (
        {"model": Brightness(3)},
        ValueError,
        r"wants 3 channels, the images have 1.*expand\(-1, 3, -1, -1\)",
    ),
    (
        {"model": models.Views(), "images": flat_images(MEANS, size=20)},
        ValueError,
        r"does not take images of 20 x 20.*it runs at 8 \(.*from 8 to 256\).*Resize.*8",
    ),
    (
        {"model": nn.Sequential(nn.Conv2d(1, 3, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()},
        ValueError,
        r"does not take images of 8 x 8.*runs from 16 to 256",
    ),
]


@pytest.mark.parametrize(("options", "kind", "words"), BAD_OPTIONS)
def test_bad_options(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        make(**options)


@pytest.mark.parametrize("model", [models.Broken(), models.Uncopyable()])
def test_the_cause_is_chained(model: nn.Module) -> None:
    with pytest.raises(ValueError) as caught:
        make(model)
    assert caught.value.__cause__ is not None


def test_the_advice_on_sizes_works() -> None:
    images = flat_images(MEANS, size=20)
    advice = torch.nn.functional.interpolate(images, 8, mode="bilinear", antialias=True).clamp(0, 1)
    assert len(make(models.Views(), images=advice)) == 7


# --- from_dataset -----------------------------------------------------------------------------


def items(count: int = 30, channels: int = 1) -> TensorDataset:
    """Item i has brightness i / count and label i % 3."""
    return TensorDataset(
        flat_images([i / count for i in range(count)], channels), torch.arange(count) % 3
    )


def taken(subject: Subject, count: int = 30) -> list[int]:
    return (subject.images[:, 0, 0, 0] * count).round().int().tolist()


def test_n_random_items_by_seed() -> None:
    first = Subject.from_dataset(Brightness(), items(), n=10)
    chosen = taken(first)
    assert len(set(chosen)) == 10
    assert chosen != sorted(chosen)
    assert first.labels.tolist() == [i % 3 for i in chosen]
    assert taken(Subject.from_dataset(Brightness(), items(), n=10)) == chosen
    assert taken(Subject.from_dataset(Brightness(), items(), n=10, seed=1)) != chosen
    assert first.code == "rw.Subject.from_dataset(model, dataset, n=10, seed=0)"


def test_a_small_set_is_taken_whole_and_said() -> None:
    subject = Subject.from_dataset(Brightness(), items(), n=100)
    assert taken(subject) == list(range(30))
    assert "the data set has only 30 items: all are used" in subject.notes
    assert Subject.from_dataset(Brightness(), items(), n=30).notes == ()


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return iter(items())

    def __len__(self) -> int:
        return 30


def test_other_sources_of_items() -> None:
    assert taken(Subject.from_dataset(Brightness(), Stream(), n=4)) == [0, 1, 2, 3]
    whole = Subject.from_dataset(Brightness(), items(), n=10)
    for source in (DataLoader(items(), batch_size=7, shuffle=True), list(items())):
        assert taken(Subject.from_dataset(Brightness(), source, n=10)) == taken(whole)
    nested = Subset(Subset(items(), range(10, 30)), range(5))
    assert taken(Subject.from_dataset(Brightness(), nested, n=9)) == [10, 11, 12, 13, 14]
    both = ConcatDataset([items(), items()])
    assert len(Subject.from_dataset(Brightness(), both, n=60)) == 60


class Pictures(Dataset):
    """Uniform RGB pictures; what an item's image is, and its transform, are the test's choice."""

    def __init__(self, kind: Callable[[np.ndarray], Any], transform: Any = None) -> None:
        self.kind, self.transform = kind, transform
        self.classes = ["dark", "bright", "grey"]

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.kind(np.full((8, 8, 3), 51 * index, dtype=np.uint8))
        return (self.transform(image) if self.transform else image), index % 3


FIFTHS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
KINDS: list[Callable[[np.ndarray], Any]] = [
    Image.fromarray,
    lambda a: Image.fromarray(a).convert("RGBA"),
    lambda a: a,
    lambda a: (a / 255).astype(np.float64),
    lambda a: torch.from_numpy(a.transpose(2, 0, 1).copy()),
    lambda a: torch.from_numpy(a.transpose(2, 0, 1).copy()).float() / 255,
]


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_many_kinds(kind: Callable[[np.ndarray], Any]) -> None:
    subject = Subject.from_dataset(Brightness(3), Pictures(kind))
    torch.testing.assert_close(subject.images, flat_images(FIFTHS, 3))
    assert subject.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert subject.classes == ("dark", "bright", "grey")


@pytest.mark.parametrize(
    "kind", [lambda a: Image.fromarray(a[..., 0]), lambda a: a[..., 0], lambda a: a[..., :1]]
)
def test_grey_items(kind: Callable[[np.ndarray], Any]) -> None:
    subject = Subject.from_dataset(Brightness(), Pictures(kind))
    torch.testing.assert_close(subject.images, flat_images(FIFTHS))


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def normalising_transforms() -> Iterator[Any]:
    from torchvision import transforms
    from torchvision.transforms import v2

    numbers = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    yield transforms.Compose([transforms.ToTensor(), transforms.Normalize(**numbers)])
    yield v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, True), v2.Normalize(**numbers)])
    yield transforms.Compose([to_tensor, nn.Sequential(transforms.Normalize(**numbers))])


@pytest.mark.parametrize("transform", list(normalising_transforms()))
@pytest.mark.parametrize("where", ["dataset", "argument", "subset"])
def test_normalisation_is_undone_and_given_to_the_model(transform: Any, where: str) -> None:
    if where == "argument":
        subject = Subject.from_dataset(
            Brightness(3), Pictures(Image.fromarray), transform=transform
        )
    else:
        source: Dataset = Pictures(Image.fromarray, transform)
        source = Subset(source, range(6)) if where == "subset" else source
        subject = Subject.from_dataset(Brightness(3), source)
    torch.testing.assert_close(subject.images, flat_images(FIFTHS, 3))
    assert subject.mean == (0.4, 0.5, 0.6)
    assert subject.std == (0.2, 0.25, 0.3)
    assert any("Normalize was undone" in note for note in subject.notes)
    assert subject.classes == ("dark", "bright", "grey")


def test_one_number_of_normalize_serves_all_channels() -> None:
    from torchvision import transforms

    transform = transforms.Compose([to_tensor, transforms.Normalize((0.5,), (0.25,))])
    subject = Subject.from_dataset(Brightness(3), Pictures(Image.fromarray, transform))
    assert (subject.mean, subject.std) == ((0.5,) * 3, (0.25,) * 3)
    torch.testing.assert_close(subject.images, flat_images(FIFTHS, 3))


def test_the_transforms_of_torchvisions_weights() -> None:
    from torchvision.models import ResNet18_Weights

    subject = Subject.from_dataset(
        Brightness(3), Pictures(Image.fromarray), transform=ResNet18_Weights.DEFAULT.transforms()
    )
    torch.testing.assert_close(subject.images, flat_images(FIFTHS, 3, size=224))
    assert subject.mean == (0.485, 0.456, 0.406)
    assert subject.std == (0.229, 0.224, 0.225)


def test_a_torchvision_data_set() -> None:
    from torchvision.datasets import FakeData
    from torchvision.transforms import Compose, Normalize, ToTensor

    transform = Compose([ToTensor(), Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
    plain = FakeData(5, (3, 8, 8), 3, ToTensor())
    subject = Subject.from_dataset(Brightness(3), FakeData(5, (3, 8, 8), 3, transform))
    torch.testing.assert_close(subject.images, torch.stack([image for image, _ in plain]))


def test_random_transforms_are_repeatable_and_leave_the_generators_alone() -> None:
    def noise(image: np.ndarray) -> Tensor:
        drawn = torch.rand(1, 8, 8) + float(np.random.rand()) + random.random()
        return drawn / 3

    def draw(seed: int = 0) -> Tensor:
        return Subject.from_dataset(model, Pictures(noise), n=4, seed=seed).images

    model = Brightness()
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first = draw()
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    assert torch.equal(draw(), first)
    assert not torch.equal(draw(seed=1), first)


def test_what_is_given_goes_before_what_the_data_set_knows() -> None:
    subject = Subject.from_dataset(
        Brightness(3),
        Pictures(to_tensor_array),
        classes=["a", "b", "c"],
        mean=0.5,
        std=0.5,
        name="net",
    )
    assert (subject.classes, subject.mean, subject.name) == (("a", "b", "c"), (0.5,) * 3, "net")
    assert subject.code == (
        "rw.Subject.from_dataset(model, dataset, n=512, seed=0, mean=0.5, std=0.5, "
        "classes=classes, name='net')"
    )


def to_tensor_array(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.transpose(2, 0, 1).copy())


class Sizes(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.zeros(1, 8 + index, 8), 0


class Failing(Sizes):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        raise OSError("file is broken")


def normalise(image: Tensor) -> Tensor:
    return (image - 0.5) / 0.1


def twice() -> dict[str, Any]:
    transform = next(normalising_transforms())
    return {"dataset": Pictures(Image.fromarray, transform), "transform": transform.transforms[1]}


BAD_SETS = [
    (
        lambda: {"dataset": [(GOOD[0], 0, "name")]},
        ValueError,
        r"\(image, label\) pair.*item 0 is a tuple of 3.*Wrap dataset=",
    ),
    (
        lambda: {"dataset": [{"img": 1, "label": 2}]},
        ValueError,
        r"pair.*dict with 'img', 'label'.*dataset=",
    ),
    (lambda: {"dataset": [GOOD[0]]}, ValueError, r"pair.*item 0 is a Tensor"),
    (
        lambda: {"dataset": Sizes()},
        ValueError,
        r"differ in size.*1 x (8|9) x 8 and 1 x (8|9) x 8.*Resize and CenterCrop",
    ),
    (
        lambda: {"dataset": Failing()},
        ValueError,
        r"cannot be read.*item \d gave OSError: file is broken.*works",
    ),
    (lambda: {"dataset": []}, ValueError, r"data set is empty.*0 items.*dataset="),
    (lambda: {"dataset": 3}, TypeError, r"not a data set.*int.*DataLoader"),
    (lambda: {"dataset": items(), "n": 0}, ValueError, r"n must be a whole number.*got 0"),
    (
        lambda: {"dataset": [("a.png", 0)]},
        ValueError,
        r"holds no image.*item 0 holds a str.*ToTensor",
    ),
    (
        lambda: {"dataset": items(), "transform": normalise},
        ValueError,
        r"lie in \[0, 1\].*Normalize.*mean=",
    ),
    (
        lambda: {"dataset": items(), "classes": ["a"]},
        ValueError,
        r"one name per class.*got 1 names",
    ),
    (twice, ValueError, r"normalise more than once.*\(0.4, 0.5, 0.6\) and .*mean= and std="),
    (
        lambda: {"dataset": twice()["dataset"], "mean": 0.5, "std": 0.5},
        ValueError,
        r"normalised twice.*mean=\(0.4, 0.5, 0.6\).*Leave mean= and std= away",
    ),
]


@pytest.mark.parametrize(("options", "kind", "words"), BAD_SETS)
def test_bad_data_sets(
    options: Callable[[], dict[str, Any]], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        Subject.from_dataset(Brightness(), **options())


# --- classes of equal names -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("crane", "dog", "crane"), ("crane (0)", "dog", "crane (2)")),
        (("a", "a", "a (0)"), ("a (0) (0)", "a (1)", "a (0) (2)")),
        (("a", "b", "c"), ("a", "b", "c")),
    ],
)
def test_classes_of_equal_names_have_their_index(
    given: tuple[str, ...], named: tuple[str, ...]
) -> None:
    subject = Subject(Brightness(), flat_images([0.1, 0.9]), [0, 1], classes=given)
    assert subject.classes == named
    said = [note for note in subject.notes if "classes of equal names have their index" in note]
    assert len(said) == (given != named)
    assert all(named[0] in note for note in said)


# --- copies -----------------------------------------------------------------------------------


class OwnWay(nn.Linear):
    """Counts how often it was copied, by its own way of copying."""

    copied = 0

    def __deepcopy__(self, known: dict[int, Any]) -> "OwnWay":
        new = OwnWay(self.in_features, self.out_features)
        new.load_state_dict(self.state_dict())
        new.copied = self.copied + 1
        return new


def test_a_twin_is_a_deep_copy() -> None:
    shared = nn.Linear(4, 4)
    norm = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    attention = nn.MultiheadAttention(4, 2)
    model = nn.ModuleDict({"a": shared, "b": shared, "n": norm, "o": OwnWay(4, 4), "m": attention})
    model.register_buffer("table", torch.arange(3.0))
    model.settings = {"steps": [1, 2], "inner": shared}  # a module that is not registered here
    new: Any = twin(model, {})
    assert new["a"] is new["b"] is new.settings["inner"] is not shared
    assert new["o"].copied == 1
    assert type(new["n"]) is not nn.Linear
    mine, its = model.state_dict(), new.state_dict()
    assert mine.keys() == its.keys()
    for name, value in mine.items():
        assert torch.equal(value, its[name]) and value.data_ptr() != its[name].data_ptr()
    new.settings["steps"].append(3)
    new["a"].register_forward_hook(lambda *_: None)
    assert model.settings["steps"] == [1, 2] and not shared._forward_hooks
    kept = {id(it): it for it in model.parameters()}
    assert twin(model, kept)["a"].weight is shared.weight
