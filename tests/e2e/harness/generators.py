"""The generators that the tests allow: hcl, which scripts/setup builds of tests/generators/hcl, and slow, which takes its time."""
import json
import os
import sys

import yaml

from . import paths

HCL = paths.cache() / "bin" / "hcl-render"

SLOW = """
import json, time
began = time.time()
with open("build.json") as file:
    build = json.load(file)
time.sleep(build["seconds"])
for name, data in build["objects"].items():
    data = {**data, "began": str(began), "ended": str(time.time())} if build.get("times") else data
    print(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
"""


def slow(folder):
    """A generator that reads build.json: for how many seconds it runs, and the ConfigMaps that it then makes. Its script goes there."""
    script = folder / "slow.py"
    script.write_text(SLOW)
    return python("slow", script)


def python(name, script):
    """A Python script as a generator."""
    return {"name": name, "command": [os.path.realpath(sys.executable), "-I", "-S", str(script)],
            "paths": [str(script), "/usr/lib", "/lib", "/lib64", sys.base_prefix + "/lib"]}


def slow_build(seconds, times=False, **objects):
    """What it reads: slow_build(3, a={"step": "1"})."""
    return json.dumps({"seconds": seconds, "times": times, "objects": objects})


def write(file, *more):
    """The settings file, with more generators than hcl if wanted."""
    file.write_text(yaml.safe_dump({"generators": [{"name": "hcl", "command": [str(HCL)]}, *more]}))
    return file
