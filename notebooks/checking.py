"""What the checks of all lessons share: reading an answer in any sensible form, saying what is
wrong with it in one line, and counting for `report`."""

import difflib
import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from numbers import Real
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

OPEN = "○ Not answered yet: put your answer in place of the dots."
DIGITS = r"[+-]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:e[+-]?\d+)?"
NUMBER = re.compile(rf"({DIGITS})(?:\s*/\s*({DIGITS}))?\s*(%|per\s?cent)?")


class Unread(Exception):
    """An answer that cannot be read; its text says what was seen."""


class Lesson:
    """The exercises of one lesson: what was tried, and what is done, since the kernel started."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempts: dict[str, int] = {}
        self.done: dict[str, bool] = {}

    def exercise(self, how: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
        """Count a check as an exercise that is answered with `how`; it never raises."""

        def decorate(check: Callable[..., str]) -> Callable[..., str]:
            name = check.__name__
            self.attempts[name], self.done[name] = 0, False

            @functools.wraps(check)
            def checked(*given: Any, **others: Any) -> str:
                verdict = _verdict(check, how, given, others)
                if not (verdict.startswith("○") or self.done[name]):
                    self.attempts[name] += 1
                    self.done[name] = verdict.startswith("✓")
                return verdict

            return checked

        return decorate

    def report(self, path: Any = None, *, name: str = "", replace: bool = False) -> str:
        """Say which exercises are done; with a path, also write it for the teacher, as JSON."""
        lines = [f"{sum(self.done.values())} of {len(self.done)} exercises are done."]
        for check, done in self.done.items():
            tried = self.attempts[check]
            counted = f"{tried} attempt{'' if tried == 1 else 's'}" if tried else "not tried"
            lines.append(f"{'✓' if done else '○'} {check}: {counted}")
        if path is not None:
            lines.append(self._write(path, name, replace))
        return "\n".join(lines)

    def _write(self, path: Any, name: str, replace: bool) -> str:
        exercises = {
            check: {"done": done, "attempts": self.attempts[check]}
            for check, done in self.done.items()
        }
        record = {
            "lesson": self.name,
            "learner": str(name),
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
            "done": sum(self.done.values()),
            "of": len(self.done),
            "exercises": exercises,
        }
        try:
            with Path(path).open("w" if replace else "x", encoding="utf-8") as file:
                file.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        except FileExistsError:
            return f"✗ {path} exists, and stays as it is. Give another name, or replace=True."
        except (OSError, TypeError, ValueError) as error:
            return (
                f"✗ Nothing was written to {seen(path)} ({error}). Give a path such as 'me.json'."
            )
        return f"Written to {path}."


def _verdict(
    check: Callable[..., str], how: str, given: tuple[Any, ...], others: dict[str, Any]
) -> str:
    values = [*given, *others.values()]
    if any(_has_dots(value) for value in values):
        return OPEN
    try:
        verdict = check(*given, **others)
    except Unread as unread:
        verdict = f"✗ {unread} Answer with {how}."
    except Exception as error:  # whatever a learner hands over gets a line, and no traceback
        told = ", ".join(map(seen, values)) or "nothing"
        verdict = (
            f"✗ This cannot be checked, it stopped with {_first_line(error)} You gave {told}. "
            f"Answer with {how}."
        )
    gaps = any(... in _constants(value) for value in values)
    return verdict if verdict.startswith("✓") or not gaps else OPEN


def _has_dots(value: Any) -> bool:
    return value is ... or (isinstance(value, list | tuple) and any(v is ... for v in value))


def _constants(function: Any) -> tuple[Any, ...]:
    return function.__code__.co_consts if isinstance(function, FunctionType) else ()


def _first_line(error: BaseException) -> str:
    first = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return first[:160] if first.endswith(".") else f"{first[:160]}."


def seen(value: Any) -> str:
    """Tell in a few words what somebody gave."""
    try:
        shape = getattr(value, "shape", ())
        if isinstance(shape, tuple) and shape:
            return f"{type(value).__name__} of shape {tuple(shape)}"
        text = " ".join(repr(value).split())
    except Exception:  # not every object can say what it is
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def number(value: Any) -> float:
    """Read 0.2, "0,2", "1/5", "20 %", [0.2], a fraction, and what numpy and torch make of it."""
    plain = _alone(value)
    found = math.nan
    if isinstance(plain, str):
        found = _written(plain)
    elif isinstance(plain, Real | Decimal) and not isinstance(plain, bool):
        found = float(plain) if abs(plain) < 1e300 else math.nan
    if not math.isfinite(found):
        raise Unread(f"{seen(value)} is no number.")
    return found


def share(value: Any) -> float:
    """Read a number from 0 to 1, or in per cent; what is above 1 can only be per cent."""
    found = number(value)
    found = found / 100 if 1 < found <= 100 else found
    if not 0 <= found <= 1:
        raise Unread(f"{seen(value)} is no share: it is not from 0 to 1, nor from 0 to 100 %.")
    return found


def whole(value: Any, low: int, high: int) -> int:
    """Read a whole number from low to high."""
    found = number(value)
    if found != round(found):
        raise Unread(f"{seen(value)} is no whole number.")
    if not low <= found <= high:
        raise Unread(f"{seen(value)} is not from {low:,} to {high:,}.")
    return int(found)


def name(value: Any, names: Sequence[str], *, positions: bool = False) -> str:
    """Read one of the names, in any spelling, or where it stands among them."""
    plain = _alone(value)
    if isinstance(plain, str):
        by_letters = {_letters(one): one for one in names}
        if _letters(plain) in by_letters:
            return by_letters[_letters(plain)]
        near = difflib.get_close_matches(_letters(plain), by_letters, 1, 0.7)
        meant = f" Did you mean {by_letters[near[0]]!r}?" if near else ""
    elif positions and isinstance(plain, int) and 0 <= plain < len(names):
        return names[plain] if not isinstance(plain, bool) else name(str(plain), names)
    else:
        meant = ""
    shown = names if len(names) <= 12 else (*names[:3], "…", *names[-3:])
    raise Unread(f"{seen(value)} is none of {', '.join(shown)}.{meant}")


def level(value: Any, levels: Sequence[float]) -> float:
    """Read one of the levels, as a share or in per cent."""
    found = number(value)
    for one in (found, found / 100):
        for known in levels:
            if math.isclose(one, known, abs_tol=1e-6):
                return float(known)
    raise Unread(f"{seen(value)} is none of the levels {', '.join(f'{x:g}' for x in levels)}.")


def several(value: Any, count: int) -> list[Any]:
    """Read so many answers: a list, a tuple, an array, a tensor, or words with commas."""
    parts = value
    if isinstance(value, str):
        parts = re.split(r"[\s,;]+", value.strip())
    elif isinstance(value, dict):
        parts = list(value.values())
    elif hasattr(value, "tolist"):
        parts = _listed(value)
    if not isinstance(parts, list | tuple) or len(parts) != count:
        raise Unread(f"{seen(value)} is not {count} answers.")
    return list(parts)


def array(value: Any, shape: Sequence[int]) -> Any:
    """Read numbers of a shape, from an array, a tensor or lists of lists."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    if value is None:
        raise Unread("None came back: does it end in `return`?")
    try:
        found = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise Unread(f"{seen(value)} came back, and not numbers.") from None
    if found.shape != tuple(shape):
        raise Unread(f"Shape {found.shape} came back, where {tuple(shape)} was wanted.")
    if not np.isfinite(found).all():
        raise Unread("Not all that came back is finite.")
    return found


def called(function: Any, *given: Any) -> Any:
    """Run a learner's function; where it stops, say so."""
    if not callable(function):
        raise Unread(f"{seen(function)} is no function.")
    try:
        return function(*given)
    except (Exception, SystemExit) as error:
        raise Unread(f"It stopped with {_first_line(error)}") from None


def shown(widget: Any) -> tuple[Any, dict[str, Any]]:
    """Return what a widget shows, and its settings."""
    if not (hasattr(widget, "result") and hasattr(widget, "state")):
        raise Unread(f"{seen(widget)} is no widget.")
    return called(lambda: widget.result), widget.state()


def _alone(value: Any) -> Any:
    """Take a single value out of arrays, tensors, lists and strings with blanks around."""
    for _ in range(4):
        if hasattr(value, "tolist"):
            value = _listed(value)
        elif isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
    return value.strip() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Take the values out of an array or a tensor; torch has some that are sparse or hold none."""
    try:
        return value.tolist()
    except RuntimeError:
        return None


def _written(text: str) -> float:
    """Read "0.2", "0,2", "1,000", "1/5", "≈ 20 %"; anything else is NaN."""
    match = NUMBER.fullmatch(text.lower().replace("−", "-").strip(" ≈~\u202f\xa0"))
    if not match:
        return math.nan
    above, below, per_cent = match.groups()
    try:
        return _float(above) / (_float(below) if below else 1) / (100 if per_cent else 1)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _float(digits: str) -> float:
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", digits):  # thousands
        return float(digits.replace(",", ""))
    return float(digits.replace(",", "."))


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
