"""Names of metrics and labels, made of the keys of a document."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def words(text: str) -> frozenset[str]:
    """The words of a vocabulary."""
    return frozenset(text.split())


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_UNIT = re.compile(r"([kKMGT]?Wh|[kMG]Hz|dB[mi]?|[KMGT]iB|[mM]Ah)(?![a-z])")  # one word, whatever its case
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")
_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEGAL_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_SPELLED = str.maketrans({"µ": "u", "\u03bc": "u", "°": "deg", "%": " percent ", "ß": "ss", "ø": "o", "æ": "ae"})
_PER = re.compile(r"(?:Per(?=[A-Z])|By(?=[A-Z])|_per_|_by_)([A-Za-z][A-Za-z0-9]*)$")
_RESERVED_LABELS = ("job", "instance", "le", "quantile")
GENERIC = words(
    "data result results items item records record rows row values value list entries entry response content payload "
    "objects object elements element body root output series api json v1 v2 v3 index php points hits docs"
)  # of containers: their names say nothing about what is in them

UNITS = words("wh kwh mwh seconds ms bytes kb mb gb joules liters litres m3")  # that may stand behind `total`


def snake(text: str) -> str:
    """`apiRequestCount`, `05. price` or `heap.used` as `api_request_count`, `05_price` and `heap_used`."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLED)).encode("ascii", "ignore").decode()
    plain = _UNIT.sub(lambda found: f"_{found[1].lower()}_", plain)
    return "_".join(part for part in _NO_WORD.split(_CAMEL.sub("_", plain)) if part).lower()


def singular(word: str) -> str:
    """`queues` as `queue`; a word that is none stays as it is."""
    low = word.lower()
    if len(low) < 4 or low.endswith(("ss", "us", "is", "ics", "ews")):
        return word
    if low.endswith("ies") and len(low) > 4:
        return f"{word[:-3]}y"
    if low.endswith(("sses", "xes", "ches", "shes", "uses")):
        return word[:-2]
    return word[:-1] if low.endswith("s") else word


def is_plural(word: str) -> bool:
    return singular(word) != word


def is_generic(word: str) -> bool:
    return snake(word) in GENERIC


def counted_by(word: str) -> str:
    """What the keys of a map are whose name says so: `user` of `OpenConnectionsPerUser`; "" for others."""
    found = _PER.search(word)
    return snake(found[1]) if found else ""


def metric_name(prefix: str, words: Iterable[str]) -> str:
    """The words in snake_case behind the prefix; a part that repeats the one before it stands once."""
    found = [part for part in snake(prefix).split("_") if part]
    for word in words:
        parts = [part for part in snake(word).split("_") if part]
        while parts and found and singular(parts[0]) == singular(found[-1]):
            parts.pop(0)
        found += parts
    name = "_".join(found) or "value"
    return name if name[0].isalpha() else f"_{name}"


def counter_name(name: str) -> str:
    """`requests` as `requests_total`, and `energy_total_wh` as `energy_wh_total`."""
    parts = name.split("_")
    if parts[-2:-1] == ["total"] and parts[-1] in UNITS:
        parts = [*parts[:-2], parts[-1], "total"]
    return "_".join(parts if parts[-1] == "total" else [*parts, "total"])


def label_name(key: str) -> str:
    """The key itself where that is a legal name, with `exported_` in front where Prometheus sets the label itself."""
    name = key
    if not _LEGAL_LABEL.fullmatch(name):
        plain = unicodedata.normalize("NFKD", key.translate(_SPELLED)).encode("ascii", "ignore").decode()
        name = _NO_WORD.sub("_", plain).strip("_") or "label"
        name = name if name[0].isalpha() else f"_{name}"
    return f"exported_{name}" if name in _RESERVED_LABELS else name


def quoted_key(key: str) -> str:
    """A key as JMESPath writes it."""
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def literal(text: str) -> str:
    """A text as JMESPath writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def unique(name: str, taken: Sequence[str] | set[str]) -> str:
    """The name, with a number behind it when it is taken."""
    number = 1
    found = name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|pwd|secret|token|credentials?|jwt|authorization|cookie|(?:api|access|private|"
    r"secret|auth)_?key)(?:_|$)"
)


def holds_secret(key: str) -> bool:
    """Whether a key of an answer sounds as one of a secret, which is neither shown nor sent. A plain `key` or `session`
    is as often a name."""
    return bool(_SECRET.search(snake(key)))


def secret_keys(document: Any) -> list[str]:
    """The keys of a document, at any depth, that hold a text and sound as a secret; each once."""
    found, rest = dict[str, None](), [document]
    while rest:
        value = rest.pop()
        if isinstance(value, Mapping):
            found |= {key: None for key, item in value.items() if isinstance(item, str) and item and holds_secret(key)}
        rest += value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return list(found)
