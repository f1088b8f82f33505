/* What SOPS has encrypted, as text. */
#include "differ/render/sops.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAC "ENC[AES256_GCM,data:AAAA,type:str]"
#define SECTION(mac) "sops:\n  age:\n  - recipient: age1aa\n    enc: x\n  mac: " mac "\n"
#define DOCUMENT "kind: Secret\nstringData:\n  a: ENC[AES256_GCM,data:AA==,type:str]\n"

/* Each part as "<format or ->@<lines> <recipients>; ". */
static char *describe(const char *path, const char *text)
{
    struct sops_file file;
    AUTO_BUF struct buf out;
    size_t at = 0;
    buf_init(&out, 1000);
    sops_file_read(path, text, strlen(text), &file);
    for (size_t i = 0; i < file.count; i++) {
        const struct sops_part *part = &file.parts[i];
        assert_int_equal(part->start, at); /* nothing is left out */
        at += part->size;
        buf_append_string(&out, part->format ? part->format : "-");
        for (size_t j = 0; part->format && j < part->line_count; j++) {
            buf_append_format(&out, "%c%u", j ? ',' : '@', part->lines[j]);
        }
        if (part->format) {
            buf_append_format(&out, " %s%s", part->recipients ? part->recipients : "nobody",
                              part->key_is_far ? " far" : "");
        }
        buf_append_string(&out, "; ");
    }
    assert_true(!file.count || at == strlen(text));
    sops_file_release(&file);
    return mem_string(out.data);
}

static void a_file_is_taken_apart_at_its_documents(void **state)
{
    static const struct {
        const char *name, *path, *text, *expected;
    } cases[] = {
        {"no file of SOPS is not looked at", "a.yaml", "a: b\n---\nc: d\n", ""},
        {"its name alone is nothing", "a.yaml", "a: sops\n---\nsops: {enabled: true}\n", "-; "},
        {"one document", "a.yaml", DOCUMENT SECTION("m"), "yaml@1 age1aa; "},
        {"a comment before it", "a.yaml", "# x\n---\n# y\n" DOCUMENT SECTION("m"),
         "-; yaml@4 age1aa; "},
        {"two that belong together", "a.yaml", DOCUMENT SECTION("m") "---\n" DOCUMENT SECTION("m"),
         "yaml@1,10 age1aa; "},
        {"two that do not", "a.yaml", DOCUMENT SECTION("m") "---\n" DOCUMENT SECTION("n"),
         "yaml@1 age1aa; yaml@10 age1aa; "},
        {"others before, between and behind", "a.yml",
         "a: b\n---\n" DOCUMENT SECTION("m") "--- # x\na: b\n---\n" DOCUMENT SECTION(
             "m") "---\na: b\n---\nc: d\n",
         "-; yaml@3 age1aa; -; yaml@14 age1aa; -; "},
        {"dashes within a text", "a.yaml", "a: |\n ---\n x\n" SECTION("m"), "yaml@1 age1aa; "},
        {"a document that is no YAML stays", "a.yaml", "a: [\n---\n" DOCUMENT SECTION("m"),
         "-; yaml@3 age1aa; "},
        {"one that is to stay", "a.yaml",
         "metadata: {annotations: {gitmoor.io/decrypt: disabled}}\n" SECTION("m"), "-; "},
        {"no code, and a date", "a.yaml", "a: b\nsops: {lastmodified: x}\n", "yaml@1 nobody; "},
        {"several recipients", "a.yaml",
         "sops: {mac: m, age: [{recipient: age1a}], pgp: [{fp: AB}], kms: [{arn: 'arn:1'}]}\n",
         "yaml@1 age1a, OpenPGP AB, AWS KMS arn:1; "},
        {"groups of recipients", "a.yaml",
         "sops: {mac: m, key_groups: [{age: [{recipient: age1a}]}, {pgp: [{fp: AB}]}]}\n",
         "yaml@1 age1a, OpenPGP AB; "},
        {"services alone", "a.yaml",
         "sops: {mac: m, kms: [{arn: 'arn:1'}], gcp_kms: [{resource_id: g}], azure_kv: "
         "[{vault_url: "
         "z}], hc_vault: [{vault_address: v}], hckms: [{key_id: h}]}\n",
         "yaml@1 AWS KMS arn:1, Google Cloud KMS g, Azure Key Vault z, HashiCorp Vault v, Huawei "
         "Cloud KMS h far; "},
        {"JSON", "a.json", "{\"data\": \"x\", \"sops\": {\"mac\": \"m\"}}", "json@1 nobody; "},
        {"JSON in a file of another name", "a.txt",
         "{\"data\": \"x\", \"b\": 1, \"sops\": {\"mac\": \"m\"}}", "json@1 nobody; "},
        {"a binary file", "a.bin", "{\"data\": \"x\", \"sops\": {\"mac\": \"m\"}}",
         "binary@1 nobody; "},
        {"a file of variables", "a.env",
         "A=ENC[x]\nsops_age__list_0__map_enc=x\nsops_age__list_0__map_recipient=age1a\nsops_mac="
         "m\n",
         "dotenv@1 age1a; "},
        {"an INI file", "a.ini", "[a]\nb = ENC[x]\n\n[sops]\npgp__list_0__map_fp   = AB\nmac = m\n",
         "ini@1 OpenPGP AB; "},
        {"lines of such a file within YAML", "a.yaml", "a: |\n  sops_mac=x\n", "-; "},
        {"a last line without its end", "a.env", "sops_mac=m", "dotenv@1 nobody; "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_FREE char *got = describe(cases[i].path, cases[i].text);
        if (!text_equal(got, cases[i].expected)) {
            fail_msg("%s: %s", cases[i].name, got);
        }
    }
}

static bool take(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)error;
    *(cJSON **)context = tree;
    return true;
}

static void an_object_that_is_still_encrypted_is_seen(void **state)
{
    static const struct {
        const char *name, *text;
        unsigned line; /* 0: it is not */
    } cases[] = {
        {"none", "kind: Secret\ndata: {a: YQ==}", 0},
        {"a value", "kind: ConfigMap\ndata:\n  a: x\n  b: " MAC, 4},
        {"a value in a list", "kind: X\nspec:\n- a\n- - " MAC, 4},
        {"the section", "kind: X\n" SECTION("m"), 3},
        {"data of a Secret", "kind: Secret\ndata:\n  a: RU5DW0FFUzI1Nl9HQ00sZGF0YTph", 3},
        {"the same elsewhere", "kind: ConfigMap\ndata:\n  a: RU5DW0FFUzI1Nl9HQ00sZGF0YTph", 0},
        {"a text about it", "kind: ConfigMap\ndata:\n  a: see ENC[AES256_GCM,…]", 0},
        {"it is to stay",
         "kind: X\nmetadata: {annotations: {gitmoor.io/decrypt: disabled}}\na: " MAC, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_JSON cJSON *tree = NULL;
        unsigned line = 0;
        assert_true(yaml_parse(cases[i].text, strlen(cases[i].text), "", NULL, take, &tree, NULL));
        bool encrypted = sops_object_is_encrypted(tree, &line);
        if (encrypted != (cases[i].line > 0) || (encrypted && line != cases[i].line)) {
            fail_msg("%s: %d, line %u", cases[i].name, encrypted, line);
        }
    }
}

static void age_identities_are_found_among_comments(void **state)
{
    (void)state;
    AUTO_FREE char *found =
        sops_age_identities("# made\r\nAGE-SECRET-KEY-1A\r\n\n  AGE-SECRET-KEY-1B");
    assert_string_equal(found, "AGE-SECRET-KEY-1A\nAGE-SECRET-KEY-1B\n");
    assert_null(sops_age_identities("# AGE-SECRET-KEY-1A\nage1aa\n"));
    assert_null(sops_age_identities(""));
}

#define BEGIN "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"
#define END "-----END PGP PRIVATE KEY BLOCK-----\n"

static void armour_is_taken_off(void **state)
{
    static const struct {
        const char *name, *text, *expected; /* NULL: refused */
    } cases[] = {
        {"one key", "x\n" BEGIN "\naGVs\nbG8=\n=abcd\n" END, "hello"},
        {"headers", BEGIN "Version: 1\nComment: 2\n\naGVsbG8=\n=abcd\n" END, "hello"},
        {"no check sum", BEGIN "\naGVsbG8=\n" END, "hello"},
        {"two keys", BEGIN "\naGVsbG8=\n" END BEGIN "\nIQ==\n" END, "hello!"},
        {"lines of Windows",
         "-----BEGIN PGP PRIVATE KEY BLOCK-----\r\n\r\naGVsbG8=\r\n=abcd\r\n" END, "hello"},
        {"a public key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nIQ==\n", NULL},
        {"no end", BEGIN "\naGVsbG8=\n", NULL},
        {"no empty line", BEGIN "aGVsbG8=\n" END, NULL},
        {"no base64", BEGIN "\naGV*bG8=\n" END, NULL},
        {"nothing", "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 100);
        bool ok = sops_openpgp_packets(cases[i].text, &out);
        if (ok != (cases[i].expected != NULL) || (ok && !text_equal(out.data, cases[i].expected))) {
            fail_msg("%s: %d %s", cases[i].name, ok, out.data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_taken_apart_at_its_documents),
        cmocka_unit_test(an_object_that_is_still_encrypted_is_seen),
        cmocka_unit_test(age_identities_are_found_among_comments),
        cmocka_unit_test(armour_is_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
