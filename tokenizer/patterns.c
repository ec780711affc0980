/* patterns.c - the pre-tokenizers as published in each family's tokenizer.json (or tiktoken source). Data
 * only.
 *
 * Patterns are PCRE2 syntax, which these happen to be; pretokenize.c says how \s is read. Where
 * tokenizer.json names a built-in step instead of a pattern, the pattern written here is the definition of
 * that step:
 *
 * - ByteLevel(use_regex): the GPT-2 pattern
 * - Digits(individual_digits): \p{N}; Digits(): \p{N}+
 * - Punctuation(Contiguous): runs of \p{P} and of the nine ASCII symbols that Rust counts as punctuation
 *
 * Sources: openai/gpt-2 encoder.py and tiktoken (gpt-2, gpt-4o); tokenizer.json of Meta-Llama-3-8B, Qwen2-7B,
 * deepseek-llm-7b-base, deepseek-coder-6.7b-base, DeepSeek-V3, falcon-7b, starcoder2-3b, Refact-1_6-base,
 * mpt-7b, OLMo-1.7-7B-hf, SmolLM-135M, c4ai-command-r-v01, Mistral-Nemo-Base-2407. */
#include "tokenizer/tokenizer.h"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(digits)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                     \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* Letters up to and with a capital, then small ones; `tail` are the contractions that gpt-4o attaches to the
 * word. */
#define CASED(tail)                                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" tail         \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" tail "|"
#define SYMBOLS_AND_SPACE " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Code points, not characters: Ohm, Kelvin and others in here would not survive an editor that normalises. */
#define DEEPSEEK_LETTERS                                                                                     \
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"     \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"   \
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"          \
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"        \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"        \
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}"                   \
    "\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"                  \
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"        \
    "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"          \
    "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"                   \
    "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"                   \
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"         \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"        \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                       \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"                   \
    "\\x{1e900}-\\x{1e943}]+"
#define DEEPSEEK_PUNCTUATION                                                                                 \
    "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"
#define DEEPSEEK_CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

/* Falcon's Digits() step comes after ByteLevel, so it sees the byte alphabet: there the bytes B2 B3 B9 BC BD
 * BE are the characters of the same number, which Unicode counts as numeric. It cuts inside characters. */
#define ALPHABET_DIGITS "[0-9\\xB2\\xB3\\xB9\\xBC-\\xBE]+"

const vb_pre_def vb_pre_defs[] = {
    {.name = "gpt-2", .also = {"gpt2", "phi-2"}, .patterns = {GPT2}},
    {.name = "llama-bpe",
     .also = {"llama3", "llama-v3"},
     .patterns = {LLAMA3("\\p{N}{1,3}")},
     .whole_words = true,
     .add_bos = true},
    {.name = "qwen2", .also = {"deepseek-r1-qwen"}, .patterns = {LLAMA3("\\p{N}")}, .nfc = true},
    {.name = "deepseek-llm",
     .patterns = {"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_PUNCTUATION, "\\s+$", DEEPSEEK_CJK, "\\p{N}"}},
    {.name = "deepseek-coder", .patterns = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "\\p{N}"}},
    {.name = "deepseek-v3",
     .patterns =
         {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
          "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
          "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
    {.name = "falcon",
     .patterns = {"[\\p{P}$+<=>^`|~]+", GPT2, ALPHABET_DIGITS, "[0-9][0-9][0-9]"},
     .bytes_from = 2},
    {.name = "starcoder", .patterns = {"\\p{N}", GPT2}},
    {.name = "refact", .patterns = {"\\p{N}", GPT2}},
    {.name = "mpt", .patterns = {GPT2}, .nfc = true},
    {.name = "olmo", .patterns = {GPT2}, .nfc = true},
    {.name = "smollm", .patterns = {"\\p{N}", GPT2}},
    {.name = "command-r", .patterns = {"\\p{N}", GPT2}, .nfc = true},
    {.name = "tekken",
     .patterns = {CASED("") "\\p{N}|" SYMBOLS_AND_SPACE},
     .whole_words = true,
     .add_bos = true},
    {.name = "gpt-4o", .patterns = {CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?") "\\p{N}{1,3}|" SYMBOLS_AND_SPACE}},
    {.name = NULL}};
