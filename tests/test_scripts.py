"""The shell scripts: clean under shellcheck, and install_deps.sh in every situation it may meet.

apt-get is a pretended one that notes what it was asked for; nothing is installed.
"""
import os
import shutil
import subprocess

import pytest

from conftest import ROOT

INSTALL = ROOT / "scripts/install_deps.sh"
BUILD = ["g++", "make", "openmpi-bin", "libopenmpi-dev", "libpng-dev"]
EVERYWHERE = ["bash", "cat", "dirname", "env", "grep", "mktemp", "nproc", "rm", "sed", "tail"]


def scripts():
    found = [*ROOT.glob("scripts/*.sh"), *ROOT.glob("scripts/*/*.sh"), ROOT / ".ci/run"]
    assert INSTALL in found and len(found) >= 5
    return found


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_shellcheck():
    done = subprocess.run(["shellcheck", *scripts()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.name)
def test_executable(script):
    assert os.access(script, os.X_OK)


class Machine:
    """A machine that has nothing but a few commands: a folder that is the whole PATH."""

    def __init__(self, folder):
        self.folder = folder
        for name in EVERYWHERE:
            (folder / name).symlink_to(shutil.which(name))
        self.add("id", "echo 1000")  # not root
        self.calls = folder / "apt-calls"
        self.calls.write_text("")

    def add(self, name, body):
        (self.folder / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
        (self.folder / name).chmod(0o755)

    def add_apt(self, body="true"):
        """Root, and an apt-get that notes its arguments, then runs `body`."""
        self.add("id", "echo 0")
        self.add("tee", "cat > /dev/null")  # no policy file is written
        self.add("chmod", "true")
        self.add("apt-get", f'echo "$*" >> {self.calls}\n{body}')

    def installed(self):
        """What apt-get was asked to install, a list of packages for each call."""
        calls = [line.split() for line in self.calls.read_text().splitlines()]
        return [[word for word in words[words.index("install"):] if word in BUILD]
                for words in calls if "install" in words]

    def run(self, *command):
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd="/",
                              stdin=subprocess.DEVNULL, env={"PATH": str(self.folder), "LC_ALL": "C"})


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_list(machine):
    done = machine.run(INSTALL, "--list")
    assert (done.returncode, done.stdout.split()) == (0, BUILD)
    test = machine.run(INSTALL, "--list", "test").stdout.split()
    assert {"libgtest-dev", "python3-pytest", "python3-numpy", "slurmctld"} <= set(test)
    assert not set(test) & set(BUILD)
    assert machine.run(INSTALL, "--list", "build", "test").stdout.split() == BUILD + test


def test_help_and_wrong_usage(machine):
    assert "--list" in machine.run(INSTALL, "--help").stdout
    done = machine.run(INSTALL, "everything")
    assert done.returncode == 2 and "'everything' is no group" in done.stderr


def test_silent_where_nothing_is_missing(machine):
    for name in ("make", "mpirun", "mpicxx"):
        machine.add(name, "exit 1")
    machine.add("g++", 'case $1 in -dumpversion) echo 12 ;; *) cat > /dev/null ;; esac')
    machine.add_apt()
    done = machine.run(INSTALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.installed() == []


def test_too_old_a_compiler_is_missing(machine):
    machine.add("g++", 'case $1 in -dumpversion) echo 10 ;; *) cat > /dev/null ;; esac')
    done = machine.run(INSTALL)
    assert done.returncode == 0 and "Missing here: g++ make " in done.stderr


def test_without_apt(machine):
    done = machine.run(INSTALL)
    assert done.returncode == 0
    assert f"Missing here: {' '.join(BUILD)} " in done.stderr and "no apt-get" in done.stderr


def test_without_root(machine):
    machine.add("apt-get", f"echo called >> {machine.calls}")
    done = machine.run(INSTALL)
    assert done.returncode == 0
    assert f"Missing here: {' '.join(BUILD)} " in done.stderr and "you are not root" in done.stderr
    assert machine.calls.read_text() == ""


def test_with_sudo(machine):
    machine.add_apt()
    machine.add("id", "echo 1000")
    machine.add("sudo", 'shift; "$@"')
    done = machine.run(INSTALL)
    assert (done.returncode, done.stdout) == (0, f"Installing: {' '.join(BUILD)}\n")
    assert machine.installed() == [BUILD]


def test_installs_only_what_is_missing(machine):
    machine.add("make", "exit 1")
    machine.add("mpirun", "exit 1")
    machine.add_apt()
    done = machine.run(INSTALL, "build")
    wanted = [package for package in BUILD if package not in ("make", "openmpi-bin")]
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Installing: {' '.join(wanted)}\n", "")
    assert machine.installed() == [wanted]
    assert "-y" in machine.calls.read_text().split()


def test_apt_fails(machine):
    machine.add_apt('echo "E: Unable to fetch some archives"; exit 100')
    done = machine.run(INSTALL)
    assert done.returncode == 1
    assert f"could not install {' '.join(BUILD)}." in done.stderr
    assert "E: Unable to fetch some archives" in done.stderr


def test_one_package_that_cannot_be_had_keeps_no_other_away(machine):
    machine.add_apt('case " $* " in *" libpng-dev "*) echo "E: Unable to locate package libpng-dev"; exit 100 ;; esac')
    done = machine.run(INSTALL)
    assert done.returncode == 1
    assert "could not install libpng-dev." in done.stderr
    assert machine.installed() == [BUILD] + [[package] for package in BUILD]


@pytest.mark.parametrize("status", [0, 1])
def test_what_comes_from_pypi_goes_into_a_virtual_environment(status, machine, tmp_path_factory):
    """Without root too. python3 is a pretended one that makes a pretended .venv, whose pip notes what it was asked for."""
    root = tmp_path_factory.mktemp("clone")
    (root / "scripts").mkdir()
    script = shutil.copy(INSTALL, root / "scripts")
    pip = f'case $1 in -c) exit 1 ;; esac; echo "$*" >> {machine.calls}; echo its words >&2; exit {status}'
    machine.add("mkdir", f'exec {shutil.which("mkdir")} "$@"')
    machine.add("chmod", f'exec {shutil.which("chmod")} "$@"')
    machine.add("python3", f"[ \"$1\" = -c ] && exit 0; mkdir -p $3/bin\n"
                           f"echo '#!/bin/bash\n{pip}' > $3/bin/python; chmod 755 $3/bin/python")
    done = machine.run(script, "convert", "peers")
    assert (done.returncode, "its words" in done.stderr) == (status, status != 0)
    assert done.stdout == "Installing into .venv: onnx onnxruntime pytest pytest-xdist safetensors torch openvino\n"
    assert machine.calls.read_text().split()[-7:] == done.stdout.split()[-7:]


@pytest.mark.parametrize("script", ["run.sh", "test.sh"])
def test_no_compiler_to_be_had(machine, script):
    done = machine.run(ROOT / "scripts" / script)
    assert done.returncode == 1
    assert "Missing here: g++ make " in done.stderr and "nothing can be built without it" in done.stderr
