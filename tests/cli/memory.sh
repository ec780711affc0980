#!/bin/sh
# memory.sh - an allocation fails: the command says so and leaves nothing half made. Never a success with a piece missing, never a
# word about a malformed file.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../failing.sh"
made=$work/made

fault() {
    wrong=$((wrong + 1))
    [ $wrong -gt 5 ] || { echo "#   allocation $point: $1"; head -c 400 "$work/err" | sed 's/^/#   > /'; }
}

# sweep NAME MOST ARGS...: the command is run undisturbed, then with one failing allocation at a time. What it makes is in $made.
sweep() {
    name=$1 most=$2 wrong=0 tried=0 errors=0
    shift 2
    rm -rf "$made" "$work/whole"
    mkdir "$made"
    arm a $NEVER
    under "$BUILD/bin/verbatim" "$@"
    whole_rc=$rc
    settle "$work/out" >"$work/whole.out"
    mv "$made" "$work/whole"
    count_of=$(counted)
    for point in $(points "$count_of" "$most"); do
        mkdir "$made"
        arm a "$point"
        under "$BUILD/bin/verbatim" "$@"
        settle "$work/out" >"$work/this.out"
        tried=$((tried + 1))
        if [ $rc -gt 1 ]; then
            fault "exit status $rc"
        elif [ $rc = "$whole_rc" ] && cmp -s "$work/whole.out" "$work/this.out"; then
            diff -r "$work/whole" "$made" >/dev/null || fault "ends like the whole, but the files differ"
        elif [ $rc = 0 ]; then
            fault "exit status 0 with another output"
        else
            errors=$((errors + 1))
            for file in $(cd "$made" && find . -type f); do # what was whole before may stay
                cmp -s "$work/whole/$file" "$made/$file" || fault "leaves $file"
            done
            cat "$work/out" "$work/err" | grep -qi 'memory' || fault "the message does not name the memory"
        fi
        rm -rf "$made"
    done
    echo "# $name: $count_of allocations, $tried made to fail, $errors errors"
    ok "$name: whole or an error" test "$wrong" = 0 -a "$tried" -gt 0 -a "$whole_rc" = 0
}

model="-m $target -t 2 -c 128"
pair="$model -md $draft"
# shellcheck disable=SC2086
{
    sweep "run" 12 run $pair -p hello -n 8 --seed 1
    sweep "run --json --trace" 40 run $pair -p hello -n 8 --seed 1 --json --trace "$made/trace.jsonl"
    sweep "run --trace-full" 12 run $pair -p hello -n 4 --seed 1 --json --trace-full --trace "$made/trace.jsonl"
    sweep "inspect --json" 30 inspect "$target" --json
    sweep "inspect" 8 inspect "$target"
    sweep "doctor --json" 12 doctor -m "$target" -md "$draft" --quick --json
    printf 'hello you\n' >"$work/in"
    sweep "tokenize" 12 tokenize -m "$target" --pieces
    : >"$work/in"
    sweep "logits" 8 logits $model --tokens 1,290,372 --out "$made/logits"
    sweep "quantize" 8 quantize vectors/models/seeded/type-F16.gguf "$made/small.gguf" Q4_0
    sweep "record" 24 record -m "$target" --tokens 1,290,372 -n 2 --name t --out "$made/recordings"
    verbatim record -m "$target" --tokens 1,290,372 -n 2 --name t --out "$work/mine"
    recording=$work/mine/recordings/t.q8.jsonl
    sweep "compare --json" 24 compare "$recording" "$recording" --json
    sweep "compare --html --junit" 16 compare "$recording" "$recording" --html "$made/report.html" --junit "$made/report.xml"
    verbatim record --manifest --out "$work/mine"
    sweep "check --json" 16 check --quick "$work/mine" --json
    verbatim run $pair -p hello -n 4 --seed 1 --trace-full --trace "$work/trace.jsonl"
    sweep "trace-check --json" 24 trace-check "$work/trace.jsonl" --json
    sweep "prove --json" 16 prove -m "$target" -md "$draft" -p hello --tokens 2 --samples 200 --seed 1 --json
    printf 'hello\n/quit\n' >"$work/in"
    sweep "chat" 12 chat -m "$work/chat.gguf" -t 2 -c 128 -n 6 --seed 1
    : >"$work/in"
}
finish
