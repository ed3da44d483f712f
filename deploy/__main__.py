"""`make deploy`. The variables of its command line come by the environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from lambda_remote_write.config.env_vars import read_env_vars

from . import preflight, stack, template
from .cloud import connect, sentences
from .deployment import Deployment
from .errors import FAILED, DeployError
from .lock import alone
from .programs import Programs
from .rollout import roll_out
from .settings import settings
from .shell import Shell, this_shell
from .upload import upload

INTERRUPTED = 130


def deploy(env_vars: Mapping[str, str], shell: Shell) -> int:
    """The exit status. Raises DeployError."""
    known = template.parameters()
    wanted = settings(env_vars, known, shell.is_terminal)
    with alone(wanted.stack, shell.build), sentences():
        cloud = connect(env_vars, shell.session)
        shell.say(f"account {cloud.account} ({cloud.arn}), region {cloud.region}, stack {wanted.stack}")
        found = stack.describe(cloud, wanted.stack)
        stack.check(cloud, found)
        deployment = Deployment(wanted, cloud, found, known, Programs(env_vars, shell.build, shell.run), shell)
        preflight.place(deployment)
        preflight.config(deployment)
        changes = preflight.parameter_changes(deployment)
        if wanted.config and deployment.in_s3 and not changes.values and not found.is_new:
            return upload(deployment)
        return roll_out(deployment, changes)


def main() -> int:
    """The exit status: 1 when something failed, 2 when something given is wrong."""
    try:
        return deploy(read_env_vars(), this_shell())
    except DeployError as error:
        print(f"make deploy: {error}", file=sys.stderr)
        return error.status
    except OSError as error:  # a folder that may not be written, a full disk, a program that cannot be run
        print(f"make deploy: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            "make deploy: interrupted. CloudFormation goes on with what it has started; run it again to see.",
            file=sys.stderr,
        )
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
