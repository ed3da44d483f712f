"""Reads `*relabel_configs`: the keys of a rule are text here, its meaning is in `relabel`."""

from __future__ import annotations

from typing import Any

from .. import relabel
from . import scalars
from .yaml_reader import Section, did_you_mean


def read(section: Section, key: str, name_validation: str = "utf8") -> tuple[relabel.Rule, ...]:
    """A list of relabel rules under a `metric_name_validation_scheme`; the mistakes of all of them are reported."""
    return tuple(rule for entry in section.sections(key) if (rule := _rule(entry, name_validation)) is not None)


def _rule(entry: Section, name_validation: str) -> relabel.Rule | None:
    before = len(entry.diagnostics.problems)
    texts = ("separator", "regex", "replacement", "target_label")  # written alone, the empty text, as in Prometheus
    given: dict[str, Any] = {key: entry.text(key) for key in texts if entry.has(key) or key in entry}
    if entry.has("action"):
        given["action"] = entry.text("action")
    if entry.has("source_labels"):
        given["source_labels"] = tuple(entry.texts("source_labels"))
    if entry.has("modulus"):
        given["modulus"] = entry.read("modulus", scalars.integer)
    entry.close({"if": "a vmagent-only key; write a keep or drop rule"})
    if len(entry.diagnostics.problems) > before:
        return None
    try:
        return relabel.rule(name_validation, **given)
    except relabel.InvalidRule as error:
        for key, value, message in error.problems:
            near = did_you_mean(value, relabel.Action) if key == "action" else ""
            entry.problem(key, f"{value!r} is not allowed: {message}{near}" if value else message)
        return None
