"""Keys of steps: a change redoes what depends on it and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tomllib

from edgeai.builder.config_read import parse_config
from edgeai.builder.digests import Digests
from edgeai.builder.inputs import input_files
from edgeai.builder.plan import compress_step, later_steps, search_step
from edgeai_converters.recipe import Recipe
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step

FILE = """
schema = 1
[project]
name = "app"
version = "1"
[models.net]
source = "net.onnx"
data = "x.npz"
preprocess = "scale:factor=0.5"
[models.net.targets.any]
device = "esp32-s3"
formats = ["tflite"]
precisions = ["int8"]
outputs = ["bundle", "c"]
[models.net.targets.any.gates]
size = "150KB"
[sign]
key = "release.key"
"""
RECIPES = (Recipe(format="tflite", precision="float16", steps=(Step(op="store_float16"), Step(op="emit"))),)
ALL = {"search", "compress", "bundle", "check", "export:c", "gate", "sign"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("net.onnx", b"net"), ("x.npz", b"x"), ("release.key", b"-----BEGIN")):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def keys(folder: Path, text: str = FILE, recipes: tuple[Recipe, ...] = RECIPES) -> dict[str, str]:
    config = parse_config(tomllib.loads(text), file=folder / "edgeai.toml")
    digests, model = Digests(folder / ".edgeai" / "digests.json"), config.models[0]
    target = model.targets[0]
    search = search_step(model, target, root=folder, digests=digests)
    compress = compress_step(search, recipes)
    steps = (search, compress, *later_steps(config, model, target, compress, digests=digests))
    return {step.name: step.digest for step in steps}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("old", "new", "steps"),
    [
        ('version = "1"', 'version = "2"', ALL - {"search", "compress"}),
        ('size = "150KB"', 'size = "100KB"', {"gate"}),
        ('outputs = ["bundle", "c"]', 'outputs = ["bundle"]', {"export:c"}),
        ("factor=0.5", "factor=0.25", ALL),
        ('name = "app"', 'name = "other"', set()),
        ('device = "esp32-s3"', 'device = "stm32h743"', ALL),
        ("[sign]", '[encrypt]\nkey = "release.key"\n[sign]', {"encrypt", "sign"}),
    ],
)
def test_a_changed_line_redoes_what_depends_on_it(folder: Path, old: str, new: str, steps: set[str]) -> None:
    assert changed(keys(folder), keys(folder, FILE.replace(old, new))) == steps


@pytest.mark.parametrize(
    ("outputs", "steps"),
    [
        ('["bundle", "c", "ios"]', {"export:ios"}),
        ('["bundle"]', {"export:c"}),
        ('["bundle", "c", "ethos-u"]', {"compile:ethos-u", "bundle", "export:c", "gate", "sign"}),
    ],
)
def test_another_output_makes_that_alone_unless_the_bundle_tells_of_it(
    folder: Path, outputs: str, steps: set[str]
) -> None:
    text = FILE.replace('device = "esp32-s3"\n', "")
    assert changed(keys(folder, text), keys(folder, text.replace('["bundle", "c"]', outputs))) == steps


@pytest.mark.parametrize(
    ("file", "steps"), [("net.onnx", ALL), ("x.npz", ALL), ("release.key", {"sign"}), ("unrelated.txt", set())]
)
def test_a_changed_file_redoes_what_depends_on_it(folder: Path, file: str, steps: set[str]) -> None:
    before = keys(folder)
    (folder / file).write_bytes(b"-----BEGIN other content")
    assert changed(before, keys(folder)) == steps


def test_other_labels_are_put_into_the_bundle_and_nothing_is_searched_for_them(folder: Path) -> None:
    text = FILE.replace('data = "x.npz"', 'data = "x.npz"\nlabels = "names.txt"')
    (folder / "names.txt").write_text("one")
    before = keys(folder, text)
    (folder / "names.txt").write_text("eins")
    assert changed(before, keys(folder, text)) == ALL - {"search", "compress"}


def test_another_recipe_redoes_all_but_the_search(folder: Path) -> None:
    other = (Recipe(format="tflite", precision="float32", steps=(Step(op="emit"),)),)
    assert changed(keys(folder), keys(folder, recipes=other)) == ALL - {"search"}


def test_keys_are_the_same_in_another_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("net.onnx", "x.npz", "release.key"):
        os.link(folder / name, other / name)
    assert keys(folder) == keys(other)


def test_a_changed_profile_of_the_device_redoes_everything(folder: Path) -> None:
    from edgeai_devices.catalog import find_profile
    from edgeai_devices.profile_toml import profile_to_toml

    before = keys(folder)
    (folder / "devices").mkdir()
    text = profile_to_toml(find_profile("esp32-s3"), head="ours")
    (folder / "devices" / "esp32-s3.toml").write_text(text.replace("cores = 2", "cores = 1"))
    assert changed(before, keys(folder)) == ALL


def test_files_beside_a_source_that_hold_its_weights_belong_to_it(folder: Path) -> None:
    before = keys(folder)
    (folder / "net.onnx.data").write_bytes(b"weights")
    assert changed(before, keys(folder)) == ALL


def test_images_that_a_table_names_belong_to_the_data(folder: Path) -> None:
    (folder / "labels.csv").write_text("a.png,0\nb.png,1\n")
    (folder / "a.png").write_bytes(b"a")
    (folder / "b.png").write_bytes(b"b")
    text = FILE.replace("x.npz", "labels.csv")
    before = keys(folder, text)
    (folder / "b.png").write_bytes(b"other")
    assert changed(before, keys(folder, text)) == ALL


@pytest.mark.parametrize("name", ["loader:load", "loader.py:load"])
def test_the_module_of_a_function_and_what_it_depends_on_belong_to_the_data(folder: Path, name: str) -> None:
    (folder / "loader.py").write_text("def load(): ...")
    (folder / "records").mkdir()
    (folder / "records" / "1.bin").write_bytes(b"1")
    text = FILE.replace('data = "x.npz"', f'data = "{name}"\ndepends = ["records"]')
    first = keys(folder, text)
    (folder / "records" / "1.bin").write_bytes(b"one")
    second = keys(folder, text)
    (folder / "loader.py").write_text("def load(): return 1")
    assert (changed(first, second), changed(second, keys(folder, text))) == (ALL, ALL)


@pytest.mark.parametrize(
    ("gate", "steps"),
    [
        ('latency = "50%"', {"measure", "gate"}),
        ('memory = "64MB"', {"measure", "gate"}),
        ('not_slower_than = "net.onnx"', {"gate"}),
        ('size = "100KB"', set()),
    ],
)
def test_another_machine_redoes_what_was_measured_and_no_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gate: str, steps: set[str]
) -> None:
    text = FILE.replace('size = "150KB"', gate)
    before = keys(folder, text)
    monkeypatch.setattr("edgeai.builder.plan.describe_machine", lambda: {"cpu": "another"})
    assert changed(before, keys(folder, text)) == steps


@pytest.mark.parametrize(("output", "again"), [("bundle", False), ("qnn-context", True)])
def test_a_batch_that_is_fixed_for_an_output_belongs_to_the_search(folder: Path, output: str, again: bool) -> None:
    text = (
        FILE.replace("esp32-s3", "qcs6490").replace('["tflite"]', '["onnx"]').replace('["bundle", "c"]', '["bundle"]')
    )
    found = changed(keys(folder, text), keys(folder, text.replace('["bundle"]', f'["{output}"]')))
    assert ("search" in found) is again


def test_a_file_that_is_not_there_is_told_with_its_key(folder: Path) -> None:
    (folder / "x.npz").unlink()
    config = parse_config(tomllib.loads(FILE), file=folder / "edgeai.toml")
    with pytest.raises(UsageError, match=r"models\.net\.data: there is no file .*x\.npz"):
        input_files(config.models[0], folder)
