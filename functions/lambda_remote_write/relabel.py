"""Relabelling: `relabel_configs`, `metric_relabel_configs` and `write_relabel_configs`, applied as Prometheus does.

Source of every rule here: Prometheus model/relabel/relabel.go and scrape/scrape.go (mutateSampleLabels), Go
regexp.Expand. An empty value and an absent label are the same thing: empty labels are never returned. A label name is
any text in UTF-8, or follows the legacy pattern where `metric_name_validation_scheme` says so. Three deliberate
differences from Prometheus: `labelmap` skips a new name that is not a label name (Prometheus sets it, and the scrape
fails later), legacy validation also holds for `source_labels` (Prometheus accepts names there that no label can have),
and a regex must be complete by itself (`a)|(b` is refused).

Text that is not UTF-8 (a lone surrogate) passes through as its three surrogate bytes: rules copy, match and hash it
without failing, and the encoder refuses it later.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from itertools import takewhile
from typing import Any

import re2


class Action(StrEnum):
    """What a rule does. "Value" is the values of `source_labels` joined by `separator`."""

    REPLACE = "replace"  # set target_label to the expanded replacement if the regex matches the value
    KEEP = "keep"  # drop unless the regex matches the value
    DROP = "drop"  # drop if the regex matches the value
    KEEPEQUAL = "keepequal"  # drop unless target_label holds the value
    DROPEQUAL = "dropequal"  # drop if target_label holds the value
    HASHMOD = "hashmod"  # set target_label to a hash of the value modulo `modulus`
    LOWERCASE = "lowercase"  # set target_label to the value in lower case
    UPPERCASE = "uppercase"  # set target_label to the value in upper case
    LABELMAP = "labelmap"  # copy each label whose name matches to the name that the replacement gives
    LABELDROP = "labeldrop"  # remove labels whose name matches
    LABELKEEP = "labelkeep"  # remove labels whose name does not match


DEFAULT_SEPARATOR = ";"
DEFAULT_REGEX = "(.*)"
DEFAULT_REPLACEMENT = "$1"
MAX_MODULUS = 2**64 - 1  # uint64 in Prometheus
_EXPORTED_PREFIX = "exported_"
_RESERVED_PREFIX = "__"
_CACHED_TEXTS = 1024  # per regex: names repeat across targets, and so do most values of one label

QUIET = re2.Options()
QUIET.log_errors = False  # what is wrong with a regex is an exception

Parts = tuple[str | int, ...]  # a template: literal text, and the numbers of the groups between

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
UTF8_NAME = re.compile(r"[^\ud800-\udfff]+")  # any text but half a pair, which UTF-8 cannot carry
_NAMES = {"utf8": UTF8_NAME, "legacy": LABEL_NAME}  # by metric_name_validation_scheme
_ALLOWED = {"utf8": "any text that is not empty", "legacy": LABEL_NAME.pattern}
_LABEL_NAME_TEMPLATE = re2.compile(r"(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+")  # relabelTargetLegacy
_REGEX_TOKEN = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\(\?P?<(\w+)>", re.DOTALL)


# the regex


class Regex:
    """`^(?s:SOURCE)$` by RE2: matches the whole text or nothing, and `.` matches a newline.

    Raises ValueError, naming what RE2 cannot do, when SOURCE does not compile.
    """

    __slots__ = ("_numbers", "count", "groups", "matches", "source")

    matches: Callable[[str], bool]
    groups: Callable[[str], tuple[str, ...] | None]  # "" for a group that did not match; index 0 is the whole text

    def __init__(self, source: str) -> None:
        compiled = _compile(source)
        self.source = source
        self.count: int = compiled.groups
        self._numbers: dict[str, int] = compiled.groupindex
        if source == DEFAULT_REGEX:
            self.matches = lambda text: True
            self.groups = lambda text: (text, text)
            return

        def matches(text: str) -> bool:
            return compiled.fullmatch(_encode(text)) is not None

        def groups(text: str) -> tuple[str, ...] | None:
            match = compiled.fullmatch(_encode(text))
            return match and (text, *map(_decode, match.groups(b"")))

        self.matches = lru_cache(_CACHED_TEXTS)(matches)
        self.groups = lru_cache(_CACHED_TEXTS)(groups)

    def group_number(self, reference: str) -> int | None:
        """The number of the group that `$reference` names, by Go's rules; None when there is no such group."""
        is_number = reference.isascii() and reference.isdigit() and len(reference) <= 9
        if is_number and (reference == "0" or reference[0] != "0"):
            return int(reference) if int(reference) <= self.count else None
        return self._numbers.get(reference)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regex) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return repr(self.source)


# Bytes, not str, because google-re2 then has no character offsets to compute, which halves the time of a match.
def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _compile(source: str) -> re2._Regexp:
    try:
        re2.compile(source, QUIET)  # alone first: `a)|(b` would escape the anchors
        compiled = re2.compile(f"^(?s:{source})$", QUIET)
    except re2.error as error:
        raise ValueError(_why_not_re2(error)) from None
    names = [name[1] for name in _REGEX_TOKEN.finditer(source) if name[1]]
    if any(token[0] == r"\C" for token in _REGEX_TOKEN.finditer(source)):
        raise ValueError(r"\C (one byte) is not part of Prometheus's RE2")
    if not all(name.isascii() for name in compiled.groupindex):
        raise ValueError("a group name may have only the characters a-z, A-Z, 0-9 and _")
    if len(names) > len(compiled.groupindex):
        raise ValueError("a group name is used twice")
    return compiled


def _why_not_re2(error: re2.error) -> str:
    reason = error.args[0] if error.args else ""
    reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return (
        f"not an RE2 expression ({reason}); RE2, as in Prometheus, has no look-around ((?=, (?!, (?<=, (?<!), "
        "no back-references (\\1, (?P=name)), no atomic groups and no possessive quantifiers"
    )


# templates


def _template(text: str, regex: Regex) -> Parts:
    """`a$1b${name}` -> ("a", 1, "b", 2), by Go's regexp.Expand: `$name` takes the longest run of letters, digits and
    `_`; `$$` is `$`; an unknown group is empty; a `$` before anything else is a `$`."""
    parts: list[str | int] = []
    literal, dollar, rest = text.partition("$")
    while dollar:
        parts.append(literal)
        if rest.startswith("$"):
            parts.append("$")
            rest = rest[1:]
        elif name := _reference(rest):
            number = regex.group_number(name)
            parts.append("" if number is None else number)
            rest = rest[len(name) + 2 :] if rest.startswith("{") else rest[len(name) :]
        else:
            parts.append("$")
        literal, dollar, rest = rest.partition("$")
    parts.append(literal)
    return tuple(part for part in parts if part != "")


def _reference(text: str) -> str:
    """The name at the start of `name...` or `{name}...`; "" when there is none."""
    braced = text.startswith("{")
    name = "".join(takewhile(_is_name_rune, text[braced:]))
    return "" if braced and text[len(name) + 1 : len(name) + 2] != "}" else name


def _is_name_rune(char: str) -> bool:
    return char == "_" or unicodedata.category(char) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"}


def _expand(parts: Parts, groups: tuple[str, ...]) -> str:
    return "".join([part if isinstance(part, str) else groups[part] for part in parts])


# the rule


@dataclass(frozen=True, slots=True, repr=False)
class Rule:
    """One compiled entry of a relabel list; the fields are Prometheus's keys. `rule` validates and makes it."""

    action: Action = Action.REPLACE
    source_labels: tuple[str, ...] = ()
    separator: str = DEFAULT_SEPARATOR
    regex: Regex = field(default_factory=lambda: Regex(DEFAULT_REGEX))
    modulus: int = 0
    target_label: str = ""
    replacement: str = DEFAULT_REPLACEMENT
    name_validation: str = "utf8"
    target_parts: Parts = field(init=False, compare=False)
    replacement_parts: Parts = field(init=False, compare=False)
    is_name: Callable[[str], object] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_name", _NAMES[self.name_validation].fullmatch)
        object.__setattr__(self, "target_parts", _template(self.target_label, self.regex))
        object.__setattr__(self, "replacement_parts", _template(self.replacement, self.regex))

    def __repr__(self) -> str:
        """The keys that differ from their defaults, e.g. `Rule(action='drop', source_labels=('a',), regex='b.*')`."""
        default = Rule()
        keys = [one.name for one in fields(self) if one.init and one.name != "action"]
        changed = [f"{key}={getattr(self, key)!r}" for key in keys if getattr(self, key) != getattr(default, key)]
        return f"Rule({', '.join([f'action={self.action.value!r}', *changed])})"


class InvalidRule(ValueError):
    """A rule that Prometheus refuses. Each of its `problems` is (key, its value as text, what is wrong and what is
    allowed)."""

    def __init__(self, problems: Mapping[str, tuple[str, str]]) -> None:
        self.problems = [(key, value, wrong) for key, (value, wrong) in problems.items()]
        super().__init__("; ".join(f"{key} {value!r}: {wrong}" for key, value, wrong in self.problems))


@dataclass(frozen=True, slots=True)
class _Keys:
    """A rule as it is written, with the defaults of what may be repeated where it does nothing."""

    action: str = Action.REPLACE
    source_labels: Sequence[str] | None = None
    separator: str = DEFAULT_SEPARATOR
    regex: str | None = None
    modulus: int = 0
    target_label: str = ""
    replacement: str = DEFAULT_REPLACEMENT

    def text(self, key: str) -> str:
        value = getattr(self, key)
        return ", ".join(value) if key == "source_labels" else str(value)


def rule(name_validation: str = "utf8", /, **given: Any) -> Rule:
    """The keys of the config -> a compiled rule; Prometheus's defaults fill in the others.

    `name_validation` is the `metric_name_validation_scheme` of the rule's job, `utf8` or `legacy`.
    Values: `modulus` an int, `source_labels` a list of names, the others text. An explicit `replacement=""` deletes
    the target label, an explicit `regex=""` matches only the empty value. Raises InvalidRule with every problem.
    """
    keys = _Keys(**given)
    problems: dict[str, tuple[str, str]] = {}
    action, regex = Action.REPLACE, Regex(DEFAULT_REGEX)
    wrong = [name for name in keys.source_labels or () if not is_valid_label_name(name, name_validation)]
    if wrong:
        problems["source_labels"] = ", ".join(wrong), f"each must be a label name, {_ALLOWED[name_validation]}"
    try:
        regex = regex if keys.regex is None else Regex(keys.regex)
    except ValueError as error:
        problems["regex"] = keys.text("regex"), str(error)
    if not 0 <= keys.modulus <= MAX_MODULUS:
        problems["modulus"] = keys.text("modulus"), f"must be a whole number from 1 to {MAX_MODULUS}"
    try:
        action = Action(keys.action.lower())
    except ValueError:
        problems["action"] = keys.action, f"unknown action; allowed are {', '.join(Action)}"
    else:
        for key, detail in _action_problems(action, keys, name_validation):
            problems.setdefault(key, (keys.text(key) if key in given else "", detail))
    if problems:
        raise InvalidRule(problems)
    labels = tuple(keys.source_labels or ())
    return Rule(
        action, labels, keys.separator, regex, keys.modulus, keys.target_label, keys.replacement, name_validation
    )


def is_valid_label_name(name: str, name_validation: str) -> bool:
    """Whether a `metric_name_validation_scheme`, `utf8` or `legacy`, allows the name."""
    return _NAMES[name_validation].fullmatch(name) is not None


# which keys each action needs and allows (Config.Validate)

_ONLY_KEYS = {
    Action.KEEPEQUAL: ("source_labels", "target_label"),
    Action.DROPEQUAL: ("source_labels", "target_label"),
    Action.LABELDROP: ("regex",),
    Action.LABELKEEP: ("regex",),
}
_NEEDS_TARGET_LABEL = {
    Action.REPLACE,
    Action.HASHMOD,
    Action.LOWERCASE,
    Action.UPPERCASE,
    Action.KEEPEQUAL,
    Action.DROPEQUAL,
}


def _action_problems(action: Action, keys: _Keys, name_validation: str) -> Iterable[tuple[str, str]]:
    """Keys, and what is wrong with each for this action."""
    if wrong := _target_label_problem(action, keys.target_label, name_validation):
        yield "target_label", wrong
    if action is Action.HASHMOD and not keys.modulus:
        yield "modulus", f"hashmod needs a whole number from 1 to {MAX_MODULUS}"
    if action is Action.LABELMAP and not _is_template(keys.replacement, name_validation):
        yield "replacement", "labelmap needs a label name; $1 and ${1} stand for groups"
    if action in {Action.LOWERCASE, Action.UPPERCASE} and keys.replacement != DEFAULT_REPLACEMENT:
        yield "replacement", f"cannot be set for {action}"
    for one in fields(keys) if action in _ONLY_KEYS else ():
        is_set = getattr(keys, one.name) != one.default  # so a default may be repeated, but not that of regex
        if is_set and one.name not in ("action", *_ONLY_KEYS[action]):
            yield one.name, f"cannot be set for {action}, which takes only {' and '.join(_ONLY_KEYS[action])}"


def _is_template(text: str, name_validation: str) -> bool:
    """Whether it can expand to a label name. In UTF-8, `$1` itself is a name."""
    pattern = _LABEL_NAME_TEMPLATE if name_validation == "legacy" else UTF8_NAME
    return pattern.fullmatch(text) is not None


def _target_label_problem(action: Action, target_label: str, name_validation: str) -> str:
    if action not in _NEEDS_TARGET_LABEL:
        return ""
    if not target_label:
        return f"{action} needs a label name"
    if action is Action.REPLACE and "$" in target_label:
        valid = _is_template(target_label, name_validation)
        return "" if valid else "must be a label name; $1 and ${1} stand for groups"
    valid = is_valid_label_name(target_label, name_validation)
    return "" if valid else f"must be a label name, {_ALLOWED[name_validation]}"


# applying rules


@dataclass(frozen=True, slots=True)
class Verdict:
    """The labels after the rules, or None and the index of the rule that dropped them."""

    labels: dict[str, str] | None
    dropped_by: int | None = None


def relabel(labels: Mapping[str, str], rules: Sequence[Rule]) -> dict[str, str] | None:
    """The labels after all rules, None when a rule dropped them. `labels` stays as it is."""
    return explain(labels, rules).labels


def explain(labels: Mapping[str, str], rules: Sequence[Rule], was_set: Iterable[str] = ()) -> Verdict:
    """As `relabel`, with the rule that dropped the labels. `was_set` are labels that were set before the rules, in that
    order."""
    builder = _Builder(labels, was_set)
    for index, each in enumerate(rules):
        if not _APPLY[each.action](each, builder):
            return Verdict(None, index)
    return Verdict(builder.labels)


class _Builder:
    """Labels under change, as Prometheus's labels.Builder: `labelmap` walks the untouched labels by name and then those
    that were set, in that order, and the last of two copies onto one name wins."""

    __slots__ = ("_was_set", "labels")

    def __init__(self, labels: Mapping[str, str], was_set: Iterable[str] = ()) -> None:
        self.labels = {name: value for name, value in labels.items() if value}
        self._was_set: dict[str, None] = {name: None for name in was_set if name in self.labels}

    def set(self, name: str, value: str) -> None:
        if value:
            self.labels[name] = value
            self._was_set.setdefault(name)
        else:
            self.delete(name)

    def delete(self, name: str) -> None:
        self.labels.pop(name, None)
        self._was_set.pop(name, None)

    def walk(self) -> list[tuple[str, str]]:
        names = [*sorted(self.labels.keys() - self._was_set.keys()), *self._was_set]
        return [(name, self.labels[name]) for name in names]


def _value(rule: Rule, builder: _Builder) -> str:
    labels = builder.labels
    return rule.separator.join([labels.get(name, "") for name in rule.source_labels])


def _replace(rule: Rule, builder: _Builder) -> bool:
    groups = rule.regex.groups(_value(rule, builder))
    if groups is not None:
        target_label = _expand(rule.target_parts, groups)
        if rule.is_name(target_label):
            builder.set(target_label, _expand(rule.replacement_parts, groups))
    return True


def _labelmap(rule: Rule, builder: _Builder) -> bool:
    for name, value in builder.walk():
        groups = rule.regex.groups(name)
        if groups is not None:
            copy = _expand(rule.replacement_parts, groups)
            if rule.is_name(copy):
                builder.set(copy, value)
    return True


def _set(computed: Callable[[Rule, str], str]) -> Callable[[Rule, _Builder], bool]:
    def apply(rule: Rule, builder: _Builder) -> bool:
        builder.set(rule.target_label, computed(rule, _value(rule, builder)))
        return True

    return apply


def hashmod(text: str, modulus: int) -> int:
    """The last eight bytes of the MD5 of a text, modulo (Prometheus model/relabel, Hashmod)."""
    digest = hashlib.md5(_encode(text), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:]) % modulus


def _delete(*, matching: bool) -> Callable[[Rule, _Builder], bool]:
    def apply(rule: Rule, builder: _Builder) -> bool:
        for name in [name for name in builder.labels if rule.regex.matches(name) is matching]:
            builder.delete(name)
        return True

    return apply


_APPLY: dict[Action, Callable[[Rule, _Builder], bool]] = {  # False: dropped
    Action.REPLACE: _replace,
    Action.KEEP: lambda rule, builder: rule.regex.matches(_value(rule, builder)),
    Action.DROP: lambda rule, builder: not rule.regex.matches(_value(rule, builder)),
    Action.KEEPEQUAL: lambda rule, builder: builder.labels.get(rule.target_label, "") == _value(rule, builder),
    Action.DROPEQUAL: lambda rule, builder: builder.labels.get(rule.target_label, "") != _value(rule, builder),
    Action.HASHMOD: _set(lambda rule, value: str(hashmod(value, rule.modulus))),
    Action.LOWERCASE: _set(lambda _, value: _to_lower(value)),
    Action.UPPERCASE: _set(lambda _, value: _to_upper(value)),
    Action.LABELMAP: _labelmap,
    Action.LABELDROP: _delete(matching=True),
    Action.LABELKEEP: _delete(matching=False),
}


# letter case: Go maps each code point to one (Unicode simple mapping); Python may map one to several


def _to_lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_lower_rune, text))


def _to_upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper_rune, text))


def _lower_rune(char: str) -> str:
    return char.lower()[0]  # only U+0130 has a longer full mapping, and its first code point is the simple one


def _upper_rune(char: str) -> str:
    """The title form is one code point where the full upper form is not: U+1FB3 gives U+1FBC, not two capitals."""
    return next((form for form in (char.upper(), char.title()) if len(form) == 1), char)


# target labels on a sample


def target_labels_onto(sample: Mapping[str, str], target: Mapping[str, str], honor_labels: bool) -> dict[str, str]:
    """A scraped sample's labels with its target's labels, before `metric_relabel_configs`.

    Target labels that start with `__` never reach a sample. With `honor_labels` the sample's label wins, also an empty
    one (then neither stays). Otherwise the target's wins, and the sample's moves to `exported_<name>`, with `exported_`
    in front again until the name is free, shorter names first.
    """
    added = {name: value for name, value in sorted(target.items()) if not name.startswith(_RESERVED_PREFIX)}
    if added.keys().isdisjoint(sample):
        merged = {**sample, **added}
        return {name: value for name, value in merged.items() if value} if "" in merged.values() else merged
    if honor_labels:
        return {name: value for name, value in {**added, **sample}.items() if value}
    merged = {name: value for name, value in {**sample, **added}.items() if value}
    for name in sorted((name for name in added if sample.get(name)), key=len):
        exported = _EXPORTED_PREFIX + name
        while exported in merged:
            exported = _EXPORTED_PREFIX + exported
        merged[exported] = sample[name]
    return merged
