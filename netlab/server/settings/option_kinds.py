"""What kinds of values an option takes: a value or a text in, a checked value out.

A kind raises ValueError that says what it wants; which option it was, the caller knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

_SCALE = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
LONGEST_S = 1_000_000  # eleven days; in milliseconds it fits into an int of the kernel's
_YES = frozenset({"1", "yes", "on", "true"})
_NO = frozenset({"0", "no", "off", "false"})


class Kind(Protocol):
    """Checks values of one kind, and reads them from text."""

    @property
    def wants(self) -> str:
        """What the values are, for help and errors."""
        ...

    def check(self, value: object) -> Any:
        """The value, in the one form that the server uses; raises ValueError."""
        ...

    def parse(self, text: str) -> Any:
        """The value that a user typed; raises ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    wants: str = "yes or no"

    def check(self, value: object) -> bool:
        """A bool; 0 and 1 pass for one, as PHP users write them."""
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise ValueError(self.wants)

    def parse(self, text: str) -> bool:
        """The usual words."""
        if text.lower() in _YES | _NO:
            return text.lower() in _YES
        raise ValueError(self.wants)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in a range, both ends included."""

    least: int = 0
    most: int = (1 << 31) - 1

    @property
    def wants(self) -> str:
        """The range."""
        return f"a whole number from {self.least} to {self.most}"

    def check(self, value: object) -> int:
        """An int, no bool."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(self.wants)
        if not self.least <= value <= self.most:
            raise ValueError(self.wants)
        return value

    def parse(self, text: str) -> int:
        """Digits, with k, M or G for powers of 1024."""
        match = re.fullmatch(r"(-?\d+)([kmg]?)", text.strip().lower())
        if match is None:
            raise ValueError(self.wants)
        return self.check(int(match[1]) * _SCALE[match[2]])


@dataclass(frozen=True, slots=True)
class Seconds:
    """A length of time, fractions allowed."""

    wants: str = f"a number of seconds, 0 to {LONGEST_S:,}"

    def check(self, value: object) -> float:
        """Finite and not negative."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(self.wants)
        if not 0 <= value <= LONGEST_S:
            raise ValueError(self.wants)
        return float(value)

    def parse(self, text: str) -> float:
        """A number, or one with ms behind it."""
        number, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
        try:
            return self.check(float(number) * scale)
        except ValueError:
            raise ValueError(self.wants) from None


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of an enum; `numbers` are the values that Swoole's constants have."""

    choices: type[StrEnum]
    numbers: Mapping[int, StrEnum] = field(default_factory=dict)

    @property
    def wants(self) -> str:
        """The words."""
        words = "|".join(self.choices)
        return f"{words} (or {', '.join(map(str, self.numbers))})" if self.numbers else words

    def check(self, value: object) -> StrEnum:
        """The member."""
        if isinstance(value, int) and not isinstance(value, bool) and value in self.numbers:
            return self.numbers[value]
        if isinstance(value, str) and value in self.choices.__members__.values():
            return self.choices(value)
        raise ValueError(self.wants)

    def parse(self, text: str) -> StrEnum:
        """A word or a number."""
        return self.check(int(text) if text.isdecimal() else text.lower())


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few short texts, in which case matters."""

    texts: tuple[str, ...]

    @property
    def wants(self) -> str:
        """The texts."""
        return "one of " + " ".join(self.texts)

    def check(self, value: object) -> str:
        """The text."""
        if value not in self.texts:
            raise ValueError(self.wants)
        return str(value)

    def parse(self, text: str) -> str:
        """As it stands."""
        return self.check(text)


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; empty is none."""

    wants: str = "a text"

    def check(self, value: object) -> str:
        """A str, or what has a path."""
        if isinstance(value, str):
            return value
        if isinstance(value, os.PathLike) and not isinstance(value, type):
            return os.fsdecode(value)
        raise ValueError(self.wants)

    def parse(self, text: str) -> str:
        """As it stands."""
        return text


@dataclass(frozen=True, slots=True)
class ByteString:
    r"""A byte string that is not empty; a str is taken as UTF-8."""

    wants: str = r"a text or bytes, not empty (such as \r\n)"

    def check(self, value: object) -> bytes:
        """Bytes."""
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, bytes | bytearray) or not value:
            raise ValueError(self.wants)
        return bytes(value)

    def parse(self, text: str) -> bytes:
        r"""With \r, \n, \0, \xNN as in Python."""
        try:
            return self.check(text.encode().decode("unicode_escape").encode("latin-1"))
        except UnicodeError:
            raise ValueError(self.wants) from None


@dataclass(frozen=True, slots=True)
class Function:
    """A function, given in a program; None is none."""

    wants: str = "a function (not from the command line)"

    def check(self, value: object) -> Callable[..., Any] | None:
        """Callable, or None."""
        if value is not None and not callable(value):
            raise ValueError(self.wants)
        return value

    def parse(self, text: str) -> None:
        """Refused."""
        raise ValueError(self.wants)
