"""Work in the background that stands still while the page waits for an answer."""

import sys
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

LONGEST = 0.3  # s that work stands still for one answer, which might itself be waiting for the work


class Background:
    """A thread for each kind of work; all of them hold still inside of `with background.held():`.

    Threads share one interpreter, and every operation of torch hands it over: beside a thread that computes, an answer
    takes more than twice its time. The work is other modules' and knows of no page, so it cannot be asked to pause.
    But Python calls a thread's profile hook at every call of a function, and this one waits there.

    Arguments:
        kinds: of work; works of one kind are done one after the other.

    Example:
        >>> background = Background(["sums"])
        >>> background.submit("sums", sum, [1, 2]).result()
        3
    """

    def __init__(self, kinds: Iterable[Hashable]):
        self._threads = {kind: ThreadPoolExecutor(1) for kind in kinds}
        self._held, self._free = False, Event()

    def submit(self, kind: Hashable, work: Callable, *arguments) -> Future:
        """Do `work(*arguments)` in the thread of its kind, when that is free."""
        return self._threads[kind].submit(self._run, work, *arguments)

    @contextmanager
    def held(self):
        """No work goes on inside of this block, for `LONGEST` at most."""
        self._free.clear()
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._free.set()

    def finish(self) -> None:
        """Wait for all work; no more can be submitted."""
        for thread in self._threads.values():
            thread.shutdown(wait=True)

    def _run(self, work: Callable, *arguments):
        before = sys.getprofile()
        sys.setprofile(self._hold_still)  # of this thread alone
        try:
            return work(*arguments)
        finally:
            sys.setprofile(before)

    def _hold_still(self, frame, event, argument) -> None:
        if self._held and not self._free.wait(LONGEST):
            self._held = False
