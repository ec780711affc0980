#!/bin/sh
# kv.sh - the types of keys and values in the cache: names, reports, memory, and that a draft's types change no text.
. "$(dirname "$0")/lib.sh"
server='' url=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
P='Once upon a time there was a dog'
logits() { ${VB_RUNNER:-} "$BUILD/bin/verbatim" logits -m "$target" --tokens 1,2,3,4,5,6,7,8,9 --out "$work/$1" $2 >"$work/out" 2>"$work/err"; }

# Every type gives other logits, and two ways to say the same give the same.
logits f16 ''
logits bf16 '--kv bf16'
logits both '-ctk bf16 -ctv bf16'
logits keys '-ctk bf16'
logits values '--cache-type-v bf16'
logits over '--kv bf16 -ctk f16'
logits named '--kv-type f32 --cache-type-k f16 --cache-type-v f16'
ok "--kv is both" same_files "$work/bf16" "$work/both"
ok "-ctk goes before --kv" same_files "$work/over" "$work/values"
ok "and -ctv" same_files "$work/named" "$work/f16"
for name in bf16 keys values; do ok "$name: other logits" test "$(cmp -s "$work/f16" "$work/$name"; echo $?)" = 1; done
ok "keys are not values" test "$(cmp -s "$work/keys" "$work/values"; echo $?)" = 1

# Blocks need heads of whole blocks, which this model has not.
for option in "--kv q8_0" "-ctk q4_0" "-ctv q8_0" "-ctk q8i"; do
    logits none "$option"
    ok "$option: refused for small heads" err_has "which is no multiple of the 32 of a block"
done
verbatim run -m "$target" -p x -ctk q5_1
ok "a type that there is not" fails 2 "expected one of f16, f32, bf16, q8_0, q4_0, q8i"
for option in "-ctv q8i" "--kv q8i"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" -p x $option
    ok "$option: of keys alone" fails 2 "expected one of f16, f32, bf16, q8_0, q4_0"
done

# Reports. A draft's types are its own.
verbatim run -m "$target" -md "$draft" -p "$P" -n 12 --seed 3 --json -ctk bf16
text=$(json text)
ok "run --json" json_is kv "bf16 f16"
verbatim run -m "$target" -md "$draft" -p "$P" -n 12 --seed 3 --json -ctk bf16 -ctkd f32 --cache-type-v-draft bf16
ok "the draft's: the same text" json_is text "$text"
verbatim run -m "$target" --draft self -p "$P" -n 12 --seed 3 --json -ctk bf16 -ctvd bf16
ok "self: the same text" json_is text "$text"
verbatim run -m "$target" -p "$P" -n 2 --json --kv f32
ok "one type for both" json_is kv f32

# The server: memory as it is, and a fingerprint of its own.
if command -v curl >/dev/null 2>&1; then
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
    for how in "--kv f16" "--kv f32" "-ctv bf16" "-ctk bf16"; do
        # shellcheck disable=SC2086
        ok "serve $how" start_server -m "$target" --name m --slots 1 -c 256 $how
        curl -sS -m 60 "$url/props" >"$work/out" 2>"$work/err"
        json system_fingerprint >>"$work/fingerprints"
        json context_bytes >>"$work/bytes"
        kill "$server"
        wait "$server"
        server=''
    done
    ok "a fingerprint for each" test "$(sort -u "$work/fingerprints" | wc -l | tr -d ' ')" = 4
    ok "half as much in 16 bits" awk 'NR == 1 { a = $1 } NR == 2 { b = $1 } NR > 2 && $1 != a { exit 1 } END { exit !(b > a) }' "$work/bytes"
else
    skip "the server" "there is no curl"
fi
finish
