"""What the adapters share: asking a server, reading OUR recordings, writing THEIRS (docs/vectors.md). Standard library only."""
import http.client, json, os, struct, sys, urllib.parse

def stop(message):
    sys.exit('error: ' + message)

class Server:
    """One kept connection. Every error names the URL."""
    def __init__(self, url, timeout=300, key=None):
        self.url = url.rstrip('/')
        u = urllib.parse.urlsplit(self.url)
        if u.scheme not in ('http', 'https') or not u.hostname: stop(f'{url}: expected a URL such as http://127.0.0.1:8080')
        kind = http.client.HTTPSConnection if u.scheme == 'https' else http.client.HTTPConnection
        self.connection = kind(u.hostname, u.port, timeout=timeout)
        self.base = u.path
        self.headers = {'Content-Type': 'application/json'}
        if key: self.headers['Authorization'] = 'Bearer ' + key

    def ask(self, path, body=None):
        """POST (GET without a body); the answer's JSON."""
        where = self.url + path
        data = None if body is None else json.dumps(body)
        for attempt in (0, 1):  # a kept connection may have been closed meanwhile: once more on a new one
            fresh = self.connection.sock is None
            try:
                self.connection.request('GET' if data is None else 'POST', self.base + path, data, self.headers)
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException) as e:
                self.connection.close()
                if fresh or attempt: stop(f'{where}: no complete answer ({e or type(e).__name__}): is the server running?')
        if answer.status != 200:
            stop(f'{where}: HTTP status {answer.status}: {text[:300].decode("utf-8", "replace")}')
        try:
            return json.loads(text)
        except ValueError as e:
            stop(f'{where}: the answer of {len(text)} bytes is no JSON: {e}')

    def field(self, answer, path, name, kind):
        """answer['a'][0]['b'] for name 'a[0].b', of that type; the error names URL and field."""
        at = answer
        for part in name.replace('[', '.[').split('.'):
            try:
                at = at[int(part[1:-1])] if part.startswith('[') else at[part]
            except (KeyError, IndexError, TypeError):
                stop(f'{self.url}{path}: {name}: not in the answer')
        if not isinstance(at, kind) or isinstance(at, bool): stop(f'{self.url}{path}: {name}: not what was expected: {at!r:.80}')
        return at

def read_ours(path):
    """Head and prompts' ids of a recording (vectors/recordings, vectors/oracle, `verbatim record`)."""
    with open(path, encoding='utf-8') as f: lines = [json.loads(s) for s in f]
    if not lines or lines[0].get('kind') != 'model' or lines[-1].get('end') != len(lines) - 1: stop(f'{path}: not a whole recording of a model')
    greedy = [len(l['greedy']) for l in lines if 'greedy' in l]
    return lines[0], [l['tokens'] for l in lines if 'prompt' in l], max(greedy, default=0)

def read_texts(path):
    """The texts of vectors/texts.jsonl as bytes."""
    with open(path, encoding='utf-8') as f: lines = [json.loads(s) for s in f][1:]
    return [bytes.fromhex(l['hex']) if 'hex' in l else l['text'].encode() for l in lines if 'hex' in l or 'text' in l]

class Writer:
    """JSON Lines in the form of docs/vectors.md; the file appears when it is complete."""
    def __init__(self, path, **head):
        self.path, self.lines = path, 0
        self.file = open(path + '.part', 'w', encoding='utf-8')
        self.line({'verbatim': 'vectors', 'version': 1, **head})

    def line(self, o):
        self.file.write(json.dumps(o, separators=(',', ':'), ensure_ascii=False) + '\n')
        self.lines += 1

    def logprobs(self, position, n, known):
        """Log-probabilities of the next token after a position, by id; ids that are missing are not known."""
        ids = sorted(known)
        row = {'position': position, 'op': 'logprobs', 'n': n}
        if len(ids) < n: row['ids'] = ids
        row['values'] = [known[i] for i in ids]
        self.line(row)

    def logits(self, position, values):
        self.line({'position': position, 'op': 'logits', 'n': len(values), 'f32': b''.join(struct.pack('>f', v) for v in values).hex()})

    def close(self):
        self.line({'end': self.lines})
        self.file.close()
        os.replace(self.path + '.part', self.path)

class Vocabulary:
    """Texts of ids, read from a GGUF file's own tables: for servers that report tokens as text."""
    SCALARS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}

    def __init__(self, path):
        with open(path, 'rb') as f:
            if f.read(4) != b'GGUF': stop(f'{path}: not a GGUF file')
            version, _, count = struct.unpack('<IQQ', f.read(20))
            if version not in (2, 3): stop(f'{path}: GGUF version {version}')
            meta = {}
            for _ in range(count):
                key = self.string(f).decode()
                meta[key] = self.value(f, struct.unpack('<I', f.read(4))[0])
        tokens, types = meta.get('tokenizer.ggml.tokens'), meta.get('tokenizer.ggml.token_type', [])
        if not tokens: stop(f'{path}: no tokenizer.ggml.tokens')
        spell = self.bpe() if meta.get('tokenizer.ggml.model') == b'gpt2' else self.spm
        self.n = len(tokens)
        self.ids = {}  # text -> ids; a byte's own id comes last
        for i, raw in enumerate(tokens):
            kind = types[i] if i < len(types) else 1
            self.ids.setdefault(raw if kind in (3, 4) else spell(raw), []).append((kind == 6, i))

    @staticmethod
    def string(f): return f.read(struct.unpack('<Q', f.read(8))[0])

    def value(self, f, kind):
        if kind == 8: return self.string(f)
        if kind == 9:
            inner, n = struct.unpack('<IQ', f.read(12))
            return [self.value(f, inner) for _ in range(n)]
        code = '<' + self.SCALARS[kind]
        return struct.unpack(code, f.read(struct.calcsize(code)))[0]

    @staticmethod
    def spm(raw):
        if len(raw) == 6 and raw.startswith(b'<0x'): return bytes([int(raw[3:5], 16)])
        return raw.replace('\u2581'.encode(), b' ')

    @staticmethod
    def bpe():
        """Byte-level BPE writes each byte as a printable character: printable Latin-1 as itself, the others from U+0100 on."""
        plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        table = {chr(b): b for b in plain}
        table.update({chr(0x100 + k): b for k, b in enumerate(b for b in range(256) if b not in plain)})
        return lambda raw: bytes(table[c] for c in raw.decode()) if all(c in table for c in raw.decode()) else raw

    def find(self, text, where):
        """The id of a text; an ordinary one goes before a byte's."""
        found = sorted(self.ids.get(text, []))
        if not found: stop(f'{where}: {text!r} is no token of the model: is this the same model?')
        if len(found) > 1 and not found[1][0]: stop(f'{where}: several ids have the text {text!r}: the server must report ids')
        return found[0][1]
