"""What is checked before anything changes. What is wrong ends in a DeployError that says what to do."""

from __future__ import annotations

from dataclasses import replace

from . import config_file, config_object, parameters
from .deployment import Deployment
from .errors import DeployError, bad_usage
from .parameters import ParameterChanges

_TO_BE_CREATED = "ws-WORKSPACE"


def place(deployment: Deployment) -> None:
    """That the function will read this config."""
    wanted, location = deployment.settings, deployment.value("Config")
    if wanted.config is None:
        if not location:
            raise bad_usage(
                "CONFIG is missing: make deploy CONFIG=my.yaml. The packaged config.yaml is only an example"
            )
        return
    if location and not location.startswith("s3://") and not wanted.config_s3:
        name = location.removeprefix("ssm:")
        put = f"\n  aws ssm put-parameter --name {name} --overwrite --value file://{wanted.config}"
        raise bad_usage(
            f"the stack reads its config from {location}, and would not see {wanted.config}. Put it there, or deploy "
            f'it with the code: PARAMETERS="Config="{put if location != name else ""}'
        )


def config(deployment: Deployment) -> None:
    """`pusher check`, files that the function will not have, `pusher doctor`."""
    wanted, location, variables = deployment.settings, deployment.config, deployment.variables
    checked = variables | {"PUSHER_WORKSPACE": variables["PUSHER_WORKSPACE"] or _TO_BE_CREATED}
    config_file.check(deployment.programs, location, checked)
    missing = config_file.missing_files(location, {**deployment.programs.env_vars, **checked}) if wanted.config else []
    for sentence in missing:
        deployment.shell.say(f"not in the artefact: {sentence}")
    if missing and not wanted.force:
        raise bad_usage("the function would not find the files above. FORCE=1 deploys without them")
    # The spool and a workspace that the stack has created, or will create, the doctor learns from the stack.
    own = variables | {"PUSHER_WORKSPACE": deployment.value("WorkspaceId"), "PUSHER_SPOOL": ""}
    status = deployment.programs.pusher("doctor", location, "--stack", wanted.stack, **own)
    if status and not wanted.force:
        raise DeployError(
            "pusher doctor says above what to correct first. Nothing was deployed. FORCE=1 deploys all the same, as "
            "for targets that are reached from the function's VPC alone",
            status,
        )


def parameter_changes(deployment: Deployment) -> ParameterChanges:
    """Those of the command line, of CONFIG_S3, and what the config needs."""
    wanted, cloud = deployment.settings, deployment.cloud
    # A workspace that the stack has created is no parameter: with one, the stack would let go of it.
    variables = deployment.variables | {"PUSHER_WORKSPACE": deployment.value("WorkspaceId")}
    needs = parameters.needs(deployment.programs, deployment.config, cloud.account, wanted.stack, variables)
    if wanted.config_s3:
        there = {"Config": wanted.config_s3, "ConfigObjectArn": config_object.arn(cloud, wanted.config_s3)}
        needs = replace(needs, parameters={**needs.parameters, **there})
    found = parameters.changes(wanted, deployment.stack, deployment.known, needs)
    parameters.check_policies(cloud, found)
    return found
