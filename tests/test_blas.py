"""The number of BLAS's threads, which two threads change at the same time, comes back."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from sapiens_mlx import blas


def threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas"}


@pytest.fixture
def two() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this BLAS has no number of threads that could be set")
        yield


def test_the_first_to_leave_does_not_end_it_and_the_last_brings_the_number_back(two):
    with ExitStack() as network:
        network.enter_context(blas.one_thread())
        entered, leave, left = threading.Event(), threading.Event(), threading.Event()

        def draw() -> None:
            with blas.one_thread():
                entered.set()
                leave.wait(10)
            left.set()

        other = threading.Thread(target=draw)
        other.start()
        assert entered.wait(10) and threads() == {1}
        network.close()
        assert threads() == {1}  # the other is at it
        leave.set()
        assert left.wait(10) and threads() == {2}
        other.join()
    with blas.one_thread():
        assert threads() == {1}
    assert threads() == {2}


def test_whoever_fails_has_left_too(two):
    with pytest.raises(ZeroDivisionError), blas.one_thread():
        _ = 1 / 0
    assert threads() == {2}
