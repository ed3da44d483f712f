"""`make release`: builds what a release consists of, twice, signs it, dates the changelog and tags the commit.

Everything in build/release/ has the same bytes when the same commit is built again, with the same versions of Python.
"""

from __future__ import annotations


class Refused(Exception):
    """There is no release, for this reason. The message says what to do."""
