/* The static bot: reads its credentials from the pipe, shows that it has the right ones without showing them, says a
 * last word on TERM and exits with 7, so that a code of its own is seen to come through. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a, for the test to compare. */
static uint64_t digest(const char *text, size_t length) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

/* The value of a text member, up to its closing quote: the test's values hold no quote. */
static const char *member(const char *json, const char *name, size_t *length) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = strstr(json, quoted);
    if (!at || !(at = strchr(at + strlen(quoted), '"'))) exit(3);
    *length = strcspn(at + 1, "\"");
    return at + 1;
}

int main(void) {
    static char json[65536];
    sigset_t term;
    int fd = atoi(getenv("PORTCULLIS_CREDENTIALS_FD") ?: "-1"), got;
    size_t used = 0, length;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    while ((got = read(fd, json + used, sizeof json - 1 - used)) > 0) used += got;
    if (got < 0) return 2;
    const char *value = member(json, "api_secret", &length);
    printf("bot: ready as uid %d\nbot: signed %016llx\n", getuid(), (unsigned long long)digest(value, length));
    fflush(stdout);
    sigwait(&term, &got);
    puts("bot: last word: no order left open");
    return 7;
}
