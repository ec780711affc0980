#!/usr/bin/env python3
"""Records what any server with an OpenAI-compatible API says, for `verbatim compare` (docs/vectors.md).

  record.py --url http://127.0.0.1:8000/v1 --ours OURS.jsonl --out THEIRS.jsonl [--model NAME] [--gguf MODEL.gguf] [--top N]

Takes the prompts of OURS (ids) and asks, after every position, for one token and the N likeliest log-probabilities (POST
/completions with logprobs), and for as many greedy tokens as OURS has. Ids come from token_ids, logprobs.content[].id or
"token_id:N" texts; a server that reports only texts needs --gguf, the model file whose vocabulary says which ids they are.
"""
import argparse, json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from common import Server, Vocabulary, Writer, read_ours, stop

PATH = '/completions'

def id_of(entry, vocabulary, where):
    """The id of {'id':..} or {'bytes':..} or {'token':..} or a text."""
    if isinstance(entry, dict) and isinstance(entry.get('id'), int): return entry['id']
    if isinstance(entry, dict) and entry.get('bytes'): text = bytes(entry['bytes'])
    else:
        token = entry.get('token') if isinstance(entry, dict) else entry
        if not isinstance(token, str): stop(f'{where}: no id, bytes or token: {entry!r:.80}')
        if token.startswith('token_id:'): return int(token[9:])
        text = bytes.fromhex(token[6:].replace('\\x', '')) if token.startswith('bytes:\\x') else token.encode()
    if vocabulary is None: stop(f'{where}: the server reports texts, not ids: give --gguf MODEL.gguf')
    return vocabulary.find(text, where)

def complete(server, body, vocabulary):
    """[(id, log-probability, {id: log-probability})]"""
    answer = server.ask(PATH, body)
    choice = server.field(answer, PATH, 'choices[0]', dict)
    report = server.field(answer, PATH, 'choices[0].logprobs', dict)
    where = f'{server.url}{PATH}: choices[0].logprobs'
    ids = choice.get('token_ids') if isinstance(choice.get('token_ids'), list) else None
    if isinstance(report.get('content'), list):
        tokens = report['content']
        numbers = [c.get('logprob') for c in tokens]
        tops = [[(t, t.get('logprob')) for t in c.get('top_logprobs') or []] for c in tokens]
    else:
        tokens = server.field(answer, PATH, 'choices[0].logprobs.tokens', list)
        numbers = server.field(answer, PATH, 'choices[0].logprobs.token_logprobs', list)
        tops = [list((t or {}).items()) for t in report.get('top_logprobs') or [None] * len(tokens)]
    out = []
    for k, x in enumerate(numbers):
        if not isinstance(x, (int, float)): stop(f'{where}: token {k}: no log-probability: {x!r:.80}')
        token = ids[k] if ids and k < len(ids) else id_of(tokens[k], vocabulary, f'{where}: token {k}')
        # alternatives that are texts, beside ids that are known: left out where no vocabulary says which ids they are
        known = [(t, v) for t, v in tops[k] if not ids or vocabulary or (isinstance(t, dict) and 'id' in t) or str(t).startswith('token_id:')]
        top = {id_of(t, vocabulary, f'{where}: alternatives of token {k}'): v for t, v in known}
        out.append((token, x, {**top, token: x}))
    return out

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--url', default='http://127.0.0.1:8000/v1')
    p.add_argument('--ours', required=True, help='a recording of the same model')
    p.add_argument('--out', required=True)
    p.add_argument('--model', help='what the server calls the model; default: the first that it lists')
    p.add_argument('--gguf', help='the model file, to know ids by their text')
    p.add_argument('--top', type=int, default=5, help='alternatives per token; servers limit this, often to 5 or 20')
    p.add_argument('--request', default='{}', help='a JSON object put into every request')
    a = p.parse_args()
    server = Server(a.url, key=os.environ.get('VERBATIM_API_KEY'))
    model = a.model or server.field(server.ask('/models'), '/models', 'data[0].id', str)
    vocabulary = Vocabulary(a.gguf) if a.gguf else None
    head, prompts, generate = read_ours(a.ours)
    w = Writer(a.out, kind='model', origin='other', command='examples/adapters/openai/record.py', engine=model)
    base = {'model': model, 'temperature': 0, 'logprobs': a.top, 'return_token_ids': True, 'seed': 1, **json.loads(a.request)}
    for k, ids in enumerate(prompts):
        w.line({'prompt': k, 'tokens': ids})
        known = []
        for n in range(1, len(ids) + 1):
            law = complete(server, {**base, 'prompt': ids[:n], 'max_tokens': 1}, vocabulary)
            top = dict(law[0][2]) if law else {}
            if law: top[law[0][0]] = law[0][1]
            if top: w.logprobs(n - 1, head['n_vocab'], top)
            if n < len(ids): known.append(top.get(ids[n]))
        if known: w.line({'logprobs': known})
        if generate:
            law = complete(server, {**base, 'prompt': ids, 'max_tokens': generate}, vocabulary)
            w.line({'greedy': [i for i, _, _ in law], 'logprobs': [x for _, x, _ in law]})
    w.close()
    print(a.out)

if __name__ == '__main__': main()
