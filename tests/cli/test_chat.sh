#!/bin/sh
# The chat in a terminal, played by expect.
. "$(dirname "$0")/lib.sh"
command -v expect >/dev/null || { echo "skip: no expect here"; exit 0; }

EDITOR="sed -i s/old/new/" expect -f "$here/chat.exp" "$minke" "$tiny" >log 2>&1 ||
    fail "chat.exp: $(tail -n 40 log)"

history=$HOME/.local/state/minke/history
[ "$(stat -c %a "$history")" = 600 ] || fail "the history file has mode $(stat -c %a "$history")"
[ "$(stat -c %a "${history%/*}")" = 700 ] || fail "its folder has mode $(stat -c %a "${history%/*}")"
says "$history" "first"
says saved.json '"role": "assistant"'
json saved.json

# MINKE_NOHISTORY
rm -r "$HOME/.local"
MINKE_NOHISTORY=1 expect -f "$here/chat.exp" "$minke" "$tiny" >log 2>&1 || fail "again: $(tail -n 40 log)"
[ -e "$history" ] && fail "a history although MINKE_NOHISTORY is set"
exit $failed
