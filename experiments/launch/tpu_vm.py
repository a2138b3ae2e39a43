"""TPU slices of one's own: created at once, or by way of the queue, which also gives several.

The commands are those of "Manage TPU resources", "Manage queued resources", "Run JAX code on TPU
slices" and "Cloud TPU Multislice overview" in https://docs.cloud.google.com/tpu/docs, and of the
references of `gcloud compute tpus tpu-vm` and `gcloud compute tpus queued-resources`.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence

from experiments.launch import accelerators, remote, target
from experiments.launch.shell import Failed, Shell

PAUSE = 30.0  # seconds between two looks at the queue
_WAITING = ("CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING")


@dataclasses.dataclass(frozen=True)
class Slices:
    """Slices of one type. Implements `target.Target`.

    Attributes:
      name: of the slice, or of the queued resource.
      project: the Google Cloud project.
      zone: where ("us-west4-a").
      accelerator: type of each slice ("v5litepod-16").
      slices: how many; more than one need the queue.
      queued: whether to wait in the queue; else it is there at once or not at all.
      runtime: software version, the type's own when empty.
      spot: cheaper machines that can be taken away at any time.
      valid_for: how long to wait in the queue at most ("6h"); for ever when empty.
    """

    name: str
    project: str
    zone: str
    accelerator: str
    slices: int = 1
    queued: bool = False
    runtime: str = ""
    spot: bool = False
    valid_for: str = ""

    def __post_init__(self) -> None:
        """Checks the fields; raises ValueError naming the field and the remedy."""
        target.check_name(self.name, "--name")
        accelerators.chips(self.accelerator)
        if self.slices < 1:
            raise ValueError(f"--slices is {self.slices}: at least 1 is needed")
        if self.slices > 1 and not self.queued:
            raise ValueError(f"--slices is {self.slices}: several slices come by the queue alone")

    def _gcloud(self, verb: str, *words: str) -> list[str]:
        kind = "queued-resources" if self.queued else "tpu-vm"
        place = [f"--project={self.project}", f"--zone={self.zone}"]
        return ["gcloud", "compute", "tpus", kind, verb, *words, *place]

    @property
    def _everywhere(self) -> list[str]:
        return ["--node=all", "--worker=all"] if self.queued else ["--worker=all"]

    def create(self, shell: Shell) -> None:
        """Creates the slices, or asks for them and waits in the queue; see `Target`."""
        runtime = self.runtime or accelerators.runtime(self.accelerator)
        words = [self.name, f"--accelerator-type={self.accelerator}"]
        words.append(f"--{'runtime-version' if self.queued else 'version'}={runtime}")
        if self.slices > 1:
            words += [f"--node-count={self.slices}", f"--node-prefix={self.name}"]
        elif self.queued:
            words.append(f"--node-id={self.name}")
        words += ["--spot"] if self.spot else []
        if self.queued and self.valid_for:
            words.append(f"--valid-until-duration={self.valid_for}")
        shell.run(self._gcloud("create", *words))
        if self.queued:
            self._wait(shell)

    def _wait(self, shell: Shell) -> None:
        describe = self._gcloud("describe", self.name, "--format=value(state.state)")
        shell.say(f"every {PAUSE:.0f} seconds until it prints ACTIVE:")
        while not shell.dry_run:
            state = shell.ask(describe)
            if state == "ACTIVE":
                return
            if state not in _WAITING:
                raise Failed(f"the queued resource {self.name} is {state}, not ACTIVE", 1)
            time.sleep(PAUSE)
        shell.ask(describe)

    def install(self, shell: Shell) -> None:
        """Brings the last commit of this checkout to every host; see `Target`."""
        root = pathlib.Path(__file__).parents[2]
        bundle = str(root / "runs" / remote.BUNDLE)
        if not shell.dry_run:
            (root / "runs").mkdir(exist_ok=True)
        shell.run(["git", "-C", str(root), "bundle", "create", "--quiet", bundle, "HEAD"])
        shell.run(self._gcloud("scp", bundle, f"{self.name}:{remote.BUNDLE}", *self._everywhere))
        self._ssh(shell, remote.INSTALL, *self._everywhere)

    def run(self, shell: Shell, command: Sequence[str]) -> None:
        """Starts a command on every host; see `Target`."""
        self._ssh(shell, remote.start(command), *self._everywhere)

    def follow(self, shell: Shell) -> None:
        """Shows what the first host prints until it ends; see `Target`."""
        self._ssh(shell, remote.FOLLOW, *(["--node=0"] if self.queued else []), "--worker=0")

    def logs(self, shell: Shell, folder: str) -> None:
        """Fetches every host's log; see `Target`."""
        if not self.queued:
            return self._logs(shell, folder, "--worker=all")
        for node in range(self.slices):  # the hosts of every slice are counted from 0
            self._logs(shell, os.path.join(folder, str(node)), f"--node={node}", "--worker=all")

    def _logs(self, shell: Shell, folder: str, *where: str) -> None:
        shell.run(["mkdir", "-p", folder])  # gcloud wants it to be there
        self._ssh(shell, remote.LOG, *where, f"--output-directory={folder}")

    def _ssh(self, shell: Shell, text: str, *where: str) -> None:
        shell.run(self._gcloud("ssh", self.name, *where, f"--command={text}"))

    def delete(self, shell: Shell) -> None:
        """Deletes the slices, and the request for them; see `Target`."""
        for command in self.removal():
            shell.run(command)

    def find(self) -> list[str]:
        """The command that prints the slices' name if they are there already."""
        return self._gcloud("list", f"--filter=name~(^|/){self.name}$", "--format=value(name)")

    def look(self) -> list[str]:
        """The command that lists what is there."""
        return self._gcloud("list")

    def removal(self) -> list[list[str]]:
        """The commands that delete the slices."""
        force = ["--force"] if self.queued else []
        return [self._gcloud("delete", self.name, *force, "--quiet")]
