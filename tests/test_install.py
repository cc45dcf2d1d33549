"""What comes with an installation: manual pages, bash completion, the Debian package."""
import re
import shutil

import pytest
from conftest import ROOT, ran, run

PROGRAMS = ["facegen_seq", "facegen_parallel", "compare_result"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_manual_page_says_what_help_says(program):
    page = run("scripts/man_page.sh", f"./{program}", "1.2.3").stdout.decode()
    text = run(f"./{program}", "--help").stdout.decode()
    assert page.startswith(f".TH {program.upper()} 1") and '"facegen 1.2.3"' in page
    plain = page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    for word in text.replace("Usage:", "").replace("Example:", "").replace("Exit status:", "").split():
        assert word in plain, word
    known = {".TH", ".SH", ".B", ".PP", ".TP"}
    assert {line.split()[0] for line in page.splitlines() if line.startswith(".")} <= known
    if shutil.which("man"):
        shown = ran("man", "-l", "--warnings", "-", input=page.encode())
        assert shown.stderr == b"", shown.stderr


def test_examples_work_where_it_is_installed(tmp_path):
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/share/facegen").mkdir(parents=True)
    for name in ("network.bin", "inputs/input1.txt"):
        shutil.copy(ROOT / name, tmp_path / "usr/share/facegen")
    for program in ("facegen_seq", "facegen_parallel"):
        shutil.copy(ROOT / program, tmp_path / "usr/bin")
        text = run(tmp_path / "usr/bin" / program, "--help").stdout.decode()
        [command] = re.findall(rf"^Example:\n  ({program} .*)$", text, re.M)
        page = run("scripts/man_page.sh", f"./{program}", "1.2.3", tmp_path / "usr").stdout.decode().replace("\\-", "-")
        assert f"\n{command}\n" in page
        assert run("sh", "-c", f"PATH={tmp_path}/usr/bin:$PATH {command}", cwd=tmp_path).returncode == 0
        for variable in ("TMPDIR", "FACEGEN_CPU", "OMP_NUM_THREADS"):
            assert f".B {variable}" in page
    shutil.copy(ROOT / "compare_result", tmp_path / "usr/bin")
    (tmp_path / "output1.txt").rename(tmp_path / "answer1.txt")  # of the one program, beside the other's
    assert run("sh", "-c", f"PATH={tmp_path}/usr/bin:$PATH {command}", cwd=tmp_path).returncode == 0
    [command] = re.findall(r"^Example:\n  (compare_result .*)$", run("./compare_result", "--help").stdout.decode(), re.M)
    assert run("sh", "-c", f"PATH={tmp_path}/usr/bin:$PATH {command}", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_completion_offers_every_option(program):
    text = run(f"./{program}", "--help").stdout.decode()
    options = sorted(set(re.findall(r"^ +(?:-., )?(--[a-z]+)", text, re.M)))
    assert options
    script = f"""source scripts/completion.bash
        COMP_WORDS=(./{program} --) COMP_CWORD=1; _facegen; printf '%s\\n' "${{COMPREPLY[@]}}" """
    assert sorted(run("bash", "-c", script).stdout.decode().split()) == options


def test_completion_of_values_and_files():
    script = """source scripts/completion.bash
        COMP_WORDS=(./facegen_parallel --devices n) COMP_CWORD=2; _facegen; echo "${COMPREPLY[@]}"
        COMP_WORDS=(./facegen_parallel netw) COMP_CWORD=1; _facegen; echo "${COMPREPLY[@]}" """
    devices, files = run("bash", "-c", script).stdout.decode().splitlines()
    assert devices == "none"
    assert "network.bin" in files.split()


def test_install_and_uninstall(tmp_path):
    """DESTDIR and PREFIX may hold spaces; nothing is left behind."""
    place = [f"DESTDIR={tmp_path}/a stage", "PREFIX=/my programs"]
    ran("make", "install", *place)
    home = tmp_path / "a stage/my programs"
    for program in PROGRAMS:
        assert run(home / "bin" / program, "--version").returncode == 0
        assert (home / "share/man/man1" / f"{program}.1").stat().st_size > 500
        assert (home / "share/bash-completion/completions" / program).exists()
    noise, network = home / "share/facegen/input1.txt", home / "share/facegen/network.bin"
    done = ran(home / "bin/facegen_parallel", network, noise, tmp_path / "o.txt", tmp_path / "o.bmp")
    assert (tmp_path / "o.bmp").exists()
    assert run("make", "uninstall", *place).returncode == 0
    assert not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb here")
def test_debian_package(tmp_path):
    done = ran("make", "-s", "deb")
    package = ROOT / done.stdout.decode().split()[-1]
    try:
        fields = run("dpkg-deb", "--field", package).stdout.decode()
        files = run("dpkg-deb", "--contents", package).stdout.decode()
    finally:
        package.unlink()
    depends = re.search(r"^Depends: (.*)", fields, re.M)[1]
    assert "libc6" in depends and "libstdc++6" in depends
    assert ("openmpi-bin" in depends or "mpich" in depends) == ("MPI" in run("./facegen_parallel", "--version").stdout.decode()
                                                               .replace("no MPI", ""))
    for name in ("usr/bin/facegen_parallel", "usr/share/man/man1/facegen_seq.1", "usr/share/facegen/network.bin"):
        assert f"./{name}\n" in files
