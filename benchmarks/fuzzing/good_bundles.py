"""The bundles that a fuzzer starts from: nothing is wrong with them, except that their model is none."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import numpy as np

from edgeai_runtime.bundle import file_entry, npz_bytes
from edgeai_runtime.bundle_arrays import stored_member
from edgeai_runtime.manifest import Manifest, Pipeline, Stage, Step, TensorSpec, Tolerance, Variant
from edgeai_runtime.manifest_json import dump_manifest

MODEL, VOCABULARY = "variants/a/model.tflite", "assets/words.txt"
Members = dict[str, bytes]


def good_bundle(*, pipeline: bool = False) -> Members:
    """Return the members of a bundle that nothing is wrong with, except that its model is none."""
    x, p = (TensorSpec(name=n, shape=(None, 3), dtype="float32", layout="NC") for n in "xp")
    content = {
        MODEL: b"no real model; " * 40,
        "golden/inputs.npz": npz_bytes({"x": np.ones((8, 3), np.float32)}),
        "golden/outputs.npz": npz_bytes({f"{key}/p": np.ones((8, 3), np.float32) for key in ("source", "a")}),
        "labels.txt": "cat\ndög\nfish\n".encode(),
        VOCABULARY: b"a\nb\n",
    }
    entries = {path: file_entry(path, data) for path, data in content.items()}
    variant = Variant(
        id="a",
        format="tflite",
        precision="int8",
        delegates=("litert:xnnpack",),
        files=(entries[MODEL],),
        inputs=(x,),
        outputs=(p,),
        needs={"python": ">=3"},
        tolerance={"p": Tolerance(atol=0.1, rtol=0.0)},
    )
    manifest = Manifest(
        name="fuzz",
        version="1.2",
        inputs=(x,),
        outputs=(p,),
        variants=(variant,),
        golden=(entries["golden/inputs.npz"], entries["golden/outputs.npz"]),
        preprocessing={
            "x": (
                Step(op="normalize", params={"mean": [1, 2, 3], "std": 2.5}),
                Step(op="cast", params={"dtype": "float32"}),
            )
        },
        postprocessing={"p": (Step(op="softmax"), Step(op="labels", params={"top": 2}))},
        labels=entries["labels.txt"],
        assets={"words": entries[VOCABULARY]},
        metadata={"tags": ["a", {"b": None}], "share": 0.5},
    )
    inner = {"manifest.json": dump_manifest(manifest), **content}
    if not pipeline:
        return inner
    folders = {name: {f"models/{name}/{path}": data for path, data in inner.items()} for name in ("one", "two")}
    stages = tuple(
        Stage(name=name, files=tuple(file_entry(path, data) for path, data in members.items()))
        for name, members in folders.items()
    )
    whole = Manifest(
        name="both",
        version="1",
        inputs=(x,),
        outputs=(p,),
        variants=(),
        pipeline=Pipeline(kind="ensemble", stages=stages),
    )
    return {"manifest.json": dump_manifest(whole), **folders["one"], **folders["two"]}


def pack(members: Members) -> bytes:
    """Return members as the zip that edgeai writes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(stored_member(name), content)
    return buffer.getvalue()


def relisted(members: Members) -> Members:
    """Write the digests and sizes of the members into the manifest, so that damage gets past the digests."""
    document = json.loads(members["manifest.json"])

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            content = members.get(str(value.get("path")))
            if content is not None and "sha256" in value:
                value.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            visit(item)

    visit(document)
    return {**members, "manifest.json": json.dumps(document).encode()}
