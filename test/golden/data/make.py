"""Makes the goldens of this folder: PyTorch's generator (random.json), Pillow's resampling, colour conversions and
decoders (images.json, as CRC-32 of the RGB bytes), torchvision's tensors (tensor.json), and the small image files in
files/. Run: python3 make.py (the goldens below are from PyTorch 1.13, torchvision 0.14, Pillow 9.4)."""
import io
import json
import os
import zlib

import numpy as np
import torch
import torchvision.transforms as T
import torchvision.transforms.functional as F
from PIL import Image
from torch.utils.data import random_split

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, value):
    with open(os.path.join(HERE, name), "w") as file:
        json.dump(value, file, indent=1)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def floats(tensor):
    return [float(x) for x in tensor]


def make_random():
    g = generator(7)
    mixed = [floats(torch.randn(5, generator=g)), floats(torch.rand(2, generator=g)), floats(torch.randn(4, generator=g)),
             floats(torch.randn(16, generator=g)), floats(torch.randn(1, generator=g))]
    big = torch.randperm(100000, generator=generator(42))
    order = torch.randperm(1000, generator=generator(2**40 + 5)).tolist()
    write("random.json", {
        "rand": [{"seed": s, "values": floats(torch.rand(5, generator=generator(s)))} for s in (0, 42, 2**32 + 1)],
        "randn": [{"seed": s, "values": floats(torch.randn(n, generator=generator(s)))}
                  for s, n in ((0, 3), (1, 15), (0, 16), (0, 20), (3, 33))],
        "mixed": mixed,
        "randperm": [{"seed": s, "order": torch.randperm(n, generator=generator(s)).tolist()}
                     for s, n in ((0, 10), (1, 1), (2, 0), (9, 25))],
        "randperm1000": {"seed": 2**40 + 5, "crc32": zlib.crc32(np.array(order, "<u4").tobytes())},
        "randperm100000": {"seed": 42, "first10": big[:10].tolist(), "last10": big[-10:].tolist(),
                           "sumOfFirst95000": int(big[:95000].sum())},
        "split": [{"n": n, "fractions": f, "seed": 5,
                   "parts": [list(part.indices) for part in random_split(range(n), f, generator=generator(5))]}
                  for n, f in ((10, [0.95, 0.05]), (10, [0.3, 0.3, 0.4]), (7, [0.5, 0.5]), (11, [0.1] * 9 + [0.1]))],
    })


def noise(width, height, seed):
    """The image test/data/noise.ts makes of the same numbers: PyTorch's generator, one byte a draw."""
    values = torch.rand(height * width * 3, generator=generator(seed))
    return Image.fromarray((values * 256).to(torch.uint8).numpy().reshape(height, width, 3))


def smooth(width, height, seed):
    """Noise blown up: photograph-like enough for the colour conversions and the codecs."""
    return noise(7, 5, seed).resize((width, height), Image.BICUBIC)


def crc(image):
    return zlib.crc32(np.asarray(image.convert("RGB"), "u1").tobytes())


def make_images():
    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS, "box": Image.BOX,
               "hamming": Image.HAMMING, "nearest": Image.NEAREST}
    resizes = []
    for source, size, box in (((37, 29), (64, 64), None), ((64, 64), (64, 64), (3, 4, 60, 59)), ((50, 40), (7, 5), None),
                              ((50, 40), (50, 13), None), ((50, 40), (13, 40), None), ((9, 9), (31, 9), (0.7, 0, 8.3, 9)),
                              ((20, 30), (11, 17), (1.1, 2.3, 17.9, 29.7)), ((3, 1), (1, 3), None), ((64, 64), (64, 64), None),
                              ((40, 40), (8, 8), (30, 30, 40, 40))):
        for name, code in filters.items():
            image = noise(*source, 1)
            resizes.append({"source": source, "size": size, "box": box, "filter": name,
                            "crc32": crc(image.resize(size, code, box))})
    shorter = [{"source": s, "to": to, "size": F.resize(noise(*s, 2), to).size, "crc32": crc(F.resize(noise(*s, 2), to))}
               for s, to in (((40, 31), 17), ((31, 40), 17), ((31, 31), 17), ((10, 33), 23))]
    centre = [{"source": s, "size": c, "crc32": crc(F.center_crop(noise(*s, 3), (c[1], c[0])))}
              for s, c in (((40, 31), (20, 20)), ((41, 31), (20, 20)), ((41, 33), (20, 20)), ((8, 8), (8, 8)), ((43, 35), (20, 20)),
                          # Smaller than the crop: a black margin.
                          ((9, 9), (12, 15)), ((10, 7), (13, 12)), ((41, 6), (20, 9)), ((8, 37), (15, 20)))]
    # Every hue, saturation and value that matters: a coarse lattice of all colours beside noise.
    lattice = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3, indexing="ij"), -1).astype("u1").reshape(52, -1, 3)
    lattice = Image.fromarray(lattice)
    colours = []
    for name, image in (("lattice", lattice), ("noise", noise(64, 64, 4))):
        for factor in (0, 0.3, 0.77, 1, 1.2345, 1.9):
            colours.append({"image": name, "saturation": factor, "crc32": crc(F.adjust_saturation(image, factor))})
        for factor in (-0.5, -0.2, -0.003, 0, 0.05, 0.31, 0.5):
            colours.append({"image": name, "hue": factor, "crc32": crc(F.adjust_hue(image, factor))})
    write("images.json", {"resize": resizes, "shorterSide": shorter, "centreCrop": centre, "colour": colours,
                          "decode": make_files()})


def save(name, data):
    with open(os.path.join(HERE, "files", name), "wb") as file:
        file.write(data)


def encode(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def make_files():
    os.makedirs(os.path.join(HERE, "files"), exist_ok=True)
    image = smooth(33, 21, 6)
    alpha = image.copy().convert("RGBA")
    alpha.putalpha(smooth(33, 21, 7).convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "baseline.jpg": encode(image, format="jpeg", quality=80),
        "sampling-444.jpg": encode(image, format="jpeg", quality=90, subsampling=0),
        "progressive.jpg": encode(image, format="jpeg", progressive=True),
        "grayscale.jpg": encode(image.convert("L"), format="jpeg"),
        "cmyk.jpg": encode(image.convert("CMYK"), format="jpeg"),
        "rotated.jpg": encode(image, format="jpeg", exif=exif),
        "alpha.png": encode(alpha, format="png"),
        "palette.png": encode(image.quantize(16), format="png"),
        "grayscale-alpha.png": encode(alpha.convert("LA"), format="png"),
        "lossless.webp": encode(alpha, format="webp", lossless=True, exact=True),
        "lzw.tif": encode(image, format="tiff", compression="tiff_lzw"),
        "still.gif": encode(image, format="gif"),
    }
    for name, data in files.items():
        save(name, data)
    decoded = []
    for name, data in files.items():
        picture = Image.open(io.BytesIO(data))
        decoded.append({"file": name, "size": picture.size, "crc32": crc(picture)})
    return decoded


def make_tensor():
    transform = T.Compose([T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    tensor = transform(noise(16, 16, 8))
    crops = [{"width": w, "height": h, "scale": s, "crop": T.RandomResizedCrop.get_params(Image.new("RGB", (w, h)), s, (3 / 4, 4 / 3))}
             for w, h, s in ((100, 10, (1, 1)), (10, 100, (1, 1)))]
    write("tensor.json", {"crc32": zlib.crc32(tensor.numpy().astype("<f4").tobytes()), "first": floats(tensor.flatten()[:4]),
                          "fallbackCrops": crops})


make_random()
make_images()
make_tensor()
