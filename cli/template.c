/* template.c - chat templates of the commands: by name, from a file, or the model's own. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cli_template_named(const char *name) {
    for (const char *const *n = vb_chat_names(); *n; n++)
        if (!strcmp(*n, name)) return true;
    return false;
}

static void list_names(char list[600]) {
    list[0] = 0;
    for (const char *const *name = vb_chat_names(); *name; name++) {
        size_t used = strlen(list);
        snprintf(list + used, 600 - used, "%s%s", used ? ", " : "", *name);
    }
}

int cli_template_file(const char *path, char **text, size_t *n) {
    char list[600];
    if (!access(path, R_OK)) return cli_read_file(path, text, n);
    const int why = errno;
    list_names(list);
    return cli_usage("--chat-template %s: expected one of %s, or a file, and that file cannot be read: %s",
                     path, list, strerror(why));
}

int cli_template_open(const char *wanted, const vb_gguf *g, const vb_tokenizer *t, vb_chat **out) {
    vb_error err = {0};
    char *text = NULL, list[600];
    size_t n = 0;
    int rc = CLI_OK, bad;
    if (!wanted) {
        if (!vb_chat_open(out, g, NULL, &err)) return CLI_OK;
        cli_report(&err);
        list_names(list);
        return cli_error(
            "--chat-template NAME gives one that the model was trained with, or is near to it: %s; or a file",
            list);
    }
    if (cli_template_named(wanted)) {
        bad = vb_chat_open_named(out, wanted, &err);
    } else {
        rc = cli_template_file(wanted, &text, &n);
        if (rc) return rc;
        bad = vb_chat_open_text(out, text, n, wanted, &err);
        free(text);
    }
    if (!bad && t) bad = vb_chat_fits(*out, t, &err);
    return bad ? cli_report(&err) : CLI_OK;
}

int cli_template_date(const cli_options *o, int date[6], bool *given) {
    *given = o->date != NULL;
    if (!o->date || vb_chat_date(o->date, date)) return CLI_OK;
    return cli_usage("--date %s: expected YYYY-MM-DD or \"YYYY-MM-DD HH:MM:SS\"", o->date);
}

void cli_forget_writers(vb_prompt *p) {
    for (size_t i = 0; i < p->n_spans; i++) p->spans[i].given = false;
}
