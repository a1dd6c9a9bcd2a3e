#!/bin/sh
# Help, wrong usage, exit codes, and what is made from the tables of options.
. "$(dirname "$0")/lib.sh"

commands=$("$minke" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
[ "$(echo "$commands" | wc -w)" -ge 15 ] || fail "--help lists only: $commands"

status 0 "$minke" --help
says out "usage: minke COMMAND"
status 0 "$minke" --version
grep -q '^minke [0-9]' out || fail "--version says $(head -n 1 out)"
status 2 "$minke"
is out ""
says err "usage: minke"
for c in $commands; do
    status 0 "$minke" "$c" --help
    says out "usage: minke $c"
    cp out help
    status 0 "$minke" help "$c"
    cmp -s out help || fail "help $c and $c --help differ"
    status 2 "$minke" "$c" --no-such-option
    is out ""
    says err "no option --no-such-option"
done

# the nearest match
status 2 "$minke" rnu
says err 'did you mean "run"'
status 2 "$minke" help tokneize
says err 'did you mean "tokenize"'
status 2 "$minke" run --tmep 1
says err "did you mean --temp"
status 2 "$minke" run -m "$tiny" -p x --template deepseek-v33
says err 'did you mean "deepseek-v3"'
status 2 "$minke" quux
says err "minke --help"

# values
for bad in "--temp 500" "--temp x" "--temp nan" "--temp=" "-n 0" "-n 12x" "-n -1" "-n 99999999999999999999" \
    "-t 2k" "--kv q4_0" "--think maybe" "--json=1" "--seed -5" "--seed 1.5" "-n" "--color" "extra" "-Q" \
    "--logit-bias 3" "--logit-bias 3=" "--logit-bias 3=nan" "--logit-bias 99999=1" "--top-p 2"; do
    # shellcheck disable=SC2086
    status 2 "$minke" run -m "$tiny" -p x $bad
    [ "$(wc -l <err)" = 1 ] || fail "$bad: more than a line: $(cat err)"
done
status 0 "$minke" run -m "$tiny" -px -n1 --temp=0
status 2 env MINKE_THREADS=many "$minke" run -m "$tiny" -p x -n 1
says err '$MINKE_THREADS many'
status 0 env MINKE_THREADS=many "$minke" tokenize -m "$tiny"
status 0 env MINKE_MODEL=/nowhere "$minke" run -m "$tiny" -p x -n 1 # the option wins
status 2 "$minke" run -m "$tiny" -p x -- --temp
says err 'unexpected argument "--temp"'

# models that are not there or not models
status 1 "$minke" run -m /nowhere -p x
says err "/nowhere: no such file"
status 1 "$minke" run -m nobody -p x
says err "$HOME/.local/share/minke/models"
echo "not a model" >text
status 3 "$minke" run -m text -p x
says err text
mkdir empty
status 3 "$minke" run -m empty -p x
says err empty
status 3 "$minke" info -m text
status 3 "$minke" tokenize -m text
status 3 "$minke" tokenize --tokenizer /dev/null
mkdir broken && cp "$tiny"/* broken && echo '{"model_type": "gpt2", "architectures": ["X"]}' >broken/config.json
status 3 "$minke" info -m broken
says err gpt2
says err deepseek_v3
cp "$tiny"/tokenizer.json . && echo '{' >broken/tokenizer.json
status 3 "$minke" tokenize -m broken
printf 'x: \033[31mred\n' >"$(printf 'esc\033[31m')"
status 3 "$minke" run -m "$(printf 'esc\033[31m')" -p x
grep -q "$(printf '\033')" err && fail "an escape reached the terminal in a message"

# pipes that nobody writes to: refused, not waited for
mkfifo pipe
mkdir piped && cp "$tiny"/* piped && rm piped/generation_config.json && mkfifo piped/generation_config.json
for m in pipe piped; do
    status 3 timeout 10 "$minke" info -m $m
    says err "not a regular file"
done
status 3 timeout 10 "$minke" tokenize --tokenizer pipe

# standard streams that are closed
"$minke" run -m "$tiny" -p x -n 1 --logit-bias 97=1000 <&- >out 2>err || fail "a closed stdin, with -p: $(cat err)"
"$minke" run -m "$tiny" -p x -n 1 --logit-bias 97=1000 </dev/null >&- 2>err
[ $? = 1 ] || fail "a closed stdout is no failure"
says err "cannot write"

# by name, by default
mkdir -p "$HOME/.local/share/minke/models"
ln -s "$tiny" "$HOME/.local/share/minke/models/small"
ln -s "$tiny" "$HOME/.local/share/minke/models/tiny"
status 0 "$minke" run -m small -p x -n 1
status 0 "$minke" run -p x -n 1
mkdir -p data/minke/models hf/hub/models--a--b/refs hf/hub/models--a--b/snapshots
ln -s "$tiny" data/minke/models/other
status 0 env XDG_DATA_HOME="$tmp/data" "$minke" info -m other
status 1 env XDG_DATA_HOME=data "$minke" info -m other # a relative one is ignored
ln -s "$tiny" hf/hub/models--a--b/snapshots/123
echo 123 >hf/hub/models--a--b/refs/main
status 0 env HF_HOME="$tmp/hf" "$minke" info -m a/b
status 1 env HF_HOME="$tmp/hf" "$minke" info -m a/c
: >hf/hub/models--a--b/refs/main # an interrupted download
status 1 env HF_HOME="$tmp/hf" "$minke" info -m a/b

# outputs that cannot be written
if [ -c /dev/full ]; then
    "$minke" help >/dev/full 2>err
    [ $? = 1 ] || fail "writing to a full device is no failure"
    says err "cannot write"
fi
(
    "$minke" completion bash 2>err
    echo $? >code
) | true
sleep 0.2
case $(cat code) in 0 | 141) ;; *) fail "a reader that leaves: exit $(cat code)" ;; esac
[ -s err ] && fail "a reader that leaves: $(cat err)"

# completions and the manual
for shell in bash zsh fish; do
    status 0 "$minke" completion $shell
    for c in $commands; do says out "$c"; done
    grep -q min-p out || fail "$shell completion has no --min-p"
    if command -v $shell >/dev/null; then
        cp out script
        $shell -n script 2>err || fail "$shell does not read its completion: $(cat err)"
    else
        echo "skip: no $shell here"
    fi
done
status 2 "$minke" completion csh
if command -v bash >/dev/null; then
    got=$("$minke" completion bash >script && bash -c '. ./script
        COMP_WORDS=(minke run --kv f1) COMP_CWORD=3; _minke; echo ${COMPREPLY[@]}
        COMP_WORDS=(minke to) COMP_CWORD=1; _minke; echo ${COMPREPLY[@]}
        COMP_WORDS=(minke chat --hide) COMP_CWORD=2; _minke; echo ${COMPREPLY[@]}' | tr '\n' ' ')
    [ "$got" = "f16 tokenize tokenizer --hide-think " ] || fail "bash completes to $got"
fi
status 0 "$minke" man
cp out minke.1
for c in $commands; do says minke.1 "minke $c"; done
says minke.1 "/regen"
if command -v groff >/dev/null; then
    groff -ww -man -Tutf8 minke.1 >page 2>err
    [ -s err ] && fail "groff: $(cat err)"
    grep -q . page || fail "the manual page is empty"
else
    echo "skip: no groff here"
fi
exit $failed
