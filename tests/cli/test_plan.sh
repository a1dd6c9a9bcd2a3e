#!/bin/sh
# plan: presets, a model's own numbers, derivations, wrong usage.
. "$(dirname "$0")/lib.sh"

plan() { status 0 "$minke" plan "$@"; }

plan -p deepseek-v3-paper
says out "2,788,000 h"
says out "ISCA 2025"
plan -p deepseek-v3-paper --json
json out
plan -p deepseek-r1-paper
says out '$294,000'
says out "assumed"
plan -p deepseek-r1-paper --mean-length 14000 --json
json out
says out '"mean_length": {"value": 14000'

plan -p deepseek-v3 --hardware h800 --toks 14.8T --batch 15360 -d 2048
for part in embedding attention "dense FFN" "shared experts" "routed experts" router head \
    "prediction (MTP)" "GPU hours" cost moments activations "keys and values" "by memory"; do
    says out "$part"
done
plan -p DeepSeek-V2-Lite --hardware a100 --price 1.5 --toks 5.7T --json
json out
says out '"price_of_an_hour": {"value": 1.5'

# this machine, a model folder, a config.json alone
plan -m "$tiny" --toks 1M
says out "core hours"
cp "$tiny/config.json" mine.json
plan -m mine.json --json
json out
mkdir alone && cp "$tiny/config.json" alone
plan -m ./alone
plan --list
says out qwen2.5-1.5b
says out h200
params() { "$minke" plan "$@" --json | sed -n 's/.*"main_model": {"parameters": \([0-9]*\).*/\1/p'; }
[ "$(params -p deepseek-v3)" = 671026419200 ] || fail "V3 has $(params -p deepseek-v3) parameters"

# another number, another answer
"$minke" plan -p tiny --toks 1M --tflops 1 --mfu 0.5 --json >one
"$minke" plan -p tiny --toks 1M --tflops 2 --mfu 0.5 --json >two
cmp -s one two && fail "--tflops changes nothing"

# wrong usage
status 2 "$minke" plan
status 2 "$minke" plan -p deepseek-v4
says err 'did you mean "deepseek-v'
status 2 "$minke" plan -p tiny -m "$tiny"
status 2 "$minke" plan -p tiny --hardware abacus
for bad in "--toks 5x" "--toks -1" "--toks nan" "--toks" "--toks 1TT" "--mfu 2" "--weights i8" "--batch 0" "--kv q4_0"; do
    # shellcheck disable=SC2086
    status 2 "$minke" plan -p tiny $bad
done
echo '{"model_type":"gpt2"}' >bad.json
status 3 "$minke" plan -m bad.json
says err gpt2
echo '{' >bad.json
status 3 "$minke" plan -m bad.json
status 1 "$minke" plan -m nowhere.json

exit $failed
