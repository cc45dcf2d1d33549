#!/bin/bash
# Packs the hand-in: shpcXXX_project.zip = report.pdf + the source directory, without network, pictures and large files.
#
#   scripts/submission.sh shpc123        (or: make submission ID=shpc123)
#
# Packed is what git has, as it lies here; where this is no checkout, what the same rules leave of the files.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac

fail() { echo "submission.sh: $1" >&2; exit "${2:-1}"; }
id=${1:-}
[[ $id =~ ^shpc[0-9]{3}$ ]] ||
  fail "ID='$id' is no course account: expected shpc and three digits, as in 'make submission ID=shpc123'" 2
[ -s report/report.pdf ] || fail "there is no report/report.pdf: make it with 'make report'"
command -v python3 > /dev/null || fail "there is no python3 here, which packs the file: install it"

python3 - "$id" <<'END'
import pathlib, subprocess, sys, zipfile

identity = sys.argv[1]
target = pathlib.Path(f"{identity}_project.zip")
LARGEST = 1 << 20
LEFT_OUT = {".bin", ".bmp", ".png", ".npy", ".pdf", ".zip", ".deb"}
FOLDERS = ("answers/", "build/", ".git/")  # answers are made again by `make answers`

listed = subprocess.run(["git", "ls-files", "-z", "--cached"], capture_output=True)
names = [name.decode() for name in listed.stdout.split(b"\0") if name] if listed.returncode == 0 else \
        [path.as_posix() for path in pathlib.Path().rglob("*")]
names = sorted(name for name in names if pathlib.Path(name).is_file() and not name.startswith(FOLDERS)
               and "__pycache__" not in name and pathlib.Path(name).suffix not in LEFT_OUT
               and name not in ("facegen_seq", "facegen_parallel", "facegen_custom", "compare_result")
               and pathlib.Path(name).stat().st_size <= LARGEST)

def add(archive, source, name):
    """The same bytes for the same files: no times."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100755 if source.stat().st_mode & 0o100 else 0o100644) << 16
    archive.writestr(entry, source.read_bytes())

with zipfile.ZipFile(target, "w") as archive:
    add(archive, pathlib.Path("report/report.pdf"), "report.pdf")
    for name in names:
        add(archive, pathlib.Path(name), f"facegen/{name}")
print(f"{target}: report.pdf and {len(names)} files of the source directory facegen/, "
      f"{target.stat().st_size / 1024:.0f} KiB")
END
