"""What a body is that is no JSON document, for the message that says so."""

from __future__ import annotations

import json
import re
import zlib

from ..report.mask import cut, printable

_SHOWN = 80  # characters of a body, or of what stands before one, in a message
_LOOKED_AT = 65_536  # bytes of a body, at most: its beginning tells what it is
_MAX_TYPE = 60

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip, which no Content-Encoding says"),
    (b"\x28\xb5\x2f\xfd", "zstd, which no Content-Encoding says"),
    (b"BZh", "bzip2, which is not understood"),
    (b"\xfd7zXZ\x00", "xz, which is not understood"),
    (b"\x04\x22\x4d\x18", "lz4, which is not understood"),
    (b"PK\x03\x04", "a zip file"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PAR1", "a Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"\xff\xfe\x00\x00", "UTF-32 text with a byte order mark, which its Content-Type does not name"),
    (b"\x00\x00\xfe\xff", "UTF-32 text with a byte order mark, which its Content-Type does not name"),
    (b"\xff\xfe", "UTF-16 text with a byte order mark, which its Content-Type does not name"),
    (b"\xfe\xff", "UTF-16 text with a byte order mark, which its Content-Type does not name"),
)  # fmt: skip
_ZLIB_LEVELS = (0x01, 0x5E, 0x9C, 0xDA)
_PREFIX = re.compile(
    r"\)\]\}'?,?|while\s*\(\s*(?:1|true)\s*\)\s*;|for\s*\(\s*;\s*;\s*\)\s*;|\{\}\s*&&|throw\s+1\s*;"
    r"|/\*(?:-secure-)?\s*(?=[\[{])|/\*[^*]{0,50}\*/|//[^\n]{0,50}\n\s*(?=[\[{])"
)
_SCRIPT_COMMENTS = r"(?:/\*[^*]{0,50}\*/\s*|//[^\n]{0,50}\n\s*)*"
_CALL = re.compile(
    _SCRIPT_COMMENTS + r"(?:typeof\s+[\w$.]+\s*===?\s*'function'\s*&&\s*|[\w$.]+\s*&&\s*)?"
    r"[A-Za-z_$][\w$.\[\]\"']*\s*\(\s*(?=[\[{\"])"
)
_ASSIGNMENT = re.compile(_SCRIPT_COMMENTS + r"(?:var|let|const|window\.)?\s*[A-Za-z_$][\w$.]*\s*=\s*(?=[\[{])")
_EVENT_STREAM = re.compile(r"(?:(?:event|id|retry):.*\n|:.*\n)*data:")
_HTML = re.compile(r"<!doctype html|<(?:html|head|body|meta|script|div|p|h[1-6]|pre|center)(?=[\s>/])", re.IGNORECASE)
_XML = re.compile(r"<(?:\?xml\b|!\[CDATA\[|!DOCTYPE\s|[A-Za-z_][\w.:-]*[\s>/])")
_COMMENTS = re.compile(r"(?:\s*<!--.*?-->)*\s*", re.DOTALL)
_DECLARATION = re.compile(r"<\?xml\b[^>]*>")
_METRICS = re.compile(
    r"# (?:HELP|TYPE|UNIT) [A-Za-z_:]|[A-Za-z_:][\w:]*(?:\{[^}\n]*\})? [-+]?[0-9.]+(?:e[-+]?[0-9]+)?\s*(?:\n|$)",
    re.IGNORECASE,
)
SEPARATORS = ",;\t|"
"""What may stand between the cells of a table, the likeliest first."""
_WHITE = "\ufeff \t\r\n"
_GUESS = "windows-1252"
_KEYS = (
    ("NDJSON", "format", "ndjson"),
    ("JSON text sequences", "format", "ndjson"),
    ("CSV", "format", "csv"),
    ("XML", "format", "xml"),
    ("plain text", "format", "text"),
    ("UTF-16", "charset", "utf-16"),
    ("UTF-32", "charset", "utf-32"),
    ("text in another charset", "charset", _GUESS),
)
"""By the beginning of a kind, the key of a job that reads it, and its value."""


def described(content: bytes | bytearray, content_type: str) -> str:
    """What a body is, as far as that shows, its size, Content-Type and beginning: a part of a sentence."""
    header = f"Content-Type {cut(printable(content_type), _MAX_TYPE)}" if content_type else "no Content-Type"
    return kind_and_beginning(content, content_type, f"{len(content)} bytes, {header}")


def kind_and_beginning(content: bytes | bytearray, content_type: str = "", size: str = "") -> str:
    """The same of content that has no header, as a file's; `size` stands between."""
    head = bytes(content[:_LOOKED_AT])
    begins = f"it begins {beginning(head)}" if head.strip() else ""
    return "; ".join(filter(None, (kind_of_body(head, content_type), size, begins)))


def beginning(head: bytes | bytearray) -> str:
    """The first characters on one line, with escapes for what does not print."""
    text = head[: 4 * _SHOWN].decode("utf-8", "surrogateescape")
    escaped = "".join(f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in text)
    return f"'{cut(printable(escaped), _SHOWN)}'"


def kind_of_body(content: bytes | bytearray, content_type: str) -> str:
    """`this is …` of a body that is no JSON; "" when nothing is known of it."""
    head = bytes(content[:_LOOKED_AT])
    if not head:
        return "it is empty"
    if not head.strip():
        return "it holds nothing but white space"
    magic = next((name for start, name in _MAGIC if head.startswith(start)), "") or _deflated(head)
    if magic:
        return f"this is {magic}"
    text = _text(head)
    if text is None:
        return _not_utf8(head)
    text = text.lstrip(_WHITE)
    if not text:
        return "it holds nothing but a byte order mark and white space"
    kind = _kind_of_text(text, content_type.lower())
    return f"this is {kind}" if kind else ""


def is_markup(content: bytes | bytearray) -> str:
    """What the markup is with which a body begins, as `XML`; "" when it begins with none."""
    return _markup((_text(bytes(content[:_LOOKED_AT])) or "").lstrip(_WHITE), "")


def json_behind(content: bytes | bytearray) -> str:
    """What stands before the JSON of a body, in words; "" when nothing does."""
    return _json_behind((_text(bytes(content[:_LOOKED_AT])) or "").lstrip(_WHITE))


def key_for(content: bytes | bytearray, content_type: str) -> tuple[str, str]:
    """Which key of a job reads such a body, and its value; two empty texts when none does."""
    head = bytes(content[:_LOOKED_AT])
    kind = kind_of_body(head, content_type).removeprefix("this is ")
    if kind.startswith("JSON behind a prefix"):
        return "strip_prefix", cut(_prefix((_text(head) or "").lstrip(_WHITE)), _SHOWN)
    return next(((name, value) for start, name, value in _KEYS if kind.startswith(start)), ("", ""))


def advice(content: bytes | bytearray, content_type: str) -> str:
    """The same in words: the end of a sentence."""
    name, value = key_for(content, content_type)
    if name == "strip_prefix":
        value = in_yaml(value)
    other = ", or what it is written in" if value == _GUESS else ""
    return f"; write {name}: {value}{other}" if name else ""


def in_yaml(text: str) -> str:
    """A text in the quotes that YAML needs for it, on one line."""
    is_plain = "'" not in text and text.isprintable()
    return f"'{text}'" if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())


def charset_advice(content: bytes | bytearray, content_type: str) -> str:
    """The same for a body that is not in the charset that it should be in."""
    if _text(bytes(content[:_LOOKED_AT])) is not None:
        return "; write charset: utf-8"
    key = advice(content, content_type)
    return key if "charset:" in key else ""


def _deflated(head: bytes) -> str:
    """zlib's format, which HTTP calls deflate, or a raw deflate stream that holds a document."""
    is_zlib = len(head) > 2 and head[0] == 0x78 and head[1] in _ZLIB_LEVELS
    try:
        inner = zlib.decompressobj(15 if is_zlib else -15).decompress(head, 64)
    except zlib.error:
        return ""
    looks_right = is_zlib or inner.lstrip()[:1] in (b"{", b"[", b"<")
    return "deflate (zlib), which no Content-Encoding says" if inner and looks_right else ""


def _text(head: bytes) -> str | None:
    """The text; None when it is no UTF-8. A character may be cut in two at the end."""
    head = head.rstrip(b"\x00")  # as devices send them
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) < _LOOKED_AT or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode()
    return None if "\x00" in text else text


def _not_utf8(head: bytes) -> str:
    zeros = (head[0:200:2].count(0), head[1:200:2].count(0))
    half = len(head[:200]) // 2
    if half and max(zeros) > half * 0.6 and min(zeros) < half * 0.2:
        return "this is UTF-16 text, which its Content-Type does not name"
    control = sum((byte < 0x20 and byte not in b"\t\r\n") or byte == 0x7F for byte in head)
    if control > len(head) / 50 or b"\x00" in head:
        return "this is binary data"
    return "this is text in another charset, perhaps ISO-8859-1 or windows-1252, which its Content-Type does not name"


def _kind_of_text(text: str, content_type: str) -> str:
    """What a text is, in words behind `this is`; "" for JSON with a mistake in it."""
    markup = _markup(text, content_type)
    if markup:
        return markup
    behind = _json_behind(text)
    if behind:
        return behind
    if _is_several(text, content_type):
        return "NDJSON, one JSON value after the other (also called JSON Lines)"
    if text[0] in '{["':
        return "JSON that breaks off" if _breaks_off(text) else ""
    if _METRICS.match(text):
        return "perhaps a page of metrics, which scrape_configs read"
    if "csv" in content_type or _is_table(text):
        return "CSV"
    return "plain text"


def _markup(text: str, content_type: str) -> str:
    if not text.startswith("<"):
        return ""
    start = _COMMENTS.sub("", text, count=1)
    declared = _DECLARATION.match(start)
    root = _COMMENTS.sub("", start[declared.end() :], count=1) if declared else start
    if _HTML.match(root) or ("text/html" in content_type and not declared):
        return "a page for people: it looks like HTML (a login page, or one of a proxy?)"
    return "XML" if _XML.match(start) or "xml" in content_type else ""


def _json_behind(text: str) -> str:
    """JSON after something that keeps browsers from running it, or inside a call."""
    if prefix := _prefix(text):
        jsonp = " (JSONP)" if prefix.endswith("(") else ""
        return f"JSON behind a prefix, '{cut(printable(prefix), 40)}'{jsonp}"
    if _EVENT_STREAM.match(text):
        return "an event stream (data: …)"
    return "JSON text sequences, each behind a record separator" if text.startswith("\x1e") else ""


def _prefix(text: str) -> str:
    found = _CALL.match(text) or _ASSIGNMENT.match(text) or _PREFIX.match(text)
    return found[0].strip() if found else ""


def _is_several(text: str, content_type: str) -> bool:
    """A first JSON value, and behind it another one on its own line (or an object or list at once)."""
    try:
        first, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    behind = text[end:]
    if isinstance(first, dict | list):
        return behind.lstrip()[:1] in ("{", "[")
    return bool(re.match(r"[ \t\r]*\n\s*[\[{\"0-9tfn-]", behind)) and "csv" not in content_type


def _breaks_off(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return len(text) < _LOOKED_AT and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"))
    except (ValueError, RecursionError):
        pass
    return False


def _is_table(text: str) -> bool:
    """Two lines or more with the same separators in each."""
    lines = [line for line in text.split("\n")[:4] if line.strip()]
    return len(lines) > 1 and any(
        lines[0].count(one) and len({line.count(one) for line in lines[:-1] or lines}) == 1 for one in SEPARATORS
    )
