#!/bin/sh
# The server with the model inside the program, asked over sockets by tests/api/serve.py.
command -v python3 >/dev/null || { echo "skip tests/api: there is no python3"; exit 0; }
here=$(dirname "$0")
exec python3 "$here/serve.py" "$1"
