"""A cluster of TPU slices under Google Kubernetes Engine, by way of xpk.

The commands are those of xpk's pages "Cluster Create", "Workload Create", "Workload List" and "How
to add docker images to a xpk workload" (https://github.com/AI-Hypercomputer/xpk, docs/usage), their
options those of xpk 1.16; and `kubectl logs`.
"""

import dataclasses
import os
import pathlib
import shlex
from collections.abc import Sequence

from experiments.launch import accelerators, target
from experiments.launch.shell import Shell

GRACE = 300  # seconds between SIGTERM and the end, in which a run saves
RESTARTS = 10
# Exit codes after which a workload starts again, beside xpk's own, 42 and 127-255: all but 2, after
# which a restart alone will not help (`vision_banana/train.py`).
AGAIN = "1,3-126"
YEAR = 365 * 24 * 3600  # seconds


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster and one workload in it. Implements `target.Target`.

    Attributes:
      name: of the workload.
      cluster: of the cluster.
      project: the Google Cloud project.
      zone: where its slices are.
      accelerator: type of each slice.
      image: where the container image goes ("us-docker.pkg.dev/PROJECT/REPOSITORY/train:1").
      slices: how many.
      spot: cheaper machines that can be taken away at any time.
      reservation: name of a reservation; on demand when empty.
    """

    name: str
    cluster: str
    project: str
    zone: str
    accelerator: str
    image: str
    slices: int = 1
    spot: bool = False
    reservation: str = ""

    def __post_init__(self) -> None:
        """Checks the fields; raises ValueError naming the field and the remedy."""
        target.check_name(self.name, "--name")
        target.check_name(self.cluster, "--cluster")
        accelerators.chips(self.accelerator)
        if self.slices < 1:
            raise ValueError(f"--slices is {self.slices}: at least 1 is needed")
        if self.spot and self.reservation:
            raise ValueError("--spot and --reservation exclude each other")

    def _xpk(self, *words: str) -> list[str]:
        place = [f"--project={self.project}", f"--zone={self.zone}"]
        return ["xpk", *words, f"--cluster={self.cluster}", *place]

    @property
    def _size(self) -> list[str]:
        return [f"--tpu-type={self.accelerator}", f"--num-slices={self.slices}"]

    def create(self, shell: Shell) -> None:
        """Creates the cluster; see `Target`."""
        capacity = f"--reservation={self.reservation}" if self.reservation else "--on-demand"
        shell.run(self._xpk("cluster", "create", *self._size, "--spot" if self.spot else capacity))

    def install(self, shell: Shell) -> None:
        """Builds the image of the last commit of this checkout and pushes it; see `Target`."""
        root = pathlib.Path(__file__).parents[2]
        file = str(pathlib.Path(__file__).with_name("Dockerfile"))
        platform = "--platform=linux/amd64"  # also where this machine is another kind
        shell.run(["docker", "build", platform, f"--tag={self.image}", f"--file={file}", str(root)])
        shell.run(["docker", "push", self.image])

    def run(self, shell: Shell, command: Sequence[str]) -> None:
        """Submits the workload; it starts again when its machines are taken; see `Target`."""
        shell.run(
            self._xpk(
                "workload", "create", f"--workload={self.name}", *self._size,
                f"--docker-image={self.image}", f"--command={shlex.join(command)}",
                f"--max-restarts={RESTARTS}", f"--restart-on-exit-codes={AGAIN}",
                f"--termination-grace-period-seconds={GRACE}",
            )
        )  # fmt: skip

    def follow(self, shell: Shell) -> None:
        """Waits for the workload's end; see `Target`."""
        # By itself xpk gives up after a week, and what is not followed is deleted.
        wait = [f"--wait-for-job-completion={self.name}", f"--timeout={YEAR}"]
        shell.run(self._xpk("workload", "list", *wait))

    def logs(self, shell: Shell, folder: str) -> None:
        """Fetches all that the workload's containers printed; see `Target`."""
        region = self.zone.rpartition("-")[0]  # xpk's clusters are regional
        shell.run(
            ["gcloud", "container", "clusters", "get-credentials", self.cluster,
             f"--project={self.project}", f"--region={region}"]
        )  # fmt: skip
        shell.run(["mkdir", "-p", folder])
        shell.run(
            ["kubectl", "logs", f"--selector=jobset.sigs.k8s.io/jobset-name={self.name}",
             "--all-containers", "--prefix", "--tail=-1", "--max-log-requests=1024"],
            to=os.path.join(folder, f"{self.name}.log"),
        )  # fmt: skip

    def delete(self, shell: Shell) -> None:
        """Deletes the cluster with its slices; see `Target`."""
        for command in self.removal():
            shell.run(command)

    def find(self) -> list[str]:
        """The command that prints the cluster's name if it is there already."""
        return [
            "gcloud", "container", "clusters", "list", f"--project={self.project}",
            f"--filter=name={self.cluster}", "--format=value(name)",
        ]  # fmt: skip

    def look(self) -> list[str]:
        """The command that lists what is there."""
        return ["xpk", "cluster", "list", f"--project={self.project}", f"--zone={self.zone}"]

    def removal(self) -> list[list[str]]:
        """The commands that delete the cluster."""
        # Without it xpk asks where there are workloads, and ends with 0 if nobody says yes.
        return [self._xpk("cluster", "delete", "--force")]
