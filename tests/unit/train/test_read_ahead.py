"""Reading ahead: order, errors, and an end."""

from __future__ import annotations

import threading
import time

import pytest

from edgeai_converters.train.read_ahead import read_ahead


def test_results_come_in_the_order_of_the_jobs() -> None:
    assert list(read_ahead([0.02, 0.0, 0.01], lambda job: (time.sleep(job), job)[1])) == [0.02, 0.0, 0.01]


def test_error_comes_where_its_result_would_have() -> None:
    found = read_ahead([1, 0, 2], lambda job: 1 / job)
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_closing_ends_the_thread_and_reads_no_further() -> None:
    seen: list[int] = []
    found = read_ahead(range(100), lambda job: seen.append(job) or job)
    next(found)
    found.close()
    assert len(seen) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
