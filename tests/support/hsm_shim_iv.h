/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The part of hsm_shim.c that is about the IV of CKM_AES_GCM: five ways of modules, and three that must be refused.
 */
enum { CKM_AES_GCM = 0x1087, IV = 12, LONG_IV = 16, PARAMETER_ROOM = 64 };

/* Both known forms of CK_GCM_PARAMS, with ulIvBits and without, begin with the pointer to the IV and its length. */
typedef struct { CK_BYTE *iv; CK_ULONG iv_length, iv_bits; } GCM_HEAD;

/* The encryption that was begun last. A worker has one session, and that one operation at a time. */
static CK_BYTE *callers_iv, made_iv[IV], parameter_copy[PARAMETER_ROOM];
static int replaces;

static int iv_way(const char *name) {
    const char *way = getenv("SHIM_IV");
    return way && !strcmp(way, name);
}

static CK_ULONG appended_length(void) {
    return iv_way("appended") || iv_way("null_appended") ? IV : iv_way("appended_16") ? LONG_IV : 0;
}

/* Gives in `changed` the mechanism as the real library is to see it. */
static CK_RV choose_iv(MECHANISM *mechanism, MECHANISM *changed) {
    CK_ULONG kept_after = setting("SHIM_IV_KEPT_AFTER");
    GCM_HEAD *head;
    *changed = *mechanism;
    replaces = 0;
    if (mechanism->type != CKM_AES_GCM || !getenv("SHIM_IV") || iv_way("caller")) return CKR_OK;
    head = mechanism->parameter;
    if (mechanism->length > PARAMETER_ROOM || iv_way("refused")) return CKR_MECHANISM_PARAM_INVALID;
    if (iv_way("null_appended") ? head->iv_length || head->iv_bits != IV * 8 : !head->iv || head->iv_length != IV)
        return CKR_MECHANISM_PARAM_INVALID;
    if (iv_way("in_place_zeroed") || iv_way("keeps_zeros"))
        for (int i = 0; i < IV; i++)
            if (head->iv[i]) return CKR_MECHANISM_PARAM_INVALID;
    if (iv_way("keeps_zeros")) return CKR_OK;
    if (kept_after && state->counter[encrypted] >= kept_after) return CKR_OK;
    if (getrandom(made_iv, IV, 0) != IV) return CKR_GENERAL_ERROR;
    replaces = 1;
    callers_iv = head->iv;
    memcpy(parameter_copy, head, mechanism->length);
    ((GCM_HEAD *)parameter_copy)->iv = made_iv;
    ((GCM_HEAD *)parameter_copy)->iv_length = IV;
    changed->parameter = parameter_copy;
    return CKR_OK;
}

/* Tells the caller which IV was used. There is room for it: `encrypt` made sure. */
static void give_iv(CK_BYTE *out, CK_ULONG *out_length) {
    if (!replaces) return;
    if (appended_length()) {
        memcpy(out + *out_length, made_iv, IV);
        memset(out + *out_length + IV, 0, appended_length() - IV);
        *out_length += appended_length();
    } else {
        memcpy(callers_iv, made_iv, IV);
    }
}
