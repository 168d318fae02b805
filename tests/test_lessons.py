"""The notebooks run from top to bottom as their readers run them; exercises say that they are not
answered, and their printed solutions are right."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SECONDS = 120  # that a cell may take

# What is true in a lesson whose reader answered this exercise, and in no cell after it.
SOLVED = """\
exec({solution!r}, names := dict(globals()))
exec({check!r}, names)
del names
"""


def solved(exercise: Any, answer: Any) -> Any:
    """A cell that answers an exercise by the solution printed below it, and checks it."""
    solution = re.search(r"```python\n(.*?)```", answer.source, re.DOTALL)
    assert solution, f"no solution below the exercise\n{exercise.source}"
    # A solution that shows how the check is called only needs to be run.
    check = "" if "print(" in solution[1] else exercise.source.splitlines()[-1]
    return nbformat.v4.new_code_cell(SOLVED.format(solution=solution[1], check=check))


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.mark.kernel
@pytest.mark.timeout(900)
@pytest.mark.slow("a whole lesson, as its readers run it, with its solutions")
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_runs_and_its_solutions_are_right(path: Path) -> None:
    lesson = nbformat.read(path, as_version=4)
    exercises = []
    for number in reversed(range(len(lesson.cells))):
        cell = lesson.cells[number]
        if "exercise" in cell.metadata.get("tags", []):
            solution = solved(cell, lesson.cells[number + 1])
            lesson.cells.insert(number + 1, solution)
            exercises.append((cell, solution))
    NotebookClient(
        lesson, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}
    ).execute()
    for cell, solution in exercises:
        assert printed(cell).startswith(("○", "✗")), f"unanswered, it says {printed(cell)!r}"
        assert printed(solution).startswith("✓"), f"solved, it says {printed(solution)!r}"
    has_checks = (NOTEBOOKS / f"checks_{path.stem[:2]}.py").exists()
    assert (len(exercises) >= 2) == has_checks
