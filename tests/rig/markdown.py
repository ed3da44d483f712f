"""The Markdown of the repository: its pages, and the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.rig.stack import ROOT

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[^\n]*)\n(?P<content>.*?)^ *(?P=fence)$", re.M | re.S
)
WITHOUT_PAGES = {"build", "tests"}  # what is built or installed, and the inputs of tests


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `line` is that of its fence, from 1."""

    page: Path
    line: int
    language: str
    content: str

    @property
    def name(self) -> str:
        return f"{page_name(self.page)}:{self.line}"


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def pages() -> list[Path]:
    """Every page that a reader of the repository meets."""
    folders = (one for one in ROOT.iterdir() if one.is_dir() and one.name not in WITHOUT_PAGES)
    ours = (one for one in folders if one.name == ".github" or not one.name.startswith("."))
    return sorted([*ROOT.glob("*.md"), *(page for folder in ours for page in folder.rglob("*.md"))])


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"].strip(), found["content"])
        for found in FENCE.finditer(text)
    ]


def every_block() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]
