"""Walks a YAML node tree and collects every mistake with its line and key path instead of stopping at the first.

Scalars stay text until the field's own type converts them (`scalars`), because YAML's implicit types would turn
`1.10`, `012` and `22:22` into something Prometheus does not read there.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

import yaml

from ..report.mask import printable
from . import scalars

T = TypeVar("T")
D = TypeVar("D")
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_CONFIG_BYTES = 1_000_000  # larger than any config: the wrong file
_MAX_DEPTH = 64
_MAX_NODES = 200_000  # with every alias written out: a few lines of aliases can stand for billions
_MAX_PROBLEMS = 1_000  # a file with more is not a config of ours
_MAX_EXPLAINED = 100  # unknown keys of a map, with those that are near: to look for them takes milliseconds each
_ESCAPED_QUERY = re.compile("%3F|%23", re.IGNORECASE)  # its mark, or a fragment's
_MAX_SHOWN_KEYS = 3  # in place of an unknown one; the whole list would hide the answer
_YAML = "tag:yaml.org,2002:"
_BINARY, _NULL, _STR = f"{_YAML}binary", f"{_YAML}null", f"{_YAML}str"
_KINDS = {yaml.MappingNode: "a map", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it stands and what would be right. Never carries the value of a secret."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return printable(f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}")


class ConfigError(Exception):
    """A config that must not start. `problems` holds all its mistakes, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class ScalarsRead:
    """The nodes of a file by what they were read as: `plain` ones may be shown, `hidden` ones may be or hold a secret.
    What was read as neither may be anything."""

    plain: set[yaml.ScalarNode] = field(default_factory=set)
    hidden: set[yaml.ScalarNode] = field(default_factory=set)


@dataclass(slots=True)
class Diagnostics:
    """What reading one file found: problems (fatal together) and warnings."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    scalars: ScalarsRead | None = None  # which may be shown, where that is asked for

    def problem(self, line: int, path: str, message: str) -> None:
        if not self.is_full:
            self.problems.append(Problem(self.file, line, path, message))
            if self.is_full:
                self.problems.append(Problem(self.file, line, "", "there are more mistakes than these"))

    def refuse_variable(self, name: str, value: str, detail: object) -> None:
        """A mistake in a variable of the environment."""
        message = f"{value[:100]!r} is not allowed: {detail}"
        self.problems.append(Problem("environment", 0, name, message))

    @property
    def is_full(self) -> bool:
        return len(self.problems) >= _MAX_PROBLEMS


def compose(text: str, file: str, diagnostics: Diagnostics | None = None) -> yaml.Node | None:
    """YAML text -> node tree of its first document (None for an empty file). As in Prometheus, what comes after it does
    not count, of which `diagnostics` warn. Raises ConfigError for what is not YAML."""
    if len(text) > _MAX_CONFIG_BYTES:
        problem = f"the file has {len(text)} characters; a config has at most {_MAX_CONFIG_BYTES}"
        raise ConfigError([Problem(file, 0, "", problem)])
    try:
        has_binary = _check_events(text)
        node, ends_here = _first_document(text)
        for scalar in _binary_scalars(node, set()) if has_binary else ():
            scalar.value, scalar.tag = _from_base64(scalar.value), _STR
        if diagnostics is not None and not ends_here:
            detail = "only the first YAML document of a file counts, and this one goes on after it"
            diagnostics.warnings.append(Problem(file, 0, "", detail))
        if node is not None:
            too_deep: list[yaml.Node] = []
            _check_aliases(node, {}, too_deep)
            if too_deep:
                raise _TooMuch(too_deep[0].start_mark, f"nested deeper than {_MAX_DEPTH} levels, aliases written out")
        return node
    except yaml.YAMLError as error:
        raise ConfigError([_not_yaml(error, text, file)]) from None
    except _TooMuch as error:
        raise ConfigError([Problem(file, error.line, "", str(error))]) from None


def _not_yaml(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        before = text.encode()[: getattr(error, "position", 0)]
        return Problem(file, before.count(b"\n") + 1, "", f"not YAML: {getattr(error, 'reason', 'unreadable text')}")
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    hint = "; indent with spaces, not tabs" if "\t" in "".join(text.splitlines()[line : line + 1]) else ""
    detail = ", ".join(filter(None, (error.context, error.problem)))
    return Problem(file, line + 1, "", f"not YAML: {detail}{hint}")


class _TooMuch(Exception):
    """The tree would cost more than any config is worth, or cannot be read. `where` is the mark of the node at which
    that shows."""

    def __init__(self, where: Any, message: str) -> None:
        self.line: int = where.line + 1
        super().__init__(message)


def _first_document(text: str) -> tuple[yaml.Node | None, bool]:
    """The document, and whether the text ends with it."""
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_node() if loader.check_node() else None
        with contextlib.suppress(yaml.YAMLError):  # what comes after it need not be YAML
            return node, not loader.check_node()
        return node, False
    finally:
        loader.dispose()


def _binary_scalars(node: yaml.Node | None, known: set[int]) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        if node.tag == _BINARY:
            yield node
    elif node is not None and id(node) not in known:
        known.add(id(node))
        pairs = node.value if isinstance(node, yaml.MappingNode) else [node.value]
        for child in (part for pair in pairs for part in pair):
            yield from _binary_scalars(child, known)


def _from_base64(text: str) -> str:
    """What a `!!binary` scalar stands for, as Go's yaml.v2 decodes it. Raises ValueError."""
    import base64

    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
    except UnicodeDecodeError:
        raise ValueError("!!binary holds bytes that are no UTF-8 text") from None
    except ValueError:
        raise ValueError("!!binary holds no base64") from None


def _null(text: str) -> None:
    if text not in scalars.NULL:
        raise ValueError


_TAGGED: dict[str, Callable[[str], object]] = {  # how a text must read that has this tag written before it
    "binary": _from_base64, "int": scalars.integer, "float": scalars.yaml_float, "bool": scalars.boolean, "null": _null,
}  # fmt: skip


def _check_tag(event: yaml.ScalarEvent) -> None:
    """What Go refuses to read as its own tag says. A tag beyond YAML's says nothing."""
    name = (event.tag or "").removeprefix(_YAML)
    try:
        _TAGGED.get(name, str)(event.value)
    except ValueError as error:
        detail = str(error) if event.tag == _BINARY else f"this value cannot be read as !!{name}"
        raise _TooMuch(event.start_mark, detail) from None


def _check_events(text: str) -> bool:
    """Looks at the first document: its depth, its version, and the tags of its scalars. Returns whether one of these
    is `!!binary`."""
    depth, has_binary = 0, False
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.ScalarEvent):
            if event.tag:
                _check_tag(event)
                has_binary = has_binary or event.tag == _BINARY
        elif isinstance(event, yaml.DocumentStartEvent):
            if event.version not in (None, (1, 1)):
                raise _TooMuch(event.start_mark, "not YAML 1.1, which is what Prometheus reads: leave out %YAML")
        elif isinstance(event, yaml.DocumentEndEvent):
            break
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _TooMuch(event.start_mark, f"nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return has_binary


def _check_aliases(node: yaml.Node, sizes: dict[int, tuple[int, int]], too_deep: list[yaml.Node]) -> tuple[int, int]:
    """How many nodes, and how many levels, the tree has with its aliases written out; an alias is the very node that it
    names. What an alias names stands before it and is counted by then, so that this goes no deeper than the text does.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    if id(node) not in sizes:
        sizes[id(node)] = 0, 0  # being counted: to meet it again inside itself is a circle
        children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counted = [_check_aliases(child, sizes, too_deep) for child in children]
        sizes[id(node)] = 1 + sum(size for size, _ in counted), 1 + max((depth for _, depth in counted), default=0)
    size, depth = sizes[id(node)]
    if not size:
        raise _TooMuch(node.start_mark, "an alias stands inside what it names")
    if size > _MAX_NODES:
        raise _TooMuch(node.start_mark, f"more than {_MAX_NODES} values, aliases written out")
    if depth > _MAX_DEPTH:
        too_deep.append(node)
    return size, depth


def is_null(node: yaml.Node | None) -> bool:
    """True for a key that is absent or written without a value: both leave the default, as in Prometheus."""
    return node is None or node.tag == _NULL


def kind_of(node: yaml.Node | None) -> str:
    """`a map`, `a list` or `a single value`."""
    return _KINDS[type(node)] if node is not None else "nothing"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known words in a sentence: all of a few, else those that are nearest to this one."""
    allowed = sorted(known)
    if len(allowed) <= _MAX_SHOWN_KEYS:
        return f"allowed here: {', '.join(allowed)}" if allowed else "no key is allowed here"
    near = difflib.get_close_matches(word, allowed, n=_MAX_SHOWN_KEYS, cutoff=0.0)
    return f"nearest: {', '.join(near)}; docs/config.md has all keys"


def shown_url(url: str) -> str:
    """A URL without user, password, query and fragment: those may hold secrets. A query that was written into a path is
    escaped there, and none all the same."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port  # no number: a password with a slash in it may stand here, and go on in the path
    except ValueError:
        return "(a URL)"
    path = _ESCAPED_QUERY.split(parts.path)[0]
    return f"{parts.scheme}://{host}{path}" if parts.scheme and host else "(a URL)"


class Section:
    """One YAML map being read. Each accessor names a key; `close` then reports the keys that none has named.

    `defaults` is the object of `schema` that the map becomes: a key that is absent, and of which the accessor is given
    no default, has the value of the field of its name there.
    """

    def __init__(self, node: yaml.MappingNode, path: str, diagnostics: Diagnostics, defaults: object = None) -> None:
        self.node, self.path, self.diagnostics, self.defaults = node, path, diagnostics, defaults
        self._named: set[str] = set()
        self._wrong: set[str] = set()
        self._entries: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        self._fill(node, own=True, merging=())

    def _fill(self, node: yaml.MappingNode, own: bool, merging: tuple[int, ...]) -> None:
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(key, yaml.ScalarNode):
                self.problem_at(key, "", "a key must be a single value")
            elif key.value in self._entries:
                if own:
                    self.problem_at(key, key.value, "the key stands twice in this map")
            else:
                self._entries[key.value] = (key, value)
        for other in merged:
            if isinstance(other, yaml.MappingNode) and id(other) not in merging:
                self._fill(other, own=False, merging=(*merging, id(node)))
            else:
                self.problem_at(other, "<<", "only maps can be merged")

    # problems

    def path_of(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def problem_at(self, node: yaml.Node, key: str, message: str) -> None:
        self._wrong.add(key.partition("[")[0])
        self.diagnostics.problem(node.start_mark.line + 1, self.path_of(key), message)

    def problem(self, key: str, message: str, node: yaml.Node | None = None) -> None:
        """A mistake at `key`; at `node`, or the map itself, when that is no key of the map."""
        self.problem_at(self._place_of(key, node), key, message)

    def is_wrong(self, key: str) -> bool:
        """True when a mistake at `key` was reported: what depends on its value cannot be checked."""
        return key in self._wrong

    def warn(self, key: str, message: str) -> None:
        line = self._place_of(key).start_mark.line + 1
        self.diagnostics.warnings.append(Problem(self.diagnostics.file, line, self.path_of(key), message))

    def _place_of(self, key: str, node: yaml.Node | None = None) -> yaml.Node:
        """The written key, not its value: that may begin lines below, or stand at an anchor elsewhere."""
        entry = self._entries.get(key)
        return entry[0] if entry else node or self.node

    def close(self, unsupported: Mapping[str, str] | None = None) -> None:
        """Reports unknown keys. `unsupported` maps keys of other programs to what to write instead."""
        unknown = 0
        for name, (key, _) in self._entries.items():
            if name in self._named or self.diagnostics.is_full:
                continue
            if unsupported and name in unsupported:
                self.problem_at(key, name, unsupported[name])
                continue
            unknown += 1
            near = unknown <= _MAX_EXPLAINED
            hint = f"{did_you_mean(name, self._named)} ({nearest(name, self._named)})" if near else ""
            self.problem_at(key, name, f"unknown key{hint}")

    # reading

    def __iter__(self) -> Iterator[str]:
        """The written keys, in their order."""
        return iter(list(self._entries))

    def pairs(self) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The nodes of keys and values, in the order of the file; merged ones come last."""
        return list(self._entries.values())

    def has(self, key: str) -> bool:
        """True when the key is written with a value (`key:` alone counts as absent)."""
        self._named.add(key)
        return not is_null(self.value(key))

    def is_empty(self, key: str) -> bool:
        """True for a key whose value is the empty text."""
        node = self.value(key)
        return isinstance(node, yaml.ScalarNode) and not node.value

    def value(self, key: str) -> yaml.Node | None:
        """The node of the key's value; None for one that is absent."""
        self._named.add(key)
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def _expect(self, key: str, kind: type) -> yaml.Node | None:
        node = self.value(key)
        if node is None or is_null(node):
            return None
        if not isinstance(node, kind):
            self.problem(key, f"{_KINDS[kind]} is expected here, not {kind_of(node)}")
            return None
        return node

    @overload
    def read(self, key: str, convert: Callable[[str], T]) -> T | None: ...
    @overload
    def read(self, key: str, convert: Callable[[str], T], default: D) -> T | D: ...
    def read(self, key: str, convert: Callable[[str], T], default: D | None = None) -> T | D | None:
        """A single value through `convert` (which raises ValueError), or the default when absent or wrong."""
        return self.converted(self.value(key), key, convert, default) if self.has(key) else default

    def text(self, key: str, default: str | None = None) -> str:
        return self.read(key, str, getattr(self.defaults, key, "") if default is None else default)

    def hidden(self, key: str, convert: Callable[[str], T]) -> T | None:
        """Like `read` for a value that may be or hold a secret: a mistake is reported without the value."""
        return self.converted(self.value(key), key, convert, None, hidden=True) if self.has(key) else None

    def converted(
        self, node: yaml.Node | None, key: str, convert: Callable[[str], T], default: D, *, hidden: bool = False
    ) -> T | D:
        """The value of a key, or one of a list, through `convert`, or the default when it is wrong. Of a `hidden` one,
        a mistake is reported without the value."""
        if not isinstance(node, yaml.ScalarNode):
            self.problem(key, f"a single value is expected here, not {kind_of(node)}", node)
            return default
        if scalars_read := self.diagnostics.scalars:
            (scalars_read.hidden if hidden else scalars_read.plain).add(node)
        text = "" if is_null(node) else str(node.value)  # what Go reads into a string
        try:
            return convert(text)
        except ValueError as error:
            self.problem(key, str(error) if hidden else f"{text[:100]!r} is not allowed: {error}", node)
            return default

    def choice(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        options = list(allowed)

        def one_of(text: str) -> str:
            if text not in options:
                raise ValueError(f"allowed are {', '.join(options)}{did_you_mean(text, options)}")
            return text

        return self.read(key, one_of, self._default(key, default))

    def _default(self, field_name: str, default: T | None) -> T:
        if default is not None:
            return default
        found: T = getattr(self.defaults, field_name)
        return found

    def duration_ms(self, key: str, default: int | None = None) -> int:
        return self.read(key, scalars.duration_ms, self._default(f"{key}_ms", default))

    def positive_ms(self, key: str, default: int | None = None) -> int:
        """A duration of which 0 means the default."""
        default = self._default(f"{key}_ms", default)
        return self.duration_ms(key, default) or default

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self.read(key, scalars.boolean, self._default(key, default))

    def integer(self, key: str, default: int | None = None, minimum: int = 0) -> int:
        def whole(text: str) -> int:
            number = scalars.integer(text)
            if number < minimum:
                raise ValueError(f"a whole number of at least {minimum} is expected")
            if number >= 2**63:
                raise ValueError("a whole number below 2^63 is expected")
            return number

        return self.read(key, whole, self._default(key, default))

    def number(self, key: str, default: float | None = None) -> float:
        return self.read(key, scalars.yaml_float, self._default(key, default))

    def section(self, key: str, defaults: object = None) -> Section | None:
        node = self._expect(key, yaml.MappingNode)
        return self.at(node, key, defaults) if isinstance(node, yaml.MappingNode) else None

    def map(self, key: str, defaults: object = None) -> Section:
        """The map at `key`; an empty one when there is none."""
        found = self.section(key, defaults)
        if found is not None or defaults is None:
            return found or _NO_KEYS
        return self.at(_NO_KEYS.node, key, defaults)

    def sections(self, key: str) -> list[Section]:
        """A list of maps."""
        found = []
        for path, node in self.items(key):
            if isinstance(node, yaml.MappingNode):
                found.append(self.at(node, path))
            else:
                self.problem_at(node, path, f"a map is expected here, not {kind_of(node)}")
        return found

    def items(self, key: str) -> list[tuple[str, yaml.Node]]:
        """The entries of a list, each with its path."""
        node = self._expect(key, yaml.SequenceNode)
        return [(f"{key}[{index}]", one) for index, one in enumerate(node.value)] if node is not None else []

    def texts(self, key: str) -> list[str]:
        """A list of single values."""
        return self.read_list(key, str)

    def read_list(self, key: str, convert: Callable[[str], T], *, hidden: bool = False) -> list[T]:
        """A list of single values through `convert`, without those that are wrong."""
        found = (self.converted(node, path, convert, None, hidden=hidden) for path, node in self.items(key))
        return [one for one in found if one is not None]

    def is_null_key(self, key: str) -> bool:
        """True for a key that is written as null: where keys are names, it is the empty one."""
        entry = self._entries.get(key)
        return entry is not None and is_null(entry[0])

    def is_list(self, key: str) -> bool:
        return isinstance(self.value(key), yaml.SequenceNode)

    def is_map(self, key: str) -> bool:
        return isinstance(self.value(key), yaml.MappingNode)

    def at(self, node: yaml.MappingNode, path: str, defaults: object = None) -> Section:
        """A map that stands at `path` below this one."""
        return Section(node, self.path_of(path), self.diagnostics, defaults)

    def text_map(self, key: str) -> dict[str, str]:
        """A map of single values to text; a value that is no text is reported without showing it."""
        section = self.map(key)
        found = {"" if section.is_null_key(name) else name: section.hidden(name, str) for name in section}
        return {name: text for name, text in found.items() if text is not None}


_NO_KEYS = Section(yaml.MappingNode("", []), "", Diagnostics(""))
"""What stands for every map that is absent: made once, because a large config lacks thousands."""
