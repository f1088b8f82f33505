"""Another name of the release, another namespace: nothing of the chart or of the programs takes its own to be called as in the documentation."""
import json

import pytest

from harness.mooring import config_map
from harness.waiting import wait_for

RELEASE, HOME = "anchor", "harbour"


@pytest.mark.parametrize("topology", ["sidecar", "split"])
def test_it_works_under_another_name_in_another_namespace(topology, install, moored, repository, kubectl, namespace):
    with install(topology, release=RELEASE, home=HOME) as installation:
        repository.commit({"deploy/settings.yaml": config_map("settings", color="red")})
        shop = moored(repository)
        shop.wait_applied(timeout=60)

        def refusal():
            return kubectl.run("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", json.dumps({"data": {"color": "blue"}})).stderr

        wait_for(lambda: ".data.color" in refusal(), what="an edit refused by name of the field")
        shop.push({"deploy/settings.yaml": config_map("settings", color="green")})
        shop.wait_applied(timeout=60)
        assert "Phase:          Succeeded" in installation.helm("test", RELEASE, "--timeout=90s").stdout
        installation.upgrade(logLevel="debug", **{"bus.rotation": "next"})
        shop.push({"deploy/settings.yaml": config_map("settings", color="white")})
        shop.wait_applied(timeout=60)
        installation.uninstall()
        assert not kubectl("get", "clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations", "-o", "name",
                           "-l", f"app.kubernetes.io/instance={RELEASE}")
        assert shop.config_map("settings") == {"color": "white"}
