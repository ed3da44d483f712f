"""What a config needs of AWS, read from the config alone, without a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from os.path import commonprefix
from typing import Any
from urllib.parse import urlsplit

from lambda_remote_write.aws.iam import ACCOUNT, ApiCall, Statement, statements
from lambda_remote_write.config.partitions import partition_of
from lambda_remote_write.config.remote_write import amp_host
from lambda_remote_write.config.schema import Config, Job, JsonJob, RemoteWriteConfig
from lambda_remote_write.config.sd_configs import S3_SCHEME, AwsSd, Ec2Sd, EcsSd, FileSd, HttpSd, JsonSd
from lambda_remote_write.config.secrets import Secret
from lambda_remote_write.discovery import static_groups
from lambda_remote_write.scrape.targets import targets_of

from ..stack_config import is_of_stack

_WORKSPACE = re.compile(r"/workspaces/(ws-[A-Za-z0-9-]+)/")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/.+", re.ASCII)
_WILDCARDS = re.compile(r"[*?\[\\]")
_PREFIX = re.compile(r"[\w!.'()/-]*", re.ASCII)  # what the template takes as DiscoveryPrefix
_WITH_SUFFIX = re.compile(r".+-[A-Za-z0-9]{6}")  # that Secrets Manager adds to a secret's name


@dataclass(frozen=True, slots=True)
class StackPlace:
    """Where the stack is, or will be."""

    region: str
    account: str = ACCOUNT
    stack: str = "lambda-remote-write"

    @property
    def partition(self) -> str:
        return partition_of(self.region).id

    @property
    def suffix(self) -> str:
        return partition_of(self.region).suffix

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        where = self.region if region is None else region
        return f"arn:{self.partition}:{service}:{where}:{self.account}:{resource}"

    def bucket(self, name: str) -> str:
        return f"arn:{self.partition}:s3:::{name}"


@dataclass(frozen=True, slots=True)
class Folder:
    """Keys of one bucket that begin with `prefix`."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Needs:
    """`workspaces` are ARNs that the role of a function itself writes to; `folders` have target lists. `spool` is a
    bucket of the user's own. `of_sources` and `of_others` are statements: for the APIs that the function asks itself,
    and, as `{role, statement, note}`, for the roles that it assumes."""

    workspaces: tuple[str, ...] = ()
    queries_workspace: bool = False
    secrets: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    ec2: bool = False
    ecs: bool = False
    folders: tuple[Folder, ...] = ()
    config: str = ""
    config_object: str = ""
    spools_to_stack: bool = True
    spool: Folder | None = None
    of_sources: tuple[Statement, ...] = ()
    of_others: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def needs_of(config: Config, location: str, place: StackPlace) -> Needs:
    """What both functions need for this config, which is read from `location`."""
    secrets = list(dict.fromkeys(references(config)))
    own, others, notes = _of_sources(config)
    spool = config.spool.location
    discovery = [one for job in config.jobs for one in job.discovery]
    of_function = [one for one in discovery if isinstance(one, AwsSd) and _asks_itself(one)]
    has_remote_config = location.startswith((S3_SCHEME, "ssm:"))
    in_ssm = [name.removeprefix("ssm:") for name in [*secrets, location] if name.startswith("ssm:")]
    return Needs(
        workspaces=tuple(dict.fromkeys(_workspaces(config, place))),
        queries_workspace=any(job.backfill for job in config.json_jobs),
        secrets=tuple(dict.fromkeys(_secret_arn(one, place) for one in secrets if one.startswith("secretsmanager:"))),
        parameters=tuple(dict.fromkeys(place.arn("ssm", f"parameter{_without_version(name)}") for name in in_ssm)),
        roles=tuple(dict.fromkeys(_roles(config))),
        ec2=any(isinstance(one, Ec2Sd) for one in of_function),
        ecs=any(isinstance(one, EcsSd) for one in of_function),
        folders=tuple(_folders(one for one in discovery if isinstance(one, FileSd))),
        config=location if has_remote_config else "",
        config_object=place.bucket(location.removeprefix(S3_SCHEME)) if location.startswith(S3_SCHEME) else "",
        spools_to_stack=not spool,
        spool=_folder_of(spool) if spool.startswith(S3_SCHEME) else None,
        of_sources=tuple(own),
        of_others=(*_of_endpoints(config, place), *_of_discovery(discovery), *others),
        notes=tuple(notes),
    )


def references(value: object) -> Iterator[str]:
    """The references of all secrets in a config, in order; a file's is `file:PATH`."""
    if isinstance(value, Secret):
        if value.reference or value.file:
            yield value.reference or f"file:{value.file}"
    elif isinstance(value, tuple | list):
        for item in value:
            yield from references(item)
    elif is_dataclass(value):
        for one in fields(value):
            yield from references(getattr(value, one.name))


def _asks_itself(config: AwsSd) -> bool:
    """Whether the function asks as its own role."""
    return not (config.role_arn or config.access_key or config.profile)


def workspace_of(endpoint: RemoteWriteConfig) -> tuple[str, str] | None:
    """Region and id of the AMP workspace that an endpoint writes to."""
    match = _WORKSPACE.search(urlsplit(endpoint.url).path)
    if not endpoint.is_amp or not match or endpoint.sigv4 is None:
        return None
    host = amp_host(endpoint.url)
    return (host.region if host else endpoint.sigv4.region), match[1]


def _workspaces(config: Config, place: StackPlace) -> Iterator[str]:
    for endpoint in config.endpoints:
        found, sigv4 = workspace_of(endpoint), endpoint.sigv4
        if found and sigv4 and not is_of_stack(endpoint) and not (sigv4.role_arn or sigv4.access_key or sigv4.profile):
            yield place.arn("aps", f"workspace/{found[1]}", found[0])


def _secret_arn(reference: str, place: StackPlace) -> str:
    """Secrets Manager adds a hyphen and six characters to the name; a reference may be an ARN, with them or without."""
    name = reference.removeprefix("secretsmanager:").partition("#")[0]
    if name.startswith("arn:"):
        return name if _WITH_SUFFIX.fullmatch(name) else f"{name}-??????"
    return place.arn("secretsmanager", f"secret:{name}-??????")


def _without_version(parameter: str) -> str:
    """The permission is on the parameter, whichever version or label of it is read."""
    return parameter.partition(":")[0]


def _roles(config: Config) -> Iterator[str]:
    """All that the config assumes, to write, to discover or to ask."""
    signed = [*(one.sigv4 for one in config.endpoints), *(one.sigv4 for one in config.servers)]
    yield from (sigv4.role_arn for sigv4 in signed if sigv4 and sigv4.role_arn)
    for job in config.jobs:
        if job.http.sigv4 and job.http.sigv4.role_arn:
            yield job.http.sigv4.role_arn
        for one in job.discovery:
            if isinstance(one, AwsSd) and one.role_arn:
                yield one.role_arn
            if isinstance(one, HttpSd | JsonSd) and one.http.sigv4 and one.http.sigv4.role_arn:
                yield one.http.sigv4.role_arn


def _folders(configs: Iterable[FileSd]) -> Iterator[Folder]:
    """For each bucket what its keys have in common, up to the first wildcard."""
    keys: dict[str, list[str]] = {}
    for config in configs:
        for file in config.files:
            if file.startswith(S3_SCHEME):
                bucket, _, key = file.removeprefix(S3_SCHEME).partition("/")
                keys.setdefault(bucket, []).append(_WILDCARDS.split(key)[0])
    for bucket, found in keys.items():
        match = _PREFIX.match(commonprefix(found))  # noqa: RUF071 - of keys, which know no folders
        yield Folder(bucket, match[0] if match else "")


def _folder_of(location: str) -> Folder:
    bucket, _, prefix = location.removeprefix(S3_SCHEME).partition("/")
    return Folder(bucket, f"{prefix.rstrip('/')}/" if prefix else "")


# What sources need, and roles that are assumed


def _of_sources(config: Config) -> tuple[list[Statement], list[Mapping[str, Any]], list[str]]:
    """Statements for the function's own role, those for other roles, and notes."""
    own, others, notes = list[Statement](), list[Mapping[str, Any]](), list(_other_receivers(config))
    for one in statements(_calls(config, notes)):
        if str(one["statement"]["Resource"]) in _roles(config):
            continue  # that the function may assume it is asked for with all roles
        if one["note"]:
            notes.append(f"{one['statement']['Action']}: {one['note']}")
        if one["role"].startswith("arn:"):
            others.append(one)
        else:
            own.append(one["statement"])
    return own, others, notes


def _other_receivers(config: Config) -> Iterator[str]:
    for endpoint in config.endpoints:
        sigv4 = endpoint.sigv4
        if sigv4 and sigv4.service != "aps" and not sigv4.role_arn:
            yield f"{endpoint.shown_name} is signed for {sigv4.service}: add what it needs to a policy of yours"


def _calls(config: Config, notes: list[str]) -> Iterator[ApiCall]:
    for job in config.jobs:
        yield from _calls_of(job, notes)
    for server in config.servers:
        if server.sigv4:
            client = replace(server.http, sigv4=server.sigv4)
            yield ApiCall("GET", f"{server.url.rstrip('/')}/api/v1/{server.read}", client)


def _calls_of(job: Job, notes: list[str]) -> Iterator[ApiCall]:
    """The requests of a job as far as the config has their addresses."""
    for one in job.discovery:
        if isinstance(one, JsonSd):
            yield ApiCall(one.method, one.url, one.http, one.body or "")
        elif isinstance(one, HttpSd):
            yield ApiCall("GET", one.url, one.http)
    if job.http.sigv4 is None:
        return
    method, body = (job.method, job.body or "") if isinstance(job, JsonJob) else ("GET", "")
    urls = [job.url] if isinstance(job, JsonJob) and job.url else []
    urls += [target.url for target in targets_of(job, static_groups(job.discovery)).active.values()]
    if isinstance(job, JsonJob) and job.backfill:
        urls.append(job.backfill.url)
    if not urls:
        notes.append(f"{job.job_name}: discovery finds what it asks with sigv4: pusher plan prints the statements")
    for url in urls:
        yield ApiCall(method, url, job.http, body)


def _of_endpoints(config: Config, place: StackPlace) -> Iterator[Mapping[str, Any]]:
    for endpoint in config.endpoints:
        found, sigv4 = workspace_of(endpoint), endpoint.sigv4
        if found and sigv4 and sigv4.role_arn:
            role = _ROLE.fullmatch(sigv4.role_arn)
            account = role[1] if role else ACCOUNT
            arn = replace(place, account=account).arn("aps", f"workspace/{found[1]}", found[0])
            yield _of_role(sigv4.role_arn, "aps:RemoteWrite", arn)


def _of_discovery(configs: Iterable[object]) -> Iterator[Mapping[str, Any]]:
    for config in configs:
        if isinstance(config, AwsSd) and config.role_arn:
            yield _of_role(config.role_arn, EC2_ACTIONS if isinstance(config, Ec2Sd) else ECS_ACTIONS, "*")


def _of_role(role: str, action: object, resource: str) -> Mapping[str, Any]:
    return {"role": role, "statement": {"Effect": "Allow", "Action": action, "Resource": resource}, "note": ""}


EC2_ACTIONS = ["ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"]
ECS_ACTIONS = [
    "ecs:ListClusters",
    "ecs:DescribeClusters",
    "ecs:DescribeServices",
    "ecs:ListTasks",
    "ecs:DescribeTasks",
    "ecs:DescribeContainerInstances",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
]
