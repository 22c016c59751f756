"""Manifest ↔ JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import BundleError, IntegrityError, SchemaError
from edgeai_runtime.manifest import Step
from edgeai_runtime.manifest_json import dump_manifest, from_json, parse_manifest, to_json

VARIANT = ("variants", 0)
FILE = (*VARIANT, "files", 0)
ABSENT = object()


def changed(sample: Any, place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return the sample's document with another value at `place`, or none when it is ABSENT."""
    document = copy.deepcopy(to_json(sample.manifest))
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    if value is ABSENT:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


def test_a_manifest_comes_back_equal_from_its_json(sample: Any) -> None:
    assert from_json(json.loads(json.dumps(to_json(sample.manifest))), where="m") == sample.manifest


def test_a_manifest_comes_back_equal_from_its_bytes(sample: Any) -> None:
    assert parse_manifest(dump_manifest(sample.manifest), where="m") == sample.manifest


def test_the_bytes_do_not_depend_on_the_order_of_keys(sample: Any) -> None:
    metadata = dict(reversed(sample.manifest.metadata.items()))
    assert dump_manifest(dataclasses.replace(sample.manifest, metadata=metadata)) == dump_manifest(sample.manifest)


def test_fields_with_a_default_may_be_left_out(sample: Any) -> None:
    assert from_json(changed(sample, ("metadata",), ABSENT), where="m").metadata == {}


def test_an_integer_is_read_where_a_number_is_wanted(sample: Any) -> None:
    manifest = from_json(changed(sample, (*VARIANT, "certificate", "score"), 1), where="m")
    assert isinstance(manifest.variants[0].certificate.score, float)


def test_numpy_values_in_parameters_become_plain_ones(sample: Any) -> None:
    steps = {"x": (Step(op="normalize", params={"mean": np.array([1, 2, 3]), "std": np.float32(2)}),)}
    manifest = dataclasses.replace(sample.manifest, preprocessing=steps)
    document = json.loads(dump_manifest(manifest))
    assert document["preprocessing"]["x"][0]["params"] == {"mean": [1, 2, 3], "std": 2.0}


@pytest.mark.parametrize(
    "schema", ["edgeai.bundle/2", "edgeai.bundle/1.1", "other/1", "", 1, ["edgeai.bundle/1"], {}, None]
)
def test_another_schema_is_a_schema_error_naming_the_one_that_is_read(sample: Any, schema: Any) -> None:
    with pytest.raises(SchemaError, match=r"edgeai\.bundle/1"):
        from_json(changed(sample, ("schema",), schema), where="m")


def test_a_newer_schema_says_how_to_go_on(sample: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        from_json(changed(sample, ("schema",), "edgeai.bundle/2"), where="m")
    assert "pip install --upgrade" in caught.value.hint
    assert "edgeai.bundle/2" in caught.value.hint


def test_the_schema_is_looked_at_before_anything_else() -> None:
    with pytest.raises(SchemaError):
        from_json({"schema": "edgeai.bundle/9", "quite": "different"}, where="m")


@pytest.mark.parametrize(
    ("place", "key", "meant"),
    [((), "varants", "variants"), (VARIANT, "precisoin", "precision"), (FILE, "sha265", "sha256")],
)
def test_an_unknown_key_is_an_error_with_the_nearest_name(sample: Any, place: Any, key: str, meant: str) -> None:
    with pytest.raises(BundleError, match=key) as caught:
        from_json(changed(sample, (*place, key), 1), where="m")
    assert f"{meant!r}" in caught.value.hint


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("name",), ABSENT, "name is missing"),
        ((*VARIANT, "files"), ABSENT, r"variants\[0\]\.files is missing"),
        (("name",), 3, "name must be text. Received: 3"),
        (("name",), "\ud800", "surrogates"),
        (("variants",), {}, "variants must be a list. Received: an object"),
        (VARIANT, None, r"variants\[0\] must be an object. Received: null"),
        ((*FILE, "size_bytes"), 3.5, r"variants\[0\]\.files\[0\]\.size_bytes must be an integer. Received: 3.5"),
        ((*FILE, "size_bytes"), True, "must be an integer. Received: True"),
        ((*FILE, "size_bytes"), 2**64, "more than 64 bits"),
        ((*VARIANT, "format"), "tflit", "one of 'tflite', 'onnx', 'openvino'. Received: 'tflit'"),
        ((*VARIANT, "format"), ["tflite"], "one of 'tflite'"),
        ((*VARIANT, "certificate", "drop"), "0.1", "certificate.drop must be a number"),
        ((*VARIANT, "certificate", "drop"), float("nan"), "finite"),
        ((*VARIANT, "certificate", "drop"), 10**400, "finite"),
        ((*VARIANT, "certificate", "drop_ci95"), [0.1], "drop_ci95 must be a list of 2"),
        ((*VARIANT, "certificate", "drop_ci95"), [0.2, 0.1], "lower end is above"),
        ((*VARIANT, "needs"), {"a": 1}, r"needs\.a must be text"),
        ((*VARIANT, "id"), "../small", "id must be"),
        ((*VARIANT, "id"), "source", "id must be"),
        ((*VARIANT, "files"), [], "has no files"),
        ((*VARIANT, "inputs"), [], "has 0 inputs where the manifest has 1"),
        ((*VARIANT, "tolerance"), {"q": {"atol": 0, "rtol": 0}}, "there is no output 'q'"),
        ((*VARIANT, "tolerance", "p", "atol"), -1, "cannot be negative"),
        ((*VARIANT, "inputs", 0, "quantization", "scale"), 0, "scale must be above zero"),
        (("inputs", 0, "shape"), [None, -3], "dimension"),
        (("inputs", 0, "shape"), [None, 3, 4], "layout 'NC'"),
        (("inputs", 0, "dtype"), "float", "dtype must be one of"),
        (("preprocessing",), {"y": []}, "there is no input 'y'"),
        (("variants",), [], "no variants"),
        (("golden",), [{"path": "golden/x.npz", "sha256": "0" * 64, "size_bytes": 1}], "golden must be"),
        (("metadata",), {"a": float("inf")}, "metadata.a must be a finite number"),
        (("metadata",), {"a": object()}, "a value that JSON has"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_place(sample: Any, place: Any, value: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        from_json(changed(sample, place, value), where="m")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sha256", "0" * 63),
        ("sha256", "A" * 64),
        ("sha256", "0" * 64 + "\n"),
        ("size_bytes", -1),
        ("path", "manifest.json"),
        ("path", "Signature.JSON"),
        ("path", "golden/inputs.npz"),
        ("path", "Labels.txt"),
        ("path", "labels.txt/model.tflite"),
        ("path", "../model.tflite"),
    ],
)
def test_an_entry_that_can_not_be_true_breaks_integrity(sample: Any, key: str, value: Any) -> None:
    with pytest.raises(IntegrityError):
        from_json(changed(sample, (*FILE, key), value), where="m")


def test_two_variants_of_one_id_are_refused(sample: Any) -> None:
    variant = to_json(sample.manifest)["variants"][0]
    with pytest.raises(BundleError, match="two variants are called 'small'"):
        from_json(changed(sample, ("variants",), [variant, variant]), where="m")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "must be an object. Received: a list"),
        (b'{"schema": NaN}', "NaN"),
        (b'{"schema": -Infinity}', "-Infinity"),
        (b'{"schema": "edgeai.bundle/1", "name": "a", "name": "b"}', "'name' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": "edgeai.bundle/1", "size": ' + b"9" * 10_000 + b"}", "m"),
    ],
)
def test_bytes_that_are_no_manifest_are_a_bundle_error(content: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_manifest(content, where="m")


def test_free_values_nested_too_deeply_are_refused(sample: Any) -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(BundleError, match="nested"):
        from_json(changed(sample, ("metadata",), {"deep": deep}), where="m")


def test_a_manifest_that_makes_no_sense_is_not_written(sample: Any) -> None:
    with pytest.raises(BundleError, match="no variants"):
        dump_manifest(dataclasses.replace(sample.manifest, variants=()))


def test_a_manifest_that_holds_itself_is_not_written(sample: Any) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(BundleError, match="nested too deeply"):
        dump_manifest(dataclasses.replace(sample.manifest, metadata={"loop": loop}))
