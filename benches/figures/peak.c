/* Runs a command and says on descriptor 2 what the largest process of its tree held: `peak: N kB, status S`.
 *
 * A program of its own, and a small one: the kernel counts the memory of the process that called exec towards the one
 * that it became, so that a larger parent would hide what is measured. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct rusage usage;
    int status;
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (argc < 2 || wait4(child, &status, 0, &usage) != child) return 1;
    dprintf(2, "peak: %ld kB, status %d\n", usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 0;
}
