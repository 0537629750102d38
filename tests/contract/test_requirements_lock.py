"""pyproject.toml, constraints.txt and the lock files agree; what is installed is what they say."""

import re
from importlib.metadata import distributions

import pytest
from packaging.utils import canonicalize_name

import audit
import lock


def test_the_lock_files_hold_what_the_environment_needs_in_the_versions_of_the_constraints():
    assert list(lock.differences()) == []


def test_a_package_too_few_too_many_or_of_another_version_is_told(monkeypatch):
    found = lock.locked()
    changed = {**found, "numpy": "0.1", "requests-ntlm": "1.0"}
    del changed["scipy"]
    monkeypatch.setattr(lock, "locked", lambda: changed)
    said = "\n".join(lock.differences())
    assert "scipy is needed and in no lock file" in said
    assert "requests-ntlm is locked and not needed" in said
    assert "numpy is locked as 0.1" in said


def test_versions_lie_in_the_ranges_of_the_project_file():
    pins = lock.constraints()
    for asked in lock.roots():
        assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), asked


def test_every_locked_package_has_a_checksum():
    for path in (lock.WHEELS, lock.SOURCES):
        entries = re.split(r"\n(?=\w)", path.read_text(encoding="utf-8"))[1:]
        assert entries
        for entry in entries:
            assert re.search(r"^    --hash=sha256:[0-9a-f]{64}$", entry.split(" \\\n")[-1], re.M)


def test_what_is_not_locked_is_named_with_a_reason():
    unlocked = {canonicalize_name(asked.name) for asked in lock.roots()} - lock.locked().keys()
    assert unlocked == lock.UNLOCKED.keys()


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl", True),
        ("numpy-2.4.6-cp313-cp313-macosx_14_0_arm64.whl", True),
        ("numpy-2.4.6-cp313-cp313t-macosx_14_0_arm64.whl", False),
        ("numpy-2.4.6-cp314-cp314-manylinux_2_27_x86_64.whl", False),
        ("numpy-2.4.6-cp311-cp311-win_amd64.whl", False),
        ("cryptography-50.0.2-cp38-abi3-manylinux_2_28_x86_64.whl", True),
        ("cryptography-50.0.2-cp314-abi3-manylinux_2_28_x86_64.whl", False),
        ("six-1.17.0-py2.py3-none-any.whl", True),
        ("pip-0.1-py2-none-any.whl", False),
        ("numpy-2.4.6.tar.gz", False),
    ],
)
def test_wheels_of_our_pythons_and_platforms_are_locked(name, ours):
    assert lock.wheels([name]) == [name] * ours


@pytest.fixture
def installed(tmp_path):
    """A folder of packages with numpy in it, as pip leaves it."""
    packages = tmp_path / "site-packages"
    about = packages / f"numpy-{lock.constraints()['numpy']}.dist-info"
    about.mkdir(parents=True)
    (packages / "numpy.py").write_text("")
    (about / "METADATA").write_text(f"Name: numpy\nVersion: {lock.constraints()['numpy']}\n")
    checksum = audit.digest(packages / "numpy.py", "sha256")
    names = ["METADATA", "RECORD"]
    lines = [f"numpy.py,sha256={checksum},0", *(f"{about.name}/{name},," for name in names)]
    (about / "RECORD").write_text("\n".join(lines) + "\n")
    return packages


def faults(packages):
    found = list(distributions(path=[str(packages)]))
    return [*audit.versions(found), *audit.contents(found), *audit.strangers(found)]


def test_a_sound_environment_is_found_so(installed):
    assert faults(installed) == []


def test_a_file_that_was_changed_or_removed_since_is_found(installed):
    (installed / "numpy.py").write_text("import os")
    assert [line for line in faults(installed) if "numpy.py has other bytes" in line]
    (installed / "numpy.py").unlink()
    assert [line for line in faults(installed) if "numpy.py is gone" in line]


def test_a_file_that_no_package_brought_is_found(installed):
    (installed / "sitecustomize.py").write_text("")
    assert [line for line in faults(installed) if "sitecustomize.py belongs to no package" in line]


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [("numpy", "0.1", "constrained to"), ("requests-ntlm", "1.0", "neither locked nor")],
)
def test_a_package_that_was_not_asked_for_is_found(installed, name, version, why):
    about = next(installed.glob("*.dist-info"))
    (about / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    assert [line for line in faults(installed) if why in line]


def test_only_torch_and_what_it_alone_needs_have_no_checksum():
    others = {name for name in audit.unlocked() if not name.startswith(("nvidia-", "cuda-"))}
    assert others <= {"torch", "triton"}
