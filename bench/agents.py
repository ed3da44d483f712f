"""The two collectors beside which the scrape path is measured: how each is started, configured and read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.place import ACCESS_KEY, JOB, REGION, SECRET_KEY
from bench.side import BenchFailed
from sandbox.process import free_port, stop

_SCRAPE = """\
global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}
scrape_configs:
  - job_name: {job}
    static_configs: [targets: ["{target}"]]
"""
# AWS's queue_config for AMP; metadata as often as the page, as at an interval of a minute.
_REMOTE_WRITE = """\
remote_write:
  - url: {write_url}
    sigv4: {{region: {region}, access_key: {access_key}, secret_key: {secret_key}}}
    queue_config: {{max_samples_per_send: 1000, max_shards: 200, capacity: 2500}}
    metadata_config: {{send_interval: {interval}}}
"""


@dataclass(frozen=True, slots=True)
class Agent:
    """`command` makes the command line from a folder, a target, a write URL and an interval."""

    name: str
    program: str
    command: Callable[[str, Path, str, str, str], list[str]]
    note: str

    def path(self) -> str | None:
        return shutil.which(self.program)


def _vmagent(path: str, folder: Path, target: str, write_url: str, interval: str) -> list[str]:
    config = folder / "vmagent.yaml"
    config.write_text(_SCRAPE.format(interval=interval, job=JOB, target=target), encoding="utf-8")
    return [
        path,
        f"-promscrape.config={config}",
        f"-remoteWrite.url={write_url}",
        "-remoteWrite.forcePromProto=true",
        "-remoteWrite.maxRowsPerBlock=1000",
        "-remoteWrite.aws.useSigv4=true",
        f"-remoteWrite.aws.region={REGION}",
        f"-remoteWrite.aws.accessKey={ACCESS_KEY}",
        f"-remoteWrite.aws.secretKey={SECRET_KEY}",
        f"-remoteWrite.tmpDataPath={folder / 'vmagent'}",
        f"-httpListenAddr=127.0.0.1:{free_port()}",
    ]


def _prometheus(path: str, folder: Path, target: str, write_url: str, interval: str) -> list[str]:
    config, words = folder / "prometheus.yml", {"interval": interval, "write_url": write_url, "region": REGION}
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    text = _SCRAPE.format(interval=interval, job=JOB, target=target) + _REMOTE_WRITE.format(**words, **keys)
    config.write_text(text, encoding="utf-8")
    return [
        path,
        "--agent",
        f"--config.file={config}",
        f"--storage.agent.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{free_port()}",
    ]


VMAGENT = Agent("vmagent", "vmagent", _vmagent, "with 1,000 samples a request, as all here; no metadata")
PROMETHEUS = Agent("prometheus --agent", "prometheus", _prometheus, "with AWS's queue_config for AMP, and its WAL")
AGENTS = (VMAGENT, PROMETHEUS)


class Running:
    """A collector at work; a context manager."""

    def __init__(self, agent: Agent, folder: Path, target: str, write_url: str, interval: str) -> None:
        path = agent.path()
        assert path
        self._agent, self._log = agent, folder / "log"
        command = agent.command(path, folder, target, write_url, interval)
        with self._log.open("wb") as log:
            bare = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TZ": "UTC"}
            self._process = subprocess.Popen(command, cwd=folder, env=bare, stdout=log, stderr=log)
        self.pid = self._process.pid

    def fail_if_ended(self) -> None:
        if self._process.poll() is not None:
            raise BenchFailed(f"{self._agent.name} ended:\n{self.detail()}")

    def detail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace").strip()[-2_000:]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)
