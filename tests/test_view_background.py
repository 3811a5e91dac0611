import sys
import threading
import time

import pytest

from labkit.view.explorer.background import Background


def count(until: threading.Event, counted: list) -> None:
    """Pure Python that calls a function at every turn."""
    while not until.is_set():
        counted.append(len(counted))


@pytest.fixture
def counting():
    background, until, counted = Background(["count"]), threading.Event(), []
    background.submit("count", count, until, counted)
    while not counted:
        time.sleep(0.001)
    yield background, counted
    until.set()
    background.finish()


def test_work_holds_still_while_an_answer_is_made(counting):
    background, counted = counting
    with background.held():
        time.sleep(0.02)  # it may be inside of a call
        before = len(counted)
        time.sleep(0.1)
        assert len(counted) == before
    time.sleep(0.1)
    assert len(counted) > before


def test_an_answer_that_waits_for_the_work_is_not_waited_for(counting):
    """A lock that both want must not stop both for good: after LONGEST the work goes on."""
    background, counted = counting
    with background.held():
        time.sleep(0.02)
        before = len(counted)
        limit = time.monotonic() + 10
        while len(counted) == before and time.monotonic() < limit:
            time.sleep(0.01)
        assert len(counted) > before


def test_the_hook_stays_in_its_thread_and_goes_with_the_work():
    background = Background(["a"])
    assert background.submit("a", sys.getprofile).result() is not None
    assert sys.getprofile() is None
    with pytest.raises(ZeroDivisionError):
        background.submit("a", divmod, 1, 0).result()
    assert background._threads["a"].submit(sys.getprofile).result() is None
    background.finish()
