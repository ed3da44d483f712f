"""`make deploy`: from a config to a stack, or to a sentence that says what to do."""

from __future__ import annotations

import fcntl
import json
import re
from pathlib import Path

import pytest

from deploy.shell import boto3_session
from sandbox.amp import Receiver
from sandbox.api import Api
from tests.rig.deployer import CONFIG, SENTENCE, Deployer, report_line
from tests.rig.sam import WORKSPACE

pytestmark = pytest.mark.slow
GIVEN = "ws-12345678-1234-1234-1234-123456789012"


@pytest.fixture
def config(tmp_path: Path, api: Api, receiver: Receiver) -> Path:
    """One whose source answers, and whose receiver takes what is signed."""
    file = tmp_path / "my.yaml"
    file.write_text(CONFIG.format(url=api.url, receiver=receiver.url))
    return file


def test_a_config_becomes_a_stack_and_the_first_run_is_shown(deployer: Deployer, config: Path) -> None:
    deployer.while_it_waits = lambda: deployer.logs("START RequestId: 1", report_line())
    done = deployer.run(CONFIG=str(config), WORKSPACE=GIVEN, PARAMETERS="Interval=2m")
    assert (done.status, deployer.commands) == (0, ["build", "deploy"])
    build, deploy = deployer.calls
    built_for = {"ARCH": "arm64", "PYTHON_VERSION": "3.13"}
    assert build["env"] == {"PUSHER_CONFIG_FILE": str(config), **built_for, "MAKEFLAGS": None}
    assert build["parameter_overrides"] == {"Architecture": "arm64", "Runtime": "python3.13"}
    assert deploy["parameter_overrides"] == {"Interval": "2m", "WorkspaceId": GIVEN}
    assert (deploy["confirm_changeset"], deploy["stack_name"], deploy["region"]) == (True, "metrics", "eu-west-1")
    assert "create metrics in account 123456789012, eu-west-1" in done.lines
    assert f"config: {config}, in the artefact" in done.lines
    assert "  WorkspaceId: empty -> " + GIVEN in done.lines
    assert f"first run: INFO {SENTENCE}" in done.lines
    assert done.lines[-3:] == [
        "  log      aws logs tail /aws/lambda/metrics/pusher --follow --region eu-west-1",
        f"  query    PUSHER_WORKSPACE={GIVEN} AWS_REGION=eu-west-1 .venv/bin/pusher query {config} 'up'",
        f"  Grafana  make grafana URL=https://… WORKSPACE={GIVEN} REGION=eu-west-1",
    ]


def test_the_artefact_is_built_for_what_the_stack_runs_on(deployer: Deployer, config: Path) -> None:
    """Also when the variables do not say it again: those of the first deployment stay."""
    assert deployer.run(CONFIG=str(config), ARCH="x86_64", PYTHON_VERSION="3.14", PARAMETERS="Interval=5m").status == 0
    assert deployer.run(CONFIG=str(config), PARAMETERS="Interval=10m").status == 0
    builds = [call for call in deployer.calls if call["command"] == "build"]
    found = [(call["env"]["ARCH"], call["env"]["PYTHON_VERSION"], call["parameter_overrides"]) for call in builds]
    assert found == [("x86_64", "3.14", {"Architecture": "x86_64", "Runtime": "python3.14"})] * 2


def test_account_and_region_are_the_first_line(deployer: Deployer, config: Path) -> None:
    first = deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m").lines[0]
    assert re.fullmatch(r"account 123456789012 \(arn:aws:\S+\), region eu-west-1, stack metrics", first)


def test_another_deployment_changes_what_is_given_and_keeps_the_rest(deployer: Deployer, config: Path) -> None:
    deployer.run(
        CONFIG=str(config), PARAMETERS="Interval=5m GrafanaPrincipalArn=arn:aws:iam::123456789012:role/grafana"
    )
    done = deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m MemorySize=512")
    assert deployer.calls[-1]["parameter_overrides"] == {"MemorySize": "512"}
    assert "update metrics in account 123456789012, eu-west-1" in done.lines
    assert deployer.parameters()["Interval"] == "5m"
    assert done.lines[-1].endswith("ROLE_ARN=arn:aws:iam::123456789012:role/metrics-GrafanaRole")


def test_a_workspace_that_the_stack_has_created_does_not_become_a_parameter(deployer: Deployer, config: Path) -> None:
    """The stack would let go of it: WorkspaceId is empty as long as the workspace is the stack's own. A shell that the
    runbooks have set up has PUSHER_WORKSPACE."""
    config.write_text(re.sub("remote_write.*\n", "", config.read_text()))
    deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m", FORCE="1")
    deployer.run(CONFIG=str(config), PARAMETERS="MemorySize=512", PUSHER_WORKSPACE=WORKSPACE, FORCE="1")
    config.write_text(f"{config.read_text()}remote_write: [{{workspace: {WORKSPACE}}}]\n")
    deployer.run(CONFIG=str(config), PARAMETERS="MemorySize=256", FORCE="1")
    assert deployer.parameters()["WorkspaceId"] == ""


def test_one_question_is_asked_and_none_with_yes(deployer: Deployer, config: Path) -> None:
    """By SAM, after it has shown the changes."""
    deployer.is_terminal = False
    deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m", YES="1")
    assert (deployer.questions, deployer.calls[-1]["confirm_changeset"]) == ([], False)


def test_an_answer_of_no_changes_nothing(deployer: Deployer, config: Path) -> None:
    deployer.answer = "n"
    done = deployer.run(CONFIG=str(config))
    assert (done.status, done.lines[-1]) == (0, "The stack was not changed.")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (report_line(), 0),
        (report_line("ERROR", "nothing was delivered"), 1),
        ("2026-12-01T12:00:00Z 1 Task timed out after 50.05 seconds", 1),
        (json.dumps({"level": "ERROR", "message": "the config cannot be read"}), 1),
    ],
    ids=["delivered", "a failed run", "a timeout", "a run that did not begin"],
)
def test_the_exit_status_says_whether_the_first_run_went_well(
    deployer: Deployer, config: Path, message: str, status: int
) -> None:
    deployer.while_it_waits = lambda: deployer.logs(message)
    assert deployer.run(CONFIG=str(config)).status == status


def test_the_first_run_is_waited_for_as_long_as_the_schedule_takes(deployer: Deployer, config: Path) -> None:
    begin = deployer.now
    deployer.logs()
    assert "no run has logged yet" in deployer.run(CONFIG=str(config)).lines
    assert 60 < deployer.now - begin < 120


@pytest.mark.parametrize("parameters", ["Interval=5m", "ScheduleState=DISABLED"])
def test_a_slow_schedule_or_none_is_not_waited_for(deployer: Deployer, config: Path, parameters: str) -> None:
    begin = deployer.now
    deployer.run(CONFIG=str(config), PARAMETERS=parameters)
    assert deployer.now == begin


def test_ctrl_c_ends_the_waiting_and_not_the_deployment(deployer: Deployer, config: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    deployer.logs()
    deployer.while_it_waits = interrupt
    done = deployer.run(CONFIG=str(config))
    assert (done.status, "What to do next:" in done.lines) == (0, True)


# --- What the config needs --------------------------------------------------------------------------------------------

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:usage-api-??????"
SECRETS_OF_TEAM = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:usage-*"


def with_secret(config: Path) -> str:
    reference = '    authorization: {credentials_ref: "secretsmanager:usage-api#token"}\n    metrics'
    config.write_text(config.read_text().replace("    metrics", reference))
    return str(config)


@pytest.mark.parametrize(
    ("before", "given", "set_to"),
    [
        ("", "", SECRET),
        ("SecretArns=arn:aws:other", "", f"arn:aws:other,{SECRET}"),
        (f"SecretArns={SECRETS_OF_TEAM}", "", None),
        ("", f"SecretArns={SECRETS_OF_TEAM}", SECRETS_OF_TEAM),
    ],
    ids=["not there", "added to others", "covered by a wildcard", "given"],
)
def test_parameters_that_the_config_needs_are_set(
    deployer: Deployer, config: Path, before: str, given: str, set_to: str | None
) -> None:
    deployer.run(CONFIG=str(config), PARAMETERS=f"Interval=5m {before}")
    done = deployer.run(CONFIG=with_secret(config), PARAMETERS=f"MemorySize=512 {given}", FORCE="1")
    assert deployer.calls[-1]["parameter_overrides"].get("SecretArns") == set_to
    assert any(line.startswith("  SecretArns: ") for line in done.lines) == (set_to is not None)


def test_a_parameter_that_is_given_counts_and_what_it_lacks_is_named(deployer: Deployer, config: Path) -> None:
    done = deployer.run(CONFIG=with_secret(config), PARAMETERS="Interval=5m SecretArns=arn:aws:other", FORCE="1")
    assert deployer.parameters()["SecretArns"] == "arn:aws:other"
    assert f"  note: the config needs SecretArns = {SECRET}, and PARAMETERS gives arn:aws:other" in done.lines


def test_a_policy_that_does_not_exist_ends_before_the_build(deployer: Deployer, config: Path) -> None:
    """CloudFormation would find out after minutes, and roll a new stack back."""
    text = config.read_text().replace("    metrics", "    sigv4: {region: eu-west-1, service: es}\n    metrics")
    config.write_text(re.sub(r"url: http://[^/]+/", "url: https://search-a-b.eu-west-1.es.amazonaws.com/", text))
    done = deployer.run(CONFIG=str(config), FORCE="1")
    policy = "arn:aws:iam::123456789012:policy/metrics-sources"
    assert done.error.startswith(f"there is no policy {policy}, which the config needs. Make it first:")
    assert "--role sources" in done.error
    assert deployer.commands == []


# --- The config in S3 -------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(deployer: Deployer) -> str:
    client = deployer.aws.client("s3")
    client.create_bucket(Bucket="configs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_bucket_versioning(Bucket="configs", VersioningConfiguration={"Status": "Enabled"})
    return "s3://configs/pusher.yaml"


def uploaded(deployer: Deployer) -> str:
    found = deployer.aws.client("s3").get_object(Bucket="configs", Key="pusher.yaml")
    return str(found["Body"].read().decode())


def test_the_config_moves_to_s3_by_the_same_command(deployer: Deployer, config: Path, bucket: str) -> None:
    done = deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    assert done.status == 0
    assert uploaded(deployer) == config.read_text()
    found = deployer.parameters()
    assert (found["Config"], found["ConfigObjectArn"]) == (bucket, "arn:aws:s3:::configs/pusher.yaml")
    assert deployer.calls[0]["env"]["PUSHER_CONFIG_FILE"] is None  # the artefact keeps its own


def test_from_then_on_a_new_config_is_uploaded_without_a_deployment(
    deployer: Deployer, config: Path, bucket: str
) -> None:
    deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    config.write_text(f"{config.read_text()}# newer\n")
    done = deployer.run(CONFIG=str(config))
    assert uploaded(deployer).endswith("# newer\n")
    assert deployer.commands == ["build", "deploy"]  # of the first time
    assert deployer.questions == ["Upload it for metrics? [y/N]: "]
    assert re.search(rf"config uploaded to {bucket}, version \S+", done.text)
    assert "The code stays as it is: make deploy STACK=metrics deploys that of this checkout." in done.lines


@pytest.mark.parametrize(
    ("change", "answer", "said"),
    [("", "y", "s3://configs/pusher.yaml has this config already."), ("# newer\n", "n", "Nothing was uploaded.")],
    ids=["the same", "no"],
)
def test_nothing_is_uploaded(
    deployer: Deployer, config: Path, bucket: str, change: str, answer: str, said: str
) -> None:
    deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    before, deployer.answer = uploaded(deployer), answer
    config.write_text(before + change)
    done = deployer.run(CONFIG=str(config))
    assert (uploaded(deployer), done.lines[-1][: len(said)]) == (before, said)


def test_a_config_that_needs_more_is_uploaded_once_the_stack_allows_it(
    deployer: Deployer, config: Path, bucket: str
) -> None:
    deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    deployer.answer, before = "n", uploaded(deployer)
    done = deployer.run(CONFIG=with_secret(config), FORCE="1")
    assert (uploaded(deployer), done.lines[-1]) == (
        before,
        "The stack was not changed, and the config was not uploaded.",
    )
    deployer.answer = "y"
    deployer.run(CONFIG=str(config), FORCE="1")
    assert (uploaded(deployer), deployer.parameters()["SecretArns"]) == (config.read_text(), SECRET)
    assert deployer.questions == []  # SAM's alone


def test_without_a_config_the_code_is_deployed_and_the_config_stays(
    deployer: Deployer, config: Path, bucket: str
) -> None:
    deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    done = deployer.run()
    assert (done.status, deployer.commands) == (0, ["build", "deploy"] * 2)
    assert uploaded(deployer) == config.read_text()


def test_an_object_with_another_config_is_not_written_over(deployer: Deployer, config: Path, bucket: str) -> None:
    deployer.aws.client("s3").put_object(Bucket="configs", Key="pusher.yaml", Body=b"of another stack")
    done = deployer.run(CONFIG=str(config), CONFIG_S3=bucket)
    assert (done.status, deployer.commands) == (1, [])
    assert f"{bucket} has another config, which another stack may read" in done.error


def test_a_config_that_another_deployer_has_uploaded_meanwhile_stays(
    deployer: Deployer, config: Path, bucket: str
) -> None:
    deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    config.write_text(f"{config.read_text()}# newer\n")

    def other() -> str:
        deployer.aws.client("s3").put_object(Bucket="configs", Key="pusher.yaml", Body=b"# theirs\n")
        return "y"

    deployer.types = other
    done = deployer.run(CONFIG=str(config))
    assert (done.status, uploaded(deployer)) == (1, "# theirs\n")
    assert f"another deployment has written {bucket} meanwhile" in done.error


def test_a_bucket_that_does_not_exist_ends_with_the_commands_that_make_it(deployer: Deployer, config: Path) -> None:
    done = deployer.run(CONFIG=str(config), CONFIG_S3="s3://nowhere/pusher.yaml")
    assert "there is no bucket nowhere" in done.error
    assert "aws s3api put-bucket-versioning --bucket nowhere" in done.error


def test_a_bucket_without_versions_is_named(deployer: Deployer, config: Path, bucket: str) -> None:
    deployer.aws.client("s3").put_bucket_versioning(Bucket="configs", VersioningConfiguration={"Status": "Suspended"})
    done = deployer.run(CONFIG=str(config), CONFIG_S3=bucket, PARAMETERS="Interval=5m")
    assert "note: the bucket keeps no versions" in done.text


# --- What ends in a sentence ------------------------------------------------------------------------------------------


def test_a_config_that_does_not_check_is_not_deployed(
    deployer: Deployer, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config.write_text("json_configs: [{job_name: usage, url: 7}]\n")
    done = deployer.run(CONFIG=str(config))
    assert (done.status, deployer.commands) == (2, [])
    assert done.error == f"{config} does not check: correct what pusher check says above. Nothing was deployed"
    assert "json_configs[0].url" in capfd.readouterr().err


def test_a_config_that_the_doctor_refuses_is_deployed_with_force_alone(deployer: Deployer, config: Path) -> None:
    config.write_text(config.read_text().replace("/usage", "/nothing-is-here"))
    refused = deployer.run(CONFIG=str(config))
    assert (refused.status, deployer.commands) == (1, [])
    assert "pusher doctor says above what to correct first" in refused.error
    assert deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m", FORCE="1").status == 0


@pytest.mark.parametrize(
    ("find", "put", "file", "instead"),
    [
        ("    metrics", "    basic_auth: {username: a, password_file: token}\n    metrics", "token", "write *_ref"),
        ("json_configs:", "scrape_config_files: [more.yml]\njson_configs:", "more.yml", "put its jobs into the config"),
        (
            "remote_write:",
            "scrape_configs: [{job_name: n, file_sd_configs: [{files: [list.json]}]}]\nremote_write:",
            "list.json",
            "keep the list at s3://BUCKET/KEY",
        ),
    ],
    ids=["a secret", "jobs", "targets"],
)
def test_files_that_the_artefact_will_not_have_are_named(
    deployer: Deployer, config: Path, find: str, put: str, file: str, instead: str
) -> None:
    (config.parent / "token").write_text("secret")
    (config.parent / "list.json").write_text("[]")
    (config.parent / "more.yml").write_text("scrape_configs: [{job_name: m}]")
    config.write_text(config.read_text().replace(find, put))
    done = deployer.run(CONFIG=str(config))
    assert (done.status, deployer.commands) == (2, [])
    (said,) = [line for line in done.lines if line.startswith("not in the artefact: ")]
    assert file in said
    assert said.endswith(instead)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "the AWS credentials have expired: aws sso login"),
        ("InvalidClientTokenId", "AWS does not know these credentials (InvalidClientTokenId): aws sso login"),
        ("AccessDenied", "you may not GetCallerIdentity: not authorized"),
    ],
)
def test_credentials_that_aws_refuses_end_in_a_sentence(deployer: Deployer, config: Path, code: str, said: str) -> None:
    deployer.aws.refusal = (403, code)
    done = deployer.run(CONFIG=str(config))
    assert (done.status, done.error[: len(said)], deployer.commands) == (1, said, [])


def test_no_credentials_end_in_a_sentence(deployer: Deployer, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    deployer.session = boto3_session
    done = deployer.run(CONFIG=str(config))
    assert (done.status, done.error[:36]) == (1, "no AWS credentials: aws sso login, a")


def test_no_region_ends_in_a_sentence(deployer: Deployer, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    deployer.session = boto3_session
    done = deployer.run(CONFIG=str(config))
    assert (done.status, done.error[:38]) == (2, "no region: AWS_REGION=eu-west-1 make d")


def test_a_profile_that_does_not_exist_ends_in_a_sentence(
    deployer: Deployer, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "other")
    deployer.session = boto3_session
    done = deployer.run(CONFIG=str(config))
    assert done.status == 2
    assert "aws configure list-profiles" in done.error


def test_without_a_terminal_nothing_is_deployed_unless_yes(deployer: Deployer, config: Path) -> None:
    deployer.is_terminal = False
    done = deployer.run(CONFIG=str(config))
    assert (done.status, done.lines) == (2, [])
    assert "YES=1 deploys without asking" in done.error


def test_without_a_terminal_a_missing_config_is_said_first(deployer: Deployer) -> None:
    deployer.is_terminal = False
    assert "CONFIG=none.yaml does not exist" in deployer.run(CONFIG="none.yaml").error


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "CONFIG is missing: make deploy CONFIG=my.yaml"),
        ({"CONFIG": "nothing.yaml"}, "CONFIG=nothing.yaml does not exist"),
        ({"CONFIG": "docs"}, "CONFIG=docs is a folder"),
        ({"CONFIG": "s3://configs/a"}, "CONFIG is a file on this machine, not 's3://configs/a'"),
        ({"CONFIG_S3": "s3://configs/a"}, "CONFIG_S3 says where the config goes, and CONFIG is missing"),
        ({"CONFIG": "README.md", "CONFIG_S3": "configs/a"}, "CONFIG_S3 is an object, s3://BUCKET/KEY"),
        ({"PARAMETERS": "interval=5m"}, "the template has no parameter 'interval'. Did you mean Interval?"),
        ({"PARAMETERS": "Interval"}, "PARAMETERS is NAME=VALUE, separated by spaces, and 'Interval' has no ="),
        ({"PARAMETERS": "Interval='5m"}, "PARAMETERS cannot be read (No closing quotation)"),
        ({"PARAMETERS": "Interval=7m"}, "PARAMETERS: Interval is one of 1m, 2m, 3m"),
        ({"PARAMETERS": f"MemorySize={'9' * 5000}"}, "PARAMETERS: MemorySize is a number from 128 to 10240"),
        ({"PARAMETERS": "MemorySize=٥١٢"}, "PARAMETERS: MemorySize is a number from 128 to 10240"),
        ({"PARAMETERS": "SecretArns='a\nb: c'"}, "SecretArns is a text without line breaks and control characters"),
        ({"PARAMETERS": "Interval=5m Interval=1m"}, "Interval is given twice, as '5m' and '1m': give one"),
        ({"CONFIG": "x" * 300}, "is no path: make deploy CONFIG=my.yaml"),
        ({"CONFIG": "~no-such-user/x"}, "is no path: make deploy CONFIG=my.yaml"),
        ({"PARAMETERS": "MemorySize=1"}, "PARAMETERS: MemorySize is a number from 128 to 10240, not '1'"),
        (
            {"PARAMETERS": "AlarmTopicArn=me"},
            "PARAMETERS: AlarmTopicArn is the ARN of an SNS topic, or empty, not 'me'",
        ),
        ({"WORKSPACE": "mine"}, "WORKSPACE is an id like ws-"),
        ({"WORKSPACE": GIVEN, "PARAMETERS": "WorkspaceId="}, "contradict each other: give one"),
        ({"ARCH": "host"}, "ARCH is one of arm64, x86_64, not 'host'"),
        ({"STACK": "my stack"}, "STACK is letters, digits and hyphens, and begins with a letter, not 'my stack'"),
        ({"YES": "yes"}, "YES is 1 or not set, not 'yes'"),
    ],
)
def test_a_bad_variable_ends_in_a_sentence(deployer: Deployer, variables: dict[str, str], said: str) -> None:
    done = deployer.run(**variables)
    assert (done.status, deployer.commands) == (2, [])
    assert said in done.error


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name metrics --region eu-west-1"),
        (
            "UPDATE_IN_PROGRESS",
            "another deployment of metrics is in progress (UPDATE_IN_PROGRESS). Wait until it has ended",
        ),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name metrics"),
        ("DELETE_FAILED", "could not be deleted"),
    ],
)
def test_a_stack_that_cannot_be_deployed_ends_in_a_sentence(
    deployer: Deployer, config: Path, status: str, said: str
) -> None:
    deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m")
    deployer.stack().status = status
    done = deployer.run(CONFIG=str(config))
    assert (done.status, deployer.commands) == (1, ["build", "deploy"])
    assert said in done.error


def test_what_failed_first_is_named_and_not_what_followed(deployer: Deployer, config: Path) -> None:
    deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m")
    stack_type = "AWS::CloudFormation::Stack"
    deployer.happened("Old", "AWS::SNS::Topic", "UPDATE_FAILED", "of an earlier deployment")
    deployer.happened("metrics", stack_type, "CREATE_IN_PROGRESS", "User Initiated")
    deployer.happened("PusherFunction", "AWS::Lambda::Function", "CREATE_FAILED", "at least 100 must stay unreserved")
    deployer.happened("Workspace", "AWS::APS::Workspace", "CREATE_FAILED", "Resource creation cancelled")
    deployer.happened("metrics", stack_type, "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [P]")
    deployer.stack().status = "ROLLBACK_COMPLETE"
    done = deployer.run(CONFIG=str(config))
    first = "What failed first: PusherFunction (AWS::Lambda::Function): at least 100 must stay unreserved."
    assert first in done.error


def test_a_build_that_fails_deploys_nothing(deployer: Deployer, config: Path) -> None:
    deployer.fails("build")
    done = deployer.run(CONFIG=str(config))
    assert (done.status, deployer.commands) == (1, ["build"])
    assert done.error == "the build failed, as sam build says above. Nothing was deployed"


def test_a_deployment_that_fails_before_it_changes_anything_says_so(deployer: Deployer, config: Path) -> None:
    deployer.fails("deploy")
    done = deployer.run(CONFIG=str(config))
    assert done.error == "the deployment failed before it changed anything, as sam deploy says above"


def test_two_at_once_in_a_checkout_end_in_a_sentence(deployer: Deployer, config: Path) -> None:
    """They would deploy each other's artefact."""
    (deployer.folder / "build").mkdir()
    with (deployer.folder / "build/deploy.lock").open("w") as other:
        other.write("process 7, stack other")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        done = deployer.run(CONFIG=str(config))
    assert (done.status, deployer.commands) == (1, [])
    assert (
        "another make deploy is in progress in this checkout (process 7, stack other). Wait until it has ended"
        in done.error
    )


def test_a_config_in_ssm_is_not_hidden_by_one_in_the_artefact(deployer: Deployer, config: Path) -> None:
    text = config.read_text()
    deployer.aws.client("ssm").put_parameter(Name="/pusher", Value=text, Type="String")
    deployer.run(CONFIG=str(config), PARAMETERS="Interval=5m")
    deployer.run(PARAMETERS="Config=ssm:/pusher", FORCE="1")
    done = deployer.run(CONFIG=str(config))
    assert f"aws ssm put-parameter --name /pusher --overwrite --value file://{config}" in done.error
    assert deployer.run(CONFIG=str(config), PARAMETERS="Config=").status == 0
