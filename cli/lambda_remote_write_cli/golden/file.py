"""A file of golden tests, as promtool's files of rule tests: read with every mistake in it, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml

from lambda_remote_write.config.yaml_reader import ConfigError, Diagnostics, Problem, Section, compose, kind_of

from .sample_line import SampleLine, parse_line

VERSION = 1
MAX_FILE_BYTES = 1_000_000  # with the series; a file that people review is far smaller
MAX_BODY_BYTES = 10_000_000
MAX_ANSWERS = 1_000  # of one test: pages of an API, targets


Groups = Sequence[tuple[Sequence[str], Mapping[str, str]]]
"""Lists of targets, each with the labels that they share."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded answer. `url` is what is requested, with `<secret>` in the place of a secret; the body is not
    compressed."""

    url: str
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes = field(repr=False)
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class GoldenTest:
    """Answers, and the samples that the config makes of them at `now_ms`. Without `jobs`, all jobs run. `discovered`
    are target groups by job, in place of a discovery that asks something else than HTTP. `endpoint` is the one whose
    `write_relabel_configs` apply; "" is the config's first. `env` are the variables that the config sees."""

    name: str
    now_ms: int
    answers: Sequence[Answer]
    series: Sequence[SampleLine]
    jobs: Sequence[str] = ()
    discovered: Mapping[str, Groups] = field(default_factory=dict)
    endpoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GoldenFile:
    path: Path
    config: Path
    tests: Sequence[GoldenTest]


def read(path: Path) -> GoldenFile:
    """Raises ConfigError with every mistake: file, line, key and what is allowed."""
    diagnostics = Diagnostics(str(path))
    node = compose(_text(path), str(path), diagnostics)
    if not isinstance(node, yaml.MappingNode):
        detail = f"a map with version, config and tests is expected at the top, not {kind_of(node)}"
        raise ConfigError([Problem(str(path), 1, "", detail)])
    top = Section(node, "", diagnostics)
    _check_version(top)
    config = top.text("config")
    if "://" in config or config.startswith("ssm:"):
        top.problem("config", f"{config!r:.100} is not allowed: {LOCAL_ONLY}")
    elif not config:
        top.problem("config", "the path of the config is expected, relative to this file")
    tests = [_test(section, path.parent) for section in top.sections("tests")]
    names = [one.name for one in tests]
    if not tests and not top.is_wrong("tests"):
        top.problem("tests", "at least one test is expected")
    for index, name in enumerate(names):
        if name in names[:index]:
            top.problem("tests", f"two tests are named {name!r:.100}")
    top.close()
    if diagnostics.problems:
        raise ConfigError(diagnostics.problems)
    return GoldenFile(path, path.parent / config, tests)


AGAIN = "record it again with: pusher test --record CONFIG -o FILE --update"
LOCAL_ONLY = "a test reads its config from a file, so that it needs no AWS; copy it with: aws s3 cp"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            detail = f"the file has more than {MAX_FILE_BYTES} bytes: keep bodies in files of their own (body_file)"
            raise ConfigError([Problem(str(path), 0, "", f"{detail}, and record less with --job")])
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, "", error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(path), line, "", "not UTF-8 text")]) from None


def _check_version(top: Section) -> None:
    """Raises ConfigError for another version: what its keys mean is not known here."""
    version = top.integer("version", 0)
    if version == VERSION or top.is_wrong("version"):
        return
    if not top.has("version"):
        advice = f"version: {VERSION} is expected"
    elif version > VERSION:
        advice = f"version {version} is newer than {VERSION}, the one that this pusher reads: update pusher"
    else:
        advice = f"version {version} is older than {VERSION}, the one that this pusher reads: {AGAIN}"
    top.problem("version", advice)
    raise ConfigError(top.diagnostics.problems)


def _test(section: Section, folder: Path) -> GoldenTest:
    answers = [_answer(one, folder) for one in section.sections("answers")]
    if len(answers) > MAX_ANSWERS:
        section.problem("answers", f"a test has at most {MAX_ANSWERS} answers; this has {len(answers)}")
    if not section.text("name", ""):
        section.problem("name", "a name is expected")
    if not section.has("series"):
        section.problem("series", "the expected samples are missing; an empty list is []; --update writes them")
    test = GoldenTest(
        section.text("name", ""),
        section.read("now", _time_ms, 0),
        answers,
        section.read_list("series", parse_line),
        section.texts("jobs"),
        {job: _groups(section.map("discovered"), job) for job in section.map("discovered")},
        section.text("endpoint", ""),
        section.text_map("env"),
    )
    if not section.has("now"):
        section.problem("now", "the clock of the test is expected, as 2026-12-01T12:00:00Z")
    section.close()
    return test


def _answer(section: Section, folder: Path) -> Answer:
    url = section.text("url", "")
    if not url.startswith(("http://", "https://")):
        section.problem("url", "the URL that is requested is expected, with http:// or https://")
    answer = Answer(
        url,
        section.integer("status", 200),
        tuple(_headers(section.map("headers"))),
        _body(section, folder),
        section.text("method", "GET").upper(),
    )
    if not 200 <= answer.status <= 599 and not section.is_wrong("status"):
        section.problem("status", f"{answer.status} is not allowed: a status from 200 to 599 is expected")
    section.close()
    return answer


def _headers(section: Section) -> list[tuple[str, str]]:
    found = []
    for name in section:
        values = section.texts(name) if section.is_list(name) else [section.text(name, "")]
        found += [(name, value) for value in values]
    return found


def _body(section: Section, folder: Path) -> bytes:
    if section.has("body") and section.has("body_file"):
        section.problem("body_file", "body and body_file cannot stand together")
    name = section.text("body_file", "")
    if not name:
        return section.text("body", "").encode()
    try:
        with (folder / name).open("rb") as file:
            content = file.read(MAX_BODY_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        section.problem("body_file", f"{name!r:.200} cannot be read: {reason}; it is looked for beside this file")
        return b""
    if len(content) > MAX_BODY_BYTES:
        section.problem("body_file", f"{name!r:.200} has more than {MAX_BODY_BYTES} bytes, the most of a body")
    return content


def _groups(section: Section, job: str) -> Groups:
    """As the lists of static_configs."""
    found = list[tuple[Sequence[str], Mapping[str, str]]]()
    for group in section.sections(job):
        found.append((group.texts("targets"), group.text_map("labels")))
        group.close()
    return found


def _time_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time is expected, as 2026-12-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time zone is missing: 2026-12-01T12:00:00Z is in UTC")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
