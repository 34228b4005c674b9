/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The part of hsm_shim.c that is about the token: C_Initialize, token info, sessions, logins and object handles.
 */
typedef struct {
    CK_BYTE texts[96];
    CK_ULONG flags, max_sessions, sessions, max_rw_sessions, rw_sessions, other[6];
    CK_BYTE rest[20];
} TOKEN_INFO;

typedef struct { void *mutex_function[4]; CK_ULONG flags; void *reserved; } INITIALIZE_ARGUMENTS;

enum {
    CKF_OS_LOCKING_OK = 0x2, CKF_USER_PIN_COUNT_LOW = 0x10000, CKF_USER_PIN_FINAL_TRY = 0x20000,
    CKF_USER_PIN_LOCKED = 0x40000, CKU_USER = 1, CKS_RO_PUBLIC_SESSION = 0, CKS_RW_PUBLIC_SESSION = 2
};

enum {
    INITIALIZE = 0, FINALIZE = 1, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_SESSION = 13, CLOSE_ALL_SESSIONS = 14,
    GET_SESSION_INFO = 15, LOGIN = 18, LOGOUT = 19, DESTROY_OBJECT = 22, GET_ATTRIBUTE_VALUE = 24,
    FIND_OBJECTS_INIT = 26, FIND_OBJECTS = 27
};

typedef struct { CK_ULONG type; void *value; CK_ULONG length; } ATTRIBUTE;

enum { HANDLES = 1024, CKA_CHECK_VALUE = 0x90 };

static CK_ULONG used_slot, drops_seen;
static CK_ULONG handle[HANDLES], handle_count; /* real handles, in the order in which they were first given out */

static CK_RV initialize(INITIALIZE_ARGUMENTS *arguments) {
    CK_RV (*next)(void *) = (void *)real.entry[INITIALIZE];
    int asked = arguments && arguments->flags & CKF_OS_LOCKING_OK;
    count(initialised);
    drops_seen = state->counter[drops];
    if (setting("SHIM_INITIALIZE")) return setting("SHIM_INITIALIZE");
    if (asked ? setting("SHIM_REFUSE_LOCKING") : setting("SHIM_DEMAND_LOCKING")) return CKR_CANT_LOCK;
    return next(arguments);
}

static CK_RV get_token_info(CK_ULONG slot, TOKEN_INFO *info) {
    CK_RV (*next)(CK_ULONG, TOKEN_INFO *) = (void *)real.entry[GET_TOKEN_INFO];
    CK_RV rv = setting("SHIM_SLOT_SICK") ? setting("SHIM_SLOT_SICK") : next(slot, info);
    CK_ULONG tries = state->counter[pin_tries], limit = setting("SHIM_PIN_TRIES"), cap = setting("SHIM_SESSIONS");
    if (rv != CKR_OK) return rv;
    info->flags |= setting("SHIM_TOKEN_FLAGS");
    if (cap) info->max_sessions = info->max_rw_sessions = cap;
    if (limit) {
        info->flags &= ~(CK_ULONG)(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
        if (!setting("SHIM_PIN_SILENT")) {
            if (tries) info->flags |= CKF_USER_PIN_COUNT_LOW;
            if (tries + 1 == limit) info->flags |= CKF_USER_PIN_FINAL_TRY;
            if (tries >= limit) info->flags |= CKF_USER_PIN_LOCKED;
        }
    }
    return rv;
}

static CK_RV open_session(CK_ULONG slot, CK_ULONG flags, void *application, void *notify, CK_ULONG *session) {
    CK_RV (*next)(CK_ULONG, CK_ULONG, void *, void *, CK_ULONG *) = (void *)real.entry[OPEN_SESSION];
    CK_ULONG cap = setting("SHIM_SESSIONS"), *mine;
    CK_RV rv = CKR_SESSION_COUNT;
    used_slot = slot;
    lock_state();
    mine = own_sessions();
    if (mine && (!cap || sessions_held() < cap)) {
        rv = next(slot, flags, application, notify, session);
        if (rv == CKR_OK) (*mine)++;
    }
    unlock_state();
    count(rv == CKR_OK ? opened : session_refusals);
    return rv;
}

static CK_RV close_session(CK_ULONG session) {
    CK_RV (*next)(CK_ULONG) = (void *)real.entry[CLOSE_SESSION];
    CK_RV rv = next(session);
    if (rv == CKR_OK) {
        CK_ULONG *mine;
        lock_state();
        mine = own_sessions();
        if (mine && *mine) (*mine)--;
        unlock_state();
        count(closed);
    }
    return rv;
}

static void forget_own_sessions(void) {
    CK_ULONG *mine;
    lock_state();
    mine = own_sessions();
    if (mine) *mine = 0;
    unlock_state();
}

static CK_RV close_all_sessions(CK_ULONG slot) {
    CK_RV (*next)(CK_ULONG) = (void *)real.entry[CLOSE_ALL_SESSIONS];
    forget_own_sessions();
    return next(slot);
}

static CK_RV finalize(void *reserved) {
    CK_RV (*next)(void *) = (void *)real.entry[FINALIZE];
    count(finalised);
    forget_own_sessions();
    return next(reserved);
}

/* Ends this process's sessions when the HSM dropped all of them since the last look. */
static void notice_drop(void) {
    if (drops_seen == state->counter[drops]) return;
    drops_seen = state->counter[drops];
    handle_count = 0;
    close_all_sessions(used_slot);
}

static CK_RV login(CK_ULONG session, CK_ULONG user, CK_BYTE *pin, CK_ULONG length) {
    CK_RV (*next)(CK_ULONG, CK_ULONG, CK_BYTE *, CK_ULONG) = (void *)real.entry[LOGIN];
    CK_ULONG limit = setting("SHIM_PIN_TRIES"), *tries = &state->counter[pin_tries];
    CK_RV rv = CKR_PIN_LOCKED;
    if (user != CKU_USER) return next(session, user, pin, length);
    count(logins);
    lock_state();
    if (!limit || *tries < limit) {
        rv = setting("SHIM_ANONYMOUS") ? CKR_OK : next(session, user, pin, length);
        if (rv == CKR_OK) *tries = 0;
        if (rv == CKR_PIN_INCORRECT) (*tries)++;
    }
    unlock_state();
    if (rv == CKR_PIN_INCORRECT) count(wrong_pins);
    return rv;
}

/* As PKCS#11 has it and many HSMs do, not as SoftHSM2: who is not logged in cannot log out. */
static CK_RV logout(CK_ULONG session) {
    CK_RV (*next)(CK_ULONG) = (void *)real.entry[LOGOUT];
    CK_RV (*info)(CK_ULONG, CK_ULONG *) = (void *)real.entry[GET_SESSION_INFO];
    CK_ULONG about[4] = {0}; /* slot, state, flags, device error */
    CK_RV rv = info(session, about);
    int anonymous = about[1] == CKS_RO_PUBLIC_SESSION || about[1] == CKS_RW_PUBLIC_SESSION;
    return rv != CKR_OK ? rv : anonymous ? CKR_USER_NOT_LOGGED_IN : next(session);
}

/* With SHIM_SHUFFLE_HANDLES the shim gives out numbers of its own, 1, 2, 3 ...; after each drop of the sessions they
 * begin anew with each pair exchanged, so that the number a client kept is then the number of another key. */
static CK_ULONG number_of(CK_ULONG real_handle) {
    CK_ULONG i = 0;
    if (!setting("SHIM_SHUFFLE_HANDLES")) return real_handle;
    while (i < handle_count && handle[i] != real_handle) i++;
    if (i == HANDLES) return 0;
    if (i == handle_count) handle[handle_count++] = real_handle;
    return 1 + (i ^ (drops_seen & 1));
}

static CK_ULONG handle_of(CK_ULONG number) {
    CK_ULONG i = (number - 1) ^ (drops_seen & 1);
    if (!setting("SHIM_SHUFFLE_HANDLES")) return number;
    return number && i < handle_count ? handle[i] : 0;
}

static CK_RV find_objects_init(CK_ULONG session, void *template, CK_ULONG length) {
    CK_RV (*next)(CK_ULONG, void *, CK_ULONG) = (void *)real.entry[FIND_OBJECTS_INIT];
    notice_drop();
    count(finds);
    return next(session, template, length);
}

static CK_RV find_objects(CK_ULONG session, CK_ULONG *found, CK_ULONG room, CK_ULONG *length) {
    CK_RV (*next)(CK_ULONG, CK_ULONG *, CK_ULONG, CK_ULONG *) = (void *)real.entry[FIND_OBJECTS];
    CK_RV rv = next(session, found, room, length);
    if (rv == CKR_OK)
        for (CK_ULONG i = 0; i < *length; i++) found[i] = number_of(found[i]);
    return rv;
}

static CK_RV get_attribute_value(CK_ULONG session, CK_ULONG number, ATTRIBUTE *template, CK_ULONG length) {
    CK_RV (*next)(CK_ULONG, CK_ULONG, void *, CK_ULONG) = (void *)real.entry[GET_ATTRIBUTE_VALUE];
    notice_drop();
    if (setting("SHIM_NO_CHECK_VALUE"))
        for (CK_ULONG i = 0; i < length; i++)
            if (template[i].type == CKA_CHECK_VALUE) return CKR_ATTRIBUTE_TYPE_INVALID;
    return next(session, handle_of(number), template, length);
}

static CK_RV destroy_object(CK_ULONG session, CK_ULONG number) {
    CK_RV (*next)(CK_ULONG, CK_ULONG) = (void *)real.entry[DESTROY_OBJECT];
    notice_drop();
    return next(session, handle_of(number));
}
