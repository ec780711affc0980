#!/bin/sh
# parallel.sh PARTS OUT COMMAND [OPTIONS] - `verbatim check` or `verbatim prove` in parts under GNU parallel, and the parts put together.
#
#   parallel.sh 32 parts prove -m target.gguf -md draft.gguf --accept block --samples 1000000
#   parallel.sh 8 parts check vectors
#
# PARALLEL_OPTIONS go to parallel: '--sshloginfile nodes --wd .' spreads the parts over machines that see the same files under the same
# names. Without GNU parallel, or with WITH=xargs, xargs runs them on this machine. JOBS at a time (default: one per core) on each
# machine. VERBATIM names the program (default: verbatim).
set -eu
[ $# -ge 3 ] || { echo "usage: parallel.sh PARTS OUT check|prove [OPTIONS]" >&2; exit 2; }
parts=$1 out=$2 command=$3
shift 3
case $command in check | prove) ;; *) echo "parallel.sh: check or prove, not $command" >&2; exit 2 ;; esac
verbatim=${VERBATIM:-verbatim} jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
mkdir -p "$out"
# A part that finds something ends with status 1 and has still said what; the merge decides.
# shellcheck disable=SC2016 # it is the inner shell that expands these
one='part=$1 parts=$2 out=$3 verbatim=$4 command=$5; shift 5
    name=$(printf "%06d" "$part")
    rc=0; "$verbatim" "$command" --shard "$part/$parts" --json "$@" > "$out/.$name.json" || rc=$?
    [ "$rc" -le 1 ] && mv "$out/.$name.json" "$out/$name.json"'
rm -f "$out"/[0-9]*.json
if [ -z "${WITH:-}" ]; then # moreutils has another program of this name
    WITH='xargs'
    if parallel --version 2>/dev/null </dev/null | grep -q '^GNU'; then WITH='parallel'; fi
fi
if [ "$WITH" = parallel ]; then
    # shellcheck disable=SC2086
    seq "$parts" | parallel -j "$jobs" ${PARALLEL_OPTIONS:-} -q sh -c "$one" sh '{}' "$parts" "$out" "$verbatim" "$command" "$@"
else
    seq "$parts" | xargs -P "$jobs" -I '{}' sh -c "$one" sh '{}' "$parts" "$out" "$verbatim" "$command" "$@"
fi
exec "$verbatim" "$command" --merge "$out"/[0-9]*.json
