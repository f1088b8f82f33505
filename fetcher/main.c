#include "fetcher/worker.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "worker") == 0) {
        return worker_main();
    }
    return 2;
}
