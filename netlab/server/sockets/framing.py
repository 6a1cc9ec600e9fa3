"""Where messages end in a stream: bytes in any pieces in, whole messages out. Does no I/O.

A message is exactly its bytes in the stream, terminator or length field included, so that the
messages and what is pending, put together, are the stream. `feed` gives the messages that are now
complete. When the stream breaks the rules it raises FramingError, which carries the messages
that were complete before; a framing that has raised is not fed again.

A message longer than `max_message` is refused as soon as that is known: with a length field from
the header, before any of the body has to be kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from struct import Struct
from typing import Protocol

from netlab.model.errors import UsageError

Buffer = bytes | bytearray
# The start of a message -> its length; 0 when it needs more bytes, < 0 when malformed.
LengthOf = Callable[[memoryview], int]

_SHOWN_BYTES = 16

# PHP's pack() codes, as Swoole's package_length_type takes them; "=" is this machine's order.
LENGTH_TYPES = {
    "c": Struct("=b"),
    "C": Struct("=B"),
    "s": Struct("=h"),
    "S": Struct("=H"),
    "n": Struct(">H"),
    "v": Struct("<H"),
    "l": Struct("=i"),
    "L": Struct("=I"),
    "N": Struct(">I"),
    "V": Struct("<I"),
    "q": Struct("=q"),
    "Q": Struct("=Q"),
    "J": Struct(">Q"),
    "P": Struct("<Q"),
}


class FramingError(Exception):
    """The stream does not follow the framing; says what stands there instead."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.messages: list[bytes] = []  # those complete before the fault


class Framing(Protocol):
    """One direction of one connection."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete; raises FramingError."""
        ...

    @property
    def pending(self) -> bytes:
        """The bytes of a message that is not complete."""
        ...

    @property
    def pending_bytes(self) -> int:
        """How many they are."""
        ...

    def restore(self, pending: bytes) -> None:
        """Go on where another left off."""
        ...


class NoFraming:
    """Every piece is a message, as it comes."""

    __slots__ = ()
    pending = b""
    pending_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The piece itself."""
        return [data] if data else []

    def restore(self, pending: bytes) -> None:
        """Nothing can be pending here."""
        if pending:
            raise ValueError(f"{len(pending)} bytes pending where there is no framing")


class _Measured(ABC):
    """The loop that all framings share; they say where the message ends that begins at `start`."""

    __slots__ = ("_held", "_need_bytes", "max_message")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self._held = bytearray()  # the start of a message
        self._need_bytes = 0  # with fewer there is no use in measuring again

    @abstractmethod
    def _measure(self, data: Buffer, start: int) -> int:
        """The length of the message at `start`.

        While that is not known, minus the number of bytes that it takes to look again; raises
        FramingError. `start` is 0 whenever `data` is what is held.
        """

    def feed(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        try:
            self._feed(data, messages)
        except FramingError as error:
            error.messages = messages
            raise
        return messages

    def _feed(self, data: bytes, messages: list[bytes]) -> None:
        start = 0
        held = self._held
        if held:
            before_bytes = len(held)
            held += data
            if len(held) < self._need_bytes:
                return
            length = self._measure(held, 0)
            if not 0 < length <= len(held):
                self._need_bytes = abs(length)
                return
            if length < before_bytes:  # a length function may change its mind
                data = bytes(memoryview(held)[length:])
            else:
                start = length - before_bytes
            del held[length:]
            messages.append(bytes(held))
            self._held = held = bytearray()  # a new one: the old may have grown large
        end = len(data)
        while start < end:
            length = self._measure(data, start)
            if not 0 < length <= end - start:
                self._need_bytes = abs(length)
                held += memoryview(data)[start:]
                return
            messages.append(data[start : start + length])
            start += length

    @property
    def pending(self) -> bytes:
        return bytes(self._held)

    @property
    def pending_bytes(self) -> int:
        return len(self._held)

    def restore(self, pending: bytes) -> None:
        self._held = bytearray(pending)
        self._need_bytes = 0

    def _refuse_length(self, length: int, field: bytes) -> FramingError:
        return FramingError(
            f"length {length} is over max_message {self.max_message}; {_as_text(field)}"
        )


class Terminator(_Measured):
    """Messages that end with a byte string, which belongs to the message."""

    __slots__ = ("_searched_bytes", "_terminator")

    def __init__(self, terminator: bytes, max_message: int) -> None:
        super().__init__(max_message)
        if not terminator:
            raise UsageError("an empty terminator ends nothing", "give at least one byte")
        self._terminator = terminator
        self._searched_bytes = 0  # of what is held: no terminator begins in these

    def _measure(self, data: Buffer, start: int) -> int:
        size = len(self._terminator)
        found = data.find(self._terminator, start + self._searched_bytes, start + self.max_message)
        if found >= 0:
            self._searched_bytes = 0
            return found + size - start
        here = len(data) - start
        if here >= self.max_message:
            raise FramingError(
                f"no terminator {self._terminator!r} within max_message {self.max_message};"
                f" it begins {bytes(data[start : start + _SHOWN_BYTES])!r}"
            )
        self._searched_bytes = max(0, here - size + 1)
        return -(here + 1)

    def restore(self, pending: bytes) -> None:
        super().restore(pending)
        self._searched_bytes = 0


class LengthPrefix(_Measured):
    """Messages that say their length in a field of fixed size.

    The message ends `body_offset` + length bytes after its start (Swoole's rule): a length that
    counts the body alone takes the size of the header as body offset, one that counts everything
    takes 0.
    """

    __slots__ = ("_body_offset", "_field_end", "_length_offset", "_unpack_from")

    def __init__(
        self, length_type: str, length_offset: int, body_offset: int, max_message: int
    ) -> None:
        super().__init__(max_message)
        field = LENGTH_TYPES[length_type]
        self._unpack_from = field.unpack_from
        self._length_offset = length_offset
        self._field_end = length_offset + field.size
        self._body_offset = body_offset

    def _measure(self, data: Buffer, start: int) -> int:
        if len(data) - start < self._field_end:
            return -self._field_end
        value: int = self._unpack_from(data, start + self._length_offset)[0]
        length = value + self._body_offset
        if self._field_end <= length <= self.max_message and value >= 0:
            return length
        field = bytes(data[start + self._length_offset : start + self._field_end])
        if length > self.max_message:
            raise self._refuse_length(value, field)
        if value < 0:
            raise FramingError(f"length {value} is negative; {_as_text(field)}")
        raise FramingError(
            f"length {value} makes a message of {length} bytes, shorter than its header of"
            f" {self._field_end}; {_as_text(field)}"
        )


class FixedSize(_Measured):
    """Messages that are all of one size."""

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        super().__init__(size)
        if size <= 0:
            raise UsageError(f"messages of {size} bytes", "give fixed_size at least 1 byte")
        self._size = size

    def _measure(self, data: Buffer, start: int) -> int:
        return self._size


class LengthFunction(_Measured):
    """Messages whose length a function finds from their first bytes.

    It is given what is here of the message, as a memoryview that is valid during the call only, and
    returns the length of the whole message, 0 when it needs more bytes, or a negative number when
    the bytes are malformed.
    """

    __slots__ = ("_length_of",)

    def __init__(self, length_of: LengthOf, max_message: int) -> None:
        super().__init__(max_message)
        self._length_of = length_of

    def _measure(self, data: Buffer, start: int) -> int:
        with memoryview(data) as whole, whole[start:] as view, view.toreadonly() as shown:
            try:
                length = self._length_of(shown)
            except Exception as error:  # a user's function; its traceback stays as the cause
                raise FramingError(f"length_function raised {error!r}") from error
        here = len(data) - start
        if 0 < length <= self.max_message:
            return length
        if not length and here < self.max_message:
            return -(here + 1)
        head = bytes(data[start : start + _SHOWN_BYTES])
        if length < 0:
            raise FramingError(f"length_function returned {length}; {_as_text(head)}")
        if length > self.max_message:
            raise self._refuse_length(length, head)
        raise FramingError(f"no length within max_message {self.max_message}; {_as_text(head)}")


def _as_text(field: bytes) -> str:
    """Bytes as a number and as text: a length that reads as letters is text taken for a length."""
    number = int.from_bytes(field, "big")
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in field)
    return f'the bytes 0x{number:0{2 * len(field)}x} as text are "{text}"'
