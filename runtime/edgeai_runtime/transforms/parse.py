"""Steps as one line of text, for the command line.

    steps      = step { ";" step }
    step       = operation [ ":" argument { ("," | ">") argument } ]
    argument   = [ name "=" ] value          without a name: the operation's next parameter
    value      = number | word | quoted | "[" value { "," value } "]"

Spaces around any part do not matter. Examples: `cast:float32`, `resize:224,224,method=nearest`, `layout:NHWC>NCHW`,
`normalize:mean=[123,116,103],std=[58,57,57]`, `softmax;labels:5`, `tokenize:words.txt,32,padding="[P]"`.
`quoted` is a word in double quotes, which may hold anything but a double quote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.pipeline import check_steps, suggest
from edgeai_runtime.transforms.table import OPERATIONS

MAX_CHARACTERS = 10_000
_SPECIAL = frozenset(",;>=[]")


def parse_steps(text: str) -> tuple[Step, ...]:
    """Return the checked steps that `text` describes; an empty text is no steps.

    Raises:
        UsageError: names the part that cannot be read, and the nearest operation or parameter.

    Example:
        >>> parse_steps("layout:NHWC>NCHW")
        (Step(op='layout', params={'from': 'NHWC', 'to': 'NCHW'}),)
    """
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"steps have {len(text)} characters, more than {MAX_CHARACTERS}")
    parts = list(_split(text, text, ";")) if text.strip() else []
    if parts and not parts[-1]:
        parts.pop()
    steps = tuple(_parse_step(part, text) for part in parts)
    check_steps(steps)
    return steps


def format_steps(steps: tuple[Step, ...]) -> str:
    """Return the text that `parse_steps` reads back as `steps`.

    Example:
        >>> format_steps((Step(op="crop", params={"height": 2, "width": 3}),))
        'crop:height=2,width=3'
    """
    return ";".join(
        step.op
        + (":" if step.params else "")
        + ",".join(f"{name}={_text(value)}" for name, value in step.params.items())
        for step in steps
    )


def _parse_step(part: str, text: str) -> Step:
    name, colon, rest = (piece.strip() for piece in part.partition(":"))
    if name not in OPERATIONS:
        raise UsageError(
            f"there is no operation {name[:80]!r} in the steps {text[:120]!r}", hint=suggest(name, OPERATIONS)
        )
    if colon and not rest:
        raise UsageError(
            f"nothing stands behind the colon of {part[:80]!r}", hint="Leave the colon out, or add parameters."
        )
    order = [parameter.name for parameter in OPERATIONS[name].parameters]
    params: dict[str, Any] = {}
    named = False
    for position, argument in enumerate(_split(rest, part, ",>") if rest else ()):
        key, equals, value = (piece.strip() for piece in argument.partition("=" if argument[:1] != '"' else "\0"))
        if equals:
            named = True
        elif named:
            raise UsageError(f"{part[:80]!r}: {argument[:40]!r} needs a name, as the parameter before it has one")
        elif position >= len(order):
            raise UsageError(f"{part[:80]!r}: {name!r} takes {len(order)} parameters: {', '.join(order) or 'none'}")
        else:
            key, value = order[position], argument
        if key not in order:
            raise UsageError(f"{part[:80]!r}: {name!r} has no parameter {key[:40]!r}", hint=suggest(key, order))
        if key in params:
            raise UsageError(f"{part[:80]!r}: the parameter {key!r} stands twice")
        params[key] = _value(value, part)
    return Step(op=name, params=params)


def _split(text: str, part: str, separators: str) -> Iterator[str]:
    """Yield what stands between the separators that are not inside brackets or quotes."""
    depth = start = 0
    quoted = False
    for position, character in enumerate(text):
        quoted ^= character == '"'
        if quoted:
            continue
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            raise UsageError(f"{part[:80]!r}: brackets do not match; a list is [1,2,3], without lists in it")
        if depth == 0 and character in separators:
            yield text[start:position].strip()
            start = position + 1
    if quoted:
        raise UsageError(f"{part[:80]!r}: a quote is not closed", hint='A word in quotes is "like this".')
    if depth:
        raise UsageError(f"{part[:80]!r}: a bracket is not closed", hint="A list is [1,2,3].")
    yield text[start:].strip()


def _value(text: str, part: str) -> Any:
    if not text:
        raise UsageError(f"{part[:80]!r}: a value is missing")
    if text.startswith("[") and text.endswith("]"):
        return [_value(item, part) for item in _split(text[1:-1], part, ",")]
    if text[0] == text[-1] == '"' and text.count('"') == 2:
        return text[1:-1]
    if any(character in text for character in "[]=\"'"):
        raise UsageError(
            f"{part[:80]!r}: {text[:40]!r} is no value", hint="A value is a number, a word, or a list [1,2,3]."
        )
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, str) and (not value or set(value) & _SPECIAL or value != value.strip() or _is_number(value)):
        return f'"{value}"'
    return str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
