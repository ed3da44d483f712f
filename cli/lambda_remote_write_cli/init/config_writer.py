"""Writes a proposal as a config that explains itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lambda_remote_write.report.printable import printable

from ..schema import BESIDE, FIRST_LINE
from .names import counter_name
from .pages import Paging
from .proposals import Group, Metric, Proposal, Stamp
from .request import PLACEHOLDER_URL, Request
from .times import shown_age
from .tree import shown_value
from .yaml_text import flow, scalar

_COLUMN = 46  # where a comment behind a line begins, when the line is short enough

_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a config says. `body_keys` say how the answer is read."""

    file: str
    job: str
    interval: str
    request: Request
    proposal: Proposal
    now_ms: int
    body_keys: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    paging: Paging | None = None
    fail_if: str = ""
    workspace: str = ""


def json_job(draft: Draft) -> str:
    """A config with one JSON job."""
    return _text([*_head(draft), "json_configs:", *_json_job(draft), "", *_remote_write(draft)])


def scrape_job(draft: Draft, target: str, scheme: str, path: str, params: Mapping[str, Sequence[str]]) -> str:
    """A config that scrapes a page of metrics."""
    lines = [
        *_head(draft),
        "scrape_configs:                                 # the address answers in Prometheus's own format",
        f"  - job_name: {scalar(draft.job)}",
        f"    scheme: {scheme}",
        f"    metrics_path: {scalar(path)}",
    ]
    keys = dict(draft.request.keys)
    query = {name: [value] for name, value in keys.pop("query", {}).items()}
    if joined := {**params, **query}:
        lines.append(f"    params: {flow(joined)}")
    if headers := keys.pop("headers", {}):
        lines.append(f"    http_headers: {flow({name: _http_header(value) for name, value in headers.items()})}")
    lines += [f"    {key}: {flow(value)}" for key, value in keys.items() if key in _OF_SCRAPES]
    lines += ["    static_configs:", f"      - targets: [{scalar(target, in_flow=True)}]"]
    if draft.labels:
        lines.append(f"        labels: {flow(draft.labels)}")
    return _text([*lines, "", *_remote_write(draft)])


_OF_SCRAPES = ("basic_auth", "authorization", "digest_auth", "sigv4", "login")


def _http_header(value: Any) -> dict[str, Any]:
    return {"refs": [value["ref"]]} if isinstance(value, Mapping) else {"values": [value]}


def _text(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(draft: Draft) -> Iterator[str]:
    file = printable(draft.file)
    yield "# Written by pusher init. A comment that ends in a question mark waits for your answer: remove the # before"
    yield "# its key, or leave it. A counter only grows, and its name ends in _total; a gauge also falls. Then:"
    yield f"#   pusher plan {file}      shows the samples with their age, and sends nothing"
    yield f"#   pusher push {file}      sends once, from this shell: it needs AWS credentials and the workspace below"
    yield f"#   make deploy CONFIG={file}      in a checkout: the function that does so every minute"
    yield "# docs/config.md explains every key, and docs/json.md has a recipe for each shape of answer. In an editor:"
    yield f"#   pusher schema -o {BESIDE}      then make this the first line: {FIRST_LINE}"
    for variable in draft.request.variables:
        yield f"# A secret: export {variable}=… before plan and push. For Lambda, keep it in Secrets Manager, write"
        yield f"# secretsmanager:NAME in the place of env:{variable}, and allow it with the parameter SecretArns."
    yield "global:"
    yield _with_comment(f"  scrape_interval: {draft.interval}", "how often the API is asked: does it allow that?")
    yield ""


def _json_job(draft: Draft) -> Iterator[str]:
    request = draft.request
    yield f"  - job_name: {scalar(draft.job)}"
    if request.url.startswith(PLACEHOLDER_URL):
        yield _with_comment(f"    url: {scalar(request.url)}", "the address of the API, without a secret?")
    else:
        yield f"    url: {scalar(request.url)}"
    for key, value in request.keys.items():
        yield f"    {key}: {flow(value)}"
    for key, value in draft.body_keys.items():
        yield f"    {key}: {scalar(value)}"
    if draft.labels:
        yield f"    labels: {flow(draft.labels)}"
    if draft.paging:
        yield from _paging(draft.paging)
    if draft.fail_if:
        note = "this answer has it too: does it mean that the API failed, in spite of a good status?"
        yield _with_comment(f"    # fail_if: {scalar(draft.fail_if)}", note)
    yield "    metrics:"
    for group in draft.proposal.groups:
        yield from _group(group, draft.now_ms)
    yield from _left_out(draft.proposal.left_out)


def _paging(paging: Paging) -> Iterator[str]:
    lead = "    " if paging.keys else "    # "
    if paging.keys:
        yield _with_comment(f"{lead}pagination: {flow(paging.keys)}", paging.note)
    else:
        yield f"{lead}{printable(paging.note)}"


def _left_out(reasons: Sequence[str]) -> Iterator[str]:
    if reasons:
        yield "      # Not sent:"
    for reason in reasons[:40]:
        yield f"      # - {_short(reason)}"
    if len(reasons) > 40:
        yield f"      # - and {len(reasons) - 40} more"


def _short(text: str) -> str:
    plain = printable(text)
    return plain if len(plain) <= 110 else f"{plain[:109]}…"


def _group(group: Group, now_ms: int) -> Iterator[str]:
    for index, metric in enumerate(group.metrics):
        if index == 0:
            yield from (f"      # {printable(note)}." for note in group.notes)
        yield from _metric(metric, group, now_ms)


def _metric(metric: Metric, group: Group, now_ms: int) -> Iterator[str]:
    is_stateset = any(key == "states" for key, _ in metric.keys)
    yield f"      - name: {scalar(metric.name)}"
    if metric.type:
        yield f"        type: {metric.type}"
    elif not is_stateset:
        yield _with_comment(f"        # type: {metric.suggested_type}", _type_question(metric))
    if metric.unit:
        yield f"        unit: {metric.unit}"
    elif metric.suggested_unit:
        yield _with_comment(f"        # unit: {metric.suggested_unit}", "the unit of the value?")
    if steps := group.used_records:
        yield f"        records: {scalar(steps[0]) if len(steps) == 1 else flow(list(steps))}"
    yield _with_comment(f"        value: {scalar(metric.value)}", _sample(metric.sample))
    for key, value in metric.keys:
        yield f"        {key}: {value}"
    yield from (f"        # {printable(note)}" for note in metric.notes)
    labels = group.state_labels if is_stateset else group.labels
    yield from _labels(labels)
    if group.stamp and metric.has_stamp:
        yield from _stamp(group.stamp, now_ms, was_asked=metric is not group.metrics[0])


def _labels(labels: Mapping[str, str]) -> Iterator[str]:
    line = f"        labels: {flow(labels)}"
    if labels and len(line) <= _WIDTH:
        yield line
    elif labels:
        yield "        labels:"
        yield from (f"          {scalar(name)}: {scalar(value)}" for name, value in labels.items())


def _type_question(metric: Metric) -> str:
    """The head of the file says what the two are."""
    if metric.suggested_type == "info":
        return "info, for a value that is always 1?"
    if metric.suggested_type == "gauge":
        return "or a counter?"
    is_named = metric.name.endswith("_total")
    return "or a gauge?" if is_named else f"named {counter_name(metric.name)}, or a gauge?"


def _stamp(stamp: Stamp, now_ms: int, *, was_asked: bool) -> Iterator[str]:
    zone = {"timezone": stamp.timezone} if stamp.timezone else {}
    if stamp.format:
        yield f"        timestamp: {flow({'path': stamp.path, 'format': stamp.format, **zone})}"
        return
    age = shown_age((now_ms - stamp.time.newest_ms) / 1000)
    asked = "in this unit" if stamp.time.format.startswith("unix") else "in UTC" if not stamp.time.has_zone else ""
    question = f"{asked}, {age}: the time of the value?".removeprefix(", ")
    shown = flow({"path": stamp.path, "format": stamp.time.format})
    if was_asked:
        yield f"        # timestamp: {shown}"
        return
    yield _with_comment(f"        # timestamp: {shown}", question)


def _sample(value: Any) -> str:
    text = shown_value(value)
    return f"{text[:40]}…" if len(text) > 40 else text


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{_COLUMN}}  # {printable(comment)}"


def _remote_write(draft: Draft) -> Iterator[str]:
    if draft.workspace:
        yield "remote_write:"
        yield f"  - workspace: {scalar(draft.workspace)}"
        return
    yield "# Without a remote_write section the samples go to the workspace in PUSHER_WORKSPACE, which the stack sets"
    yield "# for its function. In a shell: export PUSHER_WORKSPACE=ws-… AWS_REGION=… . To name the workspace here:"
    yield "# remote_write:"
    yield "#   - workspace: ws-…"
