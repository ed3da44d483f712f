"""The fast path for the identity of a line: `name{label="value",…}` without escapes, as on nearly every line of both
text formats. Most label pairs are on many lines, so each is parsed once.
"""

from __future__ import annotations

import re

from ..config.scalars import is_metric_name

_MAX_PAIRS = 16_384
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\0\n]+)')


class NeedsGrammar(Exception):
    """An identity that the grammar has to parse, or refuse."""


class _Pairs(dict[str, tuple[str, str]]):
    """`name="value` -> name and value."""

    def __missing__(self, text: str) -> tuple[str, str]:
        found = _PAIR.fullmatch(text)
        if found is None:
            raise NeedsGrammar
        if len(self) >= _MAX_PAIRS:
            self.clear()
        pair = self[text] = found[1], found[2]
        return pair


_pairs = _Pairs()


def is_likely(identity: bytes) -> bool:
    """A quick check whether bytes look like an identity with nothing behind it."""
    return identity.endswith(b"}") if b"{" in identity else b" " not in identity


def read(identity: str) -> tuple[str, list[tuple[str, str]]]:
    """The metric's name and the labels in their order. Raises NeedsGrammar."""
    name, brace, rest = identity.partition("{")
    if not is_metric_name(name):
        raise NeedsGrammar
    if not brace:
        return name, []
    if not rest.endswith(('"}', '",}')):
        raise NeedsGrammar
    return name, [_pairs[text] for text in rest[: rest.rindex('"')].split('",')]
