#!/usr/bin/env python3
"""Samples continuations with llama.cpp's `llama-speculative`, one process each, for `verbatim prove --samples FILE`.

  speculative.py --program llama-speculative -m TARGET.gguf -md DRAFT.gguf -p TEXT --samples 4000 --out FILE [--tokens 3] [--first-seed 1]

The program prints text, from which ids cannot be told for sure; its debug log (-lv 5) names each token that it emits by id, and that is
what is read. Temperature 1 and no truncation. One line of ids per continuation; an existing FILE is added to.

Seed i is 31 bits of a hash of i: the program's generator is linear in its seed, so that seeds 1, 2, 3, ... would give completions that are
not independent of each other (the law of the first token then comes out too well: chi-square 2 where 37 are expected).
"""
import argparse, hashlib, re, subprocess, sys

EMITTED = re.compile(rb"draft token \d+ of sequence \d+ \((\d+), .{0,300}?'\) accepted"
                     rb"|matches the \d+th drafted token of sequence \d+ \((\d+), .{0,300}?'\) - accepted"
                     rb"|the sampled target token \((\d+), .{0,300}?'\) did not match", re.S)

def continuation(a, seed):
    command = [a.program, '-m', a.m, '-md', a.md, '-p', a.p, '-n', str(a.tokens + a.more), '--temp', '1', '--samplers', 'temperature',
               '-s', str(seed), '-t', '1', '-c', '128', '-lv', '5', *a.option]
    for _ in range(8):  # now and then the log loses its end; the same seed gives the same, so it is run again
        run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if run.returncode: sys.exit(f'{" ".join(command)}: exit status {run.returncode}: {run.stderr[-300:]!r}')
        ids = [int(next(g for g in m.groups() if g)) for m in EMITTED.finditer(run.stderr)]
        said = re.search(rb'n_predict = (\d+)', run.stderr)
        if said: break
    if not said or int(said.group(1)) != len(ids):
        sys.exit(f'seed {seed}: {len(ids)} tokens found in the log, the program counts {said and int(said.group(1))}')
    if len(ids) < a.tokens and a.eos not in ids: sys.exit(f'seed {seed}: {len(ids)} tokens, {a.tokens} are needed')
    return ids

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--program', default='llama-speculative')
    p.add_argument('-m', required=True)
    p.add_argument('-md', required=True)
    p.add_argument('-p', default='Once upon a time there was a')
    p.add_argument('--samples', type=int, default=4000)
    p.add_argument('--tokens', type=int, default=3, help='tokens that will be judged')
    p.add_argument('--more', type=int, default=5, help='tokens beyond these, so that steps are not cut short')
    p.add_argument('--first-seed', type=int, default=1)
    p.add_argument('--eos', type=int, default=2, help='the id that ends a continuation')
    p.add_argument('--option', action='append', default=[], help='a further option of the program; may be repeated')
    p.add_argument('--out', required=True)
    a = p.parse_args()
    with open(a.out, 'a') as f:
        for i in range(a.first_seed, a.first_seed + a.samples):
            seed = int.from_bytes(hashlib.sha256(b'%d' % i).digest()[:4], 'big') >> 1
            f.write(' '.join(map(str, continuation(a, seed))) + '\n')
            f.flush()
    print(a.out)

if __name__ == '__main__': main()
