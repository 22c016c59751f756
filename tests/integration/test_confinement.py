"""What a confined child process cannot do any more, tried for real; and that the engines still work in one."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.errors import EngineError, ModelError
from edgeai_runtime.isolation import call_in_child, check_in_child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process give up so much")


def write(request: Mapping[str, Any]) -> None:
    Path(request["path"]).write_bytes(b"x" * request.get("size", 1))


def truncate(request: Mapping[str, Any]) -> None:
    with open(request["path"], "r+b") as file:
        file.truncate(0)


def start_program(request: Mapping[str, Any]) -> None:
    subprocess.run(["/bin/true"], check=True)


def connect(request: Mapping[str, Any]) -> None:
    socket.create_connection(("127.0.0.1", request["port"]), timeout=5)


def allocate(request: Mapping[str, Any]) -> None:
    np.ones(request["bytes"], np.uint8)


def spin(request: Mapping[str, Any]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    while True:
        pass


def read_limits(request: Mapping[str, Any]) -> dict[str, Any]:
    import resource

    return {"core": resource.getrlimit(resource.RLIMIT_CORE), "status": Path("/proc/self/status").read_text()}


@pytest.fixture
def in_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A function that calls one of the above in a confined child, or in one that is not."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "deeds.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    for name in ("cache", "tmp", "home"):
        (tmp_path / name).mkdir()

    def call(deed: Callable[..., object], *, confined: bool = True, **request: Any) -> dict[str, Any]:
        return call_in_child(f"deeds:{deed.__name__}", request, timeout_s=60, what="a deed", confined=confined)

    return call


def _given_up(in_child: Callable[..., dict[str, Any]], what: str) -> None:
    if what not in in_child(read_limits)["confined"]:
        pytest.skip(f"this system lets nobody give up its {what}")


def test_it_writes_to_the_cache_and_the_temporary_folder_alone(tmp_path: Path, in_child: Callable[..., Any]) -> None:
    _given_up(in_child, "files and programs")
    precious = tmp_path / "home" / "precious.txt"
    precious.write_text("mine")
    in_child(write, path=str(tmp_path / "cache" / "a"))
    in_child(write, path=str(tmp_path / "tmp" / "a"))
    for deed, path in ((write, tmp_path / "home" / "new.txt"), (write, precious), (truncate, precious)):
        with pytest.raises(EngineError, match="PermissionError"):
            in_child(deed, path=str(path))
    assert precious.read_text() == "mine"
    in_child(write, path=str(precious), confined=False)
    assert precious.read_text() == "x"


def test_it_starts_no_program(in_child: Callable[..., Any]) -> None:
    _given_up(in_child, "files and programs")
    in_child(start_program, confined=False)
    with pytest.raises(EngineError, match="PermissionError"):
        in_child(start_program)


def test_it_reaches_no_network(in_child: Callable[..., Any]) -> None:
    _given_up(in_child, "network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        in_child(connect, port=port, confined=False)
        with pytest.raises(EngineError, match=r"OSError|PermissionError"):
            in_child(connect, port=port)


def test_it_gets_no_more_memory_than_the_machine_has(in_child: Callable[..., Any]) -> None:
    _given_up(in_child, "memory")
    with pytest.raises(EngineError, match="MemoryError"):
        in_child(allocate, bytes=2**44)


def test_it_leaves_no_core_dump_and_gains_no_privilege(in_child: Callable[..., Any]) -> None:
    found = in_child(read_limits)
    assert found["core"] == [0, 0]
    assert "NoNewPrivs:\t1" in found["status"]
    assert {"core dumps", "processor time", "file size", "privileges"} <= set(found["confined"])


def test_a_child_that_computes_for_ever_is_ended_and_told_so(in_child: Callable[..., Any]) -> None:
    with pytest.raises(ModelError, match=r"crashed \(signal SIGXCPU\)") as caught:
        in_child(spin)
    assert "do not use this file" in caught.value.hint


@pytest.mark.onnxruntime
@pytest.mark.openvino
@pytest.mark.parametrize(("engine", "delegate"), [("onnxruntime", "onnxruntime:cpu"), ("openvino", "openvino:cpu")])
def test_an_engine_works_in_a_confined_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, delegate: str
) -> None:
    pytest.importorskip(engine)
    onnx = pytest.importorskip("onnx")
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", onnx.TensorProto.FLOAT, [1, 8])],
        [value("y", onnx.TensorProto.FLOAT, [1, 8])],
    )
    path = tmp_path / "relu.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    if engine == "openvino":
        import openvino

        openvino.save_model(openvino.convert_model(str(path)), str(tmp_path / "relu.xml"))
        path = tmp_path / "relu.xml"
    check_in_child(path, engine=engine, delegate=delegate, threads=2)
