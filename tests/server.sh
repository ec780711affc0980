# server.sh - starting `verbatim serve` for a test: what the scripts in tests/cli, tests/page, tests/clients and tests/soak share.
# Environment: BUILD (default build), VB_RUNNER (an emulator in front of the program); $work is a folder of the script's own.

# serve NAME ARGS...: a server on a free port in the background, what it prints in $work/NAME.out and .err. Waits until it answers
# and sets $server (its process), $url (without /v1), $page and $port. False: it ended, or took longer than a minute.
# Whoever uses it ends it in a trap of their own.
serve() {
    err=$work/$1.err
    : >"$err" # or the lines of the one before are taken for this one's
    out=$work/$1.out
    shift
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "${BUILD:-build}/bin/verbatim" serve --port 0 "$@" >"$out" 2>"$err" </dev/null &
    server=$!
    tries=0
    until grep -q '^  try ' "$err"; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ] || ! kill -0 "$server" 2>/dev/null; then return 1; fi
        sleep 0.1
    done
    url=$(sed -n 's|^  API *\(http://.*\)/v1$|\1|p' "$err")
    page=$(sed -n 's|^  page *\(http://.*/\)$|\1|p' "$err")
    # shellcheck disable=SC2034
    port=${url##*:}
}

# serve_or_stop NAME ARGS...: the same for a script that is nothing without its server; the processes collect in $servers.
serve_or_stop() {
    started=yes
    serve "$@" || started=no
    servers="${servers:-} $server"
    [ $started = no ] || return 0
    echo "not ok 1 - the server starts"
    sed 's/^/#   /' "$err"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
