"""The outermost fields of a protobuf message, read without knowing its schema: enough to tell kinds of files apart."""

from __future__ import annotations

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""


def scan_fields(content: bytes) -> dict[int, int] | None:
    """Return the numbers of the message's fields and their wire types; `None` when it is no whole message."""
    fields: dict[int, int] = {}
    position = 0
    while position < len(content):
        field = _read_field(content, position)
        if field is None or fields.get(field[0], field[1]) != field[1]:
            return None
        fields[field[0]] = field[1]
        position = field[3]
    return fields


def first_field(content: bytes) -> bytes | None:
    """Return the bytes of the first field, when it is a string or a message; else `None`."""
    field = _read_field(content, 0)
    return content[field[2] : field[3]] if field is not None and field[1] == BYTES else None


def _read_field(content: bytes, position: int) -> tuple[int, int, int, int] | None:
    """Return the number and wire type of a field, and where its value begins and ends."""
    tag = _read_varint(content, position)
    if tag is None or tag[0] >> 3 == 0:
        return None
    number, kind, start = tag[0] >> 3, tag[0] & 7, tag[1]
    if kind == VARINT:
        value = _read_varint(content, start)
        end = value[1] if value is not None else None
    elif kind == BYTES:
        size = _read_varint(content, start)
        start, end = (size[1], size[1] + size[0]) if size is not None else (start, None)
    else:
        end = {FIXED64: start + 8, FIXED32: start + 4}.get(kind)
    if end is None or end > len(content):
        return None
    return number, kind, start, end


def _read_varint(content: bytes, position: int) -> tuple[int, int] | None:
    value = 0
    for i in range(10):
        if position + i >= len(content):
            return None
        byte = content[position + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, position + i + 1
    return None
