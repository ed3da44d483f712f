"""A config of yours in the sandbox: its sources are asked as they are, and what comes of them goes to the stand-in for
AMP, never to the endpoints that the config names."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lambda_remote_write.app import App
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable, not_loaded
from lambda_remote_write.dependencies import Dependencies

from .amp import Labels, Receiver

_REPLACED = ("remote_write", "spool")
_BY_REFERENCE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")
_MINUTE_SECONDS = 60.0
_RUN_SECONDS = 50.0


class BadConfig(Exception):
    """A config that cannot be taken into the sandbox. The message says why, and where it can."""


@contextlib.contextmanager
def in_sandbox(config: Path, receiver_url: str) -> Iterator[Path]:
    """The config with this receiver and a spool of its own, in a folder that has links to what lies beside it, because
    it may name files there. Raises BadConfig."""
    try:
        text = with_receiver(config.read_text(encoding="utf-8"), receiver_url, "{spool}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BadConfig(f"{config}: {reason}") from None
    except yaml.YAMLError as error:
        raise BadConfig(f"{config}: not YAML: {error}") from None
    with tempfile.TemporaryDirectory(prefix="own-config-") as folder:
        for beside in config.resolve().parent.iterdir():
            if beside.name != config.name:
                Path(folder, beside.name).symlink_to(beside)
        copy = Path(folder, config.name)
        with tempfile.TemporaryDirectory(prefix="own-spool-") as spool:
            copy.write_text(text.replace('"{spool}"', json.dumps(spool)), encoding="utf-8")
            yield copy


def with_receiver(text: str, receiver_url: str, spool: str) -> str:
    """The same text but for its endpoints and its spool; `write_relabel_configs` of the first endpoint stay. Raises
    BadConfig, and yaml.YAMLError."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise BadConfig("a config for the sandbox is a map of keys, each on a line of its own: pusher check says more")
    kept = text[: node.value[0][0].start_mark.index] if node.value else ""
    ends = [key.start_mark.index for key, _ in node.value[1:]] + [node.end_mark.index]
    for (key, _), end in zip(node.value, ends, strict=True):
        if key.value not in _REPLACED:
            kept += text[key.start_mark.index : end]
    endpoint = {"name": "sandbox", "url": receiver_url, **_relabelling(text)}
    added = {"remote_write": [endpoint], "spool": {"location": spool}}
    return kept.rstrip() + "\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in added.items())


def _relabelling(text: str) -> dict[str, Any]:
    endpoints = yaml.safe_load(text).get("remote_write") or [{}]
    first = endpoints[0] if isinstance(endpoints, list) and isinstance(endpoints[0], dict) else {}
    return {name: first[name] for name in ("write_relabel_configs",) if name in first}


def own_variables(config: Path, env_vars: Mapping[str, str]) -> dict[str, str]:
    """What of the environment the config may use: what it names by `env:`, and the user's AWS."""
    named = set(_BY_REFERENCE.findall(config.read_text(encoding="utf-8", errors="replace")))
    return {name: text for name, text in env_vars.items() if name in named or name == "HOME" or name.startswith("AWS_")}


# --- make demo CONFIG= -----------------------------------------------------------------------------------------------


def show(config: Path, console: Console, env_vars: Mapping[str, str], *, goes_on: bool) -> int:
    """Runs the config once, or every minute until Ctrl-C, and prints what arrived. The exit status: 1 when a job is
    down or a sample was not taken, 2 for a bad config."""
    with Receiver(auth=None) as receiver, contextlib.ExitStack() as stack:
        try:
            copy = stack.enter_context(in_sandbox(config, receiver.url))
            status = _run(copy, receiver, console, env_vars)
        except BadConfig as error:
            console.print(Text(f"make demo: {error}"), soft_wrap=True)
            return 2
        except (ConfigError, Unreadable) as error:
            console.print(Text(f"make demo: {not_loaded(str(config), error)}".replace(str(copy), str(config))))
            return 2
        while goes_on:
            console.print("\nThe next run is in a minute. Ctrl-C ends the demo.")
            try:
                threading.Event().wait(_MINUTE_SECONDS)
            except KeyboardInterrupt:
                break
            status = _run(copy, receiver, console, env_vars)
    return status


def _run(config: Path, receiver: Receiver, console: Console, env_vars: Mapping[str, str]) -> int:
    variables = {**env_vars, "PUSHER_CONFIG": str(config), "AWS_REGION": env_vars.get("AWS_REGION") or "us-east-1"}
    Dependencies(variables).config_source().load()
    before = {labels: len(points) for labels, points in receiver.samples.items()}
    log = io.StringIO()
    dependencies = Dependencies(variables)
    with contextlib.redirect_stdout(log):
        scheduled = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        report = App(dependencies).handle({"action": "push", "scheduled_time": scheduled}, _Context())
    dependencies.transport.close()
    console.print(_arrived(receiver, before))
    for job in report["jobs"]:
        if job.get("error"):
            console.print(Text(f"{job['job']}: {job['error']}"), soft_wrap=True)
    sentence = next((line["message"] for line in map(_json, log.getvalue().splitlines()) if "report" in line), "")
    console.print(Text(sentence), soft_wrap=True)
    return 0 if report["ok"] else 1


def _arrived(receiver: Receiver, before: Mapping[Labels, int]) -> Table:
    table = Table("series that arrived in the sandbox", "value", "at")
    table.columns[1].justify = "right"
    for labels, points in receiver.samples.items():
        for stamp, value in points[before.get(labels, 0) :]:
            name, shown = (
                dict(labels)["__name__"],
                ", ".join(f'{key}="{text}"' for key, text in labels if key[:2] != "__"),
            )
            moment = datetime.fromtimestamp(stamp / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            table.add_row(Text(f"{name}{{{shown}}}"), repr(value).removesuffix(".0"), moment)
    return table


def _json(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class _Context:
    """Of Lambda's, the part that says how much time is left."""

    def get_remaining_time_in_millis(self) -> int:
        return int(_RUN_SECONDS * 1000)
