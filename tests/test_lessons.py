"""The notebooks run from top to bottom as their readers run them; exercises say that they are not
answered, their solutions, in a folder apart, are right, and their prose is short of numbers. What
the teacher's kit says is so."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
LESSONS = [path for path in PATHS if (NOTEBOOKS / f"checks_{path.stem[:2]}.py").exists()]
SECONDS = 120  # that a cell may take
NUMBERS = 40  # that the prose of a lesson may hold
MINUTES = {"11": 30}  # all others take 45

# What is true in a lesson whose reader answered this exercise, and in no cell after it.
SOLVED = """\
exec({!r}, dict(globals()))
"""
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


@cache
def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def exercises(lesson: Any) -> list[Any]:
    return [cell for cell in lesson.cells if "exercise" in cell.metadata.get("tags", [])]


def checked(exercise: Any) -> str:
    """The name of the check that an exercise calls in its last line."""
    (name,) = re.findall(r"^print\(check\.(\w+)\(", exercise.source.splitlines()[-1])
    return name


def solutions(path: Path) -> dict[str, str]:
    """The code of each solution of a lesson, by the check that it answers."""
    page = (NOTEBOOKS / "solutions" / f"{path.stem}.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^## `check\.(\w+)`$.*?^```python$(.*?)^```$", page, re.DOTALL | re.MULTILINE
    )
    assert len(dict(found)) == len(found) == page.count("\n## ")
    return dict(found)


def prose(lesson: Any) -> str:
    """What a lesson says below its head: no code, headings, addresses, or further reading."""
    words = "\n".join(cell.source for cell in lesson.cells[1:] if cell.cell_type == "markdown")
    words = re.sub(r"^## Further\n.*?(?=^\*\*|\Z)", "", words, flags=re.DOTALL | re.MULTILINE)
    words = re.sub(r"^#.*$|^\s*\d+\. ", "", words, flags=re.MULTILINE)
    return re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", words, flags=re.DOTALL)


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.mark.kernel
@pytest.mark.timeout(900)
@pytest.mark.slow("a whole lesson, as its readers run it, with its solutions")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_runs_and_its_solutions_are_right(path: Path) -> None:
    lesson = nbformat.read(path, as_version=4)
    pairs = []
    for cell in exercises(lesson):
        code = SOLVED.format(solutions(path)[checked(cell)])
        pairs.append((cell, nbformat.v4.new_code_cell(code)))
        lesson.cells.insert(lesson.cells.index(cell) + 1, pairs[-1][1])
    NotebookClient(
        lesson, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}
    ).execute()
    for cell, solution in pairs:
        assert printed(cell).startswith(("○", "✗")), f"unanswered, it says {printed(cell)!r}"
        assert printed(solution).startswith("✓"), f"solved, it says {printed(solution)!r}"
    if path in LESSONS:
        assert printed(lesson.cells[-1]).startswith(f"{len(pairs)} of {len(pairs)} exercises")


@each_lesson
def test_its_exercises_are_the_checks_and_solutions_of_its_number(path: Path) -> None:
    asked = [checked(cell) for cell in exercises(read(path))]
    lesson = import_module(f"checks_{path.stem[:2]}").LESSON
    assert lesson.name == path.stem
    assert asked == list(lesson.done) == list(solutions(path))


@each_lesson
def test_no_solution_stands_in_a_lesson(path: Path) -> None:
    """Neither the heading of one nor a line of its code that the exercise did not give."""
    lesson = read(path)
    assert "<summary>Solution" not in "".join(cell.source for cell in lesson.cells)
    shown = {line.strip() for cell in lesson.cells for line in cell.source.splitlines()}
    for cell in exercises(lesson):
        for line in map(str.strip, solutions(path)[checked(cell)].splitlines()):
            given = line in cell.source or line.startswith("from ")
            assert given or line not in shown, line


@each_lesson
def test_its_prose_is_short_of_numbers(path: Path) -> None:
    found = re.findall(r"\d+(?:[.,/]\d+)*", prose(read(path)))
    assert len(found) <= NUMBERS, found


@each_lesson
def test_its_head_says_the_minutes_of_each_section(path: Path) -> None:
    head, *others = (cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    sections = re.findall(r"^## (\d+) · ", "\n".join(others), re.MULTILINE)
    assert sections == [str(number + 1) for number in range(len(sections))]
    total, parts, count, end = re.search(
        r"\*\*Time:\*\* (\d+) minutes: ([\d +]+) for sections 1 to (\d+), and (\d+) to think", head
    ).groups()
    minutes = [int(part) for part in parts.split(" + ")]
    assert len(minutes) == int(count) == len(sections)
    assert sum(minutes) + int(end) == int(total) == MINUTES.get(path.stem[:2], 45)
    assert "**Before:** you know" in head
    table = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {path.stem[:2]} \|([\d |]+)\|$", table, re.MULTILINE)
    assert [int(cell) for cell in row.split("|") if cell.strip()] == [*minutes, int(end)]


@pytest.mark.parametrize("page", ["README.md", "INSTRUCTOR.md", "solutions/*.md"])
def test_links_of_the_kit_lead_somewhere(page: str) -> None:
    for path in NOTEBOOKS.glob(page):
        for link in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_every_wrong_answer_of_the_kit_is_one_of_an_exercise() -> None:
    kit = (NOTEBOOKS / "INSTRUCTOR.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d\d) `(\w+)` \|", kit, re.MULTILINE)
    known = [(path.stem[:2], checked(cell)) for path in LESSONS for cell in exercises(read(path))]
    assert {number for number, _ in told} == {path.stem[:2] for path in LESSONS}
    assert set(told) <= set(known)


@pytest.mark.slow("four widgets, each with its first picture")
def test_code_of_the_kit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import_module("checks_01").report("ada.json", name="Ada")
    kit = (NOTEBOOKS / "INSTRUCTOR.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", kit, re.DOTALL)
    for block in blocks:
        exec(block, names := {})
        if "widget" in names:
            names["widget"].close()
    assert len(blocks) == 5
    assert names["reports"][0]["learner"] == "Ada"
