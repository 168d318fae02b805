"""Code of others draws from generators of ours: repeated by seed, and no other thread can tell."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import reliab_widgets as rw
from reliab_widgets import Subject
from reliab_widgets.core.randomness import own_generators
from tests.models import AlwaysDropout, Brightness, Wrapped, flat_images

ROOT = Path(__file__).parents[1]
ONES = torch.ones(2, 3, 4, 4)
PAIRS = torch.ones(2, 1, 2)


def numbers() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


DRAWS: dict[str, Callable[[], Any]] = {
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn(3, dtype=torch.float64),
    "randint": lambda: torch.randint(0, 99, (9,)),
    "randperm": lambda: torch.randperm(9),
    "rand_like": lambda: torch.rand_like(ONES),
    "randn_like": lambda: torch.randn_like(ONES),
    "randint_like": lambda: torch.randint_like(ONES, 3, 99),
    "bernoulli": lambda: torch.bernoulli(ONES / 2),
    "multinomial": lambda: torch.multinomial(ONES[0, 0, 0].repeat(9), 9),
    "normal": lambda: torch.normal(0.0, 1.0, (3,)),
    "normal of tensors": lambda: torch.normal(ONES, ONES),
    "poisson": lambda: torch.poisson(ONES * 9),
    "binomial": lambda: torch.binomial(ONES * 9, ONES / 2),
    "uniform_": lambda: torch.empty(3).uniform_(),
    "random_": lambda: torch.empty(3).random_(),
    "beta": lambda: torch.distributions.Beta(1.0, 2.0).sample((3,)),
    "dirichlet": lambda: torch.distributions.Dirichlet(torch.ones(3)).sample(),
    "dropout": lambda: functional.dropout(ONES, 0.5, training=True),
    "dropout2d": lambda: functional.dropout2d(ONES.repeat(1, 9, 1, 1), 0.5, training=True),
    "alpha_dropout": lambda: functional.alpha_dropout(ONES, 0.5, training=True),
    "native_dropout": lambda: torch.native_dropout(ONES, 0.5, True),
    "rrelu": lambda: functional.rrelu(-ONES, training=True),
    "attention": lambda: functional.scaled_dot_product_attention(PAIRS, PAIRS, PAIRS, None, 0.5),
    "heads": lambda: nn.MultiheadAttention(2, 1, dropout=0.5)(PAIRS, PAIRS, PAIRS)[0],
    "recurrent": lambda: nn.LSTM(2, 2, 2, dropout=0.5)(PAIRS)[0],
    "weights": lambda: nn.Linear(3, 3).weight.detach(),
    "fractional": lambda: functional.fractional_max_pool2d(torch.rand(1, 1, 9, 9), 2, 4),
    "python": lambda: [random.random(), random.choice(range(999)), random.gauss(0, 1)],
    "numpy": lambda: [np.random.rand(), np.random.permutation(9).tolist(), np.random.normal()],
}


@pytest.mark.parametrize("name", DRAWS)
def test_whatever_is_drawn_repeats_by_seed_and_touches_nothing(name: str) -> None:
    def state() -> tuple[Any, ...]:
        _, keys, place, *_ = np.random.get_state()
        return random.getstate(), keys.tolist(), place, torch.get_rng_state().tolist()

    before, found = state(), []
    for seed in (1, 1, 2):
        with own_generators(seed) as draws:
            assert not draws.drawn
            found.append(str(DRAWS[name]()))
        assert draws.drawn
    assert state() == before
    assert found[0] == found[1] != found[2]


def test_the_numbers_are_those_that_the_seed_always_gives() -> None:
    with own_generators(7):
        inside = numbers(), [str(DRAWS[name]()) for name in sorted(DRAWS)]
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    assert inside == (numbers(), [str(DRAWS[name]()) for name in sorted(DRAWS)])


def test_a_generator_of_the_code_itself_is_left_to_it() -> None:
    with own_generators() as draws:
        found = torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert not draws.drawn


def test_code_that_seeds_for_itself_means_our_generators() -> None:
    before = numbers_after(5)
    with own_generators():
        assert numbers_after(5) == before
        state = torch.get_rng_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
        assert torch.equal(torch.get_rng_state(), state)
    drawn = torch.rand(1)  # after the numbers of seed 5, which were drawn outside
    torch.manual_seed(5)
    assert torch.equal(torch.rand(2)[1:], drawn)


def numbers_after(seed: int) -> tuple[float, float, float]:
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    return numbers()


def test_inside_another_it_goes_on_after() -> None:
    with own_generators(1):
        first, second = numbers(), numbers()
    with own_generators(1):
        assert numbers() == first
        with own_generators(2):
            assert numbers() != second
        assert numbers() == second


def test_after_an_error_all_is_as_before() -> None:
    functions = random.random, np.random.rand, torch.manual_seed
    with pytest.raises(ZeroDivisionError), own_generators():
        raise ZeroDivisionError
    assert (random.random, np.random.rand, torch.manual_seed) == functions


def test_gradients_pass_through_what_was_dropped() -> None:
    images = torch.ones(1000, requires_grad=True)
    with own_generators():
        dropped = functional.dropout(images, 0.5, training=True)
        dropped.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, dropped.detach())
    with own_generators():
        native, kept = torch.native_dropout(images, 0.5, True)
    assert torch.equal(native.detach(), 2.0 * kept)


@pytest.mark.parametrize(
    "use",
    [
        "from reliab_widgets.core.randomness import own_generators\n"
        "with own_generators():\n"
        "    torch.rand(1)\n",
        "from reliab_widgets.core.network import Network\n"
        "from reliab_widgets.ops.pruning.counting import operations\n"
        "image = torch.rand(1, 1, 2, 2)\n"
        "model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))\n"
        "assert operations(Network(model, image), image) == 12\n",
    ],
    ids=["draws", "counts"],
)
def test_torch_does_not_load_its_compiler_for_it(use: str) -> None:
    code = f"import sys, torch\n{use}sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# --- other threads ----------------------------------------------------------------------------


class Noisy(Wrapped):
    """Draws wherever there is something to draw from."""

    def forward(self, x: Tensor) -> object:
        x = functional.dropout(x, 0.1, training=True) + 0.1 * torch.rand_like(x)
        return self.net(x) + 0.1 * random.random() + 0.1 * float(np.random.rand())


class Recomputed(Wrapped):
    """Checkpointing puts the state of the global generator back in the backward pass."""

    def forward(self, x: Tensor) -> object:
        return checkpoint(
            lambda x: functional.dropout(self.net(x), 0.2, True), x, use_reentrant=False
        )


class Seeded(Wrapped):
    """Adds the same noise in every pass."""

    def forward(self, x: Tensor) -> object:
        torch.manual_seed(3)
        return self.net(x) + torch.rand(1, 3)


class Noise(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A data set with random transforms."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(1, 8, 8) * np.random.rand() * random.random(), index % 3


def noisy(model: nn.Module) -> Subject:
    images = flat_images([n / 40 for n in range(40)])
    return Subject(model, images, [n % 3 for n in range(40)], name="noisy")


# Models are built first: layers draw their first weights, and that is not our doing.
BACKGROUND: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Any]]] = {
    "dropout": (AlwaysDropout, lambda model: rw.reliability(noisy(model), bins=3).metrics_after),
    "everything": (
        Noisy,
        lambda model: rw.propagation(noisy(model), attack="pgd", steps=2).distance,
    ),
    "recomputed": (Recomputed, lambda model: rw.attack(noisy(model), attack="fgsm").images),
    "seeded": (Seeded, lambda model: noisy(model).logits),
    "data set": (
        Brightness,
        lambda model: Subject.from_dataset(model, Noise(), n=20, seed=3).images,
    ),
    "untrained": (Brightness, lambda model: rw.untrained(noisy(model), seed=2).logits),
}


@pytest.mark.parametrize("name", BACKGROUND)
def test_another_thread_draws_what_it_draws_alone(name: str) -> None:
    make, work = BACKGROUND[name]
    model = make()
    alone = work(model)
    numbers_after(11)
    expected = [numbers() for _ in range(3000)]

    done, found = threading.Event(), []

    def run() -> None:
        try:
            found.extend(work(model) for _ in range(2))
        finally:
            done.set()

    numbers_after(11)
    thread = threading.Thread(target=run)
    thread.start()
    drawn = [numbers() for _ in range(1500)]
    done.wait(30)
    drawn += [numbers() for _ in range(1500)]
    thread.join()
    assert drawn == expected
    assert [np.array_equal(one, alone) for one in found] == [True, True]


def test_what_a_model_draws_is_found_whatever_other_threads_do() -> None:
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            numbers()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert not any("random" in note for note in noisy(Brightness()).notes)
        assert any("draws random numbers" in note for note in noisy(Noisy()).notes)
    finally:
        stop.set()
        thread.join()


def test_noise_that_a_model_seeds_itself_is_its_own() -> None:
    noise = torch.rand(1, 3, generator=torch.Generator().manual_seed(3))
    expected = noisy(Brightness()).logits + noise
    torch.testing.assert_close(noisy(Seeded()).logits, expected)


def test_a_denoiser_of_ours_is_built_without_a_trace() -> None:
    from reliab_widgets.ops.defences import catalogue

    state = torch.get_rng_state()
    catalogue._made.cache_clear()
    rw.zoo.denoiser("pixel")
    assert torch.equal(torch.get_rng_state(), state)
