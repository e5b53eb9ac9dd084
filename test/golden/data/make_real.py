"""Makes real.json: CRC-32 of the pixels PIL decodes from Tiny ImageNet's validation split, every 10th image.
Run: python3 make_real.py FOLDER, with tiny-imagenet-subset.zip and split-val.txt in the folder."""
import io
import json
import os
import sys
import zipfile
import zlib

import numpy as np
from PIL import Image

folder = sys.argv[1]
archive = zipfile.ZipFile(os.path.join(folder, "tiny-imagenet-subset.zip"))
paths = open(os.path.join(folder, "split-val.txt")).read().split()
checksums = []
for path in paths[::10]:
    image = Image.open(io.BytesIO(archive.read("tiny-imagenet-200/" + path)))
    checksums.append(zlib.crc32(np.asarray(image.convert("RGB")).tobytes()))
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "real.json"), "w") as file:
    json.dump({"everyTenth": checksums}, file)
