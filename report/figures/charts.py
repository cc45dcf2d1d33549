"""Charts: what was measured."""
import model
from figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, figure, save
from sources import CPU, LAYER_NAMES, map_bytes, multiply_adds, tensor_peak, units


def finish(made, axes, to, lines="both"):
    """Lines across, the legend beside, the file."""
    axes.grid(True, axis=lines)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save(made, to)


def peers(n, to):
    """Speed against error: ours and PyTorch on one GPU."""
    made, axes = figure(2.1)
    rows = [("facegen_parallel, by itself", "ours.65536.faces_per_s", "ours.worst_error", "o", BLUE),
            ("precise kernels (mma.sync)", "mma.faces_per_s", "mma.worst_error", "^", GREEN),
            ("exact kernels (fp32)", "simt.faces_per_s", "simt.worst_error", "o", SKY),
            ("JAX, bf16 x3", "jax.BF16_BF16_F32_X3.faces_per_s", "jax.BF16_BF16_F32_X3.worst_error", "v", GREEN),
            ("JAX, bf16 x6", "jax.BF16_BF16_F32_X6.faces_per_s", "jax.BF16_BF16_F32_X6.worst_error", "<", GREEN),
            ("JAX, tf32 x3", "jax.TF32_TF32_F32_X3.faces_per_s", "jax.TF32_TF32_F32_X3.worst_error", ">", GREEN),
            ("PyTorch compiled, fp32", "torch.fp32.faces_per_s", "torch.fp32.worst_error", "s", ORANGE),
            ("PyTorch compiled, tf32", "torch.tf32.faces_per_s", "torch.tf32.worst_error", "s", RED),
            ("PyTorch compiled, fp16", "torch.fp16.faces_per_s", "torch.fp16.worst_error", "s", PINK)]
    for label, rate, error, marker, colour in rows:
        axes.plot(n(error), n(rate), marker, color=colour, markersize=8, label=label, markeredgecolor=BLACK,
                  markeredgewidth=.5, linestyle="none")
    axes.axvspan(1e-3, 3e-2, color="#eeeeee", zorder=0)
    axes.text(1.1e-3, 2.6e4, "compare_result refuses", size=7.5)
    axes.axhline(n("pcie.faces_per_s"), color=GREY, linewidth=.8, linestyle="--")
    axes.text(2.8e-2, n("pcie.faces_per_s") * 1.06, "as many faces as PCIe carries to the host", ha="right", size=7.5)
    axes.set(xscale="log", yscale="log", xlim=(1e-6, 3e-2), ylim=(2e4, 2e6), xlabel="worst error against float64",
             ylabel="faces/s, host to host")
    finish(made, axes, to)


def roofline(n, to):
    """Layers under the roofs of tensor cores and device memory."""
    made, axes = figure(2.15)
    peak, memory = tensor_peak(n), n("dram") * 1e9
    x = [10, peak / memory, 1e4]
    axes.plot(x, [min(peak, memory * at) / 1e12 for at in x], color=BLACK, linewidth=1)
    axes.text(11, memory * 11 / 1e12 * 1.5, f"memory, measured: {memory / 1e12:.1f} TB/s", rotation=36, size=7.5,
              rotation_mode="anchor")
    axes.text(1e4, peak / 1e12 * 1.06, f"every cycle at {n('clock_mhz'):,} MHz: {peak / 1e12:,.0f} TFLOP/s", ha="right", size=7.5)
    axes.axhline(n("study.fp16"), color=GREY, linewidth=.9, linestyle="--")
    axes.text(1e4, n("study.fp16") * .92, f"library product: {n('study.fp16')}", ha="right", va="top", size=7.5)
    for layer, colour, marker in zip(LAYER_NAMES, (PINK, BLUE, ORANGE, GREEN, RED), "sovD^"):
        intensity = units(layer) * 2 * multiply_adds(layer) / map_bytes(layer)
        axes.plot(intensity, n(f"layers.{layer}.tflops"), marker, color=colour, markersize=7, label=layer,
                  markeredgecolor=BLACK, markeredgewidth=.5, linestyle="none")
    axes.set(xscale="log", yscale="log", ylim=(25, 1700), xlim=(10, 1e4),
             xlabel="fp16 operations a byte of feature map (each map read and written once)", ylabel="TFLOP/s of fp16")
    finish(made, axes, to)


def cores(n, to):
    """Faces/s over threads, and the share of the peak."""
    made, (left, right) = figure(1.8, ncols=2)
    threads = [1, 2, 4, 8, 16]
    rates = [n(f"host.faces_per_s.{t}") for t in threads]
    left.plot(threads, [rates[1] / 2 * t for t in threads], "--", color=GREY, linewidth=.9,
              label="two threads' rate, times more")
    left.plot(threads, rates, "o-", color=BLUE, label="measured")
    left.set(xscale="log", yscale="log", xticks=threads, xticklabels=threads, xlabel="threads", ylabel="faces/s")
    left.minorticks_off()
    left.set(yticks=[250, 500, 1000, 2000, 4000], yticklabels=["250", "500", "1,000", "2,000", "4,000"])
    left.legend(frameon=False)
    left.grid(True)
    right.plot(threads, [100 * n(f"host.share.{t}") for t in threads], "o-", color=BLUE, label="16 cores, Intel Xeon")
    right.plot([1, 2], [100 * n(f"cpu.share.{t}") for t in (1, 2)], "s-", color=ORANGE, label="2 cores, AMD EPYC")
    right.axhline(100 * n("goal.fma_share"), color=GREY, linewidth=.9, linestyle="--")
    right.text(16, 100 * n("goal.fma_share") + 1.5, "goal", ha="right", size=7.5)
    right.set(xscale="log", xticks=threads, xticklabels=threads, xlabel="threads", ylabel="% of the FMA peak",
              ylim=(0, 105))
    right.minorticks_off()
    right.legend(frameon=False, loc="lower left")
    right.grid(True)
    save(made, to)


def whole_run(n, to):
    """Start to exit over N on two cores, beside a driver that reads and writes as the course's does."""
    made, axes = figure(1.8)
    rows = n.latest(f"{CPU}-whole-run")["entries"]
    faces = [row["faces"] for row in rows]
    axes.plot(faces, [row["peer"]["seconds"] for row in rows], "s--", color=BLACK, label="course-like driver")
    axes.plot(faces, [row["seconds"] for row in rows], "o-", color=BLUE, label="facegen_parallel")
    for stage, colour in zip(("compute", "write data", "write picture", "read noise", "initialize"),
                             (ORANGE, GREEN, PINK, SKY, RED)):
        axes.plot(faces, [max(row["stages_s"].get(stage, 0), 1e-4) for row in rows], ".-", linewidth=.8, color=colour,
                  label=f"its stage: {stage}")
    axes.set(xscale="log", yscale="log", xlabel="faces, N", ylabel="time, s")
    finish(made, axes, to)


def scaling(n, to):
    """The model over nodes."""
    made, axes = figure(1.7)
    nodes = [2 ** i for i in range(8)]
    runs = [model.predict(n, count) for count in nodes]
    axes.plot(nodes, [run.computed for run in runs], "--", color=GREY, label="all GPUs, if results could stay there")
    axes.plot(nodes, [run.as_built for run in runs], "s-", color=GREEN, label="as built: shares by speed and link")
    axes.plot(nodes, [run.by_speed for run in runs], "o-", color=BLUE, label="shares by speed alone")
    axes.set(xscale="log", yscale="log", xticks=nodes, xticklabels=nodes, xlabel="nodes of four GPUs (modelled)",
             ylabel="faces/s into rank 0")
    axes.minorticks_off()
    finish(made, axes, to)


FIGURES = (peers, roofline, cores, whole_run, scaling)
