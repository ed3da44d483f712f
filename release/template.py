"""The template for CloudFormation's console: its code is in a bucket of the user, under the names of the release."""

from __future__ import annotations

import re

_PARAMETERS = """Parameters:
  ArtefactBucket:
    Type: String
    AllowedPattern: ^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$
    ConstraintDescription: is the name of a bucket in this region
    Description: The bucket in this region to which you uploaded the files of the release.
  ArtefactPrefix:
    Type: String
    Default: ""
    AllowedPattern: ^([^/].*/)?$
    ConstraintDescription: is empty, or ends with a slash
    Description: The folder of that bucket with the files, as lambda-remote-write/. Empty is the bucket itself.
"""
_GROUP = """    ParameterGroups:
      - Label: {default: Files of the release}
        Parameters: [ArtefactBucket, ArtefactPrefix]
"""


def zip_name(version: str, arch: str, python: str) -> str:
    """Of the functions' code for a processor and a runtime as the template's parameters name them."""
    return f"lambda-remote-write-{version}-{arch}-{python}.zip"


def state_machine_name(version: str) -> str:
    return f"lambda-remote-write-{version}-backfill.asl.json"


def packaged(template: str, version: str) -> str:
    """The template with the places of the code. Raises ValueError when it does not have what is replaced."""
    code = zip_name(version, "${Architecture}", "${Runtime}")
    changes = (
        (r"^Parameters:\n", _PARAMETERS),
        (r"^    ParameterGroups:\n", _GROUP),
        (r"^    CodeUri: \.\n", f"    CodeUri:{_place(code, 6)}"),
        (r"^      DefinitionUri: \S+\n", f"      DefinitionUri:{_place(state_machine_name(version), 8)}"),
        (r"^    Metadata:\n      BuildMethod: makefile\n", ""),
    )
    for pattern, text in changes:
        template, count = re.subn(pattern, text.replace("\\", r"\\"), template, flags=re.MULTILINE)
        if not count:
            raise ValueError(f"template.yaml has no {pattern!r}")
    return template


def _place(key: str, indent: int) -> str:
    line = "\n" + " " * indent
    return f"{line}Bucket: !Ref ArtefactBucket{line}Key: !Sub ${{ArtefactPrefix}}{key}\n"
