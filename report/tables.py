"""The report's larger tables, as Markdown: {{table:NAME}} in report.md."""
import model
from sources import CPU, GPUS, LAYER_NAMES, SPLITS, Numbers, exponent, map_bytes, multiply_adds, significant, tensor_peak, units


def table(head, align, rows):
    """Markdown; align: one of l and r a column."""
    used = [any(str(row[i]) for row in rows) for i in range(len(head))]  # a column that says nothing goes
    rule = ["---:" if a == "r" else ":---" for a in align]
    return "\n".join("| " + " | ".join(str(cell) for cell, wanted in zip(row, used) if wanted) + " |"
                     for row in (head, rule, *rows))


def layers(n: Numbers):
    """Time and rate of every layer beside its limits."""
    rows = []
    for layer in LAYER_NAMES:
        us, tflops = n(f"layers.{layer}.us"), n(f"layers.{layer}.tflops")
        tensor_us = units(layer) * 2 * multiply_adds(layer) * 2048 / tensor_peak(n) * 1e6
        memory_us = map_bytes(layer) * 2048 / (n("dram") * 1e9) * 1e6
        rows.append([layer, f"{multiply_adds(layer) / 1e6:.1f} M", f"{map_bytes(layer) / 1e3:,.0f} KB", f"{us:,.0f}",
                     f"{tflops:,.0f}", f"{100 * tflops * 1e12 / tensor_peak(n):.0f} %", f"{tensor_us:,.0f}",
                     f"{memory_us:,.0f}", "tensor" if tensor_us > memory_us else "memory"])
    return table(["layer", "multiply-adds a face", "maps a face", "µs", "TFLOP/s fp16", "of peak", "least µs, tensor",
                  "least µs, memory", "bound by"], "lrrrrrrrl", rows)


def ladder(n: Numbers):
    """Every step with what was expected and what came of it. Gain: over the last step that was kept."""
    rows, before = [], None
    for step in n.latest("hopper-ladder")["steps"]:
        rate = step["measured_faces_per_s"]
        gain = "" if not before else f"{rate / before:.1f} x" if rate > 2 * before else f"{100 * (rate / before - 1):+.1f} %"
        notes = [step["note"]] if step.get("note") else []
        if "repeated_faces_per_s" in step:
            notes.append(f"repeated: {step['repeated_faces_per_s']:,}")
        note = "".join(f" *{note[0].upper() + note[1:]}.*" for note in notes)
        rows.append([step["step"] + "." + note, step["expected"], f"{rate:,}", gain,
                     "yes" if step["kept"] else "**no**"])
        if step["kept"]:
            before = rate
    return table(["step", "expected", "faces/s", "gain", "kept"], "llrrl", rows)


def since(n: Numbers):
    """The steps after the ladder's, in whole runs."""
    rows = []
    for step in n.latest("hopper-ladder")["since"]:
        pairs = list(zip(step["before"], step["after"]))
        saved = [f"{100 * (1 - after / before):.1f}" for before, after in pairs]
        rows.append([step["step"], step["expected"], ", ".join(f"{before:.1f} to {after:.1f}" for before, after in pairs) + f" {step['unit']}",
                     f"{', '.join(saved)} %", "yes" if step["kept"] else "**no**"])
    return table(["step", "expected", "measured", "saved", "kept"], "lllll", rows)


def cpu_ladder(n: Numbers):
    rows = []
    for step in n.latest("cpu-ladder")["steps"]:
        rates = sorted(step["gflop_per_s"])
        rows.append([step["step"], step["isa"], step["tiles"], step.get("expected", ""),
                     significant(rates[len(rates) // 2], 3)])
    return table(["step", "vectors", "tiles", "expected", "GFLOP/s, one thread"], "llrlr", rows)


def sizes(n: Numbers):
    """The error by the size of a face's noise: by itself, and of every kind of kernels."""
    rows, last = [], "0"
    for size in "0.5 0.72 1 1.5 2 3 5 8 12 20 40 100 256 1000".split():
        found = {row["kernels"]: row for row in n("accuracy.rows") if row["what"] == f"rms to {size}"}
        refused = found["default"]["beyond"], found["default"]["reordered_beyond"]
        cells = [exponent(found[kind]["worst"]) if found[kind]["worst"] < 1 else "overflows"
                 for kind in ("default", "fast", "accurate", "precise")]
        rows.append([f"{last} to {size}", f"**{cells[0]}**", *cells[1:], exponent(found["default"]["reordered_worst"]), *refused])
        last = size
    return table(["rms of noise", "by itself", "fast", "accurate", "precise", "fp32, other order", "refused", "other order: refused"],
                 "lrrrrrrr", rows)


def robustness(n: Numbers):
    """What was tried to break the programs; where a row names a file of measurements, its counts are the row's."""
    rows = []
    for row in n.latest("robustness")["rows"]:
        counts = n.latest(f"{CPU}-{row['counted']}") if "counted" in row else {}
        rows.append([row["tried"], f"`{row['command']}`", row["count"].format(**counts), row["came"]])
    return table(["what was tried", "by", "how often", "what came of it"], "llll", rows)


def splits(n: Numbers):
    rows = []
    for split in n.latest(SPLITS)["splits"]:
        passes = split["share_off_by_1e-3"] == 0
        rows.append([split["split"], split["products"], split["cost"] or "", exponent(split["worst_error"]),
                     exponent(split["rms_error"]), "yes" if passes else "**no**"])
    return table(["operands", "products", "cost", "worst error", "rms error", "passes"], "lrrrrl", rows)


def tiles(n: Numbers):
    """The best and worst tile of the fp32 kernels, of each layer, with partial sums."""
    rows = []
    found = n.latest("h100-simt-tiles")["tiles"]
    for layer in ("tconv1", "tconv2", "tconv3"):
        own = sorted((t for t in found if t["layer"] == layer and t["sums"].startswith("partial")),
                     key=lambda t: -t["tflops"])
        for t in (own[0], own[-1]):
            rows.append([layer, f"{t['faces']} x {t['channels']}", t["depth"], t["stages"], t["blocks_per_sm"],
                         significant(t["tflops"], 3)])
    return table(["layer", "tile", "depth", "stages", "blocks/SM", "TFLOP/s"], "lrrrrr", rows)


def two_gpus(n: Numbers):
    """Every way to run on two GPUs, beside one GPU."""
    off = {"FACEGEN_SHARE": "shared arrays", "FACEGEN_NUMA": "NUMA placement"}
    rows = []
    for e in sorted(n.latest(GPUS)["entries"], key=lambda e: (e["faces"], e["gpus"], e["ranks"], len(e["switches"]))):
        ms = [f"{1e3 * seconds:,.1f}" for seconds in (e["seconds"], min(e["runs_s"]), max(e["runs_s"]))]
        share = e.get("efficiency", e.get("weak_efficiency"))
        rows.append([f"{e['faces']:,}", e["gpus"], e["ranks"], ", ".join(off[switch] for switch in e["switches"]), ms[0],
                     f"{ms[1]} to {ms[2]}", f"{e['faces_per_s']:,.0f}", f"{e['speed_up']:.2f}" if "speed_up" in e else "",
                     f"{100 * share:.1f} %"])
    return table(["faces", "GPUs", "ranks", "switched off", "ms", "runs, ms", "faces/s", "speed-up", "efficiency"],
                 "rrrlrrrrr", rows)


def scaling(n: Numbers):
    rows = []
    for nodes in (1, 2, 16, 128):
        p = model.predict(n, nodes)
        rows.append([nodes, nodes * model.GPUS, *(f"{significant(rate / 1e6, 3)} M" for rate in (p.computed, p.by_speed, p.as_built)),
                     p.limit])
    return table(["nodes", "GPUs", "GPUs could, faces/s", "shares by speed alone, faces/s", "as built, faces/s",
                  "as built bounded by"], "rrrrrl", rows)


def origins(n: Numbers):
    """Every measurement, and the command that repeats it."""
    rows = []
    for path in sorted(n.folder.iterdir(), key=lambda path: ("by_hand" in n.load(path), path.name)):
        kept = n.load(path)
        command = f"`{kept['command']}`" if "command" in kept else f"**no command repeats it**: {kept['by_hand']}"
        rows.append([path.stem[11:], path.stem[:10], kept.get("commit", ""), command])
    return table(["measurement", "date", "commit", "repeated by"], "llll", rows)


TABLES = {f.__name__: f for f in (layers, ladder, since, cpu_ladder, robustness, sizes, splits, tiles, two_gpus, scaling, origins)}
