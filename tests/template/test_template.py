"""The stack keeps its promises: least privilege, a schedule per shard, nothing lost quietly, alarms that ring."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from bench import cost
from lambda_remote_write import __version__
from lambda_remote_write.report.report import Report
from tests.rig.discovery import Rig
from tests.rig.grants import (
    BOUNDARY,
    BUCKET,
    GRAFANA,
    KEY,
    OBJECT,
    OWN_BUCKETS,
    PARAMETER,
    POLICIES,
    READER,
    SECRETS,
    TOPIC,
    WORKSPACE,
    WORKSPACES,
    grants,
    statements_of,
    variables_of,
)
from tests.rig.stack import ACCOUNT, REGION, ROOT, StackOf, references

SECONDS = {
    "1m": 60, "2m": 120, "3m": 180, "5m": 300, "10m": 600, "15m": 900, "20m": 1200, "30m": 1800, "1h": 3600,
}  # fmt: skip
TAGS = {"application": "lambda-remote-write", "stack": "metrics"}
FUNCTIONS = ("PusherFunction", "OperatorFunction")
ROLES = {"PusherRole", "OperatorRole", "SchedulerRole", "BackfillRole"}
VPC_ACTIONS = {
    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
}  # fmt: skip
EC2_ACTIONS = {"ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"}
ECS_ACTIONS = {
    "ecs:ListClusters", "ecs:DescribeClusters", "ecs:DescribeServices", "ecs:ListTasks", "ecs:DescribeTasks",
    "ecs:DescribeContainerInstances", "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces",
}  # fmt: skip


def tags_of(properties: dict[str, Any]) -> dict[str, str]:
    tags = properties.get("Tags", {})
    return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}


# --- The functions ---------------------------------------------------------------------------------------------------


def test_both_functions_share_one_artefact(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    assert template["Globals"]["Function"]["CodeUri"] == "."
    for name in FUNCTIONS:
        assert resources[name]["Metadata"] == {"BuildMethod": "makefile"}
        assert "CodeUri" not in resources[name]["Properties"]


def test_only_the_entry_point_size_and_log_differ(stack_of: StackOf) -> None:
    pusher, operator = (stack_of()[name] for name in FUNCTIONS)
    assert pusher["Handler"] == "lambda_remote_write.app.push_handler"
    assert operator["Handler"] == "lambda_remote_write.app.operator_handler"
    assert (pusher["Timeout"], pusher["MemorySize"]) == ("50", "256")
    assert (operator["Timeout"], operator["MemorySize"]) == (900, 512)
    for function in (pusher, operator):
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert tags_of(function).items() >= TAGS.items()
    assert stack_of(Architecture="x86_64")["PusherFunction"]["Architectures"] == ["x86_64"]
    assert stack_of(Runtime="python3.14")["PusherFunction"]["Runtime"] == "python3.14"


def test_concurrency_is_reserved_only_when_asked_for_and_for_the_pusher_alone(stack_of: StackOf) -> None:
    """Lambda: "You can reserve up to the Unreserved account concurrency value minus 100. The remaining 100 units of
    concurrency are for functions that aren't using reserved concurrency." A new account has 10 or 50 in all."""
    for parameters in ({}, {"Shards": "16"}, {"ReservedConcurrency": "0"}):
        functions = stack_of(**parameters).of_type("AWS::Lambda::Function").values()
        assert not [one for one in functions if "ReservedConcurrentExecutions" in one]
    asked = stack_of(ReservedConcurrency="shards", Shards="6")
    assert asked["PusherFunction"]["ReservedConcurrentExecutions"] == "6"
    assert "ReservedConcurrentExecutions" not in asked["OperatorFunction"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_failed_event_is_kept_and_not_repeated(stack_of: StackOf, function: str) -> None:
    configs = stack_of().of_type("AWS::Lambda::EventInvokeConfig").values()
    (config,) = (found for found in configs if found["FunctionName"] == f"<{function}>")
    assert config["MaximumRetryAttempts"] == 0
    assert config["MaximumEventAgeInSeconds"] == 60
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": "<FailureQueue.Arn>"}}


@pytest.mark.parametrize(
    ("function", "service"), [("PusherFunction", "metrics"), ("OperatorFunction", "metrics-operator")]
)
def test_the_environment_names_workspace_tick_and_metrics(stack_of: StackOf, function: str, service: str) -> None:
    """What is done by hand counts under a name of its own, and does not touch the schedule's alarms."""
    assert variables_of(stack_of(WorkspaceId=WORKSPACE, Interval="5m"), function) == {
        "PUSHER_TICK": "5m",
        "PUSHER_WORKSPACE": WORKSPACE,
        "PUSHER_SHARDS": "1",
        "PUSHER_METRICS": "alarms",
        "PUSHER_OLDEST_WAITING_SECONDS": "600",
        "PUSHER_SPOOL": "s3://<SpoolBucket>",
        "POWERTOOLS_SERVICE_NAME": service,
        "POWERTOOLS_METRICS_NAMESPACE": "LambdaRemoteWrite",
        "MALLOC_ARENA_MAX": "1",
    }
    assert variables_of(stack_of(Config="ssm:/pusher/config"), function)["PUSHER_CONFIG"] == "ssm:/pusher/config"
    assert variables_of(stack_of(Shards="4"), function)["PUSHER_SHARDS"] == "4"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_vpc_is_only_entered_when_asked(stack_of: StackOf, function: str) -> None:
    assert "VpcConfig" not in stack_of()[function]
    inside = stack_of(SubnetIds="subnet-1,subnet-2", SecurityGroupIds="sg-1")[function]
    assert inside["VpcConfig"] == {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}


# --- The schedule ----------------------------------------------------------------------------------------------------


def test_the_intervals_are_prometheus_durations(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Interval"]["AllowedValues"] == list(SECONDS)
    assert list(template["Mappings"]["Schedules"]) == list(SECONDS)


@pytest.mark.parametrize(("interval", "seconds"), SECONDS.items())
def test_schedule_tick_and_alarms_follow_the_interval(stack_of: StackOf, interval: str, seconds: int) -> None:
    stack = stack_of(Interval=interval)
    (schedule,) = stack.of_type("AWS::Scheduler::Schedule").values()
    found = re.fullmatch(r"rate\((\d+) (minute|minutes|hour)\)", schedule["ScheduleExpression"])
    assert found
    assert int(found[1]) * (3600 if found[2] == "hour" else 60) == seconds
    assert (found[1] == "1") == (not found[2].endswith("s"))
    assert variables_of(stack, "PusherFunction")["PUSHER_TICK"] == interval
    periods = {
        name: stack[name]["Period"] for name in ("ErrorsAlarm", "SilenceAlarm", "JobsDownAlarm", "OldestWaitingAlarm")
    }
    assert set(periods.values()) == {seconds}
    assert stack["LostSamplesAlarm"]["Period"] == max(seconds, 300)


@pytest.mark.parametrize("interval", SECONDS)
def test_a_timeout_that_reaches_the_interval_is_refused(
    stack_of: StackOf, template: dict[str, Any], interval: str
) -> None:
    for timeout in template["Parameters"]["Timeout"]["AllowedValues"]:
        broken = stack_of(Interval=interval, Timeout=str(timeout)).broken_rules()
        assert bool(broken) == (timeout >= SECONDS[interval]), (interval, timeout, broken)


def test_there_is_one_schedule_and_it_calls_the_pusher(stack_of: StackOf) -> None:
    """Until Shards asks for more: test_shards.py."""
    (schedule,) = stack_of().of_type("AWS::Scheduler::Schedule").values()
    assert "Name" not in schedule  # a fixed name would allow one stack per account
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["State"] == "ENABLED"
    target = schedule["Target"]
    assert target["Arn"] == "<PusherFunction.Arn>"
    assert target["RoleArn"] == "<SchedulerRole.Arn>"
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}
    assert target["DeadLetterConfig"] == {"Arn": "<FailureQueue.Arn>"}


def test_a_disabled_schedule_takes_its_alarm_along(stack_of: StackOf) -> None:
    stack = stack_of(ScheduleState="DISABLED")
    (schedule,) = stack.of_type("AWS::Scheduler::Schedule").values()
    assert schedule["State"] == "DISABLED"
    assert "SilenceAlarm" not in stack.resources


# --- Roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workspace", "arn"), WORKSPACES)
@pytest.mark.parametrize("function", ["Pusher", "Operator"])
def test_a_function_may_write_one_workspace_and_little_else(
    stack_of: StackOf, function: str, workspace: str, arn: str
) -> None:
    stack = stack_of(WorkspaceId=workspace, Spool="no", Backfill="no")
    assert stack[f"{function}Function"]["Role"] == f"<{function}Role.Arn>"
    assert grants(statements_of(stack, f"{function}Role")) == [
        ({"logs:CreateLogStream", "logs:PutLogEvents"}, {f"<{function}LogGroup.Arn>"}),
        ({"aps:RemoteWrite"}, {arn}),
        ({"sqs:SendMessage"}, {"<FailureQueue.Arn>"}),
    ]


@pytest.mark.parametrize(
    ("parameters", "actions", "resources"),
    [
        pytest.param({"ConfigObjectArn": OBJECT}, {"s3:GetObject", "s3:GetObjectVersion"}, {OBJECT}, id="config in S3"),
        pytest.param({"SecretArns": ",".join(SECRETS)}, {"secretsmanager:GetSecretValue"}, set(SECRETS), id="secrets"),
        pytest.param({"SsmParameterArns": PARAMETER}, {"ssm:GetParameter"}, {PARAMETER}, id="parameters"),
        pytest.param({"KmsKeyArn": KEY}, {"kms:Decrypt"}, {KEY}, id="key"),
        pytest.param({"AssumeRoleArns": READER}, {"sts:AssumeRole", "sts:TagSession"}, {READER}, id="roles"),
        pytest.param({"Ec2Discovery": "yes"}, EC2_ACTIONS, {"*"}, id="instances"),
        pytest.param({"EcsDiscovery": "yes"}, ECS_ACTIONS, {"*"}, id="tasks"),
        pytest.param({"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}, VPC_ACTIONS, {"*"}, id="vpc"),
    ],
)
@pytest.mark.parametrize("role", ["PusherRole", "OperatorRole"])
def test_each_parameter_adds_one_permission(
    stack_of: StackOf, role: str, parameters: dict[str, str], actions: set[str], resources: set[str]
) -> None:
    before, after = statements_of(stack_of(), role), statements_of(stack_of(**parameters), role)
    assert grants([statement for statement in after if statement not in before]) == [(actions, resources)]
    assert len(after) == len(before) + 1


def test_the_users_policies_are_attached_to_the_roles_that_ask_sources(stack_of: StackOf) -> None:
    """The stack itself allows nothing more: what the functions may ask is in the user's policies."""
    before, after = stack_of(), stack_of(SourcePolicyArns=",".join(POLICIES))
    changed = {name for name, properties in after.resources.items() if properties != before.resources[name]}
    assert changed == {"PusherRole", "OperatorRole"}
    for role in changed:
        assert after[role]["ManagedPolicyArns"] == [*before[role]["ManagedPolicyArns"], *POLICIES]
        assert statements_of(after, role) == statements_of(before, role)


@pytest.mark.parametrize(
    ("role", "kind"), [("PusherRole", "Discovery"), ("OperatorRole", "Discovery"), ("OperatorRole", "Backfill")]
)
@pytest.mark.parametrize("prefix", ["targets/", ""])
def test_lists_and_files_are_read_below_one_prefix(stack_of: StackOf, role: str, kind: str, prefix: str) -> None:
    """The object's ARN bounds what is read, the condition what is listed: a bucket as such knows no keys."""
    given = {f"{kind}Prefix": prefix}
    before = statements_of(stack_of(**given), role)
    after = statements_of(stack_of(**given, **{f"{kind}BucketArn": BUCKET}), role)
    read, listed = (statement for statement in after if statement not in before)
    assert grants([read, listed]) == [({"s3:GetObject"}, {f"{BUCKET}/{prefix}*"}), ({"s3:ListBucket"}, {BUCKET})]
    assert listed["Condition"] == {"StringLike": {"s3:prefix": f"{prefix}*"}} | OWN_BUCKETS


@pytest.mark.parametrize("role", ["PusherRole", "OperatorRole", "BackfillRole"])
def test_a_bucket_of_another_account_is_never_asked(stack_of: StackOf, role: str) -> None:
    """A bucket is known by its name alone, which any account may take once it is free.

    IAM on aws:ResourceAccount: "Use this key to compare the requested resource owner's AWS account ID with the
    resource account in the policy."
    """
    stack = stack_of(ConfigObjectArn=OBJECT, DiscoveryBucketArn=BUCKET, BackfillBucketArn=BUCKET)
    statements = [one for one in statements_of(stack, role) if "s3:" in str(one["Action"])]
    assert len(statements) == {"PusherRole": 6, "OperatorRole": 9, "BackfillRole": 1}[role]
    for statement in statements:
        assert statement["Condition"].items() >= OWN_BUCKETS.items(), statement["Sid"]


@pytest.mark.parametrize(
    ("ecs", "looked_up"), [("no", set()), ("yes", {"ec2:DescribeNetworkInterfaces"})], ids=["alone", "with ECS"]
)
def test_the_code_in_a_vpc_may_not_touch_its_interfaces(stack_of: StackOf, ecs: str, looked_up: set[str]) -> None:
    """Lambda, "Security best practices": the role needs these actions, and a Deny with lambda:SourceFunctionArn keeps
    the code from them. "Other AWS API calls that Lambda makes outside of your execution environment on your behalf
    using the same execution role don't contain the source function ARN."
    """
    assert "NetworkInterfacesPolicy" not in stack_of().resources
    policy = stack_of(SubnetIds="subnet-1", SecurityGroupIds="sg-1", EcsDiscovery=ecs)["NetworkInterfacesPolicy"]
    assert policy["Roles"] == ["<PusherRole>", "<OperatorRole>"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
    assert set(statement["Action"]) == (VPC_ACTIONS | {"ec2:DetachNetworkInterface"}) - looked_up
    functions = ["<PusherFunction.Arn>", "<OperatorFunction.Arn>"]
    assert statement["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": functions}}


class Everything:
    """A client of AWS that answers any call with one cluster, task, instance and interface, and tells what was called
    by the action that allows it."""

    def __init__(self, called: set[str], service: str) -> None:
        self._called, self._service = called, service

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def call(**_: Any) -> dict[str, Any]:
            self._called.add(f"{self._service}:{operation.title().replace('_', '')}")
            return ANSWER

        return call


INTERFACE = {"name": "networkInterfaceId", "value": "eni-1"}
ANSWER = {
    "clusterArns": ["arn:cluster"],
    "clusters": [{"clusterArn": "arn:cluster"}],
    "taskArns": ["arn:task"],
    "tasks": [
        {
            "taskArn": "arn:task",
            "group": "service:web",
            "containerInstanceArn": "arn:host",
            "attachments": [{"type": "ElasticNetworkInterface", "details": [INTERFACE]}],
        }
    ],
    "services": [{"serviceName": "web"}],
    "containerInstances": [{"containerInstanceArn": "arn:host", "ec2InstanceId": "i-1"}],
    "Reservations": [{"Instances": [{"InstanceId": "i-1", "PrivateIpAddress": "10.0.0.5"}]}],
    "NetworkInterfaces": [{"NetworkInterfaceId": "eni-1"}],
    "AvailabilityZones": [],
}


@pytest.mark.parametrize(("kind", "actions"), [("ec2", EC2_ACTIONS), ("ecs", ECS_ACTIONS)])
def test_discovery_calls_what_its_parameter_allows(kind: str, actions: set[str]) -> None:
    """No less either: what is not called needs no permission."""
    called: set[str] = set()
    rig = Rig(client=lambda service, _: Everything(called, service))
    assert rig.found(f"{kind}_sd_configs: [{{port: 9100}}]").warnings == []
    assert called == actions


def test_the_key_serves_only_what_is_read(stack_of: StackOf) -> None:
    (statement,) = (
        found for found in statements_of(stack_of(KmsKeyArn=KEY), "PusherRole") if found["Action"] == "kms:Decrypt"
    )
    services = [f"{name}.{REGION}.amazonaws.com" for name in ("secretsmanager", "ssm", "s3")]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": services}}


def test_the_scheduler_may_invoke_the_pusher_and_keep_what_it_cannot_deliver(stack_of: StackOf) -> None:
    stack = stack_of()
    assert grants(statements_of(stack, "SchedulerRole")) == [
        ({"lambda:InvokeFunction"}, {"<PusherFunction.Arn>"}),
        ({"sqs:SendMessage"}, {"<FailureQueue.Arn>"}),
    ]
    (trust,) = stack["SchedulerRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_there_are_no_roles_but_ours_and_a_boundary_covers_all(stack_of: StackOf) -> None:
    assert set(stack_of().of_type("AWS::IAM::Role")) == ROLES
    assert not any("PermissionsBoundary" in role for role in stack_of().of_type("AWS::IAM::Role").values())
    bound = stack_of(PermissionsBoundaryArn=BOUNDARY, GrafanaPrincipalArn=GRAFANA).of_type("AWS::IAM::Role")
    assert set(bound) == ROLES | {"GrafanaRole"}
    assert {role["PermissionsBoundary"] for role in bound.values()} == {BOUNDARY}


@pytest.mark.parametrize(("workspace", "arn"), WORKSPACES)
def test_grafana_reads_this_workspace_alone(stack_of: StackOf, workspace: str, arn: str) -> None:
    """With the actions of Grafana's own policy but the one that lists the workspaces of the account: it knows no
    resource, so that it could only be allowed for all of them."""
    assert "GrafanaRole" not in stack_of().resources
    stack = stack_of(WorkspaceId=workspace, GrafanaPrincipalArn=GRAFANA)
    (usual,) = json.loads((ROOT / "tests/testdata/grafana-amp-policy.json").read_text())["Statement"]
    assert grants(statements_of(stack, "GrafanaRole")) == [(set(usual["Action"]) - {"aps:ListWorkspaces"}, {arn})]
    role = stack["GrafanaRole"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Principal": {"AWS": GRAFANA}, "Action": "sts:AssumeRole"}


def test_grafanas_external_id_is_demanded_when_given(stack_of: StackOf) -> None:
    role = stack_of(GrafanaPrincipalArn=GRAFANA, GrafanaExternalId="between-us")["GrafanaRole"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "between-us"}}


# --- What keeps data, logs and failures ------------------------------------------------------------------------------


def test_what_holds_data_survives_the_stack_but_not_a_first_deployment_that_fails(stack_of: StackOf) -> None:
    """CloudFormation: "RetainExceptOnCreate behaves like Retain for stack operations, except for the stack operation
    that initially created the resource. If the stack operation that created the resource is rolled back,
    CloudFormation deletes the resource." A replacement knows Delete, Retain and Snapshot only."""
    kept = {name: found for name, found in stack_of().resources.items() if "DeletionPolicy" in found}
    assert set(kept) == {"Workspace", "SpoolBucket", "SpoolBucketPolicy"}
    assert {found["DeletionPolicy"] for found in kept.values()} == {"RetainExceptOnCreate"}
    assert {found["UpdateReplacePolicy"] for found in kept.values()} == {"Retain"}


def test_a_created_workspace_has_what_the_parameters_say(stack_of: StackOf) -> None:
    workspace = stack_of(OutOfOrderTimeWindowInSeconds="600", RetentionPeriodInDays="90").resources["Workspace"]
    assert workspace["Properties"]["WorkspaceConfiguration"] == {
        "RetentionPeriodInDays": "90",
        "OutOfOrderTimeWindowInSeconds": "600",
    }
    assert "Workspace" not in stack_of(WorkspaceId=WORKSPACE).resources


def test_the_failure_queue_keeps_two_weeks_encrypted_and_over_tls(stack_of: StackOf) -> None:
    stack = stack_of()
    assert stack["FailureQueue"]["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert stack["FailureQueue"]["SqsManagedSseEnabled"] is True
    assert stack["FailureQueuePolicy"]["Queues"] == ["<FailureQueue>"]
    (statement,) = stack["FailureQueuePolicy"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Action"] == "sqs:*"
    assert statement["Resource"] == "<FailureQueue.Arn>"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("function", ["Pusher", "Operator"])
def test_logs_have_their_own_group_and_an_end(stack_of: StackOf, function: str) -> None:
    stack = stack_of(LogRetentionInDays="14")
    assert stack[f"{function}Function"]["LoggingConfig"] == {"LogGroup": f"<{function}LogGroup>"}
    assert stack[f"{function}LogGroup"]["LogGroupName"] == f"/aws/lambda/metrics/{function.lower()}"
    assert stack[f"{function}LogGroup"]["RetentionInDays"] == "14"


# --- Alarms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alarm", "expected"),
    [
        ("ErrorsAlarm", ("AWS/Lambda", "Errors", {"FunctionName": "<PusherFunction>"}, "Sum", ">0", 1)),
        ("SilenceAlarm", ("LambdaRemoteWrite", "Delivered", {"service": "metrics"}, "Maximum", "<1", 7)),
        ("JobsDownAlarm", ("LambdaRemoteWrite", "JobsDown", {"service": "metrics"}, "Maximum", ">0", 7)),
        ("LostSamplesAlarm", ("LambdaRemoteWrite", "LostSamples", {"service": "metrics"}, "Sum", ">0", 1)),
        (
            "OldestWaitingAlarm",
            ("LambdaRemoteWrite", "OldestWaitingSeconds", {"service": "metrics"}, "Maximum", ">900", 1),
        ),
    ],
)
def test_an_alarm_watches(stack_of: StackOf, alarm: str, expected: tuple[object, ...]) -> None:
    """The failure queue has none: its cause has one, and messages that stay for two weeks would keep it in ALARM."""
    stack = stack_of(SilentIntervals="7", OldestWaitingAlarmSeconds="900")
    assert len(stack.of_type("AWS::CloudWatch::Alarm")) == 5
    found = stack[alarm]
    sign = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}[found["ComparisonOperator"]]
    assert (
        found["Namespace"],
        found["MetricName"],
        {dimension["Name"]: dimension["Value"] for dimension in found["Dimensions"]},
        found["Statistic"],
        f"{sign}{found['Threshold']}",
        int(found["EvaluationPeriods"]),
    ) == expected


def test_only_the_silence_alarm_acts_on_missing_data(stack_of: StackOf) -> None:
    alarms = stack_of(AlarmTopicArn=TOPIC).of_type("AWS::CloudWatch::Alarm")
    missing = {name: alarm["TreatMissingData"] for name, alarm in alarms.items()}
    assert missing.pop("SilenceAlarm") == "missing"
    assert set(missing.values()) == {"notBreaching", "ignore"}
    assert [name for name, alarm in alarms.items() if "InsufficientDataActions" in alarm] == ["SilenceAlarm"]


@pytest.mark.parametrize("ended", ["Failed", "TimedOut"])
def test_a_backfill_that_failed_or_took_too_long_tells_the_topic(stack_of: StackOf, ended: str) -> None:
    """Step Functions: ExecutionsFailed and ExecutionsTimedOut count executions, by StateMachineArn. Who stops one by
    hand (ExecutionsAborted) needs no alarm. A period without executions is well, so that the alarm ends by itself.
    """
    alarm = stack_of(AlarmTopicArn=TOPIC)[f"Backfill{ended}Alarm"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/States", f"Executions{ended}", "Sum")
    assert alarm["Dimensions"] == [{"Name": "StateMachineArn", "Value": "<BackfillStateMachine>"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert (alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (1, "notBreaching")


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        pytest.param({}, 0, id="no topic: Step Functions shows it for nothing"),
        pytest.param({"AlarmTopicArn": TOPIC}, 2, id="a topic"),
        pytest.param({"AlarmTopicArn": TOPIC, "Backfill": "no"}, 0, id="no machine"),
        pytest.param({"AlarmTopicArn": TOPIC, "Spool": "no"}, 0, id="no bucket, hence no machine"),
        pytest.param({"AlarmTopicArn": TOPIC, "Metrics": "none"}, 0, id="the cheapest stack has two alarms"),
    ],
)
def test_the_state_machine_has_alarms_where_there_is_a_topic(
    stack_of: StackOf, parameters: dict[str, str], count: int
) -> None:
    stack = stack_of(**parameters)
    assert len([name for name in stack.of_type("AWS::CloudWatch::Alarm") if name.startswith("Backfill")]) == count


def test_every_alarm_tells_the_topic_when_there_is_one(stack_of: StackOf) -> None:
    for alarm in stack_of().of_type("AWS::CloudWatch::Alarm").values():
        assert "AlarmActions" not in alarm
        assert "OKActions" not in alarm
    told = stack_of(AlarmTopicArn=TOPIC, DiscardedSamplesAlarm="yes").of_type("AWS::CloudWatch::Alarm")
    assert len(told) == 8
    for alarm in told.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]


def test_what_amp_discards_has_an_alarm_when_asked_for(stack_of: StackOf) -> None:
    """CloudWatch: an alarm on a Metrics Insights query has neither metric, dimensions nor statistic of its own."""
    assert "DiscardedByAmpAlarm" not in stack_of().resources
    alarm = stack_of(DiscardedSamplesAlarm="yes")["DiscardedByAmpAlarm"]
    (query,) = alarm["Metrics"]
    assert query["Expression"] == 'SELECT SUM(DiscardedSamples) FROM "AWS/Prometheus"'
    assert query["Period"] % 60 == 0
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert not {"MetricName", "Namespace", "Dimensions", "Statistic", "Period"} & set(alarm)
    assert alarm["TreatMissingData"] == "notBreaching"


RUNBOOKS = "https://wiki.example.com/runbooks"
EVERY_ALARM = {"AlarmTopicArn": TOPIC, "DiscardedSamplesAlarm": "yes"}


@pytest.mark.parametrize(
    ("parameters", "address"),
    [
        pytest.param({}, "docs/runbooks", id="this project's folder"),
        pytest.param({"RunbookUrl": RUNBOOKS}, RUNBOOKS, id="a wiki"),
    ],
)
def test_every_alarm_ends_with_the_address_of_its_runbook(
    stack_of: StackOf, parameters: dict[str, str], address: str
) -> None:
    alarms = stack_of(**EVERY_ALARM, **parameters).of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) == 8
    for name, alarm in alarms.items():
        assert re.search(rf"\. Runbook: {re.escape(address)}/[a-z-]+\.md$", alarm["AlarmDescription"]), name


def test_what_a_month_costs_counts_the_templates_metrics_and_alarms(stack_of: StackOf) -> None:
    alarms = stack_of().of_type("AWS::CloudWatch::Alarm").values()
    own = {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == "LambdaRemoteWrite"}
    assert (len(own), len(alarms)) == (cost.METRICS, cost.ALARMS)
    without = stack_of(Metrics="none").of_type("AWS::CloudWatch::Alarm").values()
    assert {alarm["Namespace"] for alarm in without} == {"AWS/Lambda"}
    assert len(without) == cost.ALARMS_WITHOUT_METRICS
    told = stack_of(AlarmTopicArn=TOPIC).of_type("AWS::CloudWatch::Alarm")
    assert len(told) == cost.ALARMS + cost.BACKFILL_ALARMS
    assert len(stack_of().of_type("AWS::Logs::QueryDefinition")) == cost.QUERIES
    empty = Report((), {}, (), (), 0, 0.0, has_spool=True)
    assert set(empty.alarm_metrics()) == own
    assert len(empty.totals()) == cost.ALL_METRICS


def test_the_default_stack_keeps_its_price() -> None:
    """Promised: at most $2.05 a month, $2.30 with a job with `backfill`, $0.60 without metrics."""
    backfill, _, none, *_ = cost.options()
    assert cost.total(cost.pusher(1)) <= 2.05
    assert cost.total([*cost.pusher(1), backfill]) <= 2.30
    assert cost.total([*cost.pusher(1), none]) <= 0.60


def test_no_alarm_looks_back_further_than_cloudwatch_allows(template: dict[str, Any]) -> None:
    longest = template["Parameters"]["SilentIntervals"]["MaxValue"]
    assert all(seconds % 60 == 0 and longest * seconds <= 24 * 3600 for seconds in SECONDS.values())


# --- The whole -------------------------------------------------------------------------------------------------------

# CloudFormation takes no tags on these.
UNTAGGABLE = {
    "AWS::IAM::ManagedPolicy", "AWS::Lambda::EventInvokeConfig", "AWS::Scheduler::Schedule", "AWS::SQS::QueuePolicy",
    "AWS::S3::BucketPolicy", "AWS::Logs::QueryDefinition", "AWS::CloudWatch::Dashboard",
}  # fmt: skip


def test_everything_that_can_carry_tags_does(stack_of: StackOf) -> None:
    stack = stack_of(GrafanaPrincipalArn=GRAFANA, DiscardedSamplesAlarm="yes", Dashboard="yes", AlarmTopicArn=TOPIC)
    untagged = {
        name
        for name, resource in stack.resources.items()
        if resource["Type"] not in UNTAGGABLE and not tags_of(resource["Properties"]).items() >= TAGS.items()
    }
    assert not untagged


def test_every_parameter_and_condition_is_used(template: dict[str, Any]) -> None:
    used = references({key: template[key] for key in ("Globals", "Resources", "Outputs", "Conditions")})
    assert set(template["Parameters"]) - used == set()
    assert set(template["Conditions"]) - used == set()


def test_every_parameter_has_a_group_a_label_a_default_and_a_description(template: dict[str, Any]) -> None:
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    assert set(interface["ParameterLabels"]) == set(template["Parameters"])
    assert all("Default" in given and given["Description"] for given in template["Parameters"].values())


def test_no_partition_is_written_down() -> None:
    text = (ROOT / "template.yaml").read_text()
    resources = text[text.index("\nResources:") :]
    assert "arn:aws:" not in resources
    assert set(re.findall(r"[\w.{}$:-]*amazonaws\.com", resources)) == {
        "lambda.amazonaws.com",
        "scheduler.amazonaws.com",
        "states.amazonaws.com",
    }


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("WorkspaceId", ["", WORKSPACE], ["workspace", "ws-", f"arn:aws:aps:{REGION}:{ACCOUNT}:workspace/{WORKSPACE}"]),
        (
            "Config",
            ["", "s3://bucket/a/b.yaml", "ssm:/pusher", "pusher/other.yaml"],
            ["s3://bucket", "https://a/b", "a b"],
        ),
        ("ConfigObjectArn", ["", OBJECT, "arn:aws-us-gov:s3:::b/k"], ["arn:aws:s3:::b/*", "arn:aws:s3:::b", "*"]),
        *((name, ["no", "yes"], ["true", ""])
          for name in ("Spool", "QueryWorkspace", "Ec2Discovery", "EcsDiscovery", "Rules")),
        ("S3EndpointVpcId", ["", "vpc-0a1b2c"], ["vpc", "subnet-1", "*"]),
        *((f"{kind}BucketArn", ["", BUCKET, "arn:aws-cn:s3:::a.b-c"], [f"{BUCKET}/key", "arn:aws:s3:::*", "lists"])
          for kind in ("Discovery", "Backfill")),
        *((f"{kind}Prefix", ["", "targets/", "a/b.c-d_e"], ["*", "targets/?", "${aws:username}"])
          for kind in ("Discovery", "Backfill")),
        ("Backfill", ["yes", "no", "widen"], ["true", ""]),
        ("BackfillHours", ["1", "24", "168"], ["0", "169", ""]),
        ("Shards", ["1", "2", "3", "4", "6", "8", "12", "16"], ["0", "5", "32", ""]),
        ("ReservedConcurrency", ["shards", "0"], ["1", "-1", ""]),
        ("KmsKeyArn", ["", KEY], ["*", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/mine"]),
        ("PermissionsBoundaryArn", ["", BOUNDARY, "arn:aws:iam::aws:policy/PowerUserAccess"], ["boundary"]),
        ("AlarmTopicArn", ["", TOPIC], ["alerts"]),
        (
            "RunbookUrl",
            ["docs/runbooks", "https://wiki.example.com/runbooks", "https://github.com/o/r/blob/main/docs/runbooks"],
            ["", "docs/runbooks/", "https://a.b/c?page=1", "/docs", "a b", 'a"b', "https://a.b/#c"],
        ),
        *((name, ["no", "yes"], ["true", ""]) for name in ("DiscardedSamplesAlarm", "Dashboard")),
        ("GrafanaPrincipalArn", ["", GRAFANA], ["*", f"arn:aws:iam::{ACCOUNT}:root"]),
        ("GrafanaExternalId", ["", "between-us"], ["x", "a b"]),
    ],
)  # fmt: skip
def test_a_parameter_takes_only_what_it_means(
    template: dict[str, Any], parameter: str, good: list[str], bad: list[str]
) -> None:
    given = template["Parameters"][parameter]
    pattern = given.get("AllowedPattern") or "|".join(map(str, given["AllowedValues"]))
    assert all(re.fullmatch(pattern, text) for text in good)
    assert not any(re.fullmatch(pattern, text) for text in bad)


def test_outputs_name_what_people_look_for(stack_of: StackOf) -> None:
    outputs = stack_of(WorkspaceId=WORKSPACE).outputs()
    assert outputs == {
        "PusherFunctionName": "<PusherFunction>",
        "PusherFunctionArn": "<PusherFunction.Arn>",
        "OperatorFunctionName": "<OperatorFunction>",
        "OperatorFunctionArn": "<OperatorFunction.Arn>",
        "WorkspaceId": WORKSPACE,
        "WorkspaceArn": f"arn:aws:aps:{REGION}:{ACCOUNT}:workspace/{WORKSPACE}",
        "RemoteWriteUrl": f"https://aps-workspaces.{REGION}.amazonaws.com/workspaces/{WORKSPACE}/api/v1/remote_write",
        "FailureQueueUrl": "<FailureQueue>",
        "SpoolBucketName": "<SpoolBucket>",
        "SpoolBucketArn": "<SpoolBucket.Arn>",
        "BackfillStateMachineArn": "<BackfillStateMachine>",
        "PusherLogGroupName": "<PusherLogGroup>",
        "OperatorLogGroupName": "<OperatorLogGroup>",
    }
    assert stack_of(GrafanaPrincipalArn=GRAFANA).outputs()["GrafanaRoleArn"] == "<GrafanaRole.Arn>"
    assert "<Workspace.WorkspaceId>" in stack_of().outputs()["RemoteWriteUrl"]


# --- Beside the template ---------------------------------------------------------------------------------------------

EVENT_KEYS = {
    "schedule.json": {"action", "scheduled_time"},
    "push-jobs.json": {"action", "jobs"},
    "plan.json": {"action"},
    "spool.json": {"action", "command"},
    "backfill.json": {"action", "job", "start", "end"},
    "push-samples.json": {"action", "samples"},
    "push-text.json": {"action", "format", "text"},
    "empty.json": set(),
}


def test_every_event_file_is_known() -> None:
    assert {path.name for path in (ROOT / "events").iterdir()} == {*EVENT_KEYS, "env.json"}


@pytest.mark.parametrize(("name", "keys"), EVENT_KEYS.items())
def test_an_event_is_an_action(name: str, keys: set[str]) -> None:
    event = json.loads((ROOT / "events" / name).read_text())
    assert set(event) == keys
    assert event.get("action", "push") in {"push", "plan", "spool", "backfill", "push_samples"}


def test_the_local_environment_sets_only_variables_of_the_template(stack_of: StackOf) -> None:
    """`sam local invoke` ignores any other."""
    given = json.loads((ROOT / "events/env.json").read_text())
    assert set(given) == set(FUNCTIONS)
    for function, variables in given.items():
        assert set(variables) <= set(variables_of(stack_of(Config="config.yaml"), function))


def test_sam_is_configured_once_for_all() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    assert config["build"]["parameters"]["build_in_source"] is True
    assert config["sync"]["parameters"] == {"build_in_source": True, "dependency_layer": False}
    assert config["validate"]["parameters"]["lint"] is True
    assert config["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    assert config["deploy"]["parameters"]["resolve_s3"] is True
    assert "region" not in (ROOT / "samconfig.toml").read_text().replace("The region comes", "")


@pytest.mark.slow
def test_the_template_lints(sam: Callable[..., Any]) -> None:
    result = sam("validate", "--lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_documentation_names_every_action(template: dict[str, Any]) -> None:
    """Under "Permissions: iam", for people who must say what a stack may do before they deploy it."""
    text = (ROOT / "docs/operations.md").read_text().partition("\n## Permissions: iam\n")[2].partition("\n## ")[0]
    policies = {name: one for name, one in template["Resources"].items() if one["Type"].startswith("AWS::IAM::")}
    actions = set(
        re.findall(r'"((?:aps|s3|sqs|logs|secretsmanager|ssm|kms|ec2|ecs|sts|lambda):[A-Z]\w+)"', json.dumps(policies))
    )
    assert len(actions) > 30
    keys_of_conditions = {"sts:ExternalId", "kms:ViaService"}
    assert [action for action in sorted(actions - keys_of_conditions) if f"`{action}`" not in text] == []


def test_the_metadata_for_the_repository_of_applications_keeps_to_its_rules(template: dict[str, Any]) -> None:
    """The table of the properties in SAM's developer guide, for `sam publish`."""
    found = template["Metadata"]["AWS::ServerlessRepo::Application"]
    required = {"Name", "Description", "Author", "SpdxLicenseId", "LicenseUrl", "ReadmeUrl", "SemanticVersion"}
    assert required <= found.keys()
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", found["Name"])
    assert 1 <= len(found["Description"]) <= 256
    assert re.fullmatch(r"[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", found["Author"])
    assert len(found["Author"]) <= 127
    assert len(found["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in found["Labels"])
    for page in ("LicenseUrl", "ReadmeUrl"):
        assert 0 < (ROOT / found[page]).stat().st_size < 5_000_000
    assert found["SemanticVersion"] == __version__
