#!/bin/sh
# run, and chat without a terminal: what goes to stdout, to stderr, into JSON.
. "$(dirname "$0")/lib.sh"

run() { "$minke" run -m "$tiny" --temp 0 "$@" 2>err; }
say_a="--logit-bias 97=1000"

# shellcheck disable=SC2086
{
run -p hello $say_a -n 5 </dev/null >out
is out "aaaaa
"
is err ""
echo hello | run $say_a -n 5 >out
is out "aaaaa
"
echo hello | run -p - $say_a -n 5 >out
is out "aaaaa
"
run $say_a </dev/null >out
[ $? = 2 ] || fail "no prompt is no usage error"

# stdin goes below -p
printf 'Hi\n\nyou' | run --raw $say_a -n 1 --json >one
printf 'you' | run --raw -p Hi $say_a -n 1 --json >two
for f in one two; do sed 's/.*"prompt_tokens":\([0-9]*\).*/\1/' $f >$f.n; done
cmp -s one.n two.n || fail "stdin below -p: $(cat one.n two.n)"

# the same seed, the same answer
"$minke" run -m "$tiny" -p x --seed 7 --temp 1 -n 40 </dev/null >one 2>err
"$minke" run -m "$tiny" -p x --seed 7 --temp 1 -n 40 -t 1 -b 1 </dev/null >two 2>err
"$minke" run -m "$tiny" -p x --seed 8 --temp 1 -n 40 </dev/null >three 2>err
cmp -s one two || fail "the same seed gives another answer"
cmp -s one three && fail "another seed gives the same answer"

# guesses change nothing; what cannot be is said
for how in off ngram mtp auto "draft --draft-model $tiny" "auto --draft-max 16"; do
    "$minke" run -m "$tiny" -p x --seed 7 --temp 1 -n 40 --speculate $how </dev/null >two 2>err
    cmp -s one two || fail "--speculate $how gives another answer"
done
status 2 "$minke" run -m "$tiny" -p x --speculate twice
says err "--speculate twice is not one of auto|off|ngram|mtp|draft"
status 2 "$minke" run -m "$tiny" -p x --draft-max 17
says err "--draft-max 17 is not in 1..16"
status 2 "$minke" run -m "$tiny" -p x --speculate draft
says err "a draft model must be given"
status 2 "$minke" run -m "$tiny" -p x --speculate off --draft-model tiny
says err "is not to be used"
status 2 "$minke" run -m "$tiny" -p x --draft-model tiny
says err "tokens, the model has"
status 1 "$minke" run -m "$tiny" -p x --draft-model nowhere
says err "nowhere: no such file or folder"

# stops, limits
run -p x $say_a --stop aaa -n 9 --json </dev/null >out
says out '"text":""'
says out '"finish_reason":"stop"'
run -p x $say_a --stop b --stop ab -n 9 --json </dev/null >out
says out '"text":"aaaaaaaaa"'
says out '"finish_reason":"length"'
run -p x $say_a -c 20 </dev/null >out
[ $? = 0 ] || fail "a full context is a failure"
says err "the context is full: prompt"
says err "of 20 tokens"
run -p "a prompt that is longer than that" -c 5 </dev/null >out
[ $? = 1 ] || fail "a prompt that does not fit: exit code"
says err "does not fit a context of 5"

# thoughts: not on stdout
run -p x --think on $say_a -n 5 </dev/null >out
is out ""
says err "aaaaa"
run -p x --think on --hide-think $say_a -n 5 </dev/null >out
is out ""
is err ""
run -p x --think on $say_a -n 5 --json </dev/null >out
says out '"reasoning":"aaaaa"'
says out '"text":""'
json out
run -p x --template deepseek-v3 --think on </dev/null >out
[ $? = 2 ] || fail "thinking with a template that cannot"

# JSON
run -p x -n 12 --json --logprobs 3 --seed 5 </dev/null >out
json out
[ "$(wc -l <out)" = 1 ] || fail "JSON in several lines"
for key in text reasoning ids finish_reason usage prompt_tokens completion_tokens timings prompt_s seed logprobs; do
    says out "\"$key\":"
done
[ "$(grep -o '"top":' out | wc -l)" = 12 ] || fail "not 12 lists of alternatives"
[ "$(grep -o '"logprob":' out | wc -l)" = 48 ] || fail "not 12 x (1 + 3) log probabilities"
run -p x $say_a -n 3 --json --logit-bias 97=-inf --logit-bias 98=1000 </dev/null >out
says out '"text":"bbb"'
printf 'a\000b\377' | run $say_a -n 1 --json >out
json out
run -p x -n 4 --stats </dev/null >out
says err "tokens/s"

run -p x -n 4 --logprobs 2 </dev/null >out
[ $? = 2 ] || fail "--logprobs without --json"

# chat -p is the same
"$minke" chat -m "$tiny" --temp 0 $say_a -n 5 -p x </dev/null >out 2>err
is out "aaaaa
"
echo x | "$minke" chat -m "$tiny" --temp 0 $say_a -n 5 --json >out 2>err
says out '"text":"aaaaa"'
json out

# escapes pass to a file, and no terminal ever sees them
run -p x --logit-bias 27=1000 -n 3 </dev/null >out
is out "$(printf '\033\033\033')
"
if script -qec true /dev/null >/dev/null 2>&1; then
    for byte in 7 8 13 27 127; do
        script -qec "'$minke' run -m '$tiny' -p x --temp 0 --logit-bias $byte=1000 -n 3 </dev/null" \
            /dev/null </dev/null >out 2>&1
        [ "$(tr -d '\r\n' <out | wc -c)" = 0 ] || fail "byte $byte on a terminal: $(od -c out)"
    done
    script -qec "'$minke' run -m '$tiny' -p x --think on --temp 0 $say_a -n 3 </dev/null" \
        /dev/null </dev/null >out
    says out "$(printf '\033[2maaa\r')"
    says out "$(printf '\033[0m')"
    for how in "NO_COLOR=1" "TERM=dumb"; do
        script -qec "env $how '$minke' run -m '$tiny' -p x --think on --temp 0 $say_a -n 3 </dev/null" \
            /dev/null </dev/null >out
        grep -q "$(printf '\033')" out && fail "$how: colours"
        says out "[thought]"
    done
else
    echo "skip: no script here, or no terminals"
fi
CLICOLOR_FORCE=1 run -p x --think on $say_a -n 3 </dev/null >out
says err "$(printf '\033[2m')"
CLICOLOR_FORCE=1 run -p x --think on --color never $say_a -n 3 </dev/null >out
grep -q "$(printf '\033')" err && fail "--color=never"
run -p x --think on --color always $say_a -n 3 </dev/null >out
says err "$(printf '\033[2m')"

# a model without a chat template goes on with the text; chat needs one
mkdir plain && cp "$tiny"/* plain
cat >plain/tokenizer_config.json <<'J'
{"add_bos_token": true}
J
sed -i 's/User/User/g; s/Assistant/Asistant/g' plain/tokenizer.json
"$minke" run -m plain -p x --temp 0 $say_a -n 2 </dev/null >out 2>err
is out "aa
"
status 2 "$minke" run -m plain -p x -n 1 --system y
"$minke" chat -m plain -p x -n 1 </dev/null >out 2>err && fail "chat without a template"
"$minke" chat -m plain -p x --template deepseek-v2 --temp 0 $say_a -n 2 </dev/null >out 2>err
is out "aa
"

# Ctrl-C ends it: 130, with what there was.  What an earlier command wrote must not pass for that.
rm out
"$minke" run -m "$tiny" -p x --temp 0 $say_a -c 100000000 --kv q8_0 </dev/null >out 2>err &
pid=$!
n=0
while [ ! -s out ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done
}
[ -s out ] || fail "nothing was written in a minute"
kill -INT $pid
wait $pid
got=$?
# A shell without job control starts its background jobs with SIGINT ignored; minke catches it.
[ $got = 130 ] || fail "exit $got after SIGINT"
grep -q '^a*$' out || fail "what was written before SIGINT: $(head -c 100 out)"
exit $failed
