#!/bin/sh
# man_page.sh PROGRAM VERSION [PREFIX]: the manual page of a program on standard output, made from what its --help
# prints. Its example works where the program is installed under PREFIX.
set -eu
program=$1 version=$2 share=${3:+$3/share/facegen/}
name=$(basename "$program")

case $name in
  facegen_seq) brief="generate faces from noise, sequentially" ;;
  facegen_parallel) brief="generate faces from noise on every GPU, core and node there is" ;;
  compare_result) brief="compare two files of faces within a tolerance" ;;
  *) echo "man_page.sh: no brief description of '$name'" >&2; exit 2 ;;
esac

"$program" --help | sed "s|network.bin inputs/input1|${share}network.bin ${share:-inputs/}input1|" | awk -v name="$name" -v version="$version" -v brief="$brief" '
  function plain(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text ~ /^[.\047]/ ? "\\&" text : text  # or roff would take it for a request
  }
  BEGIN {
    printf ".TH %s 1 \"\" \"facegen %s\" \"User Commands\"\n", toupper(name), version
    printf ".SH NAME\n%s \\- %s\n", name, brief
  }
  /^Usage: /       { sub(/^Usage: /, ""); printf ".SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n", plain($0); next }
  /^Environment /  { printf ".SH ENVIRONMENT\n%s\n", plain($0); environment = 1; next }
  /^Example:$/     { print ".SH EXAMPLE"; environment = 0; next }
  /^Exit status: / { sub(/^Exit status: /, ""); printf ".SH EXIT STATUS\n%s\n", plain($0); next }
  /^$/             { print ".PP"; next }
  # "  -o, --option VALUE  text" and "  <argument>  text"; deeper lines go on with the text
  /^  +(-|<)/ || (environment && /^  [A-Z]/) {
    if ($1 ~ /^-/ && !options++) print ".SH OPTIONS"
    sub(/^ +/, "")
    split_at = match($0, /  +/)
    if (split_at) printf ".TP\n.B %s\n%s\n", plain(substr($0, 1, split_at - 1)), plain(substr($0, split_at + RLENGTH))
    else printf ".TP\n.B %s\n", plain($0)
    next
  }
  { sub(/^ +/, ""); print plain($0) }
'
