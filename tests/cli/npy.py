"""Reads and writes files of arrays without NumPy: read(path) returns shape and values."""
import ast
import struct


def read(path):
    with open(path, 'rb') as file:
        content = file.read()
    size, = struct.unpack_from('<H', content, 8)
    header = ast.literal_eval(content[10:10 + size].decode('latin-1'))
    kind = {'<f4': 'f', '<f8': 'd', '<i4': 'i', '<i8': 'q'}[header['descr']]
    count = (len(content) - 10 - size) // struct.calcsize(kind)
    return header['shape'], list(struct.unpack_from(f'<{count}{kind}', content, 10 + size))


def write(path, values, shape=None):
    """Writes integers as int64, other numbers as float32."""
    kind, name = ('q', '<i8') if all(isinstance(v, int) for v in values) else ('f', '<f4')
    header = str({'descr': name, 'fortran_order': False, 'shape': tuple(shape or (len(values),))})
    header = header.encode() + b' ' * (117 - len(header)) + b'\n'
    with open(path, 'wb') as file:
        file.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header)
        file.write(struct.pack(f'<{len(values)}{kind}', *values))
