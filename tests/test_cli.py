"""The command line: lessons stay whose they are, errors are one line, cards hold what was asked."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from reliab_widgets import cli
from reliab_widgets.analyses import ANALYSES
from reliab_widgets.cli import cards, doctor, lessons


def test_lessons_are_copied_and_own_work_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert lessons.copy(folder) == []
    assert (folder / "00_tour.ipynb").read_bytes() == (
        lessons.lessons() / "00_tour.ipynb"
    ).read_bytes()
    assert (folder / "checks_01.py").is_file()
    assert list((folder / "results").glob("*.npz"))
    assert not list(folder.rglob("__pycache__"))
    table = "from measured import findings; print(set(findings('attacks').network))"
    command = [sys.executable, "-c", table]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "resnet20" in told.stdout
    (folder / "01_saliency.ipynb").write_text("my answers")
    (folder / "02_reliability.ipynb").unlink()
    assert lessons.copy(folder) == [folder / "01_saliency.ipynb"]
    assert (folder / "01_saliency.ipynb").read_text() == "my answers"
    assert (folder / "02_reliability.ipynb").is_file()


def test_lab_opens_the_tour_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = []
    monkeypatch.setattr(subprocess, "call", lambda command: called.append(command) or 7)
    (tmp_path / "00_tour.ipynb").write_text("mine")
    assert cli.main(["lab", str(tmp_path), "--", "--port=9000"]) == 7
    (command,) = called
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert command[-1] == "--port=9000"
    assert "00_tour.ipynb" in capsys.readouterr().out


def test_the_doctor_tries_every_analysis_and_says_which_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    class Drawn:
        def plot(self) -> None:
            pass

    def function(word: str) -> object:
        def run(subject: object) -> Drawn:
            tried.append((word, len(subject)))
            if word == "pruning":
                raise MemoryError("no room")
            return Drawn()

        return run

    monkeypatch.setattr(doctor, "function", function)
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert tried == [(word, doctor.IMAGES) for word in ANALYSES]
    assert "✗ pruning: MemoryError: no room" in told
    assert "✓ saliency: " in told
    monkeypatch.setattr(doctor, "function", lambda word: lambda subject: Drawn())
    assert cli.main(["doctor"]) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--model", "resnet21"], "The nearest: resnet20"),
        (["--model", "nowhere:model"], "--model is not found: got nowhere:model"),
        (["--model", "collections:nothing"], "--model is not found: got collections:nothing"),
        (["--model", "os:abort_"], "--model is not found"),
        (["--model", "tests.test_cli:broken"], "raised ZeroDivisionError"),
        (["--model", "tests.test_cli:no_model"], "got list"),
        (["--model", "resnet20", "--data", "nowhere"], "--data is no folder: got nowhere"),
        (["--model", "resnet20", "--data", "."], "--data has no classes"),
        (["--model", "tests.test_cli:two_outputs"], "the images in the box do not fit"),
        (["--model", "resnet20", "--n", "0"], "--n is too small: got 0. Pass --n 1 or more"),
        (["--model", "resnet20", "--size", "-3"], "--size is too small: got -3"),
        (["--model", "resnet20", "--out", "card.pdf"], "Pass path='card.html'"),
    ],
)
def test_an_error_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["card", *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def broken() -> None:
    raise ZeroDivisionError


def two_outputs() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))


def no_model() -> list[int]:
    return []


def test_images_of_a_folder_are_scaled_and_named_by_it(tmp_path: Path) -> None:
    for number, name in enumerate(("bird", "cat", "ship")):
        (tmp_path / name).mkdir()
        for k in range(2):
            values = np.full((40 + 8 * k, 60, 3), 100 + 20 * number, np.uint8)
            Image.fromarray(values).save(tmp_path / name / f"{k}.png")
    subject = cards.subject_of("resnet20", str(tmp_path), 500, 32)
    assert tuple(subject.images.shape) == (6, 3, 32, 32)
    assert sorted(subject.labels.tolist()) == [2, 2, 3, 3, 8, 8]
    assert subject.images[subject.labels == 8].mean().item() == pytest.approx(140 / 255, abs=1e-3)
    (tmp_path / "unicorn").mkdir()
    (tmp_path / "cat" / "0.png").rename(tmp_path / "unicorn" / "0.png")
    with pytest.raises(ValueError, match=r"other classes: got unicorn\. Name .*: airplane, "):
        cards.subject_of("resnet20", str(tmp_path), 500, 32)


def test_a_card_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("reliability", "saliency")
    monkeypatch.setattr(cards, "ANALYSES", {it: it for it in words})
    real = cards.function
    asked = []

    def stopped(word: str) -> object:
        asked.append(word)
        if word == "saliency":
            raise KeyboardInterrupt
        return real(word)

    out = tmp_path / "card.html"
    monkeypatch.setattr(cards, "function", stopped)
    given = ["card", "--model", "resnet20", "--n", "20", "--out", str(out)]
    assert cli.main(given) == 130
    assert not out.exists()
    assert len(list((tmp_path / "card.parts").glob("*.npz"))) == 1
    monkeypatch.setattr(cards, "function", real)
    assert cli.main(given) == 0
    assert sorted(it.name for it in tmp_path.iterdir()) == ["card.html"]
    assert out.read_text().count("<figure") == 2


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reliab_widgets", "--version"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
    )
    assert done.stdout == "0.1.0\n"
