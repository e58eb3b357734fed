"""Python's cyclic garbage collector is off while documents are decoded, and only then."""

import gc
import threading
from collections.abc import Iterator

import pytest

from echostats_pipeline.storage.garbage_collection import paused_collection


@pytest.fixture(autouse=True)
def _collector_is_left_on() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def test_the_collector_rests_until_the_last_block_ends() -> None:
    with paused_collection():
        with paused_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failure_wakes_it() -> None:
    with pytest.raises(ZeroDivisionError), paused_collection():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_who_had_turned_it_off_finds_it_off() -> None:
    gc.disable()
    with paused_collection():
        pass
    assert not gc.isenabled()


def test_blocks_of_threads_may_overlap() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def decode() -> None:
        with paused_collection():
            begun.set()
            may_end.wait(10)

    other = threading.Thread(target=decode)
    with paused_collection():
        other.start()
        assert begun.wait(10)
    assert not gc.isenabled(), "the other thread still decodes"
    may_end.set()
    other.join()
    assert gc.isenabled()
