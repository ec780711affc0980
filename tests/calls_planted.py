#!/usr/bin/env python3
"""calls_planted.py BUILD [WORD...]: plants mistakes into the reader of calls (chat/) and into what the server makes of its answers
(server/splitter.c), one at a time, and runs the test of that file, which must fail each time. With words only those whose file holds one of
them. Prints a line for each; exit status 1 if one is not caught or docs/chat.md does not list it (--list prints that list), 77 without a compiler."""
import os, shutil, subprocess, sys, tempfile

# file, what stands there, what is put there, what goes wrong
MISTAKES = [
    ("chat/answer.c", "fit = n <= size ? VBC_PART :", "fit = n <= size ? VBC_NO :", "white space before a call depends on where the text was cut"),
    ("chat/answer.c", "if ((fit == VBC_PART || loose == VBC_PART) && !last) return false;", "", "a marker that comes in pieces is content"),
    ("chat/answer.c", "        vbc_say(a, VB_SAID_CONTENT, 1);\n        return;", "        vbc_say(a, VB_SAID_CONTENT, a->at - a->base);\n        return;", "a call inside what was none is lost"),
    ("chat/answer.c", "event(a, control ? VB_SAID_MARKS : kind,", "event(a, kind,", "control tokens are shown"),
    ("chat/answer.c", "    *decided = i == k || i < n || last;", "    *decided = true;", "white space behind a marker depends on where the text was cut"),
    ("chat/answer.c", "    if (vbc_read_end(r))", "    if (true)", "a call that the end cut off is a call"),
    ("chat/answer.c", "if (before > 0 && memcmp(s, end, common) == 0) {", "if (false) {", "the line end before a closing marker is reasoning"),
    ("chat/answer.c", "!a->thought && a->n_calls == 0 &&", "", "reasoning may come twice"),
    ("chat/answer.c", "        vbc_say(a, VB_SAID_MARKS, spaces + close);", "        a->place = VBC_IN_CONTENT;", "the end of a list of calls is content"),
    ("chat/answer.c", "r->sure > a->told) event(a, VB_SAID_ARGUMENTS, r->args.s + a->told, r->sure - a->told);\n    a->told = r->sure;", "r->args.n > a->told) event(a, VB_SAID_ARGUMENTS, r->args.s + a->told, r->args.n - a->told);\n    a->told = r->args.n;", "half characters are told"),
    ("chat/answer.c", "const bool fresh = a->before == '\\n' || a->before == 0;", "const bool fresh = true;", "an object in a sentence is a call"),
    ("chat/calls_read.c", "return r->loose && r->role != NAME && r->role != ARGUMENTS ? VBC_WRONG : VBC_MORE;", "return VBC_MORE;", "an object with other members is a call without marks"),
    ("chat/answer.c", "memset(a->control + a->base, 0, raw);", "", "markers of reasoning are lost where it is not set apart"),
    ("chat/calls_scan.c", "if (digit && was != ZERO) return VBC_MORE;", "if (digit) return VBC_MORE;", "01 is a number"),
    ("chat/calls_scan.c", "if (c < j->least || c > j->most) return VBC_WRONG;", "", "bytes that are no UTF-8 are JSON"),
    ("chat/calls_scan.c", "if (space || may_space(literal, i)) at +=", "if (space) at +=", "white space where JSON allows it is none"),
    ("chat/calls_read.c", "r->named = r->function || (r->any_name && !r->loose);", "r->named = true;", "unknown names are calls"),
    ("chat/calls_read.c", "(r->named || c != '\"')", "(c != '\"')", "the second of two names counts"),
    ("chat/calls_read.c", "    return *r->k->tail && !r->loose ? VBC_MORE : VBC_DONE;", "    return VBC_DONE;", "the end of a call is content"),
    ("chat/calls_read.c", "vbc_json_whole(r->args.s ? r->args.s : \"\", r->args.n, &first) && first == '{'", "true", "arguments in a string need not be an object"),
    ("chat/calls_read.c", "if (!*r->k->trigger || r->loose) return VBC_WRONG;", "", "any object with a name is a call"),
    ("chat/calls_tags.c", "if (fit == VBC_PART) break;\n        if (fit == VBC_YES) {", "if (fit != VBC_NO) {", "a value ends at the first closing tag"),
    ("chat/calls_tags.c", "        if (c == '\\n') return VBC_MORE;", "", "the line end before a value belongs to it"),
    ("chat/calls_tags.c", "        n -= end.before;\n    for", "        n -= 0;\n    for", "the line end behind a value belongs to it"),
    ("chat/calls_tags.c", "    r->streamed = r->types == VBC_STRING;", "    r->streamed = true;", "every argument is a string"),
    ("chat/calls_tools.c", "        types = schema_types(root, referred(root, ref->u.s), depth + 1);", "        types = 0;", "references are not followed"),
    ("chat/calls_tools.c", "types & ~(unsigned)VBC_STRING : ~(unsigned)VBC_STRING;", "~(unsigned)VBC_STRING : ~(unsigned)VBC_STRING;", "the schema does not count"),
    ("chat/calls_literal.c", "{\"True\", \"true\"}", "{\"Truth\", \"true\"}", "True is no value"),
    ("chat/calls_literal.c", "    } else if (may_follow(l, c)) {", "    } else if (true) {", "a quote always ends a string"),
    ("chat/calls_literal.c", "    if (l->state == BEHIND_COMMA) vb_buf_puts(out, \", \");", "", "commas are lost"),
    ("chat/calls_input.c", "*out = vbt_read_exact_json(", "*out = vbt_read_json(", "numbers lose their text"),
    ("chat/calls_input.c", "if (name) set(t, m, \"name\", *name);", "", "results do not name their tool"),
    ("chat/calls_input.c", "if (k->short_ids && id && id->type == VBT_STR)", "if (false)", "ids that the template refuses are kept"),
    ("chat/calls_input.c", "        vbt_puts(&b, f->begin, false);", "        vbt_puts(&b, f->open, false);", "earlier calls are written wrong"),
    ("chat/calls_probe.c", "        if (a.s[i - 1] == '<') return i - 1;", "", "two tags that begin alike are taken for one"),
    ("chat/calls_probe.c", "    while (n > 0 && !strchr(\"<[{\", a.s[a.n - n])) n--;", "", "pieces begin inside a tag"),
    ("chat/calls_probe.c", "== VBC_YES) at += end;", "== VBC_YES) at += 0;", "empty reasoning belongs to a call"),
    ("chat/calls.c", "        if (p->spans[i].given && begin < n && p->spans[i].end > at) return false;", "", "a user opens reasoning"),
    ("chat/answer_channels.c", "return thought && a->reasoning ? VB_SAID_REASONING : VB_SAID_CONTENT;", "return VB_SAID_CONTENT;", "thoughts are shown"),
    ("chat/answer_channels.c", "        a->body = VB_SAID_CONTENT;\n        vbc_say(a, VB_SAID_MARKS, size);", "        vbc_say(a, VB_SAID_CONTENT, size);", "the end of a message is shown"),
    ("chat/answer_channels.c", "    return *size > 0;", "    return false;", "no message is a call"),
    ("chat/answer_channels.c", "    if ((end == VBC_PART || begin == VBC_PART) && !last) return false;", "", "an end that comes in pieces is content"),
    ("chat/answer_recipients.c", "    if (fit == VBC_PART && !last) return false;", "", "a mark that comes in pieces is content"),
    ("chat/answer_recipients.c", "    vbc_say(a, VB_SAID_MARKS, from + h->size);", "    vbc_say(a, VB_SAID_CONTENT, from + h->size);", "the name of everyone is shown"),
    ("chat/answer_recipients.c", "    return tool ? VBC_YES : VBC_NO;", "    return VBC_YES;", "whatever stands behind a mark is a message"),
    ("chat/answer_recipients.c", "        if (fit != VBC_NO || from == spaces) break;", "        break;", "a call behind white space is content"),
    ("chat/answer_recipients.c", "    else if (spaces == n)\n        vbc_say(a, VB_SAID_MARKS, n);\n", "", "white space behind a call is content"),
    ("chat/answer.c", "    if (s[*raw] != '[') return VBC_NO;", "    return VBC_NO;", "a list of calls without marks is content"),
    ("chat/answer.c", "    a->list = memchr(s, '[', raw) != NULL;", "    a->list = false;", "the second call of a list is content"),
    ("server/splitter.c", ".thinking = thinking,", ".thinking = false,", "a thought that the prompt began is content"),
    ("server/splitter.c", ".loose = a->loose_calls,", "", "calls without marks are content"),
    ("server/splitter.c", ".no_reasoning = a->reasoning == VBS_REASONING_CONTENT,", "", "thoughts leave the content unasked"),
    ("server/splitter.c", ".seed = key};", ".seed = 0};", "answers share their calls' ids"),
    ("server/splitter.c", ".any_name = has_marks(f),", "", "a call of an unknown tool is content"),
    ("server/splitter.c", "s->ends[n] <= s->told) n++;", "s->ends[n] < s->told) n++;", "a token is known a byte late"),
    ("server/splitter.c", "    if (reasoning) s->reasoning_tokens += n;", "    s->reasoning_tokens += n;", "every token is reasoning"),
    ("server/splitter.c", "    account(s, len, true);", "    account(s, len, false);", "no token is reasoning"),
    ("server/splitter.c", "s->places[i - 1].content > at) i--;", "s->places[i - 1].content >= at) i--;", "a stop string behind a call cuts before the call"),
    ("server/splitter.c", "    if (s->told != raw_place(s, c->taken)) {", "    if (false) {", "the content's places forget what stood between"),
    ("server/splitter.c", "    s->cut = raw_place(s, c->cut);", "    s->cut = c->cut;", "a cut counts bytes of the content"),
    ("server/splitter.c", "at < len && !rc && !s->hidden;", "at < len && !rc;", "hidden thoughts are told"),
    ("server/splitter.c", "    if (e->kind != VB_SAID_REASONING) rc = end_thought(s, first, out, err);", "", "half a character waits for the next thought"),
    ("server/splitter.c", "const size_t n = s->hidden ? 0 : vb_utf8_flush(&s->thought, rest);", "const size_t n = 0; (void)rest;", "half a character at the end is lost"),
    ("server/splitter.c", "        s->stopped = s->one_call;", "", "one call is not enough"),
    ("server/splitter.c", "        s->cut = s->told;", "", "the one call is cut away"),
    ("server/splitter.c", "        s->calls++;", "", "calls are not counted"),
    ("server/splitter.c", "n > 0 && n_shown == 0, err);", "false, err);", "control tokens are text"),
    ("server/splitter.c", "while (!rc && !s->stopped && vb_answer_next", "while (!rc && vb_answer_next", "what comes in one token with the end is told"),
    ("server/splitter.c", "    if (!rc) rc = vbs_text_end(&s->content, err);", "", "the beginning of a stop string at the end is lost"),
    ("server/splitter.c", "    p->text.n -= text;\n", "", "pieces that were dropped leave their texts"),
    ("server/splitter.c", "p->n > first && p->v", "p->n > 0 && p->v", "pieces of several tokens are one"),
]

TESTS = {"chat": ["test_calls_formats", "test_calls"], "server": ["test_server_splitter"]}


def listed():
    """The list in docs/chat.md: a line for each file."""
    files = dict.fromkeys(name for name, _, _, _ in MISTAKES)
    return "".join("- `%s`: %s\n" % (f, "; ".join(what for name, _, _, what in MISTAKES if name == f)) for f in files)


def fails(cc, build, test, path, program, libraries):
    """A test that has the file `path` in place of the library's own."""
    subprocess.run(cc.split() + ["-std=c11", "-D_GNU_SOURCE", "-I.", "-w", "-o", program, path, build + "/tests/%s.o" % test, build + "/tests/libtest.a",
                                 build + "/libtools.a", build + "/libverbatim.a", "-lcmocka", "-lgmp"] + libraries + ["-lm", "-ldl", "-pthread"], check=True)
    try:
        return subprocess.run([program], capture_output=True, timeout=60).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def main():
    if sys.argv[1] == "--list":
        sys.exit(sys.stdout.write(listed()) and 0)
    build, words = sys.argv[1], sys.argv[2:]
    cc = os.environ.get("CC") or "cc"
    if not shutil.which(cc.split()[0]):
        print("# no compiler")
        sys.exit(77)
    libraries = subprocess.run(["pkg-config", "--cflags", "--libs", "libpcre2-8", "libutf8proc", "libxxhash", "jansson", "libcurl"], capture_output=True, text=True).stdout.split()
    missed = 0
    if listed() not in open("docs/chat.md", encoding="utf-8").read():
        print("# docs/chat.md lists other mistakes: tests/calls_planted.py --list prints what belongs there")
        missed += 1
    with tempfile.TemporaryDirectory() as folder:
        for name, old, new, what in MISTAKES:
            if words and not any(w in name for w in words): continue
            source = open(name, encoding="utf-8").read()
            if source.count(old) != 1:
                print("# not planted, the text stands there %d times: %s: %s" % (source.count(old), name, what))
                missed += 1
                continue
            path, program = os.path.join(folder, os.path.basename(name)), os.path.join(folder, "test")
            open(path, "w", encoding="utf-8").write(source.replace(old, new))
            caught = any(fails(cc, build, test, path, program, libraries) for test in TESTS[name.split("/")[0]])
            missed += not caught
            print("# %s: %s: %s" % ("caught" if caught else "NOT CAUGHT", name, what))
    print("# %d planted mistakes, %d not caught" % (len(MISTAKES), missed))
    sys.exit(1 if missed else 0)


main()
