#!/bin/sh
# coming_from.sh - every row of docs/coming-from.md, tried: each name of another program is answered with the row's words by a command that
# people would give it to, as an option and as a key of a configuration file; a name that is "taken" does what our own does; and the
# options that the answers name are there.
. "$(dirname "$0")/lib.sh"

# Lines of a row's number, one of its names, and its answer.
awk -F ' [|] ' '/^[|] `-/ { row++; names = substr($1, 3); answer = $2; sub(/ [|]$/, "", answer); gsub(/\\[|]/, "|", answer)
    n = split(names, name, ", "); for (i = 1; i <= n; i++) { gsub(/`/, "", name[i]); print row "\t" name[i] "\t" answer } }' docs/coming-from.md >"$work/names"
rows=$(tail -n 1 "$work/names" | cut -f 1)
ok "60 rows and more" test "$rows" -ge 60
ok "as many as the page has" test "$rows" = "$(grep -c '^| `' docs/coming-from.md)"

# said WORDS: what `verbatim WORDS` says, its exit status in $rc
said() {
    # shellcheck disable=SC2086
    verbatim $1
    cat "$work/err"
}
# as_ours COMMAND NAME OURS: both are taken, or both are refused with the same words
as_ours() {
    theirs=$(said "$1 $2" | sed "s/$2\\b/@/g") ours=$(said "$1 $3" | sed "s/$3\\b/@/g")
    case $ours in *"is not an option"* | *"unknown option"*) return 1 ;; esac
    [ "$theirs" = "$ours" ] && [ "$(said "$1 $2 not-a-number" | sed "s/$2\\b/@/g")" = "$(said "$1 $3 not-a-number" | sed "s/$3\\b/@/g")" ]
}
# as_key NAME ANSWER: the name as a key of a configuration file is answered in the same way
as_key() {
    case $1 in --*) ;; *) return 0 ;; esac
    printf '{"%s": "x"}' "$(printf '%s' "${1#--}" | sed 's/-/_/g')" >"$work/config.json"
    verbatim serve --config "$work/config.json" -m "$work/none.gguf"
    err_has "$2"
}
# holds NAME ANSWER: some command gives the answer
holds() {
    for command in run serve chat bench; do
        case $2 in
        '**taken**: `'*)
            ours=${2#*\`}
            as_ours $command "$1" "${ours%\`}" && return 0
            ;;
        *)
            verbatim $command "$1"
            err_has "$1: $2" || continue
            status_is 2 || return 1
            [ $command != serve ] || as_key "$1" "$2" || return 1
            return 0
            ;;
        esac
    done
    return 1
}
row=1
while [ "$row" -le "$rows" ]; do
    awk -F '\t' -v row="$row" '$1 == row' "$work/names" >"$work/row"
    wrong=
    while IFS="$(printf '\t')" read -r _ name answer; do
        holds "$name" "$answer" || wrong="$wrong $name"
    done <"$work/row"
    ok "row $row, $(head -n 1 "$work/row" | cut -f 2): $(wc -l <"$work/row" | tr -d ' ') names: ${wrong:-all so}" test -z "$wrong"
    row=$((row + 1))
done

for command in run chat serve bench doctor tokenize; do
    verbatim $command --help
    cat "$work/out" >>"$work/help"
done
missing=
for option in $(cut -f 3 "$work/names" | sort -u | grep -o -- '--[a-z][a-z-]*' | sort -u); do
    grep -q -- "$option\\b" "$work/help" || missing="$missing $option"
done
ok "the options that the answers name are there:${missing:- all}" test -z "$missing"
finish
