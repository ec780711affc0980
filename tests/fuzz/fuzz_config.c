/* fuzz_config.c - libFuzzer: files for `verbatim serve --config`, and command lines. Nothing may crash; a
 * file that is taken becomes options that the command line would take. `make fuzz` builds and runs it.
 *
 * Byte 0 chooses: an even one a file of JSON, an odd one the arguments of one of the commands, one a line. */
#include "cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file;
static char path[64];

/* Messages go nowhere: there are as many as inputs. What the sanitizers and libFuzzer say stays. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    stderr = fopen("/dev/null", "w");
    stdout = fopen("/dev/null", "w");
    file = memfd_create("config", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || !stderr || !stdout) abort();
    return 0;
}

static void parse(const cli_command *command, int argc, char **argv, cli_options *o) {
    const int rc = cli_parse(command, argc, argv, o);
    if (rc != CLI_OK && rc != CLI_USAGE) abort();
    if (rc == CLI_OK && (o->n_words < 0 || o->n_words > CLI_MAX_WORDS)) abort();
}

static void read_file(const uint8_t *data, size_t size) {
    static const cli_command serve = {"serve", CMD_SERVE, "", "", NULL, 0, NULL};
    static cli_options o;
    char name[] = "--config", *argv[] = {name, path};
    cli_config c;
    if (ftruncate(file, 0) || pwrite(file, data, size, 0) != (ssize_t)size) abort();
    cli_defaults(serve.bit, &o);
    const int rc = cli_config_read(&c, &serve, 2, argv, &o);
    if (rc != CLI_OK && rc != CLI_USAGE) abort();
    if (!rc) parse(&serve, 2, argv, &o);
    cli_options_free(&o);
    cli_config_close(&c);
}

static void read_arguments(unsigned which, const uint8_t *data, size_t size) {
    const cli_command command = {"x", 1u << which % 15, "", "", NULL, which % 5 ? 0 : CLI_MAX_WORDS, NULL};
    char *argv[64], *text = malloc(size + 1);
    int argc = 0;
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = 0;
    for (char *at = text, *next; at && argc < 64; at = next) {
        next = strchr(at, '\n');
        if (next) *next++ = 0;
        argv[argc++] = at;
    }
    static cli_options o;
    cli_defaults(command.bit, &o);
    parse(&command, argc, argv, &o);
    cli_options_free(&o);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    if (data[0] & 1)
        read_arguments(data[0] >> 1, data + 1, size - 1);
    else
        read_file(data + 1, size - 1);
    return 0;
}
