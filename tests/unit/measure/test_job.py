"""A job survives being written and read; a child that fails is told with the end of its log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import run_job
from edgeai_runtime.errors import EngineError
from edgeai_runtime.manifest import Quantization, Step, TensorSpec

_X = TensorSpec(name="x", shape=(None, 3), dtype="float32", layout="NC")
_Y = TensorSpec(name="y", shape=(None, 2), dtype="float32")
JOB = Job(
    artifact="nowhere/model.onnx",
    reference=None,
    format="onnx",
    inputs=(_X,),
    outputs=(_Y,),
    own_inputs=(replace(_X, dtype="int8", quantization=Quantization(scale=0.5, zero_point=-3)),),
    own_outputs=(_Y,),
    data="data.npz",
    preprocessing={"x": (Step(op="cast", params={"dtype": "float32"}),)},
    indices=(3, 1, 2),
    threads=1,
    duration_s=0.5,
    seed=7,
)


def test_a_job_read_back_is_the_job_written(tmp_path: Path) -> None:
    JOB.write(tmp_path)
    assert Job.read(tmp_path) == JOB


def test_a_child_that_fails_is_an_engine_error_that_names_the_artifact_and_the_cause(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.zeros((2, 3), np.float32))
    with pytest.raises(EngineError, match=r"(?s)model\.onnx.*onnx engine failed.*nowhere"):
        run_job(replace(JOB, data=str(data), preprocessing={}, indices=(0,)), tmp_path)
