#!/usr/bin/env python3
"""Makes the images of this folder, and the pixels that Pillow reads from them or resizes them to.

noise.png comes with the results of Image.resize(size, BICUBIC). The other files are kinds of PNG
and JPEG whose pixels, as RGB, are in NAME.rgb.png.
"""
import numpy
from PIL import Image

random = numpy.random.default_rng(1)


def save(name, image, expected=None, **options):
    image.save(name, **options)
    if expected is not None:
        expected.save(name.rsplit('.', 1)[0] + '.rgb.png')


def on_white(image):
    """The pixels that mega-run reads from a picture with opacity: on white, rounded."""
    samples = numpy.asarray(image.convert('RGBA')).astype(int)
    colours, opacity = samples[..., :3], samples[..., 3:]
    return Image.fromarray(((colours * opacity + 255 * (255 - opacity) + 127) // 255).astype(numpy.uint8))


noise = Image.fromarray(random.integers(0, 256, (23, 37, 3), dtype=numpy.uint8))
save('noise.png', noise)
for width, height in ((16, 16), (50, 40), (37, 5), (1, 1)):
    save(f'noise.{width}x{height}.png', noise.resize((width, height), Image.BICUBIC))
save('noise.gray.png', noise.convert('L'))

rgba = Image.fromarray(random.integers(0, 256, (5, 7, 4), dtype=numpy.uint8), 'RGBA')
save('rgba.png', rgba, on_white(rgba))
gray_alpha = rgba.convert('LA')
save('gray-alpha.png', gray_alpha, on_white(gray_alpha))
palette = noise.resize((9, 6)).quantize(11)
save('palette.png', palette, palette.convert('RGB'))
bits = noise.convert('1').crop((0, 0, 13, 4))
save('one-bit.png', bits, bits.convert('RGB'))
levels = random.integers(0, 65536, (4, 3), dtype=numpy.uint16)
save('gray-16.png', Image.fromarray(levels), Image.fromarray((levels >> 8).astype(numpy.uint8)).convert('RGB'))
save('one-pixel.png', Image.new('L', (1, 1), 77), Image.new('RGB', (1, 1), (77, 77, 77)))
y, x = numpy.mgrid[0:24, 0:40]
smooth = Image.fromarray(numpy.stack([x * 6, y * 10, 255 - x * 3 - y * 4], 2).astype(numpy.uint8))
for name, options in (('baseline', {}), ('progressive', {'progressive': True})):
    smooth.save(name + '.jpg', quality=90, **options)
    Image.open(name + '.jpg').convert('RGB').save(name + '.rgb.png')
smooth.convert('CMYK').save('cmyk.jpg', quality=90)
Image.open('cmyk.jpg').convert('RGB').save('cmyk.rgb.png')
# The same samples with the marker of YCCK, which Pillow can read but not write.
content = open('cmyk.jpg', 'rb').read()
transform = content.index(b'Adobe') + 11
open('ycck.jpg', 'wb').write(content[:transform] + b'\2' + content[transform + 1:])
Image.open('ycck.jpg').convert('RGB').save('ycck.rgb.png')
gray = smooth.convert('L')
gray.save('gray.jpg', quality=90)
Image.open('gray.jpg').convert('RGB').save('gray.rgb.png')
save('colour.bmp', noise.crop((0, 0, 5, 3)), noise.crop((0, 0, 5, 3)))
