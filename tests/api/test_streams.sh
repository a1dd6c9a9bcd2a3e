#!/bin/sh
# What each API puts on the wire against tests/golden/api, by tests/api/streams.py.
command -v python3 >/dev/null || { echo "skip tests/api: there is no python3"; exit 0; }
exec python3 "$(dirname "$0")/streams.py" "$1"
