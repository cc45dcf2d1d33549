#!/usr/bin/env python3
"""Trains the generator on a folder (or zip) of faces and writes network.bin.

The generator is exactly the network that the programs run (network.h). It learns against a residual discriminator:
non-saturating logistic loss, gradient penalty on real images every few steps, the same random colour changes and shifts
for real and generated images, Adam with a rate that falls over the last 40 % of the planned time, averaged weights.
Array shapes are given as (images, channels, height, width) where PyTorch is at work and (images, height, width,
channels), the programs' own order, everywhere else.
"""

import argparse
import functools
import hashlib
import io
import json
import math
import os
import signal
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

try:
    import torch
    from PIL import Image, ImageOps
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    sys.exit(f"train_network.py: {error}. Training needs PyTorch, Pillow and NumPy: pip install torch pillow numpy")

import network_file
from convert_network import WORST, Missing, from_arrays, program_faces
from network_file import CUT, EPS, FILTER, LAYERS, PROJ, STRIDE, TCONVS, Failure, write_atomically

ROOT = Path(__file__).resolve().parent.parent
NOISE = PROJ.c
FACE = LAYERS[-1].out_h  # a face is (FACE, FACE, 3)

# ---- How it is trained

RATE = 2.5e-4  # Adam's step size
BETAS = (0.0, 0.99)
FALL = 0.4  # the rate falls over this last share of the planned time,
LOWEST = 0.02  # to this share of RATE
PENALTY, PENALTY_EVERY = 0.5, 16  # weight of the gradient penalty; steps from one to the next
AVERAGE = 0.9995  # how much of the averaged weights stays at each step
CLIP = 4.0  # a gradient may be this many times longer than the running mean of its length
SHIFT = 6  # pixels that an image may move
STATISTICS = (100, 512)  # batches and faces a batch from which batch normalisation's statistics are measured
SHEET = 10  # a sheet shows SHEET x SHEET faces
SHOW = 15  # seconds between two lines of progress


class Generator(nn.Module):
    """Noise (n, 100) -> faces (n, 3, 64, 64) in -1..1."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(PROJ.c, PROJ.out_h * PROJ.out_h * PROJ.k)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer.k, eps=EPS) for layer in LAYERS if layer.batch_norm)
        self.tconvs = nn.ModuleList(
            nn.ConvTranspose2d(layer.c, layer.k, FILTER, stride=STRIDE, padding=CUT) for layer in TCONVS
        )
        for module in (self.proj, *self.tconvs):
            nn.init.normal_(module.weight, 0.0, 0.02)
            nn.init.zeros_(module.bias)
        for norm in self.norms:
            nn.init.normal_(norm.weight, 1.0, 0.02)

    def forward(self, noise):
        x = self.proj(noise).view(-1, PROJ.out_h, PROJ.out_h, PROJ.k).permute(0, 3, 1, 2)
        for layer, norm, tconv in zip(TCONVS, self.norms, self.tconvs):
            x = tconv(F.relu(norm(x)))[:, :, : layer.out_h, : layer.out_h]
        return torch.tanh(x)


class HalvingBlock(nn.Module):
    """(n, c, h, h) -> (n, k, h/2, h/2): two 3x3 convolutions beside a pooled 1x1."""

    def __init__(self, c, k):
        super().__init__()
        self.first = nn.Conv2d(c, c, 3, padding=1)
        self.second = nn.Conv2d(c, k, 3, stride=2, padding=1)
        self.beside = nn.Conv2d(c, k, 1, bias=False)

    def forward(self, x):
        deep = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
        return (deep + self.beside(F.avg_pool2d(x, 2))) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Images (n, 3, 64, 64) -> (n, 1): above 0 for real, below for generated. n is a multiple of 4."""

    CHANNELS = (64, 128, 256, 512, 512)  # at 64, 32, 16, 8 and 4 pixels
    GROUP = 4  # images whose spread is taken together

    def __init__(self):
        super().__init__()
        deepest = self.CHANNELS[-1]
        self.entry = nn.Conv2d(3, self.CHANNELS[0], 3, padding=1)
        self.blocks = nn.Sequential(*(HalvingBlock(c, k) for c, k in zip(self.CHANNELS, self.CHANNELS[1:])))
        self.last = nn.Conv2d(deepest + 1, deepest, 3, padding=1)
        self.hidden = nn.Linear(4 * 4 * deepest, 512)
        self.verdict = nn.Linear(512, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, 0.2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.blocks(F.leaky_relu(self.entry(x), 0.2))
        # One more channel: how much the images of a group differ. It gives a generator whose faces are alike away.
        n = x.shape[0]
        grouped = x.float().reshape(self.GROUP, n // self.GROUP, *x.shape[1:])
        spread = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(self.GROUP)
        spread = spread.view(n, 1, 1, 1).expand(n, 1, *x.shape[2:]).to(x.dtype)
        x = F.leaky_relu(self.last(torch.cat((x, spread), 1)), 0.2)
        return self.verdict(F.leaky_relu(self.hidden(x.flatten(1)), 0.2))


def change_colours(x):
    """x (n, 3, h, h) with random brightness, saturation and contrast, each image its own."""
    brightness, saturation, contrast = torch.rand(3, x.shape[0], 1, 1, 1, device=x.device)
    x = x + (brightness - 0.5) * 0.4
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (saturation + 0.5)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def shift(x):
    """x (n, c, h, h), each image moved by up to SHIFT pixels both ways, mirrored at the border."""
    n, _, size, _ = x.shape
    move = torch.randint(-SHIFT, SHIFT + 1, (2, n, 1), device=x.device)
    source = (torch.arange(size, device=x.device) + move).abs()
    rows, columns = (size - 1) - ((size - 1) - source).abs()  # (n, size) each
    image = torch.arange(n, device=x.device)
    moved = x.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


class Clip(nn.Module):
    """Shortens a gradient that is far longer than it usually is, and never waits for the GPU."""

    def __init__(self):
        super().__init__()
        self.register_buffer("usual", torch.zeros(()))  # running mean of the length; 0: none yet

    def forward(self, parameters):
        gradients = [parameter.grad for parameter in parameters]
        length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        usual = torch.where(self.usual > 0, self.usual, length)
        shortened = torch.minimum(length, CLIP * usual)
        torch._foreach_mul_(gradients, shortened / (length + 1e-12))
        self.usual.copy_(torch.lerp(usual, shortened, 0.02))


# ---- Images

def files_in(path):
    """Yields the bytes of every file in a folder (with its subfolders) or a zip, by name."""
    if path.is_dir():
        yield from (file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file())
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in sorted(archive.namelist()) if not name.endswith("/"))
    else:
        raise Failure(f"'{path}' is no folder and no zip of images")


def decode(data):
    """The bytes of an image file -> uint8 (64, 64, 3), or None where it is no image."""
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError):
        return None
    if image.size == (178, 218):  # CelebA's aligned images have the face in the middle 108x108
        image = image.crop((35, 55, 143, 163))
    return np.asarray(ImageOps.fit(image, (FACE, FACE), Image.Resampling.BICUBIC))  # of the largest middle square


def load_images(path, least):
    """-> every image under path, uint8 (n, 64, 64, 3), and how many files were none."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = list(pool.map(decode, files_in(path)))
    images = [image for image in decoded if image is not None]
    if len(images) < least:
        raise Failure(f"'{path}' holds {len(images)} images among {len(decoded)} files: at least {least} are needed")
    return np.stack(images), len(decoded) - len(images)


def say(path, text):
    """To the terminal and to the log."""
    print(text, flush=True)
    with open(path, "a", encoding="utf-8") as file:
        print(text, file=file)


# ---- Training


class Training:
    """Both nets, the averaged generator, their optimisers and the time spent: all that a checkpoint holds."""

    def __init__(self, images, batch, device, compiled):
        """images: uint8 (n, 64, 64, 3)."""
        self.batch, self.device = batch, device
        self.images = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)  # channels stay innermost
        self.generator = Generator().to(device, memory_format=torch.channels_last)
        self.discriminator = Discriminator().to(device, memory_format=torch.channels_last)
        self.averaged = Generator().to(device)
        self.averaged.load_state_dict(self.generator.state_dict())
        self.optimisers = [torch.optim.Adam(net.parameters(), RATE, BETAS, fused=device.type == "cuda")
                           for net in (self.generator, self.discriminator)]
        self.clips = nn.ModuleList(Clip() for _ in range(3)).to(device)  # generator, discriminator, the same with penalty
        self.step, self.seconds = 0, 0.0
        compile_if = torch.compile if compiled else (lambda function: function)
        self.generate, self.judge = compile_if(self.generator), compile_if(self.discriminator)
        self.recolour = compile_if(change_colours)

    def parts(self):
        """What has a state of its own, by name."""
        return {"generator": self.generator, "discriminator": self.discriminator, "averaged": self.averaged,
                "generator_steps": self.optimisers[0], "discriminator_steps": self.optimisers[1], "clips": self.clips}

    def save(self, path):
        """Writes a checkpoint, but never over a good one when the weights are lost."""
        for net in (self.generator, self.discriminator):
            if not all(torch.isfinite(parameter).all() for parameter in net.parameters()):
                raise Failure(f"the weights are no numbers any more after step {self.step:,}: nothing was saved")
        state = {name: part.state_dict() for name, part in self.parts().items()}
        write_atomically(path, lambda file: torch.save({"step": self.step, "seconds": self.seconds, **state}, file))

    def load(self, path):
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            for name, part in self.parts().items():
                part.load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]
        except Exception as error:  # torch.load raises whatever its parts raise
            raise Failure(f"'{path}' is no checkpoint of this script ({type(error).__name__}): move it away to start "
                          "anew") from error

    def noise(self, n):
        """Noise (n, 100), uniform in -1..1."""
        return torch.rand(n, NOISE, device=self.device) * 2 - 1

    def real(self):
        """A batch of training images (batch, 3, 64, 64) in -1..1, half of them mirrored."""
        x = self.images[torch.randint(0, len(self.images), (self.batch,), device=self.device)].float() / 127.5 - 1
        mirrored = torch.rand(self.batch, 1, 1, 1, device=self.device) < 0.5
        return torch.where(mirrored, x.flip(3), x).contiguous(memory_format=torch.channels_last)

    def augment(self, x):
        return shift(self.recolour(x))

    def mixed_precision(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def train_discriminator(self):
        with self.mixed_precision():
            with torch.no_grad():
                fake = self.generate(self.noise(self.batch))
            loss = F.softplus(self.judge(self.augment(fake))).mean()
            loss = loss + F.softplus(-self.judge(self.augment(self.real()))).mean()
        optimiser = self.optimisers[1]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        penalised = self.step % PENALTY_EVERY == 0
        if penalised:
            # Its verdict on real images must not be steep. Differentiated twice, which compiled code cannot be.
            x = self.augment(self.real()).detach().requires_grad_()
            with self.mixed_precision():
                total = self.discriminator(x).float().sum()
            (slope,) = torch.autograd.grad(total, x, create_graph=True)
            steepness = slope.float().pow(2).sum((1, 2, 3)).mean()
            (PENALTY / 2 * PENALTY_EVERY * steepness).backward()
        self.clips[2 if penalised else 1](self.discriminator.parameters())
        optimiser.step()
        return loss.detach()

    def train_generator(self):
        with self.mixed_precision():
            loss = F.softplus(-self.judge(self.augment(self.generate(self.noise(self.batch))))).mean()
        optimiser = self.optimisers[0]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.clips[0](self.generator.parameters())
        optimiser.step()
        return loss.detach()

    def train_step(self, share_done):
        """One step of both nets. share_done: of the planned time, 0..1. Returns both losses, still on the device."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, max(LOWEST, (1 - share_done) / FALL))
        losses = torch.stack((self.train_discriminator(), self.train_generator()))
        # Early on the average forgets faster: it reaches back over a tenth of the steps.
        keep = min(AVERAGE, 1 - 1 / (self.step / 10 + 2))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.generator.parameters()), 1 - keep)
        self.step += 1
        return losses

    @torch.no_grad()
    def draw(self, path):
        """A sheet of the same hundred faces every time, by the averaged weights."""
        noise = torch.rand(SHEET * SHEET, NOISE, generator=torch.Generator().manual_seed(1)) * 2 - 1
        pixels = ((self.averaged(noise.to(self.device)).cpu() + 1) / 2 * 255).clamp(0, 255).to(torch.uint8)
        sheet = pixels.view(SHEET, SHEET, 3, FACE, FACE).permute(0, 3, 1, 4, 2).reshape(SHEET * FACE, SHEET * FACE, 3)
        write_atomically(path, lambda file: Image.fromarray(sheet.numpy()).save(file, "PNG", optimize=True))

    @torch.no_grad()
    def measure_statistics(self, batches, faces):
        """Sets the averaged generator's batch normalisation to the statistics under its own weights, in float32."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        for norm in self.averaged.norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over all batches
        self.averaged.train()
        for _ in range(batches):
            self.averaged(self.noise(faces))
        self.averaged.eval()


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def train(training, options, log, out):
    """Trains until this sitting's time or steps are used up -> what run.json says of it, or None: interrupted."""
    interrupted = []

    def interrupt(number, _frame):  # stops after the step under way; a second one ends the program
        interrupted.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    planned = options.minutes * 60
    sitting = max(0.0, planned - training.seconds) if options.minutes_now is None else options.minutes_now * 60
    steps = math.inf if options.steps_now is None else options.steps_now
    first, before, shown_step = training.step, training.seconds, training.step
    drawn_at = saved_at = shown_at = elapsed = preparing = 0.0
    sums = torch.zeros(2, device=training.device)  # of the losses since they were last shown
    begin = time.monotonic()

    def show():
        """Rate and mean losses since the last call (waits for the device); stops where they are no numbers."""
        nonlocal shown_step, shown_at
        losses = (sums / max(1, training.step - shown_step)).tolist()
        if not math.isfinite(sum(losses)):
            raise Failure(f"the losses are no numbers any more after step {training.step:,} (discriminator {losses[0]}, "
                          f"generator {losses[1]}): run again to go on from the last checkpoint")
        rate = (training.step - shown_step) * training.batch / max(elapsed - shown_at, 1e-9)
        left = clock(max(0.0, sitting - elapsed)) if steps == math.inf else f"{first + steps - training.step} steps"
        log(f"step {training.step:,}  {rate:,.0f} images/s  losses {losses[0]:.3f} {losses[1]:.3f}  {left} left")
        shown_step, shown_at = training.step, elapsed
        sums.zero_()

    while elapsed < sitting and training.step - first < steps and not interrupted:
        sums += training.train_step(min(1.0, (before + elapsed) / planned))
        if training.step == first + 1:  # the first step also compiles: the clock starts after it
            sums.zero_().tolist()  # waits for the device
            preparing, begin, shown_step = time.monotonic() - begin, time.monotonic(), training.step
            log(f"first step after {preparing:.0f} s of preparing; the clock starts now")
        elapsed = time.monotonic() - begin
        training.seconds = before + elapsed
        if elapsed - shown_at >= SHOW:
            show()
        if elapsed - drawn_at >= options.sheet_minutes * 60:
            drawn_at = elapsed
            training.draw(out / f"sheets/step_{training.step:06d}.png")
        if elapsed - saved_at >= options.checkpoint_minutes * 60:
            saved_at = elapsed
            training.save(out / "checkpoint.pt")
    if training.step > first:
        if training.step > shown_step:
            show()
        elapsed = time.monotonic() - begin
        training.seconds = before + elapsed
        training.save(out / "checkpoint.pt")
        training.draw(out / f"sheets/step_{training.step:06d}.png")
    if interrupted:
        log(f"Stopped at step {training.step:,} after {clock(training.seconds)} min in all; the checkpoint is saved. "
            "The same command goes on from there; with --minutes-now 0 it exports what there is.")
        return None
    done = training.step - first
    return {"steps_this_sitting": done, "seconds_this_sitting": round(elapsed, 1),
            "seconds_of_first_step": round(preparing, 1),
            "images_per_second": round((done - 1) * training.batch / elapsed) if done > 1 else None,
            "steps": training.step, "seconds": round(training.seconds, 1)}


# ---- Export and its checks


def export(training, program, log, out):
    """Writes network.bin, once `program` draws the same ten faces by it as PyTorch in float64, and the last sheet ->
    what run.json says of them."""
    training.measure_statistics(*(STATISTICS if training.device.type == "cuda" else (4, 64)))
    training.draw(out / "sheet.png")
    state = {name: tensor.detach().cpu().numpy() for name, tensor in training.averaged.state_dict().items()}
    parts = from_arrays(state, "the trained network")
    network_file.check(parts, "the trained network")
    content = network_file.join(parts).tobytes()
    unchecked = out / "network.unchecked.bin"
    unchecked.write_bytes(content)
    noise = np.round(np.random.default_rng(2).uniform(-1, 1, (10, NOISE)), 6)
    with torch.no_grad():
        wanted = training.averaged.double().cpu()(torch.from_numpy(noise)).permute(0, 2, 3, 1).numpy()
    worst = float(np.abs(program_faces(program, unchecked, noise) - wanted).max())
    if not worst < WORST:
        raise Failure(f"'{unchecked}' is wrong: '{program}' differs from PyTorch by {worst:.2g} on ten faces (< {WORST} "
                      "wanted)")
    os.replace(unchecked, out / "network.bin")
    log(f"Checked: '{program}' differs from PyTorch (float64) by {worst:.2g} at most on ten faces.")
    log(f"Wrote '{out / 'network.bin'}' and '{out / 'sheet.png'}'.")
    return {"network_sha256": hashlib.sha256(content).hexdigest(), "worst_difference": worst, "checked_by": str(program)}


# ---- The command

HELP = """\
It needs PyTorch, Pillow and NumPy (pip install torch pillow numpy; run with PyTorch 2.11), a GPU from NVIDIA (one H100
trains the shipped network in 17.5 minutes; a slower card wants a larger --minutes, a small one a smaller --batch; the CPU
will do to try it out: --batch 8 --steps-now 3), 12 KB of memory for each image, and some 20,000 images of faces, of any
size: CelebA's aligned ones (178x218) are cropped as usual, of others the middle square is taken.

In --out it leaves network.bin (the averaged weights, checked), sheet.png (a hundred faces by it), sheets/ (the same
hundred during training), log.txt, run.json, and checkpoint.pt (250 MB), from which the same command goes on; Ctrl-C saves it.

examples:
  scripts/train_network.py --images celeba64.zip --out training --minutes 17.5
  scripts/train_network.py --images faces/ --out training --minutes 60 --minutes-now 20    (three times)
  scripts/train_network.py --images faces/ --out training --minutes 60 --minutes-now 0     (only export)
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)

    def number(kind, wanted, good):
        def parse(text):
            value = kind(text)
            if not (good(value) and value < math.inf):
                raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}")
            return value
        return parse

    positive = number(float, "above 0", lambda value: value > 0)
    not_negative = number(float, "0 or more", lambda value: value >= 0)
    group = Discriminator.GROUP
    batch_size = number(int, f"a multiple of {group}", lambda value: value > 0 and value % group == 0)
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="PATH", help="folder or zip of training images")
    add("--out", type=Path, required=True, metavar="DIR", help="where everything goes; made where it is missing")
    add("--minutes", type=positive, default=17.5, help="planned in all, over all sittings (default: %(default)s)")
    add("--minutes-now", type=not_negative, metavar="MINUTES", help="this sitting (default: what is left of --minutes)")
    add("--steps-now", type=int, metavar="N", help="most steps in this sitting")
    add("--batch", type=batch_size, default=256, metavar="N", help="images a step, a multiple of 4 (default: 256)")
    add("--reference", type=Path, default=ROOT / "facegen_seq", metavar="PROGRAM",
        help="reference program that checks the export (default: %(default)s)")
    add("--sheet-minutes", type=positive, default=1.0, metavar="MINUTES", help="between two sheets (default: 1)")
    add("--checkpoint-minutes", type=positive, default=2.0, metavar="MINUTES",
        help="between two checkpoints (default: 2)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu",
        help="cuda, cuda:1, cpu (here: %(default)s)")
    add("--no-compile", action="store_true", help="do without torch.compile: slower, starts at once")
    add("--seed", type=int, default=1, help="of the first weights and all draws (default: %(default)s)")
    return parser.parse_args()


def run(options):
    if not options.reference.is_file():
        raise Missing(f"there is no '{options.reference}' to check the network with at the end: `make seq` builds it")
    (options.out / "sheets").mkdir(parents=True, exist_ok=True)
    log = functools.partial(say, options.out / "log.txt")
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    log(f"PyTorch {torch.__version__} on {name}, batches of {options.batch}")

    began = time.monotonic()
    images, skipped = load_images(options.images, least=4)
    log(f"{len(images):,} images from '{options.images}' in {time.monotonic() - began:.1f} s; "
        f"{skipped} files were no images")

    checkpoint = options.out / "checkpoint.pt"
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    training = Training(images, options.batch, device, compiled=on_gpu and not options.no_compile)
    if checkpoint.exists():
        training.load(checkpoint)
        torch.manual_seed(options.seed + training.step)  # other draws than those before
        log(f"going on from step {training.step:,}, {clock(training.seconds)} min of {clock(options.minutes * 60)}")

    figures = train(training, options, log, options.out)
    if figures is None:
        return 130
    figures |= export(training, options.reference, log, options.out)
    record = {"images": len(images), "batch": options.batch, "planned_minutes": options.minutes, "device": name,
              "torch": torch.__version__, **figures}
    write_atomically(options.out / "run.json", lambda file: file.write((json.dumps(record, indent=2) + "\n").encode()))
    log(f"Done: {training.step:,} steps in {clock(training.seconds)} min.")
    return 0


def main():
    options = parse_arguments()
    try:
        return run(options)
    except torch.cuda.OutOfMemoryError:
        print(f"train_network.py: the GPU's memory is too small for batches of {options.batch}: try --batch "
              f"{max(4, options.batch // 8 * 4)}", file=sys.stderr)
        return 1
    except (Failure, OSError, Missing) as error:
        print(f"train_network.py: {error}", file=sys.stderr)
        return 3 if isinstance(error, Missing) else 1


if __name__ == "__main__":
    sys.exit(main())
