#!/bin/bash
# custom.sh PROGRAM DRIVER-OBJECT...: links the driver with somebody's own facegen_init, facegen and facegen_fin.
#
# Run by `make custom SRC=...`, which gives it in the environment SRC, the commands COMPILE_C, COMPILE_CXX, COMPILE_CUDA
# (empty without nvcc) and LINK, and LIBS. SRC may be a folder with the course's whole skeleton: of a folder's sources
# those with a main() are left out, and facegen_seq where another one has a facegen().
set -euo pipefail
program=$1
shift
fail() { echo "make custom: $1" >&2; exit 2; }
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
rm -f "$program" # or an old one would pass for this one

# ---- SRC -> sources. A path is the longest run of words that exists, as paths may hold spaces.
SRC=${SRC-}
expected="expected sources (.c, .cc, .cpp, .cxx, .C, .cu) or a folder of them, as in 'make custom SRC=my/facegen.cu'"
is_source() { [[ $1 == *.@(c|cc|cpp|cxx|C|cu) ]]; }
sources=() in_folder=()
if [ -e "$SRC" ]; then words=("$SRC"); else read -r -d '' -a words <<< "$SRC" || true; fi
[ ${#words[@]} -gt 0 ] || fail "SRC is empty: $expected"
while [ ${#words[@]} -gt 0 ]; do
  for ((n = ${#words[@]}; n > 0; --n)); do
    path=${words[*]:0:n}
    [ ! -e "$path" ] || break
  done
  [ -e "$path" ] || fail "SRC='$SRC': there is no '$path': $expected"
  words=("${words[@]:n}")
  found=${#sources[@]}
  if [ -d "$path" ]; then
    for file in "$path"/*; do
      if is_source "$file"; then sources+=("$file") in_folder+=(yes); fi
    done
  elif is_source "$path"; then
    sources+=("$path") in_folder+=(no)
  fi
  [ ${#sources[@]} -gt "$found" ] || fail "'$path' is no source: $expected"
done

# ---- Compile
for i in "${!sources[@]}"; do
  source=${sources[i]}
  case $source in
    *.c) command=$COMPILE_C ;;
    *.cu) command=$COMPILE_CUDA ;;
    *) command=$COMPILE_CXX ;;
  esac
  [ -n "$command" ] || fail "$source needs nvcc, which was not found or is switched off"
  echo "$command -c $source"
  eval "$command"' -I"$(dirname "$source")" -I. -c "$source" -o "$objects/$i.o"' || fail "$source does not compile"
  nm -g --defined-only -P "$objects/$i.o" | cut -d' ' -f1 > "$objects/$i.names"
done

# ---- What of it is linked
defines() { grep -qxE "$2" "$objects/$1.names"; }
unit=() facegens=()
for i in "${!sources[@]}"; do
  if defines "$i" main; then
    [ "${in_folder[i]}" = yes ] || fail "${sources[i]} has a main() of its own, as the driver has: name the others only"
    echo "Left out, because of its main(): ${sources[i]}"
  elif ! defines "$i" facegen; then
    unit+=("$i")
  else
    facegens+=("$i")
  fi
done
if [ ${#facegens[@]} -gt 1 ]; then
  for k in "${!facegens[@]}"; do
    source=${sources[facegens[k]]}
    if [ "${in_folder[facegens[k]]}" = yes ] && [[ $(basename "$source") == facegen_seq.* ]]; then
      echo "Left out, because another source has a facegen() too: $source"
      unset "facegens[k]"
    fi
  done
fi
unit+=("${facegens[@]}")
for function in facegen_init facegen facegen_fin; do
  owners=()
  for i in "${unit[@]}"; do
    if defines "$i" "$function"; then owners+=("${sources[i]}"); fi
  done
  [ ${#owners[@]} -le 1 ] || fail "$function() is in ${owners[0]} and in ${owners[1]}: name only one of them"
  [ ${#owners[@]} -eq 0 ] || continue
  for i in "${unit[@]}"; do
    ! defines "$i" "_Z${#function}${function}[a-z].*" ||
      fail "$function() in ${sources[i]} has C++ linkage: #include \"facegen.h\" above it, or write extern \"C\""
  done
  [ $function != facegen ] || fail "there is no facegen() in $SRC"
done

# ---- Link
files=("${unit[@]/#/$objects/}")
files=("${files[@]/%/.o}")
if [[ $COMPILE_CUDA == *@(-rdc|--relocatable-device-code)=true* ]]; then # device code of several sources
  eval "$COMPILE_CUDA"' -dlink "${files[@]}" -o "$objects/device.o"' || fail "the device code does not link"
  files+=("$objects/device.o")
  LIBS+=" -lcudadevrt"
fi
eval "$LINK"' "${files[@]}" "$@" -o "$program" '"$LIBS" || fail "$program does not link"
