"""A new config for a stack that reads it from S3 and stays as it is."""

from __future__ import annotations

from . import config_object, next_steps
from .deployment import Deployment


def upload(deployment: Deployment) -> int:
    """Asks, and puts the config in place of the one that is there. The exit status. Raises DeployError, ClientError and
    BotoCoreError."""
    wanted, shell, location = deployment.settings, deployment.shell, deployment.in_s3
    code_stays = f"The code stays as it is: make deploy STACK={wanted.stack} deploys that of this checkout."
    before = config_object.read(deployment.cloud, location)
    if before.content == deployment.content:
        shell.say(f"{location} has this config already. {code_stays}")
        return 0
    shell.say(f"the config changes, the stack does not: {wanted.config} -> {location}")
    if not (wanted.yes or shell.confirmed(f"Upload it for {wanted.stack}?")):
        shell.say("Nothing was uploaded.")
        return 0
    since = shell.now()
    config_object.write(deployment.cloud, before, deployment.content, shell.say)
    shell.say(code_stays)
    return next_steps.show(deployment, deployment.stack, since)
