#!/bin/sh
# Clients that go away, by tests/api/cancel.py.
command -v python3 >/dev/null || { echo "skip tests/api: there is no python3"; exit 0; }
exec python3 "$(dirname "$0")/cancel.py" "$1"
