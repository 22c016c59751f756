"""A build as SARIF, JUnit and Markdown: what is broken is there with its reason, and stands where it was asked for."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeai.builder.build_result import BuildResult, StepOutcome, TargetOutcome
from edgeai.builder.gate_result import GateResult, TargetResult
from edgeai.report.build_junit import build_junit
from edgeai.report.build_summary import build_summary
from edgeai.report.sarif import build_sarif
from edgeai.report.toml_lines import find_line
from edgeai_runtime.errors import ModelError

TOML = """\
schema = 1

[project]
name = "app"

[models.net]
source = "net.onnx"

[models.net.targets.pi]
device = "rpi5"

[models.net.targets.pi.gates]
size = "1KB"
"latency" = "60%"

[models.net.targets.pc]
gates.accuracy = "certified"

[models.other]
source = "other.onnx"
"""

ROOT = Path("/project")


def build_document() -> dict[str, Any]:
    """Return the document: `net/pi` breaks two gates, `net/pc` is up to date, a step of `other/pc` failed."""
    return BuildResult(
        file=ROOT / "edgeai.toml",
        name="app|x",
        version="1.0.0",
        targets=(_broken(), _ready(), _failed()),
        lock_written=True,
        duration_s=3.5,
    ).to_json()


def _broken() -> TargetOutcome:
    gates = (
        _gate("size", False, 1000, 2000, "net has 2000 bytes, 1000 are allowed"),
        _gate("latency", False, 0.6, None, "net: the latency was not measured \x00"),
        _gate("memory", True, 32.0, 8.25, "net takes 8.2 MiB"),
        _gate("not_slower_than", True, "/project/releases/old.edge", 1.0, "the same"),
    )
    steps = (
        StepOutcome(name="compress", kind="compress", status="made", why=("not made yet",), duration_s=2.0),
        StepOutcome(name="gate", kind="gate", status="made", duration_s=1.0),
        StepOutcome(name="sign", kind="sign", status="skipped"),
    )
    return _outcome("pi", steps, gates=gates, device="rpi5")


def _ready() -> TargetOutcome:
    folder = ROOT / "build" / "net" / "pc"
    made = TargetResult(
        model="net",
        target="pc",
        device=None,
        artifacts=(folder / "net.edge",),
        bundle=folder / "net.edge",
        candidates=(),
        report=folder / "report.json",
        document={},
    )
    steps = (StepOutcome(name="compress", kind="compress", status="up to date"),)
    return _outcome("pc", steps, made=made)


def _failed() -> TargetOutcome:
    steps = (
        StepOutcome(name="compress", kind="compress", status="failed", duration_s=0.5),
        StepOutcome(name="bundle", kind="bundle", status="skipped"),
    )
    error = ModelError("The model <net> cannot be read.", hint="Write it again.")
    return _outcome("pc", steps, model="other", error=error)


def _outcome(target: str, steps: tuple[StepOutcome, ...], *, model: str = "net", **more: Any) -> TargetOutcome:
    folder = ROOT / "build" / model / target
    return TargetOutcome(**{"model": model, "target": target, "device": None, "folder": folder, "steps": steps, **more})


def _gate(name: str, ok: bool, limit: float | str, value: float | str | None, reason: str) -> GateResult:
    return GateResult(name=name, ok=ok, limit=limit, value=value, reason=reason, where="net/pi")


REQUIRED = {
    "": ("version", "runs"),
    "runs[]": ("tool",),
    "runs[].tool": ("driver",),
    "runs[].tool.driver": ("name",),
    "runs[].tool.driver.rules[]": ("id",),
    "runs[].tool.driver.rules[].shortDescription": ("text",),
    "runs[].tool.driver.rules[].fullDescription": ("text",),
    "runs[].tool.driver.rules[].help": ("text",),
    "runs[].invocations[]": ("executionSuccessful",),
    "runs[].results[]": ("message",),
    "runs[].results[].message": ("text",),
    "runs[].results[].locations[].physicalLocation": ("artifactLocation",),
    "runs[].results[].locations[].physicalLocation.region": ("startLine",),
}
"""Members that the schema of SARIF 2.1.0 requires, and GitHub: those of objects that we write."""

ALLOWED = {
    "": "$schema version runs inlineExternalProperties properties",
    "runs[]": "tool invocations conversion language versionControlProvenance originalUriBaseIds artifacts "
    "logicalLocations graphs results automationDetails runAggregates baselineGuid redactionTokens defaultEncoding "
    "defaultSourceLanguage newlineSequences columnKind externalPropertyFileReferences threadFlowLocations taxonomies "
    "addresses translations policies webRequests webResponses specialLocations properties",
    "runs[].tool": "driver extensions properties",
    "runs[].tool.driver": "guid name organization product productSuite shortDescription fullDescription fullName "
    "version semanticVersion dottedQuadFileVersion releaseDateUtc downloadUri informationUri globalMessageStrings "
    "notifications rules taxa locations language contents isComprehensive localizedDataSemanticVersion "
    "minimumRequiredLocalizedDataSemanticVersion associatedComponent translationMetadata supportedTaxonomies "
    "properties",
    "runs[].tool.driver.rules[]": "id deprecatedIds guid deprecatedGuids name deprecatedNames shortDescription "
    "fullDescription messageStrings defaultConfiguration helpUri help relationships properties",
    "runs[].tool.driver.rules[].defaultConfiguration": "enabled level rank parameters properties",
    "runs[].automationDetails": "description id guid correlationGuid properties",
    "runs[].invocations[]": "commandLine arguments responseFiles startTimeUtc endTimeUtc exitCode "
    "ruleConfigurationOverrides notificationConfigurationOverrides toolExecutionNotifications "
    "toolConfigurationNotifications exitCodeDescription exitSignalName exitSignalNumber processStartFailureMessage "
    "executionSuccessful machine account processId executableLocation workingDirectory environmentVariables stdin "
    "stdout stderr stdoutStderr properties",
    "runs[].results[]": "ruleId ruleIndex rule kind level message analysisTarget locations guid correlationGuid "
    "occurrenceCount partialFingerprints fingerprints stacks codeFlows graphs graphTraversals relatedLocations "
    "suppressions baselineState rank attachments hostedViewerUri workItemUris provenance fixes taxa webRequest "
    "webResponse properties",
    "runs[].results[].message": "text markdown id arguments properties",
    "runs[].results[].locations[]": "id physicalLocation logicalLocations message annotations relationships properties",
    "runs[].results[].locations[].physicalLocation": "address artifactLocation region contextRegion properties",
    "runs[].results[].locations[].physicalLocation.artifactLocation": "uri uriBaseId index description properties",
    "runs[].results[].locations[].physicalLocation.region": "startLine startColumn endLine endColumn charOffset "
    "charLength byteOffset byteLength snippet message sourceLanguage properties",
    "runs[].results[].locations[].logicalLocations[]": "name index fullyQualifiedName decoratedName parentIndex kind "
    "properties",
}
"""All members of these objects: the schema allows no others."""


def _objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every object of a document with its path; lists are `[]`."""
    if isinstance(value, dict):
        yield path, value
        for name, member in value.items():
            yield from _objects(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for member in value:
            yield from _objects(member, f"{path}[]")


def _sarif(**options: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(build_sarif(build_document(), **options))
    return document


@pytest.mark.parametrize("path", REQUIRED)
def test_sarif_has_the_members_that_its_schema_requires(path: str) -> None:
    found = [value for where, value in _objects(_sarif()) if where == path]
    assert found
    assert [value for value in found if not set(REQUIRED[path]) <= set(value)] == []


@pytest.mark.parametrize("path", ALLOWED)
def test_sarif_has_no_members_that_its_schema_does_not_know(path: str) -> None:
    found = [value for where, value in _objects(_sarif()) if where == path]
    assert found
    assert [set(value) - set(ALLOWED[path].split()) for value in found if set(value) - set(ALLOWED[path].split())] == []


def test_sarif_has_a_result_per_broken_gate_and_failed_step_at_the_line_of_its_key() -> None:
    (run,) = _sarif(uri="app folder/edgeai.toml", text=TOML)["runs"]
    lines = TOML.splitlines()
    found = []
    for result in run["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "app%20folder/edgeai.toml"
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        found.append((result["ruleId"], lines[place["region"]["startLine"] - 1], result["message"]["text"]))
    assert found == [
        ("edgeai/size", 'size = "1KB"', "net/pi: net has 2000 bytes, 1000 are allowed"),
        ("edgeai/latency", '"latency" = "60%"', "net/pi: net: the latency was not measured \x00"),
        (
            "edgeai/step-failed",
            "[models.other]",
            "other/pc: compress: The model <net> cannot be read. Write it again.",
        ),
    ]
    assert run["invocations"] == [{"executionSuccessful": False}]


def test_a_gate_that_no_rule_is_known_for_gets_one() -> None:
    document = build_document()
    document["targets"][0]["gates"][0]["name"] = "new_gate"
    (run,) = json.loads(build_sarif(document))["runs"]
    assert run["tool"]["driver"]["rules"][run["results"][0]["ruleIndex"]]["id"] == "edgeai/new_gate"


def test_a_finding_keeps_its_fingerprint_when_its_figures_change() -> None:
    document = build_document()
    before = json.loads(build_sarif(document))["runs"][0]["results"]
    document["targets"][0]["gates"][0] |= {"value": 3000, "reason": "net has 3000 bytes"}
    after = json.loads(build_sarif(document))["runs"][0]["results"]
    assert [one["partialFingerprints"] for one in before] == [one["partialFingerprints"] for one in after]
    assert len({str(one["partialFingerprints"]) for one in before}) == len(before)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("models", "net", "targets", "pi", "gates", "size"), 'size = "1KB"'),
        (("models", "net", "targets", "pi", "gates", "memory"), "[models.net.targets.pi.gates]"),
        (("models", "net", "targets", "pc", "gates", "accuracy"), 'gates.accuracy = "certified"'),
        (("models", "net", "targets", "tv", "gates"), "[models.net]"),
        (("sign", "key"), "schema = 1"),
    ],
)
def test_a_key_is_found_or_else_the_nearest_table_around_it(path: tuple[str, ...], line: str) -> None:
    assert TOML.splitlines()[find_line(TOML, path) - 1] == line


def test_junit_has_a_suite_per_target_and_a_case_per_step_and_gate() -> None:
    root = ET.fromstring(build_junit(build_document()))
    assert root.attrib == {
        "name": "edgeai build app|x 1.0.0",
        "tests": "10",
        "failures": "2",
        "errors": "1",
        "skipped": "2",
        "time": "3.500",
    }
    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [
        ("net/pi", "7"),
        ("net/pc", "1"),
        ("other/pc", "2"),
    ]
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    failure = cases["edgeai.build.net.pi", "gate size"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == (
        "net has 2000 bytes, 1000 are allowed",
        "net has 2000 bytes, 1000 are allowed\nlimit: 1000\nvalue: 2000",
    )
    error = cases["edgeai.build.other.pc", "step compress"].find("error")
    assert error is not None
    assert (error.get("type"), error.text) == ("ModelError", "The model <net> cannot be read.\nWrite it again.")
    assert cases["edgeai.build.net.pi", "step sign"].find("skipped") is not None


def test_an_error_before_any_step_is_a_case_of_its_own() -> None:
    document = build_document()
    document["targets"][2]["steps"] = []
    root = ET.fromstring(build_junit(document))
    assert [case.get("name") for case in root[2]] == ["build"]
    assert root.get("errors") == "1"


def test_the_summary_says_what_went_wrong_before_all_figures() -> None:
    text = build_summary(build_document())
    lines = text.splitlines()
    assert lines[0] == "# app\\|x 1.0.0: 2 of 3 targets failed"
    assert "- other/pc, compress: The model &lt;net> cannot be read. Write it again." in lines
    assert "| net/pi | rpi5 | **gate broken** | 2 of 4 | 2 of 3 | 3 s | – |" in lines
    assert "| net/pc | – | up to date | – | 0 of 1 | – | `build/net/pc/net.edge` |" in lines
    verdicts = [line for line in lines if re.match(r"\| net/pi \| [a-z\\_]+ \| (holds|\*)", line)]
    assert verdicts == [
        "| net/pi | size | **broken** | net has 2000 bytes, 1000 are allowed |",
        "| net/pi | latency | **broken** | net: the latency was not measured \x00 |",
        "| net/pi | memory | holds | net takes 8.2 MiB |",
        "| net/pi | not\\_slower\\_than | holds | the same |",
    ]
    assert lines[-1] == "`edgeai.lock` was written: commit it."


def test_what_a_step_tells_is_in_the_summary_and_in_junit() -> None:
    document = build_document()
    document["targets"][1]["steps"][0]["notes"] = ["the batch of x is fixed to 1"]
    where = f"{document['targets'][1]['model']}/{document['targets'][1]['target']}"
    assert f"- {where}, compress: the batch of x is fixed to 1" in build_summary(document)
    assert "the batch of x is fixed to 1" in build_junit(document)


def test_the_summary_of_a_build_that_is_ready_has_no_word_of_failure() -> None:
    document = build_document()
    document["targets"] = document["targets"][1:2]
    text = build_summary(document)
    assert text.startswith("# app\\|x 1.0.0: 1 of 1 targets are ready\n")
    assert "failed" not in text
    assert "broken" not in text
