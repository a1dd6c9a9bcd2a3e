#!/bin/sh
# convert, quantize, cpu and bench as a user calls them.
# usage: test_convert.sh MINKE TINY_MODEL MKMODEL
minke=$1 tiny=$2 mkmodel=$3
here=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}
# Must succeed; says what was printed if not.
ok() {
    "$@" >"$tmp/log" 2>&1 || { fail "$*"; cat "$tmp/log"; }
}
# Exit status, a word that the message has to have, and a command.
refuses() {
    want=$1 word=$2
    shift 2
    "$@" >"$tmp/log" 2>&1
    got=$?
    [ $got = "$want" ] || fail "exit $got, want $want: $*"
    grep -q -- "$word" "$tmp/log" || fail "no \"$word\" in: $(cat "$tmp/log")"
}
same() { cmp "$1" "$2" >/dev/null || fail "$3"; }

# ---- safetensors -> GGUF -> safetensors, every value kept
folders="$here"/golden/models
if [ -d "$here/../../shared/golden/models" ]; then
    folders="$folders $here/../../shared/golden/models"
else
    echo "skip: ../shared/golden/models is not there (the larger golden models)"
fi
for dir in $folders; do
    for m in "$dir"/deepseek-v[23] "$dir"/deepseek-v2-lite "$dir"/deepseek-v3-fp8 "$dir"/qwen2 \
        "$dir"/llama3; do
        name=$(basename "$m")
        t=$tmp/$name
        [ -d "$m" ] && [ ! -e "$t" ] || continue
        mkdir "$t"
        ok "$minke" convert "$m" "$t/same"
        for mla in new old; do
            ok "$minke" convert "$m" "$t/$mla.gguf" --mla $mla
            ok "$minke" verify "$t/$mla.gguf" --golden "$m/golden.json"
            ok "$minke" convert "$t/$mla.gguf" "$t/$mla"
            ok "$minke" verify "$t/$mla" --golden "$m/golden.json"
            # F8 comes back as the floats that it stands for.
            [ "$name" = deepseek-v3-fp8 ] ||
                same "$t/same/model.safetensors" "$t/$mla/model.safetensors" "$name, $mla: weights"
        done
        # Between the layouts of GGUF.
        ok "$minke" convert "$t/old.gguf" "$t/old-new.gguf" --mla new
        same "$t/new.gguf" "$t/old-new.gguf" "$name: old layout to new"
    done
done

# ---- the tokenizer and the settings go along
ok "$minke" convert "$tiny" "$tmp/tiny.gguf" --mla old
ok "$minke" convert "$tmp/tiny.gguf" "$tmp/back" --shard-size 200k
[ -f "$tmp/back/model.safetensors.index.json" ] || fail "no shards"
[ "$(ls "$tmp/back" | grep -c 'model-.*safetensors$')" -gt 3 ] || fail "too few shards"
for f in temperature top_p eos_token_id; do
    grep -q "\"$f\"" "$tmp/back/generation_config.json" || fail "generation_config.json: no $f"
done
printf '<|x|> Hello, wörld 123\n\tif (a) b;' >"$tmp/text"
for m in "$tmp/tiny.gguf" "$tmp/back"; do
    "$minke" tokenize -m "$tiny" --json <"$tmp/text" >"$tmp/ids.a" 2>&1
    "$minke" tokenize -m "$m" --json <"$tmp/text" >"$tmp/ids.b" 2>&1
    grep -q ids "$tmp/ids.a" || fail "tokenize: $(cat "$tmp/ids.a")"
    same "$tmp/ids.a" "$tmp/ids.b" "$m: other token ids"
    "$minke" logits -m "$tiny" --ids 1,2,3,4,5 --json >"$tmp/logits.a" 2>&1
    "$minke" logits -m "$m" --ids 1,2,3,4,5 --json >"$tmp/logits.b" 2>&1
    grep -q last "$tmp/logits.a" || fail "logits: $(cat "$tmp/logits.a")"
    same "$tmp/logits.a" "$tmp/logits.b" "$m: other logits"
done

# ---- F8: dequantised it gives the same result, copied it stays the same
ok "$minke" convert "$tiny" "$tmp/f8" --type f8
grep -q '"fp8"' "$tmp/f8/config.json" || fail "config.json does not say fp8"
ok "$minke" convert "$tmp/f8" "$tmp/f8copy"
same "$tmp/f8/model.safetensors" "$tmp/f8copy/model.safetensors" "f8 to f8"
ok "$minke" convert "$tmp/f8" "$tmp/f8.gguf"
a=$("$minke" logits -m "$tmp/f8" --ids 1,2,3 --json | sed 's/,"last".*//')
b=$("$minke" logits -m "$tmp/f8.gguf" --ids 1,2,3 --json | sed 's/,"last".*//')
[ -n "$a" ] && [ "$a" = "$b" ] || fail "f8: best tokens $a, as GGUF $b"

# ---- every type can be written and read; the file does not depend on the threads
for type in f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 iq4_nl mxfp4 q2_k q3_k q4_k q5_k q6_k iq4_xs \
    Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M; do
    ok "$minke" quantize "$tiny" "$tmp/q.gguf" --type $type -t 1
    ok "$minke" quantize "$tiny" "$tmp/q3.gguf" --type $type -t 3
    same "$tmp/q.gguf" "$tmp/q3.gguf" "$type: 1 and 3 threads differ"
    ok "$minke" logits -m "$tmp/q.gguf" --ids 1,2,3
done
"$minke" quantize "$tiny" "$tmp/q.gguf" --type q8_0 2>/dev/null | grep -q '^q8_0 .* 8.500$' ||
    fail "q8_0 is not 8.5 bits"
# What fits 16 bits comes back in 16 bits, the rest in 32.
ok "$minke" quantize "$tiny" "$tmp/q.gguf" --type mxfp4
ok "$minke" convert "$tmp/q.gguf" "$tmp/mxfp4"
grep -q '"torch_dtype": "bfloat16"' "$tmp/mxfp4/config.json" || fail "mxfp4 came back as f32"
ok "$minke" quantize "$tiny" "$tmp/q.gguf" --type q8_0
ok "$minke" convert "$tmp/q.gguf" "$tmp/q8"
grep -q '"torch_dtype": "float32"' "$tmp/q8/config.json" || fail "q8_0 came back in 16 bits"

# ---- what is refused
refuses 2 'known are' "$minke" convert "$tiny" "$tmp/x.gguf" --type q9
refuses 2 'known are' "$minke" convert "$tiny" "$tmp/x.gguf" --type Q4_K_M
refuses 2 'GGUF has no' "$minke" convert "$tiny" "$tmp/x.gguf" --type f8
refuses 2 'safetensors has no' "$minke" convert "$tiny" "$tmp/x" --type q8_0
refuses 2 'is for GGUF' "$minke" convert "$tiny" "$tmp/x" --mla new
refuses 2 'is the source' "$minke" convert "$tmp/tiny.gguf" "$tmp/tiny.gguf"
refuses 2 'a model in this folder' "$minke" convert "$tmp/tiny.gguf" "$tmp/back"
refuses 2 'ends* in .gguf' "$minke" quantize "$tiny" "$tmp/x" --type q8_0
refuses 2 'SOURCE' "$minke" convert "$tiny"
[ ! -e "$tmp/x" ] && [ ! -e "$tmp/x.gguf" ] || fail "a refused conversion left a file"
head -c 100000 "$tmp/tiny.gguf" >"$tmp/cut.gguf"
refuses 3 'cut.gguf' "$minke" convert "$tmp/cut.gguf" "$tmp/y.gguf"
# A number that the other format has no key for.
mkdir "$tmp/odd" && cp "$tiny"/* "$tmp/odd"
sed -i 's/"mscale": [0-9.]*/"mscale": 0.5/' "$tmp/odd/config.json"
refuses 3 'mscale' "$minke" convert "$tmp/odd" "$tmp/odd.gguf"
[ ! -e "$tmp/odd.gguf" ] || fail "a model with another mscale was left"

# ---- an interrupted conversion leaves nothing
ok "$mkmodel" --shape small-qwen2 --type bf16 --out "$tmp/small"
for sig in INT TERM; do
    mkdir "$tmp/part"
    # not as a job of this shell: those ignore SIGINT
    timeout -s $sig 0.2 "$minke" quantize "$tmp/small" "$tmp/part/q.gguf" --type q2_k -t 1 >"$tmp/log" 2>&1
    got=$?
    [ $got = 124 ] || [ $got = 0 ] || fail "SIG$sig: exit $got: $(cat "$tmp/log")"
    [ $got = 0 ] && echo "skip: done before SIG$sig"
    [ $got = 0 ] || [ -z "$(ls "$tmp/part")" ] || fail "SIG$sig left $(ls "$tmp/part")"
    rm -rf "$tmp/part"
done
mkdir "$tmp/part"
refuses 1 'File too large' sh -c 'ulimit -f 100; exec "$0" "$@"' \
    "$minke" convert "$tiny" "$tmp/part/x.gguf"
[ -z "$(ls "$tmp/part")" ] || fail "a file that may not grow left $(ls "$tmp/part")"

# ---- cpu and bench print what scripts read
"$minke" cpu --json | grep -q '"found": \["scalar"' || fail "cpu --json"
MK_CPU=scalar "$minke" cpu | grep -q 'used  *scalar' || fail "MK_CPU=scalar"
"$minke" bench -m "$tiny" -p 8 -n 2 -r 1 -t 1 --json >"$tmp/bench" 2>&1
for f in prompt_tps gen_tps bytes_per_token gen_bandwidth_share prompt_arithmetic_share; do
    grep -q "\"$f\": [0-9]" "$tmp/bench" || fail "bench --json has no $f: $(cat "$tmp/bench")"
done
[ $failed = 0 ] && echo "convert: all hold"
exit $failed
