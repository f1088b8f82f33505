"""The generators that the tests allow: hcl, which scripts/setup builds of tests/generators/hcl."""
import yaml

from . import paths

HCL = paths.cache() / "bin" / "hcl-render"


def write(file, *more):
    """The settings file, with more generators than hcl if wanted."""
    file.write_text(yaml.safe_dump({"generators": [{"name": "hcl", "command": [str(HCL)]}, *more]}))
    return file
