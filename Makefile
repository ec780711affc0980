# Verbatim. `make demo` and `make test` do everything on a fresh machine; `make help` lists the rest.
CC ?= gcc
BUILD ?= build
OPT ?= -O2
PKGS = libpcre2-8 libutf8proc libxxhash jansson
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
# Bit identity (P1): nothing is contracted, reassociated or widened. docs/numerics.md says why.
EXACT = -std=c11 -ffp-contract=off -fno-fast-math
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Ibase -Igguf -Itokenizer -Iref -Isimd -Isampling -Ioffload -Iquantize
CFLAGS += $(EXACT) $(OPT) -g $(WARN) -pthread $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -pthread

LIB_SRC := $(wildcard base/*.c gguf/*.c tokenizer/*.c ref/*.c simd/*.c sampling/*.c offload/*.c quantize/*.c)
CLI_SRC := $(wildcard cli/*.c)
TEST_SRC := $(wildcard tests/test_*.c)
TEST_LIB_SRC := $(filter-out $(TEST_SRC),$(wildcard tests/*.c))
EXAMPLE_SRC := $(wildcard examples/*.c)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(BUILD)/%.o)
TESTS := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
EXAMPLES := $(EXAMPLE_SRC:examples/%.c=$(BUILD)/examples/%)

all: $(BUILD)/libverbatim.a

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libverbatim.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB_OBJ) $(BUILD)/libverbatim.a
	$(CC) $(CFLAGS) $^ -o $@ $(LIBS) -lcmocka $(LDFLAGS) -lgmp

$(BUILD)/examples/%: $(BUILD)/examples/%.o $(BUILD)/libverbatim.a
	$(CC) $(CFLAGS) $^ -o $@ $(LIBS) $(LDFLAGS)

.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TEST_SRC:%.c=$(BUILD)/%.d)
.PHONY: all
