#!/usr/bin/env python3
"""Writes what the publishers' own code computes: small seeded models in the `transformers` implementation of their architecture,
in float64, as GGUF files and recordings of an oracle (docs/vectors.md).

  hf.py DIR      DIR/models/hf/NAME.gguf, DIR/oracle/hf-NAME.jsonl, lines in DIR/models/sources.jsonl

Needs numpy, torch and transformers from pip. The CPU build of torch is enough; install it first, since transformers takes any:
  pip install torch==2.13.0 numpy transformers==5.24.0          (with --index-url https://download.pytorch.org/whl/cpu for torch)

How it becomes true: the code under test has no part in it; the code that defines each architecture runs as published, with eager
attention. It casts to float32 in places (norms, RoPE, softmax), whatever the type of its weights. A TorchFunctionMode turns every such
cast into one to float64 and counts it; any float32 that comes up all the same ends the program. The casts are in the header of each
recording, and how far the logits move when they are left in is printed.

The files follow the published converter: its names, llama's rows of queries and keys in pairs, gemma3's norms + 1, phi3's fused
matrices as they are, factors of RoPE as tensors. Matrices are rounded to float16, norms and biases to float32, before either side
sees them. Weights are sums of integers (standins.py), so the models are the same bytes everywhere; torch runs on one thread, so a
second run gives the same recordings, too. With other versions of torch or NumPy the last digits of float64 may differ.
"""
import collections, contextlib, copy, math, os, sys
import numpy as np
import torch, transformers
from torch.overrides import TorchFunctionMode
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, '..', 'mkmodel')]
import mkmodel as mk, oracle, record, standins

COMMAND = 'tools/oracle/hf.py DIR'
VOCAB, CONTEXT = 384, 512
PROMPT = [1, 290, 302, 301, 17, 5, 256, 311, 98, 300, 111, 290, 372, 351, 17, 335, 302, 7, 377, 301]
F32_EPS = float(np.float32(1e-6))  # a file has it as float32

# What each model shows within the prompt's 20 tokens; sizes are the smallest that do.
#   llama    RoPE factors as in Llama 3: one frequency as it is, two between, the others divided by 8; tied
#   mistral  a window of 6 in every layer (arch llama)
#   qwen2    biases of q, k, v; head size 12; tied
#   qwen3    norms of q and k; heads wider than dim/H; an output matrix
#   gemma3   norms on both sides, GELU, scaled embedding (dim is no square), windows of 5 in all but the sixth of 7 layers, two RoPE
#            bases, linear scaling; tied
#   phi3     fused matrices, a window of 6, RoPE over 12 of 16 values, longrope: its length chooses one of two tables, and the
#            publisher's formula gives sqrt(1 + log 32 / log 16) = 1.5 for cosines and sines
LLAMA3 = {'rope_type': 'llama3', 'rope_theta': 10000.0, 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 64}
LONGROPE = {'rope_type': 'longrope', 'rope_theta': 10000.0, 'partial_rotary_factor': 0.75, 'original_max_position_embeddings': 16,
            'short_factor': [1.0, 1.03125, 1.125, 1.25, 1.5, 1.75], 'long_factor': [1.0625, 1.25, 2.0, 4.5, 11.0, 27.5]}
GEMMA3 = {'full_attention': {'rope_type': 'linear', 'rope_theta': 1e6, 'factor': 8.0},
          'sliding_attention': {'rope_type': 'default', 'rope_theta': 1e4}}


def plain(theta):
    return {'rope_type': 'default', 'rope_theta': theta}


def model_class(name):
    return {'llama': (transformers.LlamaConfig, transformers.LlamaForCausalLM),
            'mistral': (transformers.MistralConfig, transformers.MistralForCausalLM),
            'qwen2': (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
            'qwen3': (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
            'gemma3': (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM),
            'phi3': (transformers.Phi3Config, transformers.Phi3ForCausalLM)}[name]


MODELS = {
    'llama': dict(hidden_size=48, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                  rope_parameters=LLAMA3, tie_word_embeddings=True),
    'mistral': dict(hidden_size=48, head_dim=16, num_attention_heads=3, num_key_value_heads=1, intermediate_size=64,
                    rope_parameters=plain(1e4), sliding_window=6),
    'qwen2': dict(hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                  rope_parameters=plain(1e6), tie_word_embeddings=True),
    'qwen3': dict(hidden_size=40, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                  rope_parameters=plain(1e6)),
    'gemma3': dict(hidden_size=40, head_dim=16, num_attention_heads=2, num_key_value_heads=1, intermediate_size=24,
                   num_hidden_layers=7, rope_parameters=GEMMA3, sliding_window=5, query_pre_attn_scalar=16, tie_word_embeddings=True),
    'phi3': dict(hidden_size=48, num_attention_heads=3, num_key_value_heads=1, intermediate_size=64, rope_parameters=LONGROPE,
                 original_max_position_embeddings=16, sliding_window=6),
}
# (model, recording, tokens of the prompt, tokens to generate). phi3: the context that holds both chooses the table here, the present
# length in transformers; at most 16 in the one, more than 16 from the start in the other, so that the two choose alike.
RECORDINGS = [('llama', 'llama', 20, 4), ('mistral', 'mistral', 20, 4), ('qwen2', 'qwen2', 20, 4), ('qwen3', 'qwen3', 20, 4),
              ('gemma3', 'gemma3', 20, 4), ('phi3', 'phi3-short', 13, 3), ('phi3', 'phi3-long', 20, 4)]


# ---------------------------------------------------------------------------------------------------- float64


class TrueFloat64(TorchFunctionMode):
    """Casts to float32 become casts to float64. `casts` counts them by the place in transformers that asked."""
    NARROW = (torch.float32, torch.float16, torch.bfloat16)

    def __init__(self):
        super().__init__()
        self.casts = collections.Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        wide = lambda v: torch.float64 if any(v is t for t in self.NARROW) else v
        new = [wide(v) for v in args], {k: wide(v) for k, v in kwargs.items()}
        changed = any(a is not b for a, b in zip(args, new[0])) or any(kwargs[k] is not v for k, v in new[1].items())
        if func is torch.Tensor.float:
            func, changed = torch.Tensor.double, True
        if changed:
            self.casts[self.place(func)] += 1
        out = func(*new[0], **new[1])
        if isinstance(out, torch.Tensor) and out.dtype in self.NARROW:
            raise SystemExit(f'hf.py: {out.dtype} from {self.place(func)}: not in float64')
        return out

    @staticmethod
    def place(func):
        name, frame = getattr(func, '__name__', str(func)), sys._getframe(2)
        while frame and 'transformers' not in frame.f_code.co_filename.split(os.sep):
            frame = frame.f_back
        if not frame:
            return name
        owner = frame.f_locals.get('self')
        where = (type(owner).__name__ + '.' if owner is not None else '') + frame.f_code.co_name
        return f'{where}: {"float" if name == "double" else name}'


class Published:
    """A model of transformers in the form that record.write wants (oracle.Model)."""
    def __init__(self, name, path, wide=True):
        self.name, self.mode, self.seen, self.ids = name, TrueFloat64() if wide else None, lambda what, layer, x: None, []
        torch.set_default_dtype(torch.float64 if wide else torch.float32)
        with self.mode or contextlib.nullcontext():
            self.hf = build(name)
        torch.set_default_dtype(torch.float32)
        self.hf = self.hf.double().eval()
        self.layers, self.vocab, self.config = self.hf.config.num_hidden_layers, VOCAB, self.hf.config
        fill(name, self.hf)
        self.pairs = {'q': pair_rows(self.config, 'q_proj'), 'k': pair_rows(self.config, 'k_proj')} if in_pairs(name) else {}
        self.g = oracle.Gguf(path)
        self.watch()

    def watch(self):
        show = lambda what, layer, x: self.seen(what, layer, x.detach().reshape(x.shape[-2], -1).numpy())
        after = lambda module, what, layer: module.register_forward_hook(
            lambda m, given, out: show(what, layer, out[0] if isinstance(out, tuple) else out))
        before = lambda module, what, layer: module.register_forward_pre_hook(lambda m, given: show(what, layer, given[0]))
        base, gemma = self.hf.model, self.name == 'gemma3'
        after(base.embed_tokens, 'embd', -1)
        for i, l in enumerate(base.layers):
            after(l.input_layernorm, 'attn_norm', i)
            before(l.self_attn.o_proj, 'heads', i)
            after(l.post_attention_layernorm if gemma else l.self_attn.o_proj, 'attn_out', i)
            after(l.pre_feedforward_layernorm if gemma else l.post_attention_layernorm, 'ffn_norm', i)
            before(l.mlp.down_proj, 'ffn_hidden', i)
            after(l.post_feedforward_layernorm if gemma else l.mlp, 'ffn_out', i)
            after(l, 'layer_out', i)
            l.self_attn.watched_by = self
        after(base.norm, 'output_norm', -1)
        watch_attention(sys.modules[type(base.layers[0].self_attn).__module__])

    def show_heads(self, what, layer, x):  # (1, heads, tokens, head_dim), q and k after RoPE
        rows = x.detach()[0].transpose(0, 1).reshape(x.shape[2], -1).numpy()
        self.seen(what, layer, rows[:, self.pairs[what]] if what in self.pairs else rows)

    def reset(self):
        self.ids = []

    def forward(self, ids):
        """Logits after each of ids, which continue what was given before: all of it anew, without a cache."""
        self.ids = self.ids + list(ids)
        with torch.no_grad(), self.mode or contextlib.nullcontext():
            logits = self.hf(torch.tensor([self.ids]), use_cache=False).logits
        return logits[0, -len(ids):].double().numpy()


def watch_attention(source):
    """No module ends where RoPE does: the attention's function of this file of transformers is called through one that shows."""
    published = source.eager_attention_forward
    if hasattr(published, 'shows'):
        return

    def attention(module, query, key, value, *more, **named):
        for what, x in (('q', query), ('k', key), ('v', value)):
            module.watched_by.show_heads(what, module.layer_idx, x)
        return published(module, query, key, value, *more, **named)

    attention.shows = True
    source.eager_attention_forward = attention


def build(name):
    config, model = model_class(name)
    sizes = dict(num_hidden_layers=2, rms_norm_eps=F32_EPS, vocab_size=VOCAB, max_position_embeddings=CONTEXT, pad_token_id=0,
                 bos_token_id=1, eos_token_id=2, attn_implementation='eager', tie_word_embeddings=False)
    return model(config(**{**sizes, **copy.deepcopy(MODELS[name])}))  # a config changes the dicts that it is given


# ---------------------------------------------------------------------------------------------------- weights


def in_pairs(name):
    return name in ('llama', 'mistral')


def pair_rows(config, matrix):
    """Which rows of transformers' queries or keys follow one another in a file: of each head j and j + n/2, for j = 0, 1, ..."""
    n = config.head_dim
    heads = config.num_attention_heads if matrix == 'q_proj' else config.num_key_value_heads
    return np.arange(heads * n).reshape(heads, 2, n // 2).swapaxes(1, 2).reshape(-1)


def tensor_name(name, published):
    """The published converter's name of a tensor of transformers."""
    gemma = name == 'gemma3'
    parts = {'embed_tokens': 'token_embd', 'norm': 'output_norm', 'lm_head': 'output', 'input_layernorm': 'attn_norm',
             'q_proj': 'attn_q', 'k_proj': 'attn_k', 'v_proj': 'attn_v', 'o_proj': 'attn_output', 'qkv_proj': 'attn_qkv',
             'q_norm': 'attn_q_norm', 'k_norm': 'attn_k_norm', 'gate_proj': 'ffn_gate', 'up_proj': 'ffn_up', 'down_proj': 'ffn_down',
             'gate_up_proj': 'ffn_up', 'post_attention_layernorm': 'post_attention_norm' if gemma else 'ffn_norm',
             'pre_feedforward_layernorm': 'ffn_norm', 'post_feedforward_layernorm': 'post_ffw_norm'}
    words = published.split('.')
    layer = f'blk.{words[2]}.' if words[1] == 'layers' else ''
    return layer + parts[words[-2]] + '.' + words[-1]


def is_tied(name, published):
    return published == 'lm_head.weight' and MODELS[name].get('tie_word_embeddings', False)


def value(name, published, shape):
    """A tensor as the file has it (but for llama's pairs), in float64: rounded to what the file keeps."""
    x = standins.normal(f'hf {name} {published}', int(np.prod(shape))).reshape(shape)
    if len(shape) == 1:
        x = 0.1 * x if published.endswith('.bias') else 1 + 0.1 * x
        return x.astype('f4').astype('f8')
    embedding = 'embed_tokens' in published
    if published == 'lm_head.weight' or embedding and MODELS[name].get('tie_word_embeddings'):
        size = 4 * shape[-1] ** -0.5
    else:
        size = 1.0 if embedding else shape[-1] ** -0.5
    return (size * x).astype('f2').astype('f8')


def fill(name, hf):
    """Gives the model its weights; gemma3's norms are kept less 1, which is exact in float64."""
    with torch.no_grad():
        for published, parameter in hf.state_dict().items():
            if not is_tied(name, published):
                x = value(name, published, tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(x - 1 if name == 'gemma3' and published.endswith('norm.weight') else x))


def llama3_factors(rope, n):
    """The published converter's rope_freqs: what divides each frequency."""
    wave = 2 * np.pi * rope['rope_theta'] ** (np.arange(n // 2) * 2 / n)
    low, high, old = rope['low_freq_factor'], rope['high_freq_factor'], rope['original_max_position_embeddings']
    smooth = np.clip((old / wave - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / rope['factor'] + smooth)


def metadata(name, c):
    arch = 'llama' if in_pairs(name) else name
    k, rope, window = arch + '.', MODELS[name]['rope_parameters'], MODELS[name].get('sliding_window')
    n = getattr(c, 'head_dim', None) or c.hidden_size // c.num_attention_heads
    out = [('general.architecture', mk.STR, arch), ('general.name', mk.STR, 'seeded, as transformers computes it'),
           ('general.file_type', mk.U32, 1), (k + 'context_length', mk.U32, CONTEXT), (k + 'embedding_length', mk.U32, c.hidden_size),
           (k + 'block_count', mk.U32, c.num_hidden_layers), (k + 'feed_forward_length', mk.U32, c.intermediate_size),
           (k + 'attention.head_count', mk.U32, c.num_attention_heads), (k + 'attention.head_count_kv', mk.U32, c.num_key_value_heads),
           (k + 'attention.layer_norm_rms_epsilon', mk.F32, c.rms_norm_eps)]
    theta = rope['full_attention']['rope_theta'] if name == 'gemma3' else rope['rope_theta']
    out.append((k + 'rope.freq_base', mk.F32, theta))
    if name != 'gemma3':
        out.append((k + 'rope.dimension_count', mk.U32, int(n * rope.get('partial_rotary_factor', 1.0))))
    if n * c.num_attention_heads != c.hidden_size or name in ('qwen3', 'gemma3'):
        out += [(k + 'attention.key_length', mk.U32, n), (k + 'attention.value_length', mk.U32, n)]
    if window:
        out.append((k + 'attention.sliding_window', mk.U32, window))
    if name == 'gemma3':
        out += [(k + 'rope.scaling.type', mk.STR, 'linear'), (k + 'rope.scaling.factor', mk.F32, rope['full_attention']['factor'])]
    if name == 'phi3':
        old = rope['original_max_position_embeddings']
        out += [(k + 'rope.scaling.original_context_length', mk.U32, old),
                (k + 'rope.scaling.attn_factor', mk.F32, math.sqrt(1 + math.log(CONTEXT / old) / math.log(old)))]
    return out + mk.made_up_vocabulary(VOCAB)[0]


def export(name, path):
    """Writes the model as the published converter would."""
    hf = build(name)
    made = {}
    for published, parameter in hf.state_dict().items():
        if is_tied(name, published):
            continue
        x = value(name, published, tuple(parameter.shape))
        rows = published.split('.')[-2]
        if in_pairs(name) and rows in ('q_proj', 'k_proj'):
            x = x[pair_rows(hf.config, rows)]
        made[tensor_name(name, published)] = x
    rope = MODELS[name]['rope_parameters']
    if name == 'llama':
        made['rope_freqs.weight'] = llama3_factors(rope, hf.config.head_dim)
    if name == 'phi3':
        made['rope_factors_long.weight'], made['rope_factors_short.weight'] = np.array(rope['long_factor']), np.array(rope['short_factor'])
    tensors = [(n, x.shape, None, mk.TENSOR_F32 if x.ndim == 1 else mk.TENSOR_F16) for n, x in made.items()]
    mk.write_gguf(path, metadata(name, hf.config), tensors, lambda n, shape, kind: made[n])


# ---------------------------------------------------------------------------------------------------- recordings


def relative(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def numpy_oracle(path, ids, logits):
    """How far oracle.py is from the publishers' code."""
    try:
        m = oracle.Model(path)
    except ValueError as why:
        return f'oracle.py cannot: {why}'
    if m.arch == 'llama' and m.window:
        return 'oracle.py does not know the window of arch llama'
    return f'oracle.py off by {relative(m.forward(ids), logits):.1e}'


def one(folder, name, label, n, generate):
    model, ids = f'models/hf/{name}.gguf', PROMPT[:n]
    path = os.path.join(folder, model)
    m = Published(name, path)
    logits, casts = m.forward(ids), dict(sorted(m.mode.casts.items()))  # of opening the model and one pass
    cast = Published(name, path, wide=False).forward(ids)
    head = {'verbatim': 'vectors', 'version': 1, 'kind': 'model', 'origin': 'oracle', 'licence': 'CC0-1.0', 'command': COMMAND,
            'model': model, 'architecture': 'llama' if in_pairs(name) else name, 'n_layers': m.layers, 'n_vocab': VOCAB,
            'activations': 'float64', 'kv': 'float64', 'bound': record.hex64([record.bound(m)]), 'generate': generate,
            'engine': f'transformers {transformers.__version__} {type(m.hf).__name__}, torch {torch.__version__.split("+")[0]}',
            'casts': casts}
    out = os.path.join(folder, 'oracle', f'hf-{label}.jsonl')
    record.write(out, head, m, [(0, ids)], generate, 'last')
    print(f'{out}: {os.path.getsize(out)} bytes; casts to float32 left in: off by {relative(cast, logits):.1e} of the largest logit; '
          f'{numpy_oracle(path, ids, logits)}')
    for place, count in casts.items():
        print(f'  {count:3} {place}')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for part in ('models/hf', 'oracle'):
        os.makedirs(os.path.join(folder, part), exist_ok=True)
    for name in MODELS:
        export(name, os.path.join(folder, 'models', 'hf', name + '.gguf'))
    for name, label, n, generate in RECORDINGS:
        one(folder, name, label, n, generate)
    sources = os.path.join(folder, 'models', 'sources.jsonl')
    with open(sources) as f:
        kept = [s for s in f if '"models/hf/' not in s]
    at = next((i for i, s in enumerate(kept) if '"models/seeded/' in s), len(kept))  # where make-vectors keeps them, too
    kept[at:at] = [record.line({'model': f'models/hf/{n}.gguf', 'origin': 'seeded', 'licence': 'CC0-1.0', 'command': COMMAND}) for n in MODELS]
    with open(sources, 'w') as f:
        f.writelines(kept)


if __name__ == '__main__':
    main()
