"""Rules as text -> statements of words that know where they stand; and the mistake that shows it.

Must not know what the words mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from netlab.model.errors import UsageError

_WORD = re.compile(r"#.*|;|[^\s;#]+")
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line; both numbers count from 1, in characters."""

    text: str  # as typed
    line: int
    column: int

    @property
    def plain(self) -> str:
        """As it is compared: case does not matter."""
        return self.text.lower()


class RuleMistake(UsageError):
    """A rule that cannot be understood: where, what was expected, and an example.

    `picture` has the line itself with a caret under the place, for who prints more than one line.
    """

    def __init__(
        self, message: str, hint: str, line_text: str, line: int, column: int, length: int
    ) -> None:
        super().__init__(message, hint)
        self.line = line
        self.column = column
        self._line_text = line_text
        self._length = length

    def picture(self) -> tuple[str, str]:
        """The line and its carets; what is not printable is a question mark in it."""
        line = "".join(c if c.isprintable() else "?" for c in self._line_text)
        return line, " " * (self.column - 1) + "^" * self._length


class Statement:
    """The words of one rule, read from left to right."""

    def __init__(self, words: Sequence[Word], end: Word, source: str, line_text: str) -> None:
        self._words = words
        self._end = end  # nothing, just behind the last word
        self._source = source
        self._line_text = line_text
        self._at = 0
        self._offers: list[str] = []  # what might have stood where the next word stands
        self.example = ""

    def peek(self) -> str:
        """The next word, in small letters; empty at the end."""
        return self._words[self._at].plain if self._at < len(self._words) else ""

    def peek_after(self) -> str:
        """The word behind the next one."""
        return self._words[self._at + 1].plain if self._at + 1 < len(self._words) else ""

    def take(self) -> str:
        """The next word; it must have been seen with `peek`."""
        self._at += 1
        self._offers = []
        return self._words[self._at - 1].plain

    def maybe(self, *wanted: str) -> str:
        """Take the next word if it is one of these; empty if not."""
        if self.peek() and self.peek() in wanted:
            return self.take()
        self.offer(*wanted)
        return ""

    def offer(self, *wanted: str) -> None:
        """Say what might stand here, and does not."""
        self._offers += [word for word in wanted if word not in self._offers]

    def finish(self) -> None:
        """Nothing may follow."""
        if self.peek():
            self.fail(_one_of([*self._offers, "the end of the rule"]), self._offers)

    def need(self, *wanted: str) -> str:
        """Take the next word, which must be one of these."""
        found = self.maybe(*wanted)
        if not found:
            self.fail(_one_of(wanted), wanted)
        return found

    def fail(self, wants: str, known: Sequence[str] = ()) -> NoReturn:
        """Raise the mistake at the next word."""
        word = self._words[self._at] if self._at < len(self._words) else self._end
        found = f"not {_shown(word.text)}" if word.text else "but the rule ends here"
        close = get_close_matches(word.plain, known, 1, 0.7) if word.text else []
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise self._mistake(f"expected {wants}, {found}{meant}", word)

    @contextmanager
    def value(self) -> Iterator[None]:
        """What can be read, but not be meant, is a mistake of the words that were taken inside."""
        first = self._at
        try:
            yield
        except UsageError as error:
            if isinstance(error, RuleMistake):
                raise
            raise self.wrong(error, first, self._at) from None

    def wrong(self, error: UsageError, first: int = 0, stop: int | None = None) -> RuleMistake:
        """The mistake of a rule, or of some of its words, that cannot be meant."""
        words = self._words[first:stop]
        length = words[-1].column + len(words[-1].text) - words[0].column
        return self._mistake(f"{error.message}: {error.hint}", words[0], length)

    def _mistake(self, what: str, word: Word, length: int = 0) -> RuleMistake:
        place = f"{self._source}, line {word.line}, column {word.column}"
        hint = f'for example "{self.example}"'
        picture = self._line_text, word.line, word.column, length or len(word.text) or 1
        return RuleMistake(f"{place}: {what}", hint, *picture)


def statements_from_text(text: str, source: str) -> Iterator[Statement]:
    """The rules of a text, split at `;` and line ends, without comments and empty ones."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        words: list[Word] = []
        for match in _WORD.finditer(line):
            word = Word(match[0], number, match.start() + 1)
            if word.text[0] not in ";#":
                words.append(word)
            elif words:
                yield _statement(words, source, line)
                words = []
        if words:
            yield _statement(words, source, line)


def _statement(words: list[Word], source: str, line: str) -> Statement:
    last = words[-1]
    return Statement(words, Word("", last.line, last.column + len(last.text)), source, line)


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(text: str) -> str:
    return f"'{text[:_LONGEST_SHOWN]}{'…' * (len(text) > _LONGEST_SHOWN)}'"
