"""docs/json.md, and sections of the guides, as recipes: what an API answers, a config, and the samples of that.

A section with blocks is a recipe: its answers (```json, ```csv, ```xml or ```ndjson, or ```http with status and
headers), one ```yaml and one ```text. An answer is that of the addresses in the line `… answers:` above it, or of the
config's only one. An address that stands above several gives them in turn. With `, with `Name: value`` above it, an
answer is for who sends this header, and others get 401.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from textwrap import indent
from typing import Any

from sandbox.server import Answer

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "json.md").read_text(encoding="utf-8")
GUIDES = [DOCS.parent / "README.md", *sorted((DOCS / "guides").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^(?P<above>[^\n]* (?:answers?|lists):)\n\n)?^```(?P<language>\w*)\n(?P<content>.*?)^```$", re.M | re.S
)
ONE_JOB = "json_configs:\n  - job_name: api\n    url: https://api.example.com/\n"
TYPES = {"json": "application/json", "csv": "text/csv", "xml": "application/xml", "ndjson": "application/x-ndjson"}
EC2 = "aws ec2 describe-instances"


@dataclass(frozen=True)
class Recipe:
    """A section of the page."""

    title: str
    text: str

    @cached_property
    def blocks(self) -> list[dict[str, str]]:
        """`language`, `content` and the line `above` of each."""
        return [{name: text or "" for name, text in found.groupdict().items()} for found in BLOCK.finditer(self.text)]

    @property
    def config(self) -> str:
        """The whole config; one that is the inside of a job has got one around it."""
        (text,) = self._contents("yaml")
        return text if re.search("^json_configs:", text, re.M) else ONE_JOB + indent(text, "    ")

    @property
    def samples(self) -> list[str]:
        (text,) = self._contents("text")
        return text.splitlines()

    def _contents(self, language: str) -> list[str]:
        return [block["content"] for block in self.blocks if block["language"] == language]

    @property
    def instances(self) -> list[dict[str, Any]]:
        """Those that EC2 knows."""
        return [one for block in self.blocks if EC2 in block["above"] for one in json.loads(block["content"])]

    @property
    def wanted(self) -> dict[str, tuple[str, str]]:
        """Address -> the header, and its value, that lets in."""
        found = (re.search(r"`(http\S+)`, with `([\w-]+): ([^`]+)`", block["above"]) for block in self.blocks)
        return {one[1]: (one[2], one[3]) for one in found if one}

    def answers(self) -> Iterator[tuple[str, Answer]]:
        """Address -> answer."""
        for block in self.blocks:
            places = re.findall(r"`(http\S+)`", block["above"]) or re.findall(r"\burl: (\S+)", self.config)[:1]
            if block["language"] in ("http", *TYPES) and EC2 not in block["above"]:
                answer = _answer(block["content"]) if block["language"] == "http" else _of_type(block)
                yield from ((place, answer) for place in places)


def _answer(text: str) -> Answer:
    """An HTTP answer as it is written, in the charset that it names."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body.encode(headers.get("X-Written-In", "utf-8")))


def _of_type(block: Mapping[str, str]) -> Answer:
    """An answer whose Content-Type is that of the block's language."""
    if block["language"] == "json":
        json.loads(block["content"])
    return Answer(200, {"Content-Type": TYPES[block["language"]]}, block["content"].encode())


def sections(page: str) -> list[Recipe]:
    """All of a page, by its headings."""
    parts = re.split(r"^#+ (.*)$", BLOCK.sub(lambda found: found[0].replace("#", "\0"), page), flags=re.M)[1:]
    return [Recipe(title, text.replace("\0", "#")) for title, text in zip(parts[::2], parts[1::2], strict=True)]


RECIPES = [section for section in sections(PAGE) if section.blocks]
OF_GUIDES = [
    section
    for page in GUIDES
    for section in sections(page.read_text(encoding="utf-8"))
    if {"yaml", "text"} <= {block["language"] for block in section.blocks}
]
"""Sections of the guides that show what an answer becomes."""


def clock_ms() -> int:
    """The time at which the page says that its recipes run."""
    (text,) = re.findall(r"clock stands at (\S+ \S+) UTC", PAGE)
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)
