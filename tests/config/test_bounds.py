"""A config that is not one costs little: depth, size and aliases are bounded, and the message says what is wrong."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError

pytestmark = pytest.mark.slow


def merges(levels: int, width: int) -> str:
    """Maps that merge the map before them several times: width**levels maps when written out."""
    lines = ["json_configs: [&a0 {k: v}]"]
    lines += [f"x{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * width)}]}}" for i in range(1, levels)]
    return "\n".join([*lines, f"global: {{<<: *a{levels - 1}}}"])


def laughs(levels: int, width: int) -> str:
    lines = ["x0: &a0 [lol]"]
    lines += [f"x{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join([*lines, f"rule_files: *a{levels - 1}"])


def jobs(count: int) -> str:
    """One job, metric and label map, each aliased many times."""
    many = ", ".join
    return "\n".join(
        [
            f"x: &labels {{{many(f'l{i}: a' for i in range(count))}}}",
            "y: &metric {name: a, value: b, labels: *labels}",
            f'z: &job {{url: "http://h/", metrics: [{many(["*metric"] * count)}]}}',
            f"json_configs: [{many(['*job'] * count)}]",
        ]
    )


def chain(length: int) -> str:
    """Each map merges the one before: as deep as it is long."""
    lines = ["x0: &a0 {k: v}", *(f"x{i}: &a{i} {{<<: *a{i - 1}}}" for i in range(1, length))]
    return "\n".join([*lines, f"global: *a{length - 1}"])


def chain_of_lists(length: int) -> str:
    """Each list holds the one before: few values, and as many levels as there are lists."""
    return "\n".join(["x0: &a0 [v]", *(f"x{i}: &a{i} [*a{i - 1}]" for i in range(1, length))])


DEEP = "nested deeper than 64 levels"
BOMB = "more than 200000 values, aliases written out"
HOSTILE = {
    "brackets": ("[" * 100_000, f"pusher.yaml:1: {DEEP}"),
    "indents": ("".join(f"{' ' * i}a:\n" for i in range(1_000)), f"pusher.yaml:65: {DEEP}"),
    "long": ("a: " + "x" * 2_000_000, "pusher.yaml: the file has 2000003 characters; a config has at most 1000000"),
    "merges": (merges(9, 9), f"pusher.yaml:7: {BOMB}"),
    "laughs": (laughs(10, 10), f"pusher.yaml:6: {BOMB}"),
    "jobs": (jobs(300), f"pusher.yaml:4: {BOMB}"),
    "chain": (chain(5_000), BOMB),
    "chain-of-lists": (chain_of_lists(600), f"pusher.yaml:65: {DEEP}, aliases written out"),
    "circle-of-lists": ("json_configs: &a [*a]", "pusher.yaml:1: an alias stands inside what it names"),
    "circle-of-merges": ("global: &a {<<: *a}", "pusher.yaml:1: an alias stands inside what it names"),
    "wrong-jobs": (f"json_configs: [{'x, ' * 100_000}]", "there are more mistakes than these"),
    "unknown-keys-of-a-job": (
        "json_configs:\n  - job_name: a\n" + "\n".join(f"    scrape_intervals{i}: 1" for i in range(30_000)),
        "there are more mistakes than these",
    ),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile(text: str, message: str) -> None:
    """What would cost minutes or gigabytes is refused within seconds and megabytes."""
    started = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as raised:
            parse_config(text, "pusher.yaml", {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message in str(raised.value)
    assert len(str(raised.value)) < 1_000_000
    assert time.process_time() - started < 20  # tracing makes everything some ten times slower
    assert peak < 300_000_000


ENV_VARS = {"PUSHER_WORKSPACE": "ws-1", "AWS_REGION": "eu-west-1"}


def nested(levels: int) -> str:
    """Twice that deep: what is closed again does not count."""
    deepest = "[" * levels + "]" * levels
    return f"rule_files: {deepest}\ntracing: {deepest}\n"


LARGEST = {
    "levels": (nested(63), nested(64), DEEP),
    "characters": ("tracing: x #".ljust(1_000_000, "x"), "x" * 1_000_001, "the file has 1000001 characters"),
}


@pytest.mark.parametrize(("loads", "does_not", "message"), LARGEST.values(), ids=LARGEST)
def test_the_largest_that_loads(loads: str, does_not: str, message: str) -> None:
    """64 levels, counted from the top, and a million characters."""
    assert parse_config(loads, "pusher.yaml", ENV_VARS)
    with pytest.raises(ConfigError, match=message):
        parse_config(does_not, "pusher.yaml", ENV_VARS)


def test_thousand_mistakes() -> None:
    """The message lists a thousand mistakes, then one line says that there are more."""
    text = "\n".join(f"key_number_{i}: 1" for i in range(2_000))
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "pusher.yaml", ENV_VARS)
    lines = str(raised.value).splitlines()
    assert len(lines) == 1_001
    assert lines[-1] == "pusher.yaml:1000: there are more mistakes than these"


def test_many_jobs() -> None:
    """A long config of a real kind loads: the bounds are far above what people write."""
    one = '  - {job_name: j%d, url: "https://h/", metrics: [{name: a, value: v, labels: {x: x, y: y}}]}'
    text = "\n".join(["json_configs:", *(one % i for i in range(5_000))])
    assert len(parse_config(text, "pusher.yaml", ENV_VARS).jobs) == 5_000


def test_many_aliases() -> None:
    """One map of labels shared by hundreds of jobs is what aliases are for."""
    one = '  - {job_name: j%d, url: "https://h/", labels: *l, metrics: [{name: a, value: v}]}'
    first = '  - {job_name: a, url: "https://h/", labels: &l {team: a, tier: b}, metrics: [{name: a, value: v}]}'
    text = "\n".join(["json_configs:", first, *(one % i for i in range(500))])
    assert len(parse_config(text, "pusher.yaml", ENV_VARS).jobs) == 501
