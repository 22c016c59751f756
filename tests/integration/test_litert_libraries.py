"""LiteRT's delegates that are shared libraries: a real one compiled here, and what is said of those that are none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import PlacementError, UsageError

pytestmark = pytest.mark.litert

NO_DELEGATE = "int answer(void) { return 42; }"

#: Both functions are there, but no device is.
NO_DEVICE = """
typedef void (*report)(const char*);
void* tflite_plugin_create_delegate(char** keys, char** values, unsigned long n, report tell) {
  tell("no board is plugged in");
  return 0;
}
void tflite_plugin_destroy_delegate(void* delegate) {}
"""

#: A delegate that takes every ADD of two equal shapes, or with the option take=nothing none, and computes it. The
#: structures are those of LiteRT's C interface, as far as they are used.
ADDING = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
typedef int Status;
typedef struct { int size; int data[]; } Array;
typedef struct { int type; union { float* f; void* raw; } data; Array* dims;
  struct { float scale; int32_t zero; } params; int allocation_type; size_t bytes;
  const void* allocation; const char* name; void* delegate; int buffer_handle;
  bool data_is_stale, is_variable; struct { int type; void* params; } quantization; void* sparsity;
  const Array* dims_signature; } Tensor;
typedef struct { Array *inputs, *outputs, *intermediates, *temporaries; void *user_data, *builtin_data;
  const void* custom; int custom_size; void* delegate; bool side_effect; } Node;
typedef struct Context Context;
typedef struct { void* (*init)(Context*, const char*, size_t); void (*free)(Context*, void*);
  Status (*prepare)(Context*, Node*); Status (*invoke)(Context*, Node*); void* profile;
  int32_t builtin_code; const char* custom_name; int version; void *external, *async_kernel; uint64_t inplace;
} Operator;
typedef struct Delegate { void* data; Status (*Prepare)(Context*, struct Delegate*); void *copy_from, *copy_to, *drop;
  int64_t flags; void* opaque; } Delegate;
typedef struct { Delegate* delegate; Array *nodes_to_replace, *inputs, *outputs; } Partition;
struct Context { size_t tensors_size; Status (*GetExecutionPlan)(Context*, Array**); Tensor* tensors; void* impl;
  void *resize, *report, *add; Status (*GetNodeAndRegistration)(Context*, int, Node**, Operator**);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Operator, const Array*, Delegate*); };
enum { ADD = 0 };
static int take;
typedef struct { int left, right, out; } Sum;
static void* init(Context* c, const char* buffer, size_t n) {
  const Partition* p = (const Partition*)buffer;
  Sum* sum = malloc(sizeof(Sum));
  Node* node; Operator* r;
  c->GetNodeAndRegistration(c, p->nodes_to_replace->data[0], &node, &r);
  sum->left = node->inputs->data[0]; sum->right = node->inputs->data[1]; sum->out = node->outputs->data[0];
  return sum;
}
static void destroy(Context* c, void* sum) { free(sum); }
static Status prepare(Context* c, Node* node) { return 0; }
static Status invoke(Context* c, Node* node) {
  Sum* sum = node->user_data;
  Tensor* out = &c->tensors[sum->out];
  for (size_t i = 0; i < out->bytes / sizeof(float); i++)
    out->data.f[i] = c->tensors[sum->left].data.f[i] + c->tensors[sum->right].data.f[i];
  return 0;
}
static Status choose(Context* c, Delegate* delegate) {
  Array* plan;
  c->GetExecutionPlan(c, &plan);
  Array* chosen = malloc(sizeof(int) * (plan->size + 1));
  chosen->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node* node; Operator* r;
    c->GetNodeAndRegistration(c, plan->data[i], &node, &r);
    if (take && r->builtin_code == ADD) chosen->data[chosen->size++] = plan->data[i];
  }
  Operator mine = {.init = init, .free = destroy, .prepare = prepare, .invoke = invoke,
                             .custom_name = "Adding", .version = 1};
  Status status = c->ReplaceNodeSubsetsWithDelegateKernels(c, mine, chosen, delegate);
  free(chosen);
  return status;
}
void* tflite_plugin_create_delegate(char** keys, char** values, size_t n, void (*tell)(const char*)) {
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->Prepare = choose;
  take = 1;
  for (size_t i = 0; i < n; i++) if (!strcmp(keys[i], "take")) take = strcmp(values[i], "nothing") != 0;
  return delegate;
}
void tflite_plugin_destroy_delegate(void* delegate) { free(delegate); }
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network `y = relu(x · A) + relu(x · B)`, x [1, 4], y [1, 3]: one ADD behind what XNNPACK takes."""
    pytest.importorskip("ai_edge_litert")
    drawn = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    constants = [numpy_helper.from_array(drawn[i], name) for i, name in enumerate("ab")]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["m0"]),
        helper.make_node("Relu", ["m0"], ["r0"]),
        helper.make_node("MatMul", ["x", "b"], ["m1"]),
        helper.make_node("Relu", ["m1"], ["r1"]),
        helper.make_node("Add", ["r0", "r1"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model = shape_inference.infer_shapes(model)
    return emit_tflite(ir.serde.deserialize_model(model), tmp_path_factory.mktemp("network")).path


def build(folder: Path, source: str) -> str:
    """Compile a shared library and return its path."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler: apt-get install gcc")
    file, library = folder / "delegate.c", folder / "libdelegate.so"
    file.write_text(source)
    command = ["gcc", "-shared", "-fPIC", "-O1", str(file), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return str(library)


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library of a delegate that takes ADD."""
    return build(tmp_path_factory.mktemp("adding"), ADDING)


def open_on(network: Path, delegate: str, **options: str) -> Session:
    """Load the network."""
    return get_engine("litert").open(network, delegate=delegate, threads=1, options=options)


def run(session: Session, x: Any) -> Any:
    """Run and close."""
    result = session.run([x])[0]
    session.close()
    return result


X = np.random.default_rng(1).normal(size=(1, 4)).astype(np.float32)


@pytest.mark.parametrize(("delegate", "device"), [("litert:vx", "npu"), ("litert:external", "unknown")])
def test_a_librarys_delegate_takes_what_it_takes_and_the_report_says_which(
    network: Path, adding: str, delegate: str, device: str
) -> None:
    session = open_on(network, delegate, library=adding)
    operations = {one.op_type: one for one in session.placement().operations}

    assert (operations["ADD"].device, operations["ADD"].delegate) == (device, delegate)
    others = [one for kind, one in operations.items() if kind != "ADD"]
    assert {(one.device, one.delegate) for one in others} == {("cpu", "litert:xnnpack")}
    assert f"not taken by {delegate}" in others[0].reason
    np.testing.assert_allclose(run(session, X), run(open_on(network, "litert:reference"), X), atol=1e-6)


def test_a_batch_goes_through_a_library_in_chunks(network: Path, adding: str) -> None:
    x = np.concatenate([X, 2 * X, -X])
    expected = run(open_on(network, "litert:reference"), x)

    np.testing.assert_allclose(run(open_on(network, "litert:vx", library=adding), x), expected, atol=1e-6)


def test_a_library_that_takes_no_operation_is_refused_because_the_cpu_would_run_all(network: Path, adding: str) -> None:
    with pytest.raises(PlacementError, match=r"litert:vx takes none of the \d operations of model.tflite"):
        open_on(network, "litert:vx", library=adding, take="nothing")


def test_a_library_without_a_device_is_refused_in_its_own_words(network: Path, tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match=r"(?s)made no delegate: .*no board is plugged in"):
        open_on(network, "litert:ethosu", library=build(tmp_path, NO_DEVICE))


def test_a_library_that_is_no_delegate_is_named(network: Path, tmp_path: Path) -> None:
    library = build(tmp_path, NO_DELEGATE)
    with pytest.raises(
        PlacementError, match="not a LiteRT delegate: it has no tflite_plugin_create_delegate"
    ) as caught:
        open_on(network, "litert:teflon", library=library)
    assert library in caught.value.message
    assert "Mesa" in caught.value.hint


@pytest.mark.parametrize(
    ("delegate", "file", "source"),
    [
        ("litert:edgetpu", "libedgetpu.so.1", "libedgetpu1-std"),
        ("litert:qnn", "libQnnTFLiteDelegate.so", "Qualcomm"),
        ("litert:armnn", "libarmnnDelegate.so", "Arm NN"),
    ],
)
def test_a_missing_library_is_named_with_its_package(network: Path, delegate: str, file: str, source: str) -> None:
    with pytest.raises(PlacementError, match=f"needs the library {file}") as caught:
        open_on(network, delegate)
    assert source in caught.value.hint


def test_a_library_of_ones_own_has_to_be_named(network: Path) -> None:
    with pytest.raises(UsageError, match="needs the option library"):
        open_on(network, "litert:external")
