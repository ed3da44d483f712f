"""The rules in template.yaml, made from rules/pusher.yaml. `make rules` writes them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = ROOT / "rules" / "pusher.yaml"
TEMPLATE = ROOT / "template.yaml"
_DATA = re.compile(
    r"(    Type: AWS::APS::RuleGroupsNamespace\n(?:.+\n)*?      Data: !Sub \|\n)((?:        .*\n|\n)*?)(?=\n  #)"
)


def block() -> str:
    """The value of Data: without the comment at its head, and links to where the stack says that the runbooks are."""
    rules = RULES.read_text().partition("groups:\n")
    if "${" in rules[2]:
        raise ValueError(f"{RULES.name} has ${{, which CloudFormation would replace")
    text = "".join(rules[1:]).replace("runbook_url: docs/runbooks/", "runbook_url: ${RunbookUrl}/")
    return re.sub(r"^(?=.)", " " * 8, text, flags=re.MULTILINE)


def written(template: str) -> str:
    """The template with the rules as they are now."""
    found, count = _DATA.subn(lambda match: match[1] + block(), template)
    if count != 1:
        raise ValueError("template.yaml has no AWS::APS::RuleGroupsNamespace whose last property is Data: !Sub |")
    return found


if __name__ == "__main__":
    TEMPLATE.write_text(written(TEMPLATE.read_text()))
