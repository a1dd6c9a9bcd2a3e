#!/bin/sh
# Training commands: killed and continued they give the same bytes; what is wrong is refused with
# a message and leaves nothing behind; adapters from training to a chat.
# A fourth argument "full" kills more often.
. "$(dirname "$0")/lib.sh"
export MINKE_THREADS=1
full=$4
golden=$here/../golden/train

status 0 "$minke" tokenizer train --mix 2000 --vocab 300 --separate --out cfg
sed 's/"vocab_size": 96/"vocab_size": 300/' "$golden/deepseek_v3.json" >cfg/config.json
sed 's/"vocab_size": 96/"vocab_size": 300/' "$golden/qwen2.json" >cfg/qwen2.json
small="--batch-toks 512 --warmup 2 --tasks add,count"
# train COMMAND...: quietly; its end and what it says are left in err
train() { "$minke" "$@" >out 2>err </dev/null; }
# newest RUN: its newest checkpoint
newest() { echo "$1/$(cat "$1/latest")"; }
# same A B: the newest checkpoints of two runs hold the same bytes
same() {
    for f in model.safetensors adapter_model.safetensors optimizer.safetensors trainer.json; do
        a=$(newest "$1")/$f b=$(newest "$2")/$f
        [ -e "$a" ] || [ -e "$b" ] || continue
        cmp -s "$a" "$b" || fail "$a and $b differ"
    done
}
# nothing PATH: no trace of a run that did not begin
nothing() { [ -e "$1" ] && fail "$1 was left: $(ls "$1")"; }

# ---- killed at any moment -------------------------------------------------------------------
seed=${SEED:-$$}
# moments N: N numbers of seconds
moments() {
    seed=$((seed + 1))
    awk -v n="$1" -v s="$seed" 'BEGIN { srand(s); while (n--) printf "%.3f ", rand() ^ 2 * 1.2 }'
}
# survive NAME COMMAND...: the run NAME in one go, NAME.k with kills
survive() {
    name=$1
    shift
    train "$@" --out "$name" || fail "$name: $(cat err)"
    for s in $(moments $([ "$full" = full ] && echo 25 || echo 3)); do
        "$minke" "$@" --out "$name.k" >/dev/null 2>&1 </dev/null &
        pid=$!
        sleep "$s"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    train "$@" --out "$name.k" || fail "$name.k: $(cat err)"
    same "$name" "$name.k"
    grep -v '^{"step":[0-9]*,' "$name.k/metrics.jsonl" && fail "$name.k: a line of no step"
    [ "$(wc -l <"$name.k/metrics.jsonl")" = "$(wc -l <"$name/metrics.jsonl")" ] ||
        fail "$name.k: lines of metrics: $(cut -c1-12 "$name.k/metrics.jsonl" | tr '\n' ' ')"
    [ "$(ls -d "$name.k"/step-* "$name.k"/.[a-z]* 2>/dev/null | wc -l)" = 2 ] ||
        fail "$name.k: $(ls -A "$name.k")"
}
# shellcheck disable=SC2086
{
    survive base pretrain --from cfg/config.json --steps 60 --save-every 7 $small
    awk 'BEGIN { for (i = 0; i < 40; i++) printf "{\"prompt\":\"say %d\",\"completion\":\"so: %d</think>%d\"}\n", i, i, i }' >say
    survive tuned sft --from base --data say --epochs 12 --batch-toks 256 --warmup 2 --save-every 5
    survive better rl --from base --steps 12 --save-every 3 --prompts 4 --samples 4 --max-new 24 \
        --tasks add,count --adapt --format-reward 0.2 --kl 0.05 --ref-every 5 --rounds 2 \
        --updates 2 --optim muon --eval-every 6 --eval-problems 2
}
grep -q '"eval/greedy/add":' better/metrics.jsonl || fail "no evaluation in better/metrics.jsonl"
grep -q '"kl":' better/metrics.jsonl || fail "no KL in better/metrics.jsonl"

# ---- what contradicts the checkpoint ----------------------------------------------------------
cp -r base again
options="--from cfg/config.json --steps 60 --save-every 7"
# shellcheck disable=SC2086
{
    status 2 "$minke" pretrain $options $small --lr 0.5 --out again
    says err "again/step-00000060/trainer.json: the run was started with another lr: 0.002, now 0.5"
    status 2 "$minke" pretrain $options $small --seed 2 --out again
    says err "another seed: 1, now 2"
    status 2 "$minke" pretrain $options --batch-toks 512 --warmup 2 --out again
    says err 'another tasks: "add,count", now not given'
    status 2 "$minke" pretrain $options $small --optim muon --out again
    says err "another optim"
    status 0 "$minke" pretrain $options $small --save-every 1 --keep-last 5 --eval-every 9 --out again
}
same base again
rm -r again/step-* again/latest
status 0 "$minke" pretrain --config base/run.json --out again
same base again
sed 's/40/41/' say >said && status 2 "$minke" sft --from base --data said --epochs 12 \
    --batch-toks 256 --warmup 2 --save-every 5 --out tuned
says err "another data"

# ---- a run in use, a polite end -----------------------------------------------------------------
"$minke" pretrain --from cfg/config.json --steps 100000 --tasks add --out busy >/dev/null 2>first &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
    [ -s busy/metrics.jsonl ] && break
    sleep 0.5
done
status 1 "$minke" pretrain --from cfg/config.json --steps 100000 --tasks add --out busy
says err "busy is in use by process $pid"
kill $pid
wait $pid
[ $? = 130 ] || fail "ended by a signal: not 130"
says first "stopped, to be continued after step"
[ -s "$(newest busy)/model.safetensors" ] || fail "no checkpoint when stopped"

# ---- a full disk ----------------------------------------------------------------------------------
cp -r base full
rm -r full/step-00000060
echo step-00000056 >full/latest
(
    trap '' XFSZ
    ulimit -f 600
    # shellcheck disable=SC2086
    status 1 "$minke" pretrain $options $small --out full
    says err "checkpoint of step 60: "
    says err "File too large"
    exit $failed
) || failed=1
[ "$(cat full/latest)" = step-00000056 ] || fail "latest is $(cat full/latest)"
# shellcheck disable=SC2086
status 0 "$minke" pretrain $options $small --out full
same base full

# ---- nothing to begin with --------------------------------------------------------------------------
status 2 "$minke" pretrain --from cfg/config.json
says err "--out RUN is missing"
status 2 "$minke" pretrain --out no
says err "no holds no checkpoint: say what to start --from"
nothing no
status 1 "$minke" sft --from nowhere --out no
says err "nowhere"
nothing no
status 1 "$minke" pretrain --from "$golden/qwen2.json" --out no
says err "tokenizer.json"
nothing no
cp cfg/* . && sed 's/"vocab_size": 300/"vocab_size": 96/' cfg/config.json >small.json
status 3 "$minke" pretrain --from small.json --out no
says err "the tokenizer has 300 tokens, vocab_size is 96"
nothing no
touch file
status 1 "$minke" sft --from base --out file
says err "file"
for c in pretrain sft rl eval "distill --traces no"; do
    from=--from
    [ "$c" = eval ] && from=-m
    # shellcheck disable=SC2086
    status 2 "$minke" $c $from base/step-00000060 --tasks add,sums \
        $(case $c in [psr]*) echo --out no ;; esac)
    says err 'no task "sums"; there are add, mul,'
    nothing no
done

# ---- data -------------------------------------------------------------------------------------------
# data TEXT MESSAGE [OPTION...]
data() {
    printf '%b' "$1" >lines
    want=$2
    shift 2
    "$minke" sft --from base --data lines --out no "$@" >out 2>err && fail "taken: $(cat lines)"
    says err "$want"
    nothing no
}
data '' "lines: nothing in it"
data '{"prompt":"a","completion":"b"}\n\n{"prompt":"a","completion":"b"}\n' \
    "lines:3: the same as line 1"
data '{"prompt":"a"}\n' "lines:1: completion is missing"
data '{"prompt":"a","completion":""}\n' "lines:1: completion is empty"
data '{"prompt":"a","completion":7}\n' "lines:1: completion is a number, want text"
data '{"prompt":"a","completion":"b"}\n{"text":"c"}\n' "lines:2: a line of text in a file of"
data '{"prompt":"a"\n' "lines:1: not JSON at column"
data '{"prompt":"a long question with no end","completion":"b"}\n' "no room for an answer" --ctx 8
data '{"prompt":"a","completion":"b"}\n' "--steps 9: the data has 2; raise --epochs" --steps 9 \
    --batch-toks 1
data '{"prompt":"a","completion":"b"}\n' "--eval-every asks the built-in tasks" --eval-every 1

# ---- arithmetic -------------------------------------------------------------------------------------
status 2 "$minke" rl --from base --out no --prompts 8 --updates 3
says err "8 questions do not divide into 3 updates"
status 2 "$minke" rl --from base --out no --samples 1
says err "--samples"
status 2 "$minke" rl --from base --out no --overlong soft --overlong-toks 64 --max-new 64
says err "the last 64 tokens of 64 cannot cost"
status 1 "$minke" rl --from base --steps 1 --out long --max-new 250
says err "more than the model's context of 256"
status 2 "$minke" sft --from base --out no --talk 0.8 --direct 0.5
says err "are more than all"
status 2 "$minke" distill --from base --traces no --out no
says err "--out is for learning"
status 2 "$minke" distill --from base --out no
says err "want --traces FILE"
status 2 "$minke" distill --from base --out no --teacher base --teacher-weights 1,2
says err "want 1 numbers over 0"
nothing no

# ---- questions and verifiers of one's own ---------------------------------------------------------
awk 'BEGIN { for (i = 0; i < 40; i++) printf "{\"prompt\":\"say %d\",\"answer\":\"%d\"}\n", i, i }' >own.jsonl
own="--task own.jsonl --prompts 4 --samples 4 --max-new 12"
rl="rl --from tuned --steps 4 --save-every 9"
cat >check.sh <<'S'
while read -r line; do
    n=$(($(cat count 2>/dev/null) + 1))
    echo $n >count
    [ -e broken ] && [ $n -gt 20 ] && echo broken && continue
    case $line in *'so:'*) echo 1 ;; *) echo 0.5 ;; esac
done
S
# shellcheck disable=SC2086
{
    status 2 "$minke" $rl $own --out no
    says err "own.jsonl: want a verifier or a verifier command"
    status 2 "$minke" $rl $own --verifier near --out no
    says err "near"
    status 2 "$minke" $rl $own --verifier exact --tasks add --out no
    says err "which is meant?"
    status 2 "$minke" $rl --verifier exact --out no
    says err "for a file of questions"
    nothing no
    status 130 "$minke" $rl $own --opening direct --verifier-command 'sleep 9' --verifier-limit 0.1 --out hung
    says err "verifier command 'sleep 9'"
    status 3 "$minke" $rl $own --opening direct --verifier-command \
        'while read l; do echo good; done' --out bad
    says err 'it said "good", want a number from 0 to 1'
    status 3 "$minke" $rl $own --opening direct --verifier-command \
        'while read l; do echo 1; echo 1; done' --out bad2
    says err "verifier command"
    status 1 "$minke" $rl $own --opening direct --verifier-command 'exit 1' --out worse
    says err "verifier command 'exit 1'"
    # One that fails on the way costs the step it fails in.
    status 0 "$minke" $rl $own --opening direct --verifier-command 'sh check.sh' --out mine
    rm -f count && touch broken
    status 3 "$minke" $rl $own --opening direct --verifier-command 'sh check.sh' --out mine2
    says err 'it said "broken"'
    [ "$(cat mine2/latest)" != step-00000004 ] || fail "the broken verifier was not noticed"
    rm broken
    status 0 "$minke" $rl $own --opening direct --verifier-command 'sh check.sh' --out mine2
    same mine mine2
    head -n 39 own.jsonl >less && mv less own.jsonl
    status 2 "$minke" $rl $own --opening direct --verifier-command 'sh check.sh' --out mine2
    says err "own is not the file that the run began with"
}
status 0 "$minke" eval -m "$(newest tuned)" --task own.jsonl --verifier number --whole --max-new 16 --json
says out '"task": "own"'
says out '"n": 39'
tail -n 2 own.jsonl >two
status 2 "$minke" eval -m "$(newest tuned)" --task two --verifier exact
says err "none is held out"

# ---- distillation ---------------------------------------------------------------------------------
status 0 "$minke" distill --from tuned --traces t.jsonl --task own.jsonl --verifier-command \
    'while read l; do echo 1; done' --problems 70 --samples 8 --max-new 24
says out "own"
if [ -s t.jsonl ]; then
    status 0 "$minke" sft --from base --data t.jsonl --steps 1 --out traced
else
    fail "nothing was kept: $(cat out)"
fi
survive student distill --from base --teacher tuned --teacher better --teacher-weights 0.5,0.5 \
    --tasks add --steps 9 --save-every 2 --prompts 4 --samples 2 --max-new 16
status 2 "$minke" distill --from base --teacher "$tiny" --out no --steps 1
says err "the teacher has a vocabulary of"
nothing no

# ---- adapters ---------------------------------------------------------------------------------------
status 0 "$minke" pretrain --from cfg/qwen2.json --steps 2 --batch-toks 512 --tasks add --out dense
status 0 "$minke" convert "$(newest dense)" half --type bf16
survive lora sft --from half --lora 8 --data say --epochs 6 --batch-toks 256 --save-every 2 --lr 5e-3
survive rlora rl --from half --lora 4 --steps 4 --save-every 1 --prompts 2 --samples 2 --max-new 8 \
    --tasks add --kl 0.1
status 3 "$minke" sft --from base --lora 8 --out no
says err "adapters are for dense models"
status 2 "$minke" sft --from cfg/qwen2.json --lora 8 --out no
says err "adapters need a model that is trained already"
status 2 "$minke" sft --lora 8 --out lora
says err "lora holds adapters: say which model they are --from"
nothing no
status 0 "$minke" merge --from half --adapter lora --out whole
status 0 "$minke" run -m whole -p "say 3" -n 8
"$minke" logits -m half --ids 5,6,7 >before && "$minke" logits -m whole --ids 5,6,7 >after
cmp -s before after && fail "the adapters change nothing"
status 2 "$minke" merge --from half --adapter lora --out whole
says err "whole is there already"
status 3 "$minke" merge --from "$(newest base)" --adapter lora --out no
says err "belongs to no weight of this model"
nothing no

[ $failed = 0 ] || echo "again with SEED=${SEED:-$$}"
exit $failed
