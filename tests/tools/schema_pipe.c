/* schema_pipe.c - a schema's automaton for scripts (tests/schema_suites.py): reads one JSON object a line
 * and answers each with one.
 *
 *   {"schema": TEXT, "any": BOOL}   compiles: {"ms", "error"}, error null: state 0 is the start
 *   {"at": STATE, "text": TEXT}     {"state", "accepts"}; state -1: the text cannot come
 *   {"at": STATE, "texts": [TEXT]}  {"states": one for each text, all from STATE} */
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static vbg_machine *machine;

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static json_t *compile(const json_t *in) {
    const char *text = json_string_value(json_object_get(in, "schema"));
    const vbj_options o = {.any_whitespace = json_is_true(json_object_get(in, "any"))};
    const double begun = cpu_ms();
    vb_error err = {0};
    vbg_ir *ir = NULL;
    vbg_node root;
    vbg_machine_free(machine);
    machine = NULL;
    int rc = vbg_ir_new(&ir, &err);
    if (!rc) rc = vbj_schema_compile(ir, text, strlen(text), &o, &root, &err);
    vb_grammar *g = NULL;
    if (!rc) rc = vbg_ir_finish(ir, root, &g, &err);
    /* A schema without an instance is no grammar; here it is one that takes nothing. */
    const bool none = rc == VB_ERR_ARGUMENT;
    vbg_ir *copy;
    if (!rc) rc = vbg_ir_copy(&copy, g->ir, &err);
    if (!rc) rc = vbg_machine_new(&machine, copy, &err);
    const double ms = cpu_ms() - begun;
    if (g)
        vb_grammar_close(g);
    else
        vbg_ir_free(ir);
    return json_pack("{s:f, s:s?}", "ms", ms, "error", rc && !none ? err.message : NULL);
}

/* States of the machine as they are, but that 0 asks for the start. */
static uint32_t step(const json_t *in, const json_t *text) {
    const json_int_t at = json_integer_value(json_object_get(in, "at"));
    return vbg_advance(machine, at ? (uint32_t)at : machine->start, json_string_value(text),
                       json_string_length(text));
}

static json_int_t number_of(uint32_t state) {
    return state == VBG_DEAD_STATE ? -1 : (json_int_t)state;
}

static json_t *advance(const json_t *in) {
    const json_t *texts = json_object_get(in, "texts");
    json_t *states = json_array();
    for (size_t i = 0; machine && !machine->error.code && i < json_array_size(texts); i++)
        json_array_append_new(states, json_integer(number_of(step(in, json_array_get(texts, i)))));
    uint32_t next = VBG_DEAD_STATE;
    if (machine && !texts) next = step(in, json_object_get(in, "text"));
    if (machine && machine->error.code) {
        json_decref(states);
        return json_pack("{s:s}", "error", machine->error.message);
    }
    if (texts) return json_pack("{s:o}", "states", states);
    json_decref(states);
    return json_pack("{s:I, s:b}", "state", number_of(next), "accepts",
                     machine && (int)machine->states[next].accept);
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        json_t *in = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        json_t *out = json_object_get(in, "schema") ? compile(in) : advance(in);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(out);
        json_decref(in);
    }
    free(line);
    vbg_machine_free(machine);
    return 0;
}
