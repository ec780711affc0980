#!/bin/sh
# draft_text.sh - drafts of another vocabulary (--draft-text): run, trace-check, doctor, serve; and the server's fingerprints.
. "$(dirname "$0")/lib.sh"
server='' url=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
here=$(cd "$(dirname "$0")" && pwd)
tales=$here/../../vectors/models/tales P='Once upon a time there was a poor miller who had three sons'
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/tests/tools/other_vocab" "$tales-draft-q8_0.gguf" "$work/backwards.gguf" 1200 || exit 1

# Without the option it stays an error, which names it.
verbatim run -m "$target" -md "$work/other.gguf" -p "$P"
ok "other ids: refused" status_is 1
ok "the way out is named" err_has "--draft-text drafts through text all the same"
verbatim run -m "$target" -p "$P" --draft-text
ok "no draft model" fails 2 "give one with -md FILE"

# P2, with vocabularies of either kind.
verbatim run -m "$target" -p "$P" -n 24 --seed 5 --json
tokens=$(json tokens)
for d in other chat; do
    for g in 1 4 auto; do
        verbatim run -m "$target" -md "$work/$d.gguf" --draft-text -p "$P" -n 24 --seed 5 --gamma $g --json
        ok "$d.gguf, --gamma $g: the same tokens" json_is tokens "$tokens"
    done
done
verbatim run -m "$target" -md "$draft" --draft-text -p "$P" -n 24 --seed 5 --json
ok "a draft of the same vocabulary: as without" json_is tokens "$tokens"

# The shipped pair, the draft with other ids.
pair="-m $tales-target-q8_0.gguf -md $work/backwards.gguf --draft-text -n 60 --seed 3"
verbatim run -m "$tales-target-q8_0.gguf" -n 60 --seed 3 -p "$P" --json
tokens=$(json tokens)
# shellcheck disable=SC2086
verbatim run $pair -p "$P" --json
ok "trained models: the same tokens" json_is tokens "$tokens"
ok "many drafts are right" test "$(json accepted)" -gt 15
ok "evaluations are counted" test "$(json draft_calls)" -ge "$(json accepted)"
ok "and what the target gave the drafts" out_has '"likely":0.'
# shellcheck disable=SC2086
verbatim run $pair -p "$P" --draft-suffix 3 --gamma auto --json
ok "behind copies, --gamma auto: the same tokens" json_is tokens "$tokens"
# shellcheck disable=SC2086
verbatim run $pair -p "$P" --draft-vocab 600 --json
ok "trimmed: the same tokens" json_is tokens "$tokens"
# shellcheck disable=SC2086
verbatim run $pair -p "$P" --verbose
ok "the statistics say so" err_has "drafted through text: "
for rule in coupled rejection block; do
    # shellcheck disable=SC2086
    verbatim run $pair -p "$P" --accept $rule --trace-full --trace "$work/trace" --json
    own=$(json tokens)
    ok "$rule: a trace" grep -q '"through_text":true' "$work/trace"
    verbatim trace-check "$work/trace"
    ok "$rule: every decision follows" status_is 0
    # shellcheck disable=SC2086
    verbatim run $pair -p "$P" --accept $rule --json
    ok "$rule: the same text again" json_is tokens "$own"
done
sed 's/"through_text":true,//' "$work/trace" >"$work/forged"
verbatim trace-check "$work/forged"
ok "a trace that does not say it: refused" status_is 1

# The doctor.
few="-n 4 -c 128"
printf 'Once upon a time\n' >"$work/prompts.txt"
# shellcheck disable=SC2086
verbatim doctor "$tales-target-q8_0.gguf" "$work/backwards.gguf" $few --prompts "$work/prompts.txt" --json
ok "doctor: does not fit" status_is 1
# shellcheck disable=SC2086
verbatim doctor "$tales-target-q8_0.gguf" "$work/backwards.gguf" $few --prompts "$work/prompts.txt" --draft-text --json
ok "doctor --draft-text: measured" out_has '"drafter":"model"'
ok "through text" out_has '"through_text":true'
# The draft has fewer ids than the target: it is timed on its own.
verbatim bench -m "$tales-target-q8_0.gguf" -md "$work/backwards.gguf" --draft-text -n 12 -c 256 --reps 1 --lengths 8 --at 8 --gammas 2 --bandwidth 10 --json
ok "bench --draft-text: status 0" status_is 0
ok "bench --draft-text: the same tokens" out_has '"identical":true'
mkdir "$work/drafts" && cp "$work/backwards.gguf" "$work/drafts/" && cp "$tales-draft-q8_0.gguf" "$work/drafts/same.gguf"
# shellcheck disable=SC2086
verbatim doctor "$tales-target-q8_0.gguf" --drafts "$work/drafts" $few --prompts "$work/prompts.txt" --draft-text
ok "a folder of drafts: ranked beside the others" grep -q 'backwards.gguf (through text)' "$work/out"

# The server, with a prefix that is there already; what a fingerprint names.
if ! command -v curl >/dev/null 2>&1; then
    skip "the server" "there is no curl"
    finish
fi
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
complete() { # RULE PROMPT
    curl -sS -m 60 "$url/v1/completions" -H 'Content-Type: application/json' \
        -d "{\"prompt\":\"$2\",\"max_tokens\":40,\"seed\":3,\"temperature\":0.8,\"accept\":\"$1\"}" >"$work/out" 2>"$work/err"
}
long="$P. $P. $P."
cat >"$work/costs.json" <<'END'
{"verbatim": "costs", "version": 1, "far": 100, "draft": [100, 110], "draft_read": 20, "token_s": 0.1,
 "target": [1000,1010,1020,1030,1200,1300,1400,1500,1600,1700,1800,1900,2000,2100,2200,2300],
 "target_far": [1010,1030,1050,1070,1250,1360,1470,1580,1690,1800,1910,2020,2130,2240,2350,2460]}
END
for mode in alone text suffix copies; do
    case $mode in
    alone) more='' ;;
    text) more="-md $work/backwards.gguf --draft-text" ;;
    suffix) more="-md $work/backwards.gguf --draft-text --draft-suffix 2" ;;
    copies) more="--draft suffix" ;;
    esac
    # shellcheck disable=SC2086
    start_server -m "$tales-target-q8_0.gguf" $more -c 256 --costs "$work/costs.json" || { ok "$mode: a server" false; continue; }
    complete coupled "$long"
    json text >"$work/$mode.text"
    json system_fingerprint >>"$work/coupled.prints"
    complete rejection "$long"
    json text >"$work/$mode.first"
    json system_fingerprint >>"$work/rejection.prints"
    complete rejection "$P. Then"
    complete rejection "$long"
    json text >"$work/$mode.again"
    ok "$mode: under rejection the same text, whatever was asked between" same_files "$work/$mode.first" "$work/$mode.again"
    kill "$server"
    wait "$server"
    server=''
    ok "$mode: the text of the target alone" same_files "$work/$mode.text" "$work/alone.text"
done
ok "one fingerprint where the text does not depend on drafts" test "$(sort -u "$work/coupled.prints" | wc -l | tr -d ' ')" = 1
ok "one for each drafter where it does" test "$(sort -u "$work/rejection.prints" | wc -l | tr -d ' ')" = 4
finish
