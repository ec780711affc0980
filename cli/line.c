/* line.c - lines edited on a terminal, by libedit. See line.h.
 *
 * libedit reads keys through get_key here, so that a Ctrl-C is seen (libedit's own reader reads on after the
 * first one) and a window that changes its size is drawn again. Pasted text comes between two marks where the
 * terminal was asked for them ("bracketed paste"): it goes into the line as it is, line breaks too, and waits
 * for Enter. */
#include "cli/line.h"

#include "base/buf.h"
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>
#include <wchar.h>

enum { REMEMBERED = 500 };

struct cli_line {
    EditLine *edit; /* NULL: no terminal, lines come as they are */
    History *history;
    const char *prompt;
    const char *const *words;
    bool failed; /* standard input cannot be read; errno was kept in `reason` */
    int reason;
};

static volatile sig_atomic_t resized;

static void on_resize(int number) {
    (void)number;
    resized = 1;
}

static cli_line *self(EditLine *e) {
    void *l = NULL;
    el_get(e, EL_CLIENTDATA, &l);
    return l;
}

static char *prompt_of(EditLine *e) {
    return (char *)(uintptr_t)self(e)->prompt;
}

/* ------------------------------------------------------------------------------------------------- keys */

/* The window has another size. libedit's picture of the screen is new and empty then, and holds no end of its
 * rows: the next key would be written into it and what lies behind be read. So the line is drawn at once. */
static void redraw(cli_line *l) {
    el_resize(l->edit);
    fputs("\r\x1b[K", stderr);
    el_set(l->edit, EL_REFRESH);
}

/* Waits for a key: 0, or -1 after Ctrl-C. The signals are held back but while it waits: one that comes just
 * before, when the prompt stands there already, would otherwise be seen with the next key only. */
static int await_key(cli_line *l) {
    sigset_t held, before;
    int rc = 1;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    while (rc > 0) {
        fd_set keys;
        FD_ZERO(&keys);
        FD_SET(STDIN_FILENO, &keys);
        if (cli_interrupted()) {
            rc = -1;
        } else if (pselect(STDIN_FILENO + 1, &keys, NULL, NULL, NULL, &before) > 0 || errno != EINTR) {
            rc = 0;           /* a key, the end, or an error, which read tells */
        } else if (resized) { /* only where no key waits: libedit has drawn the line then */
            resized = 0;
            redraw(l);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* One byte: 1, 0 at the end of input, -1 after Ctrl-C or an error. */
static int get_byte(cli_line *l, char *c) {
    while (!await_key(l)) {
        const ssize_t got = read(STDIN_FILENO, c, 1);
        if (got >= 0) return (int)got;
        if (errno == EINTR) continue;
        l->failed = true, l->reason = errno;
        break;
    }
    return -1;
}

/* One character of the terminal's own encoding, as libedit wants it. */
static int get_key(EditLine *e, wchar_t *out) {
    cli_line *l = self(e);
    mbstate_t state;
    memset(&state, 0, sizeof state);
    for (int i = 0; i < 8; i++) {
        char c;
        const int got = get_byte(l, &c);
        if (got <= 0) return got;
        const size_t used = mbrtowc(out, &c, 1, &state);
        if (used == (size_t)-2) continue; /* a part of one */
        if (used == (size_t)-1) *out = L'?';
        if (used == 0) *out = 0;
        return 1;
    }
    *out = L'?';
    return 1;
}

/* ---------------------------------------------------------------------------------------------- editing */

static unsigned char paste(EditLine *e, int key) {
    static const char end[] = "\x1b[201~";
    cli_line *l = self(e);
    vb_buf text = {0};
    char c;
    (void)key;
    while (get_byte(l, &c) > 0) {
        if (c == '\r') c = '\n';
        vb_buf_add(&text, &c, 1);
        if (text.n < strlen(end) || memcmp(text.s + text.n - strlen(end), end, strlen(end)) != 0) continue;
        text.s[text.n - strlen(end)] = 0;
        el_insertstr(e, text.s);
        break;
    }
    vb_buf_free(&text);
    return CC_REFRESH;
}

static unsigned char new_line(EditLine *e, int key) {
    (void)key;
    return el_insertstr(e, "\n") ? CC_ERROR : CC_REFRESH;
}

/* What all of `found` and `word` have in common is left in found. */
static void narrow(char *found, size_t room, const char *word, int n_found) {
    size_t n = 0;
    if (n_found == 0) {
        snprintf(found, room, "%s", word);
        return;
    }
    while (found[n] && found[n] == word[n]) n++;
    found[n] = 0;
}

/* The files whose path begins with `path`; a folder has a slash behind it. */
static int complete_file(const char *path, char *found, size_t room) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char folder[1024], whole[2048];
    int n = 0;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d)) != NULL;) {
        if (strncmp(f->d_name, name, strlen(name)) != 0 || (f->d_name[0] == '.' && name[0] != '.')) continue;
        snprintf(whole, sizeof whole, "%s%s", slash ? folder : "", f->d_name);
        DIR *below = opendir(whole);
        if (below) strcat(whole, "/");
        if (below) closedir(below);
        narrow(found, room, whole, n++);
    }
    if (d) closedir(d);
    return n;
}

/* Tab: a command, or the file behind one. */
static unsigned char complete(EditLine *e, int key) {
    const cli_line *l = self(e);
    const LineInfo *at = el_line(e);
    char typed[1024], found[2048] = "";
    const size_t len = (size_t)(at->cursor - at->buffer);
    int n = 0;
    (void)key;
    if (at->buffer[0] != '/' || len >= sizeof typed) return el_insertstr(e, "\t") ? CC_ERROR : CC_REFRESH;
    snprintf(typed, sizeof typed, "%.*s", (int)len, at->buffer);
    const char *space = strchr(typed, ' '), *part = space ? space + strspn(space, " ") : typed;
    if (space) {
        n = complete_file(part, found, sizeof found);
    } else {
        for (const char *const *w = l->words; *w; w++)
            if (!strncmp(*w, typed, len)) narrow(found, sizeof found, *w, n++);
    }
    if (n == 0 || strlen(found) < strlen(part)) return CC_ERROR;
    if (n == 1 && !space) strcat(found, " ");
    if (!found[strlen(part)]) return CC_ERROR;
    return el_insertstr(e, found + strlen(part)) ? CC_ERROR : CC_REFRESH;
}

/* ---------------------------------------------------------------------------------------------- opening */

static bool open_editor(cli_line *l) {
    const char *term = getenv("TERM");
    HistEvent event;
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1 || !term || !strcmp(term, "dumb"))
        return true;
    /* Characters are what the terminal sends: UTF-8, also where the locale does not say so. */
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    l->edit = el_init("verbatim", stdin, stderr, stderr);
    l->history = history_init();
    if (!l->edit || !l->history) return false;
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, prompt_of);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_SIGNAL, 0);
    el_set(l->edit, EL_GETCFN, get_key);
    history(l->history, &event, H_SETSIZE, REMEMBERED);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->edit, EL_HIST, history, l->history);
    el_set(l->edit, EL_ADDFN, "vb-paste", "insert what is pasted", paste);
    el_set(l->edit, EL_ADDFN, "vb-new-line", "insert a line break", new_line);
    el_set(l->edit, EL_ADDFN, "vb-complete", "complete a command or a file's name", complete);
    el_set(l->edit, EL_BIND, "\\e[200~", "vb-paste", NULL);
    el_set(l->edit, EL_BIND, "\\e\r", "vb-new-line", NULL);
    el_set(l->edit, EL_BIND, "\\e\n", "vb-new-line", NULL);
    el_set(l->edit, EL_BIND, "\t", "vb-complete", NULL);
    el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_resize;
    sigaction(SIGWINCH, &action, NULL);
    return true;
}

cli_line *cli_line_open(const char *const *words) {
    cli_line *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->words = words;
    if (open_editor(l)) return l;
    cli_line_close(l);
    return NULL;
}

void cli_line_close(cli_line *l) {
    if (!l) return;
    if (l->history) history_end(l->history);
    if (l->edit) el_end(l->edit);
    free(l);
}

bool cli_line_edits(const cli_line *l) {
    return l->edit != NULL;
}

void cli_line_remember(cli_line *l, const char *text) {
    HistEvent event;
    if (l->edit && *text) history(l->history, &event, H_ENTER, text);
}

int cli_line_read(cli_line *l, const char *prompt, char **text, size_t *n) {
    int got = 0;
    *text = NULL;
    if (!l->edit) return cli_read_prompted(prompt, text, n);
    l->prompt = prompt;
    fputs("\x1b[?2004h", stderr); /* pasted text is marked from here on */
    const char *line = el_gets(l->edit, &got);
    fputs("\x1b[?2004l", stderr);
    if (!line || got <= 0) {
        if (l->failed) cli_error("cannot read standard input: %s", strerror(l->reason));
        fputc('\n', stderr);
        return l->failed ? -2 : cli_interrupted() ? 1 : -1;
    }
    *n = (size_t)got - (line[got - 1] == '\n');
    *text = malloc(*n + 1);
    if (!*text) {
        cli_error("out of memory for a line");
        return -2;
    }
    memcpy(*text, line, *n);
    (*text)[*n] = 0;
    return 0;
}
