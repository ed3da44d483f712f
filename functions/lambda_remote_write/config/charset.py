"""The charsets that a body may be written in."""

from __future__ import annotations

import codecs
import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}", re.ASCII)
_ALIASES = {"windows-31j": "cp932", "x-sjis": "cp932", "utf8mb4": "utf-8"}
_WINDOWS = re.compile(r"(?:x-)?(?:windows-|ms)(\d+)", re.ASCII)
_NO_CHARSETS = frozenset(("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"))
"""What Python takes for texts too, and is none that a server writes; punycode takes its time."""


def codec_of(name: str) -> str:
    """The name that Python has for a charset. Raises ValueError for what is none."""
    try:
        if not _NAME.fullmatch(name):
            raise LookupError
        found = codecs.lookup(_known(name)).name
        b" ".decode(found)  # of a codec that makes bytes from bytes, as hex, a LookupError
    except LookupError:
        raise ValueError("a charset is expected, as utf-8, iso-8859-1, windows-1252 or utf-16") from None
    except ValueError:  # half a character
        pass
    if found.replace("_", "-") in _NO_CHARSETS:
        raise ValueError(f"{found} is not a charset of texts")
    return found


def _known(name: str) -> str:
    """A name for Python, which does not know all that are registered, or in use."""
    plain = name.lower().replace("_", "-")
    windows = _WINDOWS.fullmatch(plain)
    return f"cp{windows[1]}" if windows else _ALIASES.get(plain, name)
