"""One compress document with every kind of candidate: accepted, rejected, unproven, failed, far off."""

from __future__ import annotations

from typing import Any

import pytest


def _candidate(name: str, **changes: Any) -> dict[str, Any]:
    format_, precision = name.split("-", 1)
    return {
        "id": name,
        "format": format_,
        "precision": precision,
        "recipe": [{"op": "quantize", "params": {"precision": precision, "ranges": "mse"}}],
        "size_bytes": 415_058,
        "latency_ms": {"median": 0.1112, "p90": 0.1207, "median_ci95": [0.1101, 0.1123]},
        "speedup_vs_float": 1.0,
        "speedup_ci95": [0.99, 1.01],
        "metric": "top1",
        "source_score": 0.9983,
        "score": 0.9983,
        "drop": 0.0,
        "drop_ci95": [-0.0041, 0.0041],
        "flip_rate": 0.0,
        "n": 718,
        "verdict": "certified",
        "status": "accepted",
        "reason": None,
        "engine": "onnxruntime",
        "delegate": "onnxruntime:cpu",
        "peak_memory_mib": 11.25,
        "samples_needed": None,
        "split": "certification",
        "notes": [],
    } | changes


@pytest.fixture
def document() -> dict[str, Any]:
    """What `edgeai compress --json` prints for a search over three formats."""
    return search_document()


def search_document() -> dict[str, Any]:
    """Return the document of a search over three formats."""
    best = _candidate(
        "tflite-int8",
        size_bytes=118_224,
        latency_ms={"median": 0.0273, "p90": 0.0291, "median_ci95": [0.0270, 0.0277]},
        speedup_vs_float=3.57,
        speedup_ci95=[3.41, 3.72],
        score=0.9972,
        drop=0.0014,
        drop_ci95=[-0.0026, 0.0063],
        flip_rate=0.0028,
        engine="litert",
        delegate="litert:xnnpack",
    )
    unproven = _candidate(
        "onnx-int8",
        size_bytes=121_904,
        latency_ms={"median": 0.0688, "p90": 0.0731, "median_ci95": [0.0671, 0.0702]},
        speedup_vs_float=1.62,
        speedup_ci95=[1.55, 1.66],
        drop=0.0056,
        drop_ci95=[0.0007, 0.0134],
        flip_rate=0.0083,
        verdict="unproven",
        samples_needed=1420,
    )
    slow = _candidate(
        "onnx-dynamic_int8",
        size_bytes=120_111,
        latency_ms={"median": 0.1533, "p90": 0.1611, "median_ci95": [0.1511, 0.1541]},
        speedup_vs_float=0.73,
        speedup_ci95=[0.71, 0.74],
        status="rejected",
        reason="slower than float: 0.73x (0.71 to 0.74)",
        split="search",
    )
    broken = _candidate(
        "openvino-int8",
        drop=0.41,
        drop_ci95=[0.37, 0.45],
        score=0.588,
        flip_rate=0.42,
        verdict="violated",
        status="rejected",
        reason="drop over budget",
        latency_ms={"median": 0.0811, "p90": 0.0911},
    )
    failed = dict.fromkeys(best) | {
        "id": "openvino-float16",
        "format": "openvino",
        "precision": "float16",
        "status": "rejected",
        "reason": "ModelError: the engine refused <the model> & stopped",
    }
    tflite_float = _candidate(
        "tflite-float32",
        size_bytes=413_992,
        latency_ms={"median": 0.0975, "p90": 0.1022, "median_ci95": [0.0964, 0.0987]},
        engine="litert",
        delegate="litert:xnnpack",
    )
    half = _candidate("tflite-float16", size_bytes=208_004, latency_ms={"median": 0.0981, "p90": 0.1044})
    return {
        "source": {"path": "examples/digits/digits.onnx", "size_bytes": 415_058, "sha256": "ab" * 32},
        "bundle": "build/digits.edge",
        "best": best,
        "candidates": [best, unproven, tflite_float, half, _candidate("onnx-float32"), slow, broken, failed],
        "pareto": ["tflite-int8", "tflite-float32"],
        "binding_limit": None,
        "machine": {
            "cpu": "Example CPU 9000",
            "isa": "avx2 avx512_vnni",
            "cores": "2",
            "os": "Linux 6.1",
            "python": "3.11",
        },
        "budget": {"max_drop": 0.01, "max_size_bytes": None, "strict": False},
        "data": {"calibration": 240, "search": 239, "certification": 718},
        "metric": "top1",
        "duration_s": 41.7,
        "peak_memory_mib": 512.5,
        "route": ["onnx", "simplify", "emit"],
        "parity": {"max_abs": 3.1e-6, "max_rel": 2.2e-7, "cosine": 0.9999999, "n": 16},
        "tools": {"edgeai": "0.1.0", "onnxruntime": "1.31.1"},
    }
