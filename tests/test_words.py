"""One word for one thing: names and phrases that were given up for the field's own words do not come back.

The words of Prometheus, AWS and queueing stand in docs/architecture.md and docs/operations.md. Only words without a
legitimate use are looked for: "warm" is AWS's, "layout" and "held" are plain English, so they are not among them.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

# Names of classes (with or without a leading underscore), and what the class is called instead.
CLASSES = {
    "Warm": "Environment", "Outside": "Dependencies", "Edges": "Dependencies", "Begun": "Run",
    "Turn": "ShardAssignment", "Split": "Resharding", "Agreed": "ReshardPlan", "Remote": "EndpointState",
    "Shipment": "EndpointRun", "Cargo": "RunBatch", "Outbox": "SendQueue", "Closed": "QueueClosed",
    "Depot": "SpoolState", "Backlog": "SpoolDrain", "Kept": "PendingRequest", "Trailer": "MetadataRequests",
    "Journal": "RunLog", "Newcomers": "NewSeriesLimiter", "Progress": "JobProgress", "JobMark": "HighWaterMark",
    "Leaving": "EndedTargets", "Leaver": "EndedTarget", "Alive": "ActiveSeries", "HealingSource": "GapBackfill",
    "Fetched": "ScrapeResponse", "Tally": "ReasonCounts", "Poster": "RemoteWriteClient", "Written": "WrittenCounts",
    "Pace": "RateLimiter", "EndpointView": "RelabelledSeries", "Memory": "ScrapeCache", "Known": "CacheEntry",
    "Said": "MetadataLine", "Wishes": "ParseOptions", "Layout": "PreviousPage", "Channel": "ConnectionOptions",
    "Notes": "Diagnostics", "Told": "ProgressEvent", "Account": "Summary", "AnotherAtWork": "ConcurrentRun",
    "Losses": "DroppedKeys", "Remark": "Comment",
}  # fmt: skip

# Functions and variables, as a whole.
NAMES = {
    "floor_ms": "oldest_ms", "take_back": "rollback", "with_doubt": "maybe_stored", "become": "update",
    "channel_for": "connection_options", "ship": "run", "book": "record", "judge": "acceptance", "arrange": "sort",
    "settle": "to_scrape, finish or resolve", "opening": "setup", "foreign": "unsupported_keys",
    "careful": "slow_path", "slowly": "slow_path", "warms": "environments",
}  # fmt: skip

# Words of a longer name: `_look_for_strangers`, `shipments`.
WORDS = {
    "shipment": "endpoint run", "shipments": "endpoint runs", "cargo": "run batch", "outbox": "send queue",
    "lane": "in flight", "lanes": "in flight", "depot": "spool state", "books": "accounting",
    "bury": "dead_letter", "buries": "dead_letter", "buried": "dead_lettered", "stranger": "orphaned",
    "strangers": "orphaned", "doubt": "maybe_stored", "trailer": "metadata", "newcomer": "new series",
    "newcomers": "new series", "leaver": "ended target", "leavers": "ended targets", "heal": "gap_backfill",
    "heals": "gap_backfill", "healing": "gap_backfill", "healable": "gap_backfill", "tally": "reason counts",
    "tallies": "reason counts", "poster": "client", "posters": "clients", "wishes": "parse options",
    "edges": "dependencies", "unsend": "rollback", "remark": "comment", "remarks": "comments",
}  # fmt: skip

# In docs, docstrings, comments and messages.
PROSE = re.compile(
    r"""\b(
        nobody | whoever | somebody | anybody
      | (?:is|are|was|were|be|been)\ told
      | ACT\ \d | act\ [123]\b
      | shipments? | cargo | outbox | depot | strangers? | newcomers? | leavers? | trailer
      | (?:the|its|these|whose|their|of|no|same|own)\ books | booked | buries | buried
      | heal(?:s|ed|ing)?
      | settle[sd]? | settling
      | rings | rang | rung | alarms?\ rings? | rings?\ (?:the|an|no|two|any)\b
      | what\ has\ come | away\ with | read\ over
      | (?:costs|cost)\ (?:only\ itself|its\ page|the\ others|no\ other)
    )\b""",
    re.X | re.I,
)

# (beginning of a path, name or phrase): why it may stand there.
ALLOWED = {
    ("CHANGELOG.md", "buried"): "the table of renames",
    ("bench/", "lane"): "a contestant of a measurement",
    ("bench/", "lanes"): "its contestants",
}

TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*", "proto/*.md", "rules/*", "template.yaml", "Makefile",
                    ".github/**/*", "functions/lambda_remote_write/config.yaml", "statemachine/*", "samconfig.toml",
                    "pyproject.toml")
    for path in ROOT.glob(pattern)
    if path.is_file()
)  # fmt: skip
CODE = sorted(
    path
    for folder in ("functions", "cli", "dashboards", "deploy", "generate", "release", "sandbox", "bench", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "generated" not in path.parts and path != Path(__file__)
)


def part_of(path: Path) -> str:
    """The folder that a file belongs to: `functions/lambda_remote_write/scrape`, `tests/spool`, `docs`; a file at the
    root is its own part."""
    parts = path.relative_to(ROOT).parts[:-1]
    return "/".join(parts[: 3 if parts[:1] in (("functions",), ("cli",)) else 2]) or path.name


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)]


def defined(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, name, whether it is a class) of everything that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.lineno, node.name, True
        elif isinstance(node, ast.FunctionDef):
            yield node.lineno, node.name, False
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg, False
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id, False
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr, False


def old_names(text: str) -> Iterator[tuple[int, str]]:
    for line, name, is_class in defined(ast.parse(text)):
        bare = name.strip("_")
        known = CLASSES if is_class else NAMES
        if bare in known:
            yield line, f"{name}: {known[bare]}"
            continue
        if name.startswith("test_"):  # such a name is a sentence
            yield from old_phrases(line, name.replace("_", " "))
        else:
            yield from ((line, f"{name}: {WORDS[word]}") for word in words_of(name) if word in WORDS)


def docstrings(tree: ast.AST) -> set[int]:
    """The ids of the nodes that are docstrings, and of the texts that stand below a constant."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def written(text: str, *, with_messages: bool) -> Iterator[tuple[int, str]]:
    """(line, text) of the comments and docstrings of a module, and of its other texts."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    tree = ast.parse(text)
    documented = docstrings(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if id(node) in documented or (with_messages and " " in node.value):
            yield node.lineno, node.value


def old_phrases(line: int, text: str) -> Iterator[tuple[int, str]]:
    """A phrase may run over the end of a line."""
    for found in PROSE.finditer(re.sub(r"\n[ #]*", "\n", text).replace("\n", " ")):
        yield line, found[0]


def found_in(path: Path) -> list[tuple[int, str]]:
    """(line, what) of every old word, allowed or not."""
    text = path.read_text()
    found: list[tuple[int, str]] = []
    if path.suffix == ".py":
        found += old_names(text)
        for line, one in written(text, with_messages="tests" not in path.relative_to(ROOT).parts):
            found += old_phrases(line, one)
    else:
        for line, one in enumerate(text.splitlines(), 1):
            found += old_phrases(line, one)
    return sorted(set(found))


def violations(path: Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    return [f"{name}:{line}: {what}" for line, what in found_in(path) if not allowed(name, what)]


def allowed(path: str, what: str) -> set[tuple[str, str]]:
    """The exceptions that let it stand."""
    word = what.partition(":")[0].strip("_").lower()
    return {(place, one) for place, one in ALLOWED if path.startswith(place) and word == one}


def parts() -> list[str]:
    return sorted({part_of(path) for path in [*TEXTS, *CODE]})


@pytest.mark.parametrize("part", parts())
def test_old_words_do_not_come_back(part: str) -> None:
    files = [path for path in [*TEXTS, *CODE] if part_of(path) == part]
    assert [one for path in files for one in violations(path)] == []


def test_what_is_looked_for_is_found() -> None:
    module = '''
class _Outbox:
    """Whoever closes it is told."""
    def _look_for_strangers(self, posters):
        self.books = 1  # so that gaps heal
        raise ValueError("nobody knows")
'''
    names = [what.partition(":")[0] for _, what in old_names(module)]
    assert sorted(names) == ["_Outbox", "_look_for_strangers", "books", "posters"]
    texts = [
        found for line, text in written(module, with_messages=True) for _, found in old_phrases(line, text.lower())
    ]
    assert sorted(texts) == ["heal", "is told", "nobody", "whoever"]


def test_every_exception_is_needed() -> None:
    used = set()
    places = tuple(place for place, _ in ALLOWED)
    for path in [*TEXTS, *CODE]:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(places):
            for _, what in found_in(path):
                used |= allowed(name, what)
    assert ALLOWED.keys() - used == set()
