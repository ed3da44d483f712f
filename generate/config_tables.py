"""The tables of keys in docs/config.md, made from generate/config_keys.yaml. `make docs` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from .config_keys import Row, Section, load

PAGE = Path(__file__).parents[1] / "docs" / "config.md"
_TABLE = re.compile(r"(<!-- keys of ([\w, ]+): written by make docs -->\n).*?(<!-- end of keys -->\n)", re.S)


def table(sections: Sequence[Section]) -> str:
    """One table for these sections."""
    first = sections[0]
    heads = ["list", first.title] if first.place else [first.title]
    rows = [cells for section in sections for cells in _rows(section)]
    return "".join(map(_line, [[*heads, "default", "meaning"], ["---"] * (len(heads) + 2), *rows]))


def _line(cells: Sequence[str]) -> str:
    if set(cells) == {"---"}:
        return f"|{'|'.join(cells)}|\n"
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|\n"


def _rows(section: Section) -> Iterator[list[str]]:
    place = f"`{section.place}`"
    for row in section.rows:
        if not row.is_hidden:
            yield [*([place] if section.place else []), _keys(section, row), row.default, row.meaning]
            place = ""


def _keys(section: Section, row: Row) -> str:
    names = row.shown or ", ".join(f"`{section.prefix}{key}`" for key in row.keys)
    return f"{names} (*ours*)" if row.ours else names


def generated(page: str) -> str:
    """The page with its tables as they are declared."""
    sections = load()

    def made(found: re.Match[str]) -> str:
        return f"{found[1]}{table([sections[name] for name in found[2].split(', ')])}{found[3]}"

    return _TABLE.sub(made, page)


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
