"""`edgeai.toml` as it is read: strict keys, amounts with units, defaults of devices, errors that name file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomllib

from edgeai.builder.config import BuildConfig
from edgeai.builder.config_read import find_config, parse_config, read_config
from edgeai.builder.schema import EXPORTS, METRICS
from edgeai.builder.starter import starter_text
from edgeai.exporting.table import EXPORTERS
from edgeai_converters.evaluate.metrics import METRICS as known_metrics
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, Step

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "build" / "edgeai.toml"
SMALLEST = """
schema = 1
[project]
name = "app"
[models.net]
source = "net.onnx"
[models.net.targets.any]
"""


def parse(text: str, folder: Path) -> BuildConfig:
    return parse_config(tomllib.loads(text), file=folder / "edgeai.toml")


def with_lines(*lines: str, after: str) -> str:
    return SMALLEST.replace(after, "\n".join([after, *lines]))


def test_the_smallest_file_gets_the_defaults(tmp_path: Path) -> None:
    config = parse(SMALLEST, tmp_path)
    (model,), target = config.models, config.models[0].targets[0]
    assert (config.version, config.output) == ("1", tmp_path / "build")
    assert (model.source, model.budget.max_drop, model.data.is_given) == (tmp_path / "net.onnx", 0.01, False)
    assert (target.device, target.formats, target.outputs) == (None, FORMATS, ("bundle",))


def test_a_device_gives_its_formats_and_precisions(tmp_path: Path) -> None:
    config = parse(with_lines('device = "rpi5"', 'precisions = ["int8"]', after="[models.net.targets.any]"), tmp_path)
    target = config.models[0].targets[0]
    assert target.formats == ("tflite", "onnx", "openvino")
    assert target.precisions == ("int8",)


def test_amounts_are_read_with_their_units(tmp_path: Path) -> None:
    text = (
        SMALLEST
        + '[models.net.targets.any.gates]\nsize = "150KB"\nlatency = "60%"\nmemory = "64MiB"\ncoverage = 0.95\n'
    )
    gates = parse(text, tmp_path).models[0].targets[0].gates
    assert (gates.size_bytes, gates.latency_ratio, gates.latency_ms) == (150_000, 0.6, None)
    assert (gates.memory_mib, gates.coverage, gates.coverage_device) == (64.0, 0.95, "npu")


def test_a_budget_is_read_into_the_limits_of_the_search(tmp_path: Path) -> None:
    text = SMALLEST + '[models.net.budget]\nmax_drop = "2%"\nmax_latency = "5ms"\nmax_size = 1000\nstrict = true\n'
    budget = parse(text, tmp_path).models[0].budget
    assert (budget.max_drop, budget.max_latency_ms, budget.max_latency_ratio) == (0.02, 5.0, None)
    assert (budget.max_size_bytes, budget.strict) == (1000, True)


def test_steps_are_text_for_the_only_tensor_or_a_table_by_name(tmp_path: Path) -> None:
    lines = ('preprocess = "scale:factor=0.5"', 'postprocess = { scores = "softmax" }')
    model = parse(with_lines(*lines, after='source = "net.onnx"'), tmp_path).models[0]
    assert model.preprocess == {"": (Step(op="scale", params={"factor": 0.5}),)}
    assert list(model.postprocess) == ["scores"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("data/x.npz", "{root}/data/x.npz"),
        ("../x.npz:images", "{above}/x.npz:images"),
        ("loader:load", "loader:load"),
        ("src/loader.py:load", "{root}/src/loader.py:load"),
    ],
)
def test_data_are_paths_beside_the_file_and_functions_stay(tmp_path: Path, given: str, read: str) -> None:
    model = parse(with_lines(f'data = "{given}"', after='source = "net.onnx"'), tmp_path).models[0]
    assert model.data.data == read.format(root=tmp_path, above=tmp_path.parent)


@pytest.mark.parametrize(
    ("line", "after", "words"),
    [
        ('metrik = "top1"', 'source = "net.onnx"', r"edgeai.toml: models.net: unknown key 'metrik'[\s\S]*mean metric"),
        ('metric = "topp1"', 'source = "net.onnx"', r"models.net.metric takes top1, [\s\S]*'topp1'[\s\S]*mean top1"),
        ("budget = { max_drop = 1 }", 'source = "net.onnx"', r"budget.max_drop: 1 may be all, or one percent"),
        ('budget = { max_size = "0KB" }', 'source = "net.onnx"', r"budget.max_size must be more than 0"),
        ('gates = { latency = "0%" }', "[models.net.targets.any]", r"gates.latency must be more than 0"),
        ('gates = { memory = "0MB" }', "[models.net.targets.any]", r"gates.memory must be more than 0"),
        ("seed = 1.5", 'source = "net.onnx"', r"models.net.seed must be a whole number. Received: 1.5"),
        ("threads = 0", 'source = "net.onnx"', r"models.net.threads must be 1 or more"),
        ('version = "beta"', 'name = "app"', r"project.version must be numbers with dots[\s\S]*'beta'"),
        ("seed = true", 'source = "net.onnx"', r"models.net.seed must be a whole number"),
        ('prune = "allways"', 'source = "net.onnx"', r"models.net.prune takes auto, always, never[\s\S]*mean always"),
        ('preprocess = "scal:factor=1"', 'source = "net.onnx"', r"models.net.preprocess: [\s\S]*scale"),
        ("input_shapes = { x = [0] }", 'source = "net.onnx"', r"models.net.input_shapes must be a table of shapes"),
        ('device = "rpi55"', "[models.net.targets.any]", r"targets.any.device: [\s\S]*'rpi55'[\s\S]*mean rpi5"),
        (
            'device = "rpi5"\noutputs = ["ethos-u"]',
            "[models.net.targets.any]",
            r"Raspberry Pi 5 takes bundle",
        ),
        (
            'formats = ["onnx"]\noutputs = ["c"]',
            "[models.net.targets.any]",
            r"targets.any.outputs: c is made of tflite, and this target makes onnx",
        ),
        (
            'precisions = ["float16"]\noutputs = ["c"]',
            "[models.net.targets.any]",
            r"c is made of int8 or int16x8 or float32, and this target makes float16",
        ),
        (
            'formats = ["tflite"]\noutputs = ["qnn-context"]',
            "[models.net.targets.any]",
            r"qnn-context is made of onnx, and this target makes tflite",
        ),
        ("formats = []", "[models.net.targets.any]", r"targets.any.formats must be a list of texts that is not empty"),
        ('outputs = ["bundel"]', "[models.net.targets.any]", r"targets.any.outputs takes [\s\S]*mean bundle"),
        ('gates = "small"', "[models.net.targets.any]", r"targets.any.gates must be a table"),
        ('gates = { size = "150 apples" }', "[models.net.targets.any]", r"gates.size takes an amount"),
        ("gates = { coverage = 95 }", "[models.net.targets.any]", r"gates.coverage must be between 0 and 100 %"),
        (
            'gates = { device = "npu" }',
            "[models.net.targets.any]",
            r"device says more about coverage, which",
        ),
        ('versoin = "2"', 'name = "app"', r"project: unknown key 'versoin'[\s\S]*mean version"),
    ],
)
def test_a_wrong_line_is_told_with_file_and_key(tmp_path: Path, line: str, after: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        parse(with_lines(line, after=after), tmp_path)
    assert str(tmp_path / "edgeai.toml") in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMALLEST.replace("schema = 1", "schema = 2"), "schema must be 1"),
        (SMALLEST.replace("schema = 1", ""), "schema must be 1"),
        (SMALLEST.replace("schema = 1", "schema = true"), "schema must be 1"),
        (SMALLEST.replace('name = "app"', ""), "project.name is missing"),
        (SMALLEST.replace('source = "net.onnx"', ""), "models.net.source is missing"),
        (SMALLEST.replace("[models.net.targets.any]", ""), "models.net has no target"),
        ('schema = 1\n[project]\nname = "app"', "there is no model"),
        (SMALLEST.replace("models.net", 'models."../net"'), "a name is made of letters"),
        (SMALLEST + "[sign]", "sign.key is missing"),
        (SMALLEST + "[models.net.targets.Any]", "targets: any and Any would be one folder"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text, tmp_path)


def test_a_file_that_is_not_there_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        read_config(tmp_path / "edgeai.toml")
    (tmp_path / "edgeai.toml").write_text("schema = ")
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(find_config(tmp_path))


def test_metrics_are_those_that_there_are(tmp_path: Path) -> None:
    assert tuple(known_metrics) == METRICS
    model = parse(with_lines('metric = "scores:top3"', after='source = "net.onnx"'), tmp_path).models[0]
    assert model.metric == "scores:top3"


def test_what_editors_of_windows_write_is_read(tmp_path: Path) -> None:
    (tmp_path / "edgeai.toml").write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())
    assert read_config(tmp_path / "edgeai.toml").name == "app"


def test_exports_take_what_they_say_themselves() -> None:
    assert {name: (each.formats, each.precisions) for name, each in EXPORTERS.items()} == EXPORTS


def test_two_files_in_one_folder_have_a_lock_and_a_record_each(tmp_path: Path) -> None:
    configs = [parse_config(tomllib.loads(SMALLEST), file=tmp_path / name) for name in ("edgeai.toml", "release.toml")]
    assert [config.lock.name for config in configs] == ["edgeai.lock", "release.lock"]
    assert [config.record.name for config in configs] == [".edgeai-outputs.json", ".release-outputs.json"]


def test_the_example_is_read() -> None:
    config = read_config(EXAMPLE)
    assert [target.name for target in config.models[0].targets] == ["pi", "desktop"]


def test_every_key_that_the_starting_file_shows_can_be_used(tmp_path: Path) -> None:
    text = starter_text(project="app", model="net", source="net.onnx", data=None, device="rpi5")
    keys = [line.removeprefix("# ") for line in text.splitlines() if " = " in line or line.strip("# ").startswith("[")]
    config = parse("\n".join(keys), tmp_path)
    assert config.sign_key == "env:EDGEAI_KEY"
    assert config.models[0].budget.strict is True
    assert config.models[0].targets[0].gates.slower_limit == pytest.approx(0.05)


def test_the_starting_file_is_read_as_it_is(tmp_path: Path) -> None:
    text = starter_text(project="app", model="net", source="net.onnx", data="x.npz", device=None)
    config = parse(text, tmp_path)
    expected: Any = ("app", "1.0.0", str(tmp_path / "x.npz"), None)
    assert (config.name, config.version, config.models[0].data.data, config.sign_key) == expected
