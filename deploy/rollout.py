"""The stack is built and deployed, with the config in it or beside it in S3."""

from __future__ import annotations

from . import config_object, next_steps, parameters, programs, stack
from .config_object import ConfigObject
from .deployment import Deployment
from .errors import DeployError
from .parameters import ParameterChanges
from .stack import Stack


def roll_out(deployment: Deployment, found: ParameterChanges) -> int:
    """Builds, shows the changes, asks, deploys. The exit status. Raises DeployError, ClientError and BotoCoreError."""
    wanted, cloud, shell = deployment.settings, deployment.cloud, deployment.shell
    uploads = bool(wanted.config and deployment.in_s3)
    before = _config_in_s3(deployment) if uploads else None
    built_for = {name: deployment.value(name) for name in ("Architecture", "Runtime")}
    programs.build(deployment.programs, built_for, None if uploads else wanted.config)
    _show(deployment, found)
    since = shell.now()
    done = programs.deploy(deployment.programs, wanted.stack, cloud.region, found.values, asks=not wanted.yes)
    after = stack.describe(cloud, wanted.stack)
    if not done:
        raise DeployError(_failure(deployment, after))
    is_replaced = before is not None and before.etag != "" and before.content != deployment.content
    if not after.is_changed_from(deployment.stack):
        shell.say("The stack was not changed" + (", and the config was not uploaded." if is_replaced else "."))
        return 0
    if before and is_replaced:  # it may need what the stack allows only now
        config_object.write(cloud, before, deployment.content, shell.say)
    return next_steps.show(deployment, after, since)


def _config_in_s3(deployment: Deployment) -> ConfigObject:
    """As it is now; where there is none yet, it is put there first, because the first run needs it."""
    cloud, location = deployment.cloud, deployment.in_s3
    before = config_object.read(cloud, location)
    is_ours = location == deployment.stack.parameter("Config", "")
    if not before.etag:
        config_object.write(cloud, before, deployment.content, deployment.shell.say)
    elif not is_ours and before.content != deployment.content:
        raise DeployError(
            f"{location} has another config, which another stack may read. Look at it (aws s3 cp {location} -), and "
            "delete it or give another CONFIG_S3"
        )
    return before


def _show(deployment: Deployment, found: ParameterChanges) -> None:
    """What SAM's own table of changes does not say, and above all where they go."""
    wanted, before, cloud = deployment.settings, deployment.stack, deployment.cloud
    what = "create" if before.is_new else "update"
    place = (
        f"{wanted.config}, in the artefact" if wanted.config and not deployment.in_s3 else deployment.value("Config")
    )
    changed = parameters.lines(found, before, deployment.known)
    lines = [
        f"{what} {wanted.stack} in account {cloud.account}, {cloud.region}",
        f"config: {deployment.in_s3 or place}",
        "parameters:" if changed else "parameters: none changes",
        *changed,
        *(f"  note: {note}" for note in found.notes),
    ]
    for line in lines:
        deployment.shell.say(line)


def _failure(deployment: Deployment, after: Stack) -> str:
    if not after.is_changed_from(deployment.stack):
        stack.check(deployment.cloud, after)  # another deployment has begun meanwhile
        return "the deployment failed before it changed anything, as sam deploy says above"
    reason = stack.first_failure(deployment.cloud, after.name)
    return f"the deployment failed ({after.status}). What failed first: {reason or 'see the events above'}"
