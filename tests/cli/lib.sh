# Shared by the tests of the command line: $1 is minke, $2 a tiny model whose tokens 0..255
# are the bytes, so that --logit-bias BYTE=1000 makes it say what a test wants.
minke=$(realpath "$1") tiny=$(realpath "$2")
[ -x "$minke" ] && [ -d "$tiny" ] || { echo "usage: $0 MINKE TINY_MODEL"; exit 2; }
here=$(realpath "$(dirname "$0")")
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
export HOME="$tmp/home" LC_ALL=C.UTF-8 TERM=xterm
mkdir "$HOME"
unset XDG_DATA_HOME XDG_STATE_HOME HF_HOME MINKE_MODEL MINKE_THREADS MINKE_NOHISTORY \
    NO_COLOR CLICOLOR_FORCE
failed=0

fail() { echo "FAIL: $*"; failed=1; }

# status WANT COMMAND...: its exit status; what it prints is left in out and err.
status() {
    want=$1
    shift
    "$@" >out 2>err </dev/null
    got=$?
    [ $got = "$want" ] || fail "exit $got, want $want: $* : $(head -c 200 err)"
}
# says FILE TEXT: the file (out, err) has this in a line.
says() { grep -qF -- "$2" "$1" || fail "no \"$2\" in $1: $(head -c 300 "$1")"; }
# is FILE TEXT: the file is exactly this.
is() { [ "$(cat "$1"; echo .)" = "$2." ] || fail "$1 is \"$(head -c 300 "$1")\", want \"$2\""; }
# json FILE: valid JSON, by minke's own strict parser, which ignores keys it does not know.
json() {
    { printf '{"messages":[{"role":"user","content":"x"}],"more":'; cat "$1"; echo '}'; } >wrapped
    "$minke" render -m "$tiny" --messages wrapped >/dev/null 2>err || fail "$1 is not JSON: $(cat err)"
}
