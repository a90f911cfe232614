#!/usr/bin/env python3
"""Checks a picture that mega-run drew: picture.py FILE [WORD...]

A PNG must have signature, checksums, and as many pixels as its header says, not all of one colour.
An SVG must be well-formed XML with a size, shapes, and the words in its title or description; in a
PNG words cannot be looked for. Prints the kind and "ok", or what is wrong.
"""
import re
import struct
import sys
import xml.etree.ElementTree as tree
import zlib


def check_png(data):
    position, pixels, size = 8, b"", None
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position:position + 8])
        body = data[position + 8:position + 8 + length]
        crc, = struct.unpack(">I", data[position + 8 + length:position + 12 + length])
        if crc != zlib.crc32(kind + body):
            return "checksum of %s" % kind
        if kind == b"IHDR":
            size = struct.unpack(">IIBB", body[:10])
        if kind == b"IDAT":
            pixels += body
        position += 12 + length
    if kind != b"IEND":
        return "no end"
    width, height, depth, colour = size
    rows = zlib.decompress(pixels)
    if (depth, colour) != (8, 2) or len(rows) != height * (1 + 3 * width):
        return "size %dx%d with %d bytes" % (width, height, len(rows))
    if not (400 < width < 3000 and 200 < height < 8000):
        return "size %dx%d" % (width, height)
    if len(set(rows)) < 50:
        return "hardly anything is drawn"
    return None


def check_svg(data, words):
    root = tree.fromstring(data)
    space = "{http://www.w3.org/2000/svg}"
    title, text = root.find(space + "title"), root.find(space + "desc")
    if root.tag != space + "svg" or title is None or text is None:
        return "no title or description"
    if not re.match(r"[0-9.]+(pt|px)?$", root.get("width", "")):
        return "width %r" % root.get("width")
    kinds = [element.tag.replace(space, "") for element in root.iter()]
    if kinds.count("path") < 20 or "image" not in kinds:
        return "hardly anything is drawn"
    missing = [word for word in words if word not in title.text + "\n" + text.text]
    return "no %s in %s" % (", ".join(missing), text.text) if missing else None


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    png = data.startswith(b"\x89PNG\r\n\x1a\n")
    problem = check_png(data) if png else check_svg(data, sys.argv[2:])
    print("png" if png else "svg", problem or "ok")
    sys.exit(1 if problem else 0)


main()
