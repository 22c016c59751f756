"""Entries of compiled artifacts: whole or not there, never another's, the oldest deleted first."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime import compiled_cache
from edgeai_runtime.compiled_cache import SIZE_VARIABLE, entry_key, open_session, read_entry, write_entry
from edgeai_runtime.engines.fake import FakeEngine, FakeSession, write_fake_model
from edgeai_runtime.engines.protocol import EngineInfo
from edgeai_runtime.errors import EngineError
from edgeai_runtime.manifest import FileEntry, TensorSpec, Variant

X = TensorSpec(name="x", shape=(None, 2), dtype="float32")
VARIANT = Variant(
    id="net",
    format="onnx",
    precision="float32",
    delegates=("fake:cpu",),
    files=(FileEntry(path="variants/net/model.onnx", sha256="0" * 64, size_bytes=1),),
    inputs=(X,),
    outputs=(X,),
)
DIGEST = "d" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class CompilingSession(FakeSession):
    """A fake session whose compiled form is its file's bytes."""

    def export(self) -> tuple[dict[str, Any], bytes]:
        """Return the file."""
        return {"from": self._path.name}, self._path.read_bytes()


class CompilingEngine(FakeEngine):
    """A fake engine that compiles, and notes how each session came to be."""

    def __init__(self, *, wrong: bool = False, refuses: bool = False) -> None:
        self.opened: list[str] = []
        self.wrong, self.refuses, self.version = wrong, refuses, "1"

    def info(self) -> EngineInfo:
        """Say the version."""
        return dataclasses.replace(super().info(), version=self.version)

    def open(self, path: Path, **arguments: Any) -> FakeSession:
        """Compile."""
        self.opened.append("open")
        return self._session(path, 3)

    def open_compiled(self, path: Path, info: Any, payload: Any, **arguments: Any) -> FakeSession:
        """Take what was compiled."""
        assert bytes(payload) == path.read_bytes()
        self.opened.append("compiled")
        if self.refuses:
            raise EngineError("of another make")
        return self._session(path, 2 if self.wrong else 3)

    def _session(self, path: Path, factor: int) -> FakeSession:
        return CompilingSession(path, {"factor": factor, "slow_s": 0}, "fake:cpu")


def _open(engine: CompilingEngine, path: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"delegate": "fake:cpu", "threads": 1, "options": {}, **changes}
    session = open_session(engine, path, VARIANT, DIGEST, **arguments)
    engine.opened.append("|")
    return session.run([np.ones((1, 2), np.float32)])[0]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A fake model."""
    return write_fake_model(tmp_path / "net.fake")


def test_the_second_load_takes_what_the_first_compiled(artifact: Path) -> None:
    engine = CompilingEngine()
    results = [_open(engine, artifact) for _ in range(2)]
    assert engine.opened == ["open", "compiled", "|", "compiled", "|"], "compiled, compared, and then used"
    np.testing.assert_array_equal(*results)


def test_what_computes_something_else_is_never_used(artifact: Path) -> None:
    engine = CompilingEngine(wrong=True)
    for _ in range(3):
        np.testing.assert_array_equal(_open(engine, artifact), [[3, 3]])
    assert engine.opened == ["open", "compiled", "|", "open", "|", "open", "|"], "tried once"


def test_an_entry_that_the_engine_refuses_is_made_again(artifact: Path) -> None:
    engine = CompilingEngine()
    _open(engine, artifact)
    engine.opened, engine.refuses = [], True
    np.testing.assert_array_equal(_open(engine, artifact), [[3, 3]])
    assert engine.opened[:2] == ["compiled", "open"]


def _key(engine: FakeEngine, **changes: Any) -> str:
    arguments: dict[str, Any] = {"delegate": "fake:cpu", "threads": 1, "options": {}, "variant": VARIANT, **changes}
    return entry_key(engine, arguments.pop("variant"), **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"delegate": "fake:gpu2:cpu"},
        {"threads": 2},
        {"options": {"a": "1"}},
        {"variant": dataclasses.replace(VARIANT, files=(FileEntry(path="m", sha256="1" * 64, size_bytes=1),))},
    ],
)
def test_anything_that_matters_makes_another_key(changes: dict[str, Any]) -> None:
    assert _key(FakeEngine(), **changes) != _key(FakeEngine())


def test_another_engine_version_makes_another_key() -> None:
    old, new = CompilingEngine(), CompilingEngine()
    new.version = "2"
    assert _key(old) != _key(new)


def test_another_processor_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _key(FakeEngine())
    monkeypatch.setattr(compiled_cache, "_processor", lambda: ["another"])
    assert _key(FakeEngine()) != before


def test_an_entry_comes_back_as_it_was_written(cache: Path) -> None:
    file = cache / "compiled" / "b" / "k.bin"
    write_entry(file, {"a": [1]}, b"payload")
    entry = read_entry(file)
    assert entry is not None
    assert (entry[0], bytes(entry[1])) == ({"a": [1]}, b"payload")


@pytest.mark.parametrize("fault", ["cut", "longer", "flipped", "no head", "empty"])
def test_a_damaged_entry_is_none_and_disappears(cache: Path, fault: str) -> None:
    file = cache / "compiled" / "b" / "k.bin"
    write_entry(file, {}, bytes(range(256)) * 40)
    content = bytearray(file.read_bytes())
    if fault == "cut":
        del content[-1:]
    elif fault == "longer":
        content += b"x"
    elif fault == "flipped":
        content[-5] ^= 1
    elif fault == "no head":
        content[0:1] = b"?"
    else:
        content.clear()
    file.write_bytes(content)
    assert read_entry(file) is None
    assert not file.exists()


def test_the_least_recently_used_entries_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "0.05")
    files = [cache / "compiled" / f"bundle{index}" / "k.bin" for index in range(4)]
    for age, file in enumerate(files):
        write_entry(file, {}, bytes(12000))  # three of these and their heads fit
        os.utime(file, (1000 + age, 1000 + age))
        if age == 2:
            os.utime(files[0], (5000, 5000))  # used lately
    assert [file.exists() for file in files] == [True, False, True, True]


def test_an_entry_above_the_limit_alone_is_kept_until_the_next(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "0.001")
    first, second = cache / "compiled" / "b" / "1.bin", cache / "compiled" / "b" / "2.bin"
    write_entry(first, {}, bytes(9000))
    assert first.exists()
    write_entry(second, {}, bytes(9000))
    assert (first.exists(), second.exists()) == (False, True)


def _write_often(file: Path, value: int) -> None:
    for _ in range(50):
        write_entry(file, {"value": value}, bytes([value]) * 20000)


def test_readers_see_whole_entries_while_processes_write(cache: Path) -> None:
    file = cache / "compiled" / "b" / "k.bin"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(file, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        entry = read_entry(file)
        if entry is not None:
            assert (entry[1] == entry[0]["value"]).all()
            seen += 1
    assert seen
    assert [writer.exitcode for writer in writers] == [0, 0]


def test_a_cache_that_can_not_be_written_does_not_matter(artifact: Path, cache: Path) -> None:
    cache.write_text("a file where the folder would be")
    np.testing.assert_array_equal(_open(CompilingEngine(), artifact), [[3, 3]])
