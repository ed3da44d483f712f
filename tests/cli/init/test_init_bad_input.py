"""What `pusher init` says when there is nothing to make a config of: each sentence says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.server import Answer
from tests.rig import init_command
from tests.rig.command_line import pusher

HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head></html>"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, {"Content-Type": "text/html"}, HTML), "Was the request sent to a login page? Give credentials"),
        (Answer.json([]), "the answer is an empty list: ask when it has records"),
        (Answer.json({}), "the answer is an empty object: ask when it has records"),
        (Answer(200, {}, b""), "the answer is empty (status 200)"),
        (Answer(200, {}, bytes(range(256)) * 4), "this is binary data"),
        (Answer(200, {}, b'{"a": [1, 2'), "Save the whole answer, or ask again"),
        (Answer.json({"a": "x"}), "there is no number in the answer. Ask another path of the API"),
        (Answer.json({"error": {"message": "quota exceeded"}}), 'It says "quota exceeded"'),
        (Answer.json({"message": "log in first"}, 401), '"log in first". Log in with one of: --bearer-ref env:TOKEN'),
        (Answer.json({}, 403), "--login URL --login-body"),
        (Answer.json({"errors": [{"message": "units must be metric"}]}, 400), "units must be metric"),
        (Answer.json({}, 404), "answered 404. Check the path and --method"),
        (Answer.json({}, 503), "answered 503. Ask again later, or save an answer"),
        (Answer(200, {"Content-Type": "application/json"}, b" " * 52_500_000), "Ask for less"),
    ],
    ids=["html", "empty list", "empty object", "no body", "binary", "cut", "no number", "error", "401", "403", "400",
         "404", "503", "50 MB"],
)  # fmt: skip
def test_an_answer_without_anything_to_send(
    answer: Answer, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with init_command.rig(tmp_path) as rig:
        status, _ = init_command.init(tmp_path, rig.api.serve("/usage", answer), "--yes")

    assert status == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_a_login_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with init_command.rig(tmp_path) as rig:
        login = rig.api.serve("/login", Answer(200, {"Content-Type": "text/html"}, HTML))
        url = rig.api.serve("/usage", Answer(302, {"Location": login}))
        status, _ = init_command.init(tmp_path, url, "--yes")

    assert status == 1
    assert "Was the request sent to a login page?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere.json", "No such file or directory; a URL begins with http:// or https://"),
        ("http://no.such.host.invalid/x", "the name does not resolve"),
        ("http://127.0.0.1:9/x", "may this network reach it. Nothing was written: check the address"),
        ("http://169.254.169.254/latest", "gives out credentials"),
    ],
)
def test_a_source_that_is_not_there(source: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = init_command.init(tmp_path, source, "--yes")

    assert status == 1
    assert said in capsys.readouterr().err


def test_no_terminal_needs_yes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    found = pusher("init", "a.json", cwd=tmp_path)

    assert found.returncode == 2
    assert "add --yes" in found.stderr
    assert not (tmp_path / "pusher.yaml").exists()


def test_a_config_is_not_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "pusher.yaml").write_text("mine")
    refused = pusher("init", "a.json", "--yes", cwd=tmp_path)
    forced = pusher("init", "a.json", "--yes", "--force", cwd=tmp_path)

    assert refused.returncode == 2
    assert "overwrite it with --force" in refused.stderr
    assert forced.returncode == 0
    assert "json_configs" in (tmp_path / "pusher.yaml").read_text()


@pytest.mark.parametrize(
    ("source", "output", "said"),
    [
        ("http://[::1/x", "pusher.yaml", "the URL cannot be read: Invalid IPv6 URL; write http://HOST/PATH"),
        ("http://api.example.com:99999/x", "pusher.yaml", "the URL cannot be read: Port out of range"),
        ("answer.json", ".", "that is a folder; name a file, as pusher.yaml"),
        ("answer.json", "link.yaml", "link.yaml cannot be written: No such file or directory; name another file"),
    ],
    ids=["no IPv6 address", "no port", "a folder", "a link to nowhere"],
)
def test_what_cannot_be_read_or_written_is_a_sentence(source: str, output: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text('{"value": 3}')
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nowhere" / "pusher.yaml")

    done = pusher("init", source, "--yes", "-o", output, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_of_an_answer_are_neither_shown_nor_made_labels(tmp_path: Path) -> None:
    rows = [{"api_key": f"S3CR3T{row}", "user_password": "S3CR3T", "value": row} for row in (1, 2)]
    (tmp_path / "answer.json").write_text(json.dumps({"access_token": "S3CR3T", "rows": rows}))

    done = pusher("init", "answer.json", "--yes", cwd=tmp_path)

    assert done.returncode == 0
    assert "S3CR3T" not in done.stdout + (tmp_path / "pusher.yaml").read_text()
    assert "may hold secrets (access_token, api_key, user_password): replace them before a commit" in done.stdout


def test_an_answer_with_half_a_surrogate_pair_makes_a_config(tmp_path: Path) -> None:
    """JSON can escape what no UTF-8 file can hold."""
    document = r'{"value": 3, "rows": [{"name": "a", "\ud800": 1, "\udb40\udc01": 2}, {"name": "\ud800", "\ud800": 3}]}'
    (tmp_path / "answer.json").write_text(document)

    done = pusher("init", "answer.json", "--yes", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "value: value" in (tmp_path / "pusher.yaml").read_text()


def test_more_samples_than_people_review_make_no_golden_test(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(json.dumps([{"id": f"host-{row}", "value": row} for row in range(10_001)]))

    done = pusher("init", "answer.json", "--yes", cwd=tmp_path)

    assert done.returncode == 0
    assert "samples are more than the 10000 of a test; save a part of the answer" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "pusher.yaml"]


def test_a_terminal_without_utf_8_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text('{"value": 3}')

    done = pusher("init", "answer.json", "--yes", cwd=tmp_path, PYTHONIOENCODING="ascii")

    assert done.returncode == 0, done.stderr
    assert r"PUSHER_WORKSPACE=ws-\u2026" in done.stdout
