#!/bin/sh
# page.sh - the page of `verbatim serve`, without a browser: what is served and how, nothing from outside, nothing inline, the
# scripts' syntax, the reader of event streams. tests/page looks at it in a browser.
. "$(dirname "$0")/lib.sh"
if ! command -v curl >/dev/null 2>&1; then
    skip "the page's tests" "there is no curl"
    finish
fi
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT

# With an API key: the page must come without one.
ok "the server starts" start_server -m "$target" -md "$draft" --api-key sesame
ok "and tells where the page is" grep -q "^  page *$url/\$" "$work/server.err"

get() { # get PATH: body in $work/out, headers in $work/head, status in $code
    code=$(curl -sS -m 60 -D "$work/head" -o "$work/out" -w '%{http_code}' "$url$1" 2>"$work/err")
    rc=$?
}
code_is() { [ "$code" = "$1" ]; }
head_has() { tr -d '\r' <"$work/head" | grep -qiFx -- "$1"; }
head_lacks() { ! tr -d '\r' <"$work/head" | grep -qiF -- "$1"; }
policy_has() { case "; $policy;" in *"; $1;"*) true ;; *) false ;; esac; }
lacks() { ! grep -qE -- "$1" "$2"; }

for file in '' index.html app.js api.js markdown.js tokens.js report.js marked.js style.css icon.svg; do
    case $file in
    '' | *.html) type='text/html; charset=utf-8' ;;
    *.js) type='text/javascript; charset=utf-8' ;;
    *.css) type='text/css; charset=utf-8' ;;
    *.svg) type='image/svg+xml' ;;
    esac
    get "/$file"
    cp "$work/out" "$work/page-${file:-root.html}"
    ok "/$file: 200 without a key" code_is 200
    ok "/$file: $type" head_has "content-type: $type"
    ok "/$file: not guessed to be another type" head_has "x-content-type-options: nosniff"
    policy=$(tr -d '\r' <"$work/head" | sed -n 's/^[Cc]ontent-[Ss]ecurity-[Pp]olicy: //p')
    for rule in "default-src 'none'" "script-src 'self'" "style-src 'self'" "connect-src 'self'" "base-uri 'none'" "frame-ancestors 'none'"; do
        ok "/$file: policy $rule" policy_has "$rule"
    done
    ok "/$file: nothing inline is let through" head_lacks "unsafe-"
    # The addresses that are there are fetched by nobody: the name of SVG's elements, and in marked.js its home and what it
    # puts before a bare www.
    sed 's|http://www\.w3\.org/2000/svg||g; s|https://github.com/markedjs/marked||g; s|http://"+||g; s|\<url(||g' "$work/page-${file:-root.html}" >"$work/addresses"
    ok "/$file: no outside address" lacks 'https?://|[("'"'"']//[a-z]|@import|url\(' "$work/addresses"
done
get /index.html
ok "no inline script, style or handler" lacks '<style|style=|javascript:| on[a-z]+=|<script>|<script [^>]*>[^<]' "$work/out"
for name in $(grep -oE '(src|href)="[^"#]*"' "$work/out" | sed 's/.*="\(.*\)"/\1/'); do
    get "/$name"
    ok "what the page refers to is there: $name" code_is 200
done
for script in app.js api.js markdown.js tokens.js report.js; do
    ok "$script: a model's text never becomes markup" lacks 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser|srcdoc' "$work/page-$script"
    ok "$script: no key is stored" lacks 'localStorage|sessionStorage\.(set|get)Item\([^K]|sessionStorage\[|indexedDB|document\.cookie' "$work/page-$script"
done
# Every element that the script asks for by its name is in the page.
for id in $(grep -oE '\$\("[a-z_-]+"\)' "$work/page-app.js" | sed 's/.*"\(.*\)".*/\1/' | sort -u); do
    ok "the page has $id" grep -qE "id=\"$id\"" "$work/page-index.html"
done
get /props
ok "what it asks for needs the key" code_is 401

if command -v node >/dev/null 2>&1; then
    for script in app.js api.js markdown.js tokens.js report.js marked.js; do ok "$script: syntax" node --check "$work/page-$script"; done
    node "$(dirname "$0")/../page/reader.js" "$work/page-api.js" >"$work/out" 2>"$work/err"
    rc=$?
    ok "the event reader, however the stream is cut, and seeds of 63 bits" status_is 0
else
    skip "the scripts' syntax" "there is no node"
    skip "the event reader" "there is no node"
fi
kill "$server" 2>/dev/null
wait "$server"
rc=$?
server=''
ok "the server ends" status_is 0
finish
