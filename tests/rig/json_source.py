"""One API, one strict receiver and a clock between them: what the tests of collecting stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.clock import StandingClock

NOW_MS = 1_716_479_900_000  # three seconds after the newest record of the example API
SYNTHETIC = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
TO_RECEIVER = "{{url: {url}, remote_timeout: 5s, queue_config: {{max_backoff: 50ms}}}}"
TO_AMP = (
    "{{url: {url}, sigv4: {{region: us-east-1, access_key: AKIDEXAMPLE, "
    "secret_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY}}}}"
)


@dataclass(slots=True)
class Rig:
    """Jobs against `api`, samples to `receiver`. Documents are served at /doc unless a job names another path."""

    folder: Path
    clock: StandingClock = field(default_factory=lambda: StandingClock(NOW_MS))
    env_vars: dict[str, str] = field(default_factory=dict)
    signed: bool = False
    session: Any = None  # (profile, region) -> a boto3 session, for the tests that need one
    api: Api = field(init=False)
    receiver: Receiver = field(init=False)
    _all_dependencies: list[Dependencies] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = Api(now=self.clock.time)
        self.receiver = Receiver(auth=SigV4() if self.signed else None, now=self.clock.time)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for dependencies in self._all_dependencies:
            dependencies.transport.close()
        self.receiver.__exit__(kind, error, trace)
        self.api.__exit__(kind, error, trace)

    def serve(self, text: str | bytes, path: str = "/doc", headers: Mapping[str, str] | None = None) -> str:
        """Answers a path with this document; gives the URL."""
        body = text.encode("utf-8") if isinstance(text, str) else text
        return self.api.serve(path, Answer(200, {"Content-Type": "application/json", **(headers or {})}, body))

    def serve_pages(self, pages: Mapping[str, Any]) -> str:
        """Answers /doc with these documents, by its query, and with 400 to any other; gives the URL."""

        def respond(request: Request) -> Answer:
            if request.query not in pages:
                return Answer(400)
            page = pages[request.query]
            return Answer(200, {}, page.encode()) if isinstance(page, str) else Answer.json(page)

        return self.api.serve("/doc", respond)

    def app(self, *jobs: str, top: str = "") -> App:
        """A cold function with these jobs, each a flow of YAML keys as made by `job`."""
        listed = "".join(f"  - {job}\n" for job in jobs)
        return self.app_of(f"{top}\njson_configs:\n{listed}")

    def app_of(self, config: str) -> App:
        """A cold function with this config, in which remote_write is missing."""
        endpoint = (TO_AMP if self.signed else TO_RECEIVER).format(url=self.receiver.url)
        path = self.folder / f"config-{len(self._all_dependencies)}.yaml"
        path.write_text(f"{config}\nself_metrics: false\nremote_write:\n  - {endpoint}\n", encoding="utf-8")
        env_vars = {"PUSHER_CONFIG": str(path), **self.env_vars}
        extra = {"session": self.session} if self.session else {}
        dependencies = Dependencies(env_vars, now_ms=self.clock.now_ms, **extra)
        self._all_dependencies.append(dependencies)
        return App(dependencies)

    def job(self, *metrics: str, name: str = "j", path: str = "/doc", keys: str = "") -> str:
        """One entry of json_configs. `keys` are more keys in flow style."""
        url = path if path.startswith("http") else f"{self.api.url}{path}"
        found = f"job_name: {name}, url: '{url}', metrics: [{', '.join(metrics)}]"
        return f"{{{found}{', ' if keys else ''}{keys}}}"

    def push(self, *jobs: str, top: str = "") -> dict[str, Any]:
        """One run of a cold function; gives the report."""
        return self.app(*jobs, top=top).handle({}, None)

    def lines(self, *names: str) -> list[str]:
        """What the receiver holds, one line per sample as `name{label="value"} value @milliseconds`, in the order of
        the series' text and of arrival. Labels job and instance are left out; without names, so are the synthetic
        series."""
        found = []
        for labels, points in self.receiver.samples.items():
            named = dict(labels)
            metric = named.pop("__name__")
            if metric not in (names or {metric} - set(SYNTHETIC)):
                continue
            shown = ",".join(
                f"{name}={json.dumps(value, ensure_ascii=False)}"
                for name, value in named.items()
                if name not in ("job", "instance")
            )
            series = f"{metric}{{{shown}}}" if shown else metric
            found += [(series, index, f"{series} {number(value)} @{ms}") for index, (ms, value) in enumerate(points)]
        return [line for _, _, line in sorted(found)]

    def value(self, name: str, **labels: str) -> float:
        """The newest value of the one series with this name."""
        series = self.receiver.series(name, **labels)
        assert len(series) == 1, (name, labels, sorted(self.receiver.samples))
        return next(iter(series.values()))[-1][1]


def number(value: float) -> str:
    """Shortest exact digits, whole numbers without a fraction."""
    return repr(value).removesuffix(".0")


def counts(reasons: Mapping[str, Any]) -> dict[str, int]:
    """Reason -> count, of a tally in a report."""
    return {reason: entry["count"] for reason, entry in reasons.items()}


def example(entry: Mapping[str, Any]) -> str:
    """The first example of a reason in a report."""
    return str(next(iter(entry["examples"].values())))


def skipped(report: Mapping[str, Any], job: int = 0) -> dict[str, int]:
    return counts(report["jobs"][job].get("skipped", {}))


def dropped(report: Mapping[str, Any]) -> dict[str, int]:
    """What the endpoint's accounting says was dropped."""
    return counts(report["endpoints"][0]["dropped"])


def error(report: Mapping[str, Any], job: int = 0) -> str:
    return str(report["jobs"][job].get("error", ""))
