"""The keys of a config, as generate/config_keys.yaml declares them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("config_keys.yaml")
SECRET_FORMS = {"": "plain text", "_file": "text", "_ref": "reference"}
"""The keys that one secret has, by their ending, and the type of each."""
_LITERAL = re.compile(r"`([^`]+)`(?:[,;] [^`]*)?")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#]*)[^)]*\)")


@dataclass(frozen=True, slots=True)
class Row:
    """Keys of one meaning, with their types; or another section whose keys the section has too."""

    keys: Mapping[str, Any]
    include: str = ""
    default: str = "none"
    meaning: str = ""
    shown: str = ""
    ours: bool = False
    is_required: bool = False
    is_hidden: bool = False

    def default_of(self, key: str) -> str:
        """The cell of the table, or its part for one of several keys."""
        parts = self.default.split(", ")
        return parts[list(self.keys).index(key)] if len(parts) == len(self.keys) > 1 else self.default

    def value_of(self, key: str) -> str:
        """The default as the config would have it, "" for none."""
        found = _LITERAL.fullmatch(self.default_of(key))
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Section:
    """A map of the config. `prefix` stands before its keys in a table, and `title` above them; `place` is the key of
    the job under which it stands, where its table has several. Of each group in `needs` one key must be there."""

    name: str
    rows: tuple[Row, ...]
    needs: tuple[list[str], ...] = ()
    prefix: str = ""
    title: str = "key"
    place: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section."""

    name: str
    type: Any
    row: Row = field(repr=False)

    @property
    def default(self) -> str:
        return self.row.value_of(self.name) if self.name in self.row.keys else ""

    @property
    def description(self) -> str:
        """What an editor shows: the meaning and the default, as plain text."""
        default = self.row.default_of(self.name) if self.name in self.row.keys else ""
        says = "" if default in ("", "none", "below") or default.startswith("required") else f" Default: {default}."
        return plain(f"{self.row.meaning[:1].upper()}{self.row.meaning[1:]}.{says}")


def plain(markdown: str) -> str:
    """Without the links, which lead nowhere from an editor."""
    text = _LINK.sub(lambda link: f"{link[1]} ({_page(link[2])})", markdown)
    return text.replace(r"\|", "|").replace("*ours*", "not in Prometheus")


def _page(target: str) -> str:
    return target if "://" in target else f"docs/{target or 'config.md'}"


def load() -> dict[str, Section]:
    """The sections by name."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a tenth of the time
    declared = yaml.load(FILE.read_text(encoding="utf-8"), loader)  # noqa: S506 - a SafeLoader
    return {name: _section(name, found) for name, found in declared.items()}


def _section(name: str, found: Mapping[str, Any]) -> Section:
    return Section(
        name,
        tuple(map(_row, found["rows"])),
        tuple(found.get("needs", ())),
        found.get("prefix", ""),
        found.get("title", "key"),
        found.get("in", ""),
    )


def _row(found: dict[str, Any]) -> Row:
    status = found.pop("is", "")
    is_required = status == "required"
    default = found.pop("default", "required" if is_required else "none")
    keys = found.pop("keys", {})
    return Row(keys, default=default, is_required=is_required, is_hidden=status == "hidden", **found)


def keys_of(sections: Mapping[str, Section], name: str) -> Iterator[Key]:
    """All keys of a section, with those of the sections that it includes, a secret in each of its forms."""
    for row in sections[name].rows:
        if row.include:
            yield from keys_of(sections, row.include)
        for key, kind in row.keys.items():
            forms = SECRET_FORMS if kind == "secret" else {"": kind}
            yield from (Key(f"{key}{ending}", form, row) for ending, form in forms.items())


def included(sections: Mapping[str, Section]) -> set[str]:
    """The sections that are no map of their own, but keys of other sections."""
    return {row.include for section in sections.values() for row in section.rows if row.include}
