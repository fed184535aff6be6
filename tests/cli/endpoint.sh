# Endpoint arms against a server of our own: answers, a key, refusals, a server that is not there.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "not run: no python3"; exit 77; }
p=$work/examples/app
mkdir -p "$work/examples"
cp -r "$source_dir/examples/tiny-base" "$source_dir/examples/shop-sql" "$work/examples/"
cp -r "$source_dir/examples/shop-sql-tiny" "$p"
cd "$p" || exit 70
rm -rf accord.lock .accord
cat >server.py <<'PY'
import http.server, json
CASES = {}
for line in open('../shop-sql/evals/cases.jsonl'):
    c = json.loads(line)
    if 'id' in c:
        q = c.get('turns') or c['input']
        q = q[-1]['content'] if isinstance(q, list) else q
        i = c.get('ideal') or ''
        CASES[q] = i if isinstance(i, str) else i[0]
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        if body['model'] == 'locked' and self.headers.get('Authorization') != 'Bearer open-sesame':
            return self.say(401, {'error': 'who are you'})
        if body['model'] == 'odd':
            return self.say(200, {'result': 'yes'})
        assert body['temperature'] == 0 and body['max_tokens'] == 80 and body['stream'] is False
        text = CASES.get(body['messages'][-1]['content'], 'what?')
        self.say(200, {'choices': [{'message': {'role': 'assistant', 'content': text}, 'finish_reason': 'stop'}],
                       'usage': {'prompt_tokens': 7, 'completion_tokens': 3}})
    def say(self, status, what):
        data = json.dumps(what).encode()
        self.send_response(status); self.send_header('Content-Length', str(len(data))); self.end_headers()
        self.wfile.write(data)
    def log_message(self, *a):
        pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)
print(s.server_port, flush=True)
s.serve_forever()
PY
python3 server.py >port &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
i=0
while [ ! -s port ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
url=http://127.0.0.1:$(cat port)/v1

run 0 freeze
run 64 ab --untuned --endpoint nonsense
err_has 'NAME=URL,MODEL'
run 64 ab --untuned --endpoint "a=http://user:secret@127.0.0.1/v1,m"
err_has 'ACCORD_ENDPOINT_KEY'
run 64 ab --untuned --endpoint "a=$url,m" --endpoint "a=$url,m"
err_has 'stands there twice'
run 0 ab --untuned --arms base --endpoint "big=$url,any-model"
out_has 'endpoint:big   48/48'
run 0 ab --untuned --arms base --endpoint "big=$url/chat/completions,any-model" --json
out_has '"endpoint:big"'
out_has '"prompt_tokens": 336'
run 74 ab --untuned --arms base --endpoint "big=$url,locked"
err_has '401'
err_has 'ACCORD_ENDPOINT_KEY'
ACCORD_ENDPOINT_KEY=open-sesame
export ACCORD_ENDPOINT_KEY
run 0 ab --untuned --arms base --endpoint "big=$url,locked"
grep -rq open-sesame .accord "$work/out" "$work/err" && bad "the key was written somewhere"
unset ACCORD_ENDPOINT_KEY
run 65 ab --untuned --arms base --endpoint "big=$url,odd"
err_has 'choices[0].message.content'
run 74 ab --untuned --arms base --endpoint 'gone=http://127.0.0.1:9/v1,m'
err_has '127.0.0.1:9'
run 0 audit --list
out_has 'endpoint:big'
finish
