#!/bin/sh
# tokenize, detokenize, render, info: exact outputs.
. "$(dirname "$0")/lib.sh"

tokenize() { "$minke" tokenize -m "$tiny" "$@" 2>err || fail "tokenize $*: $(cat err)"; }

printf 'Hi \303\251' | tokenize >out
is out "72 105 32 195 169
"
printf 'Hi' | tokenize --json >out
is out '{"ids":[72,105]}
'
printf '' | tokenize --json >out
is out '{"ids":[]}
'
printf '<\357\275\234User\357\275\234>' >special
tokenize <special >out
[ "$(wc -w <out)" = 12 ] || fail "a special token in a text: $(cat out)"
tokenize --special <special >out
[ "$(wc -w <out)" = 1 ] || fail "--special: $(cat out)"
user=$(cat out)
printf '' | tokenize --bos >out
bos=$("$minke" info -m "$tiny" --json | sed 's/.*"bos":\([0-9]*\).*/\1/')
printf 'a\377b' | tokenize >out # not UTF-8: read as U+FFFD
is out "97 239 191 189 98
"
printf 'Hi' | "$minke" tokenize --tokenizer "$tiny/tokenizer.json" >out
is out "72 105
"
printf 'Hi' | "$minke" tokenize -m "$tiny/model.safetensors" >out
is out "72 105
"
"$minke" tokenize -m "$tiny" <"$tmp" >out 2>err
[ $? = 1 ] || fail "a folder as stdin"

# there and back
head -c 3000 "$here/lib.sh" >text
printf '\303\251 \346\274\242 \360\237\230\200\n' >>text
tokenize <text | "$minke" detokenize -m "$tiny" | cmp -s - text || fail "text changed on the way"
tokenize --json <text | "$minke" detokenize -m "$tiny" | cmp -s - text || fail "JSON ids"
echo "[72, $user,105]" | "$minke" detokenize -m "$tiny" >out
is out "Hi"
echo "72,$user 105" | "$minke" detokenize -m "$tiny" --special >out
is out "H$(cat special)i"
for bad in "1 x" "-1" "99999" "1.5" "99999999999999999999"; do
    echo "$bad" | "$minke" detokenize -m "$tiny" >out 2>err
    [ $? = 2 ] || fail "detokenize $bad is no usage error"
done

# render
begin=$(printf '<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>')
cat >messages <<'J'
{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "</think><b>"}]}
J
status 0 "$minke" render -m "$tiny" --messages messages --thinking off
json out
says out "{\"text\":\"${begin}S$(cat special)</think><b><"
# What users write is never a special token: the template's own </think> is the last id.
closed=$(printf '</think>' | tokenize --special)
[ "$(tr ',:[]}' '\n\n\n\n\n' <out | grep -cx "$closed")" = 1 ] || fail "a tag of the user's: $(cat out)"
cp out off
status 0 "$minke" render -m "$tiny" --messages messages --thinking on
json out
cmp -s out off && fail "thinking on and off are the same"
status 0 "$minke" render --template deepseek-v3 --tokenizer "$tiny/tokenizer.json" --messages messages
says out "$(cat special)</think><b><"
status 2 "$minke" render -m "$tiny"
status 1 "$minke" render -m "$tiny" --messages nothing
for bad in '{' '[]x' '{"messages": 1}' '[{"role": "king", "content": "x"}]' '[{"role": "user", "content": 5}]'; do
    echo "$bad" >messages
    status 3 "$minke" render -m "$tiny" --messages messages
    says err messages
done

# info
status 0 "$minke" info -m "$tiny"
for word in deepseek_v3 template tokenizer bf16 q8_0 scratch total; do says out $word; done
status 0 "$minke" info -m "$tiny" --json
json out
says out '"architecture":"deepseek_v3"'
echo "$bos" | grep -qx '[0-9]*' || fail "info's bos is $bos"
"$minke" info -m "$tiny" --json -c 777 --kv f32 >out
says out '"context":777'
exit $failed
