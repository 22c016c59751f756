"""A model held against a device: each check fails for its reason, and names the step that mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgeai_devices.catalog import find_profile, read_profiles
from edgeai_devices.fit import check_fit, engine_of
from edgeai_devices.fit_report import FitCheck, FitReport, WayFit
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts, TensorLife
from edgeai_devices.profile import Memory, Profile
from edgeai_devices.profile_rules import Limit, Rules, SlowKernel
from edgeai_runtime.manifest import Format

KIB = 1024


def operator(name: str = "CONV_2D", **more: Any) -> OperatorFacts:
    return OperatorFacts(**{"name": name, "label": "y", "precision": "int8", "is_heavy": True, **more})


def model(*operators: OperatorFacts, peak: int = KIB, **more: Any) -> ModelFacts:
    lives = (TensorLife(name="a", size_bytes=peak, first_step=0, last_step=0),)
    given = {"format": "tflite", "operators": operators or (operator(),), "size_bytes": 10 * KIB, "tensors": lives}
    return ModelFacts(**{**given, **more})


def npu(**more: Any) -> Profile:
    """A board whose NPU takes convolutions in int8 and leaves the rest to the CPU."""
    rules = Rules(
        id="r", name="the NPU", applies_to=("vela",), vocabulary="tflite", otherwise="cpu", precisions=("int8",), **more
    )
    ethos = find_profile("ethos-u55-128")
    return replace(ethos, rules=(rules,))


def check(report: FitReport, name: str) -> FitCheck:
    return next(each for each in report.checks if each.name == name)


def only_way(report: FitReport) -> WayFit:
    assert len(report.ways) == 1
    return report.ways[0]


def test_a_small_int8_model_fits_a_microcontroller() -> None:
    report = check_fit(model(), find_profile("stm32u575"))

    assert report.ok
    assert [each.name for each in report.checks] == [
        "format",
        "precision",
        "shapes",
        "operators",
        "delegates",
        "flash",
        "ram",
    ]
    assert report.reasons == ()


@pytest.mark.parametrize(
    ("facts", "name", "mend"),
    [
        (model(format="onnx"), "format", "--to tflite"),
        (model(operator(precision="float16")), "precision", "makes int8"),
        (model(size_bytes=3000 * KIB), "flash", "--max-size 2097152"),
        (model(peak=800 * KIB), "ram", "a smaller input"),
        (model(operator(precision="float32"), peak=800 * KIB), "ram", "int8 needs a quarter"),
        (model(operator("RFFT2D")), "operators", "replace them"),
        (model(operator(precision="dynamic_int8")), "operators", "--precision int8"),
        (model(operator(is_unsigned=True)), "operators", "--precision int8"),
        (model(free=("x [1, ?, 8]",)), "shapes", "--shape NAME=SIZES"),
    ],
)
def test_what_does_not_fit_is_named_with_the_step_that_mends_it(facts: ModelFacts, name: str, mend: str) -> None:
    report = check_fit(facts, find_profile("stm32u575"))

    assert not report.ok
    assert not check(report, name).ok
    assert mend in check(report, name).mend


def test_what_follows_from_another_check_is_no_reason_of_its_own() -> None:
    report = check_fit(model(operator("RFFT2D")), find_profile("stm32u575"))

    assert not check(report, "delegates").ok
    assert [each.name for each in report.failed] == ["operators"]


def test_the_operator_at_which_memory_is_fullest_is_named() -> None:
    lives = tuple(TensorLife(name=str(i), size_bytes=100 * (i + 1), first_step=i, last_step=i) for i in range(3))
    operators = tuple(operator(label=f"layer{i}") for i in range(3))

    report = check_fit(model(*operators, tensors=lives), find_profile("stm32u575"))

    assert "'layer2' (operator 3 of 3)" in check(report, "ram").detail


def test_a_computer_is_checked_by_the_smallest_memory_it_is_sold_with() -> None:
    board = replace(find_profile("rpi4"), memory=Memory(ram_mib=(2, 1)))

    fits, does_not = (check_fit(model(size_bytes=size), board) for size in (1020 * KIB, 1030 * KIB))

    assert check(fits, "ram").ok
    assert not check(does_not, "ram").ok
    assert check(does_not, "ram").limit == 1024 * KIB


def test_memory_is_planned_by_the_customs_of_the_engine_that_runs_there() -> None:
    """On a microcontroller the input's memory is used again, in LiteRT it stays."""
    lives = (
        TensorLife(name="x", size_bytes=KIB, first_step=0, last_step=0, role="input"),
        TensorLife(name="a", size_bytes=KIB, first_step=0, last_step=1),
        TensorLife(name="b", size_bytes=KIB, first_step=1, last_step=1),
    )
    facts = model(operator(), operator(), tensors=lives)

    small, large = (check_fit(facts, find_profile(device)) for device in ("stm32u575", "rpi4"))
    assert engine_of("tflite", find_profile("ethos-u55-128")) == "micro"
    assert engine_of("tflite", find_profile("imx93")) == "litert"

    assert check(small, "ram").value == 2 * KIB
    assert check(large, "ram").value == 3 * KIB + facts.size_bytes


def test_without_a_plan_there_is_no_check_of_ram_and_the_reason_is_told() -> None:
    report = check_fit(model(tensors=(), unplanned="the shape of 'x' is not known"), find_profile("stm32u575"))

    assert "ram" not in {each.name for each in report.checks}
    assert any("the shape of 'x'" in note for note in report.notes)


def test_an_operator_that_an_accelerator_does_not_take_stays_on_the_cpu() -> None:
    report = check_fit(model(operator(), operator("TANH")), npu(allowed=("CONV_2D",)))

    assert report.ok
    assert only_way(report).coverage == 0.5
    assert only_way(report).left[0].operator == "TANH"
    assert "TANH stays on the CPU" in check(report, "accelerator").detail


def test_conversions_from_float_and_to_float_go_with_an_integer_boundary() -> None:
    facts = model(operator("QUANTIZE", precision="float32", is_heavy=False), operator())

    (left,) = only_way(check_fit(facts, npu())).left

    assert "--boundary int8" in left.mend


def test_an_accelerator_that_takes_nothing_is_no_fit() -> None:
    report = check_fit(model(operator("TANH"), operator("EXP")), npu(denied={"TANH": "too coarse", "EXP": "none"}))

    assert not check(report, "accelerator").ok
    assert "too coarse" in check(report, "accelerator").detail


def test_where_the_whole_model_must_pass_one_operator_is_enough_to_fail() -> None:
    report = check_fit(model(operator(), operator("TANH")), npu(allowed=("CONV_2D",)))
    strict = replace(npu(), rules=(replace(npu(allowed=("CONV_2D",)).rules[0], otherwise="error"),))

    assert report.ok
    assert not check_fit(model(operator(), operator("TANH")), strict).ok


@pytest.mark.parametrize(("value", "ok"), [((1, 3), True), ((3, 4), False), ((0, 3), False)])
def test_a_limit_holds_for_every_value_and_both_ends_are_allowed(value: tuple[int, ...], ok: bool) -> None:
    limit = Limit(property="stride", source="s", operators=("CONV_2D",), min=1, max=3, mend="two steps")
    facts = model(operator(values={"stride": value}), operator(label="z"))

    way = only_way(check_fit(facts, npu(limits=(limit,))))

    assert (way.coverage == 1.0) is ok
    assert ok or way.left[0].mend == "two steps"


def test_weights_that_are_computed_are_not_taken_where_they_must_be_stored() -> None:
    facts = model(operator(constant_weights=False), operator())

    assert only_way(check_fit(facts, npu(constant_weights=True))).coverage == 0.5
    assert only_way(check_fit(facts, npu())).coverage == 1.0


def test_names_of_another_format_are_not_held_against_rules() -> None:
    intel = find_profile("intel-lunar-lake")
    rules = replace(next(each for each in intel.rules if each.id == "openvino-npu"), allowed=("Conv",))
    facts = model(operator("Convolution"), format="openvino")

    ways = check_fit(facts, replace(intel, rules=(rules,))).ways

    assert next(way for way in ways if way.way == "openvino:npu").coverage == 1.0


def test_slow_kernels_and_conditions_are_told_and_fail_nothing() -> None:
    profile = npu(slow_kernels=(SlowKernel(reason="in software", source="s"),), conditions={"CONV_2D": "one dilation"})

    way = only_way(check_fit(model(), profile))

    assert way.eligible
    assert way.notes == ("CONV_2D: one dilation", "slow: CONV_2D: in software")


def test_a_free_batch_is_no_hindrance_where_the_stored_one_is_read() -> None:
    facts = model(free=("x [?, 8]",), only_batch_is_free=True)

    assert check_fit(facts, find_profile("stm32u575")).ok
    assert not check(check_fit(facts, find_profile("coral-usb")), "shapes").ok
    assert "--batch 1" in check(check_fit(facts, find_profile("coral-usb")), "shapes").mend


@pytest.mark.parametrize(("precision", "keeps"), [("int8", True), ("float32", False), ("dynamic_int8", False)])
def test_what_mends_an_int8_model_does_not_make_it_float(precision: Any, keeps: bool) -> None:
    facts = model(operator(precision=precision), free=("x [?, 8]",), only_batch_is_free=True)
    foreign = replace(facts, format="onnx")

    shapes = check(check_fit(facts, find_profile("coral-usb")), "shapes").mend
    format = check(check_fit(foreign, find_profile("coral-usb")), "format").mend

    assert [mend.endswith(" --precision int8") for mend in (shapes, format)] == [keeps, keeps]


@pytest.mark.parametrize(
    ("name", "device", "taken"),
    [("ethos-u", "ethos-u55-128", True), ("ethos-u", "coral-usb", False), ("edgetpu-custom-op", "coral-usb", True)],
)
def test_what_a_compiler_made_is_taken_by_its_accelerator_alone(name: str, device: str, taken: bool) -> None:
    report = check_fit(model(operator(name)), find_profile(device))

    assert report.ok is taken


@pytest.mark.parametrize("profile", read_profiles(), ids=lambda profile: profile.id)
def test_every_profile_judges_every_format_it_runs(profile: Profile) -> None:
    names: dict[Format, str] = {"tflite": "CONV_2D", "onnx": "Conv", "openvino": "Convolution"}

    reports = [check_fit(model(operator(names[each]), format=each), profile) for each in profile.formats]

    assert all(report.ok for report in reports)
    assert all(report.to_json()["ways"] for report in reports)


def test_the_document_has_the_documented_keys() -> None:
    document = check_fit(model(), find_profile("stm32u575")).to_json()

    assert set(document) == {"ok", "device", "verified", "checks", "ways", "notes"}
    assert set(document["checks"][0]) == {"name", "ok", "limit", "value", "detail", "mend"}
    assert set(document["ways"][0]) == {"way", "kind", "hardware", "eligible", "coverage", "left", "blocks", "notes"}
