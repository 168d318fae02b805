"""The exercises of the lessons: unanswered they say so, and their printed solutions are right."""

import json
import re
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = sorted(
    path
    for path in NOTEBOOKS.glob("*.ipynb")
    if (NOTEBOOKS / f"checks_{path.stem[:2]}.py").exists()
)


def cells(path: Path) -> list[tuple[str, str, list[str]]]:
    """Kind, source and tags of every cell."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        (cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", []))
        for cell in notebook["cells"]
    ]


@pytest.mark.slow("a whole lesson, with its solutions")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_solutions_are_right(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(NOTEBOOKS)
    names: dict[str, object] = {}
    exercises = 0
    lesson = cells(path)
    for number, (kind, source, tags) in enumerate(lesson):
        # Tables only show what is computed elsewhere, and take their time.
        if kind != "code" or "table" in tags:
            continue
        capsys.readouterr()
        exec(source, names)
        if "exercise" not in tags:
            continue
        exercises += 1
        said = capsys.readouterr().out
        assert said.startswith(("○", "✗")), f"unanswered, cell {number} says {said!r}"
        solution = re.search(r"```python\n(.*?)```", lesson[number + 1][1], re.DOTALL)
        assert solution, f"no solution below the exercise in cell {number}"
        exec(solution[1], names)
        if "print(" not in solution[1]:  # the solution names the answer only: check it as above
            exec(source.splitlines()[-1], names)
        said = capsys.readouterr().out
        assert said.startswith("✓"), f"the solution of cell {number} gives {said!r}"
    assert exercises >= 2
    sys.modules.pop(f"checks_{path.stem[:2]}", None)
