#!/bin/sh
# tokenizer: vocabularies are made, written, read; token files.
. "$(dirname "$0")/lib.sh"

# train: from text, JSONL and generated problems
for i in 1 2 3 4; do cat "$here"/*.sh; done >text
status 0 "$minke" tokenizer train text --vocab 400 --out plain
says out "plain: 400 tokens from "
for f in plain/tokenizer.json plain/tokenizer_config.json; do
    [ -s $f ] || fail "no $f"
    json $f
done
"$minke" tokenize --tokenizer plain <text >ids 2>err || fail "tokenize: $(cat err)"
[ "$(wc -w <ids)" -lt $(($(wc -c <text) * 3 / 4)) ] || fail "hardly shorter: $(wc -w <ids) tokens"
"$minke" detokenize --tokenizer plain <ids | cmp -s - text || fail "text changed on the way"
printf 'text\n' | "$minke" tokenize --tokenizer plain/tokenizer.json --bos --json >out
[ "$(cut -c1-9 out)" = '{"ids":[0' ] || fail "BOS is not 0: $(cat out)"

status 0 "$minke" tokenizer train --mix 2000 --vocab 300 --separate --out mix2
says out "mix2: 300 tokens"
status 0 "$minke" tokenizer train --mix 2000 --vocab 300 --separate --out mix
cmp -s mix/tokenizer.json mix2/tokenizer.json || fail "the same options, another tokenizer"
printf '12+30=42' | "$minke" tokenize --tokenizer mix >out
[ "$(wc -w <out)" = 8 ] || fail "digits merge: $(cat out)"
status 0 "$minke" tokenizer train --mix 2000 --seed 1 --tasks add --vocab 300 --out mix2
cmp -s mix/tokenizer.json mix2/tokenizer.json && fail "--seed and --tasks change nothing"

# the template is one that chat knows
echo '[{"role": "user", "content": "Hi"}]' >messages
status 0 "$minke" render --tokenizer mix/tokenizer.json --messages messages --thinking on
says out '<think>"'
says out ',298]}' # <think> is the last but one

cat >talk <<'J'
{"messages": [{"role": "user", "content": "many many"}, {"role": "assistant", "content": "many"}]}
J
status 0 "$minke" tokenizer train talk --vocab 266 --out small --special '<more>'
printf '<more>' | "$minke" tokenize --tokenizer small --special >out
is out "265
"

# pack
printf '{"text": "Hi"}\n{"text": "Hello"}\n' >docs
status 0 "$minke" tokenizer pack docs --tokenizer small --out docs.bin
says out "docs.bin: 2 documents, 11 tokens"
[ "$(wc -c <docs.bin)" = $((32 + 16 + 22)) ] || fail "docs.bin has $(wc -c <docs.bin) bytes"
status 3 "$minke" tokenizer pack talk --tokenizer small --out talk.bin
says err "a token file is for text"
[ -e talk.bin ] && fail "talk.bin was written"

# refused
status 2 "$minke" tokenizer
says err "want train or pack"
status 2 "$minke" tokenizer trian text
says err "did you mean train?"
status 2 "$minke" tokenizer train text --vocab 400
says err "--out DIR is missing"
status 2 "$minke" tokenizer train text --out x
says err "--vocab N is missing"
status 2 "$minke" tokenizer train --vocab 400 --out x
says err "no texts"
status 2 "$minke" tokenizer train text --vocab 100 --out x
says err "need 263"
status 2 "$minke" tokenizer train text --vocab 400 --pre gpt --out x
says err "deepseek-v3"
status 2 "$minke" tokenizer train --mix 5 --tasks chess --vocab 400 --out x
says err 'no task "chess"'
status 3 "$minke" tokenizer train talk --vocab 5000 --out x
says err "the text ends before the vocabulary is full"
: >nothing
status 3 "$minke" tokenizer train nothing --vocab 400 --out x
says err "nothing: nothing in it"
echo '{"text": 5}' >bad
status 3 "$minke" tokenizer train bad --vocab 400 --out x
says err "bad:1: text is a number, want text"
status 1 "$minke" tokenizer train missing --vocab 400 --out x
status 2 "$minke" tokenizer pack docs --out y.bin
says err "--tokenizer FILE is missing"
[ -e x ] && fail "x was made"
: >file
status 1 "$minke" tokenizer train text --vocab 400 --out file/x
exit $failed
