/* The worker: `gitmoor-differ worker`, exec'd by run.c to look at a revision of a repository, and
 * to build what other programs build. It is the part that reads what strangers wrote (packs, trees,
 * YAML), and so it runs alone, sandboxed, with the limits that its parent set on the child.
 * Kustomize, Helm, SOPS and generators run as children of it, one at a time, in a narrower sandbox
 * (render/build.c).
 *
 * Request: one JSON object on standard input.
 *   {"repository":"<directory>",    bare; made if it is not there
 *    "pack":"<file>",               to be indexed first; absent: everything is there already
 *    "commit":"<hex>","revision":"main@sha1:<hex>",
 *    "build":"<name>",              whoever may write to this repository meanwhile: all that is
 *                                   written is a directory of that name, which no other run has,
 *                                   for what builds are made of. Absent: this run alone writes;
 *                                   applications that need other programs are deferred
 *    "tidy":true,                   nobody reads this repository meanwhile: what killed builds
 *                                   have left goes, and packs are merged; optional
 *    "limits":{"slice":ms,          no application is begun later than that, save the first
 *              "buildTimeout":ms,"memory":bytes},   of each program that builds; all optional
 *    "kubeVersion":"v1.35.4","apiVersions":"apps/v1,apps/v1/Deployment,…",   for charts; optional
 *    "applications":[{"key":"ns/name","path":"deploy","renderKey":"<hex>"|"",
 *                     "render":{…},"targetNamespace":…,   of the Application's spec; optional
 *                     "name":…,"namespace":…,             of the Application, for charts; optional
 *                     "values":[{"from":"…","text":"<YAML>"}],  of valuesFrom, in order; optional
 *                     "variables":{"<name>":"<value>"},   to substitute; absent: nothing is
 *                     "decryption":{"from":…,"age":{…},"pgp":{…}}}],   as render.h has it; optional
 *    "generators":[…],              as generators.h has them; optional
 *    "memory":"<directory>"}        for what is decrypted, of this run alone; made if it is not
 *                                   there; optional
 *
 * Answer: JSON lines on standard output. The first:
 *   {"commit":…,"ok":true}, or {"ok":false,"reason":…,"message":…} and nothing more. Reasons:
 *     missing-objects   the commit, or something it needs, is not here, or is damaged: ask for a
 *                       pack. The refs of what proved incomplete are gone
 *     invalid-pack      the pack file cannot be indexed. All refs are gone, so that the next pack
 *                       is a complete one
 *     invalid-request   the request is malformed: a defect of the caller
 *     system            the operating system refused (disk full, permissions)
 * Then for each application, in the request's order, as soon as it is known, one of
 *   {"application":"ns/name","renderKey":"<hex>","unchanged":true}
 *   {"application":"ns/name","renderKey":"<hex>","deferred":true}
 *   {"application":"ns/name","renderKey":"<hex>","objects":N,"bytes":B,
 *    "errors":[{"file","line","message"}]}
 * and after the last N pairs of lines, B bytes long together: {"file":…,"line":…} and the object,
 * canonical JSON, in order of files.
 * All heads also say "chart": whether Helm builds it. `line` is 0 where no line can be named. With
 * errors, the objects that could be read still follow. An empty renderKey means that the failure
 * was not of the files: ask again. So does an application that is not in the answer: there was no
 * time to begin with it. */
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
