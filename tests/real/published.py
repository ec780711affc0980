#!/usr/bin/env python3
"""A published model in GGUF (gemma3, qwen2 or llama), as Verbatim runs it and as transformers computes it in float64 from the same
dequantised weights.

  published.py MODEL.gguf [--verbatim PROGRAM] [--tokens 200] [--prompts 6] [--tokenizer tokenizer.json] [--name NAME --layers N]

Verbatim continues each prompt greedily (q16 activations, float32 cache). The implementation of transformers is given the same ids,
prompt and text, and its likeliest token after each must be the one that Verbatim wrote, but where its two likeliest are closer
together than 0.001 (a near tie). With --tokenizer, the `tokenizers` library reads the publisher's tokenizer.json, and both must give
the same ids for vectors/texts.jsonl and every prompt. With --name the file's general.name must contain it, with --layers its layers
be as many. Prints TAP. Needs torch and transformers, and 8 bytes of memory per weight,
twice while it is opened where embedding and output are one matrix.
"""
import argparse, json, os, subprocess, sys
import numpy as np
here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(here, '..', '..')
sys.path.insert(0, os.path.join(root, 'tools', 'oracle'))
import hf, oracle
import torch, transformers

PROMPTS = ['The capital of France is', 'Once upon a time, in a village by the sea,', 'def fibonacci(n):\n    ',
           'Die drei wichtigsten Erfindungen des 19. Jahrhunderts sind', 'Water boils at 100 degrees because',
           'She counted the ships that came into the harbour, one after another, and wrote down each name. ' * 35]  # beyond the window
NEAR_TIE = 1e-3
NATS = 0.01  # of the text's log-probabilities, q16 against float64
tests = 0


def ok(name, good):
    global tests
    tests += 1
    print(f'{"ok" if good else "not ok"} {tests} - {name}', flush=True)
    return good


def gemma3_config(k, sizes):
    factor, plain = k('rope.scaling.factor', 1.0), lambda theta: {'rope_type': 'default', 'rope_theta': theta}
    rope = {'full_attention': plain(k('rope.freq_base')), 'sliding_attention': plain(k('rope.freq_base_swa', 1e4))}
    if factor != 1:
        rope['full_attention'].update(rope_type='linear', factor=factor)
    return transformers.Gemma3TextConfig(query_pre_attn_scalar=k('attention.key_length'), sliding_window=k('attention.sliding_window'),
                                         rope_parameters=rope, **sizes)


def plain_config(kind):
    return lambda k, sizes: kind(rope_parameters={'rope_type': 'default', 'rope_theta': k('rope.freq_base', 1e4)}, **sizes)


ARCHITECTURES = {'gemma3': (gemma3_config, transformers.Gemma3ForCausalLM), 'llama': (plain_config(transformers.LlamaConfig), transformers.LlamaForCausalLM),
                 'qwen2': (plain_config(transformers.Qwen2Config), transformers.Qwen2ForCausalLM)}


class Rows(torch.nn.Module):
    """An embedding whose rows are taken from the file when they are asked for."""
    def __init__(self, g, name):
        super().__init__()
        self.g, (self.dims, self.type, self.offset) = g, g.tensors[name]
        _, values, size = oracle.TYPES[self.type]
        self.bytes = self.dims[1] // values * size

    def forward(self, ids):
        at = [self.g.base + self.offset + self.bytes * i for i in ids.reshape(-1).tolist()]
        rows = np.stack([oracle.dequantize(np.array(self.g.data[i:i + self.bytes]), self.type).reshape(-1) for i in at])
        return torch.from_numpy(rows.astype('f8')).reshape(*ids.shape, self.dims[1])


def build(g):
    """The model of transformers with the file's weights; gemma3's norms are stored with 1 added, llama's queries and keys in pairs."""
    arch = g.kv['general.architecture'].decode()
    k = lambda name, default=None: g.kv.get(f'{arch}.{name}', default)
    if k('rope.scaling.type', b'none') not in (b'none', b'linear') or arch != 'gemma3' and k('rope.scaling.factor', 1.0) != 1.0 or 'rope_freqs.weight' in g.tensors:
        sys.exit('published.py: RoPE of another kind')
    heads = k('attention.head_count')
    sizes = dict(vocab_size=g.tensors['token_embd.weight'][0][0], hidden_size=k('embedding_length'), intermediate_size=k('feed_forward_length'),
                 num_hidden_layers=k('block_count'), num_attention_heads=heads, num_key_value_heads=k('attention.head_count_kv', heads),
                 head_dim=k('attention.key_length', k('embedding_length') // heads), rms_norm_eps=k('attention.layer_norm_rms_epsilon'),
                 max_position_embeddings=k('context_length'), attn_implementation='eager', tie_word_embeddings='output.weight' not in g.tensors)
    config, kind = ARCHITECTURES[arch]
    tied = sizes['tie_word_embeddings']
    torch.set_default_dtype(torch.float64)
    with hf.TrueFloat64():
        own = config(k, sizes)
        if tied:
            model = kind(own).eval()
        else:  # no memory for weights that are replaced below, nor for rows of the embedding that no text has
            with torch.device('meta'):
                model = kind(own).eval()
            model.model.rotary_emb = type(model.model.rotary_emb)(own)
            model.model.embed_tokens = Rows(g, 'token_embd.weight')
    for name, parameter in list(model.named_parameters()):
        x = g.tensor(hf.tensor_name(arch, name))
        if arch == 'llama' and name.split('.')[-2] in ('q_proj', 'k_proj'):
            rows = np.empty_like(x)
            rows[hf.pair_rows(model.config, name.split('.')[-2])] = x
            x = rows
        x = torch.from_numpy(x - 1 if arch == 'gemma3' and name.endswith('norm.weight') else x)
        if tied:
            parameter.data = x
        else:
            owner, last = name.rsplit('.', 1)
            setattr(model.get_submodule(owner), last, torch.nn.Parameter(x, requires_grad=False))
    return model


def tokenize(a, text):
    given = text if isinstance(text, bytes) else text.encode()
    out = subprocess.run([a.verbatim, 'tokenize', '-m', a.model, '--no-special'], input=given, capture_output=True, check=True).stdout
    return [int(i) for i in out.split()]


def compare_tokenizers(a):
    from tokenizers import Tokenizer
    theirs, texts, wrong = Tokenizer.from_file(a.tokenizer), list(PROMPTS), []
    with open(os.path.join(root, 'vectors', 'texts.jsonl'), encoding='utf-8') as f:
        texts += [line['text'] for line in map(json.loads, f) if 'text' in line]
    special = {t.content for t in theirs.get_added_tokens_decoder().values() if t.special}
    # The library has no way to leave special tokens as text. For U+2581 itself it cannot tell from a space; in the file, whose runs of
    # spaces are tokens of their own, it is another character.
    texts = [t for t in texts if not any(s in t for s in special | {'\u2581'})]
    for text in texts:
        want, got = theirs.encode(text, add_special_tokens=False).ids, tokenize(a, text)
        if want != got:
            wrong.append(f'{text[:40]!r}: {got[:12]}, tokenizers has {want[:12]}')
    good = ok(f'{len(texts)} texts have the ids of tokenizers', not wrong)
    for line in wrong[:5]:
        print('#', line)
    return good


def compare_text(a, model, g, prompt):
    run = subprocess.run([a.verbatim, 'run', '-m', a.model, '-p', prompt, '-n', str(a.tokens), '--temp', '0', '--ignore-eos', '--activations', 'q16',
                          '--kv', 'f32', '--json', '-c', '2048'], capture_output=True, check=True)
    said = json.loads(run.stdout)
    ids = tokenize(a, prompt)
    if said['stats']['prompt_tokens'] == len(ids) + 1:
        ids = [g.kv['tokenizer.ggml.bos_token_id']] + ids
    assert said['stats']['prompt_tokens'] == len(ids), (said['stats']['prompt_tokens'], ids)
    text = said['tokens']
    with torch.no_grad(), hf.TrueFloat64():
        logits = model(torch.tensor([ids + text[:-1]]), use_cache=False, logits_to_keep=len(text)).logits[0]
    two = logits.topk(2).values
    margin, best = (two[:, 0] - two[:, 1]).numpy(), logits.argmax(-1).numpy()
    theirs = torch.log_softmax(logits, -1)[torch.arange(len(text)), torch.tensor(text)].numpy()
    differ = [i for i in range(len(text)) if best[i] != text[i]]
    ties = [i for i in differ if margin[i] < NEAR_TIE]
    off = float(np.abs(theirs - np.array(said['logprobs'])).max())
    good = ok(f'{prompt[:60]!r}, {len(ids)} tokens: {len(text) - len(differ)} of {len(text)} tokens are the likeliest under transformers, {len(ties)} near ties',
              len(text) == a.tokens and differ == ties)
    good &= ok(f'{prompt[:60]!r}, {len(ids)} tokens: log-probabilities within {NATS} nats (off by {off:.1e})', off < NATS)
    print('#', repr(said['text'][:100]))
    return good


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('model')
    p.add_argument('--verbatim', default=os.path.join(root, 'bin', 'verbatim'))
    p.add_argument('--tokens', type=int, default=200)
    p.add_argument('--prompts', type=int, default=len(PROMPTS))
    p.add_argument('--tokenizer')
    p.add_argument('--name')
    p.add_argument('--layers', type=int)
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    g, good = oracle.Gguf(a.model), True
    if a.name:
        called, layers = g.kv.get('general.name', b'').decode(), g.kv[g.kv['general.architecture'].decode() + '.block_count']
        good &= ok(f'{called!r} with {layers} layers is what the file was fetched for', a.name.lower() in called.lower() and layers == a.layers)
    if a.tokenizer:
        good &= compare_tokenizers(a)
    model = build(g)
    for prompt in PROMPTS[:a.prompts]:
        good &= compare_text(a, model, g, prompt)
    sys.exit(not good)


if __name__ == '__main__':
    main()
