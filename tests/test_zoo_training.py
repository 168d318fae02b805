"""Trainings end with the same weights whatever interrupts them, and say what stops them."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reliab_widgets.zoo import checkpoints, cifar10, train, weights
from reliab_widgets.zoo.cifar10 import Images
from reliab_widgets.zoo.recipes import RECIPES, Recipe

ROOT = Path(__file__).parents[1]
TINY = Recipe(
    "resnet20",
    epochs=3,
    small=1,
    batch=8,
    peak_rate=0.01,
    objective="adversarial",
    settings={"epsilon": 0.03, "step": 0.04, "steps": 1},
)


def prepare():
    """Put a recipe on 40 training and 10 validation images into the zoo; also run by a process."""
    pixels = np.random.default_rng(0).integers(256, size=(50, 32, 32, 3), dtype=np.uint8)
    cifar10.read = lambda data, part: Images(pixels, np.arange(50) % 10)
    cifar10.VALIDATION_PER_CLASS = 1
    RECIPES["tiny"] = TINY


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(cifar10, "read", cifar10.read)
    monkeypatch.setattr(cifar10, "VALIDATION_PER_CLASS", 1)
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    prepare()


def trained(work, kept=Path("nowhere")):
    path = train.train("tiny", work, work, torch.device("cpu"), 1, kept)
    return torch.load(path, weights_only=True)


def assert_same(seen, expected):
    for key, tensor in expected["model"].items():
        assert torch.equal(seen["model"][key], tensor), key
    assert torch.equal(seen["history"], expected["history"])
    for before, after in zip(expected["log"], seen["log"], strict=True):
        assert {**after, "seconds": 0} == {**before, "seconds": 0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "read", cifar10.read)
        patch.setattr(cifar10, "VALIDATION_PER_CLASS", 1)
        patch.setitem(RECIPES, "tiny", TINY)
        prepare()
        return trained(tmp_path_factory.mktemp("whole"))


# What a process does that is killed: at the given call of fsync, when a checkpoint is written but
# not yet in its place, or when only a thousand bytes of it are.
KILLED = """
import os, pathlib, runpy, signal, sys
sys.argv = ["train", "tiny", "--work", {work!r}, "--threads", "1", "--device", "cpu"]
scope = runpy.run_path({me!r})
scope["prepare"]()
calls = 0
def fsync(file):
    global calls
    calls += 1
    if calls == {call}:
        if {cut}:
            os.ftruncate(file, 1000)
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
scope["train"].main()
"""


@pytest.mark.parametrize(("call", "cut"), [(3, True), (4, False)])
def test_killed_while_writing_it_goes_on_to_the_same_weights(tiny, whole, tmp_path, call, cut):
    script = KILLED.format(work=str(tmp_path), me=__file__, call=call, cut=cut)
    with run(script) as process:
        assert process.wait(120) == -signal.SIGKILL
    saved = torch.load(tmp_path / "tiny.pt", weights_only=True)
    assert len(saved["log"]) == call - 2  # the first is written before the first epoch
    assert (tmp_path / "tiny.part").exists()
    assert_same(trained(tmp_path), whole)
    assert not (tmp_path / "tiny.part").exists()


def test_killed_in_an_epoch_it_goes_on_to_the_same_weights(tiny, whole, tmp_path):
    script = KILLED.format(work=str(tmp_path), me=__file__, call=0, cut=False)
    with run(script) as process:
        assert process.stdout.readline().startswith("tiny 1/3")
        process.kill()
    assert len(torch.load(tmp_path / "tiny.pt", weights_only=True)["log"]) in (1, 2)
    assert_same(trained(tmp_path), whole)


def run(script):
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_the_attack_is_part_of_the_training(whole):
    assert all(0 <= epoch["attacked"] <= epoch["validation"] <= 1 for epoch in whole["log"])


def test_outputs_of_every_epoch_are_recorded(whole):
    # Before the first epoch and after each; ten images, ten classes, in 240ths, rounded down.
    assert whole["history"].shape == (4, 10, 10)
    assert whole["history"].dtype == torch.uint8
    assert whole["history"].max() < 240
    sums = whole["history"].int().sum(2)
    assert sums.min() > 230 and sums.max() <= 240


@pytest.mark.parametrize("data", ["cifar10", "fashion"])
def test_fine_tuning_begins_with_a_finished_network(data):
    model = weights.untrained("resnet20")
    drawn = model.fc.weight.clone()
    train._begin_with("resnet20", model, data)
    finished = weights.load("resnet20")
    assert torch.equal(model.layer3[2].conv2.weight, finished.layer3[2].conv2.weight)
    # Other classes need a last layer of their own.
    assert torch.equal(model.fc.weight, finished.fc.weight if data == "cifar10" else drawn)


# What is refused


def test_a_start_that_is_not_in_the_box_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    with pytest.raises(checkpoints.Refused, match=r"resnet20 is not in the box\. `make zoo MODEL"):
        train._begin_with("resnet20", weights.untrained("resnet20"), "cifar10")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_leaves_the_old_checkpoint(tiny, whole, tmp_path):
    path = tmp_path / "tiny.pt"
    checkpoints.save(path, "tiny", whole)
    before = path.read_bytes()
    path.with_suffix(".part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"could not be written.*MB.*No space left.*--work"):
        checkpoints.save(path, "tiny", whole)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_recipe_is_refused(tiny, whole, tmp_path, monkeypatch):
    checkpoints.save(tmp_path / "tiny.pt", "tiny", whole)
    monkeypatch.setitem(RECIPES, "tiny", replace(TINY, epochs=4, hours=9.0))
    with pytest.raises(checkpoints.Refused, match=r"it has epochs 3, .* has epochs 4\. Move"):
        trained(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tiny, whole, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "other", TINY)
    checkpoints.save(tmp_path / "tiny.pt", "other", whole)
    with pytest.raises(checkpoints.Refused, match=r"it has name 'other', .* has name 'tiny'"):
        trained(tmp_path)


def test_a_checkpoint_of_another_version_is_refused(tiny, tmp_path):
    torch.save({"model": {}, "log": []}, tmp_path / "tiny.pt")
    with pytest.raises(checkpoints.Refused, match=r"another version: it has format 1, .*Move"):
        trained(tmp_path)


def test_a_damaged_checkpoint_is_refused(tiny, whole, tmp_path):
    path = tmp_path / "tiny.pt"
    checkpoints.save(path, "tiny", whole)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(checkpoints.Refused, match=r"tiny\.pt cannot be read: .*Move"):
        trained(tmp_path)


def test_a_training_that_diverges_says_so(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "tiny", replace(TINY, peak_rate=1e30))
    with pytest.raises(train.Diverged, match=r"tiny diverged in epoch 1: .* Lower peak_rate"):
        trained(tmp_path)
    assert torch.load(tmp_path / "tiny.pt", weights_only=True)["log"] == []


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_costs(name):
    recipe = RECIPES[name]
    assert 0 < recipe.hours < 30
    assert 0 < recipe.megabytes < 5


def test_the_command_says_it_plainly(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "vgg", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"CIFAR-10 is not there: .*make data"):
        train.main()


# What is committed


@pytest.fixture
def half_way(tiny, tmp_path, monkeypatch):
    """A folder with the checkpoint after the first of three epochs."""
    save = checkpoints.save

    def last(path, name, state):
        save(path, name, state)
        if state["log"]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "save", last)
        trained(tmp_path / "work")
    return tmp_path / "work"


def test_training_goes_on_from_what_is_committed(half_way, whole, tmp_path):
    kept = tmp_path / "kept"
    assert "1 of 3 epochs" in checkpoints.keep("tiny", half_way, kept)
    small, large = kept / "tiny.pt", half_way / "tiny.pt"
    assert small.stat().st_size < 0.6 * large.stat().st_size
    seen = trained(tmp_path / "elsewhere", kept)
    assert [epoch["epoch"] for epoch in seen["log"]] == [1, 2, 3]
    assert seen["log"][0] == torch.load(large, weights_only=True)["log"][0]
    # Not the same bits, but the same way: nearer than one epoch goes.
    here = whole["model"]["fc.weight"]
    before = torch.load(large, weights_only=True)["model"]["fc.weight"]
    gap = (seen["model"]["fc.weight"] - here).abs().max()
    assert 0 < gap < 0.2 * (before - here).abs().max()


def test_what_is_committed_counts_steps_exactly(tiny, tmp_path):
    count = torch.tensor(14_041.0)  # bfloat16 has none between 14,016 and 14,080
    memory = {"step": count, "exp_avg": torch.tensor([1.001])}
    state = {"model": {}, "optimiser": {"state": {0: memory}}, "log": [{"epoch": 1}]}
    checkpoints.save(tmp_path / "work/tiny.pt", "tiny", state)
    checkpoints.keep("tiny", tmp_path / "work", tmp_path / "kept")
    kept = checkpoints.load(tmp_path / "kept/tiny.pt", "tiny")["optimiser"]["state"][0]
    assert kept["step"] == count
    assert kept["exp_avg"].dtype == torch.bfloat16


def test_one_is_kept_until_the_box_has_the_network(tiny, whole, tmp_path, monkeypatch):
    work, kept = tmp_path / "work", tmp_path / "kept"
    assert checkpoints.keep("tiny", work, kept) == "tiny: no checkpoint"
    checkpoints.save(work / "tiny.pt", "tiny", whole)
    assert "3 of 3 epochs" in checkpoints.keep("tiny", work, kept)
    assert [path.name for path in kept.iterdir()] == ["tiny.pt"]
    finished = trained(tmp_path / "elsewhere", kept)
    assert "optimiser" not in finished
    torch.testing.assert_close(
        finished["model"]["fc.weight"].float(), whole["model"]["fc.weight"], rtol=2**-11, atol=1e-7
    )
    assert "3 of 3 epochs" in checkpoints.keep("tiny", tmp_path / "elsewhere", kept)  # once more
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    (tmp_path / "tiny.json").write_text("{}")
    assert checkpoints.keep("tiny", work, kept) == "tiny: in the box"
    assert not list(kept.iterdir())
