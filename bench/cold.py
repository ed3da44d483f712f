"""One cold start: CPU of import and first push in a fresh interpreter. Imports nothing more than it must."""

import os
import sys
import time
from importlib import import_module


def main() -> None:
    module, function, out = sys.argv[1:]
    start = time.process_time()
    handler = getattr(import_module(module), function)
    imported = time.process_time()
    handler({}, None)
    end = time.process_time()
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, f'{{"import": {imported - start}, "push": {end - imported}}}'.encode())


main()
