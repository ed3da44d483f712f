"""`pusher init` in this process. A case is a folder: an answer, what a person expects of it, its path and headers."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.plan import plan
from lambda_remote_write_cli.activity import Activity
from lambda_remote_write_cli.golden.sample_line import SampleLine, parse_line
from lambda_remote_write_cli.init.command import COMMAND
from lambda_remote_write_cli.init.proposals import Proposal, propose
from lambda_remote_write_cli.init.questions import Questions
from lambda_remote_write_cli.init.record_finder import Finder
from sandbox.server import Answer
from tests.rig.clock import StandingClock, soon
from tests.rig.json_source import Rig

CASES = Path(__file__).parents[1] / "testdata" / "init"
NOW_MS = 1_795_961_220_000  # a minute after the newest record of the cases that hold times
WORKSPACE = {"PUSHER_WORKSPACE": "ws-0b1c2d3e-4f56-7890-abcd-ef1234567890", "AWS_REGION": "eu-west-1"}
Series = tuple[tuple[tuple[str, str], ...], float]
"""Labels without name, job and instance, and the value."""


@dataclass(frozen=True, slots=True)
class Case:
    """One folder of the corpus."""

    name: str

    @property
    def folder(self) -> Path:
        return CASES / self.name

    @property
    def answer(self) -> Path:
        return next(self.folder.glob("answer.*"))

    @property
    def settings(self) -> Mapping[str, Any]:
        file = self.folder / "case.json"
        found: Mapping[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    @property
    def expected(self) -> set[Series]:
        return {_series(line) for line in (self.folder / "expected.txt").read_text().splitlines()}

    @property
    def options(self) -> list[str]:
        return [word for label in self.settings.get("labels", ()) for word in ("--label", label)]

    def serve(self, rig: Rig) -> str:
        headers = {"Content-Type": "application/json", **self.settings.get("headers", {})}
        path, _, query = str(self.settings.get("path", "/answer")).partition("?")
        url = rig.api.serve(path, Answer(200, headers, self.answer.read_bytes()))
        return f"{url}?{query}" if query else url


def cases() -> list[Case]:
    return [Case(folder.name) for folder in sorted(CASES.iterdir())]


def _series(line: str) -> Series:
    """A line of expected.txt: ` @` stands before its milliseconds."""
    return _plain(parse_line(re.sub(r" @(\d+)$", r" \1", line)))


def _plain(line: SampleLine) -> Series:
    shown = sorted((name, value) for name, value in line.labels.items() if name not in ("__name__", "job", "instance"))
    return tuple(shown), float(line.value)


def init(
    folder: Path, *words: str, env_vars: Mapping[str, str] | None = None, now_ms: int = NOW_MS
) -> tuple[int, Path]:
    """Calls the command in a folder; the status, and where its config is."""
    parser = argparse.ArgumentParser()
    COMMAND.add_arguments(parser.add_argument)
    config = folder / "pusher.yaml"
    options = parser.parse_args([*words, "-o", str(config)])
    options.activity = Activity("init")
    dependencies = Dependencies(env_vars or {}, now_ms=lambda: now_ms)
    try:
        return COMMAND.run(options, dependencies), config
    finally:
        dependencies.transport.close()


def planned(config: Path, env_vars: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What `plan` finds when it asks the API itself. Raises ConfigError."""
    known = {**WORKSPACE, **(env_vars or {})}
    dependencies = Dependencies(known, now_ms=lambda: NOW_MS)
    try:
        text = config.read_text(encoding="utf-8")
        return plan(parse_config(text, str(config), known), dependencies, soon())
    finally:
        dependencies.transport.close()


def recorded_series(config: Path) -> set[Series]:
    """The samples in the golden test beside a config."""
    text = config.with_name(f"{config.stem}_test.yaml").read_text(encoding="utf-8")
    lines = re.findall(r"^      - '(.*)'$", text, re.MULTILINE)
    return {_plain(parse_line(line.replace("''", "'"))) for line in lines}


def questioned(document: Any, answers: Sequence[str], prefix: str = "servers") -> tuple[Proposal, list[str]]:
    """A proposal after these answers, and the prompts. More questions than answers end them."""
    proposal = propose(Finder(document, "", NOW_MS), prefix, NOW_MS)
    left, prompts = list(answers), list[str]()

    def read(prompt: str) -> str:
        prompts.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    Questions(read, NOW_MS).ask(proposal)
    return proposal, prompts


def rig(folder: Path) -> Rig:
    return Rig(folder, StandingClock(NOW_MS))


def active(config: Path, keys: Sequence[str]) -> list[str]:
    """The lines that state one of these keys, outside of comments."""
    pattern = re.compile(rf"^\s+(?:- )?(?:{'|'.join(keys)}):")
    return [line for line in config.read_text(encoding="utf-8").splitlines() if pattern.match(line)]
