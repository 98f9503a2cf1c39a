"""The scripts of shells. Each calls `polydiff completion words LINE`; if it prints no words, files may follow."""

BASH = r"""# polydiff: source <(polydiff completion bash)
_polydiff() {
    local line="${COMP_LINE:0:COMP_POINT}" current IFS=$'\n'
    current="${line##*[[:space:]]}"
    COMPREPLY=($(polydiff completion words "$line" 2>/dev/null))
    if [[ $COMP_WORDBREAKS == *=* && $current == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%=*}="}")  # bash replaces only what follows the last =
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=.] ]]; then
        compopt -o nospace
    fi
}
complete -o default -F _polydiff polydiff
"""

ZSH = r"""#compdef polydiff
# polydiff: source <(polydiff completion zsh)
_polydiff() {
    local -a lines open whole texts
    local line
    lines=("${(@f)$(polydiff completion words --describe "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    lines=("${(@)lines:#}")
    if (( ! $#lines )); then
        _files
        return
    fi
    for line in "${lines[@]}"; do
        if [[ ${line%%$'\t'*} == *[=.] ]]; then
            open+=("${line%%$'\t'*}")
        else
            whole+=("${line%%$'\t'*}")
            texts+=("${line/$'\t'/  -- }")
        fi
    done
    (( $#open )) && compadd -S '' -- "${open[@]}"
    (( $#whole )) && compadd -l -d texts -- "${whole[@]}"
}
compdef _polydiff polydiff
"""

FISH = r"""# polydiff: polydiff completion fish | source
complete -c polydiff -e
complete -c polydiff -a '(polydiff completion words --describe (commandline -cp) 2>/dev/null)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
