/* The truth table of PITFALLS §3 and the contracts of DESIGN §8, row by row. Reviews are written
 * with single quotes for double ones; U, OURS and so on put the repeated parts together. */
#include "admission/review.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define APPLIER "system:serviceaccount:gitmoor-system:gitmoor-applier"

struct row {
    const char *name;
    const char *user;       /* members of userInfo */
    const char *request;    /* members of request beside uid and userInfo */
    const char *protection; /* of application prod/shop; NULL: Enforce; "": it is not known */
    enum verdict_outcome outcome;
    enum verdict_rule rule;
    const char *fields; /* joined by spaces, or NULL: none */
    const char *words;  /* in the message, or NULL */
};

#define ADMIN "'username':'kubernetes-admin','groups':['system:masters']"
#define BREAK "'username':'kubernetes-admin','groups':['system:masters','gitmoor:break-glass']"
#define SYSTEM(name) "'username':'system:serviceaccount:kube-system:" name "'"
#define DEPLOYMENT                                                                                 \
    "'kind':{'group':'apps','version':'v1','kind':'Deployment'},"                                  \
    "'resource':{'group':'apps','version':'v1','resource':'deployments'},"                         \
    "'name':'web','namespace':'prod',"
#define SET                                                                                        \
    "{'f:metadata':{'f:labels':{'f:gitmoor.io/managed-by':{}}},'f:spec':{'f:replicas':{},"         \
    "'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'web\\'}':{'.':{},'f:image':{},"     \
    "'f:name':{}}}}}}}"
#define SET_WITHOUT_IMAGE                                                                          \
    "{'f:metadata':{'f:labels':{'f:gitmoor.io/managed-by':{}}},'f:spec':{'f:replicas':{},"         \
    "'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'web\\'}':{'.':{},"                  \
    "'f:name':{}}}}}}}"
#define SET_WITHOUT_REPLICAS                                                                       \
    "{'f:metadata':{'f:labels':{'f:gitmoor.io/managed-by':{}}},'f:spec':{"                         \
    "'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'web\\'}':{'.':{},'f:image':{},"     \
    "'f:name':{}}}}}}}"
#define SET_WITHOUT_LABEL                                                                          \
    "{'f:spec':{'f:replicas':{},"                                                                  \
    "'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'web\\'}':{'.':{},'f:image':{},"     \
    "'f:name':{}}}}}}}"
#define ENTRY(set)                                                                                 \
    "{'manager':'gitmoor','operation':'Apply','apiVersion':'apps/v1','fieldsType':'FieldsV1',"     \
    "'fieldsV1':" set "}"
#define OLD_ENTRY(set)                                                                             \
    "{'manager':'gitmoor','operation':'Apply','apiVersion':'apps/v1','fieldsType':'FieldsV1',"     \
    "'time':'2020-01-01T00:00:00Z','fieldsV1':" set "}"
#define OURS_FOR_LONG WEB(LABEL ",'managedFields':[" OLD_ENTRY(SET) "]", SPEC("2", "web:1"))
#define LABEL "'labels':{'gitmoor.io/managed-by':'prod.shop'}"
#define SPEC(replicas, image)                                                                      \
    "'spec':{'replicas':" replicas                                                                 \
    ",'template':{'spec':{'containers':[{'name':'web','image':'" image "'}]}}}"
/* An object: members of metadata beside the names, and the rest. */
#define WEB(metadata, rest)                                                                        \
    "{'apiVersion':'apps/"                                                                         \
    "v1','kind':'Deployment','metadata':{'name':'web','namespace':'prod'," metadata "}," rest "}"
#define OURS WEB(LABEL ",'managedFields':[" ENTRY(SET) "]", SPEC("2", "web:1"))
#define OURS_AND(metadata)                                                                         \
    WEB(LABEL "," metadata ",'managedFields':[" ENTRY(SET) "]", SPEC("2", "web:1"))
#define REASON "'annotations':{'gitmoor.io/break-glass-reason':'INC-7'}"
#define U "'operation':'UPDATE',"
#define C "'operation':'CREATE',"
#define D "'operation':'DELETE',"
#define OPTIONS(manager) "'options':{'kind':'PatchOptions','fieldManager':'" manager "'},"
#define OBJECTS(old, new) "'oldObject':" old ",'object':" new
#define NEW_IMAGE WEB(LABEL ",'managedFields':[" ENTRY(SET_WITHOUT_IMAGE) "]", SPEC("2", "web:2"))
#define RESHAPED                                                                                   \
    WEB(LABEL                                                                                      \
        ",'managedFields':[" ENTRY("{'f:metadata':{'f:labels':{'f:gitmoor.io/managed-by':{}}},"    \
                                   "'f:spec':{'f:replicas':{},'f:template':{}}}") "]",             \
        SPEC("2", "web:1"))
#define IMAGE ".spec.template.spec.containers[name=\"web\"].image"
#define DEFINITION                                                                                 \
    "'kind':{'group':'apiextensions.k8s.io','version':'v1','kind':'CustomResourceDefinition'},"    \
    "'resource':{'group':'apiextensions.k8s.io','version':'v1','resource':"                        \
    "'customresourcedefinitions'},"
#define WIDGETS(metadata, group)                                                                   \
    "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{"       \
    "'name':'widgets.example.org'" metadata "},'spec':{'group':'" group                            \
    "','names':{'kind':'Widget','plural':'widgets'}}}"
#define CONFIG                                                                                     \
    "'kind':{'group':'','version':'v1','kind':'ConfigMap'},"                                       \
    "'resource':{'group':'','version':'v1','resource':'configmaps'},'namespace':'prod',"
#define MAP(metadata)                                                                              \
    "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'settings','namespace':'"            \
    "prod'" metadata "},'data':{'a':'1'}}"
#define MAP_ENTRY                                                                                  \
    "'managedFields':[{'manager':'gitmoor','operation':'Apply','apiVersion':'v1',"                 \
    "'fieldsV1':{'f:data':{'f:a':{}}}}]"
#define NAMESPACE                                                                                  \
    "'kind':{'group':'','version':'v1','kind':'Namespace'},"                                       \
    "'resource':{'group':'','version':'v1','resource':'namespaces'},"
#define SPACE(name, metadata)                                                                      \
    "'name':'" name "','namespace':'" name "','oldObject':{'apiVersion':'v1','kind':'Namespace',"  \
    "'metadata':{'name':'" name "'" metadata "}}"
#define SPACE_ENTRY                                                                                \
    "," LABEL ",'managedFields':[{'manager':'gitmoor','operation':'Apply','apiVersion':'v1',"      \
    "'fieldsV1':{'f:metadata':{'f:labels':{'f:gitmoor.io/managed-by':{}}}}}]"
#define SCALE_REQUEST                                                                              \
    "'kind':{'group':'autoscaling','version':'v1','kind':'Scale'},"                                \
    "'resource':{'group':'apps','version':'v1','resource':'deployments'},"                         \
    "'subResource':'scale','name':'web','namespace':'prod',"
#define SCALE(metadata, replicas)                                                                  \
    "{'apiVersion':'autoscaling/"                                                                  \
    "v1','kind':'Scale','metadata':{'name':'web','namespace':'prod'" metadata                      \
    "},'spec':{'replicas':" replicas "}}"
#define SCALE_ENTRY                                                                                \
    ",'managedFields':[{'manager':'gitmoor','operation':'Apply','apiVersion':'autoscaling/v1',"    \
    "'fieldsV1':{'f:spec':{'f:replicas':{}}}}]"
#define SLICE                                                                                      \
    "'kind':{'group':'discovery.k8s.io','version':'v1','kind':'EndpointSlice'},"                   \
    "'resource':{'group':'discovery.k8s.io','version':'v1','resource':'endpointslices'},"          \
    "'namespace':'prod',"
#define COPY                                                                                       \
    "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'web-x',"       \
    "'namespace':'prod'," LABEL "}}"
#define SUBRESOURCE(name) "'subResource':'" name "',"

#define SCALE_REQUEST_ELSEWHERE                                                                    \
    "'kind':{'group':'autoscaling','version':'v1','kind':'Scale'},"                                \
    "'resource':{'group':'apps','version':'v1','resource':'deployments'},'subResource':'scale',"   \
    "'namespace':'new'," OBJECTS("{'metadata':{'namespace':'new'" SCALE_ENTRY                      \
                                 "},'spec':{'replicas':1}}",                                       \
                                 "{'metadata':{'namespace':'new'},'spec':{'replicas':2}}")

static const struct row rows[] = {
    /* ---- updates that take nothing away ---- */
    {"annotating a new key is allowed", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, OURS_AND("'annotations':{'note':'x'}")), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"patching a field to the value it has is allowed", ADMIN, U DEPLOYMENT OBJECTS(OURS, OURS),
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a new finalizer is allowed", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, OURS_AND("'finalizers':['example.org/x']")), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    /* ---- updates that take fields away ---- */
    {"setting the image is refused with the field", ADMIN, U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE),
     NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE, "Deployment prod/web is managed by Git: " IMAGE},
    {"the message names application, repository, path and revision", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE,
     "application prod/shop (repository shop, path deploy/web, revision main@sha1:4f2a91c)"},
    {"a dry-run is refused as well", ADMIN, U DEPLOYMENT "'dryRun':true," OBJECTS(OURS, NEW_IMAGE),
     NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE, NULL},
    {"removing our label is refused", ADMIN,
     U DEPLOYMENT OBJECTS(
         OURS, WEB("'managedFields':[" ENTRY(SET_WITHOUT_LABEL) "]", SPEC("2", "web:1"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, ".metadata.labels[\"gitmoor.io/managed-by\"]", NULL},
    {"taking our label from an object whose entry does not own it is refused", ADMIN,
     U DEPLOYMENT OBJECTS(
         WEB(LABEL ",'managedFields':[" ENTRY(SET_WITHOUT_LABEL) "]", SPEC("2", "web:1")),
         WEB("'managedFields':[" ENTRY(SET_WITHOUT_LABEL) "]", SPEC("2", "web:1"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, ".metadata.labels[\"gitmoor.io/managed-by\"]", NULL},
    {"emptying managedFields is refused with everything", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, WEB(LABEL, SPEC("2", "web:1"))), NULL, VERDICT_REFUSE, RULE_FIELDS,
     ".metadata.labels[\"gitmoor.io/managed-by\"] .spec.replicas " IMAGE
     " .spec.template.spec.containers[name=\"web\"].name",
     NULL},
    {"a value that changes while the entry keeps it is refused", ADMIN,
     U DEPLOYMENT OBJECTS(OURS,
                          WEB(LABEL ",'managedFields':[" ENTRY(SET) "]", SPEC("2", "evil:1"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE, NULL},
    {"scaling through the object is refused and says how to leave replicas to others", ADMIN,
     U DEPLOYMENT OBJECTS(
         OURS, WEB(LABEL ",'managedFields':[" ENTRY(SET_WITHOUT_REPLICAS) "]", SPEC("5", "web:1"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, ".spec.replicas", "under the Application's ignore"},
    {"a child whose parent is now owned as a whole is not lost", ADMIN,
     U SUBRESOURCE("status") DEPLOYMENT OBJECTS(OURS, RESHAPED), NULL, VERDICT_ALLOW, RULE_NONE,
     NULL, NULL},
    {"but who writes the object may not make our entry so, for then its children could be changed",
     ADMIN, U DEPLOYMENT OBJECTS(OURS, RESHAPED), NULL, VERDICT_REFUSE, RULE_FIELD_MANAGER, NULL,
     "reserved for Gitmoor's applier"},
    {"nor let it own more, which others could not change any longer", ADMIN,
     U DEPLOYMENT OBJECTS(
         WEB(LABEL ",'managedFields':[" ENTRY(SET_WITHOUT_IMAGE) "]", SPEC("2", "web:1")), OURS),
     NULL, VERDICT_REFUSE, RULE_FIELD_MANAGER, NULL, NULL},
    {"controllers may, for the server does it under their hands", SYSTEM("replicaset-controller"),
     U DEPLOYMENT OBJECTS(OURS, RESHAPED), NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"another time of our entry takes nothing away", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, OURS_FOR_LONG), NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"entries of another manager, operation or subresource are not ours", ADMIN,
     U DEPLOYMENT OBJECTS(
         WEB(LABEL ",'managedFields':[{'manager':'gitmoor','operation':'Apply','apiVersion':"
                   "'apps/v1','subresource':'status','fieldsV1':{'f:status':{'f:x':{}}}},"
                   "{'manager':'helm','operation':'Apply','apiVersion':'apps/v1','fieldsV1':" SET
                   "}]",
             SPEC("2", "web:1")),
         WEB(LABEL, SPEC("3", "web:2"))),
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a managed object of an unknown application is enforced", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), "", VERDICT_REFUSE, RULE_FIELDS, IMAGE,
     "application prod/shop (not known to admission yet)"},
    {"an object whose application is gone for long may be edited, with a warning", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_FOR_LONG, NEW_IMAGE), "", VERDICT_WARN, RULE_FIELDS, IMAGE,
     "application prod/shop (which does not exist any more)"},
    {"an object whose application is gone for long may be deleted, with a warning", ADMIN,
     D DEPLOYMENT "'oldObject':" OURS_FOR_LONG, "", VERDICT_WARN, RULE_DELETE, NULL,
     "nobody keeps it"},
    {"an object that was applied long ago is enforced as any other", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_FOR_LONG, NEW_IMAGE), NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE,
     "repository shop"},
    {"an object that is terminating may lose its finalizers and more", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND("'deletionTimestamp':'2026-01-01T00:00:00Z'"), NEW_IMAGE), NULL,
     VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    /* ---- protection ---- */
    {"Warn lets it pass with the message", ADMIN, U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), "Warn",
     VERDICT_WARN, RULE_FIELDS, IMAGE, "protection is Warn"},
    {"Off lets it pass in silence", ADMIN, U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), "Off",
     VERDICT_ALLOW, RULE_FIELDS, IMAGE, NULL},
    /* ---- the applier ---- */
    {"the applier passes by its user name", "'username':'" APPLIER "'",
     U DEPLOYMENT OPTIONS("gitmoor") OBJECTS(OURS, NEW_IMAGE), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"the applier passes by the extra of whom it impersonates",
     "'username':'system:serviceaccount:prod:deployer','extra':{'gitmoor.io/applier':['" APPLIER
     "']}",
     U DEPLOYMENT OPTIONS("gitmoor") OBJECTS(OURS, NEW_IMAGE), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"an extra with another name is not the applier's",
     "'username':'system:serviceaccount:prod:deployer','extra':{'gitmoor.io/applier':['me']}",
     U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE, NULL},
    {"the applier passes for a deletion", "'username':'" APPLIER "'",
     D DEPLOYMENT "'oldObject':" OURS, NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    /* ---- the field manager ---- */
    {"our field manager from another is refused though nothing is lost", ADMIN,
     U DEPLOYMENT OPTIONS("gitmoor") OBJECTS(OURS, OURS), NULL, VERDICT_REFUSE, RULE_FIELD_MANAGER,
     NULL, "reserved for Gitmoor's applier"},
    {"our field manager in a dry-run is refused", ADMIN,
     U DEPLOYMENT OPTIONS("gitmoor") "'dryRun':true," OBJECTS(OURS, OURS), NULL, VERDICT_REFUSE,
     RULE_FIELD_MANAGER, NULL, NULL},
    {"our field manager is refused under break-glass too", BREAK,
     U DEPLOYMENT OPTIONS("gitmoor") OBJECTS(OURS, OURS_AND(REASON)), NULL, VERDICT_REFUSE,
     RULE_FIELD_MANAGER, NULL, NULL},
    {"our field manager on an unmanaged object is refused", ADMIN,
     U CONFIG OPTIONS("gitmoor") OBJECTS(MAP(""), MAP("")), NULL, VERDICT_REFUSE,
     RULE_FIELD_MANAGER, NULL, NULL},
    {"another manager whose name begins like ours passes", ADMIN,
     U DEPLOYMENT OPTIONS("gitmoor-demo") OBJECTS(OURS, OURS), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"an update entry in our name, as of a User-Agent, is refused", ADMIN,
     U DEPLOYMENT OBJECTS(
         OURS,
         WEB(LABEL ",'managedFields':[" ENTRY(
                 SET) ",{'manager':'gitmoor','operation':"
                      "'Update','apiVersion':'apps/v1','fieldsV1':{'f:spec':{'f:paused':{}}}}]",
             SPEC("2", "web:1"))),
     NULL, VERDICT_REFUSE, RULE_FIELD_MANAGER, NULL, NULL},
    /* ---- claims ---- */
    {"creating an object with our label is refused", ADMIN, C CONFIG "'object':" MAP("," LABEL),
     NULL, VERDICT_REFUSE, RULE_CLAIM, NULL, "ConfigMap prod/settings claims to be managed"},
    {"creating an object without it is allowed", ADMIN, C CONFIG "'object':" MAP(""), NULL,
     VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"creating an object with an entry of ours is refused", ADMIN,
     C CONFIG "'object':" MAP("," MAP_ENTRY), NULL, VERDICT_REFUSE, RULE_CLAIM, NULL, NULL},
    {"putting our label on an unmanaged object is refused", ADMIN,
     U CONFIG OBJECTS(MAP(""), MAP("," LABEL)), NULL, VERDICT_REFUSE, RULE_CLAIM, NULL, NULL},
    {"changing the label of a copy is refused", ADMIN,
     U CONFIG OBJECTS(MAP(",'labels':{'gitmoor.io/managed-by':'a.b'}"), MAP("," LABEL)), NULL,
     VERDICT_REFUSE, RULE_CLAIM, NULL, NULL},
    {"writing an entry of ours into a labelled copy is refused", ADMIN,
     U CONFIG OBJECTS(MAP("," LABEL), MAP("," LABEL "," MAP_ENTRY)), NULL, VERDICT_REFUSE,
     RULE_CLAIM, NULL, NULL},
    {"the control plane's controllers copy our label to EndpointSlices",
     SYSTEM("endpointslice-controller"), C SLICE "'object':" COPY, NULL, VERDICT_ALLOW, RULE_NONE,
     NULL, NULL},
    {"so does kube-controller-manager under its own name",
     "'username':'system:kube-controller-manager'", C SLICE "'object':" COPY, NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"a controller that adds the label to what exists passes", SYSTEM("endpointslice-controller"),
     U CONFIG OBJECTS(MAP(""), MAP("," LABEL)), NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a controller that forges an entry of ours does not", SYSTEM("endpointslice-controller"),
     C CONFIG "'object':" MAP("," LABEL "," MAP_ENTRY), NULL, VERDICT_REFUSE, RULE_CLAIM, NULL,
     NULL},
    {"a service account of another namespace named kube-system-x is no controller",
     "'username':'system:serviceaccount:kube-system-x:a'", C SLICE "'object':" COPY, NULL,
     VERDICT_REFUSE, RULE_CLAIM, NULL, NULL},
    {"anybody may edit or unlabel a copy", ADMIN, U CONFIG OBJECTS(MAP("," LABEL), MAP("")), NULL,
     VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a claim in the name of a Warn application passes with a warning", ADMIN,
     C CONFIG "'object':" MAP("," LABEL), "Warn", VERDICT_WARN, RULE_CLAIM, NULL, NULL},
    /* ---- ownerReferences ---- */
    {"adding an ownerReference is refused: the garbage collector would delete the object", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, OURS_AND("'ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap',"
                                         "'name':'x','uid':'u-1'}]")),
     NULL, VERDICT_REFUSE, RULE_OWNER_REFERENCE, ".metadata.ownerReferences[uid=\"u-1\"]",
     "garbage collector"},
    {"an ownerReference that was there stays", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND("'ownerReferences':[{'uid':'u-1'}]"),
                          OURS_AND("'ownerReferences':[{'uid':'u-1','controller':true}]")),
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"an owner that gets another name does not exist, so that it is refused as a new one", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND("'ownerReferences':[{'kind':'Job','name':'a','uid':'u-1'}]"),
                          OURS_AND("'ownerReferences':[{'kind':'Job','name':'b','uid':'u-1'}]")),
     NULL, VERDICT_REFUSE, RULE_OWNER_REFERENCE, ".metadata.ownerReferences[uid=\"u-1\"]", NULL},
    {"so is one of another kind", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND("'ownerReferences':[{'kind':'Job','name':'a','uid':'u-1'}]"),
                          OURS_AND("'ownerReferences':[{'kind':'Pod','name':'a','uid':'u-1'}]")),
     NULL, VERDICT_REFUSE, RULE_OWNER_REFERENCE, ".metadata.ownerReferences[uid=\"u-1\"]", NULL},
    {"an ownerReference that Git does not declare may be removed", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND("'ownerReferences':[{'uid':'u-1'}]"), OURS), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"a controller may adopt", SYSTEM("deployment-controller"),
     U DEPLOYMENT OBJECTS(OURS, OURS_AND("'ownerReferences':[{'uid':'u-1'}]")), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    /* ---- deletion ---- */
    {"deleting a managed object is refused", ADMIN, D DEPLOYMENT "'oldObject':" OURS, NULL,
     VERDICT_REFUSE, RULE_DELETE, NULL, "Deployment prod/web is managed by Git: it is declared by"},
    {"one of a deletecollection, whose name is empty, is refused by its object's name", ADMIN,
     D "'kind':{'group':'apps','version':'v1','kind':'Deployment'},'resource':{'group':'apps',"
       "'version':'v1','resource':'deployments'},'name':'','namespace':'prod','oldObject':" OURS,
     NULL, VERDICT_REFUSE, RULE_DELETE, NULL, "Deployment prod/web"},
    {"a dry-run deletion is refused", ADMIN, D DEPLOYMENT "'dryRun':true,'oldObject':" OURS, NULL,
     VERDICT_REFUSE, RULE_DELETE, NULL, NULL},
    {"deleting what is terminating is allowed", ADMIN,
     D DEPLOYMENT "'oldObject':" OURS_AND("'deletionTimestamp':'2026-01-01T00:00:00Z'"), NULL,
     VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"the namespace controller empties a namespace", SYSTEM("namespace-controller"),
     D DEPLOYMENT "'oldObject':" OURS, NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"the garbage collector deletes a dependent", SYSTEM("generic-garbage-collector"),
     D DEPLOYMENT "'oldObject':" OURS_AND("'ownerReferences':[{'uid':'u-1'}]"), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"the garbage collector does not delete what depends on nothing",
     SYSTEM("generic-garbage-collector"), D DEPLOYMENT "'oldObject':" OURS, NULL, VERDICT_REFUSE,
     RULE_DELETE, NULL, NULL},
    {"the TTL that Git declares is kept", SYSTEM("ttl-after-finished-controller"),
     D DEPLOYMENT "'oldObject':" OURS, NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"some other service account of kube-system may not delete", SYSTEM("tiller"),
     D DEPLOYMENT "'oldObject':" OURS, NULL, VERDICT_REFUSE, RULE_DELETE, NULL, NULL},
    {"deleting a copy, which has no entry of ours, is allowed", ADMIN, D SLICE "'oldObject':" COPY,
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"Warn lets a deletion pass with a warning", ADMIN, D DEPLOYMENT "'oldObject':" OURS, "Warn",
     VERDICT_WARN, RULE_DELETE, NULL, NULL},
    /* ---- Namespaces ---- */
    {"deleting a Namespace that holds managed objects is refused", ADMIN,
     D NAMESPACE SPACE("prod", ""), NULL, VERDICT_REFUSE, RULE_NAMESPACE, NULL,
     "Namespace prod holds objects that are managed by Git, declared by application prod/shop"},
    {"deleting a Namespace that is managed is refused", ADMIN,
     D NAMESPACE SPACE("other", SPACE_ENTRY), NULL, VERDICT_REFUSE, RULE_NAMESPACE, NULL,
     "Namespace other is managed by Git"},
    {"deleting any other Namespace is allowed", ADMIN, D NAMESPACE SPACE("other", ""), NULL,
     VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"deleting a Namespace in a dry-run is refused", ADMIN,
     D NAMESPACE "'dryRun':true," SPACE("prod", ""), NULL, VERDICT_REFUSE, RULE_NAMESPACE, NULL,
     NULL},
    {"deleting a Namespace is refused to controllers too", SYSTEM("namespace-controller"),
     D NAMESPACE SPACE("prod", ""), NULL, VERDICT_REFUSE, RULE_NAMESPACE, NULL, NULL},
    {"a Namespace that is terminating may be deleted again", ADMIN,
     D NAMESPACE SPACE("prod", ",'deletionTimestamp':'2026-01-01T00:00:00Z'"), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"a managed Namespace of an unknown application is enforced", ADMIN,
     D NAMESPACE SPACE("other", SPACE_ENTRY), "", VERDICT_REFUSE, RULE_NAMESPACE, NULL, NULL},
    {"a Namespace whose guests are all Off may be deleted", ADMIN, D NAMESPACE SPACE("prod", ""),
     "Off", VERDICT_ALLOW, RULE_NAMESPACE, NULL, NULL},
    {"a Namespace goes by break-glass with a reason set beforehand", BREAK,
     D NAMESPACE SPACE("prod", "," REASON), NULL, VERDICT_BREAK_GLASS, RULE_NAMESPACE, NULL, NULL},
    /* ---- /scale ---- */
    {"scaling declared replicas is refused", ADMIN,
     U SCALE_REQUEST OBJECTS(SCALE(SCALE_ENTRY, "2"), SCALE(SCALE_ENTRY, "5")), NULL,
     VERDICT_REFUSE, RULE_SCALE, ".spec.replicas",
     "Deployment prod/web is managed by Git: .spec.replicas is declared by application prod/shop"},
    {"so is scaling by an autoscaler", SYSTEM("horizontal-pod-autoscaler"),
     U SCALE_REQUEST OBJECTS(SCALE(SCALE_ENTRY, "2"), SCALE("", "5")), NULL, VERDICT_REFUSE,
     RULE_SCALE, ".spec.replicas", "list it under the Application's ignore"},
    {"scaling to the number that is declared is allowed", ADMIN,
     U SCALE_REQUEST OBJECTS(SCALE(SCALE_ENTRY, "2"), SCALE(SCALE_ENTRY, "2")), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"scaling what Git does not declare is allowed", ADMIN,
     U SCALE_REQUEST OBJECTS(SCALE("", "2"), SCALE("", "5")), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"scaling under Warn passes with a warning", ADMIN,
     U SCALE_REQUEST OBJECTS(SCALE(SCALE_ENTRY, "2"), SCALE(SCALE_ENTRY, "5")), "Warn",
     VERDICT_WARN, RULE_SCALE, ".spec.replicas", NULL},
    {"scaling where no application is known to hold anything takes the only one", ADMIN,
     U SCALE_REQUEST_ELSEWHERE, "Warn", VERDICT_WARN, RULE_SCALE, ".spec.replicas", NULL},
    {"scaling an unknown application's object is refused", ADMIN,
     U SCALE_REQUEST OBJECTS(SCALE(SCALE_ENTRY, "2"), SCALE(SCALE_ENTRY, "5")), "", VERDICT_REFUSE,
     RULE_SCALE, ".spec.replicas", NULL},
    /* ---- other subresources ---- */
    {"eviction is allowed", ADMIN,
     C SUBRESOURCE("eviction") "'kind':{'group':'policy','version':'v1','kind':'Eviction'},"
                               "'resource':{'group':'','version':'v1','resource':'pods'},'object':{"
                               "'apiVersion':'policy/v1',"
                               "'kind':'Eviction','metadata':{'name':'a'," LABEL "}}",
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"exec is allowed", ADMIN,
     SUBRESOURCE("exec") "'operation':'CONNECT','kind':{'kind':'PodExecOptions'},"
                         "'resource':{'resource':'pods'}",
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a status update is allowed", SYSTEM("deployment-controller"),
     U SUBRESOURCE("status") DEPLOYMENT OBJECTS(OURS, OURS), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"a label removed through /status is refused", ADMIN,
     U SUBRESOURCE("status") DEPLOYMENT OBJECTS(
         OURS, WEB("'managedFields':[" ENTRY(SET_WITHOUT_LABEL) "]", SPEC("2", "web:1"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, ".metadata.labels[\"gitmoor.io/managed-by\"]", NULL},
    {"ephemeral containers are allowed", ADMIN,
     U SUBRESOURCE("ephemeralcontainers") DEPLOYMENT OBJECTS(OURS, OURS), NULL, VERDICT_ALLOW,
     RULE_NONE, NULL, NULL},
    {"but not what would take a field from our entry beside them", ADMIN,
     U SUBRESOURCE("ephemeralcontainers") DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), NULL, VERDICT_REFUSE,
     RULE_FIELDS, IMAGE, NULL},
    {"a label removed through a Namespace's finalizers is refused", ADMIN,
     U SUBRESOURCE("finalize")
         NAMESPACE SPACE("other", SPACE_ENTRY) ",'object':{'metadata':{'name':'other'}}",
     NULL, VERDICT_REFUSE, RULE_FIELDS, ".metadata.labels[\"gitmoor.io/managed-by\"]",
     "Namespace other"},
    /* ---- break-glass ---- */
    {"break-glass with a reason passes", BREAK,
     U DEPLOYMENT OBJECTS(OURS,
                          WEB(LABEL "," REASON ",'managedFields':[" ENTRY(SET_WITHOUT_IMAGE) "]",
                              SPEC("2", "web:2"))),
     NULL, VERDICT_BREAK_GLASS, RULE_FIELDS, IMAGE, "Let through by break-glass"},
    {"break-glass without a reason is refused and says so", BREAK,
     U DEPLOYMENT OBJECTS(OURS, NEW_IMAGE), NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE,
     "Break-glass needs a reason"},
    {"a blank reason is none", BREAK,
     U DEPLOYMENT OBJECTS(OURS, WEB(LABEL ",'annotations':{'gitmoor.io/break-glass-reason':'  '},"
                                          "'managedFields':[" ENTRY(SET_WITHOUT_IMAGE) "]",
                                    SPEC("2", "web:2"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE, NULL},
    {"a reason on the old object does not excuse an update that drops it", BREAK,
     U DEPLOYMENT OBJECTS(OURS_AND(REASON), NEW_IMAGE), NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE,
     NULL},
    {"a reason without the group is nothing", ADMIN,
     U DEPLOYMENT OBJECTS(OURS,
                          WEB(LABEL "," REASON ",'managedFields':[" ENTRY(SET_WITHOUT_IMAGE) "]",
                              SPEC("2", "web:2"))),
     NULL, VERDICT_REFUSE, RULE_FIELDS, IMAGE, "--as-group"},
    {"a deletion by break-glass takes the reason that stands on the object", BREAK,
     D DEPLOYMENT "'oldObject':" OURS_AND(REASON), NULL, VERDICT_BREAK_GLASS, RULE_DELETE, NULL,
     NULL},
    {"a deletion by break-glass without one is refused", BREAK, D DEPLOYMENT "'oldObject':" OURS,
     NULL, VERDICT_REFUSE, RULE_DELETE, NULL, "Break-glass needs a reason"},
    {"scaling by break-glass takes a reason from the Scale that is sent", BREAK,
     U SCALE_REQUEST OBJECTS(SCALE(SCALE_ENTRY, "2"), SCALE("," REASON, "5")), NULL,
     VERDICT_BREAK_GLASS, RULE_SCALE, ".spec.replicas", NULL},
    /* ---- the reason ---- */
    {"a reason is written by break-glass only", ADMIN, U DEPLOYMENT OBJECTS(OURS, OURS_AND(REASON)),
     NULL, VERDICT_REFUSE, RULE_REASON, NULL, "only break-glass may write the annotation"},
    {"break-glass writes its reason beforehand", BREAK,
     U DEPLOYMENT OBJECTS(OURS, OURS_AND(REASON)), NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a reason that stands may stay", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND(REASON), OURS_AND(REASON)), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"a reason may be removed by anybody", ADMIN, U DEPLOYMENT OBJECTS(OURS_AND(REASON), OURS),
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a reason that stands is not changed by others", ADMIN,
     U DEPLOYMENT OBJECTS(OURS_AND(REASON),
                          OURS_AND("'annotations':{'gitmoor.io/break-glass-reason':'INC-8'}")),
     NULL, VERDICT_REFUSE, RULE_REASON, NULL, "application prod/shop"},
    {"a reason under Warn passes with a warning", ADMIN,
     U DEPLOYMENT OBJECTS(OURS, OURS_AND(REASON)), "Warn", VERDICT_WARN, RULE_REASON, NULL, NULL},
    {"a reason on a Namespace is written by break-glass only, whosever that is", ADMIN,
     U NAMESPACE SPACE("other", "") ",'object':{'metadata':{'name':'other'," REASON "}}", NULL,
     VERDICT_REFUSE, RULE_REASON, NULL,
     "only break-glass may write the annotation gitmoor.io/break-glass-reason of Namespace other"},
    {"break-glass writes one", BREAK,
     U NAMESPACE SPACE("other", "") ",'object':{'metadata':{'name':'other'," REASON "}}", NULL,
     VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"a Namespace is not made with one", ADMIN,
     C NAMESPACE "'object':{'metadata':{'name':'other'," REASON "}}", NULL, VERDICT_REFUSE,
     RULE_REASON, NULL, NULL},
    {"nor is it written on a definition", ADMIN,
     U DEFINITION OBJECTS(WIDGETS("", "example.com"), WIDGETS("," REASON, "example.com")), NULL,
     VERDICT_REFUSE, RULE_REASON, NULL, "CustomResourceDefinition widgets.example.org"},
    {"a reason on another object that is not ours is nobody's business", ADMIN,
     U CONFIG OBJECTS(MAP(""), MAP("," REASON)), NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    /* ---- definitions ---- */
    {"deleting the definition of managed objects is refused", ADMIN,
     D DEFINITION "'oldObject':" WIDGETS("", "example.org"), NULL, VERDICT_REFUSE, RULE_DEFINITION,
     NULL, "Widget is declared by application prod/shop"},
    {"deleting a definition that nobody uses is allowed", ADMIN,
     D DEFINITION "'oldObject':" WIDGETS("", "example.com"), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    {"deleting a definition under Warn passes with a warning", ADMIN,
     D DEFINITION "'oldObject':" WIDGETS("", "example.org"), "Warn", VERDICT_WARN, RULE_DEFINITION,
     NULL, NULL},
    {"a definition that goes already may be deleted again", ADMIN,
     D DEFINITION
     "'oldObject':" WIDGETS(",'deletionTimestamp':'2026-01-01T00:00:00Z'", "example.org"),
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
    {"break-glass deletes a definition with the reason that stands on it", BREAK,
     D DEFINITION "'oldObject':" WIDGETS("," REASON, "example.org"), NULL, VERDICT_BREAK_GLASS,
     RULE_DEFINITION, NULL, NULL},
    {"the applier deletes a definition", "'username':'" APPLIER "'",
     D DEFINITION "'oldObject':" WIDGETS("", "example.org"), NULL, VERDICT_ALLOW, RULE_NONE, NULL,
     NULL},
    /* ---- controllers' bookkeeping ---- */
    {"the garbage collector may orphan a dependent whose ownerReference Git declares",
     SYSTEM("generic-garbage-collector"),
     U CONFIG OBJECTS(
         "{'apiVersion':'v1','metadata':{'name':'a','namespace':'prod'," LABEL
         ",'ownerReferences':[{'uid':'u'}],'managedFields':[{'manager':'gitmoor','operation':"
         "'Apply','apiVersion':'v1','fieldsV1':{'f:metadata':{'f:ownerReferences':"
         "{'k:{\\'uid\\':\\'u\\'}':{}}}}}]}}",
         "{'apiVersion':'v1','metadata':{'name':'a','namespace':'prod'," LABEL
         ",'managedFields':[{'manager':'gitmoor','operation':'Apply','apiVersion':'v1',"
         "'fieldsV1':{}}]}}"),
     NULL, VERDICT_ALLOW, RULE_NONE, NULL, NULL},
};

/* ' becomes ", and \' becomes \" (inside strings). */
static char *unquote(const char *text)
{
    char *copy = mem_string(text);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

static void add_application(struct application_set *set, const char *protection)
{
    AUTO_FREE char *text = mem_format(
        "{\"apiVersion\":\"gitmoor.io/v1alpha1\",\"kind\":\"Application\",\"metadata\":{\"name\":"
        "\"shop\",\"namespace\":\"prod\"},\"spec\":{\"protection\":\"%s\",\"source\":{"
        "\"repository\":\"shop\",\"path\":\"deploy/web\"}},\"status\":{\"lastAppliedRevision\":"
        "\"main@sha1:4f2a91c\",\"namespaces\":[\"prod\"],\"kinds\":[\"Widget.example.org\"]}}",
        protection);
    struct error error = {0};
    AUTO_JSON cJSON *tree = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &tree, &error));
    struct application *application = NULL;
    assert_true(application_from_json(tree, &application, &error));
    application_set_put(set, application);
}

static bool check(const struct row *row, const struct review *review)
{
    const struct verdict *verdict = &review->verdict;
    AUTO_BUF struct buf fields;
    buf_init(&fields, 4096);
    for (size_t i = 0; i < verdict->fields.count; i++) {
        buf_append_format(&fields, "%s%s", i ? " " : "", verdict->fields.items[i]);
    }
    bool good = verdict->outcome == row->outcome && verdict->rule == row->rule &&
                strcmp(fields.data, text_or_empty(row->fields)) == 0 &&
                (!row->words || (verdict->message && strstr(verdict->message, row->words))) &&
                (verdict->message != NULL) == (row->outcome != VERDICT_ALLOW);
    if (!good) {
        print_error("%s: %s by %s, fields %s\n  %s\n", row->name,
                    verdict_outcome_name(verdict->outcome), verdict_rule_name(verdict->rule),
                    fields.data, text_or_empty(verdict->message));
    }
    return good;
}

static bool run(const struct row *row)
{
    static const struct verdict_settings settings = {.applier = APPLIER,
                                                     .controllers = verdict_default_controllers};
    struct application_set applications;
    application_set_init(&applications);
    applications.complete = true;
    if (!row->protection || *row->protection) {
        add_application(&applications, row->protection ? row->protection : "Enforce");
    }
    AUTO_FREE char *quoted =
        mem_format("{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview','request':"
                   "{'uid':'u-7','userInfo':{%s},%s}}",
                   row->user, row->request);
    AUTO_FREE char *text = unquote(quoted);
    struct error error = {0};
    struct review review;
    bool good = review_judge(text, strlen(text), &settings, &applications, &review, &error);
    if (!good) {
        print_error("%s: %s\n%s\n", row->name, error.message, text);
    } else {
        good = check(row, &review);
        review_release(&review);
    }
    application_set_release(&applications);
    return good;
}

static void test_rows(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        failures += !run(&rows[i]);
    }
    assert_int_equal(failures, 0);
}

static void test_nobody_is_the_applier_when_it_is_not_set(void **state)
{
    (void)state;
    static const struct verdict_settings settings = {.applier = "",
                                                     .controllers = verdict_default_controllers};
    struct application_set applications;
    application_set_init(&applications);
    AUTO_FREE char *text =
        unquote("{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview',"
                "'request':{'uid':'u','userInfo':{'username':'','extra':"
                "{'gitmoor.io/applier':['']}}," D DEPLOYMENT "'oldObject':" OURS "}}");
    struct error error = {0};
    struct review review;
    assert_true(review_judge(text, strlen(text), &settings, &applications, &review, &error));
    assert_int_equal(review.verdict.outcome, VERDICT_REFUSE);
    review_release(&review);
    application_set_release(&applications);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nobody_is_the_applier_when_it_is_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
