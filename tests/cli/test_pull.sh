#!/bin/sh
# pull, list and rm against a small hub on this machine that cuts, lies and is slow.
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || { echo "skip: no python3 here"; exit 0; }
unset HF_TOKEN http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
hub=$tmp/hub data=$HOME/.local/share/minke/models
mkdir "$hub"
python3 "$here/../hub/server.py" "$hub" &
server=$!
trap 'kill $server 2>/dev/null; umount "$tmp/disk" 2>/dev/null; rm -rf "$tmp"' EXIT
for _ in $(seq 100); do [ -f "$hub/ports" ] && break; sleep 0.1; done
read -r port other <"$hub/ports" || { echo "FAIL: the server does not start"; exit 1; }
export HF_ENDPOINT="http://127.0.0.1:$port/"

head -c 700000 "$here/../../models/tiny/tiny.gguf" >big
for owner in cut cutnr noranges badhash nohash page far loop slow gone gated busy liar stubborn nolength; do
    mkdir -p "$hub/$owner/m"
    cp big "$hub/$owner/m/x.gguf"
done
mkdir -p "$hub/deepseek-ai" "$hub/parts/m/q"
cp -r "$tiny" "$hub/deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
echo x >"$hub/deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B/pytorch_model.bin"
for i in 1 2 3; do head -c "${i}0000" big >"$hub/parts/m/q/x-0000$i-of-00003.gguf"; done

# pulls WANT NAME...: exit status; the log is of this pull only
pulls() {
    : >"$hub/log"
    want=$1
    shift
    status "$want" "$minke" pull "$@"
}
logged() { grep -qE -- "$1" "$hub/log" || fail "no request like \"$1\": $(cat "$hub/log")"; }
n_logged() { [ "$(grep -cE -- "$2" "$hub/log")" = "$1" ] || fail "want $1 of \"$2\": $(cat "$hub/log")"; }
same() { cmp -s "$1" "$2" || fail "$2 is not the file"; }
nothing() { [ -e "$1" ] && fail "$1 is there"; }
clean() { rm -rf "$data"; }
# waits for a file to have so many bytes
grows() {
    for _ in $(seq 100); do
        [ -f "$1" ] && [ "$(stat -c %s "$1")" -ge "$2" ] && return
        sleep 0.05
    done
    fail "$1 does not grow"
}

# a folder of safetensors, by a name of the catalogue; then -m finds it
status 1 "$minke" info -m deepseek-r1:1.5b-hf
says err "minke pull deepseek-r1:1.5b-hf"
pulls 0 deepseek-r1:1.5b-hf
for f in config.json tokenizer.json model.safetensors; do
    same "$tiny/$f" "$data/deepseek-r1:1.5b-hf/$f"
done
nothing "$data/deepseek-r1:1.5b-hf/pytorch_model.bin"
nothing "$data/deepseek-r1:1.5b-hf.part"
nothing "$data/deepseek-r1:1.5b-hf.part.json"
ls -A "$data/deepseek-r1:1.5b-hf" | grep -q part && fail "parts were left in the folder"
status 0 "$minke" info -m deepseek-r1:1.5b-hf
pulls 0 deepseek-r1:1.5b-hf
says err "here already"
n_logged 0 .
pulls 0 deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B -q
is err ""
status 0 "$minke" info -m deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B

# put there by hand
cp "$here/../../models/tiny/tiny.gguf" "$data/deepseek-r1:7b-q4_k_m.gguf"
status 0 "$minke" info -m deepseek-r1:7b
status 0 "$minke" info -m deepseek-r1:7b-q4_k_m

# lists
status 0 "$minke" list
says out "deepseek-r1:1.5b-hf"
says out "deepseek-r1:7b-q4_k_m"
says out "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
status 0 "$minke" list --json
[ "$(wc -l <out)" = 3 ] || fail "list --json has not 3 lines: $(cat out)"
while read -r line; do echo "$line" >line && json line; done <out
status 0 "$minke" list --catalogue
says out "deepseek-r1:671b-q4_k_m"
says out "404 GB"

# removing
status 2 "$minke" rm deepseek-r1:7b
says err "--yes"
status 0 "$minke" rm deepseek-r1:7b --yes
nothing "$data/deepseek-r1:7b-q4_k_m.gguf"
status 1 "$minke" rm deepseek-r1:7b --yes
status 1 "$minke" rm deepseek-ai --yes # an owner is no model
status 1 "$minke" rm ../models --yes
status 0 "$minke" rm deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B --yes
nothing "$data/deepseek-ai"
status 0 "$minke" rm deepseek-r1:1.5b-hf --yes
status 0 "$minke" list
is out ""

# a split set
pulls 0 parts/m:q/x-00001-of-00003.gguf --json
for i in 1 2 3; do same "$hub/parts/m/q/x-0000$i-of-00003.gguf" "$data/parts/m:x/x-0000$i-of-00003.gguf"; done
while read -r line; do echo "$line" >line && json line; done <out
says out '"event":"complete"'

# a hub that cuts connections; one without ranges, too
pulls 0 cut/m:x.gguf
same big "$data/cut/m:x.gguf"
n_logged 3 "x.gguf range bytes="
logged 'x.gguf range bytes=233333- if "'
pulls 0 cutnr/m/x.gguf
same big "$data/cutnr/m:x.gguf"
pulls 0 "http://127.0.0.1:$port/noranges/m/x.gguf?download=true"
same big "$data/x.gguf"
clean

# goes on with a part; with one of another file it starts over
mkdir "$hub/cut/n"
cp big "$hub/cut/n/x.gguf"
pulls 1 cut/n:x.gguf --retries 0
nothing "$data/cut/n:x.gguf"
[ -s "$data/cut/n:x.gguf.part" ] || fail "no part is left"
pulls 0 cut/n:x.gguf
same big "$data/cut/n:x.gguf"
for owner in noranges nohash stubborn; do
    mkdir -p "$data/$owner"
    head -c 300000 big | tr a b >"$data/$owner/m:x.gguf.part"
    printf '{"url":"http://127.0.0.1:%s/%s/m/resolve/%s/x.gguf","etag":"\\"old\\"","sha256":"","size":700000}' \
        "$port" "$owner" 0123456789abcdef0123456789abcdef01234567 >"$data/$owner/m:x.gguf.part.json"
done
sed -i 's/"sha256":""/"sha256":"'"$(sha256sum big | cut -d' ' -f1)"'"/' "$data/noranges/m:x.gguf.part.json"
status 0 "$minke" list
says out "noranges/m:x.gguf"
status 1 "$minke" rm noranges --yes # an owner is no model
status 0 "$minke" list
says out "unfinished, 43 % of 700 kB"
pulls 0 noranges/m:x.gguf # answers 200: all of it
logged 'range bytes=300000- if "old"'
same big "$data/noranges/m:x.gguf"
pulls 0 nohash/m:x.gguf # If-Range: all of it
logged 'range bytes=300000- if "old"'
same big "$data/nohash/m:x.gguf"
rm -f "$data/stubborn/m:x.gguf.part.json"
pulls 0 stubborn/m:x.gguf # nothing is known about the part
n_logged 0 "range bytes"
same big "$data/stubborn/m:x.gguf"
clean

# the file changes between attempts, behind an address that has no hash
mkdir -p "$hub/stubborn/n"
cp big "$hub/stubborn/n/y.gguf"
mkdir -p "$data"
head -c 1000 big >"$data/y.gguf.part"
printf '{"url":"http://127.0.0.1:%s/stubborn/n/y.gguf","etag":"\\"old\\"","sha256":""}' "$port" >"$data/y.gguf.part.json"
pulls 0 "http://127.0.0.1:$port/stubborn/n/y.gguf" # a server that ignores If-Range
says err "has changed"
same big "$data/y.gguf"
head -c 800000 /dev/zero >"$data/z.gguf.part"
cp "$hub/stubborn/n/y.gguf" "$hub/stubborn/n/z.gguf"
printf '{"url":"http://127.0.0.1:%s/stubborn/n/z.gguf","etag":"\\"old\\"","sha256":""}' "$port" >"$data/z.gguf.part.json"
pulls 0 "http://127.0.0.1:$port/stubborn/n/z.gguf" # 416: shorter than the part
same big "$data/z.gguf"
pulls 3 liar/m:x.gguf
says err "was asked for"
clean

# wrong bytes, pages, nothing
pulls 3 badhash/m:x.gguf
says err "SHA-256"
nothing "$data/badhash"
pulls 3 page/m:x.gguf
says err "web page"
nothing "$data/page"
pulls 1 gone/nothing
nothing "$data/gone"
says err "not there (404)"
rm "$hub/gone/m/x.gguf"
pulls 1 gone/m:x.gguf
says err "no file x.gguf"
pulls 1 "http://127.0.0.1:$port/gone/m/x.gguf"
says err "404"
pulls 1 loop/m:x.gguf
says err "more than 10 redirects"
n_logged 11 resolve
for i in 0 1 2 3; do
    mkdir -p "$hub/evil/$i"
    echo abc >"$hub/evil/$i/config.json"
    pulls 3 evil/$i
    says err "a file with the name"
    grep -q "$(printf '\033')" err && fail "an escape reached the terminal"
done
[ -z "$(find "$tmp" -name '*evil.safetensors*')" ] || fail "a hostile name was written"

# tokens: for the hub, not for where it sends us
pulls 1 gated/m:x.gguf
says err "set HF_TOKEN"
status 1 env HF_TOKEN=bad "$minke" pull gated/m:x.gguf
says err "may not read it"
status 2 env HF_TOKEN="a
b" "$minke" pull gated/m:x.gguf
status 0 env HF_TOKEN=good "$minke" pull gated/m:x.gguf
: >"$hub/log"
status 0 env HF_TOKEN=good "$minke" pull far/m:x.gguf
same big "$data/far/m:x.gguf"
logged "hub .*x.gguf .*token Bearer good"
logged "cdn .*x.gguf .*token -"
n_logged 0 "cdn .*Bearer"
status 0 env HF_TOKEN=good "$minke" pull "http://127.0.0.1:$other/far/m/x.gguf"
n_logged 0 "cdn .*Bearer"

# a hub that has no time now
pulls 0 busy/m:x.gguf
same big "$data/busy/m:x.gguf"
says err "answers 429; again in 1.0 s"

# only https
clean
for url in http://192.0.2.1/x.gguf http://localhost.example/x.gguf; do
    pulls 2 $url
    says err "want https"
done
status 2 env HF_ENDPOINT=http://192.0.2.1 "$minke" pull a/b
says err "want https"
for bad in quux ftp://x/y.gguf file:///etc/passwd a/b:c.bin ../x/y a/../b; do pulls 2 $bad; done
pulls 2 deepseek-r1:1.6b
says err "did you mean deepseek-r1:1.5b"
pulls 2
clean

# killed, interrupted, twice at once
"$minke" pull slow/m:x.gguf -q &
pid=$!
grows "$data/slow/m:x.gguf.part" 65536
pulls 1 slow/m:x.gguf
says err "in use by process $pid"
status 1 "$minke" rm slow/m:x.gguf --yes
kill -9 $pid
wait $pid 2>/dev/null
nothing "$data/slow/m:x.gguf"
(sh -c 'trap - INT; exec "$0" pull slow/m:x.gguf' "$minke" 2>err; echo $? >code) &
for _ in $(seq 100); do grep -q "goes on at" err && break; sleep 0.05; done
says err "goes on at"
kill -INT "$(cat "$data/.locks/slow+m:x.gguf")"
wait $!
[ "$(cat code)" = 130 ] || fail "Ctrl-C ends with $(cat code)"
says err "goes on from here"
size=$(stat -c %s "$data/slow/m:x.gguf.part")
touch "$hub/fast"
pulls 0 slow/m:x.gguf
logged "range bytes=$size-"
same big "$data/slow/m:x.gguf"
ls -A "$data/slow" | grep -q part && fail "parts were left"

# full disks
clean
(ulimit -f 300; "$minke" pull nolength/m:x.gguf >out 2>err </dev/null; echo $? >code)
[ "$(cat code)" = 1 ] || fail "a file that may not grow: exit $(cat code)"
says err "cannot be written"
nothing "$data/nolength/m:x.gguf"
pulls 0 nolength/m:x.gguf
logged "range bytes="
same big "$data/nolength/m:x.gguf"
mkdir disk
if mount -t tmpfs -o size=600k tmpfs disk 2>/dev/null; then
    : >"$hub/log"
    status 1 env XDG_DATA_HOME="$tmp/disk" "$minke" pull noranges/m:x.gguf
    says err "are free on this disk"
    n_logged 0 resolve
    status 1 env XDG_DATA_HOME="$tmp/disk" "$minke" pull "http://127.0.0.1:$port/nolength/m/x.gguf"
    says err "No space left"
    mount -o remount,size=4m disk
    status 0 env XDG_DATA_HOME="$tmp/disk" "$minke" pull "http://127.0.0.1:$port/nolength/m/x.gguf"
    logged "nolength.*range bytes="
    same big disk/minke/models/x.gguf
else
    echo "skip: no disk to fill can be mounted here"
fi

# on a terminal
if command -v script >/dev/null; then
    clean
    rm "$hub/fast"
    (grows "$data/slow/m:x.gguf.part" 65536; sleep 0.3; touch "$hub/fast") &
    script -qec "'$minke' pull slow/m:x.gguf" /dev/null >out 2>&1 </dev/null
    grep -qE '\[[#-]+\] +[0-9]+ %  .* of 700 kB' out || fail "no progress on a terminal: $(cat out)"
    echo n | script -qec "'$minke' rm slow/m:x.gguf" /dev/null >out 2>&1
    says out "[y/N]"
    same big "$data/slow/m:x.gguf"
    echo y | script -qec "'$minke' rm slow/m:x.gguf" /dev/null >out 2>&1
    nothing "$data/slow"
else
    echo "skip: no script here"
fi
exit $failed
