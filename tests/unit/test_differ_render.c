#include "differ/render/render.h"

#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "differ_tree.h"

/* Collects what a render says, one line each: "file:line Kind name" or "file:line! message". */
struct record {
    struct buf lines;
    struct buf json; /* canonical, one object a line */
    size_t objects;
    size_t errors;
};

static void record_object(cJSON *object, const char *file, unsigned line, void *context)
{
    struct record *record = context;
    record->objects++;
    buf_append_format(&record->lines, "%s:%u %s %s\n", file, line, json_string(object, "kind"),
                      text_or_empty(json_string_path(object, "metadata.name")));
    json_write(object, &record->json);
    buf_append_char(&record->json, '\n');
    json_free(object);
}

static void record_error(const char *file, unsigned line, const char *message, void *context)
{
    struct record *record = context;
    record->errors++;
    buf_append_format(&record->lines, "%s:%u! %s\n", file, line, message);
}

static void record_open(struct record *record)
{
    *record = (struct record){0};
    buf_init(&record->lines, (size_t)1 << 22);
    buf_init(&record->json, (size_t)1 << 22);
}

static void record_close(struct record *record)
{
    buf_release(&record->lines);
    buf_release(&record->json);
}

static void render(struct source *source, const char *path, struct record *record)
{
    const struct render_options options = {.path = path, .revision = "main@sha1:abc"};
    const struct render_sink sink = {record_object, record_error, record};
    /* Nothing of this file is built: what is wrong is told before. */
    const struct render_builder builder = {.scratch = "/nonexistent/build"};
    AUTO_SCAN struct render_scan *scan = NULL;
    struct error error = {0};
    record_open(record);
    if (!render_scan(source, &options, &scan, &error) ||
        !render_run(source, scan, &builder, &sink, &error)) {
        fail_msg("%s", error.message);
    }
}

static void key_of(struct source *source, const char *path, char ret_hex[DIGEST_HEX_SIZE])
{
    const struct render_options options = {.path = path};
    AUTO_SCAN struct render_scan *scan = NULL;
    struct error error = {0};
    struct digest key;
    assert_true(render_scan(source, &options, &scan, &error));
    assert_true(render_scan_key(scan, &key));
    digest_to_hex(&key, ret_hex);
}

#define MAP(name) "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name "}\n"

/* ---- Which files are read ---- */

struct walk_case {
    const char *sentence;
    const char *path;
    const char
        *expected; /* the lines; of an error only its beginning up to "!", and a word of it */
    struct tree_file files[8];
};

static const struct walk_case walk_cases[] = {
    {"files are read in the order of full paths, by extension",
     "d",
     "d/a-b.yaml:1 ConfigMap 1\nd/a.json:1 ConfigMap 2\nd/a/z.yml:1 ConfigMap 3\n"
     "d/b.yaml:1 ConfigMap 4\n",
     {{"d/b.yaml", MAP("\"4\""), false},
      {"d/a/z.yml", MAP("\"3\""), false},
      {"d/a-b.yaml", MAP("\"1\""), false},
      {"d/a.json", "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"2\"}}",
       false},
      {"d/README.md", "nothing", false},
      {"d/a.yaml.bak", "nothing", false},
      {"c/a.yaml", MAP("other"), false}}},
    {"hidden directories and the files of builders are left out",
     "",
     "a.yaml:1 ConfigMap a\n",
     {{"a.yaml", MAP("a"), false},
      {".github/w.yaml", "x: 1", false},
      {"sub/.hidden/w.yaml", "x: 1", false},
      {".gitlab-ci.yml", "x: 1", false},
      {"sub/.sops.yaml", "x: 1", false}}},
    {".sourceignore at the root is honoured below the path",
     "deploy",
     "deploy/a.yaml:1 ConfigMap a\n",
     {{".sourceignore", "deploy/b.yaml\n*.json\n", false},
      {"deploy/a.yaml", MAP("a"), false},
      {"deploy/b.yaml", "x: 1", false},
      {"deploy/c.json", "x: 1", false}}},
    {"a nested .sourceignore adds to it, and can take back",
     "deploy",
     "deploy/in/keep.yaml:1 ConfigMap keep\n",
     {{".sourceignore", "*.yaml\n", false},
      {"deploy/in/.sourceignore", "!keep.yaml\n", false},
      {"deploy/in/keep.yaml", MAP("keep"), false},
      {"deploy/in/drop.yaml", "x: 1", false},
      {"deploy/keep.yaml", "x: 1", false}}},
    {"an excluded directory is not entered, whatever follows",
     "deploy",
     "deploy/a.yaml:1 ConfigMap a\n",
     {{".sourceignore", "/deploy/old/\n!/deploy/old/b.yaml\n", false},
      {"deploy/a.yaml", MAP("a"), false},
      {"deploy/old/b.yaml", "x: 1", false}}},
    {"links inside the root are followed and go by their own name",
     "apps/x",
     "apps/x/base/b.yaml:1 ConfigMap b\napps/x/one.yaml:1 ConfigMap one\n",
     {{"base/b.yaml", MAP("b"), false},
      {"other/one.txt", MAP("one"), false},
      {"apps/x/base", "../../base", true},
      {"apps/x/one.yaml", "../../other/one.txt", true}}},
    {"a link out of the root is an error that names the file, and the rest is read",
     "d",
     "d/a.yaml:1 ConfigMap a\nd/passwd.yaml:0! leads out\nd/up:0! leads out\n",
     {{"d/a.yaml", MAP("a"), false},
      {"d/passwd.yaml", "/etc/passwd", true},
      {"d/up", "../../..", true}}},
    {"a link round in a circle is an error",
     "d",
     "d/a.yaml:1 ConfigMap a\nd/loop:0! never end\nd/self:0! loop\n",
     {{"d/a.yaml", MAP("a"), false}, {"d/loop", "../d", true}, {"d/self", "self", true}}},
    {"a link to nothing is an error",
     "d",
     "d/a.yaml:1 ConfigMap a\nd/gone.yaml:0! does not exist\n",
     {{"d/a.yaml", MAP("a"), false}, {"d/gone.yaml", "../x/y.yaml", true}}},
    {"a path through a link keeps the name that was asked for",
     "current/app",
     "current/app/a.yaml:1 ConfigMap a\n",
     {{"v2/app/a.yaml", MAP("a"), false}, {"current", "v2", true}}},
    {"a path that does not exist is an error that names it and the revision",
     "deploy/none",
     "deploy/none:0! deploy/none does not exist in revision main@sha1:abc\n",
     {{"deploy/a.yaml", MAP("a"), false}}},
    {"a path that is a file is an error",
     "deploy/a.yaml",
     "deploy/a.yaml:0! not a directory\n",
     {{"deploy/a.yaml", MAP("a"), false}}},
    {"a path that leads out of the repository is an error",
     "../etc",
     "../etc:0! leads out\n",
     {{"deploy/a.yaml", MAP("a"), false}}},
    {"what a kustomization names and the repository lacks is told with its line",
     "d",
     "d/kustomization.yaml:3! does not exist\n",
     {{"d/a.yaml", MAP("a"), false},
      {"d/kustomization.yaml", "resources:\n- a.yaml\n- b.yaml\n", false}}},
    {"so is it in what the kustomization builds on",
     "d/top",
     "d/base/kustomization.yml:2! does not exist\n",
     {{"d/top/kustomization.yaml", "resources: [../base]\n", false},
      {"d/base/kustomization.yml", "resources:\n- none.yaml\n", false}}},
    {"a remote base is refused",
     "d",
     "d/kustomization.yaml:2! is remote, and nothing is fetched\n",
     {{"d/kustomization.yaml", "resources:\n- https://example.org/r.git//x?ref=v1\n", false}}},
    {"a base outside of the repository is refused",
     "d",
     "d/kustomization.yaml:1! leads out of the repository\n",
     {{"d/kustomization.yaml", "bases: [../../x]\n", false}}},
    {"a link in a kustomization's way that leads out is refused",
     "d",
     "d/kustomization.yaml:1! leads out of the repository\n",
     {{"d/kustomization.yaml", "resources: [link]\n", false}, {"d/link", "../../etc", true}}},
    {"a plugin that is a program is refused",
     "d",
     "d/run.yaml:2! the plugin Run is a program\n",
     {{"d/kustomization.yaml", "generators: [run.yaml]\n", false},
      {"d/run.yaml", "apiVersion: x/v1\nkind: Run\nmetadata: {name: r}\n", false}}},
    {"a chart within a kustomization is refused",
     "d",
     "d/kustomization.yaml:1! helmCharts is refused\n",
     {{"d/kustomization.yaml", "helmCharts: [{name: x}]\n", false}}},
    {"a base without a kustomization is told with the line that names it",
     "d",
     "d/kustomization.yaml:1! the directory d/sub has no kustomization.yaml\n",
     {{"d/kustomization.yaml", "resources: [sub]\n", false}, {"d/sub/a.yaml", MAP("a"), false}}},
    {"a chart further down is not rendered plain",
     "d",
     "d/x/Chart.yaml:0! built by Helm\n",
     {{"d/x/Chart.yaml", "name: x", false}, {"d/x/templates/a.yaml", "{{ x }}", false}}},
    {"a broken Chart.yaml is told",
     "d",
     "d/Chart.yaml:0! d/Chart.yaml:2\n",
     {{"d/Chart.yaml", "name: [\n", false}}},
    {"a link of a chart that leads out is told",
     "d",
     "d/files/x:0! leads out of the repository\n",
     {{"d/Chart.yaml", "name: x", false}, {"d/files/x", "../../../etc/passwd", true}}},
    {"a kustomization beside a chart leaves open which is meant",
     "d",
     "d/kustomization.yaml:0! spec.render.type\n",
     {{"d/Chart.yaml", "name: x", false}, {"d/kustomization.yaml", "resources: []", false}}},
    {"nor a kustomization further down, while what stands beside it is read",
     "d",
     "d/a.yaml:1 ConfigMap a\nd/sub/Kustomization:0! built by Kustomize\n",
     {{"d/a.yaml", MAP("a"), false}, {"d/sub/Kustomization", "resources: []", false}}},
    {"a kustomization that is ignored does not count",
     "d",
     "d/a.yaml:1 ConfigMap a\n",
     {{"d/.sourceignore", "kustomization.yaml\n", false},
      {"d/a.yaml", MAP("a"), false},
      {"d/kustomization.yaml", "resources: []", false}}},
    {"./ and a trailing slash mean nothing",
     "./d/",
     "d/a.yaml:1 ConfigMap a\n",
     {{"d/a.yaml", MAP("a"), false}}},
};

/* Compares line by line; after "! " the expectation is a part of the message. */
static bool lines_match(const char *expected, const char *got)
{
    while (*expected && *got) {
        size_t expected_length = strcspn(expected, "\n");
        size_t got_length = strcspn(got, "\n");
        AUTO_FREE char *want = mem_string_n(expected, expected_length);
        AUTO_FREE char *have = mem_string_n(got, got_length);
        char *part = strstr(want, "! ");
        if (part) {
            part[1] = '\0';
        }
        if (part ? strncmp(have, want, strlen(want)) != 0 || !strstr(have, part + 2)
                 : strcmp(have, want) != 0) {
            return false;
        }
        expected += expected_length + 1;
        got += got_length + 1;
    }
    return *expected == *got;
}

static void the_walk_reads_what_it_should_on_disk_and_in_git(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(walk_cases); i++) {
        const struct walk_case *it = &walk_cases[i];
        struct tree tree;
        size_t count = 0;
        while (count < COUNT(it->files) && it->files[count].path) {
            count++;
        }
        tree_open(&tree, it->files, count);
        for (size_t j = 0; j < 2; j++) {
            struct record record;
            render(tree.sources[j], it->path, &record);
            if (!lines_match(it->expected, record.lines.data)) {
                fail_msg("not so (source %zu): %s:\n%s", j, it->sentence, record.lines.data);
            }
            record_close(&record);
        }
        tree_close(&tree);
    }
}

/* ---- What a file says ---- */

struct text_case {
    const char *sentence;
    const char *file;
    const char *text;
    const char *expected;
};

static const struct text_case text_cases[] = {
    {"each document is an object, with the line it starts on", "a.yaml",
     "# head\n---\n" MAP("a") "---\n# between\n\n" MAP("b"),
     "a.yaml:3 ConfigMap a\na.yaml:9 ConfigMap b\n"},
    {"documents of comments, empty ones and nulls are skipped", "a.yaml",
     "# only this\n---\n---\n# and this\n---\nnull\n---\n" MAP("a"), "a.yaml:8 ConfigMap a\n"},
    {"an empty file is nothing", "a.yaml", "", ""},
    {"a missing kind is an error with its line", "a.yaml",
     MAP("a") "---\napiVersion: v1\nmetadata: {name: b}\n",
     "a.yaml:1 ConfigMap a\na.yaml:5! no kind\n"},
    {"a missing apiVersion is an error", "a.yaml", "kind: ConfigMap\nmetadata: {name: b}\n",
     "a.yaml:1! no apiVersion;\n"},
    {"both missing is one error", "a.yaml", "replicas: 3\n",
     "a.yaml:1! no apiVersion and no kind\n"},
    {"a kind that is not a string is a missing one", "a.yaml",
     "apiVersion: v1\nkind: [ConfigMap]\n", "a.yaml:1! no kind\n"},
    {"a missing name is an error", "a.yaml", "apiVersion: v1\nkind: ConfigMap\n",
     "a.yaml:1! name\n"},
    {"a sequence is an error", "a.yaml",
     "- "
     "a: 1\n",
     "a.yaml:1! a sequence\n"},
    {"a word is an error", "a.yaml", "hello\n", "a.yaml:1! a single value\n"},
    {"errors do not end the file", "a.yaml", "x: 1\n---\ny: 1\n---\n" MAP("a"),
     "a.yaml:1! no apiVersion\na.yaml:3! no apiVersion\na.yaml:5 ConfigMap a\n"},
    {"a syntax error names its line", "a.yaml", MAP("a") "---\na: b\nc: [\n",
     "a.yaml:1 ConfigMap a\na.yaml:7! \n"},
    {"a duplicate key names its line", "a.yaml", "apiVersion: v1\nkind: A\nkind: B\n",
     "a.yaml:3! kind\n"},
    {"a List is expanded", "a.yaml",
     "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: "
     "a}}\n"
     "- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n",
     "a.yaml:1 ConfigMap a\na.yaml:1 Secret b\n"},
    {"a List in a List is expanded", "a.yaml",
     "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: "
     "[{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]}]}",
     "a.yaml:1 ConfigMap a\n"},
    {"items of a typed list are of its kind", "a.yaml",
     "{apiVersion: v1, kind: ConfigMapList, items: [{metadata: {name: a}}]}",
     "a.yaml:1 ConfigMap a\n"},
    {"items of a List need a kind of their own", "a.yaml",
     "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: A, metadata: {name: a}}, "
     "{metadata: {name: b}}]}",
     "a.yaml:1 A a\na.yaml:1! items[1]: \n"},
    {"an item that is no mapping is an error", "a.yaml", "{apiVersion: v1, kind: List, items: [3]}",
     "a.yaml:1! items[0]: \n"},
    {"a List without items is nothing", "a.yaml", "{apiVersion: v1, kind: List}", ""},
    {"a List whose items are no sequence is an error", "a.yaml",
     "{apiVersion: v1, kind: List, items: {a: 1}}", "a.yaml:1! not a sequence\n"},
    {"a kind that merely ends in List is an object", "a.yaml",
     "{apiVersion: x.org/v1, kind: AllowList, metadata: {name: a}}", "a.yaml:1 AllowList a\n"},
    {"JSON may be indented by tabs and hold surrogate pairs", "a.json",
     "\n{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"A\",\n\t\"metadata\": {\"name\": "
     "\"\\ud83d\\ude00\"}\n}\n",
     "a.json:2 A \xf0\x9f\x98\x80\n"},
    {"values of JSON may follow each other", "a.json",
     "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"a}\\\"\"}}\n"
     "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"b\"}}",
     "a.json:1 A a}\"\na.json:2 A b\n"},
    {"JSON that is never closed is an error", "a.json", "{\"a\": [1", "a.json:1! \n"},
    {"a syntax error in JSON names its line", "a.json", "{\n\"a\": 1,\n\"b\" 2}", "a.json:3! \n"},
};

static void a_text_becomes_objects_and_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(text_cases); i++) {
        const struct text_case *it = &text_cases[i];
        struct record record;
        const struct render_sink sink = {record_object, record_error, &record};
        record_open(&record);
        bool ok = render_text(it->text, strlen(it->text), it->file, NULL, &sink);
        if (!lines_match(it->expected, record.lines.data) || ok != (record.errors == 0)) {
            fail_msg("not so: %s:\n%s", it->sentence, record.lines.data);
        }
        record_close(&record);
    }
}

static void nulls_are_kept_and_nothing_is_injected(void **state)
{
    (void)state;
    static const char text[] = "kind: A\napiVersion: v1\nmetadata:\n  name: a\n  labels: null\n"
                               "spec: {c: 9007199254740993, s: \"1\", e: {}}\n";
    struct record record;
    const struct render_sink sink = {record_object, record_error, &record};
    record_open(&record);
    assert_true(render_text(text, sizeof(text) - 1, "a.yaml", NULL, &sink));
    assert_string_equal(
        record.json.data,
        "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"labels\":null,"
        "\"name\":\"a\"},\"spec\":{\"c\":9007199254740993,\"e\":{},\"s\":\"1\"}}\n");
    record_close(&record);
}

static void at_most_a_hundred_errors_are_told(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    struct record record;
    const struct render_sink sink = {record_object, record_error, &record};
    buf_init(&text, 10000);
    record_open(&record);
    for (int i = 0; i < 300; i++) {
        buf_append_string(&text, "---\na: 1\n");
    }
    assert_false(render_text(text.data, text.size, "a.yaml", NULL, &sink));
    assert_int_equal(record.errors, RENDER_ERRORS_MAXIMUM);
    record_close(&record);
}

static void links_that_multiply_are_bounded(void **state)
{
    (void)state;
    /* Twenty directories, each linking to the next one three times: 3^20 ways through. */
    static char names[60][2][32];
    static struct tree_file files[61];
    for (size_t i = 0; i < 60; i++) {
        snprintf(names[i][0], sizeof(names[i][0]), "d%zu/l%zu", i / 3, i % 3);
        snprintf(names[i][1], sizeof(names[i][1]), "../d%zu", i / 3 + 1);
        files[i] = (struct tree_file){names[i][0], names[i][1], true};
    }
    files[60] = (struct tree_file){"d20/a.txt", "x", false};
    struct tree tree;
    struct record record;
    tree_open(&tree, files, COUNT(files));
    render(tree.sources[1], "d0", &record);
    assert_int_equal(record.errors, 1);
    assert_non_null(strstr(record.lines.data, "directories"));
    record_close(&record);
    tree_close(&tree);
}

/* ---- The render key ---- */

struct key_case {
    const char *sentence;
    const char *path; /* the file that changes */
    const char *content;
    bool is_link;
    bool changes;
};

static const struct tree_file key_files[] = {
    {"app/a.yaml", MAP("a"), false},
    {"app/link.yaml", "../shared/s.yaml", true},
    {"app/base", "../base", true},
    {"app/gone.yaml", "../later/l.yaml", true},
    {"base/b.yaml", MAP("b"), false},
    {"base/far.yaml", "../far/f.yaml", true},
    {"far/f.yaml", MAP("f"), false},
    {"shared/s.yaml", MAP("s"), false},
    {"shared/other.yaml", MAP("o"), false},
    {"other/x.yaml", MAP("x"), false},
    {"README.md", "x", false},
};

static const struct key_case key_cases[] = {
    {"a file of the application changes the key", "app/a.yaml", MAP("z"), false, true},
    {"a new file of it does", "app/n.yaml", MAP("n"), false, true},
    {"a file beside it does not", "other/x.yaml", MAP("z"), false, false},
    {"a file at the root does not", "README.md", "y", false, false},
    {"the target of a link does", "shared/s.yaml", MAP("z"), false, true},
    {"a file beside that target does not", "shared/other.yaml", MAP("z"), false, false},
    {"a file in a linked directory does", "base/b.yaml", MAP("z"), false, true},
    {"the target of a link in a linked directory does", "far/f.yaml", MAP("z"), false, true},
    {"what a dangling link waits for does", "later/l.yaml", MAP("l"), false, true},
    {"a .sourceignore at the root does", ".sourceignore", "a.yaml\n", false, true},
    {"a .sourceignore beside it does not", "other/.sourceignore", "a.yaml\n", false, false},
    {"a .sourceignore at a link's target does", "base/.sourceignore", "b.yaml\n", false, true},
};

static void keys_change(const struct tree_file *all, size_t all_count, const struct key_case *cases,
                        size_t case_count)
{
    struct tree before;
    char key[DIGEST_HEX_SIZE];
    tree_open(&before, all, all_count);
    key_of(before.sources[1], "app", key);
    for (size_t i = 0; i < case_count; i++) {
        const struct key_case *it = &cases[i];
        AUTO_FREE struct tree_file *files = mem_new(all_count + 1, sizeof(*files));
        size_t count = 0;
        for (size_t j = 0; j < all_count; j++) {
            if (strcmp(all[j].path, it->path) != 0) {
                files[count++] = all[j];
            }
        }
        files[count++] = (struct tree_file){it->path, it->content, it->is_link};
        struct tree after;
        char changed[DIGEST_HEX_SIZE];
        tree_open(&after, files, count);
        key_of(after.sources[1], "app", changed);
        if ((strcmp(key, changed) != 0) != it->changes) {
            fail_msg("not so: %s", it->sentence);
        }
        tree_close(&after);
    }
    tree_close(&before);
}

static void the_key_covers_what_is_read_and_nothing_else(void **state)
{
    (void)state;
    keys_change(key_files, COUNT(key_files), key_cases, COUNT(key_cases));
}

static const struct tree_file kustomize_files[] = {
    {"app/kustomization.yaml",
     "resources: [../base, linked.yaml]\nconfigMapGenerator: [{name: g, files: [k=data/x]}]\n"
     "components: [../part]\ngenerators: [g.yaml]\n",
     false},
    {"app/linked.yaml", "real.yaml", true},
    {"app/real.yaml", MAP("r"), false},
    {"app/g.yaml",
     "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: h}\nfiles: [yy]\n", false},
    {"app/yy", "1", false},
    {"app/data/x", "1", false},
    {"app/notes.yaml", MAP("n"), false},
    {"base/kustomization.yml", "resources: [a.yaml]\n", false},
    {"base/a.yaml", MAP("a"), false},
    {"base/b.yaml", MAP("b"), false},
    {"part/Kustomization", "kind: Component\npatches: [{path: p.yaml}]\n", false},
    {"part/p.yaml", MAP("a"), false},
    {"other/kustomization.yaml", "resources: []\n", false},
};

static const struct key_case kustomize_cases[] = {
    {"a file of a base", "base/a.yaml", MAP("z"), false, true},
    {"the base's kustomization", "base/kustomization.yml", "resources: [b.yaml]\n", false, true},
    {"a second kustomization of the base", "base/kustomization.yaml", "resources: []\n", false,
     true},
    {"a patch of a component", "part/p.yaml", MAP("z"), false, true},
    {"a file of a generator", "app/data/x", "2", false, true},
    {"a file of a plugin", "app/yy", "2", false, true},
    {"where a link leads", "app/real.yaml", MAP("z"), false, true},
    {"the link", "app/linked.yaml", "notes.yaml", true, true},
    {"a chart beside the kustomization", "app/Chart.yaml", "name: x\n", false, true},
    {"a file beside the kustomization that it does not name", "app/notes.yaml", MAP("z"), false,
     false},
    {"a file of a base that it does not name", "base/b.yaml", MAP("z"), false, false},
    {"another kustomization", "other/kustomization.yaml", "resources: [x]\n", false, false},
    {"a file elsewhere", "README.md", "z", false, false},
};

static void the_key_of_a_kustomization_covers_what_it_reads(void **state)
{
    (void)state;
    keys_change(kustomize_files, COUNT(kustomize_files), kustomize_cases, COUNT(kustomize_cases));
}

static void key_with(struct source *source, const char *variables, char ret_hex[DIGEST_HEX_SIZE])
{
    AUTO_JSON cJSON *known = NULL;
    assert_true(!variables || json_parse(variables, strlen(variables), NULL, &known, NULL));
    const struct render_options options = {.path = "app", .variables = known};
    AUTO_SCAN struct render_scan *scan = NULL;
    struct digest key;
    assert_true(render_scan(source, &options, &scan, NULL));
    assert_true(render_scan_key(scan, &key));
    digest_to_hex(&key, ret_hex);
}

static void the_key_covers_the_variables(void **state)
{
    static const char *const variables[] = {NULL, "{}", "{\"a\":\"1\"}", "{\"a\":\"2\"}",
                                            "{\"b\":\"1\"}"};
    char keys[COUNT(variables)][DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE];
    struct tree tree;
    (void)state;
    tree_open(&tree, key_files, COUNT(key_files));
    for (size_t i = 0; i < COUNT(variables); i++) {
        key_with(tree.sources[1], variables[i], keys[i]);
        key_with(tree.sources[1], variables[i], again);
        assert_string_equal(keys[i], again);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(keys[i], keys[j]);
        }
    }
    tree_close(&tree);
}

static void on_disk_there_is_no_key(void **state)
{
    (void)state;
    struct tree tree;
    AUTO_SCAN struct render_scan *scan = NULL;
    struct error error = {0};
    struct digest key;
    const struct render_options options = {.path = "app"};
    tree_open(&tree, key_files, COUNT(key_files));
    assert_true(render_scan(tree.sources[0], &options, &scan, &error));
    assert_false(render_scan_key(scan, &key));
    tree_close(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_walk_reads_what_it_should_on_disk_and_in_git),
        cmocka_unit_test(a_text_becomes_objects_and_errors),
        cmocka_unit_test(nulls_are_kept_and_nothing_is_injected),
        cmocka_unit_test(at_most_a_hundred_errors_are_told),
        cmocka_unit_test(links_that_multiply_are_bounded),
        cmocka_unit_test(the_key_covers_what_is_read_and_nothing_else),
        cmocka_unit_test(the_key_of_a_kustomization_covers_what_it_reads),
        cmocka_unit_test(the_key_covers_the_variables),
        cmocka_unit_test(on_disk_there_is_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
