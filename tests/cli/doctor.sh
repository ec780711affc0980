#!/bin/sh
# doctor.sh - `verbatim doctor`: vocabularies, memory, what is measured and kept, the recommendation, a folder of drafts.
. "$(dirname "$0")/lib.sh"
verbatim doctor
ok "no model: how it is called" fails 2 "doctor TARGET"
verbatim doctor "$target" "$draft" --quick
ok "--quick: they fit" out_has "fit: "
ok "--quick: what to expect on paper" out_has "of tested guesses right"
ok "memory beside what is there" out_has "memory: weights"
ok "--quick measures nothing" [ ! -e "$work/cache" ]
large=vectors/models/tales-target-q8_0.gguf small=vectors/models/tales-draft-q8_0.gguf
verbatim doctor $small $large --quick
ok "a draft that is larger than its target: a question" out_has "are the two files swapped?"
verbatim run -m $small -md $large -p "Once upon a time" -n 4
ok "run asks it, too" err_has "are -m and -md swapped?"
verbatim run -m $large -md $small -p "Once upon a time" -n 4
ok "the right way round nobody asks" [ "$(grep -c swapped "$work/err")" = 0 ]
printf 'Once upon a time\n\nThe king\n' >"$work/prompts.txt"
few="--prompts $work/prompts.txt -n 12 --threads 1"
# shellcheck disable=SC2086
verbatim doctor "$target" "$draft" $few --json
ok "measured" status_is 0
for key in compatible memory measured costs rows speed_up predicted acceptance first_token_s recommendation; do
    ok "--json has $key" out_has "\"$key\":"
done
for drafter in none model ngram suffix; do ok "a row for $drafter" out_has "\"drafter\":\"$drafter\""; done
for rule in coupled rejection block; do ok "a row for $rule" out_has "\"accept\":\"$rule\""; done
ok "two prompts, no empty one" out_has '"prompts":2'
cp "$work/out" "$work/first"
# shellcheck disable=SC2086
verbatim doctor "$target" "$draft" $few --json
for f in out first; do sed 's/.*"measured"://' "$work/$f" >"$work/$f.measured"; done
ok "a second time it is not measured again" same_files "$work/out.measured" "$work/first.measured"
ok "it says where it is kept" err_has "--force measures again"
# shellcheck disable=SC2086
verbatim doctor "$target" "$draft" $few --temp 0
ok "other options: measured anew" err_has "doctor: measuring"
ok "as a table" out_has "first token"
ok "a recommendation" grep -qE '^recommendation: (use --gamma (auto|[0-9]+): [0-9.]+x|do not draft: [0-9.]+x, because )' "$work/out"
# shellcheck disable=SC2086
verbatim doctor "$target" $few
ok "without a draft: copies from the text" out_has "ngram"
ok "with costs that were measured" [ "$(grep -c '(0.00 ms each)' "$work/out")" = 0 ]
ok "and no row with a model" [ "$(grep -c '^model ' "$work/out")" = 0 ]
mkdir "$work/drafts" && cp "$draft" "$work/drafts/small.gguf" && cp "$target" "$work/drafts/same.gguf"
cp "$work/other.gguf" "$work/drafts/other.gguf" && echo x >"$work/drafts/broken.gguf"
# shellcheck disable=SC2086
verbatim doctor "$target" --drafts "$work/drafts" $few --json
ok "a folder of drafts" status_is 0
python3 - "$work/out" >"$work/ranks" 2>&1 <<'END' || true
import json, sys
drafts = json.load(open(sys.argv[1]))["drafts"]
speeds = [d["speed_up"] for d in drafts if "speed_up" in d]
print(len(drafts), len(speeds), speeds == sorted(speeds, reverse=True), sorted(d["file"].split("/")[-1] for d in drafts if "reason" in d))
END
if command -v python3 >/dev/null 2>&1; then
    ok "four files, two of them drafts, best first, the others with a reason" \
        test "$(cat "$work/ranks")" = "4 2 True ['broken.gguf', 'other.gguf']"
fi
# Kept beside other work: said at each use, until it is measured again. What is planted is a share that no measurement
# gives (they end at 100 %): the tests that run beside this one may take any other share of the processors.
busy() { # busy KIND: the files of that kind say that others took seven times the processors
    for f in "$work"/cache/"$1"-*.json; do
        sed 's/"others": [^,]*/"others": 7/' "$f" >"$work/busy" && cp "$work/busy" "$f"
    done
}
busy doctor
# shellcheck disable=SC2086
verbatim doctor "$target" "$draft" $few
ok "a busy machine is remembered" err_has "this was measured while other programs used 700 % of the processors"
ok "and when it was" grep -qE 'measured (just now|[0-9]+ (minute|hour|day)s? ago), kept in' "$work/err"
busy costs
verbatim run -m "$target" -md "$draft" -p "Once upon a time" -n 4 --gamma auto --threads 1
ok "costs, too" err_has "what passes cost was measured while other programs used 700 % of the processors"
# shellcheck disable=SC2086
verbatim doctor "$target" "$draft" $few --force
verbatim run -m "$target" -md "$draft" -p "Once upon a time" -n 4 --gamma auto --threads 1
ok "--force measures them again" [ "$(grep -c 'used 700 %' "$work/err")" = 0 ]
verbatim doctor "$target" --drafts "$work/drafts" --quick
ok "--drafts with --quick is refused" fails 2 "--quick measures nothing"
verbatim doctor "$target" --drafts "$work/none" -n 4 --prompts "$work/prompts.txt"
ok "a folder that is not there" status_is 1
ok "is named" err_has "none: the folder cannot be read"
finish
