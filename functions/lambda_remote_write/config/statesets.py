"""Reads `states` of a metric: the states of a stateset, and the label that tells them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import relabel
from .global_config import NOT_A_NAME
from .schema import States
from .yaml_reader import Section

_MEANINGLESS = {  # beside `states`
    "value_map": "which compares texts: a number for each is a metric of its own",
    "value_format": "which compares texts; value_regex may find the state in a longer one",
    "scale": "whose samples are 1 and 0",
    "offset": "whose samples are 1 and 0",
}


def read(section: Section, labels: Iterable[str]) -> States | None:
    """The `states` of a metric that has these `labels`; None when it is absent or wrong."""
    block = section.section("states")
    if block is None:
        return None
    before = len(section.diagnostics.problems)
    label, texts = _label(block, section), _texts(block)
    if not texts and not block.is_wrong("values"):
        block.problem("values", "is required: one state at least, as [OK, WARN, FAIL] or {up: 1, down: 2}")
    _check_texts(block, [state for state, _ in texts], [text for _, text in texts])
    block.close()
    for key, why in _MEANINGLESS.items():
        if section.has(key):
            section.problem(key, f"has no meaning beside states, {why}")
    if label in labels:
        section.problem("labels", f"{label} is the label of states, which tells them apart; name one of them otherwise")
    if len(section.diagnostics.problems) > before:
        return None
    return States(label, tuple(state for state, _ in texts), tuple(text for _, text in texts))


def _texts(block: Section) -> list[tuple[str, str]]:
    """State and the text that says it: the same in a list, and what stands beside it in a map."""
    if block.is_map("values"):
        values = block.map("values")
        return [(state, values.text(state, "")) for state in values]
    return [(text, text) for text in block.texts("values")]


def _label(block: Section, section: Section) -> str:
    """The label that is written, else the metric's name, as in OpenMetrics."""
    if block.has("label"):
        return block.read("label", _label_name, "")
    if section.is_map("name"):
        block.problem("label", "is required where the name comes from the records")
        return ""
    name = section.text("name", "")
    if ":" in name:
        block.problem("label", f"is required: {name} is the metric's name, and a label's name has no colon")
    return name


def _label_name(text: str) -> str:
    if not relabel.is_valid_label_name(text, "legacy"):
        raise ValueError(NOT_A_NAME["legacy"])
    if text.startswith("__"):
        raise ValueError("names with a leading __ are reserved")
    return text


def _check_texts(block: Section, states: Sequence[str], texts: Sequence[str]) -> None:
    if "" in states:
        block.problem("values", "a state is a text that is not empty: an empty label would be none")
    elif "" in texts:
        block.problem("values", "the text of a state is not empty: an empty one is no value")
    twice = next((one for listed in (states, texts) for one in listed if one and listed.count(one) > 1), "")
    if twice:
        block.problem("values", f"{twice!r:.60} stands twice")


def check_policies(section: Section, on_missing: str | float, duplicates: str) -> None:
    """Policies that would put a number in the place of a state."""
    if not isinstance(on_missing, str):
        detail = "a number stands in for no state; allowed beside states are skip, ignore and error"
        section.problem("on_missing", detail)
    if duplicates == "sum":
        section.problem("duplicates", "states have no sum; allowed beside states are last, first and error")
