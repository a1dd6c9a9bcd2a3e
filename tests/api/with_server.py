#!/usr/bin/env python3
"""with_server.py MINKE [OPTION...] -- COMMAND...: the command, its last argument a server's URL."""
import subprocess
import sys

from server import Server

options, command = sys.argv[2:], []
if "--" in options:
    at = options.index("--")
    options, command = options[:at], options[at + 1:]
with Server(sys.argv[1], *options) as s:
    sys.exit(subprocess.run([*command, f"http://127.0.0.1:{s.port}"], check=False).returncode)
