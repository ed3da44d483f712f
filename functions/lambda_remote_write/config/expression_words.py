"""`$`, `^`, `@key`, `@index`, `@status` and `@header.NAME` in an expression, which JMESPath itself does not know.

A word stands where JMESPath has an operand; in quotes, and as part of a longer word, it is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`"
_WORD = (
    r"(?<![\w.$^@])(?:"
    r"(?P<ups>\^*)@(?P<place>key|index)(?!\w)"
    r"|(?P<status>@status)(?!\w)"
    r"|@header\.(?P<header>\"(?:[^\"\\]|\\.)*\"|[A-Za-z_]\w*)"
    r"|(?:(?P<document>\$)|(?P<levels>\^(?:\.\^)*))(?!\.\^|[\w$^@\"])(?:\.@(?!\w))?"
    r")"
)
_SCANNED = re.compile(rf"(?P<quoted>{QUOTED})|{_WORD}", re.ASCII | re.DOTALL)
_MISUSED = re.compile(r"\.\s*\^*@(?:key|index|status|header)(?!\w)|@(?:key|index|status)\s*\.", re.ASCII)
_DASHED = re.compile(r"@header\.([A-Za-z_][\w-]*-[\w-]*)", re.ASCII)


class Scope(Enum):
    """Where an expression is evaluated, or what one of its words stands for."""

    RECORD = auto()
    DOCUMENT = auto()
    ENCLOSING = auto()
    KEY = auto()
    INDEX = auto()
    STATUS = auto()
    HEADER = auto()
    CONSTANT = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """A word, with its place in the text. `levels` counts its `^`."""

    text: str
    scope: Scope
    levels: int = 0
    header: str = ""
    start: int = 0
    end: int = 0

    @property
    def depth(self) -> int:
        """How many steps of `records` it needs around it."""
        return self.levels + 1 if self.scope in (Scope.KEY, Scope.INDEX) else self.levels

    @property
    def is_of_answer(self) -> bool:
        """Whether it is the same for all records of an answer."""
        return self.scope in (Scope.DOCUMENT, Scope.STATUS, Scope.HEADER)


def words(text: str) -> list[Word]:
    """The words of an expression, in order."""
    found = (one for one in _SCANNED.finditer(text) if one["quoted"] is None)
    return [_word(one) for one in found if not text[: one.start()].rstrip().endswith(".")]


def _word(found: re.Match[str]) -> Word:
    text, start, end = found[0], *found.span()
    if found["place"]:
        scope = Scope.KEY if found["place"] == "key" else Scope.INDEX
        return Word(text, scope, len(found["ups"]), start=start, end=end)
    if found["status"]:
        return Word(text, Scope.STATUS, start=start, end=end)
    if found["header"]:
        return Word(text, Scope.HEADER, header=_unquoted(found["header"]), start=start, end=end)
    if found["document"]:
        return Word(text, Scope.DOCUMENT, start=start, end=end)
    return Word(text, Scope.ENCLOSING, found["levels"].count("^"), start=start, end=end)


def _unquoted(name: str) -> str:
    if not name.startswith('"'):
        return name
    try:
        return str(json.loads(name))
    except ValueError:
        return name.strip('"')


def mistake(text: str) -> str:
    """What is wrong with the words of a text; "" when nothing is."""
    bare = re.sub(QUOTED, lambda found: "_" * len(found[0]), text, flags=re.DOTALL)
    if dashed := _DASHED.search(bare):
        return f'a header\'s name with a dash needs double quotes: @header."{dashed[1]}"'
    if re.search(r"@header(?!\w|\.[A-Za-z_])", bare, re.ASCII):
        return '@header needs a name: @header.date or @header."X-RateLimit-Remaining"'
    if found := _MISUSED.search(bare):
        name = re.search(r"@\w+", found[0])
        word = name[0] if name else "@key"
        outer = f": {word}, or ^{word} for that of the enclosing map or list" if word in ("@key", "@index") else ""
        return f"{word} stands alone, with no dot beside it{outer}"
    return ""


def tokens(text: str, found: Sequence[Word]) -> Iterator[dict[str, Any]]:
    """jmespath's tokens, with those of the words among them."""
    at = 0
    for word in found:
        yield from _plain_tokens(text, at, word.start)
        yield {"type": "scope", "value": word.text, "word": word, "start": word.start, "end": word.end}
        at = word.end
    yield from _plain_tokens(text, at, len(text))
    yield {"type": "eof", "value": "", "start": len(text), "end": len(text)}


def _plain_tokens(text: str, start: int, end: int) -> Iterator[dict[str, Any]]:
    from jmespath.lexer import Lexer  # only expressions that are no plain path need it

    for token in Lexer().tokenize(text[start:end]) if start < end else ():
        if token["type"] != "eof":
            yield token | {"start": token["start"] + start}
