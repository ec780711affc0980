#!/bin/sh
# limits.sh - little memory, long prompts, numbers out of range: what does not fit is left out or refused, with the way out.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"

# The least address space in which the program runs with mapped weights. Emulators and sanitizers take terabytes.
limited() {
    # shellcheck disable=SC3045
    (ulimit -v "$1" 2>/dev/null && shift && ${VB_RUNNER:-} "$BUILD/bin/verbatim" "$@" >"$work/out" 2>"$work/err" </dev/null)
    rc=$?
}
least=20000
case $BUILD${VB_RUNNER:-} in *san* | *qemu*) least=330000 ;; esac
while [ $least -le 320000 ]; do
    limited $least run -m "$target" -p "$P" -n 4 -t 1 --seed 1 --kernels auto --repack off
    [ $rc != 0 ] || break
    least=$((least + 10000))
done
verbatim cpu
if [ $least -gt 320000 ] || grep -q 'auto: ref' "$work/out"; then
    skip "weights stay as mapped where a copy does not fit" "no limit of the address space here, or only reference kernels"
else
    verbatim run -m "$target" -p "$P" -n 4 -t 1 --seed 1 --json
    text=$(json text)
    limited $least run -m "$target" -p "$P" -n 4 -t 1 --seed 1 --json
    ok "weights stay as mapped where a copy does not fit" status_is 0
    ok "the same text" json_is text "$text"
    ok "one line says so" test "$(grep -c 'note: weights stay as mapped' "$work/err")" = 1
fi

verbatim run -m "$target" -p x -c 513
ok "-c beyond the model names its limit" fails 1 "-c 513: this model was trained for 512 positions"
verbatim logits -m "$target" --tokens 1 --out "$work/l" -c 513
ok "of logits, too" fails 1 "-c 513"
verbatim serve -m "$target" --port 0 -c 513
ok "of the server, too" fails 1 "must be 1 to 512"
verbatim run -m "$target" -p x -b 4097
ok "-b beyond its limit is refused by the command line" fails 2 "-b 4097: expected 0 to 4096"
verbatim run -m "$target" -p x -t 257
ok "-t beyond its limit" fails 2 "-t 257: expected 0 to 256"
verbatim run -m "$target" -p x -n 1 -t 256
ok "-t at its limit" status_is 0

awk 'BEGIN { for (i = 0; i < 700; i++) printf "a b " }' >"$work/long"
verbatim run -m "$target" -f "$work/long" -c 16
ok "a prompt longer than the model can hold: no larger -c is asked for" fails 1 "trained for 512, the most that -c can give"
verbatim run -m "$target" -p "$P $P $P $P $P $P $P" -c 16
ok "a prompt longer than -c: the -c that is enough" fails 1 "use -c "
enough=$(sed -n 's/.*use -c \([0-9]*\) or more.*/\1/p' "$work/err")
verbatim run -m "$target" -p "$P $P $P $P $P $P $P" -n 1 -c "$enough"
ok "and it is enough" status_is 0
finish
