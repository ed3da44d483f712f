"""Text -> value, by the rules with which Prometheus (Go, YAML 1.1) reads a scalar. Every function raises ValueError
with what is allowed; none of them knows where in the file the text stood."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from ..relabel import LABEL_NAME

_DURATION = re.compile(
    r"(?:(?P<y>[0-9]+)y)?(?:(?P<w>[0-9]+)w)?(?:(?P<d>[0-9]+)d)?(?:(?P<h>[0-9]+)h)?"
    r"(?:(?P<m>[0-9]+)m)?(?:(?P<s>[0-9]+)s)?(?:(?P<ms>[0-9]+)ms)?",
    re.ASCII,
)
_MAX_DIGITS = 100  # no number needs more, and Python reads none of more than 4,300
_UNIT_MS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_MAX_DURATION_MS = (2**63 - 1) // 1_000_000  # Go keeps nanoseconds in an int64
_TOO_LONG = "a duration is at most 292 years"

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|KB|MB|GB|TB|PB|EB|KiB|MiB|GiB|TiB|PiB|EiB)", re.ASCII)
_SIZE_POWER = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}

_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"}
NULL = {"", "~", "null", "Null", "NULL"}

METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)


@functools.lru_cache(maxsize=16_384)
def is_metric_name(name: str) -> bool:
    """Whether a metric may have this name; remembered, because a page has each on many lines."""
    return METRIC_NAME.fullmatch(name) is not None


@functools.lru_cache(maxsize=16_384)
def is_label_name(name: str) -> bool:
    """Whether a label may have this name; remembered likewise."""
    return LABEL_NAME.fullmatch(name) is not None


def duration_ms(text: str) -> int:
    """`1h30m` -> milliseconds. Units in this order, each once, whole numbers; a bare `0` is allowed."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError("a duration is whole numbers with units y w d h m s ms in that order, as 1m or 1h30m")
    if len(text) > _MAX_DIGITS:
        raise ValueError(_TOO_LONG)
    total = sum(int(number) * _UNIT_MS[unit] for unit, number in match.groupdict().items() if number)
    if total > _MAX_DURATION_MS:
        raise ValueError(_TOO_LONG)
    return total


def print_duration(milliseconds: int) -> str:
    """Milliseconds -> the text Prometheus prints: years and weeks only when exact, zero as `0s`."""
    if milliseconds == 0:
        return "0s"
    text, rest = "", milliseconds
    for unit, size in _UNIT_MS.items():
        if rest >= size and (unit not in ("y", "w") or rest % size == 0):
            text += f"{rest // size}{unit}"
            rest %= size
    return text


def size_bytes(text: str) -> int:
    """`100MB` -> bytes, base 1024, the unit is mandatory; `0` means no limit."""
    if text == "0":
        return 0
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("a size is a number with a unit B, KB, MB, GB, TB, PB or EB (base 1024), as 100MB")
    size = float(match[1]) * 1024.0 ** _SIZE_POWER[match[2][0]]
    if size >= 2.0**63:
        raise ValueError("a size is below 8EB")
    return int(size)


def boolean(text: str) -> bool:
    """YAML 1.1 booleans, as Go's reader takes them: true/false, yes/no, on/off."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("allowed are true and false")


def integer(text: str) -> int:
    """A whole number by Go's rules: `1_000`, `0x1f`, `0b11`, `0o17` and `017` (octal) are numbers; `1e3` is 1000."""
    plain = text.replace("_", "")
    sign, digits = (-1, plain[1:]) if plain.startswith("-") else (1, plain.removeprefix("+"))
    lowered = digits.lower()
    try:
        if lowered[:2] in ("0x", "0o", "0b"):
            return sign * int(lowered, 0)
        if lowered.isascii() and lowered.isdigit():
            return sign * int(lowered, 8 if len(lowered) > 1 and lowered[0] == "0" else 10)
        if digits[:1] not in ("+", "-") and (number := parse_float(digits)) == number // 1:
            return sign * int(number)
    except (ValueError, OverflowError):
        pass
    raise ValueError("a whole number is expected")


def parse_float(text: str) -> float:
    """A number as Prometheus's text format and Go write it: `1`, `.5`, `1e-3`, `+Inf`, `NaN`; no underscores or hex.

    Raises ValueError. Python's `float` takes more (`1_000`, digits of other scripts), which Prometheus refuses.
    """
    if not text.isascii() or "_" in text:
        raise ValueError("a number is expected")
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number is expected") from None


def yaml_float(text: str) -> float:
    """A float in a config value: as `parse_float`, plus YAML's `.inf` and `.nan`."""
    lowered = text.lower()
    if lowered.lstrip("+-") in (".inf", ".nan"):
        return float(lowered.replace(".", ""))
    return parse_float(text)


_EXPAND = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*)|([$*#@!?0-9-])|\{)")


def expand_environment(text: str, env_vars: Mapping[str, str]) -> str:
    """`$VAR` and `${VAR}` from the environment, `$$` a literal `$`, an unknown name empty: Prometheus's rule for
    `external_labels`, the only values in which it expands anything (Go's os.Expand: an unclosed `${` vanishes)."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3] or ""
        return "$" if name == "$" else env_vars.get(name, "")

    return _EXPAND.sub(value, text)
