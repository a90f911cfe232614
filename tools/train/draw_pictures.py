"""Draw the example pictures of models/cifar10: a ship, an airplane, a truck.

Usage: draw_pictures.py FOLDER
"""

import pathlib
import random
import sys

from PIL import Image, ImageDraw, ImageFilter

SIZE = 256


def gradient(top, bottom):
    """A picture that fades from one colour to another, with a little noise."""
    noise = random.Random(1)
    picture = Image.new('RGB', (SIZE, SIZE))
    for y in range(SIZE):
        part = y / SIZE
        for x in range(SIZE):
            jitter = noise.randint(-4, 4)
            picture.putpixel((x, y), tuple(
                round(a + (b - a) * part) + jitter for a, b in zip(top, bottom)))
    return picture


def ship():
    """A cargo ship on a calm sea."""
    picture = gradient((150, 185, 215), (205, 220, 228))
    draw = ImageDraw.Draw(picture)
    for y in range(160, SIZE):
        shade = (y - 160) // 3
        draw.line([(0, y), (SIZE, y)], fill=(52 + shade, 92 + shade, 128 + shade))
    draw.polygon([(14, 132), (244, 132), (224, 182), (36, 182)], fill=(60, 42, 46))
    draw.polygon([(22, 160), (234, 160), (224, 182), (36, 182)], fill=(150, 48, 40))
    draw.rectangle([160, 84, 214, 132], fill=(238, 238, 234))
    draw.rectangle([168, 64, 206, 84], fill=(225, 225, 222))
    for x in range(170, 206, 10):
        draw.rectangle([x, 70, x + 5, 76], fill=(60, 70, 85))
    draw.rectangle([180, 40, 194, 64], fill=(170, 60, 45))
    for x, colour in ((40, (190, 90, 60)), (68, (70, 110, 150)), (96, (180, 150, 70)),
                      (124, (90, 130, 90))):
        draw.rectangle([x, 108, x + 25, 132], fill=colour)
    draw.line([(60, 108), (60, 60)], fill=(90, 90, 95), width=3)
    draw.line([(14, 183), (244, 183)], fill=(190, 205, 215), width=3)
    return picture


def airplane():
    """An airliner from the side, against the sky."""
    picture = gradient((92, 142, 205), (188, 212, 235))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([20, 108, 236, 146], fill=(235, 237, 240))
    draw.polygon([(30, 126), (8, 62), (38, 62), (74, 118)], fill=(205, 210, 218))
    draw.polygon([(112, 132), (78, 208), (104, 208), (168, 134)], fill=(178, 184, 194))
    draw.polygon([(120, 112), (100, 66), (118, 66), (160, 110)], fill=(196, 201, 210))
    draw.ellipse([108, 150, 142, 166], fill=(120, 126, 138))
    for x in range(70, 206, 12):
        draw.rectangle([x, 118, x + 5, 123], fill=(70, 80, 98))
    draw.polygon([(212, 116), (230, 122), (214, 124)], fill=(50, 58, 75))
    return picture


def truck():
    """A lorry from the side, on a road."""
    picture = gradient((170, 195, 215), (215, 222, 222))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 176, SIZE, SIZE], fill=(105, 105, 108))
    draw.rectangle([0, 158, SIZE, 178], fill=(112, 128, 88))
    draw.rectangle([14, 58, 160, 182], fill=(232, 232, 228))
    draw.rectangle([14, 168, 160, 184], fill=(90, 92, 98))
    draw.polygon([(164, 184), (164, 92), (210, 92), (238, 134), (240, 184)], fill=(186, 44, 40))
    draw.polygon([(176, 130), (176, 102), (206, 102), (224, 130)], fill=(60, 82, 104))
    draw.rectangle([228, 160, 242, 176], fill=(225, 220, 190))
    for x in (46, 92, 200):
        draw.ellipse([x - 23, 164, x + 23, 210], fill=(32, 32, 34))
        draw.ellipse([x - 9, 178, x + 9, 196], fill=(165, 165, 170))
    return picture


if __name__ == '__main__':
    folder = pathlib.Path(sys.argv[1])
    for make in (ship, airplane, truck):
        make().filter(ImageFilter.GaussianBlur(1.5)).save(folder / f'{make.__name__}.png')
