#!/bin/bash
# Installs what facegen needs and this machine lacks. This is the one place that says what that is.
#
#   scripts/install_deps.sh [--list] [GROUP...]        groups: build (default), test, full, report, grade, convert, peers
#
# Says what it is going to install, and nothing where nothing is missing. --list only prints the packages of the groups.
# Where it may not install (no root, no apt) it says what is missing and exits 0: whatever is there is still built.
#
# Versions: the packages are Debian 12's, and a Debian release fixes them (g++ 12.2, OpenMPI 4.1.4, GoogleTest 1.12.1,
# pytest 7.2, SLURM 22.05); only security fixes change under the same version. What Debian lacks or has too old comes from
# PyPI, newest version, into .venv, which needs no root: for scripts/convert_network.py (convert) and bench/cpu_peers.py
# (peers). PyTorch takes some 5 GB there. What training needs is named by `scripts/train_network.py --help`.
# shellcheck disable=SC2317  # the probes are called by name
set -euo pipefail
cd "$(dirname "$0")/.."

# group | packages | how to see that they are there already, be it from packages or from a cluster's modules
dependencies() {
  cat <<'END'
build | g++            | has_compiler
build | make           | command -v make
build | openmpi-bin    | command -v mpirun
build | libopenmpi-dev | command -v mpicxx
build | libpng-dev     | has_header png.h
full  | clang          | command -v clang++
full  | g++-aarch64-linux-gnu | command -v aarch64-linux-gnu-g++
test  | git            | command -v git
test  | libgtest-dev   | has_header gtest/gtest.h
test  | locales        | [ -f /usr/share/i18n/locales/de_DE ]
test  | munge          | command -v munged
test  | procps         | command -v ps
test  | python3-numpy python3-pytest python3-pytest-xdist | has_modules numpy pytest xdist
full  | ccache         | command -v ccache
full  | kbuild         | command -v kmk_gmake
full  | libmpich-dev   | command -v mpicxx.mpich
full  | mpich          | command -v mpirun.mpich
full  | libclang-rt-14-dev | has_fuzzer
full  | qemu-user      | command -v qemu-aarch64
test  | shellcheck     | command -v shellcheck
test  | slurm-client   | command -v salloc
test  | slurmctld      | command -v slurmctld
test  | slurmd         | command -v slurmd
report | fonts-dejavu-extra | fc-list | grep Oblique
report | fonts-nanum        | fc-list :lang=ko | grep .
report | pandoc             | command -v pandoc
report | python3-matplotlib weasyprint | has_modules matplotlib weasyprint
grade | bubblewrap         | command -v bwrap
grade | python3-jinja2 python3-matplotlib python3-numpy python3-psutil python3-rich | has_modules jinja2 matplotlib numpy psutil rich
convert | python3-venv     | python3 -c 'import ensurepip'
convert | pip:onnx pip:onnxruntime pip:pytest pip:pytest-xdist pip:safetensors pip:torch | in_venv onnx onnxruntime pytest xdist safetensors torch
peers   | python3-venv     | python3 -c 'import ensurepip'
peers   | pip:onnx pip:onnxruntime pip:openvino pip:torch | in_venv onnx onnxruntime openvino torch
END
}

export PATH=$PATH:/usr/sbin:/sbin # daemons, for users whose PATH does not name them

has_compiler() { # GCC 11 is the first whose std::from_chars reads floating point
  local version
  version=$(g++ -dumpversion) && [ "${version%%.*}" -ge 11 ]
}
has_header() { echo "#include <$1>" | g++ -std=c++17 -E -x c++ - -o /dev/null; }
has_fuzzer() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer -x c++ - -o /dev/null
}
imports() { local IFS=,; echo "import $*"; }
has_modules() { # one Python that has them all: the first on PATH, or Debian's
  python3 -c "$(imports "$@")" || /usr/bin/python3 -c "$(imports "$@")"
}
in_venv() { .venv/bin/python -c "$(imports "$@")"; }

usage() { sed -n '2,/^set /{/^set /d;/shellcheck/d;s/^# \{0,1\}//;p}' "$0"; }

list_only=no
groups=()
for word in "$@"; do
  case $word in
    -h | --help) usage; exit 0 ;;
    --list) list_only=yes ;;
    build | test | full | report | grade | convert | peers) groups+=("$word") ;;
    *)
      echo "install_deps.sh: '$word' is no group: there are build, test, full, report, grade, convert and peers" >&2
      exit 2
      ;;
  esac
done
[ ${#groups[@]} -gt 0 ] || groups=(build)

missing=() # Debian's
wheels=()  # PyPI's
while IFS='|' read -r group packages probe; do
  [[ " ${groups[*]} " == *" ${group// /} "* ]] || continue
  if [ $list_only = no ] && eval "$probe" > /dev/null 2>&1; then continue; fi
  for package in $packages; do
    case $list_only,$package in
      yes,*) echo "$package" ;;
      *,pip:*) [[ " ${wheels[*]} " == *" ${package#pip:} "* ]] || wheels+=("${package#pip:}") ;;
      *) [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package") ;;
    esac
  done
done < <(dependencies)

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=no
as_root=()
finish() {
  rm -f "$log"
  [ "$made_policy" = no ] || "${as_root[@]}" rm -f "$policy"
}
trap finish EXIT

# ---- PyPI's
install_wheels() {
  [ ${#wheels[@]} -gt 0 ] || return 0
  echo "Installing into .venv: ${wheels[*]}"
  { [ -x .venv/bin/python ] || python3 -m venv .venv; } >> "$log" 2>&1 &&
    .venv/bin/python -m pip install -q --disable-pip-version-check "${wheels[@]}" >> "$log" 2>&1 && return 0
  echo "install_deps.sh: pip could not install ${wheels[*]} into .venv. Its last words:" >&2
  tail -n 5 "$log" >&2
  return 1
}
if [ ${#missing[@]} -eq 0 ]; then
  install_wheels
  exit
fi

# ---- May we install?
if ! command -v apt-get > /dev/null; then
  why="this is no Debian or Ubuntu (no apt-get)"
elif [ "$(id -u)" -eq 0 ]; then
  why=""
elif command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
  why="" as_root=(sudo -n)
else
  why="you are not root"
fi
if [ -n "$why" ]; then
  echo "Missing here: ${missing[*]} (Debian's names). Not installed, because $why." >&2
  echo "Ask for them, or load your cluster's modules (a GCC of at least 11, OpenMPI, CUDA); what can be built is built." >&2
  install_wheels
  exit
fi

# ---- Install
echo "Installing: ${missing[*]}"
if [ ! -e "$policy" ]; then # daemons (munge, SLURM) are only for the tests, which start their own: start none
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null
  "${as_root[@]}" chmod 755 "$policy"
  made_policy=yes
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -q -o Acquire::Retries=3 \
    -o DPkg::Lock::Timeout=300 "$@" < /dev/null >> "$log" 2>&1
}
install() { apt install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"; }

apt update || echo "install_deps.sh: 'apt-get update' failed: trying with the package lists that are here" >&2
if install "${missing[@]}"; then
  install_wheels
  exit
fi

# Together they cannot be had. One that is missing must not keep the others away.
failed=()
for package in "${missing[@]}"; do
  install "$package" || failed+=("$package")
done
install_wheels || failed+=("${wheels[@]}")
[ ${#failed[@]} -gt 0 ] || exit 0
echo "install_deps.sh: apt-get could not install ${failed[*]}. Its last words:" >&2
grep -E '^(E|Err|W):' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
exit 1
