#!/bin/sh
# Every weight type runs: a small model is quantised to it, and the scores of the next token
# stay as near to those of the BF16 model as the type allows (relative, root mean square).
minke=$1 mkmodel=$3
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
ids=11,500,1234,77,4000,9,2048,31
scores() { "$minke" logits -m "$1" --ids $ids --json | sed 's/.*"last":\[//; s/\].*//' | tr , '\n'; }
"$mkmodel" --shape small-qwen2 --type bf16 --out "$tmp/bf16" >/dev/null || exit 1
scores "$tmp/bf16" >"$tmp/want"
bad=0
for item in f32:0.0001 f16:0.0001 q8_0:0.045 q6_k:0.12 q5_k:0.2 q5_1:0.2 q5_0:0.26 q4_k:0.4 q4_1:0.4 \
    q4_0:0.47 iq4_nl:0.49 iq4_xs:0.49 mxfp4:0.62 q3_k:0.9 q2_k:1.2 f8:0.15; do
    type=${item%%:*} limit=${item#*:} out=$tmp/$type.gguf
    if [ "$type" = f8 ]; then
        out=$tmp/f8
        "$minke" convert "$tmp/bf16" "$out" --type f8 2>/dev/null || exit 1
    else
        "$minke" quantize "$tmp/bf16" "$out" --type "$type" >/dev/null 2>&1 || exit 1
    fi
    scores "$out" >"$tmp/got"
    error=$(paste "$tmp/want" "$tmp/got" | awk 'NF == 2 { e += ($1 - $2) ^ 2; m += $1 ^ 2; n++ }
        END { if (n == 4096) printf "%.5f", sqrt(e / m); else print "nan" }')
    word=$(awk -v e="$error" -v l="$limit" 'BEGIN { print (e != "nan" && e <= l) ? "ok" : "FAIL" }')
    echo "$word $type: relative error $error, limit $limit"
    [ "$word" = ok ] || bad=1
    rm -rf "$out"
done
exit $bad
