#!/bin/sh
# The model inside the program: found without -m and as "tiny", by every command, without a file.
. "$(dirname "$0")/lib.sh"

# Nothing of the tree is needed.
cp "$minke" here && minke=$tmp/here

status 0 "$minke" info
says out "path          embedded:tiny"
says out "deepseek2"
says out "prediction    one layer for the token after the next"
says out "deepseek-v3.1"
status 0 "$minke" info -m tiny
says out "path          embedded:tiny"

echo "Is 12 more than 7?" >text
"$minke" tokenize <text >ids
"$minke" detokenize <ids >back
cmp -s text back || fail "tokenize and detokenize: $(cat back)"
status 0 "$minke" bench -p 16 -n 4 -r 1 -t 1
says out embedded:tiny
status 0 "$minke" plan -m tiny
status 0 "$minke" eval -n 1 --tasks add --max-new 8 -t 1
status 0 "$minke" logits -m tiny --ids 0,1,2 -t 1 --json --out rows
# The best of each row of the file are those printed.
od -An -v -t f4 -w4 rows | awk '
    (NR - 1) % 768 == 0 { best = $1; at = 0 }
    $1 > best { best = $1; at = (NR - 1) % 768 }
    NR % 768 == 0 { ids = ids "," at }
    END { print "\"argmax\":[" substr(ids, 2) "]" }' >want
says out "$(cat want)"
status 1 "$minke" logits -m tiny --ids 0,1,2 -t 1 --out no/rows
says err "no/rows"
status 0 "$minke" verify tiny --training
says out "all hold"
status 1 "$minke" verify tiny
says err "--training needs none"

# Whether it thinks is the template's choice and the user's.
echo '[{"role":"user","content":"hi"}]' >messages
for on in on off; do
    mark='<think>'
    [ $on = off ] && mark='</think>'
    "$minke" render --messages messages --thinking $on >out
    says out "<｜Assistant｜>$mark\""
    "$minke" run -p hi --think $on -n 8 -t 1 --json >out </dev/null 2>err || fail "run --think $on"
done
"$minke" render --messages messages >out
says out '<｜Assistant｜><think>"'
status 0 "$minke" run -p hi -n 8 -t 1 --json
says out '"reasoning"'

# In this order: a path, the data folder, the program.
mkdir -p "$HOME/.local/share/minke/models"
ln -s "$tiny" "$HOME/.local/share/minke/models/tiny"
status 0 "$minke" info
says out "$HOME/.local/share/minke/models/tiny"

rm "$HOME/.local/share/minke/models/tiny"
ln -s "$tiny" tiny
status 0 "$minke" info -m tiny
says out "path          tiny"
status 0 "$minke" info
says out embedded:tiny
rm tiny
status 0 "$minke" info -m embedded:tiny
status 1 "$minke" info -m embedded:other
says err "embedded:other: no such file or folder"

# Taken out, it is the same model; training from it is training from what it decodes to.
status 0 "$minke" convert tiny folder -t 1
status 0 "$minke" convert tiny copy.gguf -t 1
status 0 "$minke" convert tiny old.gguf --mla old --type f32 -t 1
status 0 "$minke" verify folder --training
says out "max|d|"
"$minke" logits -m tiny --ids 3,5,8,13 --json -t 1 >one
"$minke" logits -m copy.gguf --ids 3,5,8,13 --json -t 1 >two
cmp -s one two || fail "a copy of the model gives other logits"
for from in tiny folder old.gguf; do
    status 0 "$minke" sft --from $from --out "run-$from" --steps 1 --batch-toks 200 --ctx 256 \
        --tasks add --seed 3 -t 1
    cmp "run-tiny/step-00000001/model.safetensors" "run-$from/step-00000001/model.safetensors" ||
        fail "sft --from $from gives another model"
done
cmp run-tiny/step-00000001/config.json run-folder/step-00000001/config.json ||
    fail "the configurations differ"
status 0 "$minke" verify run-tiny/step-00000001 --training
status 3 "$minke" sft --from tiny --lora 4 --out run-lora --steps 1
says err "adapters start from safetensors"
exit $failed
