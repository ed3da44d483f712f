"""A real Prometheus on a loopback port, for tests and the demo: what it stores is the truth about what was sent."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from sandbox.process import answers, ask, start, stop

OLDEST_VERSION = (3, 5)
READY_SECONDS = 30


class PrometheusError(Exception):
    """The server did not start, or refused a query."""


def find() -> str | None:
    """The path of a new enough `prometheus` on PATH, or None."""
    path = shutil.which("prometheus")
    if path is None:
        return None
    return path if version(path) >= OLDEST_VERSION else None


def version(path: str) -> tuple[int, int]:
    """Major and minor version of a `prometheus`; zeros when it does not tell."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"version v?(\d+)\.(\d+)", told.stdout + told.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


class Prometheus:
    """A running server that takes remote writes; a context manager. Nothing it stores outlives it."""

    def __init__(
        self,
        *,
        out_of_order_window: str = "1h",
        path: str | None = None,
        arguments: Sequence[str] = (),
        config: str = "",
        rules: str = "",
    ) -> None:
        """`arguments` are added to its command line, `config` to its configuration; `rules` is the text of a rule
        file."""
        self._arguments = arguments
        binary = path or find()
        if binary is None:
            raise PrometheusError(f"no prometheus >= {'.'.join(map(str, OLDEST_VERSION))} on PATH")
        self._binary = binary
        self._home = tempfile.TemporaryDirectory(prefix="prometheus-")
        config += f"storage:\n  tsdb:\n    out_of_order_time_window: {out_of_order_window}\n"
        if rules:
            config += "rule_files: [rules.yml]\n"
            Path(self._home.name, "rules.yml").write_text(rules)
        Path(self._home.name, "prometheus.yml").write_text(config)
        started = start(self._launch, lambda port: answers(f"http://127.0.0.1:{port}/-/ready"), READY_SECONDS)
        if started is None:
            log = Path(self._home.name, "log").read_text(errors="replace")[-2000:]
            self._home.cleanup()
            raise PrometheusError(f"prometheus did not become ready:\n{log}")
        self._process, port = started
        self.url = f"http://127.0.0.1:{port}"

    @property
    def write_url(self) -> str:
        return f"{self.url}/api/v1/write"

    def query(self, expression: str, time: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query; raises PrometheusError with the server's reason."""
        params = {"query": expression} | ({} if time is None else {"time": str(time)})
        return list(self._get("query", params)["result"])

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        params = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        return list(self._get("query_range", params)["result"])

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of the series that an expression selects, series by series."""
        return list(self._get("query_exemplars", {"query": expression, "start": str(start), "end": str(end)}))

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its state, health and last evaluation, as /api/v1/rules tells them."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def metadata(self) -> dict[str, str]:
        """The types of the metrics of all targets, by name."""
        return {name: found[0]["type"] for name, found in self._get("metadata", {}).items()}

    def close(self) -> None:
        stop(self._process)
        self._home.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        arguments = [
            f"--config.file={self._home.name}/prometheus.yml",
            f"--storage.tsdb.path={self._home.name}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
            *self._arguments,
        ]
        with Path(self._home.name, "log").open("wb") as log:
            return subprocess.Popen([self._binary, *arguments], stdout=log, stderr=subprocess.STDOUT)

    def _get(self, what: str, params: Any) -> Any:
        answer = ask("GET", f"{self.url}/api/v1/{what}", params=params, timeout=30)
        if not answer.ok:
            raise PrometheusError(answer.text)
        return answer.json()["data"]
