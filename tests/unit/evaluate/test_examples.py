"""The examples in the docstrings of data sets, metrics and the certificate run as written."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "edgeai_converters.calibrate.dataset",
        "edgeai_converters.evaluate.metrics",
        "edgeai_converters.evaluate.intervals",
        "edgeai_converters.evaluate.certificate",
    ],
)
def test_the_examples_in_the_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
