#!/usr/bin/env python3
"""Records what a llama.cpp server computes, for `verbatim compare` (docs/vectors.md).

  record.py --url http://127.0.0.1:8080 --ours OURS.jsonl --out THEIRS.jsonl [--one-batch] [--request JSON]
  record.py --url http://127.0.0.1:8080 --texts texts.jsonl --out THEIRS.jsonl

The first form takes the prompts of OURS (ids) and asks for the whole next-token law after every position (/completion with n_probs),
and for as many greedy tokens as OURS has. Positions come one token at a time, from the server's own cache; with --one-batch each
prefix is evaluated as a whole. The second form records the token ids of a set of texts (/tokenize).
"""
import argparse, json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from common import Server, Writer, read_ours, read_texts, stop

LOWEST = -1e30  # the server writes the lowest float for a probability of 0

def aligned(tokens, rows):
    """The rows of the tokens, None where the server has none: it reports nothing for a token that ends within a character."""
    rows, out = list(rows), []
    for t in tokens: out.append(rows.pop(0) if rows and rows[0][0] == t else None)
    return out

def complete(server, ids, n, n_probs, cache, extra):
    """n greedy tokens after ids: ids, and for each (id, its log-probability, {id: log-probability}) or None"""
    body = {'prompt': ids, 'n_predict': n, 'n_probs': n_probs, 'temperature': 0, 'samplers': ['temperature'], 'repeat_penalty': 1,
            'cache_prompt': cache, 'return_tokens': True, 'post_sampling_probs': False, 'seed': 1, **extra}
    answer = server.ask('/completion', body)
    tokens = server.field(answer, '/completion', 'tokens', list)
    rows = answer.get('completion_probabilities') or []
    out = []
    for k, row in enumerate(rows):
        name = f'completion_probabilities[{k}]'
        token = server.field(answer, '/completion', name + '.id', int)
        top = server.field(answer, '/completion', name + '.top_logprobs', list)
        known = {t['id']: t['logprob'] for t in top if t['logprob'] > LOWEST}
        out.append((token, server.field(answer, '/completion', name + '.logprob', (int, float)), known))
    return tokens, aligned(tokens, out)

def record_model(server, a):
    head, prompts, generate = read_ours(a.ours)
    props = server.ask('/props')
    w = Writer(a.out, kind='model', origin='other', command='examples/adapters/llama-server/record.py', engine='llama.cpp ' + str(props.get('build_info', '')),
               batch='whole' if a.one_batch else 'single')
    extra = json.loads(a.request)
    # The law is that of the raw logits, whatever is sampled; sampling a whole character makes the server report it.
    push = {'logit_bias': [[server.field(server.ask('/tokenize', {'content': 'a'}), '/tokenize', 'tokens', list)[-1], 1000]]}
    for k, ids in enumerate(prompts):
        w.line({'prompt': k, 'tokens': ids})
        known = {}
        for p in range(len(ids)):
            _, law = complete(server, ids[:p + 1], 1, head['n_vocab'], not a.one_batch, {**extra, **push})
            if not law or law[0] is None: stop(f'{server.url}/completion: no completion_probabilities after position {p}')
            w.logprobs(p, head['n_vocab'], law[0][2])
            if p + 1 < len(ids): known[p] = law[0][2].get(ids[p + 1])
        if len(ids) > 1: w.line({'logprobs': [known.get(p) for p in range(len(ids) - 1)]})
        if generate:
            tokens, law = complete(server, ids, generate, 1, not a.one_batch, extra)
            w.line({'greedy': tokens, 'logprobs': [r[1] if r and r[1] > LOWEST else None for r in law]})
    w.close()

def record_texts(server, a):
    w = Writer(a.out, kind='tokens', origin='other', command='examples/adapters/llama-server/record.py')
    for text in read_texts(a.texts):
        row = {'bytes': text.hex()}
        try:
            content = text.decode()
        except UnicodeDecodeError:
            content = None  # JSON cannot carry it
        for name, special in (('special', True), ('plain', False)):
            if content is None: continue
            answer = server.ask('/tokenize', {'content': content, 'add_special': False, 'parse_special': special})
            row[name] = server.field(answer, '/tokenize', 'tokens', list)
        w.line(row)
    w.close()

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--url', default='http://127.0.0.1:8080')
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument('--ours', help='a recording of the same model')
    what.add_argument('--texts', help='vectors/texts.jsonl')
    p.add_argument('--out', required=True)
    p.add_argument('--one-batch', action='store_true', help='evaluate each prefix as a whole')
    p.add_argument('--request', default='{}', help='a JSON object put into every request, such as {"speculative.n_max":0}')
    a = p.parse_args()
    server = Server(a.url)
    record_texts(server, a) if a.texts else record_model(server, a)
    print(a.out)

if __name__ == '__main__': main()
