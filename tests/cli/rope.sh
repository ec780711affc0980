#!/bin/sh
# rope.sh - another RoPE than the file's: the options of target and draft, and that whoever reports which model it was says so.
. "$(dirname "$0")/lib.sh"
server='' url=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
P='Once upon a time there was a dog'
logits() { ${VB_RUNNER:-} "$BUILD/bin/verbatim" logits -m "$target" --tokens 1,2,3,4,5,6,7,8,9 --out "$work/$1" $2 2>"$work/err" >"$work/out"; }

# Logits: each option changes them, and two ways to say the same give the same.
logits file ''
logits scale '--rope-scale 4'
logits freq '--rope-freq-scale 0.25'
logits linear '--rope-scaling linear --rope-scale 4'
logits one '--rope-scale 1'
logits base '--rope-freq-base 500000'
yarn='--rope-scaling yarn --rope-scale 4'
logits yarn "$yarn"
logits said "$yarn --yarn-ext-factor 1 --yarn-attn-factor 1 --yarn-beta-fast 32 --yarn-beta-slow 1"
ok "--rope-scale 4 is --rope-freq-scale 0.25" same_files "$work/scale" "$work/freq"
ok "and --rope-scaling linear" same_files "$work/scale" "$work/linear"
ok "--rope-scale 1 is the file" same_files "$work/file" "$work/one"
ok "what files mean, said" same_files "$work/yarn" "$work/said"
for name in "--yarn-orig-ctx 64" "--yarn-ext-factor 0.5" "--yarn-attn-factor 1.5" "--yarn-beta-fast 2" "--yarn-beta-slow 0.02"; do
    logits "other" "$yarn $name"
    ok "$name: other logits" test "$(cmp -s "$work/yarn" "$work/other"; echo $?)" = 1
done
for name in scale base yarn; do ok "$name: other logits than the file's" test "$(cmp -s "$work/file" "$work/$name"; echo $?)" = 1; done

# Reports. The draft's is its own: it changes no text.
line='base 10000, linear, positions times 0.5'
verbatim run -m "$target" -md "$draft" -p "$P" -n 12 --seed 3 --json --rope-scale 2 --trace "$work/trace"
text=$(json text)
ok "run --json" out_has "\"rope\":\"$line\""
ok "run: in the statistics" err_has "RoPE: $line: by options, not by the file"
ok "run: in a trace" grep -qF "\"rope\":\"$line\"" "$work/trace"
verbatim trace-check "$work/trace"
ok "which is checked as others are" status_is 0
verbatim run -m "$target" -md "$draft" -p "$P" -n 12 --seed 3 --json --rope-scale 2 --rope-freq-base-draft 20000 --trace "$work/trace"
ok "the draft's: the same text" json_is text "$text"
ok "run --json: the draft's" out_has '"draft_rope":"base 20000, not scaled"'
ok "run: the draft's in the statistics" err_has "RoPE of the draft: base 20000, not scaled"
ok "in a trace" grep -qF '"draft_rope":"base 20000, not scaled"' "$work/trace"
verbatim run -m "$target" -p "$P" -n 2 --seed 3 --json
ok "the file's: nothing is said" test "$(grep -c rope "$work/out" "$work/err" | cut -d: -f2 | tr -d '\n')" = 00
n=$(${VB_RUNNER:-} "$BUILD/bin/verbatim" inspect "$target" --json | awk '{ match($0, /"positions":[0-9]+/); print substr($0, RSTART + 12, RLENGTH - 12) }')
verbatim inspect "$target" --short --rope-scale 2
ok "inspect" out_has "RoPE: $line: by options, not by the file; up to $((2 * n)) positions"
verbatim inspect "$target" --rope-scale 2 --json
ok "inspect --json" out_has "\"rope\":\"$line\""
ok "inspect --json: the context" out_has "\"positions\":$((2 * n))"
verbatim run -m "$target" -p x -n 1 -c $((2 * n))
ok "a context longer than in training" fails 1 "this model was trained for $n positions"
verbatim run -m "$target" -p x -n 1 -c $((2 * n)) --rope-scale 2
ok "fits, stretched" status_is 0

# What makes no sense.
verbatim run -m "$target" -p x --rope-scale 2 --rope-freq-scale 0.5
ok "twice" fails 2 "say the same"
verbatim run -m "$target" -p x --rope-scale-draft 2
ok "no draft" fails 2 "add -md FILE"
verbatim serve -m "$target" --port 0 --yarn-beta-slow-draft 2
ok "serve: no draft" fails 2 "add -md FILE"
verbatim run -m "$target" -p x --rope-scaling ntk
ok "a kind that there is not" fails 2 "expected one of none, linear, yarn"
verbatim run -m "$target" -p x --rope-scaling yarn
ok "no factor" fails 1 "no effect without a factor"
verbatim run -m "$target" -p x --yarn-beta-fast 16
ok "no YaRN" fails 1 "no effect without it"
verbatim inspect "$target" --yarn-ext-factor 2
ok "out of range" fails 2 "--yarn-ext-factor 2"

# The server: options, or a file of them under llama.cpp's names.
if command -v curl >/dev/null 2>&1; then
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
    printf '{"rope_scaling": "linear", "rope_freq_scale": 0.5}\n' >"$work/config.json"
    for how in "" "--rope-scale 2" "--config $work/config.json" "--rope-scale 4"; do
        # shellcheck disable=SC2086
        ok "serve $how" start_server -m "$target" --name m $how
        curl -sS -m 60 "$url/props" >"$work/out" 2>"$work/err"
        json system_fingerprint >>"$work/fingerprints"
        case $how in
        "--rope-scale 4" | "") ;;
        *)
            ok "the start says so" grep -qF "RoPE: $line: by options, not by the file" "$work/server.err"
            ok "/props" out_has "\"rope\":\"$line\""
            ;;
        esac
        kill "$server"
        wait "$server"
        server=''
    done
    ok "a fingerprint for each RoPE" test "$(sort -u "$work/fingerprints" | wc -l | tr -d ' ')" = 3
else
    skip "the server" "there is no curl"
fi
finish
