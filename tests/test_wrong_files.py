"""Files that are well formed and hold something else than they should: refused, in words."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reliab_widgets as rw
from reliab_widgets.core import archive
from reliab_widgets.core.fields import Array, declarations
from reliab_widgets.core.result import Record, Result, load
from reliab_widgets.ops.attacks.verdict import verdict
from reliab_widgets.ops.calibration.calibrators import (
    BaseRates,
    HistogramBinning,
    Isotonic,
    Temperature,
)
from tests.test_contract import BUSY, subject
from tests.test_pruning import varied

File = tuple[dict[str, Any], dict[str, np.ndarray]]

MADE: dict[str, Callable[[], Record]] = {
    "saliency": lambda: rw.saliency(subject(9), images=2, steps=4, points=3),
    "reliability": lambda: rw.reliability(subject(60), **BUSY["reliability"]),
    "propagation": lambda: rw.propagation(subject(60), images=3, **BUSY["propagation"]),
    "pruning": lambda: rw.pruning(varied(40), levels=(0.5,), images=9, explain=1, attacked=2),
    "transfer": lambda: rw.transfer(subject(9), attack="fgsm", images=3),
    "universal": lambda: rw.universal(subject(20), images=5, source_images=3),
    "oracle": lambda: rw.oracle(varied(9)),
    "certificate": lambda: rw.certify(subject(9), images=3, draws=20, select=5),
    "verdict": lambda: verdict({"several steps": np.eye(9)[0] > 0, "noise": np.eye(9)[1] > 0}),
    "smallest epsilon": lambda: rw.smallest_epsilon(subject(9), images=3, steps=2),
    "defences": lambda: rw.defences(subject(9), tried=("none", "bits"), images=3, steps=1),
    "histogram": lambda: HistogramBinning(np.array([0, 0.5, 1]), np.full((3, 2), 0.5), classes=3),
    "isotonic": lambda: Isotonic(np.array([[0.2, 0.8]] * 3), np.array([[0.0, 1.0]] * 3), classes=3),
    "base rates": lambda: BaseRates(np.array([0.25, 0.75]), classes=2),
}


@pytest.fixture(scope="module", params=MADE)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> File:
    path = MADE[request.param]().save(tmp_path_factory.mktemp("whole") / "whole.npz")
    with np.load(path) as opened:
        arrays = dict(opened)
    return json.loads(arrays.pop("header.json").tobytes()), arrays


@dataclass(frozen=True)
class Alien(Record):
    n: int


def rewritten(path: Path, header: Any, arrays: dict[str, np.ndarray]) -> Path:
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with open(path, "wb") as out:
        np.savez(out, **{**arrays, "header.json": text})
    return path


def records(header: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield prefix, header
    for name, value in header["values"].items():
        if isinstance(value, dict):
            yield from records(value, f"{prefix}{name}.")


def class_of(header: dict[str, Any]) -> type:
    return getattr(import_module(header["module"]), header["kind"])


# What is done to a field, and whether the file must be refused whatever is declared.
Wrong = tuple[str, Any, bool]


def wrong_arrays(array: np.ndarray, fact: Array | None, shared: set[str]) -> Iterator[Wrong]:
    yield "as text", array.astype("U9"), True
    yield "another kind", array.astype(bool if array.dtype.kind == "f" else float), True
    yield "an axis more", array[None], True
    yield "no axes", np.zeros((), array.dtype), True
    words = fact.axes.split() if fact else []
    for place, word in enumerate(words):
        if array.shape[place]:
            must = not word.isidentifier() or word in shared
            more = np.insert(array, 0, array.take(0, place), place)
            yield f"one fewer along {word}", np.delete(array, 0, place), must
            yield f"one more along {word}", more, must
    if array.size and array.dtype.kind == "f":
        for name, value in (("NaN", np.nan), ("infinity", np.inf), ("minus infinity", -np.inf)):
            changed = array.copy()
            changed.flat[0] = value
            allowed = fact is not None and (fact.nan if name == "NaN" else fact.inf)
            yield name, changed, not allowed
    for bound, value in ((fact and fact.least, -999), (fact and fact.most, 999)):
        if array.size and bound is not None:
            changed = array.copy()
            changed.flat[-1] = value
            yield f"{value}", changed, True


def wrong_values(value: Any, fact: Any, shared: set[str]) -> Iterator[Wrong]:
    for other in ("text", 3, True, None, ["a", 3]):
        if type(other) is not type(value) and not (type(value) is float and other == 3):
            yield f"{other!r} instead", other, True
    yield "a record instead", Alien(1), True
    if isinstance(value, list):
        must = isinstance(fact, Array) and (not fact.axes.isidentifier() or fact.axes in shared)
        yield "one more", [*value, *value[:1]] if value else ["more"], must
        if value:
            yield "one fewer", value[1:], must
            yield "a number among them", [3, *value[1:]], True
    elif isinstance(fact, Array):
        yield "NaN", float("nan"), not fact.nan
        yield "-999", -999, fact.least is not None


def in_header(value: Any) -> Any:
    if isinstance(value, Alien):
        return {"kind": "Alien", "module": __name__, "version": 1, "values": {"n": 1}}
    return value


def variants(
    header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, Any, Any, bool]]:
    """Every wrong file: its name, header, arrays, and whether it must be refused."""
    for prefix, record in records(header):
        kinds = declarations(class_of(record))
        words = [
            word
            for _, fact in kinds.values()
            if isinstance(fact, Array)
            for word in fact.axes.split()
        ]
        shared = {word for word in words if words.count(word) > 1}
        for name, (_, fact) in kinds.items():
            where = f"{prefix}{name}"
            if where in arrays:
                rest = {key: array for key, array in arrays.items() if key != where}
                yield f"{where}: missing", header, rest, True
                for what, array, must in wrong_arrays(arrays[where], fact, shared):
                    yield f"{where}: {what}", header, {**rest, where: array}, must
                continue
            for what, value, must in wrong_values(record["values"][name], fact, shared):
                kept = record["values"]
                record["values"] = {**kept, name: in_header(value)}
                yield f"{where}: {what}", header, arrays, must
                record["values"] = {key: kept[key] for key in kept if key != name}
                yield f"{where}: missing", header, arrays, True
                record["values"] = kept
        yield f"{prefix}: extra", header, {**arrays, f"{prefix}extra": np.zeros(3)}, True
    yield "foreign", header, {**arrays, "no.such.record": np.zeros(3)}, True
    needs = getattr(class_of(header), "needs", {})
    for name in needs:
        kept = header["values"]
        others = [pair for pair in kept["knobs"] if pair[0] != name]
        for what, knobs in {
            "missing": others,
            "nonsense": [*others, [name, [1, "x"]]],
            "a dict": [*others, [name, {"a": 1}]],
        }.items():
            header["values"] = {**kept, "knobs": knobs}
            yield f"knobs {name}: {what}", header, arrays, True
        header["values"] = kept


def test_every_wrong_file_is_refused_in_words(file: File, tmp_path: Path) -> None:
    header, arrays = file
    path = tmp_path / "wrong.npz"
    load(rewritten(path, header, arrays))
    tried, wrongly, raw = 0, [], []
    for name, head, parts, must in variants(header, arrays):
        rewritten(path, head, parts)
        tried += 1
        try:
            found = load(path)
        except ValueError as error:
            words = str(error)
            if str(path) not in words or not words.endswith(".") or "damaged" in words:
                raw.append((name, words))
            continue
        except Exception as error:
            raw.append((name, repr(error)))
            continue
        if must:
            wrongly.append(name)
        if isinstance(found, Result):  # what nothing contradicts can be read
            str(found), found.to_frame(), found.plot()
    assert tried > 20
    assert wrongly == []
    assert raw == []


# --- before anything is unpacked ----------------------------------------------------------------


def test_every_array_of_our_records_is_declared() -> None:
    kinds = [Record]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds:
        if kind.__module__.startswith("reliab_widgets."):
            declared = declarations(kind)
            axes = " ".join(it.axes for _, it in declared.values() if isinstance(it, Array))
            assert not set(axes.split()) & declared.keys()  # an axis would hide a field
            for name, (annotation, fact) in declared.items():
                assert annotation is not np.ndarray or isinstance(fact, Array), (kind, name)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def headed(text: bytes) -> bytes:
    return npy(np.frombuffer(text, np.uint8))


def saved(tmp_path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    path = BaseRates(np.array([0.25, 0.75])).save(tmp_path / "rates.npz")
    with np.load(path) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("header.json").tobytes()), arrays


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("something was unpacked")


def bomb(tmp_path: Path) -> Path:
    header, _ = saved(tmp_path)
    rates = npy(np.zeros(13_000_000))
    return zipped(
        tmp_path / "bomb.npz",
        header__json__npy=headed(json.dumps(header).encode()),
        rates__npy=rates,
    )


def nested(tmp_path: Path) -> Path:
    text = headed(b"[" + b"[]," * 2_000_000 + b"0]")
    return zipped(tmp_path / "nested.npz", header__json__npy=text)


@pytest.mark.parametrize("make", [bomb, nested])
def test_a_small_file_that_grows_large_is_refused_unread(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(np.lib.format, "read_array", never)
    with pytest.raises(ValueError, match=r"refused: it would take far more memory .* MB grow to"):
        load(path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda h, a: h.update(version=9), "in another form than this version"),
        (lambda h, a: h.update(format=9), "in another form than this version"),
        (lambda h, a: h.update(kind="Ghost"), "in another form than this version"),
        (lambda h, a: a.update(rates=np.zeros((2, 2))), "rates has the shape 2 x 2, not K"),
        (lambda h, a: a.update(stranger=np.zeros(2)), "The fields that differ: stranger"),
        (lambda h, a: a.update({"a.b": np.zeros(2)}), r"holds what no result has: a\.b\. Get"),
    ],
)
def test_what_the_header_says_is_refused_unread(
    edit: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, arrays = saved(tmp_path)
    edit(header, arrays)
    path = rewritten(tmp_path / "wrong.npz", header, arrays)
    read = archive.Archive.read
    monkeypatch.setattr(
        archive.Archive, "read", lambda self, n: read(self, n) if n == "header.json" else never()
    )
    with pytest.raises(ValueError, match=words):
        load(path)


def test_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    path = BaseRates(np.array([0.25, 0.75])).save(tmp_path / "rates.npz")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"holds what no result has: notes\.txt\. Get the file"):
        load(path)


def test_a_member_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = BaseRates(np.array([0.25, 0.75])).save(tmp_path / "rates.npz")
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("rates.npy", npy(np.array([0.5, 0.5])))
    with pytest.raises(ValueError, match="holds what no result has: rates"):
        load(path)


def test_a_result_of_zeros_can_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MOST", 100_000)
    rates = np.zeros((1, 90_000))
    path = HistogramBinning(np.zeros(90_001), rates, classes=1).save(tmp_path / "z.npz")
    assert path.stat().st_size > 1_000_000  # as it is: packed it would be refused
    assert load(path).values.shape == rates.shape


@pytest.mark.parametrize("given", [None, 3, b"r.npz", Temperature(1.0)])
def test_what_is_no_path_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^path is no path: got .* Pass path= as a text or a"):
        rw.load(given)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^path is not a file: got .*, a folder\. Pass path="):
        rw.load(tmp_path)


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match=r"^the file cannot be opened: .* Check the path"):
        rw.load(tmp_path / "a" / "b.npz")


# --- what killed writers left -------------------------------------------------------------------


def test_orphans_of_a_killed_save_are_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "import numpy as np\n"
        "from reliab_widgets.ops.calibration.calibrators import Temperature\n"
        "np.savez_compressed = lambda file, **arrays: (file.write(b'half'), os._exit(9))\n"
        "Temperature(1.0).save(sys.argv[1])"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, tmp_path / "t.npz"], cwd=root, check=False)
    (orphan,) = tmp_path.iterdir()
    old = tmp_path / f"t.npz.{'0' * 32}.part"
    old.write_bytes(b"of an earlier version")
    mine = tmp_path / "notes.part"
    mine.write_text("the user's own")
    assert orphan.suffix == ".part"
    path = Temperature(2.0).save(tmp_path / "t.npz")
    assert sorted(tmp_path.iterdir()) == sorted([path, mine])


def test_a_file_that_is_being_written_is_no_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = np.savez_compressed

    def write_beside(file: Any, **arrays: np.ndarray) -> None:
        monkeypatch.setattr(np, "savez_compressed", write)
        Temperature(3.0).save(tmp_path / "other.npz")
        write(file, **arrays)

    monkeypatch.setattr(np, "savez_compressed", write_beside)
    assert load(Temperature(2.0).save(tmp_path / "t.npz")).temperature == 2
    assert len(list(tmp_path.iterdir())) == 2
