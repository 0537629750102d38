"""Build the environment in a folder, unless what is there works: ``environment.py .venv``.

What is there counts as working if its Python and pip run and its stamp says that it was built
whole, in this folder, from these files. Python 3.6 can read this file, so that one that is too
old is told so.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = (3, 11), (3, 13)
FILES = ("pyproject.toml", "constraints.txt", "requirements.lock", "requirements-source.lock")
STAMP = ".ready"
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
LOCKED = ("--require-hashes", "--no-deps", "--requirement")
REST = ("--constraint", "constraints.txt", "--editable", ".[cluster,dev]")
NO_FILE = "No matching distribution found for "
OTHER_BYTES = "DO NOT MATCH THE HASHES"


def main() -> None:
    """Build, if need be. ``--exactly``: with the Python that runs this, no other."""
    venv, exactly = Path(sys.argv[1]).absolute(), "--exactly" in sys.argv
    why = fault(venv, exactly=exactly)
    if why is None and stamp(venv) == wanted(venv):
        return
    check_python()
    if why is not None:
        print(f"building {venv.name}: {why}")
        # The base interpreter: the one in the folder may be what is to be replaced.
        base = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([base, "-m", "venv", "--clear", str(venv)], check=True)
    python = str(venv / "bin/python")
    (venv / STAMP).unlink(missing_ok=True)
    install(python)
    subprocess.run([python, "tools/vega.py"], check=True, cwd=str(ROOT))
    (venv / STAMP).write_text(json.dumps(wanted(venv)))  # last: what is interrupted is done again


def install(python: str) -> None:
    """Install what the lock files hold by checksum, then what they leave to the constraints.

    What is built is built with what is locked. Where a platform has no wheel of a package, all is
    left to the constraints, but for continuous integration.
    """
    done = subprocess.run(
        [python, *PIP, *LOCKED, "requirements.lock"], stderr=subprocess.PIPE, cwd=str(ROOT)
    )
    said = done.stderr.decode(errors="replace")
    if done.returncode == 0:
        built = ("--no-build-isolation", "--use-pep517")
        subprocess.run(
            [python, *PIP, *built, *LOCKED, "requirements-source.lock"], check=True, cwd=str(ROOT)
        )
        subprocess.run([python, *PIP, built[0], *REST], check=True, cwd=str(ROOT))
        return
    if OTHER_BYTES in said:
        sys.exit(
            f"{said}\nrequirements.lock has other checksums than what pip was given: another build "
            "of the same version, or a forged one. Take packages from PyPI (unset PIP_INDEX_URL)."
        )
    if NO_FILE not in said or os.environ.get("CI"):
        sys.exit(f"{said}\nThe environment could not be built from requirements.lock.")
    missing = said.split(NO_FILE)[1].split()[0]
    print(f"no wheel of {missing} for this platform: by version from constraints.txt, unchecked")
    subprocess.run([python, *PIP, *REST], check=True, cwd=str(ROOT))


def check_python() -> None:
    """Say clearly when this Python cannot run the project, before pip says it unclearly."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            f"Python {sys.version.split()[0]} cannot run world-models: it needs 3.11, 3.12 or "
            "3.13. Name one: make setup PYTHON=python3.12"
        )
    if sys.platform == "win32":
        sys.exit("world-models runs on Linux and macOS. On Windows: use WSL 2.")


def fault(venv: Path, *, exactly: bool) -> "str | None":
    """Why the environment has to be made anew; None if it has not.

    Args:
        venv: its folder.
        exactly: whether its Python has to be of the version that runs this.
    """
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(venv / "bin/python"), "-c", code], stdout=-1, stderr=-1, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "there is none yet, or it is not whole"
    found, mine = done.stdout.decode().strip(), "{}.{}".format(*sys.version_info[:2])
    if exactly and found != mine:
        return f"it has Python {found}, and {mine} was asked for"
    if stamp(venv).get("folder", str(venv)) != str(venv):
        return "it was built in {}, and its commands name that".format(stamp(venv)["folder"])
    return None


def stamp(venv: Path) -> "dict[str, str]":
    """What the environment was built as; empty if it never was, as a whole."""
    try:
        found = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def wanted(venv: Path) -> "dict[str, str]":
    """What the stamp has to say."""
    content = b"".join((ROOT / name).read_bytes() for name in FILES)
    return {"folder": str(venv), "files": hashlib.sha256(content).hexdigest()}


if __name__ == "__main__":
    main()
