"""What is saved comes back the same; what is damaged or strange is refused and left alone."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import FrozenInstanceError, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reliab_widgets as rw
from reliab_widgets.core.result import FORMAT, Record, Result, load
from reliab_widgets.ops.calibration.calibrators import BinwiseTemperature, Temperature

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, eq=False)
class Inner(Record):
    values: np.ndarray
    note: str


@dataclass(frozen=True, eq=False)
class Outer(Record):
    floats: np.ndarray
    whole: np.ndarray
    flags: np.ndarray
    words: np.ndarray
    empty: np.ndarray
    scalar: np.ndarray
    inner: Inner
    twin: Inner
    number: float
    nan: float
    infinite: float
    count: int
    flag: bool
    nothing: None
    text: str
    names: tuple[Any, ...]
    from_numpy: Any


@dataclass(frozen=True, eq=False)
class Anything(Record):
    value: Any


def outer() -> Outer:
    return Outer(
        floats=np.array([[0.1, np.nan], [np.inf, -0.0]]),
        whole=np.arange(3, dtype=np.int16),
        flags=np.array([True, False]),
        words=np.array(["čáp", ""]),
        empty=np.empty((0, 4), dtype=np.float32),
        scalar=np.array(2.5),
        inner=Inner(np.arange(2.0), "in"),
        twin=Inner(np.arange(3.0), "twin"),
        number=0.1 + 0.2,
        nan=float("nan"),
        infinite=float("-inf"),
        count=2**60,
        flag=True,
        nothing=None,
        text='<img src="x">\n"’',
        names=("a", ("b", 1, None, (), 0.5), np.int64(3)),
        from_numpy=np.float32(0.5),
    )


def assert_same(one: Any, two: Any) -> None:
    """Same types, shapes and values, all the way down."""
    assert type(one) is type(two)
    if isinstance(one, Record):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(two, field.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
        if one.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(one), np.signbit(two))
    elif isinstance(one, tuple):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_same(a, b)
    else:
        assert one == two or (one != one and two != two)


# --- round trip -----------------------------------------------------------------------------


def test_everything_comes_back(tmp_path: Path) -> None:
    saved = outer()
    path = saved.save(tmp_path / "outer.npz")
    opened = load(path)
    assert isinstance(opened, Outer)
    # Numpy's own scalars come back as Python's.
    plain = {
        "names": ("a", ("b", 1, None, (), 0.5), 3),
        "from_numpy": 0.5,
    }
    for field in fields(saved):
        assert_same(plain.get(field.name, getattr(saved, field.name)), getattr(opened, field.name))


def test_saved_twice_is_the_same_record(tmp_path: Path) -> None:
    once = load(outer().save(tmp_path / "a.npz"))
    assert_same(once, load(once.save(tmp_path / "b.npz")))


def test_the_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = Temperature(2.0).save(str(tmp_path / "new" / "no suffix"))
    assert path == tmp_path / "new" / "no suffix"
    assert list(path.parent.iterdir()) == [path]


def test_a_class_opens_its_own_only(tmp_path: Path) -> None:
    path = Temperature(2.0).save(tmp_path / "t.npz")
    assert Temperature.load(path).temperature == 2
    with pytest.raises(ValueError, match=r"t\.npz holds a Temperature, not a BinwiseTemperature"):
        BinwiseTemperature.load(path)


def test_names_of_classes_may_repeat(tmp_path: Path) -> None:
    @dataclass(frozen=True, eq=False)
    class Inner(Record):
        values: float

    mine = Inner(1.0).save(tmp_path / "mine.npz")
    theirs = outer().inner.save(tmp_path / "theirs.npz")
    assert type(load(mine)) is Inner
    assert type(load(theirs)) is type(outer().inner)


def test_files_are_readable_by_whoever_may_read_new_files(tmp_path: Path) -> None:
    # A lab ships a filled folder to its students.
    umask = os.umask(0o022)
    try:
        path = Temperature(2.0).save(tmp_path / "t.npz")
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o644


# --- frozen ---------------------------------------------------------------------------------


def test_nothing_can_be_changed(tmp_path: Path) -> None:
    for record in (outer(), load(outer().save(tmp_path / "a.npz"))):
        assert isinstance(record, Outer)
        with pytest.raises(ValueError, match="read-only"):
            record.floats[0] = 1
        with pytest.raises(ValueError, match="read-only"):
            record.inner.values[0] = 1
        with pytest.raises(FrozenInstanceError):
            record.number = 3.0


def test_the_arrays_given_stay_writable() -> None:
    values = np.zeros(3)
    Inner(values, "")
    values[0] = 1


# --- atomic ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    path = Temperature(1.0).save(tmp_path / "t.npz")
    before = path.read_bytes()

    def write_half(file: io.BufferedWriter, **arrays: np.ndarray) -> None:
        file.write(before[: len(before) // 2])
        raise fault

    monkeypatch.setattr(np, "savez_compressed", write_half)
    with pytest.raises(type(fault)):
        Temperature(2.0).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "value",
    [{"a": 1}, [1], {1}, object(), (1, [2]), np.array([{}]), 1j, (Temperature(1.0),)],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"Anything\.value cannot be saved: it holds a"):
        Anything(value).save(tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


# --- refused --------------------------------------------------------------------------------


def refused(path: Path, words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def edited(path: Path, edit: Any) -> Path:
    """Change the header of a saved file."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("header.json").tobytes())
    edit(header, arrays)
    arrays["header.json"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with open(path, "wb") as out:
        np.savez_compressed(out, **arrays)
    return path


def test_a_file_cut_anywhere_is_damaged(tmp_path: Path) -> None:
    whole = outer().save(tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for end in {*range(0, 64), *range(64, len(whole), 23), *range(len(whole) - 64, len(whole))}:
        path.write_bytes(whole[:end])
        refused(path, "is damaged or was not finished. Restore or save it again.")


def test_a_changed_byte_never_gives_wrong_numbers_or_another_error(tmp_path: Path) -> None:
    record = outer()
    whole = record.save(tmp_path / "whole.npz").read_bytes()
    path, opened = tmp_path / "changed.npz", load(tmp_path / "whole.npz")
    refusals = 0
    for position in range(4, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            assert_same(load(path), opened)  # bytes such as dates mean nothing
        except ValueError as error:
            assert str(path) in str(error)
            refusals += 1
    assert refusals > 100


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


def other_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [npy(), npz(), other_zip(), b"plain text", b"\x89PNG\r\n\x1a\n" + bytes(99), pickle.dumps({})],
    ids=["npy", "npz", "zip", "text", "png", "pickle"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refused(path, "was not written by reliab_widgets")


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no such file: got path .*none\.npz. Check the path"
    ):
        load(tmp_path / "none.npz")


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    def set_trap(header: Any, arrays: Any) -> None:
        arrays["values"] = np.array([Trap()], dtype=object)

    refused(edited(outer().inner.save(tmp_path / "a.npz"), set_trap), "is damaged")
    assert not (tmp_path / "sprung").exists()


def test_no_file_holds_a_pickle(tmp_path: Path) -> None:
    with np.load(outer().save(tmp_path / "a.npz"), allow_pickle=False) as file:
        assert all(not file[name].dtype.hasobject for name in file.files)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda h, a: h.update(format=FORMAT + 1, package="9.9"), r"written by .* 9\.9, which"),
        (lambda h, a: h.update(version=2), "in another form than this version"),
        (lambda h, a: h.update(version=0), "in another form than this version"),
        (lambda h, a: h["values"].update(extra=1), r"The fields that differ: extra\."),
        (lambda h, a: h["values"].pop("note"), r"The fields that differ: note\."),
        (lambda h, a: a.pop("values"), r"The fields that differ: values\."),
        (lambda h, a: h.update(kind="Ghost"), r"holds a Ghost of .* not loaded. Import"),
        (
            lambda h, a: h.update(kind="Ghost", module="reliab_widgets.core.result"),
            "keeps Ghost in another form than this version",
        ),
        (
            lambda h, a: h.update(module="reliab_widgets.analyses.ghost.result"),
            "in another form than this version",
        ),
        (lambda h, a: h.pop("format"), "is damaged"),
        (lambda h, a: h.pop("kind"), "is damaged"),
        (lambda h, a: h.update(module=None), "is damaged"),
        (lambda h, a: h.update(values=[1]), "is damaged"),
        (lambda h, a: h.clear(), "is damaged"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, edit: Any, words: str) -> None:
    refused(edited(outer().inner.save(tmp_path / "a.npz"), edit), words)


def test_a_value_that_the_class_refuses_is_said(tmp_path: Path) -> None:
    path = Temperature(1.0).save(tmp_path / "t.npz")
    words = r"holds wrong contents: Temperature: .* must be above 0; got -1"
    refused(edited(path, lambda h, a: h["values"].update(temperature=-1.0)), words)


@pytest.mark.parametrize("module", ["trap", "reliab_widgets_trap", "tests.trap", "..trap"])
def test_modules_of_others_are_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for name in ("trap", "reliab_widgets_trap"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('sprung')")
    monkeypatch.syspath_prepend(tmp_path)
    path = edited(
        outer().inner.save(tmp_path / "a.npz"),
        lambda h, a: h.update(kind="Trap", module=module),
    )
    refused(path, f"holds a Trap of the module {module}, which is not loaded")


# --- results --------------------------------------------------------------------------------


def test_a_subclass_must_say_its_sentence() -> None:
    @dataclass(frozen=True, eq=False, repr=False)
    class Silent(Result):
        pass

    silent = Silent(subject="subject", fingerprint="fingerprint", source="source")
    for unwritten in (str, repr, Silent.to_frame, Silent.plot):
        with pytest.raises(NotImplementedError):
            unwritten(silent)
    assert silent.code() == "source"
    assert silent.against(silent) == ""


def test_repr_is_the_sentence_and_plot_draws() -> None:
    @dataclass(frozen=True, eq=False, repr=False)
    class Spoken(Result):
        def __str__(self) -> str:
            return "It is 3."

        def draw(self, figure: Any, *, pinned: Any = None) -> None:
            figure.add_subplot().set_title("three")

    spoken = Spoken(subject="subject", fingerprint="fingerprint", source="source")
    assert repr(spoken) == "It is 3."
    assert spoken.plot().axes[0].get_title() == "three"
    assert spoken._repr_png_()[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["x.svg", "x.PNG", "x.csv"])
def test_pictures_and_tables_are_not_saved_as_results(tmp_path: Path, name: str) -> None:
    words = r"neither picture nor table: got path=.* Write result\..*, or save to '.*x\.npz'\."
    with pytest.raises(ValueError, match=words):
        Temperature(1.5).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_top_level_loads_too(tmp_path: Path) -> None:
    path = Temperature(3.0).save(tmp_path / "t.npz")
    assert rw.load is load
    assert rw.load(path).temperature == 3


def test_results_open_and_draw_without_torch_and_ipywidgets(tmp_path: Path) -> None:
    from tests.test_contract import subject

    saved = rw.reliability(subject(), method="temperature", bins=5)
    path = saved.save(tmp_path / "r.npz")
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'ipywidgets', 'matplotlib.pyplot'):\n"
        "    sys.modules[name] = None\n"
        "import reliab_widgets as rw\n"
        "result = rw.load(sys.argv[1])\n"
        "assert result._repr_png_()[0].startswith(b'\\x89PNG')\n"
        "assert len(result.to_frame()) == 10\n"
        "print(result)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(saved)
