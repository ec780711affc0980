/* trap.c - a copy of a program in which every vpdpbusd with a VEX prefix has an opcode that no CPU knows, for
 * tests/vnni_emulator.c on CPUs that have the instruction.
 *
 *   objdump -d PROGRAM | trap PROGRAM COPY      prints how many; exit status 1 if there is none
 *
 * The disassembler says where instructions begin; the file is ELF with 64 bits, little endian. */
#if defined(__linux__)

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int failed(const char *what) {
    fprintf(stderr, "trap: %s\n", what);
    return 1;
}

static uint8_t *read_all(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*size + 1);
    if (bytes && fread(bytes, 1, *size, f) != *size) *size = 0;
    fclose(f);
    return bytes;
}

/* Where in the file the byte lies that is loaded at `address`; size if nowhere. */
static size_t file_offset(const uint8_t *elf, size_t size, uint64_t address) {
    Elf64_Ehdr head;
    memcpy(&head, elf, sizeof head);
    for (int i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr part;
        const size_t at = head.e_phoff + (size_t)i * head.e_phentsize;
        if (at > size - sizeof part) break;
        memcpy(&part, elf + at, sizeof part);
        if (part.p_type == PT_LOAD && address >= part.p_vaddr && address - part.p_vaddr < part.p_filesz)
            return (size_t)(part.p_offset + (address - part.p_vaddr));
    }
    return size;
}

int main(int argc, char **argv) {
    enum { VPDPBUSD = 0x50, TRAPPED = 0x57 };
    size_t size = 0, found = 0;
    if (argc != 3) return failed("usage: objdump -d PROGRAM | trap PROGRAM COPY");
    uint8_t *elf = read_all(argv[1], &size);
    if (!elf || size < sizeof(Elf64_Ehdr) || memcmp(elf, ELFMAG, SELFMAG) != 0 || elf[EI_CLASS] != ELFCLASS64)
        return failed("not a program of 64 bits");
    for (char line[512]; fgets(line, sizeof line, stdin);) {
        if (!strstr(line, "vpdpbusd ")) continue;
        const size_t at = file_offset(elf, size, strtoull(line, NULL, 16));
        /* c4, ..., opcode: others (EVEX) begin with 62 */
        if (at + 4 > size || elf[at] != 0xc4 || elf[at + 3] != VPDPBUSD) continue;
        elf[at + 3] = TRAPPED;
        found++;
    }
    FILE *f = fopen(argv[2], "wb");
    if (!f || fwrite(elf, 1, size, f) != size || fclose(f) || chmod(argv[2], 0755))
        return failed("cannot write the copy");
    free(elf);
    printf("%zu\n", found);
    return found == 0;
}

#else

#include <stdio.h>

int main(void) {
    fprintf(stderr, "trap: not Linux\n");
    return 2;
}

#endif
