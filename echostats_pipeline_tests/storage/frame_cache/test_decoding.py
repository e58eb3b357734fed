"""Python's cyclic garbage collector is off while documents are decoded, and only then."""

import gc
import threading
from collections.abc import Iterator

import pytest

from echostats_pipeline.storage.frame_cache.decoding import bulk_decoding


@pytest.fixture(autouse=True)
def _collector_is_left_on() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def test_the_collector_rests_until_the_last_block_ends() -> None:
    with bulk_decoding():
        with bulk_decoding():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failure_wakes_it() -> None:
    with pytest.raises(ZeroDivisionError), bulk_decoding():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_who_had_turned_it_off_finds_it_off() -> None:
    gc.disable()
    with bulk_decoding():
        pass
    assert not gc.isenabled()


def test_blocks_of_threads_may_overlap() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def decode() -> None:
        with bulk_decoding():
            begun.set()
            may_end.wait(10)

    other = threading.Thread(target=decode)
    with bulk_decoding():
        other.start()
        assert begun.wait(10)
    assert not gc.isenabled(), "the other thread still decodes"
    may_end.set()
    other.join()
    assert gc.isenabled()
