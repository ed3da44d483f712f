"""The table of reasons in docs/operations.md, made from DropReason. `make docs` writes it."""

from __future__ import annotations

from pathlib import Path

from lambda_remote_write.model.drop_reasons import DropReason

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
_BEGIN = "<!-- reasons: written by make docs -->\n"
_END = "<!-- end of reasons -->\n"


def table() -> str:
    rows = [f"| `{reason}` | {reason.where} | {reason.meaning} |\n" for reason in DropReason]
    return "".join(["| reason | where | meaning |\n", "|---|---|---|\n", *rows])


def parts(page: str) -> tuple[str, str, str]:
    """The page before the table, the table, and the page after it."""
    before, begin, rest = page.partition(_BEGIN)
    found, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} lacks the comments around its table of reasons")
    return before + begin, found, end + after


if __name__ == "__main__":
    before, _, after = parts(PAGE.read_text())
    PAGE.write_text(before + table() + after)
