"""Every fenced block of every page has a language, and is checked as its language says.

What a command does is tested beside it: the runbooks' in tests/runbooks, those of quickstart, guides and events in this
folder, the examples' in tests/test_examples.py. Here each of them is one that its program knows.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from textwrap import indent

import pytest
import yaml

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.events import parse_event
from lambda_remote_write_cli.convert import convert
from tests.rig.cookbook import OF_GUIDES, RECIPES
from tests.rig.markdown import Block, every_block, page_name, pages
from tests.rig.needs import Peer
from tests.rig.shell_commands import CHECKS, commands, problem
from tests.rig.stack import ROOT

BLOCKS = every_block()
RUN_ELSEWHERE = ROOT / "docs" / "runbooks"  # which use more of bash than is read here
ACTIONS = ("push", "plan", "spool", "push_samples", "backfill")
PUSHED = {one["content"] for recipe in [*RECIPES, *OF_GUIDES] for one in recipe.blocks}
"""What tests/test_json_cookbook.py serves, configures and compares."""
RECIPE_LANGUAGES = {"csv", "xml", "ndjson", "http"}
ENV_VARS = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-0123", "HOSTNAME": "h"}

_JOB = "json_configs:\n- job_name: a\n"
_URL = "  url: https://a.example/\n"
_METRICS = "  metrics: [{name: a, value: a, timestamp: {path: t, format: unix}}]\n"
INSIDE = {  # what a piece of a config is inside of: the lines above it, by how much it is indented
    "a config": ("", 0),
    "a job": (_JOB + _URL + _METRICS, 2),
    "a job without metrics": (_JOB + _URL, 2),
    "a job without url": (_JOB + _METRICS, 2),
    "a metric": (_JOB + _URL + "  metrics:\n  - name: a\n", 4),
    "a metric with records and value": (_JOB + _URL + "  metrics:\n  - type: gauge\n", 4),
    "a scrape job": ("scrape_configs:\n- job_name: a\n", 2),
    "an endpoint": ("remote_write:\n- name: a\n", 2),
}


def block_name(block: Block) -> str:
    return block.name


def of(*languages: str) -> pytest.MarkDecorator:
    found = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=block_name)


def test_every_block_has_a_language_that_is_checked() -> None:
    known = {"bash", "yaml", "json", "promql", "toml", "text", *RECIPE_LANGUAGES}
    assert [(block.name, block.language) for block in BLOCKS if block.language not in known] == []
    assert len(BLOCKS) > 250


def test_every_fence_is_closed() -> None:
    """An open one would hide all that follows."""
    fences = {page: len(re.findall(r"^ *(?:```|~~~)", page.read_text(), re.M)) for page in pages()}
    counted = {page: sum(2 for block in BLOCKS if block.page == page) for page in fences}
    assert {page_name(page): count for page, count in fences.items() if count != counted[page]} == {}


# --- Commands ---------------------------------------------------------------------------------------------------------


@of("bash")
def test_a_block_of_commands_is_bash(block: Block) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-n"], input=block.content, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@of("bash")
def test_no_command_has_a_comment_which_zsh_takes_for_arguments_at_a_prompt(block: Block) -> None:
    assert [line for line in block.content.splitlines() if re.search(r"(^|\s)#", line)] == []


@of("bash")
def test_each_command_is_one_that_its_program_knows(block: Block) -> None:
    if block.page.is_relative_to(RUN_ELSEWHERE):
        return
    found = commands(block.content)
    assert found
    assert [one for words in found if (one := problem(words))] == []


@of("text")
def test_what_is_shown_as_output_is_no_command(block: Block) -> None:
    """A command belongs where it is checked."""
    first = [line.split()[0] for line in block.content.splitlines() if line.strip()]
    assert [word for word in first if word.removeprefix("./") in CHECKS or word in ("$", "%")] == []


PROGRAMS = re.compile(r"`((?:pusher|make|sam) [a-z][^`]*)`")


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_commands_in_the_text_exist(page: Path) -> None:
    """Those that stand between words may be short: what they name has to exist."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.M | re.S)
    wrong = []
    for span in PROGRAMS.findall(text.replace("\n", " ")):
        for words in (one for one in commands(span) if one[0] in ("pusher", "make", "sam")):
            known = [word for word in words if "…" not in word]
            found = problem([*known[:2], "--help"] if known[0] == "pusher" else known)
            wrong += [found] if found else []
    assert wrong == []


# --- Configs ----------------------------------------------------------------------------------------------------------


@of("yaml")
def test_a_config_loads(block: Block) -> None:
    """A whole one or a piece of one; or it is for another program, and is read as that one's."""
    if block.content in PUSHED:
        return
    given = yaml.safe_load(block.content)
    for is_one, check in OTHERS:
        if isinstance(given, dict) and is_one(given):
            check(block.content)
            return
    complaints = [_mistakes(block.content.replace("ws-…", "ws-0123"), *place) for place in INSIDE.values()]
    assert "" in complaints, dict(zip(INSIDE, complaints, strict=True))


def _mistakes(text: str, above: str, columns: int) -> str:
    try:
        parse_config(above + indent(text, " " * columns), "block", ENV_VARS)
    except ConfigError as error:
        return str(error)
    return ""


def _converts(text: str) -> None:
    assert convert(text, "before.yaml").problems == ()


def _is_a_golden_test(text: str) -> None:
    """Its files are not there; all of its keys are read."""
    from lambda_remote_write_cli.golden import file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pusher_test.yaml")
        path.write_text(text)
        assert file.read(path).tests


def _runs_known_commands(text: str) -> None:
    """A workflow of GitHub."""
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    found = [words for step in steps for words in commands(step.get("run", ""))]
    assert found
    assert [one for words in found if (one := problem(words))] == []


OTHERS: list[tuple[Callable[[dict[str, object]], bool], Callable[[str], None]]] = [
    (lambda given: "receivers" in given or "modules" in given, _converts),
    (lambda given: {"version", "config", "tests"} <= set(given), _is_a_golden_test),
    (lambda given: "jobs" in given, _runs_known_commands),
    (lambda given: set(given) == {"rule_files"}, lambda text: None),  # for another Prometheus
]


# --- Documents --------------------------------------------------------------------------------------------------------


@of("json")
def test_json_is_json_and_an_event_is_an_event(block: Block) -> None:
    """One document, or several one after another."""
    for document in _documents(block.content):
        if isinstance(document, dict) and "action" in document and "ok" not in document and "done" not in document:
            parse_event(document, ACTIONS)


def _documents(text: str) -> list[object]:
    found, rest = [], text.strip()
    while rest:
        document, end = JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def test_what_is_no_json_is_found() -> None:
    with pytest.raises(JSONDecodeError):
        _documents('{"a": 1} {')


@of("toml")
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.content)


@of(*sorted(RECIPE_LANGUAGES))
def test_an_answer_belongs_to_a_recipe(block: Block) -> None:
    assert block.content in PUSHED


def test_every_query_is_promql(peer: Peer, tmp_path: Path) -> None:
    queries = [block.content.strip() for block in BLOCKS if block.language == "promql"]
    assert len(queries) >= 3
    rules = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}))
    done = subprocess.run([peer("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
