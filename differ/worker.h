/* The worker: `gitmoor-differ worker`, exec'd once for each new revision of a repository. It is the
 * part that reads what strangers wrote (packs, trees, YAML), and so it runs alone, sandboxed, with
 * the limits that its parent set on the child. Kustomize and Helm run as children of it, in a
 * narrower sandbox (render_build.c).
 *
 * Request: one JSON object on standard input.
 *   {"repository":"<directory>",    bare; made if it is not there
 *    "pack":"<file>",               to be indexed first; absent: everything is there already
 *    "commit":"<hex>","revision":"main@sha1:<hex>",
 *    "limits":{"timeout":ms,        of the whole run: builds begin in time to end within it
 *              "buildTimeout":ms,"memory":bytes,    of each program that builds
 *              "builds":N},                         of them at once; all optional
 *    "kubeVersion":"v1.35.4","apiVersions":"apps/v1,apps/v1/Deployment,…",   for charts; optional
 *    "applications":[{"key":"ns/name","path":"deploy","renderKey":"<hex>"|"",
 *                     "render":{…},"targetNamespace":…,   of the Application's spec; optional
 *                     "name":…,"namespace":…,             of the Application, for charts; optional
 *                     "values":["<YAML>"],                of valuesFrom, in order; optional
 *                     "variables":{"<name>":"<value>"},   to substitute; absent: nothing is
 *                     "decryption":{"from":…,"age":{…},"pgp":{…}}}],   as render.h has it; optional
 *    "generators":[…],              as generators.h has them; optional
 *    "memory":"<directory>"}        for what is decrypted; made if it is not there; optional
 *
 * Answer: JSON lines on standard output. The first:
 *   {"commit":…,"ok":true}, or {"ok":false,"reason":…,"message":…} and nothing more. Reasons:
 *     missing-objects   the commit, or something it needs, is not here, or is damaged: ask for a
 *                       pack. The refs of what proved incomplete are gone
 *     invalid-pack      the pack file cannot be indexed. All refs are gone, so that the next pack
 *                       is a complete one
 *     invalid-request   the request is malformed: a defect of the caller
 *     system            the operating system refused (disk full, permissions)
 * Then for each application, in the request's order, either
 *   {"application":"ns/name","renderKey":"<hex>","unchanged":true}
 * or
 *   {"application":"ns/name","renderKey":"<hex>","objects":N,"errors":[{"file","line","message"}]}
 * and N pairs of lines: {"file":…,"line":…} and the object, canonical JSON, in order of files.
 * Both heads also say "chart": whether Helm builds it. `line` is 0 where no line can be named. With
 * errors, the objects that could be read still follow. An empty renderKey means that the failure
 * was not of the files: ask again. */
#ifndef GITMOOR_DIFFER_WORKER_H
#define GITMOOR_DIFFER_WORKER_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdio.h>

/* The whole of it: reads standard input, enters the sandbox, answers; returns the exit status: 0
 * whenever there is an answer, also a negative one. */
int worker_main(void);

/* The same on a text and a stream, outside the sandbox, for tests. False only if the answer could
 * not be written. */
bool worker_run(const char *request, size_t size, FILE *out, struct error *error);

#endif
