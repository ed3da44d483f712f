"""A config as a whole: what comes from the environment, what jobs inherit, and what is only a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config, SpoolConfig
from lambda_remote_write.config.yaml_reader import ConfigError, Problem
from tests.rig.tables import table

STACK = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-1"}
ARN = "arn:aws:aps:us-east-1:111122223333:workspace/ws-9"
JOB = 'json_configs: [{job_name: a, url: "https://h/", metrics: [{name: a, value: v}]}]\n'
PUSH = "remote_write: [{url: https://prometheus.example.com/api/v1/write}]\n"


def load(text: str, **env_vars: str) -> Config:
    return parse_config(text, "pusher.yaml", env_vars)


def problems(text: str, **env_vars: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(text, **env_vars)
    return str(raised.value).splitlines()


def with_job(keys: str, top: str = "") -> str:
    job = f'json_configs: [{{job_name: a, url: "https://h/", metrics: [{{name: a, value: v}}], {keys}}}]'
    return f"{top}\n{job}\n{PUSH}"


# --- Where samples go -------------------------------------------------------------------------------------------------

REGIONS = [
    ({"PUSHER_WORKSPACE": "ws-1", "AWS_REGION": "eu-west-1"}, "eu-west-1", "ws-1"),
    ({"PUSHER_WORKSPACE": ARN, "AWS_REGION": "eu-west-1"}, "us-east-1", "ws-9"),
    ({"PUSHER_WORKSPACE": ARN}, "us-east-1", "ws-9"),
]


@pytest.mark.parametrize(("env_vars", "region", "workspace"), REGIONS, ids=["id", "arn-elsewhere", "arn-alone"])
def test_workspace_of_the_stack(env_vars: dict[str, str], region: str, workspace: str) -> None:
    """Without remote_write the samples go to the stack's workspace, signed for the workspace's own region."""
    (endpoint,) = load(JOB, **env_vars).endpoints
    assert endpoint.url == f"https://aps-workspaces.{region}.amazonaws.com/workspaces/{workspace}/api/v1/remote_write"
    assert endpoint.sigv4
    assert endpoint.sigv4.region == region
    assert not endpoint.http.follow_redirects


@pytest.mark.parametrize("env_vars", [{}, {"AWS_REGION": "eu-west-1"}, {"PUSHER_WORKSPACE": "ws-1"}], ids=str)
def test_nowhere_to_go(env_vars: dict[str, str]) -> None:
    """Without remote_write and without a workspace and region of the stack there is no start."""
    detail = "is required: one entry with a workspace or a url (or set PUSHER_WORKSPACE)"
    assert problems(JOB, **env_vars) == [f"pusher.yaml:1: remote_write: {detail}"]


def test_names_of_endpoints_are_stable() -> None:
    """Without a name an endpoint has one that only its address decides: the spool is kept under it."""
    first, second = (load(JOB + PUSH + more, **STACK).endpoints[0].name for more in ("", "global: {}\n"))
    other = load(JOB + PUSH.replace("prometheus", "mimir")).endpoints[0].name
    assert first == second != other


SPOOL = {"PUSHER_SPOOL": "s3://kept"}
SPOOLS: list[tuple[str, dict[str, str], str, SpoolConfig]] = [
    ("nothing", {}, "", SpoolConfig()),
    ("the template's", SPOOL, "", SpoolConfig("s3://kept")),
    ("the file's own", SPOOL, "spool: {location: ./here}", SpoolConfig("./here")),
    ("off", SPOOL, 'spool: {mode: "off"}', SpoolConfig()),
    ("off and nowhere", {}, 'spool: {mode: "off"}', SpoolConfig()),
    ("all keys", SPOOL, "spool: {mode: always, rejected: keep}", SpoolConfig("s3://kept", "always", True)),
]


@table("env_vars, written, expected", SPOOLS)
def test_where_the_spool_is(env_vars: dict[str, str], written: str, expected: SpoolConfig) -> None:
    assert load(JOB + PUSH + written, **env_vars).spool == expected


REGIONS_OF_SD = [
    ("first", {"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "", "eu-north-1"),
    ("default", {"AWS_DEFAULT_REGION": "eu-west-2"}, "", "eu-west-2"),
    ("file", {}, "", "eu-south-1"),
    ("named profile", {"AWS_PROFILE": "far"}, "", "sa-east-1"),
    ("own profile", {"AWS_PROFILE": "default"}, "profile: far", "sa-east-1"),
]


@table("env_vars, keys, region", REGIONS_OF_SD)
def test_the_region_of_discovery(env_vars: dict[str, str], keys: str, region: str, tmp_path: Path) -> None:
    """The order of the AWS SDKs: variables, then the profile's in the shared config file ("AWS SDKs and Tools
    Reference Guide", "AWS Region")."""
    shared = tmp_path / "config"
    shared.write_text("[default]\nregion = eu-south-1\n[profile far]\nregion=sa-east-1\n", encoding="utf-8")
    text = f"scrape_configs: [{{job_name: j, ec2_sd_configs: [{{{keys}}}]}}]\n{PUSH}"
    (job,) = load(text, **env_vars, AWS_CONFIG_FILE=str(shared)).scrape_jobs
    assert [one.region for one in job.discovery] == [region]


# --- What jobs inherit ------------------------------------------------------------------------------------------------

TIMES = [  # (global, job, interval, timeout)
    ("", "", 60_000, 10_000),
    ("", "scrape_interval: 5s", 5_000, 5_000),
    ("", "scrape_interval: 0s, scrape_timeout: 0", 60_000, 10_000),
    ("scrape_timeout: 30s", "scrape_interval: 15s", 15_000, 15_000),
    ("scrape_interval: 5m, scrape_timeout: 2m", "scrape_interval: 10m", 600_000, 120_000),
]


@pytest.mark.parametrize(
    ("top", "keys", "interval_ms", "timeout_ms"), TIMES, ids=[f"{top} | {keys}" for top, keys, *_ in TIMES]
)
def test_times(top: str, keys: str, interval_ms: int, timeout_ms: int) -> None:
    """0 or absent means the global value; an inherited timeout is cut to the interval."""
    (job,) = load(with_job(keys, f"global: {{{top}}}")).jobs
    assert (job.scrape_interval_ms, job.scrape_timeout_ms) == (interval_ms, timeout_ms)


# --- The schedule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tick", "milliseconds"), [("", 60_000), ("5m", 300_000), ("0", 60_000), ("90s", 90_000)])
def test_tick(tick: str, milliseconds: int) -> None:
    """The schedule's tick comes from the stack; a minute when it is not said."""
    assert load(JOB.replace("metrics", "scrape_interval: 1h, metrics") + PUSH, PUSHER_TICK=tick).tick_ms == milliseconds


def test_jobs_of_other_files_are_counted_at_the_line_of_global() -> None:
    jobs = "scrape_configs:\n  - {job_name: a, static_configs: [{targets: ['h:1']}]}\n"
    text = "global: {scrape_interval: 15s}\nscrape_config_files: [b.yml]\n" + jobs + PUSH
    (warning,) = parse_config(
        text, "pusher.yaml", {"PUSHER_TICK": "5m"}, lambda _: [("b.yml", jobs.replace("a,", "b,"))]
    ).warnings
    assert warning.startswith("pusher.yaml:1: global.scrape_interval: 15s")
    assert warning.endswith("for 2 jobs")


def test_without_a_schedule_no_interval_is_too_short() -> None:
    """`pusher run` has no tick, whatever the environment says."""
    text = with_job("scrape_interval: 15s")
    assert parse_config(text, "pusher.yaml", {"PUSHER_TICK": "5m"}, has_schedule=False).warnings == ()


# --- Problems ---------------------------------------------------------------------------------------------------------


def test_each_problem_once() -> None:
    """What is read twice is reported once, and problems come in the order of their lines."""
    one, two = Problem("a.yaml", 2, "b", "wrong"), Problem("a.yaml", 1, "a", "wrong")
    assert ConfigError([one, two, one]).problems == [two, one]


def test_a_problem_without_place() -> None:
    """What has no line or key is said without them."""
    assert str(Problem("a.yaml", 0, "", "wrong")) == "a.yaml: wrong"
    assert str(Problem("a.yaml", 3, "", "wrong")) == "a.yaml:3: wrong"
    assert str(Problem("a.yaml", 0, "b.c", "wrong")) == "a.yaml: b.c: wrong"
