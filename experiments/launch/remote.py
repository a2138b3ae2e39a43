"""What the hosts of a TPU slice are told to do, as text for their shell.

The code lies in ~/vision_banana, its environment in ~/venv, and the run in ~/run.pid, ~/run.log
and ~/run.exit (its exit code, once it has ended).
"""

import shlex
from collections.abc import Sequence

BUNDLE = "vision_banana.bundle"  # the code with its revision, as `git bundle` packs it
LOG = "cat ~/run.log"

# Ends the shell where a run is under way, whose code and environment must stay.
_FREE = """if [ -e ~/run.pid ] && kill -0 "$(cat ~/run.pid)" 2> /dev/null
then echo "a run is still under way here" >&2; exit 1
fi"""

# The hosts' own Python is older than what the project needs; uv brings its own. The last two extras
# read what the large configs train on.
INSTALL = f"""set -e
{_FREE}
python3 -m pip install --user --quiet uv
rm -rf ~/vision_banana
git -c advice.detachedHead=false clone --quiet ~/{BUNDLE} ~/vision_banana
python3 -m uv venv --quiet --clear --python 3.12 ~/venv
python3 -m uv pip install --quiet --python ~/venv \
--constraint ~/vision_banana/requirements.lock \
--editable ~/vision_banana'[tpu,gcs,tfds,benchmarks]'"""

FOLLOW = """[ -e ~/run.pid ] || { echo "no run was started here" >&2; exit 1; }
tail --pid="$(cat ~/run.pid)" --lines=20 --follow ~/run.log
[ -e ~/run.exit ] || { echo "the run was killed" >&2; exit 1; }
exit "$(cat ~/run.exit)\""""


def start(command: Sequence[str]) -> str:
    """Starts a command that goes on when the connection ends; refuses where one still runs."""
    inner = f"{shlex.join(command)}; echo $? > ~/run.exit"
    return f"""set -e
{_FREE}
cd ~/vision_banana
export PATH="$HOME/venv/bin:$PATH"
rm -f ~/run.exit
nohup sh -c {shlex.quote(inner)} >> ~/run.log 2>&1 < /dev/null &
echo $! > ~/run.pid"""
