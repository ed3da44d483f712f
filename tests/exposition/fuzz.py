"""A fuzzer of the text formats, as a program: python -m tests.exposition.fuzz text|openmetrics [libFuzzer's options].

Whatever the bytes, reading them ends in samples or in a refusal, and a warm memory makes no difference to either.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["pusher.sources.exposition"]):
    from pusher.sources.exposition.lines import Wishes

from tests.exposition.rig import Target, pieces

WISHES = Wishes(exemplars=True)


def main(format_name: str, options: list[str]) -> None:
    def one(content: bytes) -> None:
        half, size = len(content) // 2, content[0] + 1 if content else 1
        cold, warm = Target(format_name, WISHES).read(content), Target(format_name, WISHES)
        assert warm.read(*pieces(content, size)) == cold, "in pieces"
        assert warm.read(content) == cold, "the second time"
        warm.read(content[:half] + content[half + 1 :])

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
