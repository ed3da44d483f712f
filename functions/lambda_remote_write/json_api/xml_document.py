"""XML -> the document that xmltodict makes of it: attributes are `@name`, the text beside them is `#text`, repeated
elements are a list, an empty one is null, and names keep their prefixes.

xmltodict itself is left out: of its options none is needed, and it reads a DTD, whose declarations are refused here.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

MAX_DEPTH = 200
"""Of elements in elements. SOAP and libvirt have about ten."""
MAX_NODES = 1_000_000
"""Elements and attributes of one body: each takes up to 300 bytes of memory, where it may take four in the body."""
_NO_ENTITY = "; only those of XML itself (&amp;, &lt;, …) are read; ask the API for JSON, or for text without others"
_AT_THE_END = (
    expat.errors.XML_ERROR_NO_ELEMENTS,
    expat.errors.XML_ERROR_UNCLOSED_TOKEN,
    expat.errors.XML_ERROR_PARTIAL_CHAR,
    expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
)
"""What expat says of a text that stops."""
_QUOTED = rb"""\s*(?:"[^"]*"|'[^']*')"""
_DOCTYPE = re.compile(
    rb"(?>(?:<\?.*?\?>|<!--.*?-->|\s+)*)(?P<doctype><!DOCTYPE\s+[^\s<>\[\"']+"
    rb"(?:\s+(?:SYSTEM|PUBLIC" + _QUOTED + rb")" + _QUOTED + rb")?\s*>)",
    re.DOTALL,
)
"""A document type that declares nothing itself, as nvidia-smi and property lists have it (XML 1.0, 2.8)."""
Element = dict[str, Any]


class BadXml(ValueError):
    """A text that is no XML, or more than is read; the message says where."""


def document(content: bytes | bytearray) -> Element:
    """A text in UTF-8 -> its root element under its name. Raises BadXml."""
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says
    builder = _Builder(parser)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refuse_dtd
    try:
        parser.Parse(_without_doctype(bytes(content.lstrip())), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        hint = _NO_ENTITY if error.code == expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY] else ""
        if reason in _AT_THE_END and builder.is_open:
            hint = "; it ends before its last element does: the API may have cut it off"
        raise BadXml(f"{reason}, line {error.lineno} column {error.offset + 1}{hint}") from None
    return builder.root


def _without_doctype(content: bytes) -> bytes:
    """The text with blanks for a document type that declares nothing, so that places in messages hold. The parser must
    not see it: of a DTD that it did not read it takes any entity for declared, and leaves it out without a word."""
    found = _DOCTYPE.match(content)
    if found is None:
        return content
    start, end = found.span("doctype")
    return content[:start] + re.sub(rb"[^\n]", b" ", content[start:end]) + content[end:]


class _Builder:
    """Makes objects of what the parser finds. An element without attributes and children is its text."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        self.root: Element = {}
        self._item: Element | None = self.root
        self._texts: list[str] = []
        self._around: list[tuple[Element | None, list[str]]] = []
        self._nodes = 0

    @property
    def is_open(self) -> bool:
        """Whether an element has begun that has not ended."""
        return bool(self._around)

    def _refused(self, detail: str) -> BadXml:
        return BadXml(f"{detail}, line {self._parser.CurrentLineNumber} column {self._parser.CurrentColumnNumber + 1}")

    def refuse_dtd(self, *_: object) -> None:
        """Entities are declared there, which may stand for billions of characters or for files."""
        raise self._refused(
            "it has a DTD (<!DOCTYPE … [ … ]>), which is refused; ask the API for XML without it, or for JSON"
        )

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._around) >= MAX_DEPTH:
            raise self._refused(f"its elements are nested deeper than {MAX_DEPTH} levels")
        self._nodes += 1 + len(attributes)
        if self._nodes > MAX_NODES:
            raise self._refused(f"it has more than {MAX_NODES:,} elements and attributes; ask for less at once")
        self._around.append((self._item, self._texts))
        self._item = {f"@{attribute}": text for attribute, text in attributes.items()} or None
        self._texts = []

    def text(self, text: str) -> None:
        self._texts.append(text)

    def end(self, name: str) -> None:
        text = "".join(self._texts).strip() or None
        value: Any = self._item
        if value is None:
            value = text
        elif text:
            _add(value, "#text", text)
        outer, self._texts = self._around.pop()
        self._item = outer = {} if outer is None else outer
        _add(outer, name, value)


def _add(item: Element, name: str, value: Any) -> None:
    """A second value of a name makes a list of both."""
    if name not in item:
        item[name] = value
    elif isinstance(item[name], list):
        item[name].append(value)
    else:
        item[name] = [item[name], value]
