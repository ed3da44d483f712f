"""The layouts of json_exporter before 0.5 -> the one with modules, in which one file was one module.

0.1 had nothing but the list of its metrics. Paths of 0.1 and 0.2 are of another dialect, `$.a[*]?(@.b == "x")`; a text
that does not begin with a `$` is constant there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .probes import DEFAULT_MODULE
from .tree import Entry, Map, Scalar, Value

_MODULE_KEYS = ("metrics", "headers", "http_client_config", "body")
_FILTER = re.compile(r"""\[\*\]\?\(((?:[^()"']|"[^"]*"|'[^']*')*)\)""")
OF_TARGET = "# The address of this module was Prometheus's ?target=; it has to stand in url."
_OF_ARGUMENT = "# The address was an argument of json_exporter; it has to stand in url."


@dataclass(frozen=True, slots=True)
class ModulesConfig:
    """A config as `modules`. `old_paths`: it is one of 0.1 or 0.2. `address` is a comment on where its target stood."""

    top: Map
    old_paths: bool = False
    address: str = OF_TARGET


def with_modules(top: Map) -> ModulesConfig:
    """A config of any version; one that was a list has it in `metrics`."""
    items = top.items("metrics")
    if top.get("modules") or not items:
        return ModulesConfig(top)
    is_list = items[0].path.startswith("[")
    module = Map([one for one in top.entries if not isinstance(one, Entry) or one.key in _MODULE_KEYS])
    others = [one for one in top.pairs() if one.key not in _MODULE_KEYS]
    old_paths = is_list or any(metric.text("path").startswith("$") for metric in top.maps("metrics"))
    if old_paths:
        for metric in top.maps("metrics"):
            _put_paths(metric, has_value_labels=not is_list)
    modules = Map([Entry(DEFAULT_MODULE, module, path=DEFAULT_MODULE)])
    return ModulesConfig(Map([Entry("modules", modules), *others]), old_paths, _OF_ARGUMENT if is_list else OF_TARGET)


def _put_paths(metric: Map, *, has_value_labels: bool) -> None:
    """Writes the texts of a metric in the later dialect. In 0.1 a label of a single value was always constant."""
    is_object = metric.text("type") == "object"
    for entry in metric.pairs():
        if entry.key == "path":
            entry.value = _rewritten(entry.value)
        elif entry.key in ("labels", "values"):
            for pair in entry.map.pairs():
                pair.value = _rewritten(pair.value, has_paths=is_object or has_value_labels)


def _rewritten(value: Value, *, has_paths: bool = True) -> Value:
    """`$.a[*]?(@.b == 1)+` -> `{$.a[?(@.b == 1)]}`; a constant with a brace in it -> the same in quotes."""
    if not isinstance(value, Scalar):
        return value
    if has_paths and value.text.startswith("$"):
        path = _FILTER.sub(r"[?(\1)]", value.text.rstrip("+"))
        return Scalar(f"{{{path}}}", "'")
    if "{" in value.text:
        text = value.text.replace("\\", "\\\\").replace('"', '\\"')
        return Scalar(f'{{"{text}"}}', "'")
    return value
