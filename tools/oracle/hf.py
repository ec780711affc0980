#!/usr/bin/env python3
"""Writes what the publishers' own code computes: small seeded models in the `transformers` implementation of their architecture,
in float64, as GGUF files and recordings of an oracle (docs/vectors.md).

  hf.py DIR [NAME,...]      DIR/models/hf/NAME.gguf, DIR/oracle/hf-NAME.jsonl, lines in DIR/models/sources.jsonl

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
#   gemma3-27b  the query's scale of the 27B model, whose 62 layers a reader knows it by: 1/sqrt(dim/H), where heads have another size
#   qwen2-yarn, llama-yarn    YaRN: some frequencies stay, some are divided, some blended; cosines and sines 1 + 0.1 log F times as long
#   mixtral  the 2 best of 6 experts, normalised (arch llama)
#   qwen3moe the 3 best of 8, normalised
#   qwen2moe the 4 best of 8, not normalised; a shared expert with a gate
#   gpt-oss  the 2 best of 6 by their logits; sinks, windows of 5 in every other layer, YaRN between pairs, biases, the clamped gate
#   granitemoe  four multipliers; tied
#   olmoe    norms over all queries and all keys together; not normalised
#   glm4moe  sigmoid, a bias that chooses only, the 2 best of 4 groups, weights times 2.5, a shared expert, the first layer dense; RoPE
#            over half of a head
#   ernie4_5-moe  softmax, a bias that chooses only, two shared experts as one, the first layer dense; RoPE over neighbours; tied
#   minimax-m2    sigmoid, a bias that chooses only, norms over all queries and all keys; RoPE over half of a head
#   phimoe   the 2 best of 8 by SparseMixer, some of them within 2 % of one another; LayerNorms with a bias, biases of attention and
#            of the logits, a window of 6, longrope's short table and its mscale (this version of transformers takes the short table
#            for longer sequences, too: PhimoeRotaryEmbedding.forward does not pass their length on)
#   phi3     fused matrices, a window of 6, RoPE over 12 of 16 values, longrope: its length chooses one of two tables, and the
#            publisher's formula gives sqrt(1 + log 32 / log 16) = 1.5 for cosines and sines
LLAMA3 = {'rope_type': 'llama3', 'rope_theta': 10000.0, 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 64}
LONGROPE = {'rope_type': 'longrope', 'rope_theta': 10000.0, 'partial_rotary_factor': 0.75, 'original_max_position_embeddings': 16,
            'short_factor': [1.0, 1.03125, 1.125, 1.25, 1.5, 1.75], 'long_factor': [1.0625, 1.25, 2.0, 4.5, 11.0, 27.5]}
PHIMOE = {**{k: v for k, v in LONGROPE.items() if k != 'partial_rotary_factor'}, 'original_max_position_embeddings': 32,
          'short_mscale': 1.25, 'long_mscale': 1.25}
GEMMA3 = {'full_attention': {'rope_type': 'linear', 'rope_theta': 1e6, 'factor': 8.0},
          'sliding_attention': {'rope_type': 'default', 'rope_theta': 1e4}}

YARN = {'rope_type': 'yarn', 'rope_theta': 1e4, 'factor': 8.0, 'original_max_position_embeddings': 4096}


def plain(theta):
    return {'rope_type': 'default', 'rope_theta': theta}


def family(name):
    return name.removesuffix('-yarn').removesuffix('-27b')


def model_class(name):
    experts = {'mixtral': 'Mixtral', 'qwen3moe': 'Qwen3Moe', 'qwen2moe': 'Qwen2Moe', 'gpt-oss': 'GptOss', 'granitemoe': 'GraniteMoe',
               'olmoe': 'Olmoe', 'glm4moe': 'Glm4Moe', 'ernie4_5-moe': 'Ernie4_5_Moe', 'minimax-m2': 'MiniMaxM2', 'phimoe': 'Phimoe'}
    name = family(name)
    if name in experts:
        return getattr(transformers, experts[name] + 'Config'), getattr(transformers, experts[name] + 'ForCausalLM')
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
    'gemma3-27b': dict(hidden_size=16, head_dim=4, num_attention_heads=2, num_key_value_heads=1, intermediate_size=8,
                       num_hidden_layers=62, rope_parameters=GEMMA3, sliding_window=5, query_pre_attn_scalar=8, tie_word_embeddings=True),
    'phi3': dict(hidden_size=48, num_attention_heads=3, num_key_value_heads=1, intermediate_size=64, rope_parameters=LONGROPE,
                 original_max_position_embeddings=16, sliding_window=6),
    'llama-yarn': dict(hidden_size=48, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                       rope_parameters=YARN, tie_word_embeddings=True),
    'qwen2-yarn': dict(hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                       rope_parameters={**YARN, 'rope_theta': 1e6, 'factor': 4.0, 'original_max_position_embeddings': 32768},
                       tie_word_embeddings=True),
    'mixtral': dict(hidden_size=48, head_dim=16, num_attention_heads=3, num_key_value_heads=1, intermediate_size=32, num_local_experts=6,
                    num_experts_per_tok=2, rope_parameters=plain(1e6), sliding_window=None),
    'qwen3moe': dict(hidden_size=40, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                     moe_intermediate_size=24, num_experts=8, num_experts_per_tok=3, norm_topk_prob=True, rope_parameters=plain(1e6)),
    'qwen2moe': dict(hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64, moe_intermediate_size=16,
                     shared_expert_intermediate_size=32, num_experts=8, num_experts_per_tok=4, norm_topk_prob=False,
                     rope_parameters=plain(1e6)),
    'gpt-oss': dict(hidden_size=40, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24, num_local_experts=6,
                    num_experts_per_tok=2, sliding_window=5, rope_parameters={**YARN, 'rope_theta': 150000.0, 'truncate': False}),
    'granitemoe': dict(hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24, num_local_experts=6,
                       num_experts_per_tok=2, embedding_multiplier=12.0, logits_scaling=6.0, attention_multiplier=0.125,
                       residual_multiplier=float(np.float32(0.22)), rope_parameters=plain(1e4), tie_word_embeddings=True),
    'olmoe': dict(hidden_size=48, num_attention_heads=4, num_key_value_heads=4, intermediate_size=24, num_experts=8,
                  num_experts_per_tok=3, norm_topk_prob=False, rope_parameters=plain(1e4)),
    'glm4moe': dict(hidden_size=40, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
                    moe_intermediate_size=16, num_hidden_layers=3, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=3,
                    routed_scaling_factor=2.5, n_group=4, topk_group=2, first_k_dense_replace=1, norm_topk_prob=True, use_qk_norm=True,
                    attention_bias=True, num_mtp_layers=0,
                    rope_parameters={**plain(1e4), 'partial_rotary_factor': 0.5}),
    'ernie4_5-moe': dict(hidden_size=40, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
                         moe_intermediate_size=16, num_hidden_layers=3, moe_num_experts=8, moe_k=3, moe_num_shared_experts=2,
                         moe_layer_start_index=1, moe_layer_interval=1, rope_parameters=plain(5e5), tie_word_embeddings=True),
    'minimax-m2': dict(hidden_size=48, head_dim=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24,
                       num_local_experts=8, num_experts_per_tok=3, rope_parameters={**plain(5e6), 'partial_rotary_factor': 0.5}),
    'phimoe': dict(hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24, num_local_experts=8,
                   num_experts_per_tok=2, attention_bias=True, lm_head_bias=True, sliding_window=6, rope_parameters=PHIMOE),
}
# (model, recording, tokens of the prompt, tokens to generate). phi3: the context that holds both chooses the table here, the present
# length in transformers; at most 16 in the one, more than 16 from the start in the other, so that the two choose alike.
RECORDINGS = [('llama', 'llama', 20, 4), ('mistral', 'mistral', 20, 4), ('qwen2', 'qwen2', 20, 4), ('qwen3', 'qwen3', 20, 4),
              ('gemma3', 'gemma3', 20, 4), ('gemma3-27b', 'gemma3-27b', 10, 2), ('phi3', 'phi3-short', 13, 3), ('phi3', 'phi3-long', 20, 4)]
RECORDINGS += [(name, name, 20, 4) for name in MODELS if not any(name == r[0] for r in RECORDINGS)]


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
        base, gemma = self.hf.model, family(self.name) == 'gemma3'
        base.embed_tokens.register_forward_hook(lambda m, given, out: show('embd', -1, out * getattr(self.config, 'embedding_multiplier', 1.0)))
        for i, l in enumerate(base.layers):
            after(l.input_layernorm, 'attn_norm', i)
            before(l.self_attn.o_proj, 'heads', i)
            self.after_scaled(l.post_attention_layernorm if gemma else l.self_attn.o_proj, 'attn_out', i)
            after(l.pre_feedforward_layernorm if gemma else l.post_attention_layernorm, 'ffn_norm', i)
            self.watch_ffn(i, l, after, before)
            after(l, 'layer_out', i)
            l.self_attn.watched_by = self
        after(base.norm, 'output_norm', -1)
        watch_attention(sys.modules[type(base.layers[0].self_attn).__module__])

    def after_scaled(self, module, what, layer):
        """What half a layer adds, granite's multiplier included."""
        m = getattr(self.config, 'residual_multiplier', 1.0)
        module.register_forward_hook(lambda mod, given, out: self.seen(
            what, layer, (m * (out[0] if isinstance(out, tuple) else out)).detach().reshape(-1, self.config.hidden_size).numpy()))

    def watch_ffn(self, i, l, after, before):
        gemma, ffn = family(self.name) == 'gemma3', getattr(l, 'mlp', None) or l.block_sparse_moe
        dense = next((d for d in (getattr(ffn, n, None) for n in ('shared_expert', 'shared_experts')) if d), ffn)
        if hasattr(dense, 'down_proj'):
            before(dense.down_proj, 'ffn_hidden', i)
        router = getattr(ffn, 'gate', None) or getattr(ffn, 'router', None)
        if hasattr(ffn, 'experts'):
            router.register_forward_hook(lambda m, given, out: self.show_choice(i, *out))
        self.after_scaled(l.post_feedforward_layernorm if gemma else ffn, 'ffn_out', i)

    def show_choice(self, layer, logits, weights, chosen):
        full = torch.zeros_like(logits).double().scatter_(1, chosen, weights.double())
        self.seen('ffn_router', layer, logits.detach().numpy())
        self.seen('ffn_weights', layer, full.detach().numpy())

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
    own = config(**{**sizes, **copy.deepcopy(MODELS[name])})  # a config changes the dicts that it is given
    own._experts_implementation = 'eager'
    return model(own)


# ---------------------------------------------------------------------------------------------------- weights


def in_pairs(name):
    return family(name) in ('llama', 'mistral', 'mixtral', 'granitemoe')


def head_size(c):
    return getattr(c, 'head_dim', None) or c.hidden_size // c.num_attention_heads


def pair_rows(config, matrix):
    """Which rows of transformers' queries or keys follow one another in a file: of each head j and j + n/2, for j = 0, 1, ..."""
    n = head_size(config)
    heads = config.num_attention_heads if matrix == 'q_proj' else config.num_key_value_heads
    return np.arange(heads * n).reshape(heads, 2, n // 2).swapaxes(1, 2).reshape(-1)


def tensor_name(name, published):
    """The published converter's name of a tensor of transformers."""
    gemma = family(name) == 'gemma3'
    own = name in ('gpt-oss', 'glm4moe')  # these keep the published name
    experts = {'mlp.gate.weight': 'ffn_gate_inp.weight', 'mlp.router.weight': 'ffn_gate_inp.weight', 'mlp.router.bias': 'ffn_gate_inp.bias',
               'block_sparse_moe.router.weight': 'ffn_gate_inp.weight', 'block_sparse_moe.gate.weight': 'ffn_gate_inp.weight',
               'mlp.shared_expert_gate.weight': 'ffn_gate_inp_shexp.weight', 'self_attn.sinks': 'attn_sinks.weight'}
    short = published.split('.', 3)[-1] if published.startswith('model.layers.') else published
    layer = f'blk.{published.split(".")[2]}.' if short != published else ''
    if short in experts:
        return layer + experts[short]
    if short.endswith('e_score_correction_bias'):
        return layer + 'exp_probs_b.bias'
    if '.shared_expert' in short:
        return layer + 'ffn_' + short.split('.')[-2].removesuffix('_proj') + '_shexp.weight'
    parts = {'embed_tokens': 'token_embd', 'norm': 'output_norm', 'lm_head': 'output', 'input_layernorm': 'attn_norm',
             'q_proj': 'attn_q', 'k_proj': 'attn_k', 'v_proj': 'attn_v', 'o_proj': 'attn_output', 'qkv_proj': 'attn_qkv',
             'q_norm': 'attn_q_norm', 'k_norm': 'attn_k_norm', 'gate_proj': 'ffn_gate', 'up_proj': 'ffn_up', 'down_proj': 'ffn_down',
             'gate_up_proj': 'ffn_up', 'post_attention_layernorm': 'post_attention_norm' if gemma or own else 'ffn_norm',
             'pre_feedforward_layernorm': 'ffn_norm', 'post_feedforward_layernorm': 'post_ffw_norm'}
    words = published.split('.')
    return layer + parts[words[-2]] + '.' + words[-1]


def tensor_name_or_none(name, published):
    """Without its layer; None for those that a file has in parts."""
    return None if '.experts.' in published else tensor_name(name, published).split('.', 2)[-1]


def expert_tensors(name, published, x):
    """The parts that a file has of transformers' tensors of all experts: gate and up apart, inputs along rows."""
    part, bias = published.split('.')[-1], published.endswith('_bias')
    layer, end = f'blk.{published.split(".")[2]}.', '.bias' if bias else '.weight'
    if name == 'gpt-oss':
        x = x if bias else x.swapaxes(1, 2)
        halves = x[:, 0::2], x[:, 1::2]  # its gate and up alternate
    else:
        halves = np.split(x, 2, axis=1)
    if part.startswith('down_proj'):
        return {layer + 'ffn_down_exps' + end: x}
    return {layer + 'ffn_gate_exps' + end: halves[0], layer + 'ffn_up_exps' + end: halves[1]}


def is_tied(name, published):
    return published == 'lm_head.weight' and MODELS[name].get('tie_word_embeddings', False)


def value(name, published, shape):
    """A tensor as the file has it (but for llama's pairs), in float64: rounded to what the file keeps."""
    x = standins.normal(f'hf {name} {published}', int(np.prod(shape))).reshape(shape)
    if published.endswith('.sinks'):
        return x.astype('f4').astype('f8')
    if 'bias' in published.split('.')[-1]:  # those of all experts are one tensor
        return (0.1 * x).astype('f4').astype('f8')
    if len(shape) == 1:
        return (1 + 0.1 * x).astype('f4').astype('f8')
    if tensor_name_or_none(name, published) in ('ffn_gate_inp.weight', 'ffn_gate_inp_shexp.weight'):
        if name == 'phimoe':  # experts 2, 3, 6 and 7 have nearly the rows of 0, 1, 4 and 5
            x[2:4], x[6:8] = x[0:2] + x[2:4] / 64, x[4:6] + x[6:8] / 64
        return (shape[-1] ** -0.5 * x).astype('f4').astype('f8')
    embedding = 'embed_tokens' in published
    if published == 'lm_head.weight' or embedding and MODELS[name].get('tie_word_embeddings'):
        size = 4 * shape[-1] ** -0.5
    else:
        size = 1.0 if embedding else shape[-2 if name == 'gpt-oss' and len(shape) == 3 else -1] ** -0.5
    return (size * x).astype('f2').astype('f8')


def fill(name, hf):
    """Gives the model its weights; gemma3's norms are kept less 1, which is exact in float64."""
    with torch.no_grad():
        for published, parameter in hf.state_dict().items():
            if not is_tied(name, published):
                x = value(name, published, tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(x - 1 if family(name) == 'gemma3' and published.endswith('norm.weight') else x))


def llama3_factors(rope, n):
    """The published converter's rope_freqs: what divides each frequency."""
    wave = 2 * np.pi * rope['rope_theta'] ** (np.arange(n // 2) * 2 / n)
    low, high, old = rope['low_freq_factor'], rope['high_freq_factor'], rope['original_max_position_embeddings']
    smooth = np.clip((old / wave - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / rope['factor'] + smooth)


def architecture(name):
    return 'llama' if family(name) in ('llama', 'mistral', 'mixtral') else family(name)


def experts_metadata(name, k, c):
    own = MODELS[name]
    n = own.get('num_experts') or own.get('num_local_experts') or own.get('n_routed_experts') or own.get('moe_num_experts')
    if not n:
        return []
    out = [(k + 'expert_count', mk.U32, n), (k + 'expert_used_count', mk.U32, own.get('num_experts_per_tok') or own.get('moe_k'))]
    if name not in ('mixtral', 'granitemoe', 'olmoe', 'phimoe'):
        out.append((k + 'expert_feed_forward_length', mk.U32, own.get('moe_intermediate_size') or own['intermediate_size']))
    if name == 'qwen2moe':
        out.append((k + 'expert_shared_feed_forward_length', mk.U32, own['shared_expert_intermediate_size']))
    if name == 'granitemoe':
        out += [(k + 'embedding_scale', mk.F32, c.embedding_multiplier), (k + 'residual_scale', mk.F32, c.residual_multiplier),
                (k + 'logit_scale', mk.F32, c.logits_scaling), (k + 'attention.scale', mk.F32, c.attention_multiplier)]
    if name == 'glm4moe':
        out += [(k + 'expert_shared_count', mk.U32, 1), (k + 'leading_dense_block_count', mk.U32, 1), (k + 'expert_gating_func', mk.U32, 2),
                (k + 'expert_weights_scale', mk.F32, 2.5), (k + 'expert_weights_norm', mk.BOOL, 1),
                (k + 'expert_group_count', mk.U32, c.n_group), (k + 'expert_group_used_count', mk.U32, c.topk_group)]
    if name == 'ernie4_5-moe':
        out += [(k + 'expert_shared_count', mk.U32, 2), (k + 'leading_dense_block_count', mk.U32, 1),
                (k + 'interleave_moe_layer_step', mk.U32, 1), (k + 'expert_shared_feed_forward_length', mk.U32, 32)]
    if name == 'minimax-m2':
        out += [(k + 'expert_gating_func', mk.U32, 2)]
    return out


def metadata(name, c):
    arch = architecture(name)
    k, rope, window = arch + '.', MODELS[name]['rope_parameters'], MODELS[name].get('sliding_window')
    n = head_size(c)
    out = [('general.architecture', mk.STR, arch), ('general.name', mk.STR, 'seeded, as transformers computes it'),
           ('general.file_type', mk.U32, 1), (k + 'context_length', mk.U32, CONTEXT), (k + 'embedding_length', mk.U32, c.hidden_size),
           (k + 'block_count', mk.U32, c.num_hidden_layers), (k + 'feed_forward_length', mk.U32, c.intermediate_size),
           (k + 'attention.head_count', mk.U32, c.num_attention_heads), (k + 'attention.head_count_kv', mk.U32, c.num_key_value_heads),
           (k + 'attention.layer_norm_rms_epsilon', mk.F32, c.rms_norm_eps)]
    theta = rope['full_attention']['rope_theta'] if family(name) == 'gemma3' else rope['rope_theta']
    out.append((k + 'rope.freq_base', mk.F32, theta))
    if family(name) != 'gemma3':
        out.append((k + 'rope.dimension_count', mk.U32, int(n * rope.get('partial_rotary_factor', 1.0))))
    if n * c.num_attention_heads != c.hidden_size or family(name) in ('qwen3', 'gemma3'):
        out += [(k + 'attention.key_length', mk.U32, n), (k + 'attention.value_length', mk.U32, n)]
    if window:
        out.append((k + 'attention.sliding_window', mk.U32, window))
    if family(name) == 'gemma3':
        out += [(k + 'rope.scaling.type', mk.STR, 'linear'), (k + 'rope.scaling.factor', mk.F32, rope['full_attention']['factor'])]
    if name == 'phimoe':
        out += [(k + 'rope.scaling.original_context_length', mk.U32, rope['original_max_position_embeddings']),
                (k + 'rope.scaling.attn_factor', mk.F32, rope['short_mscale'])]
    if name == 'phi3':
        old = rope['original_max_position_embeddings']
        out += [(k + 'rope.scaling.original_context_length', mk.U32, old),
                (k + 'rope.scaling.attn_factor', mk.F32, math.sqrt(1 + math.log(CONTEXT / old) / math.log(old)))]
    if rope.get('rope_type') == 'yarn':
        out += [(k + 'rope.scaling.type', mk.STR, 'yarn'), (k + 'rope.scaling.factor', mk.F32, rope['factor']),
                (k + 'rope.scaling.original_context_length', mk.U32, rope['original_max_position_embeddings'])]
    return out + experts_metadata(name, k, c) + mk.made_up_vocabulary(VOCAB)[0]


def export(name, path):
    """Writes the model as the published converter would."""
    hf = build(name)
    made = {}
    for published, parameter in hf.state_dict().items():
        if is_tied(name, published):
            continue
        x = value(name, published, tuple(parameter.shape))
        if '.experts.' in published:
            made.update(expert_tensors(name, published, x))
            continue
        rows = published.split('.')[-2]
        if in_pairs(name) and rows in ('q_proj', 'k_proj'):
            x = x[pair_rows(hf.config, rows)]
        flat = 'shared_expert_gate' in published or 'e_score_correction_bias' in published
        made[tensor_name(name, published)] = x.reshape(-1) if flat else x
    rope = MODELS[name]['rope_parameters']
    if name == 'llama':
        made['rope_freqs.weight'] = llama3_factors(rope, hf.config.head_dim)
    if name in ('phi3', 'phimoe'):
        made['rope_factors_long.weight'], made['rope_factors_short.weight'] = np.array(rope['long_factor']), np.array(rope['short_factor'])
    tensors = [(n, x.shape, None, mk.TENSOR_F32 if x.ndim == 1 or n.endswith('.bias') or 'gate_inp' in n else mk.TENSOR_F16) for n, x in made.items()]
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
    except KeyError as why:
        return f'oracle.py knows no {why}'
    if architecture(os.path.basename(path)[:-5]) == 'llama' and (m.used or m.window):
        return 'oracle.py does not know windows and experts of arch llama'
    return f'oracle.py off by {relative(m.forward(ids), logits):.1e}'


def one(folder, name, label, n, generate):
    model, ids = f'models/hf/{name}.gguf', PROMPT[:n]
    path = os.path.join(folder, model)
    m = Published(name, path)
    logits, casts = m.forward(ids), dict(sorted(m.mode.casts.items()))  # of opening the model and one pass
    cast = Published(name, path, wide=False).forward(ids)
    head = {'verbatim': 'vectors', 'version': 1, 'kind': 'model', 'origin': 'oracle', 'licence': 'CC0-1.0', 'command': COMMAND,
            'model': model, 'architecture': architecture(name), 'n_layers': m.layers, 'n_vocab': VOCAB,
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
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder, only = sys.argv[1], sys.argv[2].split(',') if len(sys.argv) == 3 else list(MODELS)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for part in ('models/hf', 'oracle'):
        os.makedirs(os.path.join(folder, part), exist_ok=True)
    for name in only:
        export(name, os.path.join(folder, 'models', 'hf', name + '.gguf'))
    for name, label, n, generate in RECORDINGS:
        if name in only:
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
