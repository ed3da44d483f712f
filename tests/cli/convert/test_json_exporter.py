"""A converted config sends what a real json_exporter gives a real Prometheus: names, labels and values. Where the two
differ, testdata/json-exporter says how, as docs/convert.md does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml

from lambda_remote_write.config.sd_configs import StaticConfig
from lambda_remote_write_cli.convert import Options, convert
from sandbox.api import Api
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig import json_exporter as rig
from tests.rig.convert_corpus import loaded
from tests.rig.needs import Peer, Require
from tests.rig.yaml_files import read_yaml

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "testdata" / "json-exporter"
CASES: dict[str, Any] = {name: case for path in sorted(FOLDER.iterdir()) for name, case in read_yaml(path).items()}
CONFIG = json.dumps({"modules": {name: case["module"] for name, case in CASES.items()}})
TIMES = {"scrape_interval": "1s", "scrape_timeout": "1s"}


# --- One document -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sent(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, rig.Lines]:
    """What is sent of all cases: there, and here by default and with --exact."""
    exporter_path, agent, folder = peer("json_exporter"), peer("prometheus"), tmp_path_factory.mktemp("json-exporter")
    now = str(int(time.time() * 1000) + 60_000)  # an agent writes nothing older than itself
    with Api() as api, rig.json_exporter(exporter_path, CONFIG, folder) as exporter:
        urls = {name: api.serve(f"/{index}", document(case, now)) for index, (name, case) in enumerate(CASES.items())}
        jobs = [rig.probe_job(name, exporter, [url]) for name, url in urls.items()]
        prometheus = {"global": TIMES, "scrape_configs": jobs}
        lines = {
            "there": rig.there(agent, prometheus, len(jobs), folder),
            "default": rig.here(CONFIG, prometheus, folder),
            "exact": rig.here(CONFIG, prometheus, folder, exact=True),
        }
    return {mode: {line.replace(now, "NOW") for line in found} for mode, found in lines.items()}


def document(case: dict[str, Any], now: str) -> Answer:
    """As it is served; `NOW` is a number there, `text NOW` the same in a text."""
    text = json.dumps(case["document"]).replace('"NOW"', now).replace("text NOW", now)
    return Answer(case.get("status", 200), {"Content-Type": "application/json"}, text.encode())


def of_case(name: str, lines: rig.Lines) -> rig.Lines:
    return rig.without_target({line for line in lines if f'job="{name}"' in line})


@pytest.mark.parametrize("mode", ["default", "exact"])
@pytest.mark.parametrize("name", CASES)
def test_samples_are_those_of_json_exporter(name: str, mode: str, sent: dict[str, rig.Lines]) -> None:
    there, here = of_case(name, sent["there"]), of_case(name, sent[mode])
    differs = CASES[name].get("differs", {}).get(mode, {})
    assert any(line.startswith("up ") for line in there & here | {*differs.get("here", [])})
    assert {"there": sorted(there - here), "here": sorted(here - there)} == {
        side: sorted(differs.get(side, [])) for side in ("there", "here")
    }


# --- Its own files ----------------------------------------------------------------------------------------------------

DOCUMENTS = {
    "examples/config.yml": {"default": ["examples/data.json"], "animals": ["examples/animal-data.json"]},
    "test/config/good.yml": {"default": ["test/serve/good.json", "test/serve/repeat-metric.json"]},
}
"""json_exporter's own configs, and what its examples and tests serve to their modules."""
REPEATED = (
    "repeat-metric"  # two objects with the same labels: the whole probe fails there, and the last one counts here
)


@pytest.fixture(scope="module")
def own(peer: Peer, require: Require) -> Path:
    """The folder with the files that json_exporter's source has beside the code."""
    folder = Path(peer("json_exporter")).parents[1] / "share" / "json_exporter"
    require(folder.is_dir(), f"{folder}, which .ci/peers fills,")
    return folder


def test_all_its_own_configs_are_compared(own: Path) -> None:
    found = {str(path.relative_to(own)) for path in own.rglob("*.yml") if path.name != "prometheus.yml"}
    assert found == DOCUMENTS.keys()


@pytest.mark.parametrize("config", DOCUMENTS)
def test_its_own_configs_give_its_own_samples(config: str, own: Path, peer: Peer, tmp_path: Path) -> None:
    text = (own / config).read_text()
    with Api() as api, rig.json_exporter(peer("json_exporter"), text, tmp_path) as exporter:
        jobs = []
        for module, documents in DOCUMENTS[config].items():
            urls = [api.serve(f"/{name}", Answer(200, {}, (own / name).read_bytes())) for name in documents]
            jobs.append(rig.probe_job(module, exporter, urls))
        prometheus = {"global": TIMES, "scrape_configs": jobs}
        there = rig.there(peer("prometheus"), prometheus, sum(map(len, DOCUMENTS[config].values())), tmp_path)
        here = rig.here(text, prometheus, tmp_path)
    assert [line for line in there if REPEATED in line and not line.endswith(" 0")] == []
    there, here = ({line for line in lines if REPEATED not in line} for lines in (there, here))
    assert sorted(here) == sorted(there)
    assert len(there) > sum(line.startswith("up{") for line in there)


def test_its_own_prometheus_yml_says_which_addresses_are_asked(own: Path) -> None:
    asking = (own / "examples/prometheus.yml").read_text()
    text = (own / "examples/config.yml").read_text()
    found = convert(text, "config.yml", Options(targets=(asking, "prometheus.yml")))
    assert found.problems == ()
    (static,) = next(job for job in loaded(found).jobs if job.job_name == "json").discovery
    (there,) = (job for job in yaml.safe_load(asking)["scrape_configs"] if job["job_name"] == "json")
    assert isinstance(static, StaticConfig)
    assert [*static.targets] == there["static_configs"][0]["targets"]


# --- The request ------------------------------------------------------------------------------------------------------

SEEN = {
    "metrics": [
        {
            "name": "seen",
            "path": "1",
            "labels": {
                name: f"{{.{name}}}" for name in ("method", "body", "authorization", "accept", "x_one", "agent")
            },
        }
    ]
}
REQUESTS: dict[str, tuple[dict[str, Any], dict[str, list[str]]]] = {
    "plain": ({}, {}),
    "headers": ({"headers": {"X-One": "a", "Accept": "text/json"}}, {}),
    "basic": ({"http_client_config": {"basic_auth": {"username": "user", "password": "word"}}}, {}),
    "bearer": ({"http_client_config": {"authorization": {"credentials": "word"}}}, {}),
    "old_bearer": ({"http_client_config": {"bearer_token": "word"}}, {}),
    "authorization_header": ({"headers": {"Authorization": "Token word"}}, {}),
    "agent_header": ({"headers": {"User-Agent": "ours/1"}}, {}),
    "body": ({"body": {"content": '{"a": 1}'}}, {}),
    "body_with_braces": ({"body": {"content": "{ a { b } } {{ c }}"}}, {}),
    "template": (
        {"body": {"content": '{"a": "{{ .mine | first | upper }}", "m": "{{ .module | first }}"}', "templatize": True}},
        {"mine": ["x y", "z"]},
    ),
    "template_of_all_values": ({"body": {"content": '{{ join "," .mine }}', "templatize": True}}, {"mine": ["x", "z"]}),
    "template_of_a_time": (
        {
            "body": {
                "content": '{"year": "{{ dateInZone "2006" now "UTC" }}", "of": "{{ .mine | first }}"}',
                "templatize": True,
            }
        },
        {"mine": ["x"]},
    ),
    "template_without_a_parameter": (
        {"body": {"content": '{{ .mine | first | default "d" }}', "templatize": True}},
        {},
    ),
}


def echoed(request: Request) -> Answer:
    """Says what was sent, but for the names of the two programs."""
    headers = {name.lower().replace("-", "_"): value for name, value in request.headers.items()}
    agent = (
        "" if headers.get("user_agent", "").startswith(("Go-", "lambda-", "Prometheus")) else headers.get("user_agent")
    )
    found = {"method": request.method, "body": request.body.decode(), "x_one": "", "authorization": "", **headers}
    return Answer.json({**found, "agent": agent})


@pytest.fixture(scope="module")
def requested(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, rig.Lines]:
    folder = tmp_path_factory.mktemp("requests")
    config = json.dumps({"modules": {name: {**SEEN, **module} for name, (module, _) in REQUESTS.items()}})
    with Api() as api, rig.json_exporter(peer("json_exporter"), config, folder) as exporter:
        jobs = []
        for name, (_, params) in REQUESTS.items():
            job = rig.probe_job(name, exporter, [api.serve(f"/{name}", echoed)])
            jobs.append({**job, "params": {**job["params"], **params}})
        prometheus = {"global": TIMES, "scrape_configs": jobs}
        return {
            "there": rig.there(peer("prometheus"), prometheus, len(jobs), folder),
            "here": rig.here(config, prometheus, folder),
        }


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_is_that_of_json_exporter(name: str, requested: dict[str, rig.Lines]) -> None:
    there, here = (of_case(name, requested[side]) for side in ("there", "here"))
    assert sorted(here) == sorted(there)
    assert any(line.startswith("seen{") for line in here)


# --- Many targets -----------------------------------------------------------------------------------------------------

ASKED = {"metrics": [{"name": "asked", "path": "{.n}", "labels": {"path": "{.path}", "query": "{.query}"}}]}
ROWS = {
    "metrics": [
        {
            "name": "row",
            "type": "object",
            "path": "{.rows[*]}",
            "labels": {"instance": "{.id}"},
            "values": {"n": "{.n}"},
        }
    ]
}
TARGET_CONFIG = json.dumps({"modules": {"default": ASKED, "list": ASKED, "found": ASKED, "rows": ROWS}})


def answered(request: Request) -> Answer:
    """Says what was asked; at /targets, lists targets as an HTTP discovery does."""
    host = request.headers["Host"]
    if request.path == "/targets":
        urls = [f"http://{host}/found", f"http://{host}/found/2?a=1&b=x:y&c=3", f"http://{host}"]
        groups = [{"targets": [url], "labels": {"id": str(index)}} for index, url in enumerate(urls)]
        return Answer.json([*groups, {"targets": [f"http://{host}/off"], "labels": {"power": "off"}}])
    query = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(request.query)))
    return Answer.json(
        {"path": request.path, "query": query, "n": 1, "rows": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]}
    )


def jobs_at(api: str, exporter: str) -> list[dict[str, Any]]:
    """Jobs in the forms that people write."""
    listed = rig.probe_job("list", exporter, [f"{api}/a", f"{api}/b/c.json?x=1&y=a:b", f"{api}", f"{api}/?z=1"])
    listed["static_configs"][0]["labels"] = {"team": "billing", "__scheme__": "http"}
    escaped = [f"{api}/with%20blank", f"{api}/e?q=a%20b", f"{api}/e?q=1&q=2", f"{api}/empty?q=", f"{api}/it's"]
    listed["static_configs"] += [{"targets": escaped}, {"targets": [f"{api}/off"], "labels": {"power": "off"}}]
    listed["relabel_configs"] += [
        {"source_labels": ["power"], "regex": "off", "action": "drop"},
        {"source_labels": ["__param_target"], "regex": "https?://([^/:]+).*", "target_label": "host"},
    ]
    found = rig.probe_job("found", exporter, [])
    found |= {"static_configs": [], "http_sd_configs": [{"url": f"{api}/targets"}]}
    found["relabel_configs"][1] = {"source_labels": ["power"], "regex": "off", "action": "drop"}
    mixed = rig.probe_job("mixed", exporter, [f"{api}/m1", f"{api}/m2"], params={}, honor_labels=True)
    more = {"targets": [f"{api}/m3", f"{api}/m4"], "labels": {"__param_module": "rows", "job": "own"}}
    mixed["static_configs"].append(more)
    fixed = {"params": {"module": ["rows"], "target": [f"{api}/fixed?a=1"]}, "relabel_configs": []}
    return [
        listed,
        found,
        mixed,
        rig.probe_job("again", exporter, [f"{api}/again"], params={"module": ["list"]}),
        rig.probe_job("fixed", exporter, [exporter], **fixed),
    ]


TARGETS = 9 + 3 + 4 + 1 + 1  # of the jobs, without those that are off


def test_targets_are_those_of_prometheus(peer: Peer, tmp_path: Path) -> None:
    """The same addresses are asked for the same series, `instance`, `job` and `up` included."""
    server = LoopbackServer(answered)
    api = server.base_url
    try:
        with rig.json_exporter(peer("json_exporter"), TARGET_CONFIG, tmp_path) as exporter:
            prometheus = {
                "global": {**TIMES, "external_labels": {"cluster": "blue"}},
                "scrape_configs": jobs_at(api, exporter),
            }
            there = rig.there(peer("prometheus"), prometheus, TARGETS, tmp_path)
            here = rig.here(TARGET_CONFIG, prometheus, tmp_path)
    finally:
        server.close()
    assert sorted(here) == sorted(there)
    assert sum(line.startswith("up{") and line.endswith(" 1") for line in here) == TARGETS
