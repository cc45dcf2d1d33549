# bash completion for facegen_seq, facegen_parallel and compare_result: options from --help, else file names.
_facegen() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  case $before in
    -d | --devices) mapfile -t COMPREPLY < <(compgen -W 'all none 0 0,1 0,1,2,3' -- "$word"); return ;;
    -t | --threads) mapfile -t COMPREPLY < <(compgen -W "1 2 4 8 $(nproc)" -- "$word"); return ;;
    -b | --batch) return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help 2> /dev/null | grep -oE '^ +(-., )?--[a-z]+' | grep -oE -- '--[a-z]+')" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -o filenames -F _facegen facegen_seq facegen_parallel compare_result
