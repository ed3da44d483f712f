"""Signatures by OpenSSH, which who has git has: `ssh-keygen -Y`."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from . import Refused

NAMESPACE = "lambda-remote-write"
SIGNER = "maintainers"


def sign(file: Path, key: Path) -> Path:
    """Writes FILE.sig. The key may be a private key or the public key of one that ssh-agent holds. Raises Refused."""
    signature = file.with_name(f"{file.name}.sig")
    signature.unlink(missing_ok=True)
    _run(["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(file)], f"SIGNING_KEY={key} does not sign")
    return signature


def check(key: Path, allowed_signers: Path) -> None:
    """Whether a signature of this key counts, before anything is built. Raises Refused."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(b"")
        sign(file, key)
        verify(file, allowed_signers)


def verify(file: Path, allowed_signers: Path) -> None:
    """Raises Refused when the signature beside the file is of no key of the list."""
    command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed_signers), "-I", SIGNER, "-n", NAMESPACE]
    signature = file.with_name(f"{file.name}.sig")
    _run(
        [*command, "-s", str(signature)],
        f"the signature is of no key in {allowed_signers}: add the public key there as its comment says",
        file.read_bytes(),
    )


def _run(command: list[str], wrong: str, given: bytes = b"") -> None:
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise Refused(f"{command[0]} is not on PATH: OpenSSH has it") from None
    if done.returncode:
        raise Refused(f"{wrong} ({done.stderr.decode(errors='replace').strip() or done.stdout.decode().strip()})")
