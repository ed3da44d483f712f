"""docs/parameters.md, made from template.yaml. `make docs` writes it."""

from __future__ import annotations

from pathlib import Path

from deploy.template import Group, Parameter, groups

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
_HEAD = """\
# Parameters

<!-- written by make docs, from template.yaml -->

Every parameter of the stack, in the order in which `sam deploy --guided` asks. All have a default that fits: set what
you need, and leave the others. [deploy.md](deploy.md) says how; what each allows the functions is in
[Permissions](operations.md#permissions-iam).
"""


def page() -> str:
    return "".join([_HEAD, *(_section(group) for group in groups())])


def _section(group: Group) -> str:
    rows = [_row(one) for one in group.parameters]
    return "".join(
        [f"\n## {group.label}\n\n", "| parameter | default | allowed | meaning |\n", "|---|---|---|---|\n", *rows]
    )


def _row(one: Parameter) -> str:
    default = f"`{one.default}`" if one.default else "empty"
    return f"| `{one.name}` | {default} | {_allowed(one)} | {_cell(one.description)} |\n"


def _allowed(one: Parameter) -> str:
    if one.allowed:
        return ", ".join(f"`{value}`" for value in one.allowed)
    if one.is_number:
        return f"{one.smallest} to {one.largest}"
    if one.is_list:
        return "a list, joined by commas"
    return _cell(one.constraint.removeprefix("is ")) if one.constraint else "text"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
