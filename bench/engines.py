"""What the scripts that time minke beside another engine share."""
import datetime
import json
import os
import re
import shlex
import shutil
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
RESULTS = os.path.join(ROOT, "bench", "results")


def run(command, with_errors=False, **more):
    """What it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip()[-500:]}")
    return done.stdout + (done.stderr if with_errors else "")


def add_options(parser):
    parser.add_argument("--peer-bin", required=True)
    parser.add_argument("--peer-args", default="")
    parser.add_argument("--peer-name", help="with its version, for the table")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--dry", action="store_true", help="print, write no file")


def parse(parser):
    """The options, and the folder where minke was built last; paths that hold in other folders."""
    o = parser.parse_args()
    o.build = os.path.abspath(
        os.environ.get("B") or os.path.dirname(os.path.realpath(os.path.join(ROOT, "minke"))))
    o.peer_bin = os.path.abspath(shutil.which(o.peer_bin) or o.peer_bin)
    o.peer_args = shlex.split(o.peer_args)
    o.peer_name = o.peer_name or os.path.basename(o.peer_bin)
    return o


def minke(o, path, prompt, gen, depth, *more):
    """What `minke bench` says of one run."""
    return json.loads(run([os.path.join(o.build, "minke"), "bench", "-m", path, "-t",
                           str(o.threads), "-r", "1", "-d", str(depth), "-p", str(prompt), "-n",
                           str(gen), "--json", *more]))


class Machine:
    """Where and what this is, for the head of a table and the name of a file."""

    def __init__(self, o):
        cpu = json.loads(run([os.path.join(o.build, "minke"), "cpu", "--json"]))
        self.level = cpu["used"]
        self.file_name = re.sub(r"[^A-Za-z0-9.-]+", "-", cpu.get("model") or "unknown").strip("-")
        self.commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                                     capture_output=True, text=True, check=False).stdout.strip()
        self.day = datetime.date.today()
