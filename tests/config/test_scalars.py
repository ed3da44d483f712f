"""Text to value by the rules with which Prometheus reads a scalar: durations, sizes, numbers, booleans, `$VAR`."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config import scalars

YEAR, WEEK, DAY, HOUR, MINUTE = 31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000

READ: dict[Callable[[str], float], dict[str, float]] = {
    # whole numbers with units from y down to ms, each once; a bare 0 needs no unit
    scalars.duration_ms: {
        "0": 0, "0s": 0, "1y2w3d4h5m6s7ms": YEAR + 2 * WEEK + 3 * DAY + 4 * HOUR + 5 * MINUTE + 6_007,
        "90m": 90 * MINUTE, "007s": 7_000, "292y": 292 * YEAR,
    },
    # a number with a unit, base 1024
    scalars.size_bytes: {"1B": 1, "100MB": 100 * 1024**2, "1.5GB": 3 * 512 * 1024**2, "7KiB": 7 * 1024},
    # as Go's reader: hexadecimal, octal and binary numbers are numbers
    scalars.integer: {
        "0": 0, "-7": -7, "0o17": 15, "-0x1f": -31, "1e3": 1_000, "2.0": 2, "9223372036854775807": 2**63 - 1,
    },
    # as Prometheus's text format writes them; in a config value YAML's own spelling of infinity holds too
    scalars.parse_float: {"1": 1.0, ".5": 0.5, "5.": 5.0, "1e-3": 0.001, "-Inf": -math.inf, "NaN": math.nan},
    scalars.yaml_float: {
        "1": 1.0, "-Inf": -math.inf, ".inf": math.inf, "+.inf": math.inf, "-.INF": -math.inf, ".Inf": math.inf,
        ".nan": math.nan,
    },
    # YAML 1.1's words
    scalars.boolean: {
        **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"), True),
        **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"), False),
    },
}  # fmt: skip
ROWS = [(read, text, value) for read, values in READ.items() for text, value in values.items()]


@pytest.mark.parametrize(
    ("read", "text", "value"), ROWS, ids=[f"{getattr(read, '__name__', '')} {text}" for read, text, _ in ROWS]
)
def test_a_text_is_read(read: Callable[[str], float], text: str, value: float) -> None:
    found = read(text)
    assert (found, type(found)) == (value, type(value)) or (math.isnan(found) and math.isnan(value))


PRINTED = [  # (milliseconds, what Prometheus prints)
    (0, "0s"),
    (1, "1ms"),
    (90 * MINUTE, "1h30m"),
    (7 * DAY, "1w"),
    (8 * DAY, "8d"),
    (365 * DAY, "1y"),
    (1_500, "1s500ms"),
]


@pytest.mark.parametrize(("milliseconds", "text"), PRINTED, ids=[text for _, text in PRINTED])
def test_print_duration(milliseconds: int, text: str) -> None:
    """Years and weeks are printed only when they are exact."""
    assert scalars.print_duration(milliseconds) == text


@given(st.integers(0, 292 * YEAR))
def test_a_printed_duration_reads_back(milliseconds: int) -> None:
    """Printing a duration and reading it gives the same milliseconds."""
    assert scalars.duration_ms(scalars.print_duration(milliseconds)) == milliseconds


FOREIGN = [(scalars.duration_ms, "１s"), (scalars.size_bytes, "１MB"), (scalars.integer, "５"), (scalars.integer, "²")]


@pytest.mark.parametrize(("read", "text"), FOREIGN)
def test_a_digit_of_another_script_is_none(read: Callable[[str], float], text: str) -> None:
    """Python reads it as a number; Go does not. Other refusals stand in testdata/config/bad with their messages."""
    with pytest.raises(ValueError, match=r"a duration is|a size is|number is expected"):
        read(text)


VARIABLES = {"HOST": "web-1", "EMPTY": "", "_x9": "under", "A-B": "dash", "1": "one", "NESTED": "$HOST"}
EXPANSIONS = [  # (text, Go's os.Expand with Prometheus's mapping)
    ("plain", "plain"),
    ("$HOST", "web-1"),
    ("${HOST}", "web-1"),
    ("$HOSTS", ""),
    ("${HOST}S", "web-1S"),
    ("$$", "$"),
    ("$$$HOST", "$web-1"),
    ("${$}HOST", "$HOST"),
    ("$", "$"),
    ("5$ ", "5$ "),
    ("$é", "$é"),
    ("${}x", "x"),
    ("${HOST", "HOST"),
    ("$NESTED", "$HOST"),
]


@pytest.mark.parametrize(("text", "expanded"), EXPANSIONS, ids=[text for text, _ in EXPANSIONS])
def test_expand_environment(text: str, expanded: str) -> None:
    """`$VAR` and `${VAR}` once, `$$` is a dollar, an unknown name is empty."""
    assert scalars.expand_environment(text, VARIABLES) == expanded
