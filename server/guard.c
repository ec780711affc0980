/* guard.c - who may ask. A page on the web that a browser has open must not reach a server on the same
 * machine unasked: neither by a name that was made to resolve to 127.0.0.1 (the Host header tells), nor from
 * its own origin (the Origin header tells). Pure. */
#include "server/httpd.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* The name of "NAME", "NAME:PORT" or "[V6]:PORT", in lower case and without brackets. False if it is none. */
static bool host_name(const char *host, char *out, size_t size) {
    size_t n;
    if (host[0] == '[') {
        host++;
        n = strcspn(host, "]");
        if (host[n] != ']' || (host[n + 1] && host[n + 1] != ':')) return false;
    } else {
        n = strcspn(host, ":");
        if (host[n] == ':' && host[n + 1 + strspn(host + n + 1, "0123456789")]) return false;
    }
    if (n == 0 || n >= size) return false;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
    if (out[n - 1] == '.') n--; /* the root's dot */
    out[n] = 0;
    return n > 0;
}

static bool is_address(const char *name) {
    unsigned char any[16];
    return inet_pton(AF_INET, name, any) == 1 || inet_pton(AF_INET6, name, any) == 1;
}

static bool is_localhost(const char *name) {
    size_t n = strlen(name);
    return !strcmp(name, "localhost") || (n > 10 && !strcmp(name + n - 10, ".localhost"));
}

/* What a container calls the machine that it runs on. The top-level domain "internal" is reserved for private
 * use, so nobody can register a name in it and let it point to 127.0.0.1, which is what this check is
 * against. */
static bool is_container_name(const char *name) {
    static const char *const names[] = {"host.docker.internal", "gateway.docker.internal",
                                        "host.containers.internal", "host.lima.internal",
                                        "host.orb.internal"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

int vbs_guard_host(const vbs_server_params *p, const char *host, vbs_problem *problem) {
    char name[256];
    if (!host) return 0; /* HTTP/1.0; every browser sends one */
    bool good = host_name(host, name, sizeof name);
    /* Addresses need no resolving, so nobody can have bent them. */
    if (good && (is_address(name) || is_localhost(name) || is_container_name(name))) return 0;
    if (good && p->host && !strcasecmp(name, p->host)) return 0;
    for (size_t i = 0; good && i < p->n_hosts; i++)
        if (!strcasecmp(name, p->hosts[i]) || !strcmp(p->hosts[i], "*")) return 0;
    return vbs_refuse(problem, 403, "permission_error", "host_not_allowed", NULL,
                      "the Host header \"%.100s\" is none of this server's names; start it with --allow-host "
                      "NAME if it is one",
                      host);
}

/* Takes as long for a wrong key as for a right one of that length. */
static bool same_key(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    unsigned char differ = n != m;
    for (size_t i = 0; i < n; i++) differ |= (unsigned char)(a[i] ^ b[m ? i % m : 0]);
    return !differ;
}

int vbs_guard_key(const vbs_server_params *p, const char *authorization, const char *x_api_key,
                  vbs_problem *problem) {
    const char *given = x_api_key;
    if (!p->n_keys) return 0;
    if (authorization && !strncasecmp(authorization, "Bearer ", 7)) {
        given = authorization + 7;
        given += strspn(given, " ");
    }
    bool right = false;
    for (size_t i = 0; given && i < p->n_keys; i++) right |= same_key(given, p->keys[i]);
    if (right) return 0;
    return vbs_refuse(problem, 401, "invalid_request_error", "invalid_api_key", NULL, "%s",
                      given ? "the API key is not one of this server's"
                            : "this server asks for an API key: send it as Authorization: Bearer KEY");
}

/* The part of "http://HOST:PORT" after the scheme; NULL for other schemes and "null". */
static const char *origin_host(const char *origin) {
    if (!strncasecmp(origin, "http://", 7)) return origin + 7;
    return strncasecmp(origin, "https://", 8) ? NULL : origin + 8;
}

/* Pages that are part of a program on this machine: Electron and Tauri applications, and the panels of VS
 * Code. What comes over the network has the origin http, https or "null", and no page can give itself
 * another, so whoever has one of these was installed here and could ask without a browser, too. Not file://:
 * a saved page or an attachment is a file as well. Not the schemes of browser extensions: their rights are
 * the browser's to limit. */
static bool is_application(const char *origin) {
    static const char *const schemes[] = {"app://", "tauri://", "vscode-webview://", "vscode-file://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (!strncasecmp(origin, schemes[i], strlen(schemes[i]))) return true;
    return false;
}

int vbs_guard_origin(const vbs_server_params *p, const char *origin, const char *host, const char **allow,
                     vbs_problem *problem) {
    char name[256];
    bool any = p->n_keys && !p->n_origins; /* who has the key may */
    *allow = NULL;
    if (!origin) {
        *allow = "*";
        return 0;
    }
    for (size_t i = 0; i < p->n_origins; i++) any |= !strcmp(p->origins[i], "*");
    if (any) {
        *allow = "*";
        return 0;
    }
    const char *of = origin_host(origin);
    bool mine = is_application(origin) || (of && host && !strcasecmp(of, host));
    if (of && host_name(of, name, sizeof name))
        mine |= is_localhost(name) || !strcmp(name, "::1") || (is_address(name) && !strncmp(name, "127.", 4));
    for (size_t i = 0; i < p->n_origins; i++) mine |= !strcasecmp(p->origins[i], origin);
    if (mine) {
        *allow = origin;
        return 0;
    }
    return vbs_refuse(
        problem, 403, "permission_error", "origin_not_allowed", NULL,
        "web pages of %.100s may not use this server; start it with --cors ORIGIN (or '*') if they may",
        origin);
}
