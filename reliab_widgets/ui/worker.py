"""One thread for the work of all widgets: the kernel stays free and memory stays bounded.

Callbacks of widgets arrive on whatever thread the front end and ipykernel agree on, so they only
hand work over. For each owner the running job goes on and only the newest waiting one is kept: a
slider that moves quickly draws often and never falls behind.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from ..core.engine import Cancelled, pulsing

PATIENCE = 1.0
"""Seconds that a job may run on although its owner asked for something newer."""
IDLE = 5.0
"""Seconds without work after which the thread ends."""
GRACE = 3.0
"""Seconds that a job is given to stop when Python ends."""


class Job:
    """One piece of work. `check`, called often by the work, stops it when it is not wanted."""

    def __init__(self, owner: Hashable, work: Callable[[Job], None], due: float = 0.0) -> None:
        self.owner = owner
        self.work = work
        self.due = due
        self.started = time.monotonic()
        self.cancelled = False

    def check(self) -> None:
        """Raise `Cancelled` when somebody cancelled, or when a newer job has waited long enough.

        What was put off is in nobody's way: it stops for the first job that comes, whoever's, but
        not for what was put off too, or two would stop each other for ever.
        """
        _repaint()
        if self.due:
            with _change:
                outdated = any(not job.due for job in _waiting.values())
        else:
            outdated = self.owner in _waiting and time.monotonic() - self.started > PATIENCE
        if self.cancelled or outdated:
            raise Cancelled


_change = threading.Condition()
_waiting: OrderedDict[Hashable, Job] = OrderedDict()
_running: Job | None = None
_thread: threading.Thread | None = None


_paints: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()


def repaint(owner: Hashable, paint: Callable[[], None]) -> None:
    """Run ``paint()`` on the thread as soon as it can: within the ticks of whatever runs.

    It is never cancelled and cancels nothing; of several that wait for an owner only the newest
    runs. It must be quick, and must not wait for work.
    """
    with _change:
        _paints[owner] = paint
        _start()


def _repaint() -> None:
    """Run all paints that wait, on the thread."""
    while True:
        with _change:
            if not _paints:
                return
            owner, paint = next(iter(_paints.items()))
        try:
            paint()
        except Exception:
            logging.getLogger(__name__).exception("a picture of %r failed", owner)
        finally:
            with _change:
                if _paints.get(owner) is paint:
                    del _paints[owner]
                _change.notify_all()


def _start() -> None:
    """Wake the thread, or make it: a forked process has none of its own."""
    global _thread
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_run, name="reliab_widgets", daemon=True)
        _thread.start()
    _change.notify_all()


def submit(owner: Hashable, work: Callable[[Job], None]) -> None:
    """Run ``work(job)`` on the thread, instead of what waits for the same owner."""
    with _change:
        _waiting.pop(owner, None)
        _waiting[owner] = Job(owner, work)
        _start()


def put_off(owner: Hashable, work: Callable[[Job], None], seconds: float) -> None:
    """Run ``work(job)`` after that many seconds, unless something newer waits or comes meanwhile.

    Only work of ``owner`` itself, which runs on the thread, may put off more of it.
    """
    with _change:
        _waiting.setdefault(owner, Job(owner, work, time.monotonic() + seconds))


def cancel(owner: Hashable) -> bool:
    """Drop what waits for ``owner`` and stop what runs for it; tell whether something runs."""
    with _change:
        for key in [key for key in _waiting if _whose(key) == owner]:
            del _waiting[key]
        _change.notify_all()
        if _running is None or _whose(_running.owner) != owner:
            return False
        _running.cancelled = True
        return True


@atexit.register
def _stop() -> None:
    """Stop everything: Python aborts when it ends while a thread is inside torch."""
    with _change:
        _waiting.clear()
        _paints.clear()
        if _running is not None:
            _running.cancelled = True
        _change.wait_for(lambda: _running is None, GRACE)


def waits(owner: Hashable) -> bool:
    """Tell whether a newer job waits for ``owner``."""
    return owner in _waiting


def busy(owner: Hashable) -> bool:
    """Tell whether something runs or waits for ``owner`` or its parts, a picture included."""
    running = [] if _running is None else [_running.owner]
    return any(_whose(key) == owner for key in (*running, *_waiting, *_paints))


def _whose(key: Hashable) -> Hashable:
    """Return the owner of a part of it, which is known as ``(owner, part)``."""
    return key[0] if isinstance(key, tuple) else key


def wait(owner: Hashable, timeout: float | None = None) -> bool:
    """Wait until nothing runs or waits for ``owner``; False when that took too long."""
    if threading.current_thread() is _thread:
        raise RuntimeError(
            "work of a widget cannot wait for a widget: both run on one thread. Use the result "
            "that `shown` is given."
        )
    with _change:
        return _change.wait_for(lambda: not busy(owner), timeout)


def _next() -> Job | None:
    now = time.monotonic()
    return next((job for job in _waiting.values() if job.due <= now), None)


def _run() -> None:
    global _running, _thread
    while True:
        with _change:
            while (job := _next()) is None and not _paints:
                dues = [job.due for job in _waiting.values()]
                rest = min(dues) - time.monotonic() if dues else IDLE
                if not _change.wait(max(rest, 0)) and not _waiting and not _paints:
                    _thread = None
                    return
            if job is not None:
                _running = _waiting.pop(job.owner)
                _running.started = time.monotonic()
        _repaint()
        if _running is None:
            continue
        try:
            with pulsing(_running.check):
                _running.work(_running)
        except BaseException:
            # Owners handle their own errors; one that does not, be it by `sys.exit`, must not end
            # everybody's thread.
            logging.getLogger(__name__).exception("a job of %r failed", _running.owner)
        finally:
            with _change:
                _running = None
                _change.notify_all()
