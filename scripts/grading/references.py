"""The trusted side: this repository's programs, the noise, the answers, and a tree for `make custom`."""
import hashlib
import json
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import make_inputs
from network_file import write_atomically

ROOT = Path(__file__).resolve().parent.parent.parent
SWITCHES = [f"{name}={os.environ[name]}" for name in ("CUDA", "MPI", "OPENMP", "CUARCH") if name in os.environ]
FEW = 8
NO_PART_OF_THE_DRIVER = (".*", "*.bin", "*.zip", "*.deb", "*.a", "__pycache__", "report", "answers", "inputs", "tests",
                         "bench", "gpu", "bin", "man", "kernels", "cpu", "facegen_seq", "facegen_parallel",
                         "facegen_custom", "compare_result")


class Failure(Exception):
    """Grading cannot go on: an exit status and a sentence."""

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status


@dataclass
class Case:
    """Noise of so many faces, and the right answer. `name` is what staff reads of it."""

    name: str
    noise: Path
    answer: Path
    faces: int


def make(*targets, folder=ROOT):
    done = subprocess.run(["make", "-s", f"-j{os.cpu_count()}", *SWITCHES, *targets], cwd=folder, capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise Failure(3, f"'make {' '.join(targets)}' of this repository failed: {done.stderr.strip()[-500:]}")


def make_programs():
    """What is there is taken as it is: it may have been built with switches of its own."""
    programs = {"facegen_seq": "seq", "facegen_parallel": "parallel", "compare_result": "compare_result"}
    make(*(target for program, target in programs.items() if not (ROOT / program).exists()), "build/course_like_driver")


def make_driver_tree(target):
    """A copy of what `make custom` needs, with the driver compiled, so that a hand-in only compiles its unit."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*NO_PART_OF_THE_DRIVER))  # with the objects' times
    (target / "empty.c").write_text("void facegen_init() {}\nvoid facegen_fin() {}\nvoid facegen() {}\n")
    make("custom", "SRC=empty.c", folder=target)
    (target / "facegen_custom").unlink()
    return target


def compute(program, network, case, *options):
    done = subprocess.run([ROOT / program, "-q", *options, network, case.noise, case.answer, "none"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(1 if done.returncode == 1 else 3, f"no answer for {case.name}: {done.stderr.strip()[-500:]}")


def compare(output, answer):
    """Runs compare_result -> (same, what it says)."""
    done = subprocess.run([ROOT / "compare_result", output, answer], capture_output=True, text=True, errors="replace")
    said = done.stdout.replace(str(output), "output").replace(str(answer), "answer").strip()
    return done.returncode == 0, " ".join(said.splitlines()[:3])


def remove(folder):
    """Removes a folder in which a hand-in may have locked others."""
    subprocess.run(["chmod", "-R", "u+rwX", folder], capture_output=True)
    shutil.rmtree(folder)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_text(path, text):
    write_atomically(path, lambda file: file.write(text.encode()))


class Cases:
    """The noise of a grading and its answers, in a folder that no hand-in sees: the course's inputs, few and many faces
    of noise that is new with each grading. A grading that goes on finds them there."""

    def __init__(self, folder, network, inputs, faces, fresh):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        record = folder / "noise.json"
        wanted = {"network": digest(network), "inputs": [digest(path) for path in inputs], "faces": faces}
        kept = json.loads(record.read_text()) if record.exists() else {}
        reuse = not fresh and {name: kept.get(name) for name in wanted} == wanted
        self.seed = kept["seed"] if reuse else secrets.randbits(62)
        self.digest = hashlib.sha256(json.dumps([wanted, self.seed]).encode()).hexdigest()
        self.few = Case(f"{FEW} secret faces", folder / "few.txt", folder / "few.answer.txt", FEW)
        self.many = Case(f"{faces} secret faces", folder / "many.txt", folder / "many.answer.txt", faces)
        self.inputs = []
        for number, path in enumerate(inputs, 1):
            with open(path) as file:
                count = file.readline().strip()
            if not count.isdigit():
                raise Failure(1, f"'{path}' begins with '{count[:40]}': expected the number of faces")
            self.inputs.append(Case(path.name, path, folder / f"input{number}.answer.txt", int(count)))
        if reuse:
            return
        record.unlink(missing_ok=True)
        noise = make_inputs.uniform(self.seed, faces)
        write_text(self.few.noise, make_inputs.text(noise[:FEW]))
        write_text(self.many.noise, make_inputs.text(noise))
        # The reference is slow: it vouches for few faces of facegen_parallel, which then makes all answers, in fp32.
        compute("facegen_seq", network, self.few)
        by_reference = self.few.answer.rename(folder / "few.reference.txt")
        for case in (self.few, self.many, *self.inputs):
            compute("facegen_parallel", network, case, "--devices", "none")
        same, said = compare(self.few.answer, by_reference)
        if not same:
            raise Failure(3, f"facegen_parallel and facegen_seq of this repository disagree: {said}")
        write_text(record, json.dumps(wanted | {"seed": self.seed}, indent=1))
