#!/bin/bash
# Packs the hand-in: shpcXXX_project.zip = report.pdf, which names its author, + the source directory, without network,
# pictures and large files.
#
#   scripts/submission.sh shpc123 ["Your Name"]          (or: make submission ID=shpc123 NAME="Your Name")
#
# Packed is what git has, as it lies here; where this is no checkout, what the same rules leave of the files.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac

fail() { echo "submission.sh: $1" >&2; exit "${2:-1}"; }
id=${1:-} name=${2:-}
[[ $id =~ ^shpc[0-9]{3}$ ]] ||
  fail "ID='$id' is no course account: expected shpc and three digits, as in 'make submission ID=shpc123'" 2
command -v python3 > /dev/null || fail "there is no python3 here, which packs the file: install it"

# ---- The report, with its author
report=$(mktemp --suffix=.pdf)
trap 'rm -f "$report"' EXIT
scripts/install_deps.sh report || true
for python in python3 /usr/bin/python3 none; do
  [ "$python" = none ] || ! "$python" -c 'import matplotlib, weasyprint' 2> /dev/null || break
done
if [ "$python" != none ] && command -v pandoc > /dev/null; then
  "$python" report/build.py --author "${name:+$name, }$id" --pdf "$report"
elif [ -s report/report.pdf ]; then
  cp report/report.pdf "$report"
  echo "submission.sh: warning: report.pdf names no author: pandoc, weasyprint and matplotlib are not all here" >&2
else
  fail "there is no report/report.pdf, and pandoc, weasyprint and matplotlib, which make it, are not all here"
fi

python3 - "$id" "$report" <<'END'
import pathlib, posixpath, re, subprocess, sys, zipfile

identity, report = sys.argv[1:]
target = pathlib.Path(f"{identity}_project.zip")
LARGEST = 1 << 20
LEFT_OUT = {".bin", ".bmp", ".png", ".npy", ".pdf", ".zip", ".deb", ".a", ".o"}
FOLDERS = ("answers/", "build/", ".git/", ".venv/")  # answers are made again by `make answers`
PROGRAMS = ("facegen_seq", "facegen_parallel", "facegen_custom", "compare_result")

listed = subprocess.run(["git", "ls-files", "-z", "--cached"], capture_output=True)
names = [name.decode() for name in listed.stdout.split(b"\0") if name] if listed.returncode == 0 else \
        [path.as_posix() for path in pathlib.Path().rglob("*")]
names = sorted(name for name in names if pathlib.Path(name).is_file() and not name.startswith(FOLDERS)
               and "__pycache__" not in name and pathlib.Path(name).suffix not in LEFT_OUT and name not in PROGRAMS
               and pathlib.Path(name).stat().st_size <= LARGEST)
folders = {parent.as_posix() for name in names for parent in pathlib.Path(name).parents}


def packed_page(name):
    """A page whose links all lead somewhere in the hand-in: what is left out loses its picture or link."""
    folder = "" if name == "report/how_fast.md" else posixpath.dirname(name)  # that one is a section of README.md

    def link(match):
        picture, text, place = match[1], match[2], match[3].partition("#")[0]
        path = posixpath.normpath(posixpath.join(folder, place))
        if "://" in place or not place or path in names or path in folders:
            return match[0]
        if path == "report/report.pdf":
            return f"[report.pdf]({posixpath.relpath('../report.pdf', folder or '.')})"
        return "" if picture else text

    page = pathlib.Path(name).read_text(encoding="utf-8")
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(!?)\[([^\[\]]*)\]\(([^()\s]*)\)", link, page))


def add(archive, name, data, mode=0o100644):
    """The same bytes for the same files: no times."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = mode << 16
    archive.writestr(entry, data)


with zipfile.ZipFile(target, "w") as archive:
    add(archive, "report.pdf", pathlib.Path(report).read_bytes())
    for name in names:
        data = packed_page(name).encode() if name.endswith(".md") else pathlib.Path(name).read_bytes()
        add(archive, f"facegen/{name}", data, 0o100755 if pathlib.Path(name).stat().st_mode & 0o100 else 0o100644)
print(f"{target}: report.pdf and {len(names)} files of the source directory facegen/, "
      f"{target.stat().st_size / 1024:.0f} KiB")
END
