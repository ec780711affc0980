#!/usr/bin/env python3
"""A conformance report on a build of llama.cpp: docs/conformance-llama.cpp.md is one.

  report.py --bin DIR --verbatim PROGRAM --vectors vectors [--fixtures DIR] --out REPORT.md [--work DIR] [--only NAME] [--samples N]

DIR holds llama-server and, for the token ids of vocabularies without weights, llama-tokenize. For each model the server is started
twice on 127.0.0.1 (its cache in float16 and float32), the adapter beside this file records it, and `verbatim compare` judges. With
pairs of target and draft the server is asked with and without the draft, and `verbatim prove --endpoint` judges its sampling.
Standard library only.
"""
import argparse, glob, json, os, re, socket, struct, subprocess, sys, time, urllib.request
HERE = os.path.dirname(os.path.abspath(__file__))

def hex32(values): return struct.pack('>%df' % len(values), *values).hex()

class Peer:
    """A server on a port of its own, for one model."""
    def __init__(self, a, model, *options):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]
        self.url = f'http://127.0.0.1:{self.port}'
        self.log = open(os.path.join(a.work, 'server.log'), 'w')
        self.process = subprocess.Popen([os.path.join(a.bin, 'llama-server'), '-m', model, '--host', '127.0.0.1', '--port', str(self.port),
                                         '-t', '1', '-c', '256', '-np', '1', '--no-warmup', '--no-webui', *options], stdout=self.log, stderr=self.log)
    def __enter__(self):
        for _ in range(600):
            if self.process.poll() is not None: return None
            try:
                urllib.request.urlopen(self.url + '/health', timeout=5).read()
                return self
            except OSError:
                time.sleep(0.1)
        return None
    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

def why(a):
    """The server's last word of an error."""
    with open(os.path.join(a.work, 'server.log'), errors='replace') as f: lines = [l.strip() for l in f if ' E ' in l or 'error' in l.lower()]
    return re.sub(r'^[\d.]+ \w ', '', lines[0])[:160] if lines else 'it ends without a word'

def run(*command):
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace')
    return r.returncode, r.stdout, r.stderr

def golden(a):
    """Recordings of the fixtures' models: ids and float64 oracle of golden/manifest.json in our form."""
    folder = os.path.join(a.fixtures, 'golden')
    with open(os.path.join(folder, 'manifest.json')) as f: models = json.load(f)['models']
    for m in models:
        with open(os.path.join(folder, m['oracle']), 'rb') as f: raw = f.read()
        n, ids = m['n_vocab'], m['tokens']
        rows = struct.unpack('<%df' % (len(raw) // 4), raw)
        out = os.path.join(a.work, m['name'] + '.ours.jsonl')
        lines = [{'verbatim': 'vectors', 'version': 1, 'kind': 'model', 'origin': 'oracle', 'model': m['name'], 'n_vocab': n}, {'prompt': 0, 'tokens': ids}]
        lines += [{'position': p, 'op': 'logits', 'n': n, 'f32': hex32(rows[p * n:(p + 1) * n])} for p in range(len(ids))]
        lines.append({'greedy': m['greedy']['ids'], 'margins': m['greedy']['margins']})
        lines.append({'end': len(lines)})
        with open(out, 'w') as f: f.writelines(json.dumps(l) + '\n' for l in lines)
        yield m['name'], os.path.join(a.fixtures, m['file']), out

def shipped(a):
    for path in sorted(glob.glob(os.path.join(a.vectors, 'recordings', '*.q16.jsonl'))):
        with open(path) as f: head = json.loads(f.readline())
        yield os.path.basename(path)[:-len('.q16.jsonl')], os.path.join(a.vectors, head['model']), path

def law_rows(path):
    with open(path) as f: lines = [json.loads(s) for s in f]
    return [l.get('values') for l in lines if l.get('op') == 'logprobs']

def record(a, url, ours, out, *more):
    rc, _, err = run(sys.executable, os.path.join(HERE, 'record.py'), '--url', url, '--ours', ours, '--out', out, *more)
    return None if rc == 0 else err.strip()[-200:]

def judge(a, ours, theirs, tolerance):
    rc, text, err = run(a.verbatim, 'compare', ours, theirs, '--tolerance', tolerance, '--json')
    try:
        return json.loads(text)
    except ValueError:
        return {'error': err.strip()[-200:]}

def weights(a, model):
    """Types of the model's tensors."""
    rc, text, _ = run(a.verbatim, 'inspect', model, '--json')
    return list(json.loads(text)['types']) if rc == 0 else ['unknown']

def first_text(f):
    if not f: return '-'
    if f['element'] < 0: return f'{f["what"]} at {f["position"]}: {f["ours"]:.0f}, theirs {f["theirs"]:.0f}'
    return f'position {f["position"]}, {f["what"]}, element {f["element"]}: {f["ours"]:.4g}, theirs {f["theirs"]:.4g}'

def model_row(a, name, model, ours):
    """One line of the table, and True if it is within its tolerance."""
    types = [t for t in weights(a, model) if t != 'F32'] or ['F32']
    tolerance = 'f16' if set(types) <= {'F32', 'F16', 'BF16'} else 'q8'
    start = f'| {name} | {"+".join(types)} | {tolerance} | '
    theirs = [os.path.join(a.work, f'{name}.{k}.jsonl') for k in ('single', 'whole', 'f32')]
    with Peer(a, model) as peer:
        if not peer: return start + f'refused: {why(a)}' + ' | ' * 8, None
        failed = record(a, peer.url, ours, theirs[0]) or record(a, peer.url, ours, theirs[1], '--one-batch')
        if failed: return start + failed + ' | ' * 8, None
    f32 = {}
    with Peer(a, model, '-ctk', 'f32', '-ctv', 'f32', '-fa', 'off') as peer:
        if peer and not record(a, peer.url, ours, theirs[2]): f32 = judge(a, ours, theirs[2], tolerance)
    r, w = judge(a, ours, theirs[0], tolerance), judge(a, ours, theirs[1], tolerance)
    if 'error' in r: return start + r['error'] + ' | ' * 8, None
    x, y = law_rows(theirs[0]), law_rows(theirs[1])
    differ = sum(p != q for p, q in zip(x, y))
    verdict = 'pass' if r['pass'] else '**beyond**'
    kl32 = f'{f32["mean_kl"]:.1e}' if 'mean_kl' in f32 else '-'
    logprob = r['worst_logprob'] if r.get('logprobs') else None
    return (start + f'{verdict} | {r["mean_kl"]:.1e} / {r["max_kl"]:.1e} | {kl32} | {w["mean_kl"]:.1e} | {differ} of {len(x)} | {r["top1"]} of {r["positions"]} | '
            f'{r["tokens"]}{", near tie" if r["near_ties"] else ""} | {"-" if logprob is None else "%.2g" % logprob} | {first_text(r["first"])} |'), r['pass']

def table(a, title, models, out):
    print(title, file=sys.stderr)
    out.append(f'\n### {title}\n')
    out.append('| model | weights | tolerance | verdict | KL mean / max | mean KL, cache f32 | mean KL, one batch | batch differs | best token | greedy tokens compared | worst log-probability | first beyond the tolerance |')
    out.append('|---|---|---|---|---|---|---|---|---|---|---|---|')
    beyond = []
    for name, model, ours in models:
        if a.only and not re.search(a.only, name): continue
        row, good = model_row(a, name, model, ours)
        out.append(row)
        if good is False: beyond.append(name)
        print(row, file=sys.stderr)
    out.append(f'\n{title} beyond the tolerance: ' + (', '.join(beyond) or 'none') + '.')

# -------------------------------------------------------------------------------------------------------- token ids

def ids_of(a, program, model, text, special):
    path = os.path.join(a.work, 'text')
    with open(path, 'wb') as f: f.write(text)
    if program == 'ours':
        with open(path, 'rb') as f:
            r = subprocess.run([a.verbatim, 'tokenize', '-m', model] + ([] if special else ['--no-special']), stdin=f, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return None if r.returncode else [int(x) for x in r.stdout.split()]
    r = subprocess.run([os.path.join(a.bin, 'llama-tokenize'), '-m', model, '-f', path, '--ids', '--no-bos', '--log-disable'] + ([] if special else ['--no-parse-special']),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    found = re.search(rb'\[([\d, ]*)\]\s*$', r.stdout)
    return [int(x) for x in found.group(1).split(b',') if x.strip()] if found else None

def utf8(text):
    try:
        return text.decode() is not None
    except UnicodeDecodeError:
        return False

def token_table(a, out):
    sys.path.insert(0, os.path.join(HERE, '..'))
    from common import read_texts
    out.append('\n## Level 1: token ids\n\n| vocabulary | texts in UTF-8 | different ids | other bytes | different ids | first that differs in UTF-8 | in other bytes |\n|---|---|---|---|---|---|---|')
    shipped = [t for t in read_texts(os.path.join(a.vectors, 'texts.jsonl')) if t]
    sets = [(os.path.basename(p)[:-5], p, shipped) for p in sorted(glob.glob(os.path.join(a.vectors, 'models/seeded/vocab-*.gguf')))]
    for p in sorted(glob.glob(os.path.join(a.fixtures, 'tokenizers/*.gguf'))) if a.fixtures else []:
        with open(p + '.inp', 'rb') as f: texts = f.read().split(b'\n__ggml_vocab_test__\n')
        sets.append((os.path.basename(p)[len('ggml-vocab-'):-5], p, [t for t in texts if t]))
    for name, model, texts in sets:
        if a.only and not re.search(a.only, name): continue
        count, wrong, first = [0, 0], [0, 0], ['-', '-']
        for t in texts:
            k = 0 if utf8(t) else 1
            count[k] += 1
            # special tokens read as such, and (for the small vocabularies) as text
            seen = [(ids_of(a, 'ours', model, t, s), ids_of(a, 'theirs', model, t, s)) for s in ((True, False) if texts is shipped else (False,))]
            x, y = next(((x, y) for x, y in seen if x != y), seen[0])
            wrong[k] += x != y
            if x != y and first[k] == '-': first[k] = f'`{str(t[:24])[1:]}`: {x and x[:8]}, theirs {y and y[:8]}'.replace('|', '\\|')
        out.append(f'| {name} | {count[0]} | {wrong[0]} | {count[1]} | {wrong[1]} | {first[0]} | {first[1]} |')
        print(out[-1], file=sys.stderr)

# -------------------------------------------------------------------------------------------------------- speculation

def greedy(url, ids, n):
    body = {'prompt': ids, 'n_predict': n, 'temperature': 0, 'samplers': ['temperature'], 'n_probs': 1, 'return_tokens': True, 'cache_prompt': False}
    r = urllib.request.Request(url + '/completion', json.dumps(body).encode(), {'Content-Type': 'application/json'})
    o = json.load(urllib.request.urlopen(r, timeout=300))
    return o['tokens'], [p['logprob'] for p in o['completion_probabilities']], o.get('timings', {})

def prove(a, url, target, prompt, samples):
    rc, text, err = run(a.verbatim, 'prove', '-m', target, '--endpoint', url + '/v1', '-p', prompt, '--samples', str(samples), '--connections', '4', '-t', '1', '-c', '64',
                        '--activations', 'q16', '--kv', 'f32', '--tokens', '3', '--gamma', '4', '--json')
    try:
        return json.loads(text)
    except ValueError:
        return {'error': err.strip()[-200:]}

def prove_text(r):
    if 'error' in r: return r['error']
    last = r['stages'][-1]
    tv = max(d['tv_low'] for d in last['depths'])
    return (f'p = {last["p"]:.2g}, TV seen {last["depths"][-1]["tv"]:.3f}, at least {tv:.3f}; same seed: {r["repeat_differs"]} of {r["repeated"]} differ; '
            f'log-probabilities: {r["logprob_differs"]} of {r["logprobs"]} wrong by more than 0.25, worst {r["endpoint"]["logprob_worst"]:.2g}; drafted {r["drafted"]}, accepted {r["accepted"]}')

def speculation(a, pairs, out):
    out.append('\n## Speculation on against off\n\nGreedy, 48 tokens after each of 8 prompts; then `verbatim prove --endpoint` at temperature 1.\n\n'
               '| pair | same greedy text | drafted, accepted | log-probabilities of exactly 0 with the draft, without | sampling with the draft | without |\n|---|---|---|---|---|---|')
    for name, target, draft, prompt in pairs:
        if a.only and not re.search(a.only, name): continue
        seen = []
        for options in (('-md', draft, '--spec-type', 'draft-simple'), ()):
            with Peer(a, target, *options) as peer:
                if not peer:
                    seen.append(None)
                    continue
                prompts = [[1 + (7 * k + 3 * i * i + i) % 300 for i in range(6)] for k in range(8)]
                seen.append(([greedy(peer.url, ids, 48) for ids in prompts], prove(a, peer.url, target, prompt, a.samples)))
        if None in seen:
            out.append(f'| {name} | refused: {why(a)} | | | | |')
            continue
        (on, p_on), (off, p_off) = seen
        same = sum(x[0] == y[0] for x, y in zip(on, off))
        zero = [sum(v == 0 for x in s for v in x[1]) for s in (on, off)]
        drafted = [sum(x[2].get(k, 0) for x in on) for k in ('draft_n', 'draft_n_accepted')]
        total = sum(len(x[1]) for x in on)
        out.append(f'| {name} | {same} of {len(on)} | {drafted[0]}, {drafted[1]} | {zero[0]} of {total}, {zero[1]} | {prove_text(p_on)} | {prove_text(p_off)} |')
        print(out[-1], file=sys.stderr)

def section(a, name, make, *more):
    """Lines that are made once: kept in the working folder until its file is removed."""
    path = os.path.join(a.work, f'section-{name}.md')
    if not os.path.exists(path):
        lines = []
        make(a, *more, lines)
        with open(path + '.part', 'w') as f: f.write('\n'.join(lines) + '\n')
        os.replace(path + '.part', path)
    with open(path) as f: return f.read().rstrip('\n')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--bin', required=True)
    p.add_argument('--verbatim', default='bin/verbatim')
    p.add_argument('--vectors', default='vectors')
    p.add_argument('--fixtures', default='')
    p.add_argument('--work', default='conformance-work')
    p.add_argument('--only', help='a regular expression of names')
    p.add_argument('--samples', type=int, default=4000)
    p.add_argument('--out', required=True)
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    _, text, err = run(os.path.join(a.bin, 'llama-server'), '--version')
    version = re.search(r'version: .*', text + err)
    out = [f'<!-- made by examples/adapters/llama-server/report.py; {version.group(0) if version else ""} -->']
    out.append(section(a, 'tokens', token_table))
    out.append('\n## Levels 4 and 5: logits, greedy tokens, log-probabilities')
    out.append(section(a, 'shipped', table, 'Shipped models', shipped(a)))
    if a.fixtures: out.append(section(a, 'fixtures', table, 'Fixtures', golden(a)))
    seeded, models = os.path.join(a.vectors, 'models/seeded'), os.path.join(a.vectors, 'models')
    pairs = [('tales-target-q4_k_m, tales-draft-q8_0', f'{models}/tales-target-q4_k_m.gguf', f'{models}/tales-draft-q8_0.gguf', 'Once upon a time there was a'),
             ('arch-llama, draft-llama', f'{seeded}/arch-llama.gguf', f'{seeded}/draft-llama.gguf', 'Once upon a time')]
    if a.fixtures:
        f = os.path.join(a.fixtures, 'models')
        pairs.append(('stories260K, llama2xs', f'{f}/stories260K.gguf', f'{f}/llama2xs.gguf', 'Once upon a time there was a'))
    out.append(section(a, 'speculation', speculation, pairs))
    with open(a.out, 'w') as f: f.write('\n'.join(out) + '\n')

if __name__ == '__main__': main()
