"""Every number of the report and of README's "How fast": where it comes from, and how it is written.

    {{ours.65536.faces_per_s|thousands}}      in a text: a name of SOURCES or DERIVED, and a format of FORMATS

A measurement lies in report/measurements/DATE-KIND.json, where KIND is MACHINE-WHAT if a command of bench/ wrote it. The
latest date of a kind counts, so that a new file replaces an old one by being there; what it lacks is missing. A path goes through the JSON: keys, and of a list the items that [key=value]
picks, the last one where several fit.
"""
import json
import math
import pathlib
import re
import sys

REPORT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(REPORT.parent / "scripts"))
from network_file import LAYERS as NETWORK  # noqa: E402

PEERS, LAYERS, ACCURACY, TRIED = "h200-peers", "h200-layers", "h200-accuracy", "h200-experiments"
BEFORE, TRIED_BEFORE = "h100-peers", "h100-experiments"  # the version before, on an H100
RUNS, LIMITS = "h100-hopper-runs", "h100-limits"
GPUS, GPUS_BEFORE, SPLITS = "h100x2-scaling", "h100x2-scaling-6d4e1ea", "epyc-avx512-2-operand-splits"
CPU, HOST = "epyc-avx512-2", "xeon-avx512-16"  # two cores by themselves; the sixteen of the H100's host
CHUNK = 2048  # faces of a chunk: kChunkFaces of kernels/hopper/generator.cu

SPEED = "seconds", "faces_per_s", "worst_error"

# name: (kind of file, path). {} stands for each of the words that follow.
SOURCES = {
    "ours.{}.seconds": (PEERS, "entries[kernels=best][faces={}]/seconds", "1000 8192 65536"),
    "ours.{}.faces_per_s": (PEERS, "entries[kernels=best][faces={}]/faces_per_s", "1000 8192 65536"),
    "ours.worst_error": (PEERS, "entries[kernels=best][faces=65536]/worst_error"),
    "ours.worst_error.normal": (PEERS, "entries[kernels=best][faces=65536]/worst_error_normal"),
    "uniform.{}": (TRIED, "uniform_65536_ms/{}", "before after"),
    "normal.before": (TRIED, "normal_65536_ms/before[-1]"),
    "normal.after": (TRIED, "normal_65536_ms/after"),
    "image.{}": (TRIED, "tconv4_us/{}", "before after"),
    "thousand.other_card": (TRIED, "uniform_1000_ms/another_card_after[-1]"),
    "image.share.as_built": (TRIED, "refuted/another_card_as_built"),
    "image.share.half": (TRIED, "refuted/tconv4_on_half_of_the_multiprocessors"),
    "image.share.five_sixths": (TRIED, "refuted/tconv4_on_five_sixths"),
    "image.share.all": (TRIED, "refuted/tconv4_on_all_multiprocessors"),
    "image.share.fastest": (TRIED, "refuted/fastest_runs_of_these_five"),
    "offset.built.{}": (TRIED, "offset/as built, range 0.5 to 1/{}", "worst_2"),
    "offset.low.{}": (TRIED, "offset/range 0.35 to 0.71/{}", "worst_1 worst_2"),
    "offset.high.{}": (TRIED, "offset/0.7, range 0.71 to 1.41/{}", "worst_1|faces_taken_for_unlike_what_is_expected"),
    "exit.{}": (TRIED, "start_to_exit/{}_s[-1]", "one_gpu_1000 one_gpu_262144"),
    "tried.{}": (TRIED_BEFORE, "{}", "checks tconv4_close_behind_tconv3 warpgroup_starts_later"),
    "exit.before.{}": (TRIED_BEFORE, "start_to_exit/{}", "one_gpu_262144_before two_gpus_262144"),
    "locked.{}": (TRIED_BEFORE, "page_locking/{}", "cudaHostAlloc large_pages"),
    "before.faces_per_s": (BEFORE, "entries[kernels=best][faces=65536]/faces_per_s"),
    "before.1000.seconds": (BEFORE, "entries[kernels=best][faces=1000]/seconds"),
    "million.{}": (ACCURACY, "rows[what={}(-1, 1)]/worst", "uniform"),
    "million.normal": (ACCURACY, "rows[what=normal(0, 1)]/worst"),
    "accuracy.rows": (ACCURACY, "rows"),
    **{f"jax.{{}}.{what}": (PEERS, f"entries[program=JAX {{}}]/{what}", "BF16_BF16_F32_X3 BF16_BF16_F32_X6 TF32_TF32_F32_X3")
       for what in SPEED},
    "power.{}": (LIMITS, "power/rows[products={}]",
                 "three of fp16, los of 8 bits|three of fp16, los of 11 bits|three of fp16, faces all zero|one of fp16, two of e4m3"),
    "without.{}": (LIMITS, "without_a_part/rows[build={}]/layers",
                   "whole|without epilogue|without weights|without faces|without either"),
    "simt.{}": (PEERS, "entries[kernels=exact][faces=65536]/{}", " ".join(SPEED)),
    **{f"torch.{{}}.{what}": (PEERS, f"entries[program=PyTorch {{}} compiled]/{what}", "fp32 tf32 fp16") for what in SPEED},
    "torch.faces": (PEERS, "entries[program=PyTorch fp32 compiled]/faces"),
    "torch.version": (PEERS, "torch"),
    "gpu": (PEERS, "gpu/name"),
    "gpu.power": (PEERS, "gpu/power.limit"),
    "peers.date": (PEERS, "date"),

    "layer.{}": (LAYERS, "layers[kernels=fast][layer={}]", "proj tconv1 tconv2 tconv3 tconv4"),
    "on_device.faces_per_s": (LAYERS, "runs[program=fast, on the GPU]/faces_per_s"),
    "load.us": ("h100-layers-hopper", "load_us"),
    "eight.after.us": ("h100-layers-hopper", "chunks[faces=2048]/layers[layer=tconv1]/us"),
    "overlap.before": (RUNS, "entries[kernels=hopper, launches one after another][faces=65536]/seconds"),
    "overlap.after": (RUNS, "entries[kernels=hopper][faces=65536]/seconds"),
    "chunk.{}.seconds": (RUNS, "by_chunk[chunk={}][faces=65536]/seconds/median", "512 1024 2048 4096"),
    "multiprocessors": (LAYERS, "multiprocessors"),
    "clock_mhz": (LAYERS, "clock_mhz"),
    "fma_peak.tflops": (LAYERS, "limits[-1]/fp32_tflops"),
    "simt.issue_slots": ("h100-simt", "tconv2_by_ncu/issue_slots_used"),
    "pcie.out": (LAYERS, "limits[-1]/to_host_gb_s"),
    "pcie.in": (LAYERS, "limits[-1]/to_gpu_gb_s"),
    "dram": (LAYERS, "limits[-1]/on_gpu_gb_s"),
    "profile.{}": ("h100-hopper-profile", "kernels[layer={}]", "tconv1 tconv2 tconv3 tconv4"),
    "plan.1000.{}": ("h100-plans-1000", "plans[chunks={}]/median_ms", "256 256 256 232|1000"),
    "mma.{}": (PEERS, "entries[kernels=precise][faces=65536]/{}", " ".join(SPEED)),
    "mma.many": ("h100-hopper-accuracy", "rows[layers=none, mma.sync: sums of 16 channels, added in fp32]/worst"),
    "eight.worst.{}": ("h100-hopper-accuracy", "rows[layers={}]/worst", "none|1|2|3|1, 2|1, 2, 3|1, 2, 3, as kept"),
    "eight.before.us": ("h100-hopper-layers", "steps[step=as the day before]/chunks[faces=2048]/layers[layer=tconv1]/us"),
    "amx.{}": ("cpu-amx", "scaling[isa=amx][threads={}]/faces_per_s_best", "1 4 16"),
    "amx.avx512.{}": ("cpu-amx", "scaling[isa=avx512][threads={}]/faces_per_s_best", "1 4 16"),
    "amx.median": ("cpu-amx", "scaling[isa=amx][threads=16]/faces_per_s_median"),
    "amx.avx512.median": ("cpu-amx", "scaling[isa=avx512][threads=16]/faces_per_s_median"),

    "accuracy.uncorrected": ("h100-lost-bits", "rows[kLoss=0.0]/faces_worst"),
    "accuracy.corrected": ("h100-lost-bits", "rows[residual_bits=7]/faces_worst"),
    "accuracy.tconv1_uncorrected": ("h100-lost-bits", "rows[kLoss=0.0]/tconv1_rms_relative"),
    "accuracy.tconv1_corrected": ("h100-lost-bits", "rows[residual_bits=7]/tconv1_rms_relative"),
    "accuracy.5bits": ("h100-lost-bits", "residual_bits[bits=5, cut]/faces_worst"),
    "bits.all": ("h100-lost-bits", "residual_bits[bits=11 (all)]/steady_faces_per_s_4096/median"),
    "bits.7": ("h100-lost-bits", "residual_bits[bits=7, rounded]/steady_faces_per_s_4096/median"),
    "split.{}.worst": (SPLITS, "splits[split={}]/worst_error",
                       "fp32|fp16|tf32|bf16|fp16 x2|bf16 x3|fp16 x3|fp16 x3, 7 bits|tf32 x3|fp16 + 2 e4m3"),
    "split.faces": (SPLITS, "faces"),
    "study.{}": ("h100-design-study", "library_tflops/{}", "fp32 tf32 fp16 bf16"),
    "study.sequential": ("h100-design-study", "course_sequential_seconds_a_face"),
    "student.{}.seconds": ("h100-student-solution", "runs[faces={}]/seconds", "1000 4096"),
    "student.faces_per_s": ("h100-student-solution", "runs[faces=4096]/faces_per_s"),
    "goal.faces_per_s": ("h100-design-study", "goals/faces_per_s"),
    "goal.seconds_1000": ("h100-design-study", "goals/seconds_for_1000_faces"),
    "goal.fma_share": ("h100-design-study", "goals/share_of_fma_peak"),

    "cpu.ours": (f"{CPU}-peers", "results/facegen_parallel/faces_per_s_best"),
    "cpu.torch": (f"{CPU}-peers", "results/torch channels_last/faces_per_s_best"),
    "cpu.onnxruntime": (f"{CPU}-peers", "results/onnxruntime/faces_per_s_best"),
    "cpu.openvino": (f"{CPU}-peers", "results/openvino a stream a thread/faces_per_s_best"),
    "cpu.ratio": (f"{CPU}-peers", "ours_over_best_peer/faces_per_s_best"),
    "cpu.torch.error": (f"{CPU}-peers", "results/torch channels_last/worst_error"),
    "cpu.worst_error": (f"{CPU}-peers", "results/facegen_parallel/worst_error"),
    "cpu.share.1": (f"{CPU}-layers", "runs[isa=avx512][threads=1][faces=1024]/share_of_peak_best"),
    "cpu.share.2": (f"{CPU}-layers", "runs[isa=avx512][threads=2][faces=1024]/share_of_peak_best"),
    "cpu.one_chain": ("cpu-ladder", "accuracy_256_faces_worst_error_against_float64/one chain a pixel"),
    "cpu.runs_of_128": ("cpu-ladder", "accuracy_256_faces_worst_error_against_float64/runs of 128"),
    "host.faces_per_s.{}": (f"{HOST}-layers", "runs[isa=avx512][threads={}][faces=1024]/faces_per_s_best", "1 2 4 8 16"),
    "host.share.{}": (f"{HOST}-layers", "runs[isa=avx512][threads={}][faces=1024]/share_of_peak_best", "1 2 4 8 16"),

    "one_gpu.{}.seconds": (GPUS, "entries[gpus=1][faces={}]/seconds", "65536"),
    "one_gpu.{}.faces_per_s": (GPUS, "entries[gpus=1][faces={}]/faces_per_s", "65536 262144"),
    "one_gpu.before.seconds": (GPUS_BEFORE, "entries[gpus=1][faces=65536]/seconds"),
    "two_gpus.seconds": (GPUS, "entries[gpus=2][ranks=1][faces=262144]/seconds"),
    "two_gpus.faces_per_s": (GPUS, "entries[gpus=2][ranks=1][faces=262144]/faces_per_s"),
    "two_gpus.long.{}.speed_up": (GPUS, "entries[gpus=2][ranks={}][faces=262144]/speed_up", "1 2"),
    "two_gpus.short.{}.speed_up": (GPUS, "entries[gpus=2][ranks={}][faces=65536][goal=1.95]/speed_up", "1 2"),
    "two_gpus.short.runs": (GPUS, "entries[gpus=2][ranks=1][faces=65536][goal=1.95]/runs_s"),
    "two_gpus.short.seconds": (GPUS_BEFORE, "entries[gpus=2][ranks=2][faces=65536][goal=1.95]/seconds"),
    "two_gpus.numa_off": (GPUS_BEFORE, "entries[gpus=2][ranks=2][switches={'FACEGEN_NUMA': '0'}]/seconds"),
    "two_gpus.messages": (GPUS_BEFORE, "entries[gpus=2][ranks=2][switches={'FACEGEN_SHARE': '0'}]/seconds"),
    "two_gpus.weak.{}": (GPUS, "entries[gpus=2][ranks={}][faces=131072]/weak_efficiency", "1 2"),
    "two_gpus.goal": (GPUS, "entries[gpus=2][ranks=1][faces=262144]/goal"),
    "two_gpus.same_bytes": (GPUS_BEFORE, "same_bytes"),
    "two_gpus.lost.{}": (GPUS_BEFORE, "lost_gpu[ranks={}]/seconds", "1 2"),
    "copies.alone": (GPUS_BEFORE, "copies/to_host[placement=spread]/alone_bytes_per_s/median"),
    "copies.together": (GPUS_BEFORE, "copies/to_host[placement=spread]/together_bytes_per_s"),

    "text.file.fprintf": (f"{HOST}-text", "rows[what=text out, fprintf][target=file]"),
    "text.file.1": (f"{HOST}-text", "rows[what=text out, ours][target=file][threads=1]"),
    "text.file.16": (f"{HOST}-text", "rows[what=text out, ours][target=file][threads=16]"),
    "whole.seconds": (f"{CPU}-whole-run", "entries[faces=16384]/seconds"),
    "whole.peer": (f"{CPU}-whole-run", "entries[faces=16384]/peer/seconds"),
    "whole.mib": (f"{CPU}-whole-run", "memory[faces=50000]/peak_mib"),
    "whole.peer_mib": (f"{CPU}-whole-run", "entries[faces=16384]/peer/peak_mib"),
}


class NoNumber(LookupError):
    """A number that no measurement has."""


# ---- Files and paths

def pick(items, conditions):
    """The last of a list's items that fits all of [key=value]; [-1]: the last."""
    for condition in re.findall(r"\[([^\]]*)\]", conditions):
        if "=" in condition:
            key, value = condition.split("=", 1)
            items = [item for item in items if str(item.get(key)) == value]
    return items[-1]


def follow(data, path):
    """What lies at a path; raises LookupError where it leads nowhere."""
    for step in re.findall(r"(?:\[[^\]]*\]|[^/\[])+", path):
        key, conditions = re.fullmatch(r"([^\[]*)((?:\[.*\])?)", step).groups()
        if key == "median":
            data = sorted(data)[len(data) // 2]
            continue
        if key:
            data = data[key]
        if conditions:
            data = pick(data, conditions)
    return data


def expand(sources):
    """SOURCES with the words in place of {}."""
    table = {}
    for name, (kind, path, *words) in sources.items():
        for word in (words[0].split("|") if "|" in words[0] else words[0].split()) if words else [""]:
            table[name.replace("{}", word)] = (kind, path.replace("{}", word))
    return table


class Numbers:
    """numbers("name") -> its value, from the measurements in a folder."""

    def __init__(self, folder=REPORT / "measurements"):
        self.folder = folder
        self.table = expand(SOURCES)
        self.loaded = {}  # {file: what it holds}

    def file(self, kind):
        """The newest file of a kind."""
        pattern = re.compile(r"\d{4}-\d\d-\d\d-" + re.escape(kind) + r"\.json")
        found = [path for path in self.folder.iterdir() if pattern.fullmatch(path.name)]
        if not found:
            raise NoNumber(f"there is no DATE-{kind}.json in {self.folder}")
        return max(found)

    def load(self, path):
        """What a file holds."""
        if path not in self.loaded:
            self.loaded[path] = json.loads(path.read_text(encoding="utf-8"))
        return self.loaded[path]

    def latest(self, kind):
        """What the newest file of a kind holds."""
        return self.load(self.file(kind))

    def source(self, name):
        """The value of a name of SOURCES, from the newest file of its kind and from no older one."""
        kind, path = self.table[name]
        try:
            return follow(self.latest(kind), path)
        except NoNumber:
            raise
        except LookupError as error:
            raise NoNumber(f"'{name}': {self.file(kind).name} has no {path}") from error

    def __call__(self, name):
        if name in DERIVED:
            return DERIVED[name](self)
        if name not in self.table:
            raise NoNumber(f"'{name}' is no name of report/sources.py")
        return self.source(name)


def faces_a_second(row):
    """Of a row of a text measurement."""
    return row["faces"] / row["median_s"]


# ---- Numbers made of numbers

BY_NAME = {layer.name: layer for layer in NETWORK}
LAYER_NAMES = list(BY_NAME)
FACE_BYTES = 64 * 64 * 3 * 4


def multiply_adds(layer):
    """Those that a face needs, without taps off the border."""
    _, h, c, out_h, k, _ = BY_NAME[layer]
    return ((5 * h - 3) if h > 1 else out_h) ** 2 * c * k


def units(layer):
    """What a layer's products take of the tensor cores' time, in fp16 products (kFast of hopper/product.cuh)."""
    return 2 if layer in ("tconv1", "tconv2", "tconv3") else 3


def map_bytes(layer):
    """What a face's maps cost in device memory: input read and output written once, 4 bytes a value."""
    if layer == "proj":
        return 4 * (128 + 8192)  # the noise is padded to 128
    _, h, c, out_h, k, _ = BY_NAME[layer]
    return 4 * (h * h * c + out_h * out_h * k)


FLOPS = 2 * sum(multiply_adds(layer) for layer in LAYER_NAMES)  # of a face


def tensor_peak(n):
    """Dense fp16 operations a second if every multiprocessor issued 4,096 in each cycle at the highest clock."""
    return 4096 * n("multiprocessors") * n("clock_mhz") * 1e6


def middle(n, build, layer, what):
    """Of the runs of a layer in a build of the kernels."""
    values = [run[what] for run in n(f"without.{build}") if run["layer"] == layer]
    return sum(values) / len(values)


def saved(n, part, layer):
    """The share of a layer's time that goes where the kernels lack a part."""
    return 1 - middle(n, f"without {part}", layer, "us") / middle(n, "whole", layer, "us")


def cards(n):
    """Milliseconds that the same version took for 65,536 faces on one card after the other."""
    return [*n("uniform.after"), 1e3 * n("ours.65536.seconds")]


def gains(n):
    """The share of that time that this version saves, on each card that ran the one before too."""
    return [1 - after / before for before, after in zip(n("uniform.before"), n("uniform.after"))]


DERIVED = {
    "gflop": lambda n: FLOPS / 1e9,
    "face_bytes": lambda n: FACE_BYTES,
    "speedup.fp32": lambda n: n("ours.65536.faces_per_s") / n("torch.fp32.faces_per_s"),
    "speedup.fp16": lambda n: n("ours.65536.faces_per_s") / n("torch.fp16.faces_per_s"),
    "cards.count": lambda n: "one two three four five six seven eight nine".split()[len(cards(n)) - 1],
    "cards.least_ms": lambda n: min(cards(n)),
    "cards.most_ms": lambda n: max(cards(n)),
    "cards.fastest": lambda n: 65536e3 / min(cards(n)),
    "cards.slowest": lambda n: 65536e3 / max(cards(n)),
    "cards.least_gain": lambda n: min(gains(n)),
    "cards.most_gain": lambda n: max(gains(n)),
    "normal.least": lambda n: min(n("normal.after")),
    "normal.most": lambda n: max(n("normal.after")),
    "image.share.least": lambda n: min(n("image.share.fastest")),
    "image.share.most": lambda n: max(n("image.share.fastest")),
    "simt.share": lambda n: n("simt.faces_per_s") / n("limit.fp32"),
    "accuracy.tried": lambda n: len(n("accuracy.rows")),
    "speedup.jax": lambda n: n("ours.65536.faces_per_s") / n("jax.BF16_BF16_F32_X3.faces_per_s"),
    "speedup.student": lambda n: n("ours.65536.faces_per_s") / n("student.faces_per_s"),
    **{f"layers.{layer}.us": lambda n, layer=layer: n(f"layer.{layer}")["seconds"] * 1e6 for layer in LAYER_NAMES},
    **{f"layers.{layer}.tflops": lambda n, layer=layer: n(f"layer.{layer}")["tflops"] * units(layer) for layer in LAYER_NAMES},
    "power.mhz": lambda n: n("power.three of fp16, los of 8 bits")["mhz"],
    "power.bits11.mhz": lambda n: n("power.three of fp16, los of 11 bits")["mhz"],
    "power.zero.mhz": lambda n: n("power.three of fp16, faces all zero")["mhz"],
    "power.e4m3.mhz": lambda n: n("power.one of fp16, two of e4m3")["mhz"],
    **{f"without.{part}.tconv1": lambda n, part=part: saved(n, part, "tconv1") for part in ("epilogue", "weights", "faces", "either")},
    "without.epilogue.tconv3": lambda n: saved(n, "epilogue", "tconv3"),
    **{f"whole.{layer}.tensor": lambda n, layer=layer: middle(n, "whole", layer, "tensor_active") for layer in ("tconv1", "tconv2", "tconv3")},
    **{f"whole.{layer}.mhz": lambda n, layer=layer: middle(n, "whole", layer, "mhz") for layer in ("tconv1", "tconv2", "tconv3")},
    "goal.reached": lambda n: n("ours.65536.faces_per_s") / n("goal.faces_per_s"),
    "long.tflops_fp16": lambda n: n("ours.65536.faces_per_s") * sum(units(layer) * 2 * multiply_adds(layer) for layer in LAYER_NAMES) / 1e12,
    "profile.clock1_mhz": lambda n: n("profile.tconv1")["cycles"] / n("profile.tconv1")["us"],
    "profile.tconv1.shared": lambda n: n("profile.tconv1")["shared_wavefronts_pct"],
    "profile.tconv1.l2": lambda n: n("profile.tconv1")["l2_throughput_pct"],
    "mma.share": lambda n: n("mma.faces_per_s") / n("ours.65536.faces_per_s"),
    "mma.over_simt": lambda n: n("mma.faces_per_s") / n("simt.faces_per_s"),
    **{f"amx.gain.{t}": lambda n, t=t: n(f"amx.{t}") / n(f"amx.avx512.{t}") for t in (1, 4, 16)},
    "amx.median_gain.16": lambda n: n("amx.median") / n("amx.avx512.median"),
    "eight.gain": lambda n: 1 - n("eight.after.us") / n("eight.before.us"),
    "long.share": lambda n: n("long.tflops_fp16") / n("study.fp16"),
    "tensor_peak": lambda n: tensor_peak(n) / 1e12,
    "pcie.faces_per_s": lambda n: n("pcie.out") * 1e9 / FACE_BYTES,
    "bits.gain": lambda n: n("bits.7") / n("bits.all") - 1,
    "text.file.ratio.1": lambda n: faces_a_second(n("text.file.1")) / faces_a_second(n("text.file.fprintf")),
    "text.file.ratio.16": lambda n: faces_a_second(n("text.file.16")) / faces_a_second(n("text.file.fprintf")),
    "text.fprintf.rate": lambda n: faces_a_second(n("text.file.fprintf")),
    "text.fprintf.minutes": lambda n: n("ours.65536.faces_per_s") / n("text.fprintf.rate") / 60,
    "text.file.rate.16": lambda n: faces_a_second(n("text.file.16")),
    "whole.ratio": lambda n: n("whole.peer") / n("whole.seconds"),
    "host.speedup_2": lambda n: n("host.faces_per_s.16") / n("host.faces_per_s.2"),
    "cpu.exactness": lambda n: n("cpu.one_chain") / n("cpu.runs_of_128"),
    "gpu_over_cpu": lambda n: n("ours.65536.faces_per_s") / n("host.faces_per_s.16"),
    "macs.m": lambda n: f"{FLOPS / 2e6:.1f}",
    "chunk": lambda n: CHUNK,
    "limit.fp32": lambda n: n("fma_peak.tflops") * 1e12 / FLOPS,
    "limit.three": lambda n: n("study.fp16") * 1e12 / (3 * FLOPS),
    "limit.two": lambda n: n("study.fp16") * 1e12 / (2 * FLOPS),
    "border.waste": lambda n: (100 * 8192 + sum((5 * layer.h) ** 2 * layer.c * layer.k for layer in NETWORK[1:])) / (FLOPS / 2),
    "host.first_doubling": lambda n: n("host.faces_per_s.2") / n("host.faces_per_s.1"),
    "power.limit": lambda n: f"{float(n('gpu.power').split()[0]):.0f} W",
    "profile.clock_mhz": lambda n: n("profile.tconv2")["cycles"] / n("profile.tconv2")["us"],
    **{f"profile.tensor.{layer}": lambda n, layer=layer: n(f"profile.{layer}")["tensor_active_pct"] for layer in LAYER_NAMES[1:]},
    "profile.tconv4.gb_s": lambda n: (n("profile.tconv4")["dram_read_MB"] + n("profile.tconv4")["dram_write_MB"]) * 1e3 / n("profile.tconv4")["us"],
    "two_gpus.ways": lambda n: len([way for way in n("two_gpus.same_bytes") if way["same"]]),
    "two_gpus.out": lambda n: n("two_gpus.faces_per_s") * FACE_BYTES / 1e9,
    "two_gpus.out_share": lambda n: n("two_gpus.faces_per_s") * FACE_BYTES / n("copies.together"),
    "two_gpus.short.fastest": lambda n: n("one_gpu.65536.seconds") / min(n("two_gpus.short.runs")),
    "two_gpus.short.slowest": lambda n: n("one_gpu.65536.seconds") / max(n("two_gpus.short.runs")),
    "two_gpus.noise": lambda n: n("two_gpus.short.seconds") / n("two_gpus.numa_off") - 1,
    "two_gpus.messages.slower": lambda n: n("two_gpus.messages") / n("one_gpu.before.seconds"),
    "two_gpus.messages.gb": lambda n: 65536 / 2 * FACE_BYTES / 1e9,
    "copies.four": lambda n: 4 * n("one_gpu.262144.faces_per_s") * FACE_BYTES / 1e9,
    "torch.release": lambda n: ".".join(n("torch.version").split(".")[:2]),
}


def first_version(n):
    """faces/s of the first Hopper kernels, on the device."""
    steps = n.latest("hopper-ladder")["steps"]
    return next(step for step in steps if step["products"] == 3)["measured_faces_per_s"]


# ---- How a number is written

def significant(value, digits):
    """0.0790, 51.2, 766,000: so many digits, in plain decimals."""
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{round(value, places):,.{max(places, 0)}f}"


def exponent(value, places=1):
    mantissa, power = f"{value:.{places}e}".split("e")
    return f"{mantissa}e{int(power)}"


FORMATS = {
    "": str,
    "thousands": lambda x: f"{x:,.0f}",
    "k": lambda x: f"{x / 1e3:,.0f}\u00a0k",
    "million": lambda x: f"{x / 1e6:.1f}\u00a0M",
    "M": lambda x: f"{x / 1e6:.2f}\u00a0M",
    "1": lambda x: significant(x, 1),
    "2": lambda x: significant(x, 2),
    "3": lambda x: significant(x, 3),
    "percent": lambda x: f"{100 * x:.0f} %",
    "tenths": lambda x: f"{100 * x:.1f} %",
    "GB_s": lambda x: significant(x / 1e9, 3),
    "ms": lambda x: f"{significant(1e3 * x, 3)} ms",
    "error": exponent,
    "error3": lambda x: exponent(x, 2),
}

PLACEHOLDER = re.compile(r"\{\{([^{}|]+?)(?:\|(\w+))?\}\}")


def resolve(text, numbers):
    """The text with every {{name|format}} replaced."""
    return PLACEHOLDER.sub(lambda m: FORMATS[m[2] or ""](numbers(m[1])), text)
