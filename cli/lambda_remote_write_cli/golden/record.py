"""Records a golden test: what a config makes of these answers becomes what is expected."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .file import MAX_BODY_BYTES, VERSION, Answer, GoldenTest
from .replay import comparable
from .run import Outcome, run

_MAX_SAMPLES = 10_000  # of a file that people read and review
_INLINE_BYTES = 400  # a longer body is a file of its own
_SUFFIXES = {"csv": ".csv", "xml": ".xml", "json": ".json", "html": ".html", "text": ".txt", "protobuf": ".pb"}


class TooLarge(Exception):
    """An answer, or what it gives, fits no test file."""


def write(config: Path, test_file: Path, answers: Sequence[Answer], now_ms: int) -> None:
    """Runs the config over these answers at this time, and writes the test with the samples that it gave; the bodies
    are written into a folder beside it, named after it. Credentials in the answers' URLs are masked; what their
    bodies and headers hold must not be secret. Raises ConfigError, Unreadable and NotTestable for a config that cannot
    be tested, TooLarge, and OSError for a file that cannot be written."""
    test = GoldenTest(test_file.stem.removesuffix("_test"), now_ms, [_kept(one) for one in answers], ())
    save(config, test_file, test, run(test, config))


def save(config: Path, test_file: Path, test: GoldenTest, outcome: Outcome) -> None:
    """Writes a file with this test and the samples of its run."""
    too_large = [one for one in test.answers if len(one.body) > MAX_BODY_BYTES]
    if too_large:
        raise TooLarge(f"{too_large[0].url} answered with more than {MAX_BODY_BYTES} bytes, the most of a body")
    if len(outcome.samples) > _MAX_SAMPLES:
        raise TooLarge(
            f"{len(outcome.samples)} samples are more than the {_MAX_SAMPLES} of a test; save a part of the answer, "
            "and record a test of that"
        )
    bodies = _Bodies(test_file, {})
    document = {
        "version": VERSION,
        "config": os.path.relpath(config, test_file.parent),
        "tests": [_test(test, outcome, bodies)],
    }
    bodies.write()
    test_file.write_text(_yaml(document), encoding="utf-8")


def _kept(answer: Answer) -> Answer:
    return replace(answer, url=comparable(answer.url), method=answer.method.upper())


def _test(test: GoldenTest, outcome: Outcome, bodies: _Bodies) -> dict[str, Any]:
    now = datetime.fromtimestamp(test.now_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return {
        "name": test.name,
        "now": now.removesuffix(".000") + "Z",
        **({"jobs": list(test.jobs)} if test.jobs else {}),
        **({"env": dict(test.env)} if test.env else {}),
        **({"discovered": _discovered(test)} if test.discovered else {}),
        "answers": [_answer(one, bodies) for one in test.answers],
        "series": [str(one) for one in outcome.samples],
    }


def _discovered(test: GoldenTest) -> dict[str, Any]:
    return {
        job: [{"targets": list(targets), **({"labels": dict(labels)} if labels else {})} for targets, labels in groups]
        for job, groups in test.discovered.items()
    }


def _answer(answer: Answer, bodies: _Bodies) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for name, value in answer.headers:
        before = headers.get(name)
        headers[name] = value if before is None else [*([before] if isinstance(before, str) else before), value]
    return {
        **({"method": answer.method} if answer.method != "GET" else {}),
        "url": answer.url,
        **({"status": answer.status} if answer.status != 200 else {}),
        **({"headers": headers} if headers else {}),
        **bodies.add(answer),
    }


@dataclass(slots=True)
class _Bodies:
    """The bodies of a test file, by path relative to its folder."""

    test_file: Path
    found: dict[str, bytes]

    def add(self, answer: Answer) -> Mapping[str, str]:
        if not answer.body:
            return {}
        if (text := _inline(answer.body)) is not None:
            return {"body": text}
        stem, number = _stem(answer.url), 1
        suffix = next((one for word, one in _SUFFIXES.items() if word in _content_type(answer)), "")
        while (name := f"{self.test_file.stem}/{stem}{f'-{number}' if number > 1 else ''}{suffix}") in self.found:
            number += 1
        self.found[name] = answer.body
        return {"body_file": name}

    def write(self) -> None:
        for name, body in self.found.items():
            path = self.test_file.parent / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(body)


def _inline(body: bytes) -> str | None:
    """A short printable body as it may stand in YAML."""
    if len(body) > _INLINE_BYTES:
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char == "\n" for char in text) else None


def _content_type(answer: Answer) -> str:
    return next((value.lower() for name, value in answer.headers if name.lower() == "content-type"), "")


def _stem(url: str) -> str:
    last = urlsplit(url).path.rstrip("/").rpartition("/")[2] or "answer"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last.partition(".")[0]).strip("-")[:40] or "answer"


def _yaml(document: Mapping[str, Any]) -> str:
    import io

    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString, SingleQuotedScalarString

    for test in document["tests"]:
        test["series"] = [SingleQuotedScalarString(line) for line in test["series"]]
        for answer in test["answers"]:
            if "\n" in answer.get("body", ""):
                answer["body"] = LiteralScalarString(answer["body"])
    writer, text = YAML(), io.StringIO()
    writer.width, writer.allow_unicode = 1_000_000, True
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(document, text)
    return text.getvalue()
