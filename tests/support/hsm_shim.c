/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A PKCS#11 library that is SoftHSM2 with faults. It loads the real library, copies its function list and overrides a
 * few entries. Positions are those of CK_FUNCTION_LIST, PKCS#11 2.40 section 5 (order of declaration). One source file
 * with four headers: gcc -shared -fPIC -o libshim.so hsm_shim.c -ldl.
 *
 * A "crypto call" is C_Encrypt or C_Decrypt with an output buffer; a call without one asks for a length only. Numbers
 * count in each process for itself, and over all processes and restarts where SHIM_STATE is set.
 *
 *   SHIM_MODULE            path of the real library
 *   SHIM_STATE             file of the shared counters, made when it is not there; tests/support/hsm_shim.py reads it
 *
 * Speed.
 *   SHIM_LATENCY_US        a crypto call takes so many microseconds, the real library's work included; asking for a
 *                          length stays free, as in a client that knows the answer
 *   SHIM_LATENCY_LENGTH    1: asking for a length takes as long as a crypto call
 *   SHIM_RATE_CAP          crypto calls a second; those above it give CKR_DEVICE_MEMORY
 *
 * Crypto calls that fail.
 *   SHIM_ERROR_EVERY       every n-th crypto call fails once, with
 *   SHIM_ERROR_CODES       these CKR codes in turn, separated by commas; CKR_DEVICE_ERROR when there are none
 *   SHIM_DEAD_AFTER        after so many encryptions every Init gives CKR_TOKEN_NOT_PRESENT
 *   SHIM_CRASH_AFTER       the n-th crypto call raises SIGSEGV; with SHIM_STATE that is one process, without it each
 *   SHIM_HANG_AFTER        the n-th crypto call never returns; one process or each, as above
 *   SHIM_CORRUPT_EVERY     every n-th encryption comes out with one bit flipped, and CKR_OK
 *   SHIM_CORRUPT_DECRYPT_EVERY   the same for decryptions
 *
 * Who makes the IV of CKM_AES_GCM.
 *   SHIM_IV                caller (default): the caller's is used
 *                          in_place: replaced by one of the module's, written into the caller's buffer by C_Encrypt
 *                          in_place_zeroed: the same, and a buffer that is not all zeros is refused
 *                          appended: replaced, and given after the tag; the output is 12 bytes longer
 *                          null_appended: as appended, and a caller's IV is refused: NULL and ulIvBits 96 is asked for
 *                          appended_16: as appended, with 16 bytes
 *                          refused: no way of giving the IV is taken
 *                          keeps_zeros: demands zeros as above, and then uses them
 *   SHIM_IV_KEPT_AFTER     after so many encryptions a module that replaces the IV in place keeps the caller's
 *
 * Sessions and logins.
 *   SHIM_SESSIONS          session cap, shown in the token info; CKR_SESSION_COUNT above it. Of all processes with
 *                          SHIM_STATE, of each without it
 *   SHIM_DROP_SESSIONS_AFTER   the n-th crypto call finds all sessions gone; with SHIM_STATE those of all processes
 *   SHIM_SHUFFLE_HANDLES   1: after a drop, object handles that were given out before name other objects
 *   SHIM_PIN_TRIES         so many wrong user PINs in a row lock it (CKR_PIN_LOCKED); flags of the token info say so
 *   SHIM_PIN_SILENT        1: they do not
 *
 * What is missing.
 *   SHIM_HIDE_MECHANISM    a mechanism number that C_GetMechanismList does not list
 *   SHIM_REFUSE_KEYGEN     C_GenerateKey gives this CKR code
 *   SHIM_INITIALIZE        C_Initialize gives this CKR code
 *   SHIM_NO_CHECK_VALUE    1: C_GetAttributeValue knows no CKA_CHECK_VALUE
 *   SHIM_SLOT_SICK         C_GetTokenInfo gives this CKR code for every slot
 *   SHIM_TOKEN_FLAGS       these flags are in every token info, besides the token's own
 *   SHIM_ANONYMOUS         1: C_Login gives CKR_OK, and the session stays a public one
 *   SHIM_DEMAND_LOCKING    1: C_Initialize without CKF_OS_LOCKING_OK gives CKR_CANT_LOCK
 *   SHIM_REFUSE_LOCKING    1: C_Initialize with CKF_OS_LOCKING_OK gives CKR_CANT_LOCK
 *
 * One function that fails; the numbers are places in the function list, `hsm_shim.FUNCTIONS` has them by name.
 *   SHIM_FAULT_FUNCTION    its number
 *   SHIM_FAULT_KIND        before, after: SHIM_FAULT_CODE (CKR_DEVICE_ERROR) instead of the deed, or after it was done
 *                          crash_before, crash_after: SIGSEGV; hang: it never returns
 *   SHIM_FAULT_AT          at its n-th call; 1 when it is not set
 *   SHIM_FAULT_ALWAYS      1: at each call from then on
 */
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include "hsm_shim_state.h"
#include "hsm_shim_token.h"
#include "hsm_shim_iv.h"
#include "hsm_shim_fault.h"

enum { GET_MECHANISM_LIST = 7, ENCRYPT_INIT = 29, ENCRYPT = 30, DECRYPT_INIT = 33, DECRYPT = 34, GENERATE_KEY = 58 };

typedef CK_RV (*CRYPT)(CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);

/* Sleeps for what is left of the latency of a call that began then. */
static void wait_since(CK_ULONG began_ns) {
    CK_ULONG latency = setting("SHIM_LATENCY_US") * 1000, due = began_ns + latency;
    struct timespec moment = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
    if (!latency) return;
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* the kernel's default wakes 50 us late */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL)) continue;
}

static int dead(void) {
    CK_ULONG limit = setting("SHIM_DEAD_AFTER");
    return limit && state->counter[encrypted] >= limit;
}

static CK_RV get_mechanism_list(CK_ULONG slot, CK_ULONG *list, CK_ULONG *length) {
    CK_RV (*next)(CK_ULONG, CK_ULONG *, CK_ULONG *) = (void *)real.entry[GET_MECHANISM_LIST];
    CK_RV rv = next(slot, list, length);
    CK_ULONG hidden = setting("SHIM_HIDE_MECHANISM");
    if (rv == CKR_OK && list && hidden) {
        CK_ULONG kept = 0;
        for (CK_ULONG i = 0; i < *length; i++)
            if (list[i] != hidden) list[kept++] = list[i];
        *length = kept;
    }
    return rv;
}

static CK_RV generate_key(CK_ULONG session, void *mechanism, void *template, CK_ULONG length, CK_ULONG *key) {
    CK_RV (*next)(CK_ULONG, void *, void *, CK_ULONG, CK_ULONG *) = (void *)real.entry[GENERATE_KEY];
    CK_RV refusal = setting("SHIM_REFUSE_KEYGEN"), rv;
    notice_drop();
    rv = refusal ? refusal : dead() ? CKR_TOKEN_NOT_PRESENT : next(session, mechanism, template, length, key);
    if (rv == CKR_OK) *key = number_of(*key);
    return rv;
}

static CK_RV encrypt_init(CK_ULONG session, MECHANISM *mechanism, CK_ULONG key) {
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG) = (void *)real.entry[ENCRYPT_INIT];
    MECHANISM changed;
    CK_RV rv;
    notice_drop();
    if (dead()) return CKR_TOKEN_NOT_PRESENT;
    rv = choose_iv(mechanism, &changed);
    return rv == CKR_OK ? next(session, &changed, handle_of(key)) : rv;
}

static CK_RV decrypt_init(CK_ULONG session, void *mechanism, CK_ULONG key) {
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG) = (void *)real.entry[DECRYPT_INIT];
    notice_drop();
    return dead() ? CKR_TOKEN_NOT_PRESENT : next(session, mechanism, handle_of(key));
}

/* Returns the code that the call with this number gives instead of an answer, CKR_OK for none. */
static CK_RV injected_error(CK_ULONG number) {
    CK_ULONG every = setting("SHIM_ERROR_EVERY"), turn, listed = 1;
    const char *codes = getenv("SHIM_ERROR_CODES");
    if (!every || number % every) return CKR_OK;
    count(injected);
    if (!codes || !*codes) codes = "0x30"; /* CKR_DEVICE_ERROR */
    for (const char *c = codes; *c; c++) listed += *c == ',';
    for (turn = (number / every - 1) % listed; turn; turn--) codes = strchr(codes, ',') + 1;
    return strtoul(codes, NULL, 0);
}

/* Counts one crypto call; returns what it fails with, or CKR_OK. May crash, hang or drop the sessions. */
static CK_RV meet_faults(void) {
    CK_ULONG number;
    if (!admit()) return CKR_DEVICE_MEMORY;
    number = count(calls);
    if (number == setting("SHIM_CRASH_AFTER")) raise(SIGSEGV);
    while (number == setting("SHIM_HANG_AFTER")) pause();
    if (number == setting("SHIM_DROP_SESSIONS_AFTER")) count(drops);
    notice_drop();
    return injected_error(number);
}

/* An error ends the operation: the real one is finished into nowhere, else the next Init would find it active. */
static void end_operation(CRYPT next, CK_ULONG session, CK_BYTE *in, CK_ULONG in_length) {
    CK_ULONG room = in_length + 64;
    CK_BYTE *nowhere = malloc(room);
    if (nowhere) next(session, in, in_length, nowhere, &room);
    free(nowhere);
}

static CK_RV ask_length(CRYPT next, CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_ULONG *out_length) {
    CK_ULONG began = now_ns();
    CK_RV rv = next(session, in, in_length, NULL, out_length);
    count(length_queries);
    if (setting("SHIM_LATENCY_LENGTH")) wait_since(began);
    return rv;
}

static void corrupt(CK_BYTE *out, CK_ULONG number, const char *name) {
    CK_ULONG every = setting(name);
    if (every && number % every == 0) {
        out[number % 16] ^= (CK_BYTE)(1 << number / every % 8); /* elsewhere each time: two must not undo each other */
        count(corrupted);
    }
}

static CK_RV encrypt(CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length) {
    CRYPT next = (CRYPT)real.entry[ENCRYPT];
    CK_ULONG began = now_ns(), needed;
    CK_RV rv;
    if (!out) {
        rv = ask_length(next, session, in, in_length, out_length);
        if (rv == CKR_OK) *out_length += appended_length();
        return rv;
    }
    if (appended_length()) {
        rv = next(session, in, in_length, NULL, &needed);
        needed += appended_length();
        if (rv == CKR_OK && *out_length < needed) {
            *out_length = needed;
            return CKR_BUFFER_TOO_SMALL;
        }
    }
    rv = meet_faults();
    if (rv == CKR_OK)
        rv = next(session, in, in_length, out, out_length);
    else
        end_operation(next, session, in, in_length);
    if (rv == CKR_OK) {
        give_iv(out, out_length);
        corrupt(out, count(encrypted), "SHIM_CORRUPT_EVERY");
    }
    wait_since(began);
    return rv;
}

static CK_RV decrypt(CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length) {
    CRYPT next = (CRYPT)real.entry[DECRYPT];
    CK_ULONG began = now_ns();
    CK_RV rv;
    if (!out) return ask_length(next, session, in, in_length, out_length);
    rv = meet_faults();
    if (rv == CKR_OK)
        rv = next(session, in, in_length, out, out_length);
    else
        end_operation(next, session, in, in_length);
    if (rv == CKR_OK) corrupt(out, count(decrypted), "SHIM_CORRUPT_DECRYPT_EVERY");
    wait_since(began);
    return rv;
}

CK_RV C_GetFunctionList(FUNCTIONS **list) {
    void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW);
    CK_RV (*next)(FUNCTIONS **) = library ? (CK_RV (*)(FUNCTIONS **))dlsym(library, "C_GetFunctionList") : NULL;
    FUNCTIONS *found;
    if (!next || next(&found) != CKR_OK || !share_state()) return CKR_GENERAL_ERROR;
    memcpy(&real, found, sizeof real);
    memcpy(&ours, found, sizeof ours);
    ours.entry[INITIALIZE] = initialize;
    ours.entry[FINALIZE] = finalize;
    ours.entry[GET_TOKEN_INFO] = get_token_info;
    ours.entry[GET_MECHANISM_LIST] = get_mechanism_list;
    ours.entry[OPEN_SESSION] = open_session;
    ours.entry[CLOSE_SESSION] = close_session;
    ours.entry[CLOSE_ALL_SESSIONS] = close_all_sessions;
    ours.entry[LOGIN] = login;
    ours.entry[LOGOUT] = logout;
    ours.entry[DESTROY_OBJECT] = destroy_object;
    ours.entry[GET_ATTRIBUTE_VALUE] = get_attribute_value;
    ours.entry[FIND_OBJECTS_INIT] = find_objects_init;
    ours.entry[FIND_OBJECTS] = find_objects;
    ours.entry[GENERATE_KEY] = generate_key;
    ours.entry[ENCRYPT_INIT] = encrypt_init;
    ours.entry[ENCRYPT] = encrypt;
    ours.entry[DECRYPT_INIT] = decrypt_init;
    ours.entry[DECRYPT] = decrypt;
    wrap_all(&ours);
    *list = &ours;
    return CKR_OK;
}
