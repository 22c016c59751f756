"""Where `EDGEAI_REQUIRE_ENGINES` is set (in continuous integration) no guest may be missing: no skip hides a break."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys

import pytest

GUESTS = (
    "ai_edge_litert",
    "onnxruntime",
    "openvino",
    "tensorflow",
    "keras",
    "tf2onnx",
    "torch",
    "onnxscript",
    "sklearn",
    "cryptography",
    "cyclonedx",
    "ethosu",
    "coremltools",
    "mlperf_loadgen",
    "pre_commit",
    "tree_sitter",
    # These are made for this platform alone.
    *(["onnxruntime_qnn", "tflite_micro"] if (sys.platform, platform.machine()) == ("linux", "x86_64") else []),
)


@pytest.mark.skipif(not os.environ.get("EDGEAI_REQUIRE_ENGINES"), reason="EDGEAI_REQUIRE_ENGINES is not set")
@pytest.mark.parametrize("guest", GUESTS)
def test_every_guest_is_installed(guest: str) -> None:
    assert importlib.util.find_spec(guest) is not None
