/* What SOPS has encrypted: which part of a file, in which format, and for whom. Pure functions on
 * text; decrypt.c runs the program.
 *
 * A YAML file is taken apart at its documents, since files are put together from encrypted and
 * other documents, which SOPS itself would not read. Documents that were encrypted together share a
 * message authentication code, and stay one part. */
#ifndef GITMOOR_DIFFER_RENDER_SOPS_H
#define GITMOOR_DIFFER_RENDER_SOPS_H

#include "common/data/json.h"

/* On an object that is to be applied as it stands: "disabled". */
#define SOPS_ANNOTATION "gitmoor.io/decrypt"

struct sops_part {
    const char *format; /* as SOPS calls it; NULL: this part is not encrypted */
    size_t start, size; /* within the text */
    unsigned *lines;    /* on which its documents begin; at least one. Of encrypted ones: their
                         * first content, as yaml_parse has it */
    size_t line_count;
    char *recipients; /* for people: "age1…, OpenPGP 85D7…"; NULL: it names none */
    bool key_is_far;  /* all of them are keys of a cloud's or Vault's key management */
};

struct sops_file {
    struct sops_part *parts;
    size_t count;
    bool encrypted; /* one part is */
};

/* `path` decides, with the content, about the format. The text must outlive what is read. */
void sops_file_read(const char *path, const char *text, size_t size, struct sops_file *ret);
void sops_file_release(struct sops_file *file);

/* Whether an object carries what SOPS leaves: its section, or an encrypted value. The line is where
 * (yaml_line), or 0. Never true of one with the annotation. */
bool sops_object_is_encrypted(const cJSON *object, unsigned *ret_line);

/* The age identities in a text, one a line, without what else stands there; NULL if it has none. To
 * be freed. */
char *sops_age_identities(const char *text);

/* Appends the packets of the OpenPGP private keys in an armoured text. False if there is none, or
 * its armour is broken. */
bool sops_openpgp_packets(const char *text, struct buf *out);

#endif
