#!/usr/bin/env python3
"""calls_planted.py BUILD: plants mistakes into the reader of calls (chat/), one at a time, and runs tests/test_calls, which
must fail each time. Prints a line for each; exit status 1 if one is not caught, 77 without a compiler."""
import os, shutil, subprocess, sys, tempfile

# file, what stands there, what is put there, what goes wrong
MISTAKES = [
    ("answer.c", "fit = n <= size ? VBC_PART :", "fit = n <= size ? VBC_NO :", "white space before a call depends on where the text was cut"),
    ("answer.c", "if ((fit == VBC_PART || loose == VBC_PART) && !last) return false;", "", "a marker that comes in pieces is content"),
    ("answer.c", "        vbc_say(a, VB_SAID_CONTENT, 1);\n        return;", "        vbc_say(a, VB_SAID_CONTENT, a->at - a->base);\n        return;", "a call inside what was none is lost"),
    ("answer.c", "event(a, control ? VB_SAID_MARKS : kind,", "event(a, kind,", "control tokens are shown"),
    ("answer.c", "    *decided = i == k || i < n || last;", "    *decided = true;", "white space behind a marker depends on where the text was cut"),
    ("answer.c", "    if (vbc_read_end(r))", "    if (true)", "a call that the end cut off is a call"),
    ("answer.c", "if (before > 0 && memcmp(s, end, common) == 0) {", "if (false) {", "the line end before a closing marker is reasoning"),
    ("answer.c", "!a->thought && a->n_calls == 0 &&", "", "reasoning may come twice"),
    ("answer.c", "        vbc_say(a, VB_SAID_MARKS, spaces + close);", "        a->place = VBC_IN_CONTENT;", "the end of a list of calls is content"),
    ("answer.c", "r->sure > a->told) event(a, VB_SAID_ARGUMENTS, r->args.s + a->told, r->sure - a->told);\n    a->told = r->sure;", "r->args.n > a->told) event(a, VB_SAID_ARGUMENTS, r->args.s + a->told, r->args.n - a->told);\n    a->told = r->args.n;", "half characters are told"),
    ("answer.c", "const bool fresh = a->before == '\\n' || a->before == 0;", "const bool fresh = true;", "an object in a sentence is a call"),
    ("calls_read.c", "return r->loose && r->role != NAME && r->role != ARGUMENTS ? VBC_WRONG : VBC_MORE;", "return VBC_MORE;", "an object with other members is a call without marks"),
    ("answer.c", "memset(a->control + a->base, 0, raw);", "", "markers of reasoning are lost where it is not set apart"),
    ("calls_scan.c", "if (digit && was != ZERO) return VBC_MORE;", "if (digit) return VBC_MORE;", "01 is a number"),
    ("calls_scan.c", "if (c < j->least || c > j->most) return VBC_WRONG;", "", "bytes that are no UTF-8 are JSON"),
    ("calls_scan.c", "if (space || may_space(literal, i)) at +=", "if (space) at +=", "white space where JSON allows it is none"),
    ("calls_read.c", "r->named = r->function || (r->any_name && !r->loose);", "r->named = true;", "unknown names are calls"),
    ("calls_read.c", "(r->named || c != '\"')", "(c != '\"')", "the second of two names counts"),
    ("calls_read.c", "    return *r->k->tail && !r->loose ? VBC_MORE : VBC_DONE;", "    return VBC_DONE;", "the end of a call is content"),
    ("calls_read.c", "vbc_json_whole(r->args.s ? r->args.s : \"\", r->args.n, &first) && first == '{'", "true", "arguments in a string need not be an object"),
    ("calls_read.c", "if (!*r->k->trigger || r->loose) return VBC_WRONG;", "", "any object with a name is a call"),
    ("calls_tags.c", "if (fit == VBC_PART) break;\n        if (fit == VBC_YES) {", "if (fit != VBC_NO) {", "a value ends at the first closing tag"),
    ("calls_tags.c", "        if (c == '\\n') return VBC_MORE;", "", "the line end before a value belongs to it"),
    ("calls_tags.c", "        n -= end.before;\n    for", "        n -= 0;\n    for", "the line end behind a value belongs to it"),
    ("calls_tags.c", "    r->streamed = r->types == VBC_STRING;", "    r->streamed = true;", "every argument is a string"),
    ("calls_tools.c", "        types = schema_types(root, referred(root, ref->u.s), depth + 1);", "        types = 0;", "references are not followed"),
    ("calls_tools.c", "types & ~(unsigned)VBC_STRING : ~(unsigned)VBC_STRING;", "~(unsigned)VBC_STRING : ~(unsigned)VBC_STRING;", "the schema does not count"),
    ("calls_literal.c", "{\"True\", \"true\"}", "{\"Truth\", \"true\"}", "True is no value"),
    ("calls_literal.c", "    } else if (may_follow(l, c)) {", "    } else if (true) {", "a quote always ends a string"),
    ("calls_literal.c", "    if (l->state == BEHIND_COMMA) vb_buf_puts(out, \", \");", "", "commas are lost"),
    ("calls_input.c", "*out = vbt_read_exact_json(", "*out = vbt_read_json(", "numbers lose their text"),
    ("calls_input.c", "if (name) set(t, m, \"name\", *name);", "", "results do not name their tool"),
    ("calls_input.c", "if (k->short_ids && id && id->type == VBT_STR)", "if (false)", "ids that the template refuses are kept"),
    ("calls_input.c", "        vbt_puts(&b, f->begin, false);", "        vbt_puts(&b, f->open, false);", "earlier calls are written wrong"),
    ("calls_probe.c", "        if (a.s[i - 1] == '<') return i - 1;", "", "two tags that begin alike are taken for one"),
    ("calls_probe.c", "    while (n > 0 && !strchr(\"<[{\", a.s[a.n - n])) n--;", "", "pieces begin inside a tag"),
    ("calls_probe.c", "== VBC_YES) at += end;", "== VBC_YES) at += 0;", "empty reasoning belongs to a call"),
    ("calls.c", "        if (p->spans[i].given && begin < n && p->spans[i].end > at) return false;", "", "a user opens reasoning"),
    ("answer_channels.c", "return thought && a->reasoning ? VB_SAID_REASONING : VB_SAID_CONTENT;", "return VB_SAID_CONTENT;", "thoughts are shown"),
]


def main():
    build = sys.argv[1]
    cc = os.environ.get("CC") or "cc"
    if not shutil.which(cc.split()[0]):
        print("# no compiler")
        sys.exit(77)
    libraries = subprocess.run(["pkg-config", "--cflags", "--libs", "libpcre2-8", "libutf8proc", "libxxhash", "jansson"], capture_output=True, text=True).stdout.split()
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, old, new, what in MISTAKES:
            source = open("chat/" + name, encoding="utf-8").read()
            if source.count(old) != 1:
                print("# not planted, the text stands there %d times: chat/%s: %s" % (source.count(old), name, what))
                missed += 1
                continue
            path, program = os.path.join(folder, name), os.path.join(folder, "test")
            open(path, "w", encoding="utf-8").write(source.replace(old, new))
            subprocess.run(cc.split() + ["-std=c11", "-D_GNU_SOURCE", "-I.", "-w", "-o", program, path, build + "/tests/test_calls.o", build + "/libverbatim.a",
                                         "-lcmocka"] + libraries + ["-lm", "-ldl", "-pthread"], check=True)
            try:
                caught = subprocess.run([program], capture_output=True, timeout=60).returncode != 0
            except subprocess.TimeoutExpired:
                caught = True
            missed += not caught
            print("# %s: chat/%s: %s" % ("caught" if caught else "NOT CAUGHT", name, what))
    print("# %d planted mistakes, %d not caught" % (len(MISTAKES), missed))
    sys.exit(1 if missed else 0)


main()
