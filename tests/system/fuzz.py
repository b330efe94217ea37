"""Requests that nobody sends by mistake: valid ones of every method, and what is left of them.

Everything is drawn from one seeded generator, so that a run can be repeated.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["Fuzz"]

_MOST_FIELDS = 4
_DEPTH = 4
_NUMBERS = (0, 1, 2, 3, 7, 64, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1)
_REALS = (0.0, -0.0, 1.0, 0.05, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
_JSON = (
    "", "{}", "[]", "null", "0", '"x"', "{", '{"a": 1}', '{"sampling_rate": 500}',
    '{"sampling_rate": -1}', '{"sampling_rate": NaN}', '{"sampling_rate": 1e999}',
    '{"n_channels": 4, "noise": "3 uV"}', '{"device.noise": 1.0}', '{"": {}}',
    '{"a": "\\ud800"}', '{"a": 1' + 400 * "0" + "}", 5000 * "[", 2000 * '{"a":', '{"a": "\x00"}',
)  # fmt: skip
_NAMES = (
    "", "device", "device.signal", "recorder", "recorder.streams", "recorder.path", "main", "g1",
    "g2", "node", "node.signal", "node.input", "a.b.c", ".", "..", "../../etc/passwd", "/", "\x00",
    "λ", "x" * 600, "%s%n", "*", "sim.Oscillators", "sim.Markers", "filters.BandPass", "block",
    "drop", "spin(50)", "operator@somewhere", "rigmesh_proto.v1.ControlService", "{date}",
)  # fmt: skip
_LIKELY: dict[str, Sequence[Any]] = {
    "group": ("", "main", "g1"), "host": ("",), "overflow": ("", "drop", "block"),
    "name": ("node", "device", "g1"), "node": ("node", "device"), "params_json": ("", "{}"),
    "reader": ("somebody",), "replicate": (0, 1, 2), "restart": (0, 1, 2),
    "stream": ("device.signal", "node.signal"), "type": ("sim.Oscillators", "filters.BandPass"),
    "wait": ("", "block", "spin(50)"), "cpus": (0, 1), "priority": (0,), "buffer_seconds": (0.0,),
    "deadline": (0.0, 1.0), "timeout": (0.0, 1.0), "input": ("node.signal", "recorder.streams"),
    "states": ("node.noise", "device.noise"), "write": ("", "clients", "peers"),
}  # fmt: skip
"""By the name of a field: what most requests say there."""


class Fuzz:
    """Draws requests.

    Parameters
    ----------
    seed : int
        The same one draws the same.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def requests(self, method: MethodDescriptor) -> list[bytes]:
        """Return what is sent in one call: several messages if the method takes several."""
        n = self.chance.choice((1, 1, 2, 5)) if method.client_streaming else 1
        return [self._request(method.input_type) for _ in range(n)]

    def _request(self, kind: Any) -> bytes:
        how = self.chance.random()
        if how < 0.05:
            return self.chance.randbytes(self.chance.choice((0, 1, 10, 1000, 100_000)))
        raw = self.message(kind).SerializeToString()
        return raw if how < 0.4 else self.mutated(raw)

    def message(self, kind: Any, depth: int = 0) -> Message:
        """Return a message of some kind, a `Descriptor`, with some of its fields."""
        made = GetMessageClass(kind)()
        fields = list(kind.fields)
        for field in self.chance.sample(fields, min(len(fields), self._count(len(fields)))):
            if field.message_type is not None and depth >= _DEPTH:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._fill_map(made, field, depth)
            elif field.is_repeated:
                values = [self._value(field, depth) for _ in range(self.chance.choice((1, 2, 9)))]
                getattr(made, field.name).extend(values)
            elif field.message_type is not None:
                getattr(made, field.name).CopyFrom(self.message(field.message_type, depth + 1))
            else:
                setattr(made, field.name, self._value(field, depth))
        return made

    def mutated(self, raw: bytes) -> bytes:
        """Return bytes with some of them changed, left out, repeated or put in."""
        data = bytearray(raw or b"\x0a")
        for _ in range(self.chance.choice((1, 1, 2, 8))):
            at = self.chance.randrange(len(data)) if data else 0
            stop = min(len(data), at + self.chance.choice((1, 2, 16)))
            match self.chance.randrange(6):
                case 0 if data:
                    data[at] ^= 1 << self.chance.randrange(8)
                case 1 if data:
                    data[at] = self.chance.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    del data[at:stop]
                case 3:
                    data[at:at] = data[at:stop] * self.chance.choice((1, 2, 50))
                case 4:
                    data[at:at] = self.chance.randbytes(self.chance.choice((1, 4, 30)))
                case _:
                    del data[at:]
        return bytes(data)

    def hello(self) -> bytes:
        """Return the beginning of a TLS handshake, or of something else."""
        first = b"\x16\x03\x01" + struct.pack(">H", 512) + b"\x01\x00\x01\xfc\x03\x03"
        first += self.chance.randbytes(506)
        others = (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", _PREFACE, self.chance.randbytes(3000))
        return self.mutated(first) if self.chance.random() < 0.5 else self.chance.choice(others)

    def frames(self) -> bytes:
        """Return what may follow a handshake: HTTP/2, as somebody may write it."""
        made = [_PREFACE if self.chance.random() < 0.8 else self.mutated(_PREFACE)]
        for _ in range(self.chance.choice((0, 1, 3, 30))):
            payload = self.chance.randbytes(self.chance.choice((0, 1, 4, 6, 8, 100, 20_000)))
            size = len(payload) if self.chance.random() < 0.8 else self.chance.randrange(2**24)
            kind, flags = self.chance.randrange(12), self.chance.randrange(256)
            stream = self.chance.choice((0, 0, 1, 1, 2, 3, 2**31 - 1))
            head = struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream)
            made.append(head + payload)
        return b"".join(made)

    # --- inside ------------------------------------------------------------------------------

    def _count(self, n: int) -> int:
        return n if self.chance.random() < 0.3 else self.chance.randint(0, _MOST_FIELDS)

    def _fill_map(self, made: Message, field: Any, depth: int) -> None:
        entries: Any = getattr(made, field.name)
        key, value = field.message_type.fields
        for _ in range(self.chance.choice((1, 3))):
            drawn = self._value(key, depth)
            if value.message_type is not None:
                entries[drawn].CopyFrom(self.message(value.message_type, depth + 1))
            else:
                entries[drawn] = self._value(value, depth)

    def _value(self, field: Any, depth: int) -> Any:
        kinds = FieldDescriptor
        if field.name == "refresh":  # all node modules are read anew then, which takes seconds
            return self.chance.random() < 0.01
        if field.name in _LIKELY and field.message_type is None and self.chance.random() < 0.6:
            return self._pick(_LIKELY[field.name])
        match field.cpp_type:
            case kinds.CPPTYPE_MESSAGE:
                return self.message(field.message_type, depth + 1)
            case kinds.CPPTYPE_STRING if field.type == kinds.TYPE_BYTES:
                return self.chance.randbytes(self.chance.choice((0, 1, 100)))
            case kinds.CPPTYPE_STRING:
                return self._pick(_JSON if field.name.endswith("json") else _NAMES)
            case kinds.CPPTYPE_BOOL:
                return self.chance.random() < 0.5
            case kinds.CPPTYPE_ENUM:
                return self._pick([value.number for value in field.enum_type.values])
            case kinds.CPPTYPE_DOUBLE | kinds.CPPTYPE_FLOAT:
                return self._pick(_REALS)
            case kinds.CPPTYPE_UINT32:
                return self._pick([n for n in _NUMBERS if n < 2**32])
            case kinds.CPPTYPE_INT32:
                return self._pick([n for n in _NUMBERS if n < 2**31])
            case kinds.CPPTYPE_INT64:
                return self._pick([n for n in _NUMBERS if n < 2**63])
        return self._pick(_NUMBERS)

    def _pick(self, values: Sequence[Any]) -> Any:
        return self.chance.choice(values)


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
