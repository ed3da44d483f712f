"""Which licences may be shipped, and how what METADATA says is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import Refused
from release.licences import report, spdx
from release.packages import Package, packages_in

METADATA = "Metadata-Version: 2.4\nName: Some.Package\nVersion: 1.0\n"


def read(folder: Path, lines: str) -> Package:
    info = folder / "some_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA + lines)
    (package,) = packages_in(folder)
    return package


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("License-Expression: MIT\n", "MIT", id="expression"),
        pytest.param("License-Expression: Apache-2.0 AND BSD-2-Clause\n", "Apache-2.0 AND BSD-2-Clause", id="of two"),
        pytest.param("License: 3-Clause BSD License\n", "BSD-3-Clause", id="field"),
        pytest.param("Classifier: License :: OSI Approved :: MIT License\n", "MIT", id="classifier"),
        pytest.param(
            "License: Dual License\nClassifier: License :: OSI Approved :: BSD License\n"
            "Classifier: License :: OSI Approved :: Apache Software License\n",
            "BSD-3-Clause OR Apache-2.0",
            id="either",
        ),
    ],
)
def test_what_metadata_says_is_one_expression(tmp_path: Path, lines: str, expected: str) -> None:
    package = read(tmp_path, lines)
    assert (package.name, package.version, spdx(package)) == ("some-package", "1.0", expected)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param("License-Expression: GPL-3.0-only\n", "is under 'GPL-3.0-only', which", id="another"),
        pytest.param("License-Expression: MIT AND GPL-3.0-only\n", "is under 'GPL-3.0-only'", id="one of two"),
        pytest.param(
            "License: Proprietary\nClassifier: License :: OSI Approved :: MIT License\n", "'Proprietary'", id="also"
        ),
        pytest.param("", "names no licence", id="none"),
        pytest.param("License: Dual License\n", "names no licence", id="dual, unnamed"),
    ],
)
def test_another_licence_makes_no_report(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        report([read(tmp_path, lines)], [])
    assert "some-package 1.0" in str(refused.value)
    assert message in str(refused.value)
