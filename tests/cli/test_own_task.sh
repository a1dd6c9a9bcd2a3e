#!/bin/sh
# The commands of docs/own-task.md, as they stand there, on a smaller model and with fewer steps.
. "$(dirname "$0")/lib.sh"
export MINKE_THREADS=1 XDG_DATA_HOME="$tmp/data"
doc=$here/../../docs/own-task.md

# "tiny" is what a folder of that name in the data folder says.
"$minke" tokenizer train --mix 2000 --vocab 300 --separate --out cfg >out || fail "no tokenizer"
sed 's/"vocab_size": 96/"vocab_size": 300/' "$here/../golden/train/deepseek_v3.json" >cfg/config.json
status 0 "$minke" pretrain --from cfg/config.json --steps 2 --batch-toks 256 --tasks add --out base
mkdir -p data/minke/models
cp -r "base/$(cat base/latest)" data/minke/models/tiny

awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$doc" >commands
[ "$(grep -c '^minke ' commands)" -ge 10 ] || fail "the page has no commands"
mkdir work && cd work || exit 2
# minke as the page calls it; what comes last counts.  Such a model solves nothing: examples
# stand for what it would have kept.
cat >../prologue <<R
set -e
minke() {
    case \$1 in
    sft) set -- "\$@" --epochs 0 --steps 2 --batch-toks 256 ;;
    rl) set -- "\$@" --steps 2 --prompts 2 --samples 2 --max-new 16 ;;
    eval) set -- "\$@" --problems 6 --max-new 16 ;;
    distill) set -- "\$@" --problems 8 --samples 2 --max-new 16 ;;
    run) set -- "\$@" -n 8 ;;
    esac
    "$minke" "\$@"
    [ "\$1" != distill ] || [ -s solved.jsonl ] || head -n 5 examples.jsonl >solved.jsonl
}
R
cat ../prologue ../commands >../script
sh ../script >../out 2>../err </dev/null || fail "the page's commands: $(tail -n 3 ../err)"
cd ..
for f in sft rl again; do
    [ -s "work/$f/$(cat work/$f/latest)/model.safetensors" ] || fail "no model in $f"
done
n=$(cat work/examples.jsonl work/questions.jsonl work/test.jsonl | cut -d'"' -f4 | sort -u | wc -l)
[ "$n" = 300 ] || fail "a question is in two files, or in none: $n"
says out '{"prompt":"What number is IV?","answer":4}'
says out "test "
[ -s work/roman.gguf ] || fail "no roman.gguf"
ls work/curves/*.html >out || fail "$(ls work work/curves)"

# The numbers of lines on the page, and its verifier.
for f in examples=119 questions=149 test=32; do
    [ "$(wc -l <"work/${f%=*}.jsonl")" = "${f#*=}" ] || fail "$f: $(wc -l <"work/${f%=*}.jsonl")"
    grep -q "${f%=*}.jsonl.*, ${f#*=} lines" "$doc" || fail "$f is not on the page"
done
for c in 42 41 forty ''; do
    echo "{\"prompt\":\"XLII?\",\"answer\":\"42\",\"completion\":\"$c\"}"
done | sh work/check.sh | tr '\n' ' ' >out
is out "1 0.1 0 0 "
exit $failed
