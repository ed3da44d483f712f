"""A fuzzer of the text formats, as a program: python -m tests.exposition.fuzz text|openmetrics [libFuzzer's options].

Whatever the bytes, reading them ends in samples or in a refusal, and a warm memory makes no difference to either.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["pusher.sources.exposition"]):
    from pusher.sources.exposition.lines import Wishes

from tests.exposition.reading import Target

WISHES = Wishes(exemplars=True)


def main(format_name: str, options: list[str]) -> None:
    def one(content: bytes) -> None:
        half, piece = len(content) // 2, content[0] + 1 if content else 1
        cold = Target().read(format_name, content, wishes=WISHES)
        warm = Target()
        assert warm.read(format_name, content, piece, WISHES) == cold, "in pieces"
        assert warm.read(format_name, content, wishes=WISHES) == cold, "the second time"
        warm.read(format_name, content[:half] + content[half + 1 :], wishes=WISHES)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
