"""A YAML file as the converters handle it: an ordered tree in which every scalar keeps its text and quoting, and the
user's comments stay beside what they speak of.

Aliases and merge keys are written out on the way in. What a converter drops leaves a comment in its place.
ruamel.yaml writes the result but does not read the input: it gives all comment lines up to the next entry to the scalar
before them, loses one after a comma of a flow, and refuses YAML 1.1 that Prometheus reads, as a tab after a `:`.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import yaml

from lambda_remote_write.config import scalars
from lambda_remote_write.config.yaml_reader import ConfigError, Diagnostics, Problem, Section, compose, is_null, kind_of

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WIDTH = 100  # of a comment, wherever it will stand


@dataclass(slots=True)
class Scalar:
    """A single value. `style` is YAML's own: empty for plain, else ' " | or >. `raw` is the text before a collector's
    expansion, `variables` are the names in it that have no value yet."""

    text: str
    style: str = ""
    raw: str = ""
    variables: tuple[str, ...] = ()


@dataclass(slots=True)
class Entry:
    """A pair of a map, or with an empty `key` an item of a list. `path` and `line` say where the input has it."""

    key: str
    value: Value
    line: int = 0
    path: str = ""
    key_style: str = ""
    above: list[str] = field(default_factory=list)
    beside: str = ""

    @property
    def text(self) -> str:
        return self.value.text if isinstance(self.value, Scalar) else ""

    @property
    def map(self) -> Map:
        """The value; an empty map when it is none."""
        return self.value if isinstance(self.value, Map) else Map()

    @property
    def items(self) -> list[Entry]:
        """What a list holds; nothing when the value is none."""
        return self.value.pairs() if isinstance(self.value, List) else []


@dataclass(slots=True)
class Comment:
    """A comment of ours. `above` are the user's own comment lines, `below` more lines as they are."""

    text: str
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Collection:
    """Entries and comments, in their order."""

    entries: list[Entry | Comment] = field(default_factory=list)
    flow: bool = False

    def pairs(self) -> list[Entry]:
        return [entry for entry in self.entries if isinstance(entry, Entry)]


class Map(_Collection):
    """Pairs of a key and a value."""

    def get(self, key: str) -> Entry | None:
        return next((pair for pair in self.pairs() if pair.key == key), None)

    def text(self, key: str) -> str:
        """The text of a single value; empty when the key is absent, null or no single value."""
        pair = self.get(key)
        return pair.text if pair and not is_empty(pair.value) else ""

    def map(self, key: str) -> Map:
        """The map at a key; an empty one when there is none."""
        pair = self.get(key)
        return pair.map if pair else Map()

    def maps(self, key: str) -> list[Map]:
        """The maps in the list at a key."""
        return [item.value for item in self.items(key) if isinstance(item.value, Map)]

    def items(self, key: str) -> list[Entry]:
        pair = self.get(key)
        return pair.items if pair else []

    def texts(self, key: str) -> list[str]:
        return [item.text for item in self.items(key)]

    def put(self, key: str, value: Value, like: Entry | None = None) -> Entry:
        """Appends a pair, with the place and comments of the input's entry that it comes from."""
        pair = replace(like, key=key, value=value, key_style="") if like else Entry(key, value)
        self.entries.append(pair)
        return pair


class List(_Collection):
    """Items without keys."""


Value = Scalar | Map | List


def is_empty(value: Value) -> bool:
    """True for `key:` without a value."""
    return isinstance(value, Scalar) and not value.style and value.text in scalars.NULL


def scalar(text: str) -> Scalar:
    """A text of ours: quoted where YAML would read it as nothing."""
    return Scalar(text, "'" if text in scalars.NULL else "")


def listing(*values: Value, flow: bool = False) -> List:
    return List([Entry("", value) for value in values], flow)


def mapping(flow: bool = False, **pairs: str) -> Map:
    """A map of plain texts."""
    return Map([Entry(key, scalar(text)) for key, text in pairs.items()], flow)


def comment_lines(text: str) -> list[str]:
    """A text as lines of comment."""
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of the input that the result does not have. `path` and `line` are the input's."""

    path: str
    line: int
    why: str


@dataclass(slots=True)
class DroppedKeys:
    """What a conversion has dropped so far, and what only a person can do."""

    entries: list[Dropped] = field(default_factory=list)
    to_do: list[Dropped] = field(default_factory=list)

    def note(self, entry: Entry, why: str, *, name: str = "", below: Iterable[str] = ()) -> Comment:
        """Remembers the loss of an entry; the comment is for its place."""
        self.entries.append(Dropped(entry.path, entry.line, why))
        text = f"dropped {name or entry.key or entry.path.rpartition('.')[2]}: {why}"
        return Comment(text, above=entry.above, below=[*below])

    def drop(self, container: Map | List, entry: Entry, why: str, *, name: str = "") -> Comment:
        """Puts a comment in the place of an entry."""
        comment = self.note(entry, why, name=name)
        place = next(index for index, other in enumerate(container.entries) if other is entry)
        container.entries[place] = comment
        return comment

    def by_hand(self, entry: Entry, why: str) -> Comment:
        """Remembers that the result is of no use until a person has done something about this entry of the input."""
        self.to_do.append(Dropped(entry.path, entry.line, why))
        return Comment(f"TO DO: {why}")

    def change_by_hand(self, place: Entry, entry: Entry, why: str) -> None:
        """As `by_hand`, said above an entry of the result."""
        self.by_hand(entry, why)
        place.above = [*place.above, *comment_lines(f"TO DO: {why}")]

    def change(self, entry: Entry, why: str) -> None:
        """Says above an entry that stays why it is not as it was, unless an earlier conversion said it already."""
        self.entries.append(Dropped(entry.path, entry.line, why))
        detail = " ".join(line.lstrip("# ") for line in entry.above)
        if why not in detail:
            entry.above = [*entry.above, *comment_lines(why)]


# reading


def read(text: str, file: str, list_key: str = "") -> Map:
    """YAML text -> tree; a list of maps at the top becomes the value of `list_key`. Raises ConfigError, with lines, for
    anything else that is no YAML map."""
    text = text.removeprefix("\ufeff")
    node, diagnostics = compose(text, file), Diagnostics(file)
    reader = _Reader(text, diagnostics)
    top = reader.value(node, "", -1) if node else None
    if list_key and isinstance(top, List) and top.pairs() and all(isinstance(one.value, Map) for one in top.pairs()):
        top = Map([Entry(list_key, top, 1, list_key)])
    if not isinstance(top, Map):
        detail = "the file is empty" if is_null(node) else f"a map of keys is expected at the top, not {kind_of(node)}"
        raise ConfigError([Problem(file, 1, "", detail)])
    if diagnostics.problems:
        raise ConfigError(diagnostics.problems)
    if rest := reader.comments.above(len(text) + 1):
        top.entries.append(Comment("", above=rest))
    return top


class _Comments:
    """The comments of a file that no entry has taken yet: those that stand alone, each with its line and column (a
    blank line counts as one, with an empty text), and by their line those beside something."""

    def __init__(self, text: str) -> None:
        self._own: deque[tuple[int, int, str]] = deque()
        self._beside: dict[int, str] = {}
        tokens = yaml.scan(text, Loader=_Loader)
        last = next(tokens)
        with contextlib.suppress(yaml.YAMLError):  # what comes after the first document need not be YAML
            for token in tokens:  # between two tokens stand white space and comments only
                self._read_gap(text[last.end_mark.index : token.start_mark.index], last)
                if token.end_mark.index >= last.end_mark.index:
                    last = token

    def _read_gap(self, gap: str, token: yaml.Token) -> None:
        """What stands after a token."""
        mark, pieces = token.end_mark, gap.split("\n")
        for offset, piece in enumerate(pieces):
            text = piece.strip()
            ends_line = offset == 0 and mark.column > 0
            if text and ends_line and not isinstance(token, yaml.BlockEntryToken):  # a dash's is that of the item below
                self._beside[mark.line] = text
            elif text or (not ends_line and offset < len(pieces) - 1):
                self._own.append((mark.line + offset, len(piece) - len(piece.lstrip()), text))

    def above(self, line: int, column: int = 0, *, ends_block: bool = False) -> list[str]:
        """Lines of comment that stand before this line and not left of this column, with no two blank lines after one
        another. Those that end a block end it without the blank lines after them."""
        found = takewhile(lambda one: one[0] < line and (one[1] >= column or not one[2]), self._own)
        texts = [text for _, _, text in found]
        while ends_block and texts and not texts[-1]:
            texts.pop()
        for _ in texts:
            self._own.popleft()
        return [text for index, text in enumerate(texts) if text or index == 0 or texts[index - 1]]

    def beside(self, line: int, value: Any) -> str:
        """Comments at the end of the lines of an entry, the first and, if it is no block, those of its value."""
        is_flow = value.flow_style if isinstance(value, yaml.CollectionNode) else value.style not in ("|", ">")
        last = max(line, value.end_mark.line) if is_flow else line
        return "  ".join(self._beside.pop(one) for one in range(line, last + 1) if one in self._beside)


class _Reader:
    """Nodes -> tree. `diagnostics` gets what is wrong with them."""

    def __init__(self, text: str, diagnostics: Diagnostics) -> None:
        self.comments, self._diagnostics = _Comments(text), diagnostics

    def value(self, node: Any, path: str, column: int) -> Value:
        """`column` is that of the key, or of the list, that holds the value."""
        if isinstance(node, yaml.ScalarNode):
            return Scalar(node.value, node.style or "", raw=node.value)
        is_flow = bool(node.flow_style)
        found = Map(flow=is_flow) if isinstance(node, yaml.MappingNode) else List(flow=is_flow)
        for entry, inner, inner_column in self._entries(node, path):
            line = entry.line - 1
            entry.above = [] if is_flow else self.comments.above(line)
            entry.value = self.value(inner, entry.path, inner_column)
            entry.beside = "" if is_flow else self.comments.beside(line, inner)
            found.entries.append(entry)
        column = max(node.start_mark.column, column + 1)  # what stands there, or further in, ends this block
        if not is_flow and (left := self.comments.above(node.end_mark.line, column, ends_block=True)):
            found.entries.append(Comment("", above=left))
        return found

    def _entries(self, node: yaml.CollectionNode, path: str) -> Iterator[tuple[Entry, yaml.Node, int]]:
        """The entries of a map or list without their values, each with the node of its value, and its column."""
        if isinstance(node, yaml.MappingNode):
            section = Section(node, path, self._diagnostics)
            for key, value in section.pairs():
                place, name = key.start_mark, key.value
                yield (
                    Entry(name, Scalar(""), place.line + 1, section.path_of(name), key.style or ""),
                    value,
                    place.column,
                )
        else:
            for index, item in enumerate(node.value):
                entry = Entry("", Scalar(""), item.start_mark.line + 1, f"{path}[{index}]")
                yield entry, item, node.start_mark.column
