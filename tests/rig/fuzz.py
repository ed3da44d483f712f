"""A fuzzer of the text formats, as a program: python -m tests.rig.fuzz text|openmetrics [libFuzzer's options].

Whatever the bytes, reading them ends in samples or in a refusal, and a warm cache makes no difference to either.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["lambda_remote_write.exposition"]):
    from lambda_remote_write.exposition.line_parser import ParseOptions

from tests.rig.exposition import Target, pieces

OPTIONS = ParseOptions(exemplars=True)


def main(format_name: str, options: list[str]) -> None:
    def one(content: bytes) -> None:
        half, size = len(content) // 2, content[0] + 1 if content else 1
        cold, warm = Target(format_name, OPTIONS).read(content), Target(format_name, OPTIONS)
        assert warm.read(*pieces(content, size)) == cold, "in pieces"
        assert warm.read(content) == cold, "the second time"
        warm.read(content[:half] + content[half + 1 :])

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
