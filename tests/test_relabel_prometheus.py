"""The same labels and rules given to a real Prometheus: what it makes of them is what `relabel` must make of them.

Each case is one job with one static target. One server start answers for all of them: `/api/v1/targets` tells the
labels before relabelling, those after, and which targets were dropped.
"""

from __future__ import annotations

import json
import random
import socket
import string
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lambda_remote_write.relabel import Action, relabel, rule
from tests.rig.needs import Peer

START_TIMEOUT_SECONDS = 60
ADDRESS = "127.0.0.1:1"  # nothing listens there: the targets are down, their labels are known all the same

Given = dict[str, Any]


@dataclass(frozen=True)
class Case:
    name: str
    labels: dict[str, str]
    rules: list[Given]


def _replace(**given: Any) -> list[Given]:
    return [{"source_labels": ["a"], "target_label": "out", **given}]


def _value_case(name: str, value: str, **given: Any) -> Case:
    return Case(name, {"a": value}, _replace(**given))


BY_HAND = [
    _value_case("whole value copied", "x"),
    _value_case("regex is anchored at the front", "boo", regex="oo", replacement="r"),
    _value_case("regex is anchored at the end", "boo", regex="bo", replacement="r"),
    _value_case("alternation stays inside the anchors", "foo", regex="f|o", replacement="r"),
    _value_case("dot matches a newline", "x\ny", regex="x.y", replacement="r"),
    _value_case("no match before a trailing newline", "x\n", regex="x", replacement="r"),
    _value_case("word characters are ascii", "é", regex=r"\w", replacement="r"),
    _value_case("unicode class", "é", regex=r"(\pL)", replacement="<$1>"),
    _value_case("ungreedy flag", "aab", regex="(?U)(a+)(a*b)", replacement="$1|$2"),
    _value_case("reference takes the longest run", "foo", regex="f(.*)", replacement="[$1x]"),
    _value_case("reference takes letters beyond ascii", "foo", regex="f(.*)", replacement="[$1é]"),
    _value_case("reference stops at a character that is no letter", "foo", regex="f(.*)", replacement="[$1²]"),
    _value_case("braced reference", "foo", regex="f(.*)", replacement="[${1}x]"),
    _value_case("named reference", "foo", regex="f(?P<rest>.*)", replacement="[$rest]"),
    _value_case("name without P", "foo", regex="f(?<rest>.*)", replacement="[${rest}]"),
    _value_case("unknown group is empty", "foo", regex="f(.*)", replacement="[$2$nope${no}]"),
    _value_case("whole match", "foo", regex="f(.*)", replacement="[$0]"),
    _value_case("number with a leading zero is a name", "foo", regex="f(.*)", replacement="[$01]"),
    _value_case("group that took no part", "b", regex="(a)?(b)", replacement="[$1$2]"),
    _value_case("two dollars are one", "foo", regex="(.*)", replacement="$$1 $$$1"),
    _value_case("dollar at the end", "foo", replacement="$1$"),
    _value_case("dollar before a blank", "foo", replacement="$ $1"),
    _value_case("unclosed brace", "foo", replacement="${1 $1"),
    _value_case("empty braces", "foo", replacement="${}$1"),
    _value_case("empty replacement deletes", "foo", target_label="a", replacement=""),
    _value_case("empty regex and a value", "foo", regex="", replacement="r"),
    Case("empty regex and no value", {}, _replace(regex="", replacement="r")),
    Case("missing source label is empty", {"b": "x"}, _replace(source_labels=["a", "b"])),
    Case("separator", {"a": "x", "b": "y"}, _replace(source_labels=["a", "b"], separator="--")),
    Case("no source labels", {}, [{"target_label": "out", "replacement": "r"}]),
    _value_case("target label from a group", "name-value", regex="(.*)-(.*)", target_label="x_$1", replacement="$2"),
    _value_case("target label empty", "b", regex="(a)?b", target_label="${1}", replacement="r"),
    _value_case("lower case beyond ascii", "ÄΣΑΣ İ ẞ Ǆ", action="lowercase"),
    _value_case("upper case beyond ascii", "ß ﬁ ŉ ᾳ ı ǅ ÿ", action="uppercase"),
    _value_case("hashmod", "10.0.1.5:9100", action="hashmod", modulus=4),
    _value_case("hashmod of text beyond ascii", "é\n", action="hashmod", modulus=2**64 - 1),
    Case("hashmod of nothing", {}, _replace(action="hashmod", modulus=1000)),
    Case("labelmap", {"x_a": "1", "x_b": "2"}, [{"action": "labelmap", "regex": "x_(.*)", "replacement": "y_${1}"}]),
    Case("action in capitals", {"a": "x"}, [{"action": "LabelDrop", "regex": "a"}]),
    Case("keepequal of two missing labels", {}, [{"action": "keepequal", "source_labels": ["a"], "target_label": "b"}]),
]

VALUES = ["", "a", "ab", "ba", "abc", "B", "a;b", "a\nb", "1", "ß", "Σ", "a-b"]
REGEXES = ["(.*)", "", "a", "a.*", "(a)(.*)", ".+", "(a|b)+;?(.*)", "[^a]*", "(?i)b", "(?P<x>.)(?P<y>.*)", ".*;"]
REPLACEMENTS = ["$1", "", "r", "${1}x", "$2-$1", "$x$y", "$$", "$", "${y}_${nope}"]
TARGET_LABELS = ["a", "b", "c", "out"]


def _generated_rule(draw: random.Random) -> Given:
    action = draw.choice(list(Action))
    if action in (Action.LABELDROP, Action.LABELKEEP):
        names = draw.choice(["a", "[ab]", "c|out", "b.*"])
        return {"action": str(action), "regex": f"__.*|job|{names}" if action == Action.LABELKEEP else names}
    if action == Action.LABELMAP:
        return {"action": str(action), "regex": "([abc])", "replacement": draw.choice(["m_$1", "${1}_m", "$1"])}
    given: Given = {"source_labels": draw.sample(["a", "b", "c"], draw.randint(1, 2))}
    if action != Action.REPLACE or draw.random() < 0.5:
        given["action"] = str(action)
    if action in (Action.REPLACE, Action.KEEP, Action.DROP):
        given["regex"] = draw.choice(REGEXES)
    if action == Action.REPLACE:
        given["replacement"] = draw.choice(REPLACEMENTS)
    if action == Action.HASHMOD:
        given["modulus"] = draw.randint(1, 2**64 - 1)
    if action not in (Action.KEEP, Action.DROP):
        given["target_label"] = draw.choice(TARGET_LABELS)
    return given


def _generated_cases(count: int, seed: int) -> list[Case]:
    draw = random.Random(seed)
    return [
        Case(
            f"generated {number}",
            {name: draw.choice(VALUES) for name in draw.sample("abc", draw.randint(1, 3))},
            [_generated_rule(draw) for _ in range(draw.randint(1, 3))],
        )
        for number in range(count)
    ]


CASES = BY_HAND + _generated_cases(count=60, seed=7)


def _job(index: int, case: Case) -> dict[str, Any]:
    return {
        "job_name": f"case-{index}",
        "static_configs": [{"targets": [ADDRESS], "labels": case.labels}],
        "relabel_configs": case.rules,
    }


def _config() -> str:
    jobs = [_job(index, case) for index, case in enumerate(CASES)]
    scheme = {"metric_name_validation_scheme": "legacy", "scrape_interval": "1h"}
    return yaml.safe_dump({"global": scheme, "scrape_configs": jobs}, allow_unicode=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _targets(port: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/api/v1/targets?state=any"
    with urllib.request.urlopen(url, timeout=5) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
        return data


def _wait_for_targets(port: int, server: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    give_up_at = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < give_up_at and server.poll() is None:
        try:
            targets = _targets(port)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            targets = {"activeTargets": [], "droppedTargets": []}
        if len(targets["activeTargets"]) + len(targets["droppedTargets"]) >= len(CASES):
            return targets
        time.sleep(0.2)
    pytest.fail(f"prometheus did not show {len(CASES)} targets; it said:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="module")
def prometheus_targets(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """job -> what Prometheus tells about its one target; `labels` is None for a dropped one."""
    program, folder, port = peer("prometheus"), tmp_path_factory.mktemp("prometheus"), _free_port()
    (folder / "prometheus.yml").write_text(_config(), encoding="utf-8")
    flags = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as sink:
        server = subprocess.Popen([program, *flags], stdout=sink, stderr=sink, text=True)
        try:
            targets = _wait_for_targets(port, server, log)
            dropped = [{**target, "labels": None} for target in targets["droppedTargets"]]
            everyone = targets["activeTargets"] + dropped
            yield {target["discoveredLabels"]["job"]: target for target in everyone}
        finally:
            server.terminate()
            server.wait(timeout=30)


def _as_shown(labels: Mapping[str, str] | None) -> dict[str, str] | None:
    """Labels after relabelling -> those of the target: `instance` is the address unless set, `__` stays inside."""
    if labels is None:
        return None
    with_instance = {"instance": labels["__address__"], **labels}
    return {name: value for name, value in with_instance.items() if not name.startswith("__")}


@pytest.mark.parametrize(("index", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])
def test_relabels_as_prometheus_does(prometheus_targets: dict[str, Any], index: int, case: Case) -> None:
    told = prometheus_targets[f"case-{index}"]
    given = {name: value for name, value in case.labels.items() if value}
    assert given.items() <= told["discoveredLabels"].items()
    rules = [rule(**given) for given in case.rules]
    assert _as_shown(relabel(told["discoveredLabels"], rules)) == told["labels"]


def test_the_cases_use_every_action() -> None:
    used = {rule(**given).action for case in CASES for given in case.rules}
    assert used == set(Action)


def test_case_names_are_unique_and_printable() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert set("".join(names)) <= set(string.ascii_letters + string.digits + " ")
