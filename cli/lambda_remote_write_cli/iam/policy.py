"""What a config needs as IAM statements, in the form in which template.yaml writes them, and as the template's
parameters. A test renders the template with these parameters and compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lambda_remote_write.aws.iam import ACCOUNT, Statement

from .needs import EC2_ACTIONS, ECS_ACTIONS, Folder, Needs, StackPlace

SPOOL_BUCKET, FAILURE_QUEUE, WORKSPACE = "SPOOL-BUCKET", "FAILURE-QUEUE", "WORKSPACE"
"""Stand for what a stack names itself."""
ROLES = ("push", "operator", "sources")
_SPOOL_PREFIXES = ("spool/*", "dead/*", "state/*")
_OPERATOR_KEYS = ("spool/*/operator/*", "dead/*/operator/*", "state/operator", "state/backfill/*", "backfill/*")


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statements_of(role: str, needs: Needs, place: StackPlace, kms_key: str = "") -> list[Statement]:
    """All statements of the scheduled function's role (`push`), of the operator function's (`operator`), or those
    that the template cannot know (`sources`): they belong into a managed policy of the user's."""
    if role == "sources":
        return list(_beside_template(needs, place))
    own = _of_pusher(needs, place) if role == "push" else _of_operator(needs, place)
    return [*own, *_of_both(needs, place, kms_key), *_of_lists(needs), *_beside_template(needs, place)]


def parameters_of(needs: Needs, place: StackPlace, kms_key: str = "") -> dict[str, str]:
    """The parameters of the template that allow it; those that keep their defaults are left out."""
    workspace, _ = _workspaces(needs, place)
    folder = needs.folders[0] if needs.folders else None
    found = {
        "WorkspaceId": workspace.rpartition("/")[2],
        "QueryWorkspace": "yes" if needs.queries_workspace else "",
        "Spool": "" if needs.spools_to_stack else "no",
        "Config": needs.config,
        "ConfigObjectArn": needs.config_object,
        "SecretArns": ",".join(needs.secrets),
        "SsmParameterArns": ",".join(needs.parameters),
        "KmsKeyArn": kms_key,
        "AssumeRoleArns": ",".join(needs.roles),
        "SourcePolicyArns": _source_policy(place) if list(_beside_template(needs, place)) else "",
        "Ec2Discovery": "yes" if needs.ec2 else "",
        "EcsDiscovery": "yes" if needs.ecs else "",
        "DiscoveryBucketArn": place.bucket(folder.bucket) if folder else "",
        "DiscoveryPrefix": folder.prefix if folder else "",
    }
    return {name: value for name, value in found.items() if value}


def notes_of(needs: Needs, place: StackPlace) -> list[str]:
    """What a reader has to do or to fill in."""
    notes = list(needs.notes)
    here, others = _workspaces(needs, place)
    if others and not here:
        regions = ", ".join(dict.fromkeys(arn.split(":")[3] for arn in others))
        notes.append(
            f"the stack is in {place.region} and the workspace in {regions}: deploy there (AWS_REGION), or the stack "
            "creates a workspace that this config does not use"
        )
    if place.account == ACCOUNT:
        notes.append(f"{ACCOUNT} stands for your account: --account 123456789012 fills it in")
    if list(_beside_template(needs, place)):
        name = _source_policy(place).rpartition("/")[2]
        notes.append(
            f"the template cannot know these statements; make the policy {name} first: pusher iam CONFIG --role "
            f"sources --document > {name}.json, then aws iam create-policy --policy-name {name} "
            f"--policy-document file://{name}.json"
        )
    if needs.secrets or needs.parameters or needs.config_object:
        notes.append("encrypted with a customer managed key? --kms-key ARN adds kms:Decrypt and KmsKeyArn")
    trust = "must trust the roles of both functions, with sts:AssumeRole and, for tags, sts:TagSession"
    return [*notes, *(f"{role} {trust}" for role in needs.roles)]


def _source_policy(place: StackPlace) -> str:
    return f"arn:{place.partition}:iam::{place.account}:policy/{place.stack}-sources"


# The roles of the template


def _workspaces(needs: Needs, place: StackPlace) -> tuple[str, list[str]]:
    """The workspace that becomes WorkspaceId ("" where the stack makes one), and the others."""
    here = [arn for arn in needs.workspaces if arn.split(":")[3] == place.region]
    first = here[0] if here else ""
    return first, [arn for arn in needs.workspaces if arn != first]


def _of_both(needs: Needs, place: StackPlace, kms_key: str) -> Iterator[Statement]:
    """PushPolicy of the template."""
    workspace = _workspaces(needs, place)[0] or place.arn("aps", f"workspace/{WORKSPACE}")
    yield _allow("WriteSamples", "aps:RemoteWrite", workspace)
    if needs.queries_workspace:
        yield _allow("AskForNewestSamples", "aps:QueryMetrics", workspace)
    if needs.spools_to_stack:
        yield from _reads_spool(Folder(SPOOL_BUCKET, ""), place)
    yield _allow("KeepFailedEvents", "sqs:SendMessage", place.arn("sqs", FAILURE_QUEUE))
    if needs.config_object:
        actions = ["s3:GetObject", "s3:GetObjectVersion"]
        yield _allow("ReadConfigObject", actions, needs.config_object, _of_account(place))
    if kms_key:
        services = [f"{one}.{place.region}.{place.suffix}" for one in ("secretsmanager", "ssm", "s3")]
        yield _allow("DecryptWhatIsRead", "kms:Decrypt", kms_key, {"StringEquals": {"kms:ViaService": services}})
    if needs.ec2:
        yield _allow("DiscoverInstances", EC2_ACTIONS, "*")
    if needs.ecs:
        yield _allow("DiscoverTasks", ECS_ACTIONS, "*")
    if needs.folders:
        yield from _reads_lists(needs.folders[0], place)


def _of_lists(needs: Needs) -> Iterator[Statement]:
    """The policies of the template that each have one list."""
    if needs.secrets:
        yield _allow("ReadSecrets", "secretsmanager:GetSecretValue", list(needs.secrets))
    if needs.parameters:
        yield _allow("ReadParameters", "ssm:GetParameter", list(needs.parameters))
    if needs.roles:
        yield _allow("AssumeRoles", ["sts:AssumeRole", "sts:TagSession"], list(needs.roles))


def _of_pusher(needs: Needs, place: StackPlace) -> Iterator[Statement]:
    yield _writes_logs("pusher", place)
    if needs.spools_to_stack:
        yield _writes_spool(Folder(SPOOL_BUCKET, ""), place)


def _of_operator(needs: Needs, place: StackPlace) -> Iterator[Statement]:
    workspace = _workspaces(needs, place)[0] or place.arn("aps", f"workspace/{WORKSPACE}")
    yield _writes_logs("operator", place)
    yield _allow("AskWorkspace", ["aps:DescribeWorkspaceConfiguration", "aps:QueryMetrics"], workspace)
    if needs.spools_to_stack:
        bucket = place.bucket(SPOOL_BUCKET)
        keys = [f"{bucket}/{key}" for key in _OPERATOR_KEYS]
        yield _allow("WriteOwnShard", ["s3:PutObject", "s3:DeleteObject"], keys, _of_account(place))
        yield _allow("WriteExports", "s3:PutObject", f"{bucket}/export/*", _of_account(place))


def _writes_logs(function: str, place: StackPlace) -> Statement:
    group = place.arn("logs", f"log-group:/aws/lambda/{place.stack}/{function}:*")
    return _allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], group)


# What the template cannot know


def _beside_template(needs: Needs, place: StackPlace) -> Iterator[Statement]:
    """Other workspaces, a spool of the user's own, a second bucket of target lists, and APIs of AWS."""
    _, others = _workspaces(needs, place)
    if others:
        yield _allow("WriteOtherWorkspaces", "aps:RemoteWrite", others)
    if needs.spool:
        yield from _reads_spool(needs.spool, place)
        yield _writes_spool(needs.spool, place)
    for index, folder in enumerate(needs.folders[1:], 2):
        yield from _reads_lists(folder, place, str(index))  # a Sid stands once in a policy
    for one in needs.of_sources:
        yield one | {"Resource": one["Resource"].replace(f":{ACCOUNT}:", f":{place.account}:")}


def _reads_spool(folder: Folder, place: StackPlace) -> Iterator[Statement]:
    bucket, own = place.bucket(folder.bucket), _of_account(place)
    keys = [f"{folder.prefix}{one}" for one in _SPOOL_PREFIXES]
    yield _allow("ReadSpool", "s3:GetObject", [f"{bucket}/{key}" for key in keys], own)
    yield _allow("ListSpool", "s3:ListBucket", bucket, {"StringLikeIfExists": {"s3:prefix": keys}} | own)


def _writes_spool(folder: Folder, place: StackPlace) -> Statement:
    keys = [f"{place.bucket(folder.bucket)}/{folder.prefix}{one}" for one in _SPOOL_PREFIXES]
    return _allow("WriteSpool", ["s3:PutObject", "s3:DeleteObject"], keys, _of_account(place))


def _reads_lists(folder: Folder, place: StackPlace, index: str = "") -> Iterator[Statement]:
    bucket, own = place.bucket(folder.bucket), _of_account(place)
    below = {"StringLike": {"s3:prefix": f"{folder.prefix}*"}}
    yield _allow(f"ReadTargetFiles{index}", "s3:GetObject", f"{bucket}/{folder.prefix}*", own)
    yield _allow(f"ListTargetFiles{index}", "s3:ListBucket", bucket, below | own)


def _of_account(place: StackPlace) -> dict[str, Any]:
    """A bucket is known by its name alone, which any account may take once it is free."""
    return {"StringEquals": {"aws:ResourceAccount": place.account}}


def _allow(sid: str, action: object, resource: object, condition: Mapping[str, Any] | None = None) -> Statement:
    found = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return found | ({"Condition": dict(condition)} if condition else {})
