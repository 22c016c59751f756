"""The exports and what each can take. A new one is a module with a function and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from edgeai_devices.profile_rules import Export
from edgeai_runtime.manifest import PRECISIONS, Format, Precision

if TYPE_CHECKING:
    from edgeai.exporting.made import Made
    from edgeai.exporting.subject import Subject
    from edgeai_devices.profile import Profile


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where an export is to run.

    Attributes:
        profile: the device, when one was named.
    """

    profile: Profile | None = None


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One export.

    Attributes:
        name: the word of the command line.
        function: where it is, as `module:function`; called with the subject and the target.
        runs_on: what runs it, in words.
        formats: what it takes.
        precisions: what the engine on the other side computes in.
    """

    name: Export
    function: str
    runs_on: str
    formats: tuple[Format, ...]
    precisions: tuple[Precision, ...]

    def load(self) -> Callable[[Subject, Target], Made]:
        """Import the exporter's function."""
        module, _, name = self.function.partition(":")
        loaded: Callable[[Subject, Target], Made] = getattr(import_module(module), name)
        return loaded


EXPORTERS: dict[str, Exporter] = {
    "c": Exporter(
        name="c",
        function="edgeai.exporting.c_sources:make_c",
        runs_on="TensorFlow Lite for Microcontrollers",
        formats=("tflite",),
        precisions=("int8", "int16x8", "float32"),
    ),
    "android": Exporter(
        name="android",
        function="edgeai.exporting.android:make_android",
        runs_on="LiteRT on Android",
        formats=("tflite",),
        precisions=PRECISIONS,
    ),
    "ios": Exporter(
        name="ios",
        function="edgeai.exporting.ios:make_ios",
        runs_on="LiteRT on iOS",
        formats=("tflite",),
        precisions=PRECISIONS,
    ),
}
