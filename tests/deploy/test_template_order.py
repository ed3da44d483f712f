"""What `sam deploy --guided` asks, and the page of all parameters."""

from __future__ import annotations

import re

import pytest

from deploy.template import TEMPLATE, groups, parameters
from generate.parameters import PAGE, page

FIRST = [
    "WorkspaceId", "Interval", "Config", "SecretArns", "AlarmTopicArn", "GrafanaPrincipalArn", "Spool", "Ec2Discovery",
    "SubnetIds", "SecurityGroupIds",
]  # fmt: skip


def test_sam_asks_first_for_what_most_stacks_set() -> None:
    """It asks in the order of the section Parameters."""
    section = TEMPLATE.read_text().partition("\nParameters:\n")[2].partition("\nRules:\n")[0]
    asked = re.findall(r"^  (\w+):$", section, re.M)
    assert asked[: len(FIRST)] == FIRST
    assert asked == list(parameters())


def test_the_console_shows_them_in_the_same_order() -> None:
    shown = [one.name for group in groups() for one in group.parameters]
    assert shown == list(parameters())
    assert [one.name for one in groups()[0].parameters] == FIRST


def test_the_page_is_made_from_the_template() -> None:
    """`make docs` writes it."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", list(parameters()))
def test_each_parameter_has_a_row(name: str) -> None:
    assert re.search(rf"^\| `{name}` \| (`[^`]+`|empty) \| [^|]+ \| [^|]", PAGE.read_text(), re.M)


@pytest.mark.parametrize("name", list(parameters()))
def test_enter_fits(name: str) -> None:
    """The default is one that CloudFormation takes."""
    one = parameters()[name]
    assert one.refusal(one.default) == ""
