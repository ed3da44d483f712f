"""Secrets by reference: where they come from, how long they are kept, and what is said when there is none."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lambda_remote_write.config.secrets import Secret, SecretError, SecretStore, parse_reference
from tests.rig.aws import Aws
from tests.rig.clock import Clocks

VALUE = "s3cr3t-value"


@pytest.fixture
def clock() -> Clocks:
    return Clocks()


@pytest.fixture
def store(aws: Aws, clock: Clocks) -> SecretStore:
    return SecretStore({"TOKEN": VALUE, "EMPTY": ""}, aws.client, clock.monotonic)


def reference(text: str) -> Secret:
    return Secret(reference=text)


# --- The form of a reference ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["secretsmanager:usage-api", "secretsmanager:a/b#token", "ssm:/usage/token", "env:TOKEN", "env:a-b"]
)
def test_reference(text: str) -> None:
    """A reference names its service and what to ask it for."""
    assert parse_reference(text) == text


# --- Where they come from ---------------------------------------------------------------------------------------------


def test_literal(store: SecretStore) -> None:
    """A literal is itself, spaces and line breaks included."""
    assert store.reveal(Secret(literal=" a\n")) == " a\n"


FILES = [
    ("plain", b"token", "token"),
    ("newline", b"token\n", "token"),
    ("windows-newline", b"token\r\n", "token"),
    ("inner-newline", b"-----BEGIN\nabc\n", "-----BEGIN\nabc"),
    ("utf-8", "tökén\n".encode(), "tökén"),
]


@pytest.mark.parametrize(("content", "text"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_file(tmp_path: Path, store: SecretStore, content: bytes, text: str) -> None:
    """A file's secret is its text without the white space around it, which editors and `echo` leave."""
    (tmp_path / "token").write_bytes(content)
    assert store.reveal(Secret(file=str(tmp_path / "token"))) == text


def test_file_is_read_again(tmp_path: Path, store: SecretStore) -> None:
    """A file that was rotated is seen at the next use."""
    path = tmp_path / "token"
    path.write_text("old")
    assert store.reveal(Secret(file=str(path))) == "old"
    path.write_text("new")
    assert store.reveal(Secret(file=str(path))) == "new"


def test_environment(store: SecretStore) -> None:
    """`env:` is a variable of the environment that was passed in; an empty one is an empty secret."""
    assert store.reveal(reference("env:TOKEN")) == VALUE
    assert store.reveal(reference("env:EMPTY")) == ""


@pytest.mark.parametrize("kind", ["String", "SecureString"])
def test_ssm(aws: Aws, store: SecretStore, kind: str) -> None:
    """`ssm:` is a parameter, decrypted."""
    aws.client("ssm").put_parameter(Name="/usage/token", Value=VALUE, Type=kind)
    assert store.reveal(reference("ssm:/usage/token")) == VALUE


def test_secretsmanager(aws: Aws, store: SecretStore) -> None:
    """`secretsmanager:` without a key is the whole text, by name or by ARN."""
    arn = aws.client("secretsmanager").create_secret(Name="usage/api", SecretString=VALUE)["ARN"]
    assert store.reveal(reference("secretsmanager:usage/api")) == VALUE
    assert store.reveal(reference(f"secretsmanager:{arn}")) == VALUE


@pytest.mark.parametrize(
    ("key", "text"), [("token", VALUE), ("port", "8443"), ("on", "true"), ("a#b", "hash"), ("empty", "")]
)
def test_secretsmanager_json_key(aws: Aws, store: SecretStore, key: str, text: str) -> None:
    """`#key` picks one value of a secret that is a JSON object."""
    document = {"token": VALUE, "port": 8443, "on": True, "a#b": "hash", "empty": ""}
    aws.client("secretsmanager").create_secret(Name="usage-api", SecretString=json.dumps(document))
    assert store.reveal(reference(f"secretsmanager:usage-api#{key}")) == text


# --- How long they are kept -------------------------------------------------------------------------------------------


def test_nothing_is_fetched_before_it_is_needed(aws: Aws) -> None:
    """A store and its secrets cost no call, and not even a client, until one is revealed."""

    def no_client(service: str) -> object:
        raise AssertionError(f"a client for {service} was made")

    SecretStore({}, no_client, lambda: 0.0)
    Secret(reference="ssm:/usage/token")
    assert aws.exchanges == []


def test_kept_for_five_minutes(aws: Aws, store: SecretStore, clock: Clocks) -> None:
    """A fetched secret is used for five minutes, then fetched again."""
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/usage/token", Value="old", Type="String")
    assert store.reveal(reference("ssm:/usage/token")) == "old"
    ssm.put_parameter(Name="/usage/token", Value="new", Type="String", Overwrite=True)
    clock.pass_by(299)
    assert store.reveal(reference("ssm:/usage/token")) == "old"
    assert aws.actions.count("GetParameter") == 1
    clock.pass_by(1)
    assert store.reveal(reference("ssm:/usage/token")) == "new"
    assert aws.actions.count("GetParameter") == 2


def test_references_do_not_mix(aws: Aws, store: SecretStore) -> None:
    """Two keys of one secret are two secrets."""
    aws.client("secretsmanager").create_secret(Name="api", SecretString='{"a": "1", "b": "2"}')
    assert [store.reveal(reference(f"secretsmanager:api#{key}")) for key in "abab"] == ["1", "2", "1", "2"]


# --- What is said -----------------------------------------------------------------------------------------------------

MISSING = [
    ("env:NO_SUCH", r"env:NO_SUCH: the environment has no variable NO_SUCH"),
    ("ssm:/no/such", r"ssm:/no/such: .*ParameterNotFound.*ssm:GetParameter"),
    ("secretsmanager:no-such", r"secretsmanager:no-such: .*ResourceNotFound.*secretsmanager:GetSecretValue"),
    ("secretsmanager:text#token", r"secretsmanager:text#token: the secret has no JSON key 'token'"),
    ("secretsmanager:list#token", r"secretsmanager:list#token: the secret has no JSON key 'token'"),
    ("secretsmanager:object#token", r"secretsmanager:object#token: the secret has no JSON key 'token'"),
    ("secretsmanager:binary", r"secretsmanager:binary: the secret is binary"),
]


@pytest.mark.parametrize(("text", "message"), MISSING, ids=[text for text, _ in MISSING])
def test_missing(aws: Aws, store: SecretStore, text: str, message: str) -> None:
    """The error names the reference, and for AWS the permission; the value of a secret is not in it."""
    manager = aws.client("secretsmanager")
    manager.create_secret(Name="text", SecretString=VALUE)
    manager.create_secret(Name="list", SecretString=json.dumps([VALUE]))
    manager.create_secret(Name="object", SecretString=json.dumps({"other": VALUE}))
    manager.create_secret(Name="binary", SecretBinary=VALUE.encode())
    with pytest.raises(SecretError, match=message) as raised:
        store.reveal(reference(text))
    detail = f"{raised.value!r} {raised.value.__cause__!r}"
    assert VALUE not in detail
    assert base64.b64encode(VALUE.encode()).decode() not in detail


@pytest.mark.parametrize(
    ("text", "action"),
    [("ssm:/usage/token", "ssm:GetParameter"), ("secretsmanager:usage-api", "secretsmanager:GetSecretValue")],
)
def test_denied(aws: Aws, store: SecretStore, text: str, action: str) -> None:
    """The message names the permission that the role lacks."""
    aws.refusal = (400, "AccessDeniedException")
    with pytest.raises(SecretError, match=f"^{text}: .*AccessDenied.*{action}"):
        store.reveal(reference(text))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("missing", None, "No such file"), ("binary", b"\xff\xfe" + VALUE.encode(), "not UTF-8")],
)
def test_file_that_cannot_be_read(
    tmp_path: Path, store: SecretStore, name: str, content: bytes | None, reason: str
) -> None:
    """The error names the file and the reason, never its content."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretError, match=f"{name}: {reason}") as raised:
        store.reveal(Secret(file=str(path)))
    assert VALUE not in str(raised.value)


@pytest.mark.parametrize("secret", [Secret(literal=VALUE), Secret(file="token.txt"), Secret(reference="env:TOKEN")])
def test_a_secret_never_prints(secret: Secret) -> None:
    """A secret prints as `<secret>`, in every way."""
    assert {repr(secret), str(secret), f"{secret}", repr([secret])[1:-1]} == {"<secret>"}
