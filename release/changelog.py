"""CHANGELOG.md: what is unreleased becomes the section of a version, with its date."""

from __future__ import annotations

import re
from datetime import date

_UNRELEASED = "## [Unreleased]\n"


def entries(text: str) -> int:
    """The number of list items under Unreleased."""
    _, _, rest = text.partition(_UNRELEASED)
    section, *_ = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)
    return len(re.findall(r"^- ", section, re.MULTILINE))


def date_of(text: str, version: str) -> date | None:
    """When the version was released, if it was."""
    found = re.search(rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", text, re.MULTILINE)
    return date.fromisoformat(found[1]) if found else None


def released(text: str, version: str, day: date) -> str:
    """The text with the unreleased entries under the version, and an empty section above it."""
    return text.replace(_UNRELEASED, f"{_UNRELEASED}\n## [{version}] - {day.isoformat()}\n", 1)
