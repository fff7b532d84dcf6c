"""No module of the package uses anything like pickle, in its text (test_wire.py) or at run time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent

#: imports every module and watches `import`, then sends values of each kind through a worker and watches pickle
_SCRIPT = """
import builtins, importlib, json, pkgutil, sys

LIKE_PICKLE = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "multiprocessing",
               "msgpack_numpy", "rpyc", "dbm", "copyreg"}
imported, loaded, modules = set(), [], 0
real = builtins.__import__

def listening(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if name.partition(".")[0] in LIKE_PICKLE and importer.partition(".")[0] == "autograder":
        imported.add((importer, name))
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = listening
import autograder
for found in pkgutil.walk_packages(autograder.__path__, "autograder."):
    if ".templates" not in found.name and not found.name.endswith(".__main__"):
        importlib.import_module(found.name)
        modules += 1
builtins.__import__ = real
held = sorted((name, key) for name, module in list(sys.modules.items()) if name.partition(".")[0] == "autograder"
              for key, value in vars(module).items() if getattr(value, "__name__", "") in LIKE_PICKLE)

import numpy as np, torch
from autograder.grading.run.proxy import Examinee, Student
from autograder.sandbox.rungs.launch import Limits
from autograder.sandbox.outside.zygotes import Zygote

sys.addaudithook(lambda event, _: loaded.append(event) if event.startswith("pickle.") else None)
source = b"import torch\\ndef same(x): return x\\nclass A: pass\\ndef make(): return A()\\ndef fail(): raise KeyError(1)"
with Zygote("D", ("numpy", "torch"), Limits(memory_mb=4096)) as zygote:
    examinee = Examinee(zygote, module="m", source=source, imports=("numpy", "torch"))
    examinee.start("task", 20.0)
    student = Student(examinee)
    x = torch.ones(2, requires_grad=True)
    for value in (1, "a", [1, {2: (3,)}], np.ones(3), np.float32(1), np.random.default_rng(0), torch.ones(2), x,
                  torch.Generator(), np.float64, torch.float32, slice(1), abs):
        student.same(value)
    student.same(x * 2).sum().backward()
    student.make()
    try:
        student.fail()
    except KeyError:
        pass
    examinee.close()
print(json.dumps({"imported": sorted(imported), "held": held, "loaded": loaded, "modules": modules}))
"""


def test_no_module_imports_pickle_and_no_value_is_unpickled() -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    done = subprocess.run([sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["modules"] > 60
    assert (found["imported"], found["held"], found["loaded"]) == ([], [], [])
