"""A small bundle that every test here starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.manifest import (
    Certificate,
    Manifest,
    Measurement,
    Provenance,
    Quantization,
    Step,
    TensorSpec,
    Tolerance,
    Variant,
)

MODEL = "variants/small/model.tflite"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A manifest and the content of its members."""

    manifest: Manifest
    members: dict[str, bytes]

    def write(self, path: Path, **options: bool) -> Path:
        write_bundle(path, self.manifest, self.members, **options)
        return path


@pytest.fixture(scope="session")
def sample() -> Sample:
    scores = np.arange(16, dtype=np.float32).reshape(8, 2)
    members = {
        MODEL: b"not a real model; " * 200,
        "golden/inputs.npz": npz_bytes({"x": np.zeros((8, 3), np.float32)}),
        "golden/outputs.npz": npz_bytes({"source/p": scores, "small/p": scores + 1}),
        "labels.txt": "cat\nd\u00f6g\n".encode(),
    }
    entries = {path: file_entry(path, content) for path, content in members.items()}
    inputs = (TensorSpec(name="x", shape=(None, 3), dtype="float32", layout="NC", meaning="features"),)
    outputs = (TensorSpec(name="p", shape=(None, 2), dtype="float32"),)
    quantized = TensorSpec(
        name="serving_x:0", shape=(1, 3), dtype="int8", quantization=Quantization(scale=0.5, zero_point=-3)
    )
    variant = Variant(
        id="small",
        format="tflite",
        precision="int8",
        delegates=("litert:xnnpack",),
        files=(entries[MODEL],),
        inputs=(quantized,),
        outputs=outputs,
        needs={"ai-edge-litert": ">=2.1"},
        tolerance={"p": Tolerance(atol=1e-3, rtol=0.0)},
        certificate=Certificate(
            metric="top1",
            source_score=0.9,
            score=0.895,
            drop=0.005,
            drop_ci95=(-0.001, 0.011),
            flip_rate=None,
            n=1000,
            max_drop=0.01,
            verdict="unproven",
            samples_needed=4000,
            method="score interval",
            split="certification",
        ),
        measurements=(
            Measurement(
                engine="litert",
                engine_version="2.1",
                delegate="litert:xnnpack",
                threads=1,
                latency_median_ms=1.5,
                latency_p90_ms=1.75,
                latency_median_ci95_ms=(1.4, 1.6),
                speedup_vs_float=2.5,
                speedup_ci95=(2.4, 2.6),
                peak_memory_mib=None,
                machine={"cpu": "some"},
            ),
        ),
        provenance=Provenance(
            source_name="net.onnx",
            source_sha256="0" * 64,
            data_sha256=None,
            recipe=(Step(op="quantize", params={"method": "mse", "bits": 8}),),
            tools={"edgeai": "0.1.0"},
        ),
    )
    manifest = Manifest(
        name="pets",
        version="1.2",
        inputs=inputs,
        outputs=outputs,
        variants=(variant,),
        golden=(entries["golden/inputs.npz"], entries["golden/outputs.npz"]),
        preprocessing={"x": (Step(op="normalize", params={"mean": [1, 2, 3], "std": 2.5}),)},
        postprocessing={"p": (Step(op="softmax"), Step(op="labels", params={"top": 2}))},
        labels=entries["labels.txt"],
        metadata={"author": "Zoë", "tags": ["a", {"b": None}], "share": 0.5},
    )
    return Sample(manifest=manifest, members=members)
