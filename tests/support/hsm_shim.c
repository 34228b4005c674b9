/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A PKCS#11 library that is SoftHSM2 with faults. It loads the real library, copies its function list and overrides a
 * few entries. Positions are those of CK_FUNCTION_LIST, PKCS#11 2.40 section 5 (order of declaration).
 *
 *   SHIM_MODULE            path of the real library
 *   SHIM_HIDE_MECHANISM    a mechanism number that C_GetMechanismList does not list
 *   SHIM_REFUSE_KEYGEN     C_GenerateKey gives this CKR code
 *   SHIM_DEAD_AFTER        after so many encryptions every call gives CKR_TOKEN_NOT_PRESENT
 *   SHIM_CORRUPT_EVERY     every n-th encryption of a process comes out with one bit flipped
 *   SHIM_LATENCY_US        C_Encrypt and C_Decrypt take so many microseconds, the real library's work included; asking
 *                          them for a length only (no output buffer) stays free, as in a client that knows the answer
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;
typedef unsigned char CK_BYTE;
typedef struct { CK_BYTE version[2]; void *entry[68]; } FUNCTIONS;

enum { GET_MECHANISM_LIST = 7, ENCRYPT_INIT = 29, ENCRYPT = 30, DECRYPT_INIT = 33, DECRYPT = 34, GENERATE_KEY = 58 };
enum { CKR_OK = 0, CKR_TOKEN_NOT_PRESENT = 0xE0, CKR_BUFFER_TOO_SMALL = 0x150 };

static FUNCTIONS real, ours;
static CK_ULONG encrypted;

static CK_ULONG setting(const char *name) {
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 0) : 0;
}

/* Gives the moment at which a call that begins now may return; `wait_until` sleeps for what is left of it. */
static struct timespec due(void) {
    struct timespec moment;
    CK_ULONG nanoseconds = setting("SHIM_LATENCY_US") * 1000;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    moment.tv_sec += (moment.tv_nsec + nanoseconds) / 1000000000;
    moment.tv_nsec = (moment.tv_nsec + nanoseconds) % 1000000000;
    return moment;
}

static void wait_until(struct timespec moment) {
    if (setting("SHIM_LATENCY_US")) {
        prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* the kernel's default wakes 50 us late */
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL)) continue;
    }
}

static int dead(void) {
    CK_ULONG limit = setting("SHIM_DEAD_AFTER");
    return limit && encrypted >= limit;
}

static CK_RV get_mechanism_list(CK_ULONG slot, CK_ULONG *list, CK_ULONG *count) {
    CK_RV (*next)(CK_ULONG, CK_ULONG *, CK_ULONG *) = (void *)real.entry[GET_MECHANISM_LIST];
    CK_RV rv = next(slot, list, count);
    CK_ULONG hidden = setting("SHIM_HIDE_MECHANISM");
    if (rv == CKR_OK && list && hidden) {
        CK_ULONG kept = 0;
        for (CK_ULONG i = 0; i < *count; i++)
            if (list[i] != hidden) list[kept++] = list[i];
        *count = kept;
    }
    return rv;
}

static CK_RV generate_key(CK_ULONG session, void *mechanism, void *template, CK_ULONG count, CK_ULONG *key) {
    CK_RV (*next)(CK_ULONG, void *, void *, CK_ULONG, CK_ULONG *) = (void *)real.entry[GENERATE_KEY];
    CK_ULONG refusal = setting("SHIM_REFUSE_KEYGEN");
    return refusal ? refusal : dead() ? CKR_TOKEN_NOT_PRESENT : next(session, mechanism, template, count, key);
}

static CK_RV encrypt_init(CK_ULONG session, void *mechanism, CK_ULONG key) {
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG) = (void *)real.entry[ENCRYPT_INIT];
    return dead() ? CKR_TOKEN_NOT_PRESENT : next(session, mechanism, key);
}

static CK_RV decrypt_init(CK_ULONG session, void *mechanism, CK_ULONG key) {
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG) = (void *)real.entry[DECRYPT_INIT];
    return dead() ? CKR_TOKEN_NOT_PRESENT : next(session, mechanism, key);
}

static CK_RV encrypt(CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length) {
    CK_RV (*next)(CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *) = (void *)real.entry[ENCRYPT];
    struct timespec moment = due();
    CK_RV rv = next(session, in, in_length, out, out_length);
    if (out) wait_until(moment);
    if (rv == CKR_OK && out) {
        CK_ULONG every = setting("SHIM_CORRUPT_EVERY");
        encrypted++;
        if (every && encrypted % every == 0) out[0] ^= 1;
    }
    return rv;
}

static CK_RV decrypt(CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length) {
    CK_RV (*next)(CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *) = (void *)real.entry[DECRYPT];
    struct timespec moment = due();
    CK_RV rv = next(session, in, in_length, out, out_length);
    if (out) wait_until(moment);
    return rv;
}

CK_RV C_GetFunctionList(FUNCTIONS **list) {
    void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW);
    CK_RV (*next)(FUNCTIONS **) = library ? (CK_RV (*)(FUNCTIONS **))dlsym(library, "C_GetFunctionList") : NULL;
    FUNCTIONS *found;
    if (!next || next(&found) != CKR_OK) return 5; /* CKR_GENERAL_ERROR */
    memcpy(&real, found, sizeof real);
    memcpy(&ours, found, sizeof ours);
    ours.entry[GET_MECHANISM_LIST] = get_mechanism_list;
    ours.entry[GENERATE_KEY] = generate_key;
    ours.entry[ENCRYPT_INIT] = encrypt_init;
    ours.entry[ENCRYPT] = encrypt;
    ours.entry[DECRYPT_INIT] = decrypt_init;
    ours.entry[DECRYPT] = decrypt;
    *list = &ours;
    return CKR_OK;
}
