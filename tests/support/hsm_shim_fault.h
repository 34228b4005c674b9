/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The part of hsm_shim.c that lets any one function of the list fail: before its deed, after it, by a crash, for ever, or
 * by a lie: it answers CKR_OK, and what it tells is wrong ("wrong_data"), or it did and told nothing ("nothing").
 * Each entry gets a wrapper in front of it, the shim's own overrides included. All parameters of PKCS#11 are as long as a
 * pointer and none is a floating-point number, so one wrapper with eight of them fits every function.
 */
typedef CK_RV (*ANY)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG);

enum { ENTRIES = 68 };

static void *behind[ENTRIES];

static int fault_is(const char *kind) {
    const char *wanted = getenv("SHIM_FAULT_KIND");
    return wanted && !strcmp(wanted, kind);
}

/* Counts a call of the function that is to fail; returns whether it is this one's turn. */
static int fault_is_due(CK_ULONG place) {
    const char *function = getenv("SHIM_FAULT_FUNCTION");
    CK_ULONG at = setting("SHIM_FAULT_AT"), number;
    if (!function || strtoul(function, NULL, 0) != place) return 0;
    number = count(fault_calls);
    return setting("SHIM_FAULT_ALWAYS") ? number >= (at ? at : 1) : number == (at ? at : 1);
}

static void flip(void *place, CK_ULONG mask) {
    if (place) *(CK_ULONG *)place ^= mask;
}

/* Makes what a function has told wrong; returns whether it had told anything. Arguments by their places, from the first.
 * Handles and ids become others, bytes are flipped, flags turned round. */
static int tell_wrong(CK_ULONG place, CK_ULONG b, CK_ULONG c, CK_ULONG d, CK_ULONG e) {
    CK_ULONG found = 0;
    switch (place) {
    case 4: case 7: /* C_GetSlotList, C_GetMechanismList: the first one of the list */
        if (!b) return 0;
        flip((void *)b, 0x5500);
        return 1;
    case 5: flip((CK_BYTE *)b + 96, ~0UL); return 1;  /* C_GetSlotInfo: flags, after 64 + 32 bytes of text */
    case 6: ((CK_BYTE *)b)[80] ^= 1; return 1;        /* C_GetTokenInfo: the serial number, after 32 + 32 + 16 */
    case 8: flip((CK_BYTE *)c + 16, ~0UL); return 1;  /* C_GetMechanismInfo: flags, after two sizes of keys */
    case 12: flip((void *)e, 0x5500); return 1;       /* C_OpenSession */
    case 15: flip((CK_BYTE *)b + 8, 3); return 1;     /* C_GetSessionInfo: the state */
    case 24: /* C_GetAttributeValue: the first byte of each value */
        for (CK_ULONG i = 0; i < d; i++) {
            ATTRIBUTE *one = (ATTRIBUTE *)c + i;
            if (one->value && one->length && one->length != ~0UL) *(CK_BYTE *)one->value ^= 1, found = 1;
        }
        return (int)found;
    case 27: /* C_FindObjects: the first object */
        if (!*(CK_ULONG *)d) return 0;
        flip((void *)b, 0x5500);
        return 1;
    case 30: case 34: /* C_Encrypt, C_Decrypt: the first byte */
        if (!d) return 0;
        *(CK_BYTE *)d ^= 1;
        return 1;
    case 58: flip((void *)e, 0x5500); return 1; /* C_GenerateKey: the handle */
    case 64: memset((void *)b, 0, c); return 1; /* C_GenerateRandom */
    default: return 0;
    }
}

/* Returns whether a function answers CKR_OK without having done or found anything. */
static int tell_nothing(CK_ULONG place, CK_ULONG c, CK_ULONG d) {
    switch (place) {
    case 4: case 7: *(CK_ULONG *)c = 0; return 1; /* C_GetSlotList, C_GetMechanismList: none */
    case 27: *(CK_ULONG *)d = 0; return 1;        /* C_FindObjects: none */
    case 0: case 1: case 13: case 14: case 18: case 19: case 22: case 26: case 28: case 29: case 33: return 1;
    default: return 0;
    }
}

static CK_RV with_fault(CK_ULONG place, CK_ULONG a, CK_ULONG b, CK_ULONG c, CK_ULONG d, CK_ULONG e, CK_ULONG f,
                        CK_ULONG g, CK_ULONG h) {
    int due = fault_is_due(place);
    CK_RV rv, code = setting("SHIM_FAULT_CODE");
    int lies = due && (fault_is("wrong_data") || fault_is("nothing"));
    if (due && !lies) count(faults);
    if (lies && fault_is("nothing") && tell_nothing(place, c, d)) {
        count(faults);
        return CKR_OK;
    }
    if (due && fault_is("before")) return code ? code : CKR_DEVICE_ERROR;
    if (due && fault_is("crash_before")) raise(SIGSEGV);
    while (due && fault_is("hang")) pause();
    rv = ((ANY)behind[place])(a, b, c, d, e, f, g, h);
    if (due && fault_is("after")) return code ? code : CKR_DEVICE_ERROR;
    if (lies && rv == CKR_OK && fault_is("wrong_data") && tell_wrong(place, b, c, d, e)) count(faults);
    if (due && fault_is("crash_after")) raise(SIGSEGV);
    return rv;
}

#define WRAP(n) \
    static CK_RV wrapped_##n(CK_ULONG a, CK_ULONG b, CK_ULONG c, CK_ULONG d, CK_ULONG e, CK_ULONG f, CK_ULONG g, \
                             CK_ULONG h) { \
        return with_fault(n, a, b, c, d, e, f, g, h); \
    }
WRAP(0) WRAP(1) WRAP(2) WRAP(3) WRAP(4) WRAP(5) WRAP(6) WRAP(7)
WRAP(8) WRAP(9) WRAP(10) WRAP(11) WRAP(12) WRAP(13) WRAP(14) WRAP(15)
WRAP(16) WRAP(17) WRAP(18) WRAP(19) WRAP(20) WRAP(21) WRAP(22) WRAP(23)
WRAP(24) WRAP(25) WRAP(26) WRAP(27) WRAP(28) WRAP(29) WRAP(30) WRAP(31)
WRAP(32) WRAP(33) WRAP(34) WRAP(35) WRAP(36) WRAP(37) WRAP(38) WRAP(39)
WRAP(40) WRAP(41) WRAP(42) WRAP(43) WRAP(44) WRAP(45) WRAP(46) WRAP(47)
WRAP(48) WRAP(49) WRAP(50) WRAP(51) WRAP(52) WRAP(53) WRAP(54) WRAP(55)
WRAP(56) WRAP(57) WRAP(58) WRAP(59) WRAP(60) WRAP(61) WRAP(62) WRAP(63)
WRAP(64) WRAP(65) WRAP(66) WRAP(67)

static void *const wrapped[ENTRIES] = {
    wrapped_0, wrapped_1, wrapped_2, wrapped_3, wrapped_4, wrapped_5,
    wrapped_6, wrapped_7, wrapped_8, wrapped_9, wrapped_10, wrapped_11,
    wrapped_12, wrapped_13, wrapped_14, wrapped_15, wrapped_16, wrapped_17,
    wrapped_18, wrapped_19, wrapped_20, wrapped_21, wrapped_22, wrapped_23,
    wrapped_24, wrapped_25, wrapped_26, wrapped_27, wrapped_28, wrapped_29,
    wrapped_30, wrapped_31, wrapped_32, wrapped_33, wrapped_34, wrapped_35,
    wrapped_36, wrapped_37, wrapped_38, wrapped_39, wrapped_40, wrapped_41,
    wrapped_42, wrapped_43, wrapped_44, wrapped_45, wrapped_46, wrapped_47,
    wrapped_48, wrapped_49, wrapped_50, wrapped_51, wrapped_52, wrapped_53,
    wrapped_54, wrapped_55, wrapped_56, wrapped_57, wrapped_58, wrapped_59,
    wrapped_60, wrapped_61, wrapped_62, wrapped_63, wrapped_64, wrapped_65,
    wrapped_66, wrapped_67
};

static void wrap_all(FUNCTIONS *list) {
    if (!getenv("SHIM_FAULT_FUNCTION")) return;
    memcpy(behind, list->entry, sizeof behind);
    for (int i = 0; i < ENTRIES; i++)
        if (behind[i]) list->entry[i] = wrapped[i];
}
