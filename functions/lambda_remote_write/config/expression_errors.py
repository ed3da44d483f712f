"""What to write instead of a text that is no JMESPath: a key in double quotes, a number in backticks, no arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .expression_trace import joined
from .expression_words import QUOTED

_DELIMITERS = ".[]{}()|&,:=!<>?@*"
_QUOTES = "\"'`"
_STRING = re.compile(QUOTED, re.DOTALL)
_OPERAND, _NUMBER = r"[\w.\"\])`']", r"[0-9]+(?:\.[0-9]+)?"
_SPACED = re.compile(rf"{_OPERAND}\s+[-+*/%]\s+[\w\"(`@'$^.]")
_CLOSE = re.compile(r"\w\s*[+*]\s*\w|\)\s*[-+*/%]\s*[\w(`\"]|[\w`\"]\s*[-+*/%]\s*\(")
_BY_CONSTANT = re.compile(rf"(.*[^\s+*/%-])\s*([-+*/])\s*`?({_NUMBER})`?")
_CONSTANT_FIRST = re.compile(rf"`?({_NUMBER})`?\s*([*+])\s*(.*\S)")
_DIVISION = re.compile(r"\s*/\s*")
_INDEX = re.compile(r"(.*?)((?:\[[^\]]*\])*)", re.DOTALL)
_UNCLOSED = re.compile(r"[\[\]{}\"`]|^'")  # something has no end: that is the mistake, and no key
_BARE_NUMBER = re.compile(r"(?<=[<>=(,])(\s*)(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?=\s*(?:$|[\])|&,}]))")
_SUBSCRIPT = re.compile(r"\[\s*(?:'([^']*)'|\"([^\"]*)\")\s*\]")
_WORD_BY_WORD = re.compile(r"[^\W\d]\w*/[^\W\d]\w*")  # a key with a slash in it, or a division


def advice(prefix: str, text: str, compiles: Callable[[str], bool]) -> str:
    """What to write instead of `text`, which does not compile and stands behind `prefix` (`$.` or `^.`); "" when
    nothing comes to mind."""
    if instead := _other_language(prefix, text, compiles) or _numbers_in_backticks(prefix, text, compiles):
        return instead
    quoted = _in_quotes(prefix, text, compiles)
    if _is_arithmetic(text):
        may_be_a_key = quoted and not _CLOSE.search(text) and not _constant_of(text)[0]
        return _no_arithmetic(prefix, text, compiles) + (f"; if it is a key, write {quoted}" if may_be_a_key else "")
    if not quoted:
        return ""
    detail = f"a key that is more than letters, digits and _, or begins with a digit, needs double quotes: {quoted}"
    return f"{detail}; JMESPath has no arithmetic" if _WORD_BY_WORD.search(text) else detail


def _other_language(prefix: str, text: str, compiles: Callable[[str], bool]) -> str:
    """JSONPath's `..` and `['key']`."""
    if text.startswith(".") and prefix:
        return "JMESPath has no .. that looks at every level: name the path, as $.a.b or $.a[].b"
    dotted = _SUBSCRIPT.sub(lambda found: f".{_quoted(found[1] or found[2] or '')}", text).removeprefix(".")
    is_path = dotted != text and compiles(dotted)
    return f"a key stands behind a dot: {_bare_and_yaml(prefix + dotted)}" if is_path else ""


def _numbers_in_backticks(prefix: str, text: str, compiles: Callable[[str], bool]) -> str:
    attempt = _numbers_quoted(text)
    is_number = attempt != text and compiles(attempt)
    return f"a number needs backticks: {_bare_and_yaml(prefix + attempt)}" if is_number else ""


def _in_quotes(prefix: str, text: str, compiles: Callable[[str], bool]) -> str:
    """The text with its odd keys in double quotes, bare and as YAML; "" when that does not make it an expression."""
    for attempt in (_runs_quoted(_numbers_quoted(text)), _segments_quoted(text)):
        if attempt != text and compiles(attempt):
            return _bare_and_yaml(prefix + attempt)
    return ""


def _bare_and_yaml(written: str) -> str:
    in_yaml = written.replace("'", "''")
    return f"{written} (in YAML: '{in_yaml}')"


def _no_arithmetic(prefix: str, text: str, compiles: Callable[[str], bool]) -> str:
    detail = "JMESPath has no arithmetic"
    path, key, number = _constant_of(text)
    if path:
        return f"{detail}: write value: {path} and {key}: {number}"
    if quotient := _quotient(prefix + text, compiles):
        return f"{detail}: write {quotient}"
    return f"{detail}: send each value as a metric of its own, and calculate in a recording rule or a query"


def _quotient(text: str, compiles: Callable[[str], bool]) -> str:
    """The call that divides, for `used / total` and `100 * used / total`; "" for other arithmetic."""
    bare = _STRING.sub(lambda found: "_" * len(found[0]), text)
    slashes = list(_DIVISION.finditer(bare))
    if len(slashes) != 1:
        return ""
    dividend, divisor = text[: slashes[0].start()], text[slashes[0].end() :]
    path, key, factor = _constant_of(dividend) if not compiles(dividend) else (dividend, "", "")
    if not path or key == "offset" or not (compiles(path) and compiles(divisor)):
        return ""
    call = f"divide({path}, {divisor})"
    return f"value: {call} and {key}: {factor}" if key else call


def _constant_of(text: str) -> tuple[str, str, str]:
    """Path, key and number of `path * 100` and its kin; ("", "", "") for other arithmetic."""
    if found := _BY_CONSTANT.fullmatch(text):
        path, operator, number = found.groups()
    elif found := _CONSTANT_FIRST.fullmatch(text):
        number, operator, path = found.groups()
    else:
        return "", "", ""
    if _is_arithmetic(path) or (operator == "/" and not float(number)):
        return "", "", ""
    if operator in "+-":
        return path, "offset", number if operator == "+" else f"-{number}"
    return path, "scale", number if operator == "*" else repr(1 / float(number))


def _is_arithmetic(text: str) -> bool:
    """An operator with a blank on either side and something to calculate with around it, or one that no key has."""
    bare = _STRING.sub(lambda found: "_" * len(found[0]), text)
    return bool(_SPACED.search(bare) or _CLOSE.search(bare))


def _numbers_quoted(text: str) -> str:
    """Each number that stands where an operand may in backticks."""
    bare = _STRING.sub(lambda found: "_" * len(found[0]), text)
    attempt, end = "", 0
    for found in _BARE_NUMBER.finditer(bare):
        attempt += f"{text[end : found.start(2)]}`{found[2]}`"
        end = found.end()
    return attempt + text[end:]


def _segments_quoted(text: str) -> str:
    """Each key between dots in double quotes where it needs them; an index behind a key stays."""
    found = []
    for segment in text.split("."):
        parts = _INDEX.fullmatch(segment)
        key, index = parts.groups() if parts else (segment, "")
        if _UNCLOSED.search(key):
            return text
        found.append(_quoted(key) + index if key else segment)
    return ".".join(found)


def _runs_quoted(text: str) -> str:
    """The same for an expression of any kind: what stands between two delimiters is a key, a function or an index."""
    parts = list(_parts(text))
    for at, part in enumerate(parts):
        following = next((other for other in parts[at + 1 :] if other.strip()), "")
        before = next((other for other in reversed(parts[:at]) if other.strip()), "")
        is_index = before in ("[", ":") and re.fullmatch(r"\s*-?[0-9]+\s*", part)
        if part.strip() and part[0] not in _DELIMITERS + _QUOTES and following != "(" and not is_index:
            bare = part.strip()
            parts[at] = part.replace(bare, _quoted(bare))
    return "".join(parts)


def _parts(text: str) -> Iterator[str]:
    """Delimiters, quoted texts, and the runs between them. A quote inside a word is part of the word."""
    at, run = 0, ""
    while at < len(text):
        string = _STRING.match(text, at) if text[at] in _QUOTES and not run.strip() else None
        if string or text[at] in _DELIMITERS:
            yield from filter(None, [run, string[0] if string else text[at]])
            run, at = "", at + (len(string[0]) if string else 1)
        else:
            run, at = run + text[at], at + 1
    if run:
        yield run


def _quoted(key: str) -> str:
    return key if _STRING.fullmatch(key) else joined("", key)
