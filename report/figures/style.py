"""What all figures share: size, fonts, Okabe and Ito's colours, which the colour-blind can tell apart."""
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.patches import FancyBboxPatch, Rectangle  # noqa: E402

pyplot.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "svg.hashsalt": "facegen", "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "grid.linewidth": 0.4, "grid.color": "#cccccc",
})

BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00",
                                                      "#F0E442", "#000000")
GREY = "#999999"
PALE = {BLUE: "#cfe5f2", ORANGE: "#fbe6bf", GREEN: "#c8eadf", PINK: "#f3dfe9", SKY: "#dff0fb", RED: "#f8d8c3",
        GREY: "#eeeeee", YELLOW: "#fcf9d0"}
WIDTH = 6.9  # inches: the text's


def figure(height, **options):
    return pyplot.subplots(figsize=(WIDTH, height), layout="constrained", **options)


def canvas(height, width=100):
    """A drawing: axes without axes, `width` units across, as many units an inch down."""
    made, axes = pyplot.subplots(figsize=(WIDTH, height))
    made.subplots_adjust(0, 0, 1, 1)
    axes.set(xlim=(0, width), ylim=(0, width * height / WIDTH))
    axes.axis("off")
    return made, axes


def save(made, path):
    made.savefig(path, metadata={"Date": None})
    pyplot.close(made)


def box(axes, x, y, w, h, text="", colour=BLUE, size=8, round_corners=True, **options):
    """A box in a pale colour with a dark edge, text in its middle."""
    options = {"linewidth": 0.9, "edgecolor": colour, "facecolor": PALE[colour], **options}
    if round_corners:
        axes.add_patch(FancyBboxPatch((x + 0.5, y + 0.5), w - 1, h - 1, boxstyle="round,pad=0.5", **options))
    else:
        axes.add_patch(Rectangle((x, y), w, h, **options))
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", size=size, linespacing=1.3)


def arrow(axes, start, end, colour="#444444", **options):
    axes.annotate("", xy=end, xytext=start,
                  arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0, **options})
