"""What SOPS has encrypted: decrypted by `gitmoor render` and by the differ, and shown by nothing else."""
import base64
import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import sample, sops
from harness.api import ApiError
from harness.mooring import config_map
from harness.waiting import wait_for
from test_render_kustomize import ENVIRONMENT, GITMOOR, render, write

DECRYPTION = {"provider": "sops", "secretRef": {"name": "sops"}}
PLAIN = "hunter2-Zq"  # what must be seen nowhere but in the cluster
SECRET = f"""# of the shop
apiVersion: v1
kind: Secret
metadata:
  name: db
stringData:
  password: {PLAIN}
"""
OTHER = f"""apiVersion: v1
kind: Secret
metadata:
  name: other
data:
  token: {base64.b64encode(PLAIN.encode()).decode()}
"""


def key_files(folder, **texts):
    """Files with keys: their options."""
    folder = folder.parent / f"{folder.name}-keys"
    folder.mkdir(exist_ok=True)
    options = []
    for name, text in texts.items():
        (folder / name).write_text(text)
        options += ["--decrypt-key", folder / name]
    return options


def decrypted(folder, files, *arguments, **keys):
    write(folder, files)
    return render(folder / "app", *key_files(folder, **(keys or {"first": sops.identity("first")})), *arguments)


def objects(done):
    assert done.returncode == 0, done.stderr
    return {item["metadata"]["name"]: item for item in map(json.loads, done.stdout.splitlines())}


def refused(done, *words):
    assert done.returncode == 1 and done.stdout == "", done
    for word in words:
        assert word in done.stderr, done.stderr
    for secret in (PLAIN, base64.b64encode(PLAIN.encode()).decode(), sops.AGE["first"][1]):
        assert secret not in done.stderr
    return done.stderr


# ------------------------------------------------------------------------------- plain YAML

def test_a_file_is_decrypted_and_has_no_section_left(tmp_path):
    found = objects(decrypted(tmp_path, {"app/db.yaml": sops.encrypt(SECRET), "app/c.yaml": config_map("c", a="1")}))
    assert found["db"]["stringData"] == {"password": PLAIN} and "sops" not in found["db"]
    assert set(found) == {"db", "c"}


DOCUMENTS = {
    "encrypted together": sops.encrypt(SECRET + "---\n" + OTHER),
    "encrypted one by one": sops.encrypt(SECRET) + "---\n" + sops.encrypt(OTHER),
    "beside plain ones": config_map("c") + "---\n" + sops.encrypt(SECRET) + "---\n" + config_map("d") + "---\n" + sops.encrypt(OTHER, to=["second"]),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents_of_one_file_are_decrypted(tmp_path, case):
    keys = {name: sops.identity(name) for name in sops.AGE}
    found = objects(decrypted(tmp_path, {"app/all.yaml": DOCUMENTS[case]}, **keys))
    assert found["db"]["stringData"]["password"] == PLAIN
    assert base64.b64decode(found["other"]["data"]["token"]).decode() == PLAIN
    assert set(found) - {"db", "other"} == set(re.findall(r"^  name: ([cd])$", DOCUMENTS[case], re.MULTILINE))


def test_errors_keep_their_lines_among_encrypted_documents(tmp_path):
    text = config_map("c") + "---\n" + ENCRYPTED + "---\n# more\nkind: ConfigMap\n---\n" + sops.encrypt(OTHER, to=["second"]) + "---\na: [\n"
    line = text[:text.index("kind: ConfigMap\n---")].count("\n") + 1
    second = text[:text.index("apiVersion", text.index("# more"))].count("\n") + 1
    last = text.count("\n")
    told = refused(decrypted(tmp_path, {"app/all.yaml": text}), f"app/all.yaml:{line}: the document has no apiVersion",
                   f"app/all.yaml:{second}: no key of --decrypt-key decrypts it")
    assert re.search(rf"all.yaml:({last}|{last + 1}): ", told), told


def test_json_is_decrypted(tmp_path):
    text = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": PLAIN}})
    found = objects(decrypted(tmp_path, {"app/db.json": sops.encrypt(text, "db.json")}))
    assert found["db"]["stringData"] == {"password": PLAIN}


def test_one_key_file_holds_several_identities_and_one_that_fits_is_enough(tmp_path):
    both = sops.identity("second") + sops.identity("first")
    assert "db" in objects(decrypted(tmp_path, {"app/db.yaml": sops.encrypt(SECRET)}, both=both))


def test_an_openpgp_key_decrypts(tmp_path, openpgp):
    files = {"app/db.yaml": sops.encrypt(SECRET, to=(), openpgp=[openpgp.fingerprint], home=openpgp.home)}
    assert objects(decrypted(tmp_path / "a", files, key=openpgp.private))["db"]["stringData"]["password"] == PLAIN
    refused(decrypted(tmp_path / "b", files), "app/db.yaml:2", f"it is encrypted for OpenPGP {openpgp.fingerprint}")
    broken = re.sub(r"\n[A-Za-z0-9+/=]{64}\n", "\n", openpgp.private, count=1)
    refused(decrypted(tmp_path / "c", files, key=broken), "no key of")
    refused(decrypted(tmp_path / "d", files, key="-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "no armoured OpenPGP private key")


@pytest.fixture(scope="module")
def openpgp():
    key = sops.OpenPgp()
    yield key
    key.close()


def tamper(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


def other_value(text):
    """With one character of the password's ciphertext changed."""
    return re.sub(r"(password: ENC\[AES256_GCM,data:)(.)", lambda found: found[1] + ("A" if found[2] != "A" else "B"), text)


ENCRYPTED = sops.encrypt(SECRET)
BROKEN = {
    "for somebody else": (sops.encrypt(SECRET, to=["second"]), ["app/db.yaml:2: no key of --decrypt-key decrypts it", sops.AGE["second"][0]]),
    "a changed name": (tamper(ENCRYPTED, "name: db", "name: dx"), ["app/db.yaml:2: its content is not what was encrypted"]),
    "a changed value": (other_value(ENCRYPTED), ["app/db.yaml:2: one of its values cannot be decrypted"]),
    "a value added in clear": (tamper(ENCRYPTED, "    password:", f"    more: {PLAIN}\n    password:"), ["app/db.yaml:2: one of its values"]),
    "no authentication code": (re.sub(r"\n    mac: .*", "", ENCRYPTED), ["app/db.yaml:2: its content is not what was encrypted (the message authentication code is missing"]),
    "a broken authentication code": (re.sub(r"mac: ENC\[AES256_GCM,data:.", "mac: ENC[AES256_GCM,data:_", ENCRYPTED), ["its content is not what was encrypted"]),
    "no recipient": (re.sub(r"    age:\n(        .*\n|          .*\n)+", "", ENCRYPTED), ["app/db.yaml:2: what SOPS wrote there names nobody"]),
    "a cloud's key": (re.sub(r"    age:\n(        .*\n|          .*\n)+", "    kms:\n        - arn: arn:aws:kms:eu:1:key/2\n          created_at: x\n"
                             "          enc: AQ==\n", ENCRYPTED), ["AWS KMS arn:aws:kms:eu:1:key/2", "rendering reaches nobody"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_decrypted_is_told_by_its_file_with_all_else(tmp_path, case):
    text, words = BROKEN[case]
    refused(decrypted(tmp_path, {"app/db.yaml": text, "app/wrong.yaml": "kind: ConfigMap\n"}),
            *words, "app/wrong.yaml:1: the document has no apiVersion")


# ------------------------------------------------------------------------------- still encrypted

SET = "set spec.decryption, with the Secret that holds the key (gitmoor render: --decrypt-key FILE)"
KUSTOMIZATION = "app/kustomization.yaml"
STILL = {
    "a Secret": ({"app/db.yaml": ENCRYPTED}, ["app/db.yaml:9: Secret db is encrypted by SOPS", SET]),
    "values without a section": ({"app/db.yaml": ENCRYPTED.split("sops:")[0]}, ["app/db.yaml:7: Secret db is encrypted by SOPS"]),
    "two documents": ({"app/db.yaml": DOCUMENTS["encrypted together"]}, ["Secret db", "Secret other"]),
    "a resource of a kustomization": ({KUSTOMIZATION: {"resources": ["db.yaml"]}, "app/db.yaml": ENCRYPTED}, ["app/db.yaml:2: it is encrypted", SET]),
    "a file of a generator": ({KUSTOMIZATION: {"secretGenerator": [{"name": "s", "envs": ["a.env"]}]}, "app/a.env": sops.encrypt("A=b\n", "a.env")},
                              ["app/a.env:1: it is encrypted", SET]),
    "a whole file in the data of a Secret": ({"app/s.yaml": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {
        "x": base64.b64encode(sops.encrypt("a: b\n", regex=None).encode()).decode()}}}, ["app/s.yaml:6: Secret s is encrypted by SOPS"]),
    "a file of a chart that a template puts into a Secret": (
        {"app/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "app/s.json": sops.encrypt('{"a": "b"}', "s.json", regex=None),
         "app/templates/s.yaml": 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  x: |\n{{ .Files.Get "s.json" | indent 4 }}\n'},
        ["app/templates/s.yaml: Secret s is encrypted by SOPS"]),
    "the data of a Secret": ({"app/s.yaml": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {
        "x": base64.b64encode(b"ENC[AES256_GCM,data:aaaa,type:str]").decode()}}}, ["app/s.yaml:", "Secret s is encrypted by SOPS"]),
    "a chart's values": ({"app/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "app/values.yaml": sops.encrypt("a: b\n", regex=None),
                          "app/templates/a.yaml": config_map("a")}, ["app/values.yaml:1: it is encrypted"]),
}


@pytest.mark.parametrize("case", STILL)
def test_what_is_still_encrypted_is_refused(tmp_path, case):
    files, words = STILL[case]
    write(tmp_path, files)
    refused(render(tmp_path / "app"), *words)


def test_an_object_may_say_that_it_is_to_stay_encrypted(tmp_path):
    text = sops.encrypt(SECRET.replace("  name: db", "  name: db\n  annotations: {gitmoor.io/decrypt: disabled}"))
    for options in ([], key_files(tmp_path, first=sops.identity("first"))):
        found = objects(render(write(tmp_path, {"app/db.yaml": text}) / "app", *options))
        assert found["db"]["stringData"]["password"].startswith("ENC[AES256_GCM,") and "mac" in found["db"]["sops"]


def test_keys_must_be_keys(tmp_path):
    files = {"app/db.yaml": ENCRYPTED}
    refused(decrypted(tmp_path / "a", files, first="# nothing\n"), "spec.decryption", "holds no age identity")
    refused(decrypted(tmp_path / "b", files, first=sops.AGE["first"][1].replace("YD5J", "YD5K")), "no key of")
    assert "c" in objects(decrypted(tmp_path / "c", {"app/c.yaml": config_map("c")}, first="# not needed\n"))
    done = render(tmp_path, "--decrypt-key", tmp_path / "none")
    assert done.returncode == 2 and "--decrypt-key" in done.stderr


# ------------------------------------------------------------------------------- what others build

CHART = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
TEMPLATE = ("apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  password: {{ .Values.password }}\n"
            "  file: {{ .Files.Get \"files/key.pem\" | quote }}\n")
PEM = f"-----BEGIN\n{PLAIN}\n-----END\n"


def generated(**arguments):
    return {"resources": ["db.yaml"], "namePrefix": "eu-", "generatorOptions": {"disableNameSuffixHash": True},
            "secretGenerator": [{"name": "made", **arguments}], "patches": [{"path": "patch.yaml"}]}


def test_a_kustomization_is_built_of_decrypted_files(tmp_path):
    files = {
        KUSTOMIZATION: generated(envs=["shop.env"], files=["key.pem", "c.ini", "v.json", "renamed=v.yaml"]),
        "app/db.yaml": sops.encrypt(SECRET), "app/shop.env": sops.encrypt(f"TOKEN={PLAIN}\n", "shop.env"),
        "app/key.pem": sops.encrypt(PEM, "key.pem"), "app/c.ini": sops.encrypt(f"[a]\nb = {PLAIN}\n", "c.ini"),
        "app/v.json": sops.encrypt(json.dumps({"a": PLAIN}), "v.json", regex=None),
        "app/v.yaml": sops.encrypt(f"a: {PLAIN}\n", "v.yaml", regex=None, to=["second"]),
        "app/patch.yaml": sops.encrypt(SECRET.replace("# of the shop\n", "").replace("password", "more"))}
    found = objects(decrypted(tmp_path, files, **{name: sops.identity(name) for name in sops.AGE}))
    assert found["eu-db"]["stringData"] == {"password": PLAIN, "more": PLAIN}
    made = {key: base64.b64decode(value).decode() for key, value in found["eu-made"]["data"].items()}
    assert made.pop("c.ini").split() == ["[a]", "b", "=", PLAIN] and json.loads(made.pop("v.json")) == {"a": PLAIN}
    assert made == {"TOKEN": PLAIN, "key.pem": PEM, "renamed": f"a: {PLAIN}\n"}


def test_a_base_outside_of_the_path_and_a_component_are_decrypted(tmp_path):
    files = {KUSTOMIZATION: {"resources": ["../base"]}, "base/kustomization.yaml": {"resources": ["db.yaml"]}, "base/db.yaml": sops.encrypt(SECRET)}
    assert objects(decrypted(tmp_path, files))["db"]["stringData"]["password"] == PLAIN


def test_plain_manifests_below_an_overlay_are_decrypted(tmp_path):
    write(tmp_path, {"app/db.yaml": sops.encrypt(SECRET), "application.yaml": yaml.safe_dump(sample.application(
        "default", "shop", "shop", path="app", decryption=DECRYPTION, render={"kustomize": {"nameSuffix": "-x"}}))})
    needed = render(tmp_path / "app", "--application", tmp_path / "application.yaml")
    assert needed.returncode == 2 and "--decrypt-key FILE" in needed.stderr
    found = objects(render(tmp_path / "app", "--application", tmp_path / "application.yaml", *key_files(tmp_path, a=sops.identity("first"))))
    assert found["db-x"]["stringData"]["password"] == PLAIN


def test_a_chart_has_decrypted_values_and_files(tmp_path):
    write(tmp_path, {"application.yaml": yaml.safe_dump(sample.application(
        "default", "shop", "shop", path="app", decryption=DECRYPTION, render={"helm": {"valuesFiles": ["../values/eu.yaml"]}}))})
    files = {"app/Chart.yaml": CHART, "app/templates/db.yaml": TEMPLATE, "app/files/key.pem": sops.encrypt(PEM, "key.pem"),
             "app/values.yaml": "password: none\n", "values/eu.yaml": sops.encrypt(f"password: {PLAIN}\n", regex=None)}
    found = objects(decrypted(tmp_path, files, "--application", tmp_path / "application.yaml"))
    assert found["db"]["stringData"] == {"password": PLAIN, "file": PEM}


BUILDS = {
    "a ConfigMap of an encrypted file": (
        {KUSTOMIZATION: {"configMapGenerator": [{"name": "c", "files": ["x=a.env"]}]}, "app/a.env": sops.encrypt(f"A={PLAIN}\n", "a.env")},
        ["app/a.env:1", "a configMapGenerator reads it", "use a secretGenerator"]),
    "a file of a generator for somebody else": (
        {KUSTOMIZATION: {"secretGenerator": [{"name": "s", "envs": ["a.env"]}]}, "app/a.env": sops.encrypt(f"A={PLAIN}\n", "a.env", to=["second"])},
        ["app/a.env:1: no key of --decrypt-key decrypts it", sops.AGE["second"][0]]),
    "a value that Kustomize quotes": (
        {KUSTOMIZATION: {"resources": ["db.yaml"], "patches": [{"path": "p.yaml", "target": {"kind": "Secret"}}]}, "app/db.yaml": ENCRYPTED,
         "app/p.yaml": sops.encrypt(f"password: {PLAIN}\n", regex=None)},
        ["app/kustomization.yaml: kustomize:"]),
    "a value that Helm quotes": (
        {"app/Chart.yaml": CHART, "app/values.yaml": sops.encrypt(f"password: {PLAIN}\n", regex=None),
         "app/templates/a.yaml": '{{ fail (printf "no %s" .Values.password) }}'}, ["app/templates/a.yaml:1", "no ***"]),
    "a value that a template spoils": (
        {"app/Chart.yaml": CHART, "app/values.yaml": sops.encrypt(f"password: {PLAIN}\n", regex=None),
         "app/templates/a.yaml": "kind: Secret\n{{ .Values.password }}: [\n"}, ["app/templates/a.yaml"]),
}


def test_a_message_is_kept_back_where_too_much_was_decrypted_to_look_through_it(tmp_path):
    values = "password: %s\n" % PLAIN + "".join(f"v{n}: value-{n}\n" for n in range(5100))
    files = {"app/Chart.yaml": CHART, "app/values.yaml": sops.encrypt(values, regex=None), "app/templates/a.yaml": '{{ fail .Values.password }}'}
    refused(decrypted(tmp_path, files), "app/templates/a.yaml:1", "is kept back")


@pytest.mark.parametrize("case", BUILDS)
def test_what_a_build_says_shows_no_plaintext(tmp_path, case):
    files, words = BUILDS[case]
    refused(decrypted(tmp_path, files), *words)


# ------------------------------------------------------------------------------- in the cluster

def put_keys(api, namespace, name="sops", **texts):
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
               "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}})


def password(api, namespace, name="db"):
    found = api.get("Secret", namespace, name)
    return found and base64.b64decode(found["data"]["password"]).decode()


def problems(mooring):
    return [f"{error.get('file')}:{error.get('line')}: {error['message']}" for error in mooring.status().get("errors", [])]


def wait_problem(mooring, *words):
    wait_for(lambda: any(all(word in problem for word in words) for problem in problems(mooring)), timeout=60, what=f"{words} among the errors")


@pytest.mark.parametrize("spec, word", [
    ({"provider": "gpg", "secretRef": {"name": "x"}}, "gpg"), ({"provider": "sops"}, "secretRef"), ({"provider": "sops", "secretRef": {}}, "name")])
def test_the_api_refuses_what_makes_no_sense(api, namespace, spec, word):
    with pytest.raises(ApiError) as refusal:
        api.apply(sample.application(namespace, "x", "x", decryption=spec))
    assert word in str(refusal.value)


def test_a_secret_is_decrypted_with_keys_that_come_and_change(moored, api, namespace, repository):
    repository.commit({"app/db.yaml": sops.encrypt(SECRET), "app/c.yaml": config_map("c", a="1")}, "encrypted")
    mooring = moored(repository, path="app")
    wait_problem(mooring, "app/db.yaml:9: Secret db is encrypted by SOPS", "set spec.decryption")
    assert mooring.live() == {} and password(api, namespace) is None, "nothing is applied"
    mooring.set(decryption=DECRYPTION)
    wait_problem(mooring, "spec.decryption", f"the Secret sops does not exist in the namespace {namespace}")
    put_keys(api, namespace, **{"other.txt": sops.identity("first")})
    wait_problem(mooring, "spec.decryption", "the Secret sops: there is no key whose name ends in .agekey or .asc")
    put_keys(api, namespace, **{"a.agekey": sops.identity("second")})
    wait_problem(mooring, "app/db.yaml:2: no key of the Secret sops decrypts it", sops.AGE["first"][0])
    assert mooring.live() == {} and password(api, namespace) is None, "nothing is applied"
    put_keys(api, namespace, **{"a.agekey": sops.identity("second"), "b.agekey": sops.identity("first")})
    wait_for(lambda: password(api, namespace) == PLAIN, timeout=60, what="the Secret")
    mooring.wait_applied(timeout=60)
    mooring.push({"app/db.yaml": sops.encrypt(SECRET.replace(PLAIN, "rotated"), to=["second"])}, "the other key")
    wait_for(lambda: password(api, namespace) == "rotated", timeout=60, what="the Secret that is encrypted for the new key")
    put_keys(api, namespace, **{"b.agekey": sops.identity("first")})
    wait_problem(mooring, "app/db.yaml:2: no key of the Secret sops decrypts it")
    assert password(api, namespace) == "rotated", "what was applied stays"


@contextlib.contextmanager
def links_without_keys(gitmoor):
    """The fetcher, the differ and the applier talk in clear meanwhile, as --bus ipc://… allows."""
    running = [gitmoor.processes[name] for name in ("fetcher", "differ", "applier")]
    before = [process.command for process in running]
    try:
        for process in running:
            at = process.command.index("--bus-keys")
            process.command = process.command[:at] + process.command[at + 2:]
            process.restart()
        yield
    finally:
        for process, command in zip(running, before):
            process.command = command
            process.restart()
        for name in ("fetcher", "differ", "applier"):
            gitmoor.wait_ready(name)


def test_over_links_without_keys_nothing_is_decrypted(moored, gitmoor, api, namespace, repository):
    put_keys(api, namespace, **{"a.agekey": sops.identity("first")})
    repository.commit({"app/db.yaml": sops.encrypt(SECRET), "plain/c.yaml": config_map("c")})
    with links_without_keys(gitmoor):
        mooring = moored(repository, path="app", decryption=DECRYPTION)
        plain = mooring.beside("plain", "plain")
        plain.wait_applied()
        wait_problem(mooring, "spec.decryption", "the links between the processes have no keys (--bus-keys)")
        assert password(api, namespace) is None
    wait_for(lambda: password(api, namespace) == PLAIN, timeout=60, what="the Secret, now that the links have keys")
    plain.remove()


def cli(cluster, repository, namespace, *arguments):
    return subprocess.run([GITMOOR, *map(str, arguments), "-n", namespace, "--kubeconfig", cluster.kubeconfig("admin")], capture_output=True,
                          text=True, check=False, timeout=60, cwd=repository.folder, env=ENVIRONMENT)


def readable(folder):
    """Its files; a folder that goes meanwhile is passed over."""
    found = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def shows(text, secrets):
    return [secret for secret in secrets if secret in text]


def test_plaintext_is_in_the_cluster_and_nowhere_else(moored, gitmoor, cluster, api, namespace, repository, tmp_path):
    """Logs, Events, statuses, the data directories, what is in memory, arguments and environments."""
    token = "tok-5Xq1-never-seen"
    secrets = [text for plain in (PLAIN, token) for text in (plain, base64.b64encode(plain.encode()).decode())] + [sops.AGE["first"][1]]
    put_keys(api, namespace, **{"a.agekey": sops.identity("first")})
    repository.commit({
        "app/kustomization.yaml": yaml.safe_dump({"resources": ["db.yaml"], "secretGenerator": [{"name": "made", "envs": ["a.env"], "options": {
            "disableNameSuffixHash": True}}]}),
        "app/db.yaml": sops.encrypt(SECRET), "app/a.env": sops.encrypt(f"password={token}\n", "a.env"), "chart/Chart.yaml": CHART,
        "chart/values.yaml": sops.encrypt(f"password: {PLAIN}\n", regex=None), "chart/templates/a.yaml": '{{ fail .Values.password }}',
        "server/a.yaml": sops.encrypt(f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: wrong\ndata:\n  a: {PLAIN}\n")}, "encrypted")
    mooring = moored(repository, path="app", decryption=DECRYPTION)
    chart, server = mooring.beside("chart", "chart", decryption=DECRYPTION), mooring.beside("server", "server", decryption=DECRYPTION)
    wait_for(lambda: (password(api, namespace), password(api, namespace, "made")) == (PLAIN, token), timeout=60, what="both Secrets")
    wait_problem(chart, "chart/templates/a.yaml", "***")
    wait_for(lambda: server.status().get("errors"), timeout=60, what="the server's refusal")
    # What a differ that was killed amid a build has left is gone with the next one.
    gitmoor.kill("differ")
    (own,) = memory(gitmoor).iterdir()
    (own / "left" / "0").mkdir(parents=True)
    (own / "left" / "0" / "plain").write_text(PLAIN)
    gitmoor.start_one("differ")
    mooring.push({"app/db.yaml": sops.encrypt(SECRET.replace("# of the shop", "# again"))}, "again")
    mooring.wait_applied(timeout=60)
    none = cli(cluster, repository, namespace, "diff", "shop")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", ""), "the keys are those of the cluster"
    # A ConfigMap, whose values nobody masks otherwise, holds one of them too.
    repository.commit({"app/db.yaml": sops.encrypt(SECRET.replace(PLAIN, "new-" + token)),
                       "app/kustomization.yaml": yaml.safe_dump({"resources": ["db.yaml", "c.yaml"]}),
                       "app/c.yaml": sops.encrypt(config_map("c", url=f"https://{token}@example.org", open="yes"))}, "not pushed", push=False)
    for keys in ([], key_files(tmp_path, a=sops.identity("first"))):
        done = cli(cluster, repository, namespace, "diff", "shop", "--path", "app", *keys)
        assert done.returncode == 1, done.stderr
        assert "*** (after)" in done.stdout and "name: c" in done.stdout and not shows(done.stdout + done.stderr, secrets)
    wrong = cli(cluster, repository, namespace, "diff", "shop", "--path", "app", *key_files(tmp_path, a=sops.identity("second")))
    assert wrong.returncode == 2 and "app/db.yaml:2: no key of" in wrong.stderr and not shows(wrong.stdout + wrong.stderr, secrets)
    wait_for(lambda: not readable(memory(gitmoor)), what="the builds of the others have ended, too")
    for path in readable(gitmoor.folder):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            assert not shows(path.read_bytes().decode("latin-1"), secrets), path
    for kind in ("Application", "GitRepository", "Event", "ConfigMap"):
        for found in api.list(kind, namespace):
            assert not shows(json.dumps(found), secrets), found
    for process in gitmoor.processes.values():
        limits = Path(f"/proc/{process.child.pid}/limits").read_text()
        assert re.search(r"^Max core file size +1 +1 ", limits, re.MULTILINE), "no core is dumped, not even to a program"
        for name in ("cmdline", "environ"):
            assert not shows(Path(f"/proc/{process.child.pid}/{name}").read_bytes().decode("latin-1"), secrets)


def memory(gitmoor):
    return Path(gitmoor.memory_folder.name)
