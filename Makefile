# Verbatim. `make demo` and `make test` do everything on a fresh machine; `make help` lists the rest.
#
# Variables: CC, OPT (-O2), CFLAGS and LDFLAGS (added), BUILD (objects; one folder per compiler and set of flags),
# PREFIX and DESTDIR (install), DEPS=skip (install no packages), TARGET and DRAFT (models for the demonstrations),
# FIXTURES (data for test-extended), FUZZ_SECONDS (per fuzzer), SOAK_SECONDS (make soak), V=1 (shows every command).

ifeq ($(origin CC),default)
CC := $(shell command -v gcc >/dev/null 2>&1 && echo gcc || echo cc)
endif
BUILD ?= build
OPT ?= -O2
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
SOAK_SECONDS ?= 60
FIXTURES ?= ../shared/fixtures
PKG_CONFIG ?= pkg-config
PKGS = libpcre2-8 libutf8proc libxxhash jansson
# Warnings are errors in `make lint`, for the compilers we know; another one's new warnings stop nobody's build.
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(WERROR)

# Bit identity (P1): nothing is contracted, reassociated or widened. docs/numerics.md says why. Comes last, so that no
# CFLAGS from outside undoes it.
EXACT = -std=c11 -ffp-contract=off -fno-fast-math
# Includes name the folder; include/ is there for programs that include <verbatim.h> as users do.
INCLUDES = -I. -Iinclude
# Recursive, not :=, so that the flags are right after tools/deps has installed the packages. $(eval) caches them.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null))$(PKG_LIBS)
ALL_CPPFLAGS = -D_GNU_SOURCE $(INCLUDES) $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = $(OPT) -g $(WARN) -pthread $(SAN) $(CFLAGS) $(EXACT)
LIBS = $(PKG_LIBS) -lm -ldl -pthread
# libcurl asks endpoints (prove --endpoint): the command and its tests link it, the library does not. Where its headers are
# missing (aarch64's packages for the emulated tests) prove/http_none.c takes its place and says so.
CURL = $(eval CURL := $$(shell $(PKG_CONFIG) --exists libcurl 2>/dev/null && echo yes))$(CURL)
CURL_LIBS = $(eval CURL_LIBS := $$(if $$(CURL),$$(shell $(PKG_CONFIG) --libs libcurl 2>/dev/null)))$(CURL_LIBS)
TOOL_LIBS = $(CURL_LIBS)
# libedit edits the lines of `verbatim chat`; without it they come as the terminal sends them (cli/line_plain.c).
EDIT = $(eval EDIT := $$(shell $(PKG_CONFIG) --exists libedit 2>/dev/null && echo yes))$(EDIT)
EDIT_LIBS = $(eval EDIT_LIBS := $$(if $$(EDIT),$$(shell $(PKG_CONFIG) --libs libedit 2>/dev/null)))$(EDIT_LIBS)
TEST_LIBS = -lcmocka -lgmp

LIB_DIRS = base gguf tokenizer chat grammar ref ref/arch simd offload engine sampling quantize
LIB_SRC := $(filter-out offload/openblas.c,$(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c)))
# Tools above the library: the command and the tests link them, libverbatim.a does not hold them.
TOOL_DIRS = prove conformance server
TOOL_SRC := $(filter-out $(if $(CURL),prove/http_none.c,prove/http.c),$(foreach d,$(TOOL_DIRS),$(wildcard $(d)/*.c)))
CLI_SRC := $(filter-out $(if $(EDIT),cli/line_plain.c,cli/line.c),$(wildcard cli/*.c))
TEST_SRC := $(wildcard tests/test_*.c)
TEST_LIB_SRC := $(filter-out $(TEST_SRC),$(wildcard tests/*.c))
TEST_TOOL_SRC := $(wildcard tests/tools/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
EXAMPLE_SRC := $(wildcard examples/*.c)
BENCH_SRC := $(wildcard bench/bench_*.c)
BENCH_LIB_SRC := $(filter-out $(BENCH_SRC),$(wildcard bench/*.c))
ALL_SRC := $(LIB_SRC) $(TOOL_SRC) $(CLI_SRC) $(TEST_SRC) $(TEST_LIB_SRC) $(TEST_TOOL_SRC) $(EXAMPLE_SRC) $(BENCH_SRC) $(BENCH_LIB_SRC)
ALL_HDR := $(foreach d,include $(LIB_DIRS) $(TOOL_DIRS) cli tests examples bench,$(wildcard $(d)/*.h))

# Chat templates of our own, as texts in the library.
TEMPLATES := $(sort $(wildcard chat/templates/*.jinja))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/chat/templates_generated.o
# The server's page and system prompts, as bytes in the program.
ASSETS := $(sort $(wildcard server/page/*.html server/page/*.js server/page/*.css server/page/*.svg server/prompts/*.txt))
TOOL_OBJ := $(TOOL_SRC:%.c=$(BUILD)/%.o) $(BUILD)/server/assets_generated.o
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(BUILD)/%.o)
BENCH_LIB_OBJ := $(BENCH_LIB_SRC:%.c=$(BUILD)/%.o)
TESTS := $(TEST_SRC:%.c=$(BUILD)/%)
TEST_TOOLS := $(TEST_TOOL_SRC:%.c=$(BUILD)/%)
FUZZERS := $(FUZZ_SRC:%.c=$(BUILD)/%)
EXAMPLES := $(EXAMPLE_SRC:%.c=$(BUILD)/%)
BENCHES := $(BENCH_SRC:%.c=$(BUILD)/%)
# Programs that take themselves to have AMX or AVX-VNNI: these instructions are emulated where the CPU lacks them
# (tests/amx_emulator.c, tests/vnni_emulator.c).
EMULATED_TESTS := $(if $(findstring x86_64-linux,$(shell $(CC) -dumpmachine 2>/dev/null)),\
    $(foreach d,amx vnni,$(BUILD)/tests/$(d)/test_checkkern $(BUILD)/tests/$(d)/verbatim))
# Offload backends are libraries of their own: OpenBLAS's is built where it is installed, the others are for the tests.
OPENBLAS := $(BUILD)/bin/verbatim-openblas.so
PLUGINS := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/plugins/*.c)) \
    $(if $(shell $(PKG_CONFIG) --exists openblas 2>/dev/null && echo yes),$(OPENBLAS))
# Libraries that the tests put in front of the C library (LD_PRELOAD).
PRELOADS := $(if $(findstring linux,$(shell $(CC) -dumpmachine 2>/dev/null)),$(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/preload/*.c)))
LIB := $(BUILD)/libverbatim.a
TOOL_LIB := $(BUILD)/libtools.a
TEST_LIB := $(BUILD)/tests/libtest.a
CLI := $(BUILD)/bin/verbatim
CLI_TESTS := $(filter-out tests/cli/lib.sh,$(wildcard tests/cli/*.sh))
# Programs that use threads, for the thread sanitizer. The two left out set their number to 1, or need fixtures.
TSAN_SRC := $(if $(TEST_SRC),$(filter-out tests/test_golden.c tests/test_planted_engine.c,\
    $(shell grep -lE 'vb_pool|n_threads|pthread|vbs_server_open|offload_rig' $(TEST_SRC))))

all: $(if $(filter build,$(BUILD)),bin/verbatim libverbatim.a,$(CLI) $(LIB))

help:
	@echo 'make              bin/verbatim and libverbatim.a'
	@echo 'make demo         install what is missing, build, generate text with a draft model, check it'
	@echo 'make test         install what is missing, build, run every test'
	@echo 'make run creative technical    one text each; TARGET=, DRAFT= choose models, PROMPT= the prompt'
	@echo 'make same-model draft-comparison temperature-demo    demonstrations (TARGET=, DRAFT=)'
	@echo 'make demo-speed   a pair of 3B and 0.5B is made (9 GB of disk for a while, 2.3 GB stay; ten minutes) and measured: drafting pays'
	@echo 'make bench        speeds on this machine; make plots draws them'
	@echo 'make test-extended FIXTURES=DIR    also the tests that compare with other programs'"'"' results'
	@echo 'make test-page     the server'"'"'s page in a headless browser, if there is one (PLAYWRIGHT=DIR with playwright-core)'
	@echo 'make test-clients  the server with openai, the AI SDK and OpenCode from npm, if there is node (CLIENTS=DIR keeps them)'
	@echo 'make real-models   fetches published models; make test-real compares them with their publishers'"'"' code (REAL_MODELS=DIR)'
	@echo 'make test-agent    OpenCode on real weights: how often a tool is called and its result used (REAL_MODELS, CLIENTS, SEEDS)'
	@echo 'make soak          the server under 8 clients for SOAK_SECONDS=60: every text as alone, memory flat'
	@echo 'make offload-openblas    the backend for --offload openblas (docs/offload.md)'
	@echo 'make asan tsan lint fuzz test-arm64    sanitizers, style and warnings, fuzzers, the tests on emulated aarch64'
	@echo 'make install uninstall    under PREFIX=$(PREFIX)'
	@echo 'make clean'
	@echo 'V=1 shows every command that make runs'

# ---------------------------------------------------------------------------------------------------- building

# A build says which folder it is at, and a kernels file, of which each takes long, by its name; what the compiler has to say comes
# through as it is. Make expands a recipe when it runs it, so that SEEN knows what was said.
Q := $(if $(filter 1,$(V)),,@)
SEEN :=
announce = $(if $(Q),$(if $(filter $(subst $() ,_,$1),$(SEEN)),,$(eval SEEN += $(subst $() ,_,$1))echo '$1$(BUILD_NOTE)';))
compiling = $(call announce,compiling $(if $(findstring simd/kernels_,$1),$1,$(patsubst %/,%,$(dir $1))))
BUILD_NOTE := $(if $(filter-out build,$(BUILD)), for $(BUILD))

# Objects of another compiler or other flags are not mixed in: this file changes, and all depend on it.
COMMAND_LINE = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS)
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMMAND_LINE)' | cmp -s - $@ || printf '%s\n' '$(COMMAND_LINE)' > $@

$(BUILD)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(call compiling,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/chat/templates_generated.c: tools/embed-templates $(TEMPLATES)
	@mkdir -p $(@D)
	$(Q)tools/embed-templates $(TEMPLATES) > $@.part && mv $@.part $@
$(BUILD)/chat/templates_generated.o: $(BUILD)/chat/templates_generated.c chat/templates.h $(BUILD)/.flags
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/server/assets_generated.c: tools/embed $(ASSETS)
	@mkdir -p $(@D)
	$(Q)tools/embed $(ASSETS) > $@.part && mv $@.part $@
$(BUILD)/server/assets_generated.o: $(BUILD)/server/assets_generated.c server/httpd.h $(BUILD)/.flags
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c $< -o $@

# The SIMD kernels are thousands of inlined intrinsics; the undefined-behaviour checks on each would take minutes to compile.
# They keep the address checks, and checkkern compares every result. Fuzzers of readers need no checks in them at all, and the
# thread sanitizer sees the same sharing of work in the reference kernels, at a hundredth of the time. Before gcc 13.3, stack
# frames that are checked for use after return are not aligned to 64 bytes, although code for AVX-512 relies on it. Checks that
# are calls compile in a quarter of the time.
COMMA = ,
SIMD_KERNEL_OBJ = $(patsubst %.c,$(BUILD)/%.o,$(wildcard simd/kernels_*.c))
GCC_FRAMES = $(if $(findstring clang,$(CC)),,--param asan-use-after-return=0 --param asan-instrumentation-with-call-threshold=0)
$(SIMD_KERNEL_OBJ): private override SAN := $(if $(findstring fuzzer,$(SAN))$(findstring thread,$(SAN)),,\
    $(subst $(COMMA)undefined,,$(SAN)) $(if $(findstring address,$(SAN)),$(GCC_FRAMES)))

# gcc 12 for aarch64 fails with an internal error on loops like error = fmax(error, ...), which tests are full of.
NO_VECTORS := $(if $(findstring aarch64,$(shell $(CC) -dumpmachine 2>/dev/null)),-fno-tree-vectorize)
$(BUILD)/tests/%.o: ALL_CFLAGS += $(NO_VECTORS)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

$(TOOL_LIB): $(TOOL_OBJ)
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

# An archive, so that a program takes what it uses and `make demo` needs none of the tests' libraries.
$(TEST_LIB): $(TEST_LIB_OBJ)
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

$(CLI): $(CLI_OBJ) $(TOOL_LIB) $(LIB)
	@mkdir -p $(@D)
	$(Q)$(call announce,linking the command)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) $(TOOL_LIBS) $(EDIT_LIBS) $(LIBS)

LINK_test_flips = -Wl,--wrap=vb_oracle_route# looks on while the oracle chooses experts
$(TESTS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB) $(TOOL_LIB) $(LIB)
	$(Q)$(call announce,linking tests)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) $(LINK_$(@F)) $(TEST_LIBS) $(TOOL_LIBS) $(LIBS)

CLAIMED = -Wl,--wrap=vb_cpu_features
$(BUILD)/tests/amx/test_checkkern $(BUILD)/tests/vnni/test_checkkern: $(BUILD)/tests/%/test_checkkern: \
    $(BUILD)/tests/test_checkkern.o $(BUILD)/tests/%_emulator.o $(TEST_LIB) $(TOOL_LIB) $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(CLAIMED) $^ -o $@ $(LDFLAGS) $(TEST_LIBS) $(TOOL_LIBS) $(LIBS)
$(BUILD)/tests/amx/verbatim $(BUILD)/tests/vnni/verbatim: $(BUILD)/tests/%/verbatim: \
    $(CLI_OBJ) $(BUILD)/tests/%_emulator.o $(TOOL_LIB) $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(CLAIMED) $^ -o $@ $(LDFLAGS) $(TOOL_LIBS) $(EDIT_LIBS) $(LIBS)

# What writes small models; without the rest of the tests' archive, which needs the tests' libraries.
GGUF_WRITER = $(BUILD)/tests/gguf_writer.o $(BUILD)/tests/gguf_models.o $(BUILD)/tests/other_vocab.o
$(TEST_TOOLS): $(BUILD)/tests/tools/%: $(BUILD)/tests/tools/%.o $(GGUF_WRITER) $(LIB)
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) $(LIBS)

$(EXAMPLES): $(BUILD)/examples/%: $(BUILD)/examples/%.o $(LIB)
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) $(LIBS)

$(BENCHES): $(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_LIB_OBJ) $(GGUF_WRITER) $(LIB)
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) $(LIBS)

$(BUILD)/tests/plugins/%.so: tests/plugins/%.c offload/offload.h $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -fPIC -shared $< -o $@ $(LDFLAGS) -lm

# Without the sanitizers: their runtime has allocators of its own, and the tests are skipped there.
$(BUILD)/tests/preload/%.so: tests/preload/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(filter-out -fsanitize=% -fno-sanitize-recover=%,$(ALL_CFLAGS)) -fPIC -shared $< -o $@

$(OPENBLAS): offload/openblas.c offload/offload.h $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $$($(PKG_CONFIG) --cflags openblas) $(ALL_CFLAGS) -fPIC -shared $< -o $@ $(LDFLAGS) \
	    $$($(PKG_CONFIG) --libs openblas)
# Beside the program, where --offload openblas finds it.
offload-openblas: $(OPENBLAS) all
	$(if $(filter build,$(BUILD)),cp $(OPENBLAS) bin/)

# The command's parts, for the fuzzer of its options.
CLI_LIB := $(BUILD)/cli/libcli.a
$(CLI_LIB): $(filter-out $(BUILD)/cli/main.o,$(CLI_OBJ))
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

$(FUZZERS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(CLI_LIB) $(TEST_LIB) $(TOOL_LIB) $(LIB)
	$(Q)$(call announce,linking fuzzers)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $^ -o $@ $(LDFLAGS) $(TOOL_LIBS) $(LIBS)

# A program that runs cannot be written to, but its name can be given to another.
bin/verbatim: build/bin/verbatim
	@mkdir -p bin
	@rm -f $@
	$(Q)cp $< $@
libverbatim.a: build/libverbatim.a
	$(Q)cp $< $@

objects: $(ALL_SRC:%.c=$(BUILD)/%.o)
examples: $(EXAMPLES)
build: all # a folder has this name, and people say it
programs: all $(TESTS) $(EMULATED_TESTS) $(TEST_TOOLS) $(PLUGINS) $(PRELOADS) $(EXAMPLES) $(CLI) $(LIB)

# ---------------------------------------------------------------------------------------------------- tests

test:
	@tools/deps build test
	@$(MAKE) --no-print-directory check

# The tests without the look for packages.
check: programs
	@BUILD=$(BUILD) SKIP='$(SKIP)' tests/run $(TESTS) $(CLI_TESTS)

test-extended:
	@test -d $(FIXTURES) || { echo 'no folder $(FIXTURES): name it with FIXTURES=DIR'; exit 1; }
	@tools/deps build test
	@VB_FIXTURES=$(abspath $(FIXTURES)) $(MAKE) --no-print-directory check

asan:
	@tools/deps build test
	@ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) --no-print-directory check \
	    BUILD=build/asan OPT='-O2 -fno-omit-frame-pointer' SAN='-fsanitize=address,undefined -fno-sanitize-recover=all'

tsan:
	@tools/deps build test
	@$(MAKE) --no-print-directory tsan-check BUILD=build/tsan OPT=-O2 SAN=-fsanitize=thread
tsan-check: $(TSAN_SRC:%.c=$(BUILD)/%) $(CLI) $(TEST_TOOLS)
	@BUILD=$(BUILD) TSAN_OPTIONS=halt_on_error=1 tests/run $(TSAN_SRC:%.c=$(BUILD)/%) tests/cli/serve.sh tests/cli/kill.sh

lint:
	@tools/deps build test lint
	@tools/lint

# The server's page in a browser, with what the machine has; SHOTS=DIR takes pictures of it at four sizes, in light and dark
# (light-1180, dark-1180, light-phone-token and dark-phone-token are those in the docs).
SCREENSHOT ?= $(BUILD)/server-page.png
test-page:
	@tools/deps build
	@$(MAKE) --no-print-directory $(CLI)
	@BUILD=$(BUILD) SCREENSHOT=$(SCREENSHOT) SHOTS=$(SHOTS) tests/page/run

# The server with the clients that people use, from npm, with what the machine has. They are kept in CLIENTS.
CLIENTS ?= $(BUILD)/clients
test-clients:
	@tools/deps build
	@$(MAKE) --no-print-directory $(CLI) $(BUILD)/tests/tools/scripted_model
	@BUILD=$(BUILD) CLIENTS=$(CLIENTS) tests/clients/run

# Published models, with the code of their publishers: transformers and torch from pip (tools/oracle/hf.py says which).
REAL_MODELS ?= real-models
real-models:
	@tools/real-models $(REAL_MODELS)
test-real:
	@tools/deps build
	@$(MAKE) --no-print-directory $(CLI)
	@BUILD=$(BUILD) REAL_MODELS=$(REAL_MODELS) tests/real/run
# OpenCode, as test-clients installs it, on two of them.
test-agent:
	@tools/deps build
	@$(MAKE) --no-print-directory $(CLI)
	@BUILD=$(BUILD) REAL_MODELS=$(REAL_MODELS) CLIENTS=$(CLIENTS) tests/real/opencode

soak:
	@tools/deps build
	@$(MAKE) --no-print-directory $(CLI)
	@BUILD=$(BUILD) SOAK_SECONDS=$(SOAK_SECONDS) tests/soak/run

fuzz:
	@tools/deps build lint
	@$(MAKE) --no-print-directory fuzz-check CC=clang BUILD=build/fuzz OPT='-O1 -fno-omit-frame-pointer' \
	    SAN='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
fuzz-check: $(FUZZERS)
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(FUZZERS)

# On emulated aarch64. Debian's libraries for it are unpacked into build/arm64/sysroot; the system is left alone.
# Left out, and counted as skipped: what takes long under emulation and does not depend on the machine (searches and
# enumerations in integers, statistics). tests/cli/cross.sh compares the two machines' bytes.
ARM64_SKIP = test_accept test_context test_encode test_flips test_kernel_sets test_law test_law_text test_law_tree test_offload test_offload_libraries test_planted test_planted_engine test_prove \
    test_prove_power test_prove_texts test_quantize test_server_engine test_server_stops test_speculate test_speculate_many test_speculate_trained test_stats \
    test_cost_tree test_grammar_masks test_schema test_schema_limits test_speculate_tree test_suffix test_text_drafts test_tokenizer_vectors test_vectors command-adapters command-agent command-bench command-calls command-coming_from command-draft_text command-endpoint command-page command-prove command-python \
    command-kill command-quantize command-serve command-shards
ARM64_ROOT = $(abspath build/arm64/sysroot)
test-arm64:
	@tools/deps build arm64
	@$(MAKE) --no-print-directory all
	@tools/arm64-sysroot $(ARM64_ROOT)
	@PKG_CONFIG_LIBDIR=$(ARM64_ROOT)/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$(ARM64_ROOT) \
	VB_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$(ARM64_ROOT)/usr/lib/aarch64-linux-gnu:$(ARM64_ROOT)/lib/aarch64-linux-gnu' \
	    $(MAKE) --no-print-directory check SKIP='$(ARM64_SKIP)' BUILD=build/arm64 CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar \
	    CPPFLAGS='-isystem $(ARM64_ROOT)/usr/include -isystem $(ARM64_ROOT)/usr/include/aarch64-linux-gnu' \
	    LDFLAGS='-L$(ARM64_ROOT)/usr/lib/aarch64-linux-gnu -Wl,-rpath-link=$(ARM64_ROOT)/usr/lib/aarch64-linux-gnu:$(ARM64_ROOT)/lib/aarch64-linux-gnu'

# ---------------------------------------------------------------------------------------------------- demonstrations

demo run creative technical same-model draft-comparison temperature-demo:
	@tools/deps build
	@$(MAKE) --no-print-directory all build/tests/tools/tiny_pair
	@TARGET='$(TARGET)' DRAFT='$(DRAFT)' tools/demo $@

# Where drafting is seen to pay: a pair of real dimensions, made on the spot.
demo-speed:
	@tools/deps build numpy
	@$(MAKE) --no-print-directory all
	@TARGET='$(TARGET)' DRAFT='$(DRAFT)' tools/demo $@

bench:
	@tools/deps build
	@$(MAKE) --no-print-directory bench-run
bench-run: all $(BENCHES) $(BUILD)/tests/tools/tiny_pair
	@TARGET='$(TARGET)' DRAFT='$(DRAFT)' FIXTURES='$(FIXTURES)' BENCH=$(BUILD)/bench/bench_eval tools/demo bench

# docs/bench-cost.svg and docs/bench-speedup.svg from a measurement on this machine.
plots:
	@tools/deps build
	@$(MAKE) --no-print-directory all build/tests/tools/tiny_pair
	@TARGET='$(TARGET)' DRAFT='$(DRAFT)' tools/demo plots

# ---------------------------------------------------------------------------------------------------- installing

define PC
prefix=$(PREFIX)
Name: verbatim
Description: exact speculative decoding of GGUF language models
Version: $(shell sed -n 's/^#define VB_VERSION "\(.*\)"/\1/p' include/verbatim.h)
Cflags: -I$${prefix}/include
Libs: -L$${prefix}/lib -lverbatim
Requires.private: $(PKGS)
Libs.private: -lm -ldl -pthread
endef
export PC

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 755 $(CLI) $(DESTDIR)$(PREFIX)/bin/verbatim
	install -m 644 include/verbatim.h $(DESTDIR)$(PREFIX)/include/verbatim.h
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libverbatim.a
	@printf '%s\n' "$$PC" > $(DESTDIR)$(PREFIX)/lib/pkgconfig/verbatim.pc

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/verbatim $(DESTDIR)$(PREFIX)/include/verbatim.h \
	    $(DESTDIR)$(PREFIX)/lib/libverbatim.a $(DESTDIR)$(PREFIX)/lib/pkgconfig/verbatim.pc

clean:
	rm -rf build bin libverbatim.a

.SECONDARY:
-include $(patsubst %.c,$(BUILD)/%.d,$(ALL_SRC) $(FUZZ_SRC))
FORCE:
.PHONY: all build help objects examples offload-openblas programs test check test-extended asan tsan tsan-check lint fuzz fuzz-check test-arm64 test-page test-clients real-models test-real test-agent soak \
    demo run creative technical same-model draft-comparison temperature-demo demo-speed bench bench-run plots install uninstall clean FORCE
