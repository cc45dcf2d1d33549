"""Drawings: how a run is laid out, a layer cut up, a tile computed, a pipeline filled."""
from figures.style import (BLACK, BLUE, GREEN, GREY, ORANGE, PALE, PINK, RED, SKY, arrow, box, canvas, figure, save)
from matplotlib.patches import Rectangle
from sources import CHUNK, FACE_BYTES, LAYER_NAMES, multiply_adds


def path(n, to):
    """The way of one noise vector, and where each stage is cut into parts."""
    made, axes = canvas(2.75)
    stages = [("noise", "100", GREY), ("proj", "4 x 4 x 512", BLUE), ("tconv1", "8 x 8 x 256", BLUE),
              ("tconv2", "16 x 16 x 128", BLUE), ("tconv3", "32 x 32 x 64", BLUE), ("tconv4", "64 x 64 x 3", BLUE),
              ("face", "49,152 B", GREY)]
    for i, (name, shape, colour) in enumerate(stages):
        x = 1 + i * 14.2
        box(axes, x, 25, 11.6, 9, f"{name}\n{shape}", colour)
        if i:
            arrow(axes, (x - 2.6, 29.5), (x, 29.5))
        if name in LAYER_NAMES:
            axes.text(x + 5.8, 36, f"{multiply_adds(name) / 1e6:.1f} M", ha="center", size=7.5)
    axes.text(1, 38.3, "multiply-adds a face:", size=7.5, va="center")
    for i, what in enumerate(["BN, ReLU", "BN, ReLU", "BN, ReLU", "BN, ReLU", "bias, tanh"]):
        axes.text(1 + (i + 1) * 14.2 + 5.8, 23, what, ha="center", size=7, color="#444444")
    rows = [("ranks (MPI)", "rank 0 sends every rank its share of the noise; faces come back chunk by chunk", GREEN),
            ("devices (threads)", "one host thread drives each GPU; chunks go to whoever is free", ORANGE),
            ("chunks (streams)", "copy in, compute, copy out of different chunks at the same time", PINK),
            ("tiles (blocks)", "128 faces at one output position x 256 columns: one multiprocessor", SKY),
            ("warpgroups", "64 faces each multiply; one thread feeds them", RED)]
    for i, (level, what, colour) in enumerate(rows):
        y = 16.2 - i * 4
        box(axes, 1 + 3 * i, y, 19, 3.5, level, colour, size=7.5)
        axes.text(22.5 + 3 * i, y + 1.75, what, va="center", size=7.5)
    save(made, to)


def phases(n, to):
    """5 x 5 taps over a 3 x 3 neighbourhood: which of them each of the four output pixels takes."""
    made, axes = canvas(2.35)
    colours = {(0, 0): BLUE, (0, 1): ORANGE, (1, 0): GREEN, (1, 1): PINK}
    # left: the filter, coloured by phase
    x0, y0, s = 5, 4, 4.6
    for r in range(5):
        for q in range(5):
            phase = ((r + 1) % 2, (q + 1) % 2)
            axes.add_patch(Rectangle((x0 + q * s, y0 + (4 - r) * s), s, s, facecolor=PALE[colours[phase]],
                                     edgecolor=colours[phase], linewidth=0.8))
            axes.text(x0 + (q + .5) * s, y0 + (4.5 - r) * s, f"{r},{q}", ha="center", va="center", size=6.5)
    axes.text(x0 + 2.5 * s, y0 + 5 * s + 1.6, "filter taps (r, s), by phase", ha="center", size=8)
    # right: for each phase the input pixels and taps it gathers
    for i, ((a, b), colour) in enumerate(colours.items()):
        x, s3 = 34 + i * 16.6, 4.6
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                r, q = a + 1 - 2 * di, b + 1 - 2 * dj
                used = 0 <= r < 5 and 0 <= q < 5
                px, py = x + (dj + 1) * s3, 10 + (1 - di) * s3
                axes.add_patch(Rectangle((px, py), s3, s3, facecolor=PALE[colour] if used else "white",
                                         edgecolor=colour if used else "#bbbbbb", linewidth=0.8))
                if used:
                    axes.text(px + s3 / 2, py + s3 / 2, f"{r},{q}", ha="center", va="center", size=6.5)
        taps = (2 + a) * (2 + b)
        axes.text(x + 1.5 * s3, 28.6, f"output (2i{'+1' if a else ''}, 2j{'+1' if b else ''})", ha="center", size=7.5)
        axes.text(x + 1.5 * s3, 25.4, f"{taps} taps", ha="center", size=7.5, color="#444444")
    axes.text(34 + 1.5 * 16.6 + 6.9, 5.2, "input pixels (i-1..i+1, j-1..j+1), and the tap by which each enters the sum",
              ha="center", size=7.5)
    save(made, to)


def tile(n, to):
    """The Hopper product kernel: who holds what in one multiprocessor."""
    made, axes = canvas(3.5)
    # shared memory
    axes.add_patch(Rectangle((24, 5), 45, 44, facecolor="white", edgecolor="#666666", linewidth=0.8, linestyle=(0, (4, 2))))
    axes.text(46.5, 47, "shared memory: 229,376 of 232,448 bytes", ha="center", va="center", size=8)
    for i in range(4):
        y = 37 - i * 7.5
        box(axes, 26, y, 13, 6.2, "128 faces\n16 KB", BLUE, size=7, round_corners=False)
        box(axes, 39, y, 22, 6.2, "256 columns of weights\n32 KB, half from each block", ORANGE, size=7, round_corners=False)
        axes.text(61.7, y + 3.1, f"stage {i}", va="center", size=6.5, color="#444444")
    axes.text(46.5, 12.7, "a stage: a block of each row, 48 KB; two barriers", ha="center", va="center", size=7.5)
    box(axes, 26, 6.3, 35, 4.6, "results on their way out: 2 x 2 x 8 KB", GREEN, size=7, round_corners=False)
    # sides
    box(axes, 1, 31, 17, 11, "feeding thread\n56 registers\ntakes tiles,\nheaviest first", PINK, size=7.5)
    box(axes, 1, 9, 17, 12, "device memory, L2:\nmaps (H, W, N, C)\nas hi, lo; weights\nby phase", GREY, size=7)
    arrow(axes, (18, 37), (26, 37))
    axes.text(22, 38, "asks", ha="center", size=7)
    arrow(axes, (18, 17), (26, 26), colour=BLUE)
    axes.text(19.2, 24.5, "bulk\ncopies", ha="center", size=7)
    for g in range(2):
        y = 30 - g * 15
        box(axes, 76, y, 23, 13, f"warpgroup {g}: 64 faces\n128 fp32 sums a thread\nlo hi' + hi lo' + hi hi'\n(tconv1 to 3: the first two in fp8)\nscale, shift, ReLU, split",
            RED, size=7)
        arrow(axes, (69, 32 - 2 * g), (76, y + 7.5), colour=RED)
    arrow(axes, (76, 18), (61, 9), colour=GREEN)
    arrow(axes, (26, 8.3), (18, 11.5), colour=GREEN)
    axes.text(50, 1.8, "tile: 128 faces at one position x 256 columns (K channels of 1, 2 or 4 phases)", ha="center", size=8)
    save(made, to)


def chunks(faces, largest):
    """plan_chunks of run/chunks.cpp for one device."""
    least, first, plan = largest // 8, 0, []
    while first < faces:
        rising = least << min(len(plan), 3)
        falling = (faces - first) // 2 // least * least
        plan.append(min(rising, max(falling, least), largest, faces - first))
        first += plan[-1]
    return plan


def timeline(n, to):
    """The streams of a run of 8,192 faces, drawn to scale from measured rates: chunks as the program cuts them."""
    made, axes = figure(2.3)
    rate, out_rate = n("on_device.faces_per_s"), n("pcie.out") * 1e9 / FACE_BYTES
    in_rate, load = n("pcie.in") * 1e9, n("load.us") * 1e-6
    colours = [BLUE, ORANGE, GREEN, PINK, SKY, RED]
    network_in = 20549132 / in_rate
    axes.broken_barh([(0, 1e3 * network_in)], (4.1, .8), facecolor=PALE[GREY], edgecolor=GREY)
    axes.broken_barh([(1e3 * network_in * .2, 1e3 * (network_in * .8 + load / 4))], (3.1, .8), facecolor=PALE[GREY],
                     edgecolor=GREY)
    ready_in, gpu, out = 0.0, network_in * .25, 0.0
    for i, faces in enumerate(chunks(8192, CHUNK)):
        colour = colours[i % len(colours)]
        copy_in = faces * 400 / in_rate
        axes.broken_barh([(1e3 * ready_in, 1e3 * copy_in)], (2.1, .8), facecolor=PALE[colour], edgecolor=colour)
        ready_in += copy_in
        start = max(gpu, ready_in)
        gpu = start + faces / rate
        axes.broken_barh([(1e3 * start, 1e3 * (gpu - start))], (1.1, .8), facecolor=PALE[colour], edgecolor=colour)
        axes.text(1e3 * (start + gpu) / 2, 1.5, f"{faces:,}" if faces > 300 else "", ha="center", va="center", size=6.5)
        begin = max(gpu, out)
        out = begin + faces / out_rate
        axes.broken_barh([(1e3 * begin, 1e3 * (out - begin))], (.1, .8), facecolor=PALE[colour], edgecolor=colour)
    axes.set(yticks=[4.5, 3.5, 2.5, 1.5, .5], ylim=(0, 5), xlabel="time, ms",
             yticklabels=["upload: network in", "pack: weights split", "in: noise", "two lanes: layers", "out: faces"])
    axes.set_xlim(0, 1e3 * out * 1.01)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    save(made, to)


def gather_scatter(n, to):
    """tconv4: products of one input row kept in shared memory, collected by output rows."""
    made, axes = canvas(1.6)
    box(axes, 1, 8, 20, 13, "input row h of 4 faces\n128 (pixel, face) rows\nx 64 channels: 32 KB", BLUE, size=7.5)
    box(axes, 27, 8, 18, 13, "25 taps x 3 channels\n75 columns of 80\nweights: 20 KB", ORANGE, size=7.5)
    for i, name in enumerate(("h - 1", "h", "h + 1")):
        box(axes, 51.5, 16.4 - i * 5.6, 23, 5, f"products of row {name}: 44 KB", RED, size=7, round_corners=False)
    box(axes, 80, 8, 19, 13, "output rows 2h, 2h + 1\n4, 6 or 9 products each\nscale, shift, tanh", GREEN, size=7.5)
    axes.text(24, 14.5, "x", ha="center", va="center", size=11, color=BLACK)
    arrow(axes, (45, 14.5), (51.5, 14.5))
    arrow(axes, (74.5, 14.5), (80, 14.5))
    axes.text(48.2, 15.5, "wgmma", ha="center", size=7)
    axes.text(77.2, 15.5, "gather", ha="center", size=7)
    axes.text(50, 2, "row h + 2 is multiplied by two warpgroups while all three collect rows 2h and 2h + 1", ha="center", size=7.5)
    save(made, to)


FIGURES = (path, phases, tile, timeline, gather_scatter)
