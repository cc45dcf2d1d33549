"""A part of a job that is killed, stopped or cut off: the job ends on every host, and nothing is left behind."""
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import numpy as np
import pytest
from conftest import NETWORK, ROOT, run

pytestmark = pytest.mark.skipif(
    "MPI=0" in os.environ.get("MAKEFLAGS", "") or run("sh", "-c", "command -v mpirun").returncode != 0, reason="no mpirun here")


class Job:
    """facegen_parallel under mpirun in the background, with seconds of work to do."""

    def __init__(self, folder, *launcher, faces=6000, **environment):
        np.save(folder / "n.npy", np.zeros((faces, 100), np.float32))
        self.folder, self.output = folder, folder / "output"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [*map(str, launcher), ROOT / "facegen_parallel", "-q", "-d", "none", "-t", "1", "-b", "1000", NETWORK,
                 folder / "n.npy", folder / "o.npy", folder / "o.bmp"],
                stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment})

    def await_line(self, text):
        while text not in self.output.read_bytes():
            assert self.process.poll() is None, self.output.read_bytes()
            time.sleep(0.02)

    def ranks(self):
        """Process numbers, by rank."""
        found = {}
        for pid in map(int, run("pgrep", "-f", rf"^{ROOT}/facegen_parallel .*{self.folder}").stdout.split()):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    environment = file.read()
                found[int(re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", environment)[1])] = pid
                self.number = int(re.search(rb"PMIX_NAMESPACE=(\d+)", environment)[1])  # Open MPI's, of the job
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has ended since
        return found

    def ends_within(self, seconds):
        """Every process of the job has ended by then; what was said."""
        end = time.monotonic() + seconds
        while self.process.poll() is None or self.ranks():
            assert time.monotonic() < end, (self.ranks(), self.output.read_bytes())
            time.sleep(0.05)
        assert self.process.returncode != 0
        assert not (self.folder / "o.npy").exists() and not (self.folder / "o.bmp").exists()
        return self.output.read_text(errors="replace")


def kill_at_a_random_moment(tmp_path, ranks, whom):
    job = Job(tmp_path, "mpirun", "-n", ranks)
    while len(job.ranks()) < ranks and job.process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 2.5))
    victim = job.process.pid if whom == "mpirun" else job.ranks().get(whom)
    if victim is None:  # too early, or too late
        job.process.kill()
        job.process.wait()
        return False
    os.kill(victim, signal.SIGKILL)
    job.ends_within(10)
    assert not glob.glob(f"/dev/shm/*.{job.number:x}.*")  # MPI's shared memory
    assert not glob.glob(f"{tempfile.gettempdir()}/ompi.*/pid.{job.process.pid}")  # mpirun's own folder
    return True


@pytest.mark.parametrize("whom", [0, 1, 2, "mpirun"])
def test_killed_at_a_random_moment(whom, tmp_path):
    assert kill_at_a_random_moment(tmp_path, 3, whom)


@pytest.mark.full
def test_killed_at_many_random_moments(tmp_path):
    kills = 0
    while kills < 20:
        (tmp_path / str(kills)).mkdir(exist_ok=True)
        kills += kill_at_a_random_moment(tmp_path / str(kills), 3, random.choice([0, 1, 2, "mpirun"]))


@pytest.mark.parametrize("victim, share", [(0, "1"), (1, "1"), (2, "0")], ids=["root", "in_place", "messages"])
def test_a_stopped_rank_is_named(victim, share, tmp_path):
    job = Job(tmp_path, "mpirun", "-n", 3, FACEGEN_PATIENCE="4", FACEGEN_SHARE=share)
    job.await_line(b"Calculating")
    time.sleep(0.3)
    os.kill(job.ranks()[victim], signal.SIGSTOP)
    said = job.ends_within(30)
    assert job.process.returncode == 3
    assert re.findall(r"(rank \d) on \S+ has said nothing for \d+ s", said) == [f"rank {victim}"], said


def test_a_stopped_rank_is_waited_for_where_nobody_set_a_time(tmp_path):
    job = Job(tmp_path, "mpirun", "-n", 2, faces=2000)
    job.await_line(b"Calculating")
    rank = job.ranks()[1]
    os.kill(rank, signal.SIGSTOP)
    time.sleep(3)
    assert job.process.poll() is None
    os.kill(rank, signal.SIGCONT)
    assert job.process.wait(timeout=120) == 0
    assert (tmp_path / "o.npy").stat().st_size > 2000 * 49152


@pytest.mark.parametrize("text", ["soon", "nan", "0.01", "0x10", " 5", "5 ", "1e400", "-1"])
def test_a_time_that_is_none(text):
    done = run("./facegen_parallel", "-d", "none", NETWORK, "inputs/input1.txt", "none", "none",
               env={**os.environ, "FACEGEN_PATIENCE": text})
    assert done.returncode == 2 and f"FACEGEN_PATIENCE='{text}'".encode() in done.stderr


# ---- Two hosts, each in a network namespace of its own, and TCP between them


class Hosts:
    """Host k is namespace <name>k with address 10.97.x.k; mpirun reaches the other one as by ssh."""

    def __init__(self, folder):
        self.name, net = f"fg{os.getpid()}n", f"10.97.{os.getpid() % 256}"
        for k in (1, 2):
            self.ip("netns", "add", f"{self.name}{k}")
        self.ip("link", "add", "eth", "netns", f"{self.name}1", "type", "veth", "peer", "name", "eth", "netns", f"{self.name}2")
        for k in (1, 2):
            self.ip("-n", f"{self.name}{k}", "addr", "add", f"{net}.{k}/24", "dev", "eth")
            for device in ("eth", "lo"):
                self.ip("-n", f"{self.name}{k}", "link", "set", device, "up")
        agent = folder / "agent.sh"  # HOST COMMAND...
        agent.write_text(f"""#!/bin/sh
k=${{1##*.}}; shift
exec ip netns exec {self.name}$k unshare -u sh -c "hostname host$k; $*"
""")
        agent.chmod(0o755)
        self.mpirun = ["ip", "netns", "exec", f"{self.name}1", "unshare", "-u", "sh", "-c", 'hostname host1; exec "$@"', "sh",
                       "mpirun", "--mca", "plm_rsh_agent", agent, "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include",
                       f"{net}.0/24", "--mca", "oob_tcp_if_include", f"{net}.0/24", "-H", f"{net}.1,{net}.2", "-n", 2]

    @staticmethod
    def ip(*words):
        done = run("ip", *words)
        if done.returncode:
            pytest.skip("no network namespaces here: " + done.stderr.decode().strip())

    def cut(self):
        self.ip("-n", f"{self.name}2", "link", "set", "eth", "down")


@pytest.fixture
def hosts(tmp_path):
    if not all(map(shutil.which, ("ip", "unshare"))) or os.geteuid() != 0:
        pytest.skip("two hosts of one's own need root, iproute2 and unshare")
    made = None
    try:
        made = Hosts(tmp_path)
        yield made
    finally:
        for k in (1, 2):
            run("ip", "netns", "del", f"fg{os.getpid()}n{k}")


def test_same_bytes_from_two_hosts(hosts, tmp_path):
    np.save(tmp_path / "n.npy", np.random.default_rng(2).uniform(-1, 1, (100, 100)).astype(np.float32))
    words = ["-q", "-d", "none", "-t", "1", NETWORK, tmp_path / "n.npy"]
    for launcher, faces in ((hosts.mpirun, "two.npy"), ((), "one.npy")):
        done = run(*launcher, ROOT / "facegen_parallel", *words, tmp_path / faces, "none")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "two.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()


@pytest.mark.full
def test_a_link_that_is_cut_ends_the_job_on_both_hosts(hosts, tmp_path):
    job = Job(tmp_path, *hosts.mpirun)
    job.await_line(b"Calculating")
    time.sleep(0.5)
    assert len(job.ranks()) == 2
    hosts.cut()
    said = job.ends_within(60)
    assert job.process.returncode == 3
    assert re.findall(r"facegen_parallel: rank 0 on host1: the host at 10\.97\.\d+\.2 has answered nothing for 25 s", said), said
