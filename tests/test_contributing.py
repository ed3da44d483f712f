"""What GitHub and pre-commit read is well formed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig.yaml_files import read_yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = yaml.load((ROOT / ".github/workflows/ci.yml").read_text(), yaml.CBaseLoader)  # with YAML 1.1 `on` is true
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").iterdir() if path.name != "config.yml")
KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_workflow_runs_what_a_checkout_runs() -> None:
    (job,) = WORKFLOW["jobs"].values()
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13", "3.14"]


def test_the_workflow_may_only_read_and_runs_actions_that_cannot_change() -> None:
    (job,) = WORKFLOW["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert (WORKFLOW["permissions"], "permissions" in job) == ({"contents": "read"}, False)
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one)] == []


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_takes(path: Path) -> None:
    form: dict[str, Any] = read_yaml(path)
    fields = [one for one in form["body"] if one["type"] != "markdown"]
    assert {"name", "description"} <= form.keys()
    assert {one["type"] for one in form["body"]} <= KINDS
    assert all(one["attributes"]["label"] for one in fields)
    assert len({one["id"] for one in fields}) == len(fields)


def test_the_form_for_bugs_asks_for_what_is_needed() -> None:
    text = (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()
    for needed in ("pusher --version", "pusher push CONFIG --json", "secrets removed"):
        assert needed in text


def test_hooks_run_the_pinned_tools() -> None:
    (repo,) = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        tool, *words = hook["entry"].split()
        assert (tool == "make" and words[0] in targets()) or tool.startswith(".venv/bin/"), hook


@pytest.mark.parametrize(("file", "check"), [(".checkov.yaml", r"  - CKV_"), ("pyproject.toml", r'  "B\d+",')])
def test_what_a_scan_leaves_out_has_its_reason(file: str, check: str) -> None:
    left_out = [line for line in (ROOT / file).read_text().splitlines() if re.match(check, line)]
    assert len(left_out) > 4
    assert [line for line in left_out if not re.search(r" # \w.{20,}$|# assert$", line)] == []


def test_ci_fails_when_a_scan_finds_something() -> None:
    assert re.search(r'^wait "\$scan" \|\| \{.*exit 1; \}$', (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert os.access(ROOT / ".ci/scan", os.X_OK)
