"""The errors of edgeai: one tree, each with a hint that says how to go on.

    EdgeAIError
    ├── UsageError                     an argument or option makes no sense (command line: exit 2)
    ├── ModelError                     a model file cannot be read, converted or run
    │   ├── UnsupportedOperationError  an operation that a format or an engine does not have
    │   └── ParityError                a conversion whose outputs differ from its source
    ├── DataError                      samples of the wrong shape, type or number; NaN; labels out of range
    ├── BundleError                    a bundle that is incomplete or makes no sense
    │   ├── IntegrityError             a digest that does not match, a path that escapes
    │   ├── SchemaError                a manifest written by another version
    │   └── SignatureError             unsigned, signed by a stranger, or older than a policy allows
    ├── EngineError                    an engine failed while it loaded or ran a model
    │   ├── MissingEngineError         an engine or package that is not installed
    │   └── BusyError                  a queue that stayed full
    ├── PlacementError                 the hardware that was asked for cannot be used
    ├── BudgetError                    a limit set by the user is broken
    └── OutputError                    a result cannot be written (exists already, disk full, no permission)

Every message says what happened and where; `hint` says how to go on.
"""

from __future__ import annotations


class EdgeAIError(Exception):
    """Base of all errors that edgeai raises on purpose.

    Args:
        message: what happened, with the value received, and where (file, layer, tensor).
        hint: how to go on, as one sentence or command; empty when nothing useful can be said.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message

    def to_json(self) -> dict[str, str]:
        """Return the object that stands under `error` in `--json` output."""
        return {"type": type(self).__name__, "message": self.message, "hint": self.hint}


class UsageError(EdgeAIError):
    """An argument or option makes no sense."""


class ModelError(EdgeAIError):
    """A model file cannot be read, converted or run."""


class UnsupportedOperationError(ModelError):
    """An operation that the format or the engine does not have; the message names the nodes."""


class ParityError(ModelError):
    """A conversion whose outputs differ from its source by more than the stated tolerance."""


class DataError(EdgeAIError):
    """Samples of the wrong shape, type or number, NaN values, or labels out of range."""


class BundleError(EdgeAIError):
    """A bundle that is incomplete or makes no sense."""


class IntegrityError(BundleError):
    """A member whose digest or size does not match the manifest, or a path that escapes the bundle."""


class SchemaError(BundleError):
    """A manifest whose schema this version does not read."""


class SignatureError(BundleError):
    """A bundle that is unsigned, signed with a key that is not trusted, or older than a policy allows."""


class EngineError(EdgeAIError):
    """An engine failed while it loaded or ran a model."""


class MissingEngineError(EngineError):
    """An engine or package that is not installed; the hint is the pip line that mends it."""


class BusyError(EngineError):
    """A queue of calls that stayed full: more come in than the model can run."""


class PlacementError(EdgeAIError):
    """The hardware that was asked for cannot be used; the message lists why, delegate by delegate."""


class BudgetError(EdgeAIError):
    """A limit set by the user is broken."""


class OutputError(EdgeAIError):
    """A result cannot be written: the file exists, the disk is full, or there is no permission."""
