"""The config on the status page: all that helps to find a mistake in it, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.run.web.masked_config import masked
from tests.rig.delivery import no_session
from tests.rig.web import documents

ENVIRONMENT = {"AWS_REGION": "eu-west-1"}
CONFIGS = sorted(
    path for path in (Path(__file__).parents[4] / "examples").rglob("*.yaml") if "remote_write:" in path.read_text()
)
REST = "remote_write: [{url: https://h/w}]\n"


def shown(text: str) -> str:
    (document,) = documents(text, ENVIRONMENT)
    return masked(document)


STATIC = "static_configs: [{targets: ['h:1']}]"
JOB = f"scrape_configs:\n- job_name: a\n  {STATIC}\n  KEYS\n{REST}"


USER = "username: <secret>"


@pytest.mark.parametrize(
    ("keys", "reads"),
    [
        pytest.param(
            "basic_auth: {username: u, password: p}", f"basic_auth: {{{USER}, password: <secret>}}", id="a password"
        ),
        pytest.param(
            "basic_auth: {username: u, password_file: /run/p}",
            f"basic_auth: {{{USER}, password_file: /run/p}}",
            id="a file is a place",
        ),
        pytest.param(
            "basic_auth: {username: u, password_ref: 'env:P'}",
            f"basic_auth: {{{USER}, password_ref: 'env:P'}}",
            id="a reference is one too",
        ),
        pytest.param(
            "http_headers: {X: {refs: ['ssm:/a/b'], values: [v]}}",
            "http_headers: {X: {refs: ['ssm:/a/b'], values: [<secret>]}}",
            id="headers",
        ),
        pytest.param("params: {k: [v]}", "params: {k: [<secret>]}", id="parameters"),
        pytest.param(
            "http_headers: {labels: {values: [v]}, url: {secrets: ['https://h/v']}}",
            "http_headers: {labels: {values: [<secret>]}, url: {secrets: [<secret>]}}",
            id="headers whose names are also keys",
        ),
        pytest.param(
            "params: {labels: [v], url: ['https://h/v'], refs: [v]}",
            "params: {labels: [<secret>], url: [<secret>], refs: [<secret>]}",
            id="parameters whose names are also keys",
        ),
        pytest.param(
            "oauth2: {client_id: c, client_secret: s, token_url: https://h/t, endpoint_params: {url: https://h/v}}",
            "oauth2: {client_id: <secret>, client_secret: <secret>, token_url: https://h/t, "
            "endpoint_params: {url: <secret>}}",
            id="a form's fields whose names are also keys",
        ),
        pytest.param("proxy_url: 'http://u:p@proxy:3128'", "proxy_url: 'http://proxy:3128'", id="a proxy's user"),
        pytest.param(
            "http_sd_configs: [{url: 'http://h/list?k=v', basic_auth: {username: u}}]",
            f"http_sd_configs: [{{url: 'http://h/list?<secret>', basic_auth: {{{USER}}}}}]",
            id="a query",
        ),
        pytest.param("metrics_path: /m?k=v", "metrics_path: /m?<secret>", id="a query in a path"),
        pytest.param("scrape_interval: 1m # p", "scrape_interval: 1m", id="comments are left out"),
        pytest.param("metrics_path: ''", "metrics_path: ''", id="an empty text stays"),
        pytest.param("proxy_url:", "proxy_url:", id="nothing stays nothing"),
        pytest.param(
            "relabel_configs: [{target_label: __param_k, replacement: v}]",
            "relabel_configs: [{target_label: __param_k, replacement: <secret>}]",
            id="a rule that makes a parameter",
        ),
        pytest.param(
            "relabel_configs: [{target_label: __metrics_path__, replacement: '/m?k=v'}]",
            "relabel_configs: [{target_label: __metrics_path__, replacement: '/m?<secret>'}]",
            id="a rule that makes a path",
        ),
        pytest.param(
            "relabel_configs: [{source_labels: [a], regex: '(.*)', target_label: b}]",
            "relabel_configs: [{source_labels: [a], regex: '(.*)', target_label: b}]",
            id="another rule",
        ),
    ],
)
def test_what_is_shown(keys: str, reads: str) -> None:
    (job,) = yaml.safe_load(shown(JOB.replace("KEYS", keys)))["scrape_configs"]
    expected = yaml.safe_load(reads)
    assert {key: job[key] for key in expected} == expected


def test_a_header_may_have_the_name_of_a_key() -> None:
    text = "remote_write: [{url: https://h/w, headers: {labels: v, url: 'https://h/v', refs: v}}]\n"
    (endpoint,) = yaml.safe_load(shown(text))["remote_write"]
    assert set(endpoint["headers"].values()) == {"<secret>"}


@pytest.mark.parametrize(
    ("target", "reads"),
    [
        ("h:9100", "h:9100"),
        ("u:p@h:9100", "<secret>@h:9100"),
        ("http://u:p@h:9100/?k=v", "http://<secret>@h:9100/?<secret>"),
    ],
)
def test_a_user_in_a_target_is_hidden(target: str, reads: str) -> None:
    text = JOB.replace("KEYS", "relabel_configs: [{target_label: a, replacement: b}]").replace("h:1", target)
    (job,) = yaml.safe_load(shown(text))["scrape_configs"]
    assert job["static_configs"] == [{"targets": [reads]}]


def test_labels_are_shown_but_for_those_that_are_parameters() -> None:
    text = JOB.replace("KEYS", "scheme: http").replace("['h:1']", "['h:1'], labels: {url: a, __param_k: v}")
    (job,) = yaml.safe_load(shown(text))["scrape_configs"]
    assert job["static_configs"][0]["labels"] == {"url": "a", "__param_k": "<secret>"}


def test_what_nothing_reads_may_be_anything() -> None:
    """`alerting` is Prometheus's, and is not looked into."""
    text = "alerting: {alertmanagers: [{basic_auth: {username: u, password: p}}]}\n" + REST
    section = yaml.safe_load(shown(text))["alerting"]["alertmanagers"][0]["basic_auth"]
    assert section == {"username": "<secret>", "password": "<secret>"}


def test_an_anchor_stays_one() -> None:
    """A few lines of aliases can stand for millions."""
    text = JOB.replace("KEYS", "basic_auth: &who {username: u, password: p}")
    text = text.replace(REST, "remote_write: [{url: https://h/w, basic_auth: *who}]\n")
    page = shown(text)
    assert page.count("password") == 1
    assert yaml.safe_load(page)["remote_write"][0]["basic_auth"]["password"] == "<secret>"


def test_a_value_that_is_a_secret_elsewhere_is_one_everywhere() -> None:
    """An alias is the very value that it names."""
    text = JOB.replace("KEYS", "bearer_token: &word secret-word\n  metrics_path: *word")
    assert "secret-word" not in shown(text)


def test_every_file_is_shown(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("scrape_configs: [{job_name: b, static_configs: [], bearer_token: p}]\n")
    (tmp_path / "pusher.yaml").write_text("scrape_config_files: [more.yaml]\n" + REST)
    dependencies = Dependencies(ENVIRONMENT, session=no_session)
    source = dependencies.config_source(str(tmp_path / "pusher.yaml"), has_schedule=False, keeps_documents=True)
    found = source.load().documents
    assert [Path(one.file).name for one in found] == ["pusher.yaml", "more.yaml"]
    assert yaml.safe_load(masked(found[1]))["scrape_configs"][0]["bearer_token"] == "<secret>"
    assert dependencies.config_source(str(tmp_path / "pusher.yaml")).load().documents == ()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_examples_read_as_they_are_but_for_their_secrets(path: Path) -> None:
    """Nothing is hidden at other keys than these."""
    env_vars = ENVIRONMENT | {"PUSHER_WORKSPACE": "ws-1"}
    (document,) = documents(path.read_text(), env_vars)
    keys = {key for key, _ in hidden(yaml.safe_load(path.read_text()), yaml.safe_load(masked(document)))}
    assert keys <= {"username"}


def hidden(written: object, found: object, key: str = "") -> list[tuple[str, object]]:
    """Where the two differ: the key, and what stands there."""
    if isinstance(written, dict) and isinstance(found, dict):
        return [one for name in written for one in hidden(written[name], found[name], str(name))]
    if isinstance(written, list) and isinstance(found, list):
        return [one for pair in zip(written, found, strict=True) for one in hidden(*pair, key)]
    return [] if written == found else [(key, written)]
