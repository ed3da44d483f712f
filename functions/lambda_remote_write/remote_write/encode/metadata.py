"""Metadata of a metric family: which of its texts are sent, and which metrics belong to it."""

from __future__ import annotations

from collections.abc import Mapping

from ...model.samples import Metadata

METADATA_MAX_BYTES = 1023  # AMP: name, type, unit and help of an entry stay below 1 KB
_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")

# A family gives its bare name (a summary's quantiles, a native histogram, a counter of the older text format) and:
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "summary": ("_sum", "_count", "_created"),
    "info": ("_info",),
}
_FAMILY_TYPES = {
    suffix: frozenset(kind for kind, suffixes in _SUFFIXES.items() if suffix in suffixes)
    for suffix in {suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}
}


def type_number(metadata: Metadata) -> int:
    """The number of its type, the same in both versions of the protocol."""
    return _TYPES.index(metadata.type)


def type_word(number: int) -> str:
    return _TYPES[number] if 0 <= number < len(_TYPES) else _TYPES[0]


def cut_to_size(metadata: Metadata) -> tuple[str, str]:
    """(help, unit), cut between characters to a size that AMP accepts."""
    unit = metadata.unit.encode("utf-8", "replace")
    room = METADATA_MAX_BYTES - len(metadata.name.encode("utf-8", "replace")) - len(metadata.type) - len(unit)
    if room < 0:
        return "", ""
    return metadata.help.encode("utf-8", "replace")[:room].decode("utf-8", "ignore"), unit.decode()


def family_of(metric: str, families: Mapping[str, Metadata]) -> Metadata | None:
    """The family of a metric, by its name: the family's, or that with a suffix of its type."""
    exact = families.get(metric)
    if exact is not None:
        return exact
    stem, underscore, ending = metric.rpartition("_")
    found = families.get(stem)
    return found if found and found.type in _FAMILY_TYPES.get(underscore + ending, ()) else None
