/* Work leaves holes in the memory: what is free of it is given back some time afterwards. */
#ifndef GITMOOR_DIFFER_TRIM_H
#define GITMOOR_DIFFER_TRIM_H

struct differ;

void trim_open(struct differ *differ);
void trim_later(struct differ *differ);
void trim_close(struct differ *differ);

#endif
