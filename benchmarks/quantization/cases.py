"""The models: where each lies, how its samples become its input, and the three splits that every method is given."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hard_networks.kept import hard_network
from hard_networks.table import HARD_NETWORKS
from numpy.typing import NDArray

from edgeai_runtime.transforms.parse import parse_steps
from edgeai_runtime.transforms.pipeline import apply_steps
from quantization.job import Job

MOST_CALIBRATION = 256
MOST_SEARCH = 1000
SEARCH_SHARE = 0.3
_CIFAR = "cast:float32;scale:factor=0.00392156862745098;normalize:mean=[0.485,0.456,0.406],std=[0.229,0.224,0.225]"

Samples = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A real model and its data, below the folder of real models.

    Attributes:
        model: the file.
        data: an `.npz` with `x_calib`, `y_calib`, `x_eval`, `y_eval`, or a table of images.
        preprocess: from a stored sample to the model's input.
        transformer: whether it is one.
    """

    model: str
    data: str
    preprocess: str
    transformer: bool = False


REAL = {
    "resnet8": Case(
        model="mlperf_tiny/image_classification/pretrainedResnet.h5",
        data="cifar10/cifar10_test_jpeg.npz",
        preprocess="cast:float32",
    ),
    "dscnn": Case(
        model="mlperf_tiny/keyword_spotting/kws_ref_model.h5",
        data="mlperf_tiny/keyword_spotting/kws01.npz",
        preprocess="scale:factor=0.5847029,offset=-48.5303407",
    ),
    "resnet20": Case(
        model="cifar10/resnet20.onnx",
        data="cifar10/cifar10_test_jpeg.npz",
        preprocess=f"{_CIFAR};layout:NHWC>NCHW",
    ),
    "squeezenet": Case(
        model="imagenet_sample/squeezenet_v1.1_f32.onnx",
        data="imagenet_sample/split.csv",
        preprocess="cast:float32;crop:height=227,width=227;channels:order=[2,1,0];"
        "normalize:mean=[104,117,123],std=[1,1,1];layout:NHWC>NCHW",
    ),
    "kwt1": Case(
        model="speech_commands/kwt1.onnx",
        data="speech_commands/mfcc_98x40.npz",
        preprocess="cast:float32",
        transformer=True,
    ),
    "gru": Case(model="speech_commands/gru_s.keras", data="speech_commands/mfcc_25x10.npz", preprocess="cast:float32"),
}
CASES = (*REAL, *HARD_NETWORKS)
"""All names."""


def is_there(name: str, assets: Path) -> bool:
    """Say whether the case can be run: hard networks always, real models where their folder is."""
    return name in HARD_NETWORKS or ((assets / REAL[name].model).is_file() and (assets / REAL[name].data).is_file())


def prepare(name: str, assets: Path, folder: Path, *, resume: bool) -> Job:
    """Write the splits and the float artifacts of one case and return its job.

    The first 30 % (at most 1000) of the evaluation samples are the search split, the rest is the certification split.
    At most 256 samples are for calibration: training samples of the hard networks, the split that the files of the
    real models name so. Float TFLite and OpenVINO files are made by edgeai, and so is ONNX from a Keras source; with
    `resume`, those that are there are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, calibration, evaluation = _hard(name) if name in HARD_NETWORKS else _real(REAL[name], assets)
    cut = min(round(len(evaluation[0]) * SEARCH_SHARE), MOST_SEARCH)
    splits = {
        "calibration": tuple(each[:MOST_CALIBRATION] for each in calibration),
        "search": tuple(each[:cut] for each in evaluation),
        "certification": tuple(each[cut:] for each in evaluation),
    }
    for split, (x, y) in splits.items():
        np.savez(folder / f"{split}.npz", x=np.ascontiguousarray(x, dtype=np.float32), y=y)
    is_onnx = source.suffix == ".onnx"
    for format, suffix in (("tflite", "tflite"), ("onnx", "onnx"), ("openvino", "xml")):
        if not (format == "onnx" and is_onnx):
            out = folder / f"float.{suffix}"
            if not (resume and out.is_file()):
                _convert(source, format, out)
    onnx = source if is_onnx else folder / "float.onnx"
    job = Job(
        source=str(source),
        onnx=str(onnx),
        tflite=str(folder / "float.tflite"),
        keras="" if is_onnx else str(source),
        input_name=_input_name(onnx),
        calibration=str(folder / "calibration.npz"),
        search=str(folder / "search.npz"),
        certification=str(folder / "certification.npz"),
        metric=HARD_NETWORKS[name].metric if name in HARD_NETWORKS else "top1",
        transformer=name in REAL and REAL[name].transformer,
    )
    job.write(folder / "job.json")
    return job


def title(name: str) -> str:
    """Return what the case is, in one line."""
    if name in HARD_NETWORKS:
        return f"{HARD_NETWORKS[name].title}; {HARD_NETWORKS[name].trap}"
    return REAL[name].model


def _hard(name: str) -> tuple[Path, Samples, Samples]:
    folder = hard_network(name)
    pairs = []
    for file in ("training", "evaluation"):
        with np.load(folder / f"{file}.npz") as arrays:
            pairs.append((arrays["x"], arrays["y"]))
    return folder / "model.onnx", pairs[0], pairs[1]


def _real(case: Case, assets: Path) -> tuple[Path, Samples, Samples]:
    steps = parse_steps(case.preprocess)
    read: Callable[[Path, str], Samples] = _read_images if case.data.endswith(".csv") else _read_arrays
    pairs = []
    for split in ("calib", "eval"):
        x, y = read(assets / case.data, split)
        pairs.append((np.asarray(apply_steps(steps, x), dtype=np.float32), y))
    return assets / case.model, pairs[0], pairs[1]


def _read_arrays(path: Path, split: str) -> Samples:
    with np.load(path) as arrays:
        return arrays[f"x_{split}"], arrays[f"y_{split}"]


def _read_images(path: Path, split: str) -> Samples:
    from PIL import Image

    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == split]
    images = [np.asarray(Image.open(path.parent / "images" / row["file"]).convert("RGB")) for row in rows]
    return np.stack(images), np.array([int(row["class_index"]) for row in rows])


def _convert(source: Path, format: str, out: Path) -> None:
    words = ["convert", str(source), "--to", format, "-o", str(out), "--force", "--json"]
    command = [sys.executable, "-m", "edgeai", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = json.loads(done.stdout)["error"] if done.stdout.strip().startswith("{") else done.stderr
        sys.exit(f"{source.name} cannot be converted to {format}: {said}")


def _input_name(path: Path) -> str:
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    held = {each.name for each in graph.initializer}
    (name,) = [each.name for each in graph.input if each.name not in held]
    return str(name)
