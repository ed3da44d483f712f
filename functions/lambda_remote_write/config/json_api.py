"""Reads the keys that JSON jobs and `json_sd_configs` share: how an API is asked, page by page, and where its answer
has records."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from . import expression, http_client, plain_text, templates
from .expression import Expression, Step
from .global_config import label_name
from .schema import BY_CONTENT_TYPE, DEFAULT_TEMPLATES, BodyFormat, HttpClientConfig, Pagination, Templates
from .secrets import Secret, parse_reference
from .timestamp import Format, parse_format, parse_zone
from .yaml_reader import Section

SHORT_FORM = "is the short form of {}, with one value for each name: write one of the two"


def read_url(section: Section, known: Collection[str] = templates.IN_URL) -> str | None:
    """`url`, with templates of these kinds."""
    check = templates.reader(section, "url", known)
    return section.hidden("url", templates.url_reader(http_client.url, check))


def read_request(section: Section) -> dict[str, Any]:
    """`method`, `body`, `refs` and `templates`, as fields of a job or a list."""
    body, refs = _body(section), read_refs(section)
    method = section.choice("method", ("GET", "POST"), "POST" if body is not None else "GET")
    if body is not None and method == "GET":
        section.problem("body", "a GET request has no body; leave method out or set it to POST")
    return {"method": method, "body": body, "templates": Templates(_time_format(section), tuple(refs.items()))}


def _body(section: Section) -> str | None:
    check = templates.reader(section, "body", templates.IN_BODY, is_body=True)
    body = plain_text.text(section, "body", plain_text.IN_BODY, check)
    if body is not None and not section.is_map("body"):
        plain_text.warn_of_references_within(section, "body", body)
    return body


def read_refs(section: Section) -> dict[str, Secret]:
    """`refs: {NAME: reference}`."""
    block = section.map("refs")
    read = {name: block.hidden(name, parse_reference) for name in block}
    for name in read:
        if not _REF_NAME.fullmatch(name):
            block.problem(name, "a name is letters, digits and _, no digit first")
    return {name: Secret(reference=reference or "") for name, reference in read.items()}


_REF_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_refs(section: Section, bodies: Iterable[str | None], refs: Iterable[str]) -> None:
    """Every `{ref.NAME}` has its reference, and every reference its place."""
    used, known = templates.names_of("ref", bodies), set(refs)
    for name in sorted(used - known):
        section.problem("body", f'{{ref.{name}}} has no reference; write refs: {{{name}: "env:…"}} beside body')
    for name in sorted(known - used):
        section.warn("refs", f"{name} is not used: {{ref.{name}}} stands in no body")


def _time_format(section: Section) -> Format:
    """`templates: {format, timezone}`."""
    block = section.section("templates")
    if block is None:
        return DEFAULT_TEMPLATES.format
    zone = block.read("timezone", parse_zone)
    found = replace(block.read("format", parse_format, DEFAULT_TEMPLATES.format), zone=zone)
    block.close()
    return found


def read_body_format(section: Section) -> BodyFormat:
    """`format`, `strip_prefix` and `charset`."""
    given = [section.has(key) for key in ("format", "strip_prefix", "charset")]
    if not any(given):
        return BY_CONTENT_TYPE
    from . import body_format  # most APIs answer what their Content-Type says

    return body_format.read(section)


def with_headers(entry: Section, http: HttpClientConfig) -> HttpClientConfig:
    """`headers` is the short form of `http_headers`, with one value for each name. Many an API wants a bare key in
    Authorization, which `authorization` cannot say: it sends a scheme with it."""
    reserved = http_client.RESERVED_FOR_SOURCES
    if not http.has_authorization:
        reserved -= {"authorization"}
    headers = http_client.secret_headers(entry, reserved)
    if entry.has("headers") and entry.has("http_headers"):
        entry.problem("headers", SHORT_FORM.format("http_headers"))
    return replace(http, http_headers=headers) if headers else http


_PAGINATION_KEYS = {  # of each style; of the first three, some that have no effect have always been taken
    "next_link": ("path", "parameter", "first_page"),
    "cursor": ("path", "parameter", "first_page"),
    "page": ("path", "parameter", "first_page"),
    "link_header": (),
    "offset": ("path", "parameter", "first_offset", "step", "total"),
}


def pagination(entry: Section) -> Pagination | None:
    section = entry.section("pagination")
    if section is None:
        return None
    style = section.choice("style", _PAGINATION_KEYS, "")
    section.defaults = default = Pagination(style, None, style if style in ("page", "offset") else "cursor")
    found = Pagination(
        style=style,
        path=read_expression(section, "path", _page_path),
        parameter=section.text("parameter", default.parameter),
        first_page=section.integer("first_page"),
        max_pages=section.integer("max_pages", minimum=1),
        first_offset=section.integer("first_offset"),
        step=section.integer("step", minimum=1),
        total=read_expression(section, "total", _page_path),
    )
    if not section.has("style"):
        section.problem("style", f"is required: {', '.join(_PAGINATION_KEYS)}")
    if style in ("next_link", "cursor") and not section.has("path"):
        section.problem("path", f"is required for style {style}: where the document names the next page")
    for key in dict.fromkeys(key for keys in _PAGINATION_KEYS.values() for key in keys):
        if section.has(key) and key not in _PAGINATION_KEYS.get(style, (key,)):
            section.problem(key, f"is no key of style {style}{_INSTEAD.get((style, key), '')}")
    section.close()
    return found


_INSTEAD = {
    ("link_header", "path"): ": the header Link names the next page; next_link is for a link in the document",
    ("offset", "first_page"): ": write first_offset",
}


def check_offset(entry: Section, pagination: Pagination | None, lists: Iterable[expression.Records]) -> None:
    """An offset counts all records of a page: how many there are must not depend on what `records` leave out or walk
    into, nor on which of several lists is looked at."""
    if pagination is None or pagination.style != "offset" or pagination.path is not None:
        return
    counted = {records.steps for records in lists if records.is_list}
    if len(counted) != 1 or any(len(steps) > 1 or steps[0].path is None for steps in counted):
        detail = "the list on each page that its offset counts, as records is not one plain list"
        entry.problem("pagination", f"style offset needs path here: {detail}")


def _page_path(text: str) -> Expression:
    expected = "a path into the page is expected, as meta.next; a constant, @key or ^ finds nothing there"
    found = _of_document(text, expected)
    if found.program is not None and found.program.calls("now"):
        raise ValueError("now() stands in expressions over records: a page is found without the time")
    return found


def over_document(text: str) -> Expression:
    return _of_document(text, "an expression over the document is expected, as errors or code != `200`")


def _of_document(text: str, expected: str) -> Expression:
    """An expression over the whole document. Raises ValueError."""
    found = expression.parse(text)
    if not found.is_of_document:
        raise ValueError(expected)
    return found


def read_steps(section: Section, default: str) -> list[Step]:
    """`records`: one step, or a list of them; the step `default` where it is absent or wrong."""
    if section.is_list("records"):
        steps = section.read_list("records", expression.parse_step)
        if not steps and not section.is_wrong("records"):
            hint = 'for the list at the top write "[]" in quotes'
            section.problem("records", f"a list of steps holds at least one; {hint}")
    else:
        step = section.read("records", expression.parse_step)
        steps = [step] if step else []
    try:
        expression.records(steps, [])
    except expression.InvalidExpression as error:
        section.problem("records", str(error))
    _warn_of_unlikely_keys(section, "records", [step.expression for step in steps])
    return steps or [expression.parse_step(default)]


def within(steps: Sequence[Step]) -> Callable[[str], Expression]:
    """Reads an expression that is evaluated under these steps of `records`."""

    def parsed(text: str) -> Expression:
        found = expression.parse(text)
        expression.records(steps, [found])
        return found

    return parsed


def read_labels(section: Section, convert: Callable[[str], Expression]) -> tuple[tuple[str, Expression], ...]:
    """`labels: {name: expression}`."""
    labels, found = section.map("labels"), []
    for name in labels:
        value = read_expression(labels, name, convert)
        if label_name(labels, name) and value is not None:
            found.append((name, value.as_text()))
    return tuple(found)


def read_expression(section: Section, key: str, convert: Callable[[str], Expression]) -> Expression | None:
    """The expression at `key`, through `convert`. Warns of keys in it that are more likely something else."""
    found = section.read(key, convert)
    _warn_of_unlikely_keys(section, key, [found])
    return found


def _warn_of_unlikely_keys(section: Section, key: str, expressions: Iterable[Expression | None]) -> None:
    for text, detail in [(one.text, detail) for one in expressions if one for detail in one.unlikely_keys]:
        section.warn(key, f"{text!r:.80}: {detail}")
