"""docs/runbooks/refusals.md, made from refusals.yaml. `make docs` writes it."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambda_remote_write.remote_write.refusals import Refusal, refusals

PAGE = Path(__file__).parents[1] / "docs" / "runbooks" / "refusals.md"
_WIDTH = 118
_HEAD = """# The receiver refuses samples

This page is written by `make docs`, from the table by which the log explains a refusal.

The log line of a run quotes the receiver after "it said". Find its text in the first column; an ellipsis stands for
anything. Samples under `rejected` are lost, and counted by the reason in the last column, or as `http_STATUS` when the
text is not here. Those under `spooled` wait until the receiver takes them, and count as `http_STATUS` in any case:
[What an answer means](../operations.md#what-an-answer-means).

[Set the variables](README.md#set-these-first), then print what was refused within the last hour:

```bash
reports | jq -r '.report.endpoints[] | .endpoint as $endpoint | [.rejected, .spooled, .undelivered][] | to_entries[]
  | [$endpoint, .key, .value.count, .value.example] | @tsv' | sort -u
```

"""
_COMMAND = re.compile(r"aws (?:amp|service-quotas) [\w-]+(?: --[\w-]+ \S+)*")
_LIMITS = """'[{"labelSet": {"team": "web"}, "limits": {"maxSeries": 100000}}]'"""
_PLACES = {
    "{workspace}": '"$WORKSPACE"',
    "{region}": '"$REGION"',
    "--desired-value N": '--desired-value "$(jq -n "2 * $NOW")"',
    "…": _LIMITS,
}
_EXAMPLE = "This is an example. It replaces all limits that were set; `describe-workspace-configuration` shows them."
_ARN = "arn:aws:aps:REGION:ACCOUNT:workspace/WORKSPACE"


@dataclass(frozen=True, slots=True)
class Entry:
    """Refusals of one explanation: `texts` are what the receiver says."""

    anchor: str
    statuses: tuple[int, ...]
    texts: tuple[str, ...]
    refusal: Refusal


def entries() -> list[Entry]:
    """In the order of the table. An entry whose reason an earlier one has is numbered."""
    found: dict[tuple[str, str, str], list[Refusal]] = {}
    for one in refusals(is_amp=True):
        found.setdefault((one.reason, one.meaning, one.help), []).append(one)
    seen, made = Counter[str](), list[Entry]()
    for some in found.values():
        first = some[0]
        seen[first.reason] += 1
        number = f"-{seen[first.reason]}" if seen[first.reason] > 1 else ""
        texts = tuple(" … ".join(one.words) for one in some)
        made.append(Entry(first.reason + number, first.statuses, texts, first))
    return made


def page() -> str:
    """The whole page."""
    made = entries()
    rows = [f"| `{text}` | {_statuses(one)} | [{one.anchor}](#{one.anchor}) |\n" for one in made for text in one.texts]
    table = "".join(["| the receiver says | status | reason |\n", "|---|---|---|\n", *rows])
    return _HEAD + table + "".join("".join(_section(one)) for one in made)


def _statuses(entry: Entry) -> str:
    return ", ".join(map(str, entry.statuses))


def _section(entry: Entry) -> Iterator[str]:
    commands = _COMMAND.findall(entry.refusal.help)
    yield f"\n## {entry.anchor}\n\n"
    yield _paragraph(
        f"HTTP {_statuses(entry).replace(', ', ' or ')}: " + " or ".join(f"`{one}`" for one in entry.texts)
    )
    yield "\n" + _paragraph(f"**It means:** {_sentence(_filled(entry.refusal.meaning), '.')}")
    if advice := _advice(entry.refusal.help):
        yield "\n" + _paragraph(f"**What helps:** {_sentence(advice, ':' if commands else '.')}")
    if any("…" in one for one in commands):
        yield "\n" + _paragraph(_EXAMPLE)
    if commands:
        yield "\n```bash\n" + "".join(map(_lines, commands)) + "```\n"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _sentence(text: str, end: str) -> str:
    """With a capital, unless it begins with a key of the config, and with its end."""
    first = text.partition(" ")[0]
    begun = text if re.search(r"[_.:]", first) else text[:1].upper() + text[1:]
    return begun if begun.endswith("?") else begun + end


def _advice(text: str) -> str:
    """The help without its commands, which stand below it."""
    rest = _COMMAND.sub("", _filled(text)).strip()
    rest = rest.removesuffix("shows those there are")
    return re.sub(r"[\s:;]+$", "", rest) or "ask AWS for more"


def _filled(text: str) -> str:
    """As a reader sees it who knows neither the workspace nor the clocks; code is set as code."""
    text = text.replace("{skew}", "").replace("{resource}", _ARN)
    text = re.sub(r'\{"Effect".*?\}', lambda found: f"`{found[0]}`", text)
    return text if _COMMAND.search(text) else text.replace("{region}", "REGION").replace("{workspace}", "WORKSPACE")


def _lines(command: str) -> str:
    """The command with the variables of the index. A request for more is for twice what there is now."""
    before = list[str]()
    if quota := re.search(r"--quota-code \S+", command):
        found = f'aws service-quotas get-service-quota --service-code aps --region "$REGION" {quota[0]}'
        before = _wrapped(f"NOW=$({found} --query Quota.Value --output text)")
    for place, variable in _PLACES.items():
        command = command.replace(place, variable)
    return "\n".join([*before, *_wrapped(command)]) + "\n"


def _wrapped(command: str) -> list[str]:
    """Continued where a line is full."""
    lines = [""]
    for word in re.findall(r"(?:--[\w-]+ )?(?:'[^']*'|\S)+", command):
        if len(lines[-1]) + len(word) > _WIDTH - 2:
            lines[-1] += "\\"
            lines.append("  ")
        lines[-1] += f"{word} "
    return [line.rstrip() for line in lines]


if __name__ == "__main__":
    PAGE.write_text(page())
