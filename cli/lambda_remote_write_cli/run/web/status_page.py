"""The status page: HTML without a script. ElementTree writes every text and attribute escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

from lambda_remote_write.config.load import YamlDocument
from lambda_remote_write.config.scalars import print_duration
from lambda_remote_write.report.printable import printable

from ...terminal import clock, counted
from ..status import EndpointStatus, JobStatus, ProcessStatus, TargetState, TargetStatus
from .masked_config import masked

_MAX_TARGETS = 1_000  # rows of a page that a browser still shows at once; those that are down come first
_STYLE = """
:root { color-scheme: light dark; --line: #8888; --bad: #b3261e; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --bad: #ffb4ab; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dd { margin: 0; } dd, li, h1, h3 { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide:focus-visible, a:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td, tbody th { overflow-wrap: anywhere; min-width: 12ch; } thead th { background: var(--soft); }
caption { text-align: left; padding-bottom: .3rem; }
pre { font-size: .85rem; background: var(--soft); padding: .6rem; overflow-x: auto; }
.bad { color: var(--bad); font-weight: 600; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_Child = Element | str
_Row = Sequence[_Child | Sequence[_Child]]


class ConfigText:
    """The text of the config in use, made when a page shows it first."""

    def __init__(self) -> None:
        self._of: Sequence[YamlDocument] | None = None
        self._texts: list[tuple[str, str]] = []

    def of(self, documents: Sequence[YamlDocument]) -> list[tuple[str, str]]:
        """File and text of each. The caller keeps others from calling it meanwhile."""
        if documents is not self._of:
            self._texts, self._of = [(one.file, masked(one)) for one in documents], documents
        return self._texts


def page(status: ProcessStatus, config: ConfigText) -> bytes:
    """The whole page."""
    title = f"pusher run: {status.name}"
    head = _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _element("title", title),
    )
    style = Element("style")
    style.text = _STYLE  # as it stands: the policy has its hash
    head.append(style)
    body = _element("body", _header(title, status), _main(status, config))
    root = _element("html", head, body, lang="en")
    return b"<!DOCTYPE html>\n" + tostring(root, encoding="unicode", method="html").encode("utf-8", "replace")


def _element(tag: str, *children: _Child | Sequence[_Child], **attributes: str) -> Element:
    """An element; texts among its children are shown on one line, whatever they hold."""
    found = Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    for child in children:
        for one in [child] if isinstance(child, str | Element) else child:
            if isinstance(one, Element):
                found.append(one)
            else:
                _add_text(found, printable(one))
    return found


def _add_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _header(title: str, status: ProcessStatus) -> Element:
    state = "ready" if status.is_ready else "starting or stopping"
    facts = {
        "Version": status.version,
        "State": state,
        "Started": _moment(status, status.started_ms),
        "Config": status.place,
        "Config read": _moment(status, status.reload.success_ms),
        "As of": clock(status.now_ms),
    }
    terms = [part for name, fact in facts.items() for part in (_element("dt", name), _element("dd", fact))]
    sections = ("endpoints", "targets", "jobs", "config")
    links = [_element("a", name.capitalize(), href=f"#{name}") for name in sections]
    return _element(
        "header",
        _element("h1", title),
        _element("nav", *links, _element("a", "Metrics", href="/metrics"), aria_label="Sections"),
        _element("dl", *terms),
    )


def _main(status: ProcessStatus, config: ConfigText) -> Element:
    return _element(
        "main",
        *_warnings(status),
        _section("endpoints", "Endpoints", _endpoints(status)),
        _section("targets", "Targets", _targets(status)),
        _section("jobs", "Jobs", _jobs(status)),
        _section("config", "Config", _config(config.of(status.documents))),
    )


def _section(name: str, title: str, parts: Iterable[Element]) -> Element:
    return _element("section", _element("h2", title, id=name), *parts, aria_labelledby=name)


def _warnings(status: ProcessStatus) -> list[Element]:
    refused = f"the new config is refused, the old one stays: {status.reload.error}" if status.reload.error else ""
    lines = [line for text in filter(None, (refused, *status.warnings)) for line in text.split("\n")]
    if not lines:
        return []
    return [_section("warnings", "Warnings", [_element("ul", *(_element("li", line) for line in lines))])]


def _table(caption: str, heads: Sequence[str], rows: Iterable[_Row]) -> Element:
    """Scrolls by itself where it is wider than the screen. The first cell of a row is its header."""
    head = _element("thead", _element("tr", *(_element("th", name, scope="col") for name in heads)))
    body = Element("tbody")
    for first, *others in rows:
        row = _element("tr", _element("th", first, scope="row"), *(_element("td", cell) for cell in others))
        body.append(row)
    table = _element("table", _element("caption", caption), head, body)
    return _element("div", table, class_="wide", role="region", aria_label=caption, tabindex="0")


def _bad(text: str) -> _Child:
    return _element("span", text, class_="bad") if text else ""


def _moment(status: ProcessStatus, ms: int) -> str:
    """A time, and how long ago that was."""
    if not ms:
        return "never"
    return f"{clock(ms)}, {print_duration(max(status.now_ms - ms, 0) // 1000 * 1000)} ago"


# endpoints


def _endpoints(status: ProcessStatus) -> list[Element]:
    heads = ("Endpoint", "Address", "Waiting in memory", "Waiting in the spool", "Last success", "Samples", "Problem")
    rows = [_endpoint(status, one) for one in status.endpoints]
    return [_table(counted(len(rows), "endpoint"), heads, rows)]


def _endpoint(status: ProcessStatus, one: EndpointStatus) -> _Row:
    queue = f"{one.queue_samples} of {one.queue_capacity} samples"
    if one.queue_oldest_ms:
        queue += f", the oldest of {clock(one.queue_oldest_ms)}"
    spool = counted(one.spool_entries, "entry") if one.has_spool else "no spool"
    if one.spool_oldest_ms:
        spool += f", the oldest of {clock(one.spool_oldest_ms)}"
    outcomes = sorted(one.samples.items())
    samples = "; ".join(f"{count} {' '.join(filter(None, key))}" for key, count in outcomes if count)
    success = _moment(status, one.attempts.last_success_ms)
    return one.name, one.url, queue, spool, success, samples, _bad(one.problem)


# targets and jobs


def _targets(status: ProcessStatus) -> list[Element]:
    order = (TargetState.DOWN, TargetState.UNKNOWN, TargetState.UP)
    targets = sorted(status.targets, key=lambda one: order.index(one.state))
    counts = {state: sum(one.state is state for one in targets) for state in TargetState}
    caption = f"{counted(len(targets), 'target')}: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    if len(targets) > _MAX_TARGETS:
        caption += f"; the first {_MAX_TARGETS} are shown"
    heads = ("Target", "Job", "State", "Labels", "Last scrape", "Duration", "Samples", "Last error")
    return [_table(caption, heads, [_target(status, one) for one in targets[:_MAX_TARGETS]])]


def _target(status: ProcessStatus, one: TargetStatus) -> _Row:
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
    state = _bad(one.state) if one.state is TargetState.DOWN else str(one.state)
    scraped, duration = _moment(status, one.scraped_ms), f"{one.duration_seconds:.3f} s" if one.scraped_ms else ""
    return one.url, one.job, state, labels, scraped, duration, str(one.samples), _bad(one.error)


def _jobs(status: ProcessStatus) -> list[Element]:
    heads = ("Job", "Kind", "Interval", "Targets", "Scrapes", "Failed scrapes", "Failed metrics", "Discovery")
    targets: dict[str, list[TargetStatus]] = {}
    for one in status.targets:
        targets.setdefault(one.job, []).append(one)
    rows = [_job(one, targets.get(one.name, ())) for one in status.jobs]
    return [_table(counted(len(rows), "job"), heads, rows)]


def _job(job: JobStatus, targets: Sequence[TargetStatus]) -> _Row:
    failed = dict.fromkeys(f"{metric}: {why}" for one in targets for metric, why in one.failed.items())
    found = f"{job.targets}, {job.dropped_targets} dropped" if job.dropped_targets else str(job.targets)
    return (
        job.name,
        "JSON" if job.is_json else "scrape",
        print_duration(job.interval_ms),
        found,
        str(job.scrapes),
        str(job.failed_scrapes),
        _lines(failed, _bad),
        _lines(job.messages, str),
    )


def _lines(texts: Iterable[str], shown: Callable[[str], _Child]) -> list[_Child]:
    return [_element("div", shown(text)) for text in texts]


# config


def _config(texts: Sequence[tuple[str, str]]) -> Iterable[Element]:
    for file, text in texts:
        yield _element("h3", file)
        shown = _element("pre", role="region", aria_label=f"Config {file}", tabindex="0")
        shown.text = "\n".join(map(printable, text.split("\n")))
        yield shown
